// Styles of cells as classes and colours of elements.

import { el } from "../lib/dom.js";

const FLAGS = ["bold", "dim", "italic", "underline", "strike", "hidden"];

/** A text in a style. The sixteen colours are the page's, which knows dark from light. */
export function styled(text, style) {
  const { fg, bg } = style.inverse ? { fg: style.bg ?? "back", bg: style.fg ?? "fore" } : style;
  const span = el("span", text);
  FLAGS.filter((name) => style[name]).forEach((name) => span.classList.add(`t-${name}`));
  paint(span, "color", "f", fg);
  paint(span, "background-color", "b", bg);
  return span;
}

function paint(span, property, letter, colour) {
  if (colour === undefined) return;
  if (typeof colour === "number" && colour < 16) span.classList.add(`t-${letter}${colour}`);
  else if (colour === "fore" || colour === "back") span.classList.add(`t-${letter}-${colour}`);
  else span.style.setProperty(property, typeof colour === "number" ? indexed(colour) : colour);
}

/** Colours 16 to 255: a cube and a row of greys. */
function indexed(number) {
  if (number >= 232) return `rgb(${Array(3).fill(8 + (number - 232) * 10).join()})`;
  const part = (value) => (value ? 55 + value * 40 : 0);
  const at = number - 16;
  return `rgb(${part(Math.floor(at / 36))},${part(Math.floor(at / 6) % 6)},${part(at % 6)})`;
}
