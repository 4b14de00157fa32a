// Pieces that several views are made of.

import { el, fill } from "../lib/dom.js";
import { age, ratioTone, time, tone } from "../lib/format.js";
import { icon } from "../lib/icons.js";

/** A word of a state in its colour, with a shape that tells without the colour. */
export const pill = (text, mood = tone(text)) => el(`span.pill.${mood || "plain"}`, text);

/** `2/3` in its colour. */
export const ratio = (text) => el(`span.ratio.${ratioTone(text) || "plain"}`, text);

export const since = (from) => el("time", { title: time(from), dateTime: from ?? "" }, age(from));

export const button = (label, symbol, onclick, look = "") =>
  el(`button.button${look && `.${look}`}`, { type: "button", onclick }, symbol && icon(symbol), el("span", label));

export const link = (text, href) => (href ? el("a.link", { href }, text) : el("span", text));

export const card = (title, ...children) => el("section.card", title && el("h2", title), ...children);

/** Label and value side by side; lines without a value are left out. */
export const facts = (pairs) =>
  el("dl.facts", pairs.filter(([, value]) => value !== undefined && value !== null && value !== "").map(([name, value]) => [el("dt", name), el("dd", value)]));

export const chips = (pairs) => el(".chips", Object.entries(pairs ?? {}).map(([key, value]) => el("span.chip", { title: `${key}=${value}` }, el("b", key), value === "" ? "" : `=${value}`)));

/** A small table of what fits on a page. */
export function grid(titles, rows, empty) {
  if (!rows.length) return el("p.quiet", empty);
  return el(".grid-frame", el("table.grid", el("thead", el("tr", titles.map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", rows.map((row) => el("tr", row.map((cell) => el(isLong(cell) ? "td.long" : "td", cell)))))));
}

/** Longer texts are broken; what is short stays in a line. */
const isLong = (cell) => (cell instanceof Node ? cell.textContent : String(cell ?? "")).length > 24;

/** A failure in words, with what may be done. */
export const trouble = (error, retry) =>
  el(".trouble", { role: "alert" }, icon("alert"), el("div", el("strong", error.reason || "This did not work"), el("p", error.message)), retry && button("Try again", "restart", retry));

/** Says something at the edge of the page for a while; failures stay longer. */
export function toast(text, mood = "good") {
  let place = document.querySelector(".toasts");
  if (!place) document.body.append((place = el(".toasts", { role: "status", aria: { live: "polite" } })));
  const note = el(`.toast.${mood}`, icon(mood === "bad" ? "alert" : "check"), el("span", text));
  note.append(el("button.ghost", { type: "button", aria: { label: "Dismiss" }, onclick: () => note.remove() }, icon("close")));
  place.append(note);
  setTimeout(() => note.remove(), mood === "bad" ? 12000 : 4000);
}

/** A dialog. `content(close)` gives what is in it; resolves with what it was closed with. */
export function dialog(title, content, look = "") {
  return new Promise((resolve) => {
    const box = el(`dialog.dialog${look && `.${look}`}`, { aria: { label: title } });
    const close = (value) => {
      box.close();
      box.remove();
      resolve(value);
    };
    box.addEventListener("cancel", (event) => (event.preventDefault(), close(null)));
    fill(box, el("header.dialog-head", el("h2", title), el("button.ghost", { type: "button", aria: { label: "Close" }, onclick: () => close(null) }, icon("close"))), content(close));
    document.body.append(box);
    box.showModal();
    box.querySelector("[data-first]")?.focus();
  });
}

/** Asks before something that cannot be taken back. */
export function confirm(title, text, verb, look = "danger") {
  return dialog(title, (close) => [
    el("p", text),
    el("footer.dialog-foot", Object.assign(button("Cancel", null, () => close(false)), { autofocus: true }), button(verb, null, () => close(true), look)),
  ]);
}

/** Tabs whose content is made when it is looked at; `choose(name)` may be called from outside. */
export function tabs(entries, first, onchoose) {
  const place = el(".tab-place");
  const heads = entries.map(([name, title]) => el("button.tab", { type: "button", role: "tab", data: { name }, onclick: () => choose(name) }, title));
  let current = null;
  const choose = (name) => {
    if (name === current) return;
    current = name;
    heads.forEach((head) => head.setAttribute("aria-selected", head.dataset.name === name));
    onchoose(name, place);
  };
  const bar = el(".tabs", { role: "tablist" }, heads);
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = (heads.findIndex((head) => head.dataset.name === current) + step + heads.length) % heads.length;
    heads[at].focus();
    choose(heads[at].dataset.name);
  });
  return { bar, place, choose, begin: () => choose(first) };
}
