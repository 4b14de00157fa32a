// Drawings of amounts: a line over time, a bar of a whole.

import { el, fill, framed, svg } from "./dom.js";

const [WIDTH, HEIGHT, TOP] = [600, 120, 8];

/** A graph of a series; `read()` gives `{ values, times }`, `write` words for a value, `limit` the line that is the most. */
export function lineGraph({ title, read, write, limit, scope, subscribe, empty }) {
  const now = el("strong.graph-now", "–");
  const note = el("span.graph-note");
  const canvas = el(".graph-canvas", { role: "img" });
  const tip = el(".graph-tip", { hidden: true });
  const box = el(".graph", el(".graph-head", el("span.graph-title", title), now, note), el(".graph-frame", canvas, tip));
  let shown = { values: [], times: [] };
  const draw = framed(() => {
    shown = read() ?? { values: [], times: [] };
    const { values, times } = shown;
    now.textContent = values.length ? write(values.at(-1)) : "–";
    note.textContent = limit ? `of ${write(limit)}` : "";
    canvas.setAttribute("aria-label", `${title}: ${now.textContent} ${note.textContent}`);
    fill(canvas, values.length ? picture(values, times, limit) : el("span.graph-empty", empty?.() ?? "Waiting for figures"));
  });
  canvas.addEventListener("pointermove", (event) => hover(event, canvas, tip, shown, write));
  canvas.addEventListener("pointerleave", () => (tip.hidden = true));
  draw();
  scope.add(subscribe(draw));
  return box;
}

/** The largest value that a graph shows: round, and above what it has. */
function ceiling(values, limit) {
  const most = Math.max(...values, 1e-9);
  if (limit && most > limit * 0.4) return Math.max(limit, most) * 1.05;
  return most * 1.25;
}

function picture(values, times, limit) {
  const top = ceiling(values, limit);
  const span = Math.max(times.at(-1) - times[0], 60000);
  const x = (at) => WIDTH - ((times.at(-1) - times[at]) / span) * WIDTH;
  const y = (value) => HEIGHT - (value / top) * (HEIGHT - TOP);
  const points = values.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
  if (points.length === 1) points.unshift(`${WIDTH - 12},${y(values[0]).toFixed(1)}`);
  const line = `M${points.join("L")}`;
  const first = points[0].split(",")[0];
  const grid = [0.25, 0.5, 0.75].map((part) => svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part }));
  const most = limit && limit <= top ? svg("line", { class: "limit", x1: 0, x2: WIDTH, y1: y(limit), y2: y(limit) }) : null;
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" },
    ...grid, svg("path", { class: "area", d: `${line}L${WIDTH},${HEIGHT}L${first},${HEIGHT}Z` }), svg("path", { class: "line", d: line }), most);
}

function hover(event, canvas, tip, { values, times }, write) {
  if (!values.length) return;
  const box = canvas.getBoundingClientRect();
  const span = Math.max(times.at(-1) - times[0], 60000);
  const wanted = times.at(-1) - (1 - (event.clientX - box.left) / box.width) * span;
  let at = times.findIndex((time) => time >= wanted);
  if (at < 0) at = times.length - 1;
  tip.hidden = false;
  tip.textContent = `${write(values[at])} · ${new Date(times[at]).toLocaleTimeString()}`;
  tip.style.left = `${Math.min(Math.max(event.clientX - box.left, 60), box.width - 60)}px`;
}

/** A bar that shows parts of a whole: `[{ amount, tone, label }]`. */
export function bar(parts, whole, label) {
  const box = el(".bar", { role: "img", aria: { label } });
  for (const { amount, tone } of parts) {
    if (amount > 0) box.append(el(`.bar-part.${tone || "plain"}`, { style: { width: `${Math.min(100, (amount / (whole || 1)) * 100)}%` } }));
  }
  return box;
}

/** A ring of parts, with a text in its middle. */
export function ring(parts, text, label) {
  const total = parts.reduce((sum, part) => sum + part.amount, 0);
  const round = 2 * Math.PI * 15;
  let from = 0;
  const arcs = parts.filter((part) => part.amount).map(({ amount, tone }) => {
    const length = (amount / total) * round;
    const arc = svg("circle", {
      class: `arc ${tone || "plain"}`, cx: 20, cy: 20, r: 15,
      "stroke-dasharray": `${Math.max(0, length - (parts.length > 1 && amount !== total ? 1 : 0))} ${round}`, "stroke-dashoffset": -from,
    });
    from += length;
    return arc;
  });
  return svg("svg", { viewBox: "0 0 40 40", class: "ring", role: "img", "aria-label": label },
    svg("circle", { class: "track", cx: 20, cy: 20, r: 15 }), ...arcs, svg("text", { x: 20, y: 20, class: text.length > 3 ? "small" : "" }, text));
}
