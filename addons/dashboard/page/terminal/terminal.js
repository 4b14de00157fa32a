// A terminal on the page: a screen of cells as lines of text, keys and pasted text as what is typed.

import { el, fill, framed } from "../lib/dom.js";
import { bytesOf } from "./keys.js";
import { Parser } from "./parser.js";
import { Screen } from "./screen.js";
import { styled } from "./style.js";

/** `onType(text)` is told what is typed, `onResize(columns, rows)` how large the terminal is. */
export class Terminal {
  #drawn = new Map();
  #past = [];

  constructor({ onType, onResize, label }) {
    Object.assign(this, { onType, onResize });
    this.screen = new Screen(80, 24);
    this.parser = new Parser(this.screen, onType);
    this.input = el("textarea.terminal-input", { aria: { label }, autocapitalize: "off", autocomplete: "off", spellcheck: false });
    this.past = el(".terminal-past");
    this.present = el(".terminal-present");
    this.ruler = el("span.terminal-ruler", "0".repeat(20));
    this.element = el(".terminal", this.ruler, this.past, this.present, this.input);
    this.#draw = framed(() => this.#paint());
    this.#listen();
    this.sized = new ResizeObserver(() => this.fit());
    this.sized.observe(this.element);
  }
  #draw;

  end() {
    this.sized.disconnect();
  }

  focus() {
    this.input.focus({ preventScroll: true });
  }

  write(bytes) {
    this.parser.write(bytes);
    this.#draw();
  }

  /** Writes a line of the page's own. */
  say(text) {
    this.write(new TextEncoder().encode(`\r\n\x1b[2m${text}\x1b[0m\r\n`));
  }

  /** As many cells as there is room for. */
  fit() {
    const { width, height } = this.ruler.getBoundingClientRect();
    if (!width || !this.element.clientHeight) return;
    this.cell = { width: width / 20, height };
    const columns = Math.max(20, Math.floor((this.element.clientWidth - 24) / this.cell.width));
    const rows = Math.max(5, Math.floor((this.element.clientHeight - 20) / height));
    if (columns === this.screen.columns && rows === this.screen.rows) return;
    this.screen.resize(columns, rows);
    this.onResize(columns, rows);
    this.#draw();
  }

  #listen() {
    const { element, input } = this;
    element.addEventListener("mouseup", () => getSelection().isCollapsed && this.focus());
    input.addEventListener("focus", () => element.classList.add("focused"));
    input.addEventListener("blur", () => element.classList.remove("focused"));
    input.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.ctrlKey && event.shiftKey && event.key === "C") return void (navigator.clipboard.writeText(getSelection().toString()), event.preventDefault());
      const bytes = bytesOf(event, this.screen.modes);
      if (bytes === null) return;
      event.preventDefault();
      this.#type(bytes);
    });
    input.addEventListener("input", (event) => {
      if (event.isComposing) return;
      this.#type(input.value);
      input.value = "";
    });
    input.addEventListener("compositionend", () => (this.#type(input.value), (input.value = "")));
    input.addEventListener("paste", (event) => {
      event.preventDefault();
      const text = event.clipboardData.getData("text/plain").replace(/\r?\n/g, "\r");
      // What ends a pasted text must not be in it: the rest would be typed.
      const safe = text.replaceAll("\x1b[201~", "");
      this.#type(this.screen.modes.bracketedPaste ? `\x1b[200~${safe}\x1b[201~` : safe);
    });
  }

  #type(text) {
    if (!text) return;
    this.element.scrollTop = this.element.scrollHeight;
    this.onType(text);
  }

  #paint() {
    const { screen, element } = this;
    const isAtEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 30;
    this.#paintPast();
    const { cursor, modes } = screen;
    while (this.present.children.length > screen.rows) this.present.lastChild.remove();
    screen.lines.forEach((line, y) => {
      const row = this.present.children[y] ?? this.present.appendChild(el(".terminal-line"));
      const mark = modes.cursor && y === cursor.y ? cursor.x : -1;
      const state = this.#drawn.get(row);
      if (state?.line === line && state.mark === mark && state.text === signature(line)) return;
      this.#drawn.set(row, { line, mark, text: signature(line) });
      fill(row, runs(line, mark));
    });
    if (isAtEnd) element.scrollTop = element.scrollHeight;
  }

  /** Lines that scrolled away are written once; those that were forgotten go. */
  #paintPast() {
    const { history, dropped } = this.screen;
    while (this.#past.length && this.#past[0].number < dropped) this.#past.shift().row.remove();
    const next = this.#past.length ? this.#past.at(-1).number + 1 : dropped;
    for (let number = next; number < dropped + history.length; number += 1) {
      const row = el(".terminal-line", runs(history[number - dropped], -1));
      this.#past.push({ number, row });
      this.past.append(row);
    }
  }

  /** All that can be read in it. */
  get text() {
    const written = (line) => line.map((cell) => cell.text).join("").trimEnd();
    return [...this.screen.history, ...this.screen.lines].map(written).join("\n");
  }
}

const styles = new WeakMap();
let styleNumber = 0;
const numberOf = (style) => styles.get(style) ?? (styles.set(style, (styleNumber += 1)), styleNumber);

/** Two lines with the same one look the same. */
function signature(line) {
  let text = "";
  for (const cell of line) text += `${numberOf(cell.style)}:${cell.text},`;
  return text;
}

/** Spans of cells with one style; the cursor is a cell of its own. */
function runs(line, mark) {
  const out = [];
  let [text, style] = ["", null];
  const flush = () => text && out.push(styled(text, style));
  const last = line.findLastIndex((cell) => cell.text !== " " || Object.keys(cell.style).length);
  for (let x = 0; x <= Math.max(last, mark); x += 1) {
    const cell = line[x];
    if (x === mark) {
      flush();
      text = "";
      const cursor = styled(cell.text || " ", cell.style);
      cursor.classList.add("terminal-cursor");
      out.push(cursor);
      style = null;
      continue;
    }
    if (cell.style !== style) {
      flush();
      [text, style] = ["", cell.style];
    }
    text += cell.text;
  }
  flush();
  if (!out.length) out.push(" ");
  return out;
}
