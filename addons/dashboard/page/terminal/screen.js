// What a terminal shows: cells in lines, a cursor, what scrolled away, and the other screen that full-screen programs use.

/** How many lines that scrolled away are kept. */
const KEPT = 5000;

export const PLAIN = Object.freeze({});
const BLANK = Object.freeze({ text: " ", style: PLAIN, width: 1 });

const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}]|[\u{20000}-\u{3fffd}]/u;
const MARK = /^[\p{Mn}\p{Me}\u200d\ufe0f]$/u;

export class Screen {
  constructor(columns, rows) {
    Object.assign(this, { columns, rows, history: [], dropped: 0, title: "", modes: { wrap: true, cursor: true }, style: PLAIN });
    this.lines = Array.from({ length: rows }, () => this.#blankLine());
    this.cursor = { x: 0, y: 0, pending: false };
    this.region = [0, rows - 1];
    this.saved = null;
    this.main = null;
    this.tabs = null;
  }

  #blankLine() {
    const cell = this.style?.bg === undefined ? BLANK : { text: " ", style: { bg: this.style.bg }, width: 1 };
    return Array.from({ length: this.columns }, () => cell);
  }

  /** Other sizes; lines are cut or get blanks, the cursor stays in its line. */
  resize(columns, rows) {
    const fit = (line) => (line.length > columns ? line.slice(0, columns) : [...line, ...Array(columns - line.length).fill(BLANK)]);
    const adapt = (lines, cursor, keeps) => {
      const cut = lines.map(fit);
      while (cut.length > rows) {
        if (cursor.y < cut.length - 1) cut.pop();
        else {
          const gone = cut.shift();
          if (keeps) this.#keep(gone);
          cursor.y = Math.max(0, cursor.y - 1);
        }
      }
      while (cut.length < rows) cut.push(Array(columns).fill(BLANK));
      Object.assign(cursor, { x: Math.min(cursor.x, columns - 1), y: Math.min(cursor.y, rows - 1), pending: false });
      return cut;
    };
    Object.assign(this, { columns, rows, region: [0, rows - 1] });
    this.lines = adapt(this.lines, this.cursor, !this.main);
    if (this.main) this.main.lines = adapt(this.main.lines, this.main.cursor, true);
  }

  #keep(line) {
    this.history.push(line);
    if (this.history.length <= KEPT) return;
    this.history.shift();
    this.dropped += 1;
  }

  /** Writes one character at the cursor. */
  put(text) {
    const { cursor } = this;
    if (MARK.test(text)) {
      const before = this.lines[cursor.y][Math.max(0, cursor.x - (cursor.pending ? 0 : 1))];
      const at = this.lines[cursor.y].indexOf(before);
      this.lines[cursor.y][at] = { ...before, text: before.text + text };
      return;
    }
    const width = text.codePointAt(0) > 0x10ff && WIDE.test(text) ? 2 : 1;
    if (cursor.pending || cursor.x + width > this.columns) {
      if (this.modes.wrap) {
        cursor.x = 0;
        this.lineFeed();
      } else cursor.x = this.columns - width;
      cursor.pending = false;
    }
    const line = this.lines[cursor.y];
    if (this.modes.insert) line.splice(cursor.x, 0, ...Array(width).fill(BLANK)), (line.length = this.columns);
    line[cursor.x] = { text, style: this.style, width };
    if (width === 2 && cursor.x + 1 < this.columns) line[cursor.x + 1] = { text: "", style: this.style, width: 0 };
    if (cursor.x + width >= this.columns) cursor.pending = true;
    else cursor.x += width;
  }

  lineFeed() {
    if (this.cursor.y === this.region[1]) this.scroll(1);
    else if (this.cursor.y < this.rows - 1) this.cursor.y += 1;
    this.cursor.pending = false;
  }

  reverseLineFeed() {
    if (this.cursor.y === this.region[0]) this.scroll(-1);
    else if (this.cursor.y > 0) this.cursor.y -= 1;
    this.cursor.pending = false;
  }

  /** Moves the region's lines up by `count`, or down where it is negative. */
  scroll(count, from = this.region[0]) {
    const to = this.region[1];
    for (let left = Math.min(Math.abs(count), to - from + 1); left > 0; left -= 1) {
      const [gone] = this.lines.splice(count > 0 ? from : to, 1);
      if (count > 0 && from === 0 && !this.main && this.region[0] === 0) this.#keep(gone);
      this.lines.splice(count > 0 ? to : from, 0, this.#blankLine());
    }
  }

  /** To a place of the screen, or of the region where the mode says so. */
  move(x, y) {
    const [top, bottom] = this.modes.origin ? this.region : [0, this.rows - 1];
    this.cursor.x = clamp(x, 0, this.columns - 1);
    this.cursor.y = clamp(y, top, bottom);
    this.cursor.pending = false;
  }

  /** By so many cells; within the region if the cursor is in it. */
  step(dx, dy) {
    const { x, y } = this.cursor;
    const inside = y >= this.region[0] && y <= this.region[1];
    const [top, bottom] = inside ? this.region : [0, this.rows - 1];
    this.cursor.x = clamp(x + dx, 0, this.columns - 1);
    this.cursor.y = clamp(y + dy, top, bottom);
    this.cursor.pending = false;
  }

  tab(count = 1) {
    const stops = this.tabs ?? Array.from({ length: Math.ceil(this.columns / 8) }, (_, at) => at * 8);
    for (; count > 0; count -= 1) this.cursor.x = stops.find((stop) => stop > this.cursor.x) ?? this.columns - 1;
    for (; count < 0; count += 1) this.cursor.x = stops.findLast((stop) => stop < this.cursor.x) ?? 0;
    this.cursor.pending = false;
  }

  /** Blanks cells of a line, up to `to`. */
  erase(y, from, to) {
    const blank = this.#blankLine()[0];
    for (let x = from; x < Math.min(to, this.columns); x += 1) this.lines[y][x] = blank;
  }

  /** 0: from the cursor on, 1: up to it, 2: the line. */
  eraseInLine(how) {
    const { x, y } = this.cursor;
    this.erase(y, how === 0 ? x : 0, how === 1 ? x + 1 : this.columns);
  }

  /** The same for the screen; 3: what scrolled away. */
  eraseInScreen(how) {
    if (how === 3) return void ((this.dropped += this.history.length), (this.history = []));
    if (how === 2 && !this.main) {
      // What was on the screen can be read further up.
      const last = this.lines.findLastIndex((line) => line.some((cell) => cell !== BLANK));
      this.lines.slice(0, last + 1).forEach((line) => this.#keep(line));
    }
    for (let y = 0; y < this.rows; y += 1) {
      if (how === 2 || (how === 0 && y > this.cursor.y) || (how === 1 && y < this.cursor.y)) this.lines[y] = this.#blankLine();
    }
    if (how !== 2) this.eraseInLine(how);
  }

  insertCells(count) {
    const line = this.lines[this.cursor.y];
    line.splice(this.cursor.x, 0, ...this.#blankLine().slice(0, count));
    line.length = this.columns;
  }

  deleteCells(count) {
    const line = this.lines[this.cursor.y];
    line.splice(this.cursor.x, count);
    line.push(...this.#blankLine().slice(0, this.columns - line.length));
  }

  insertLines(count) {
    if (this.cursor.y >= this.region[0] && this.cursor.y <= this.region[1]) this.scroll(-count, this.cursor.y);
  }

  deleteLines(count) {
    const { y } = this.cursor;
    if (y < this.region[0] || y > this.region[1]) return;
    for (let left = Math.min(count, this.region[1] - y + 1); left > 0; left -= 1) {
      this.lines.splice(y, 1);
      this.lines.splice(this.region[1], 0, this.#blankLine());
    }
  }

  setRegion(top, bottom) {
    if (bottom > top) this.region = [clamp(top, 0, this.rows - 1), clamp(bottom, 0, this.rows - 1)];
    this.move(0, this.modes.origin ? this.region[0] : 0);
  }

  save() {
    this.saved = { ...this.cursor, style: this.style };
  }

  restore() {
    const { style = PLAIN, ...cursor } = this.saved ?? { x: 0, y: 0, pending: false };
    Object.assign(this, { cursor, style });
    this.move(cursor.x, cursor.y);
  }

  /** Goes to the other screen, or back from it. */
  alternate(isOn) {
    if (isOn === Boolean(this.main)) return;
    if (isOn) {
      this.main = { lines: this.lines, cursor: { ...this.cursor } };
      this.lines = Array.from({ length: this.rows }, () => this.#blankLine());
    } else {
      Object.assign(this, { lines: this.main.lines, cursor: this.main.cursor, main: null });
    }
    this.region = [0, this.rows - 1];
  }

  reset() {
    const { columns, rows, history, dropped } = this;
    Object.assign(this, new Screen(columns, rows), { history, dropped });
  }
}

const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
