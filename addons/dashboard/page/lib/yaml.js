// What the page itself does with YAML: colours for reading, the few fields that say where a document goes, and writing values of
// charts. Reading and writing objects is the API server's job, which speaks YAML.

import { el } from "./dom.js";

const PARTS = /(#.*$)|("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')|(\b(?:true|false|null|~)\b|(?<=[\s:[,-])-?\d[\d.]*(?:e[+-]?\d+)?(?=$|[\s,\]}]))/g;

/** A line as text with colours. */
export function coloured(line) {
  const key = /^(\s*(?:- )*)((?:"[^"]*"|'[^']*'|[^\s#"'[{][^:#]*?))(:)(?=\s|$)/.exec(line);
  const out = [];
  if (key) out.push(key[1], el("span.y-key", key[2]), key[3]);
  const rest = key ? line.slice(key[0].length) : line;
  let from = 0;
  for (const found of rest.matchAll(PARTS)) {
    if (found.index > from) out.push(rest.slice(from, found.index));
    out.push(el(`span.${found[1] ? "y-comment" : found[2] ? "y-text" : "y-value"}`, found[0]));
    from = found.index + found[0].length;
  }
  out.push(rest.slice(from));
  return out;
}

/** The text without `metadata.managedFields`, which nobody edits. The server writes two blanks for a level. */
export function withoutManagedFields(text) {
  let inside = false;
  return text.split("\n").filter((line) => {
    if (line === "  managedFields:") inside = true;
    else if (inside && !/^(  - |   )/.test(line)) inside = false;
    return !inside;
  }).join("\n");
}

/** The documents of a text. */
export const documents = (text) => text.split(/^---(?:[ \t].*)?$/m).filter((part) => part.replace(/^\s*#.*$/gm, "").trim());

/** Where a document goes: `{ apiVersion, kind, name, namespace }`. */
export function identity(text) {
  if (/^\s*\{/.test(text)) {
    const { apiVersion, kind, metadata = {} } = JSON.parse(text);
    return { apiVersion, kind, name: metadata.name, namespace: metadata.namespace };
  }
  const unquoted = (value) => value?.trim().replace(/\s+#.*$/, "").replace(/^(["'])(.*)\1$/, "$2");
  const top = (field) => unquoted(new RegExp(`^${field}:[ \\t]*(.+)$`, "m").exec(text)?.[1]);
  const flow = /^metadata:[ \t]*\{([^}]*)/m.exec(text)?.[1];
  const block = /^metadata:[ \t]*(?:#.*)?\n((?:[ \t]+.*\n?|[ \t]*\n)*)/m.exec(text)?.[1] ?? "";
  const indent = /^([ \t]+)\S/m.exec(block)?.[1] ?? "  ";
  const inner = (field) => unquoted(flow === undefined
    ? new RegExp(`^${indent}${field}:[ \\t]*(.+)$`, "m").exec(block)?.[1]
    : new RegExp(`(?:^|,)\\s*${field}:\\s*([^,]+)`).exec(flow)?.[1]);
  return { apiVersion: top("apiVersion"), kind: top("kind"), name: inner("name"), namespace: inner("namespace") };
}

const PLAIN = /^[A-Za-z_/][\w./ -]*$/;
const WORDS = /^(true|false|yes|no|on|off|null|y|n)$/i;

/** A value as YAML, two blanks a level. */
export function write(value, indent = "") {
  if (Array.isArray(value)) {
    if (!value.length) return "[]\n";
    return value.map((one) => `${indent}- ${nested(one, `${indent}  `).trimStart()}`).join("");
  }
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value);
    if (!entries.length) return "{}\n";
    return entries.map(([key, one]) => `${indent}${scalar(key)}:${holds(one) ? "\n" : " "}${nested(one, holds(one) ? `${indent}  ` : indent)}`).join("");
  }
  return `${scalar(value, indent)}\n`;
}

const holds = (value) => value !== null && typeof value === "object" && Object.keys(value).length > 0;
const nested = (value, indent) => (value !== null && typeof value === "object" ? write(value, indent) : `${scalar(value, indent)}\n`);

function scalar(value, indent = "") {
  if (typeof value !== "string") return JSON.stringify(value);
  if (/^\S[\s\S]*\n[\s\S]*$/.test(value) && !/[ \t]$/m.test(value) && !/[^\n\x20-\x7e\u00a0-\uffff]/.test(value)) {
    const end = value.endsWith("\n\n") ? "+" : value.endsWith("\n") ? "" : "-";
    return `|${end}\n${value.replace(/\n$/, "").split("\n").map((line) => (line ? `${indent}  ${line}` : "")).join("\n")}`;
  }
  return PLAIN.test(value) && !WORDS.test(value) && value.trim() === value ? value : JSON.stringify(value);
}

/** Lines that two texts do not share, with a few around them: `[[" " | "+" | "-", line], …]`. */
export function difference(before, after) {
  const [one, other] = [before.split("\n"), after.split("\n")];
  const lengths = Array.from({ length: one.length + 1 }, () => new Uint32Array(other.length + 1));
  for (let x = one.length - 1; x >= 0; x -= 1) {
    for (let y = other.length - 1; y >= 0; y -= 1) {
      lengths[x][y] = one[x] === other[y] ? lengths[x + 1][y + 1] + 1 : Math.max(lengths[x + 1][y], lengths[x][y + 1]);
    }
  }
  const all = [];
  for (let [x, y] = [0, 0]; x < one.length || y < other.length; ) {
    if (x < one.length && y < other.length && one[x] === other[y]) {
      all.push([" ", one[x]]);
      x += 1;
      y += 1;
    } else if (y >= other.length || (x < one.length && lengths[x + 1][y] >= lengths[x][y + 1])) all.push(["-", one[x++]]);
    else all.push(["+", other[y++]]);
  }
  const near = (at) => all.slice(Math.max(0, at - 2), at + 3).some(([sign]) => sign !== " ");
  return all.filter((_, at) => near(at));
}
