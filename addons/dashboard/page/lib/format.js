// How amounts and times are written, and which tone a state has.

const STEPS = [[86400 * 365, "y"], [86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];

/** `3d4h`, as kubectl writes ages. */
export function age(from, to = Date.now()) {
  if (!from) return "–";
  let seconds = Math.max(0, Math.floor((to - new Date(from)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  const at = STEPS.findIndex(([length]) => seconds >= length);
  const [length, unit] = STEPS[at];
  const whole = Math.floor(seconds / length);
  const next = STEPS[at + 1];
  const rest = next && whole < 10 ? Math.floor((seconds % length) / next[0]) : 0;
  return rest ? `${whole}${unit}${rest}${next[1]}` : `${whole}${unit}`;
}

export const time = (from) => (from ? new Date(from).toLocaleString() : "–");

const FACTORS = {
  n: 1e-9, u: 1e-6, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60,
};

/** A quantity of Kubernetes as a number. */
export function quantity(text) {
  if (typeof text === "number") return text;
  const found = /^([+-]?[\d.]+(?:e[+-]?\d+)?)([a-zA-Z]*)$/.exec(text ?? "");
  return found ? Number(found[1]) * (found[2] ? FACTORS[found[2]] ?? 1 : 1) : 0;
}

export function bytes(amount) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  while (amount >= 1024 && at < units.length - 1) {
    amount /= 1024;
    at += 1;
  }
  return `${amount >= 100 || at === 0 ? Math.round(amount) : amount.toFixed(1)} ${units[at]}`;
}

/** Cores: `12m`, `1.5`. */
export function cores(amount) {
  if (amount < 0.0005) return "0";
  return amount < 1 ? `${Math.max(1, Math.round(amount * 1000))}m` : amount.toFixed(amount < 10 ? 2 : 1);
}

export const percent = (part, whole) => (whole ? `${Math.round((part / whole) * 100)} %` : "–");

const TONES = [
  ["bad", /error|failed|backoff|evicted|oomkilled|unhealthy|lost|^notready|invalid|errimage|deadlineexceeded|unknown/i],
  ["warn", /^(pending|waiting|terminating|containercreating|podinitializing|init:|schedulinggated|released|suspended|unschedulable|pending-|warning|disabled|progressing)|schedulingdisabled|^\d+\/\d+ ready/i],
  ["good", /^(running|ready|active|bound|available|true|complete|completed|succeeded|deployed|enabled|established|healthy|normal)/i],
];

/** `good`, `warn`, `bad` or nothing for the word of a state. */
export function tone(text) {
  return TONES.find(([, words]) => words.test(text))?.[0] ?? "";
}

/** `2/3` is not as it should be, `3/3` is. */
export function ratioTone(text) {
  const found = /^(\d+)\/(\d+)/.exec(text);
  if (!found) return "";
  return found[1] === found[2] ? "good" : found[1] === "0" ? "bad" : "warn";
}

/** Names with numbers in the order of the numbers. */
export const compare = new Intl.Collator("en", { numeric: true }).compare;

/** How many, with the word in the right number. */
export const count = (amount, word, many = `${word}s`) => `${amount.toLocaleString("en")} ${amount === 1 ? word : many}`;
