// A table of any length: only the rows that are seen are elements. Sorted by any column, moved through by keys.

import { el, fill, framed } from "./dom.js";
import { compare } from "./format.js";

const ROW = 40;
const MORE = 8;
/** How many rows say how wide columns are; how wide a letter is, and what is beside the letters. */
const MEASURED = 200;
const [LETTER, PADDING] = [7.2, 20];

/**
 * `columns`: `[{ name, cell(item) → text, render(item, text) → node, sort(item) → value }]`; `open(item)` on a click,
 * `href(item)` for the row's link; `key(item)` says which rows are the same.
 */
export class Table {
  #columns = [];
  #items = [];
  #shown = [];
  #order = { at: 0, down: false };
  #rows = new Map();
  #cursor = -1;

  constructor({ key, href, label, empty }) {
    Object.assign(this, { key, href, empty });
    this.head = el(".table-head", { role: "row" });
    this.body = el(".table-body", { role: "rowgroup" });
    this.message = el(".table-empty", { hidden: true });
    this.element = el(".table", { role: "table", aria: { label }, tabIndex: 0 }, this.head, this.body, this.message);
    this.#draw = framed(() => this.#paint());
    this.element.addEventListener("scroll", this.#draw, { passive: true });
    this.element.addEventListener("keydown", (event) => this.#press(event));
    this.sized = new ResizeObserver(this.#draw);
    this.sized.observe(this.element);
  }
  #draw;

  end() {
    this.sized.disconnect();
  }

  set columns(columns) {
    const names = (list) => list.map((column) => column.name).join("\n");
    if (names(columns) === names(this.#columns)) return void (this.#columns = columns);
    this.#columns = columns;
    this.#rows.forEach((row) => row.remove());
    this.#rows.clear();
    this.#writeHead();
  }

  /** Other rows; those that are shown already are changed in place. */
  update(items) {
    this.#items = items;
    this.#sort();
    this.#measure();
    this.element.setAttribute("aria-rowcount", items.length);
    this.#draw();
  }

  #writeHead() {
    fill(this.head, this.#columns.map((column, at) => {
      const isSorted = this.#order.at === at;
      const sort = isSorted ? (this.#order.down ? "descending" : "ascending") : "none";
      return el("button.table-title", { role: "columnheader", aria: { sort }, title: column.title, onclick: () => this.#orderBy(at) }, column.name);
    }));
  }

  #orderBy(at) {
    this.#order = { at, down: this.#order.at === at && !this.#order.down };
    this.#writeHead();
    this.#sort();
    this.#draw();
  }

  #sort() {
    const column = this.#columns[this.#order.at];
    if (!column) return void (this.#shown = this.#items);
    const read = column.sort ?? column.cell;
    const order = (one, other) =>
      typeof one === "number" && typeof other === "number" ? one - other : compare(String(one ?? ""), String(other ?? ""));
    const sign = this.#order.down ? -1 : 1;
    const keyed = this.#items.map((item) => [read(item), this.key(item), item]);
    keyed.sort((one, other) => sign * order(one[0], other[0]) || compare(one[1], other[1]));
    this.#shown = keyed.map((entry) => entry[2]);
  }

  #measure() {
    const some = this.#items.slice(0, MEASURED);
    const widths = this.#columns.map((column) => {
      const longest = some.reduce((most, item) => Math.max(most, column.cell(item).length + (column.render ? 3 : 0)), column.name.length + 2);
      const length = Math.min(Math.max(longest, 4), 44);
      return { least: Math.min(length, 24) * LETTER + PADDING, share: length };
    });
    const least = widths.reduce((sum, width) => sum + width.least, 0);
    this.element.style.setProperty("--columns", widths.map(({ least, share }) => `minmax(${Math.round(least)}px, ${share}fr)`).join(" "));
    this.element.style.setProperty("--least", `${Math.round(least) + 16}px`);
  }

  #paint() {
    const items = this.#shown;
    this.message.hidden = items.length > 0;
    this.message.textContent = items.length ? "" : this.empty();
    this.body.style.height = `${items.length * ROW}px`;
    const from = Math.max(0, Math.floor(this.element.scrollTop / ROW) - MORE);
    const to = Math.min(items.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW) + MORE);
    const kept = new Set();
    for (let at = from; at < to; at += 1) {
      const item = items[at];
      const key = this.key(item);
      kept.add(key);
      const row = this.#rows.get(key) ?? this.#makeRow(key);
      this.#writeRow(row, item, at);
    }
    for (const [key, row] of this.#rows) {
      if (kept.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
  }

  #makeRow(key) {
    const row = el("a.table-row", { role: "row", tabIndex: -1, id: `row-${key}` });
    this.#rows.set(key, row);
    this.body.append(row);
    return row;
  }

  #writeRow(row, item, at) {
    row.style.transform = `translateY(${at * ROW}px)`;
    row.setAttribute("aria-rowindex", at + 1);
    row.classList.toggle("current", at === this.#cursor);
    const cells = this.#columns.map((column) => column.cell(item));
    const written = cells.join("\u0000");
    if (row.written === written) return;
    const isNew = row.written === undefined;
    row.written = written;
    const href = this.href?.(item);
    if (href) row.setAttribute("href", href);
    fill(row, this.#columns.map((column, place) => {
      const content = column.render ? column.render(item, cells[place]) : cells[place];
      return el("span.table-cell", { role: "cell", title: cells[place] }, content);
    }));
    if (!isNew && item.changed && performance.now() - item.changed < 1000) flash(row);
  }

  #press(event) {
    const moves = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 12, PageUp: -12, Home: -1e9, End: 1e9 };
    if (event.key === "Enter" && this.#shown[this.#cursor] && event.target === this.element) {
      location.hash = this.href(this.#shown[this.#cursor]);
    } else if (event.key in moves && !event.ctrlKey && !event.metaKey && this.#shown.length) {
      this.#cursor = Math.min(Math.max(this.#cursor + moves[event.key], 0), this.#shown.length - 1);
      const [top, height] = [this.#cursor * ROW, this.element.clientHeight - ROW];
      if (top < this.element.scrollTop) this.element.scrollTop = top;
      if (top + ROW > this.element.scrollTop + height) this.element.scrollTop = top + ROW - height;
      this.element.setAttribute("aria-activedescendant", `row-${this.key(this.#shown[this.#cursor])}`);
      this.#draw();
    } else return;
    event.preventDefault();
  }
}

function flash(row) {
  row.classList.remove("changed");
  // The style has to be read in between, or the animation does not begin again.
  void row.offsetWidth;
  row.classList.add("changed");
}
