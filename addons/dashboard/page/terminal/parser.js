// What a program writes to its terminal, read byte by byte: text, and the sequences of ECMA-48 and xterm that shells, pagers and
// editors use. Others are read to their end and have no effect.

import { PLAIN } from "./screen.js";

const GRAPHICS = "`◆a▒b␉c␌d␍e␊f°g±h␤i␋j┘k┐l┌m└n┼o⎺p⎻q─r⎼s⎽t├u┤v┴w┬x│y≤z≥{π|≠}£~·";

export class Parser {
  #state = "text";
  #sequence = "";
  #charsets = ["B", "B"];
  #shift = 0;
  #decoder = new TextDecoder();
  #last = " ";

  /** `answer(text)` is what the terminal says back to the program. */
  constructor(screen, answer) {
    Object.assign(this, { screen, answer });
  }

  write(bytes) {
    for (const character of this.#decoder.decode(bytes, { stream: true })) this.#take(character);
  }

  #take(character) {
    const code = character.codePointAt(0);
    if (this.#state === "string") return this.#string(character, code);
    if (code < 0x20 || code === 0x7f) return this.#control(code);
    if (this.#state === "text") return this.#text(character);
    if (this.#state === "escape") return this.#escape(character);
    if (this.#state === "charset") return this.#charset(character);
    this.#sequence += character;
    if (code >= 0x40 && code <= 0x7e) {
      this.#state = "text";
      this.#execute(this.#sequence);
    } else if (this.#sequence.length > 200) this.#state = "text";
  }

  #text(character) {
    const at = this.#charsets[this.#shift] === "0" ? GRAPHICS.indexOf(character) : -1;
    this.#last = at >= 0 && at % 2 === 0 ? GRAPHICS[at + 1] : character;
    this.screen.put(this.#last);
  }

  #control(code) {
    const { screen } = this;
    if (code === 0x1b) {
      this.#state = "escape";
      this.#sequence = "";
    } else if (code === 0x18 || code === 0x1a) this.#state = "text";
    else if (code === 0x08) screen.step(-1, 0);
    else if (code === 0x09) screen.tab();
    else if (code >= 0x0a && code <= 0x0c) screen.lineFeed();
    else if (code === 0x0d) screen.move(0, screen.cursor.y);
    else if (code === 0x0e || code === 0x0f) this.#shift = code === 0x0e ? 1 : 0;
  }

  /** Titles and the like: up to BEL or ESC \. */
  #string(character, code) {
    if (code === 0x07 || (character === "\\" && this.#sequence.endsWith("\x1b"))) {
      this.#state = "text";
      const title = /^\][02];([^\x1b]*)/.exec(this.#sequence);
      if (title) this.screen.title = title[1].slice(0, 200);
    } else if (this.#sequence.length < 4096) this.#sequence += character;
    else if (code === 0x1b) this.#sequence = "\x1b";
  }

  #escape(character) {
    const { screen } = this;
    this.#state = "text";
    if (character === "[") this.#state = "sequence";
    else if ("]PX^_".includes(character)) {
      this.#state = "string";
      this.#sequence = character;
    } else if ("()*+".includes(character)) {
      this.#state = "charset";
      this.#sequence = character;
    } else if ("#%".includes(character)) this.#state = "charset";
    else if (character === "7") screen.save();
    else if (character === "8") screen.restore();
    else if (character === "D") screen.lineFeed();
    else if (character === "E") screen.lineFeed(), screen.move(0, screen.cursor.y);
    else if (character === "M") screen.reverseLineFeed();
    else if (character === "H") this.#setTab();
    else if (character === "=" || character === ">") screen.modes.keypad = character === "=";
    else if (character === "c") screen.reset();
  }

  #setTab() {
    const { screen } = this;
    screen.tabs ??= Array.from({ length: Math.ceil(screen.columns / 8) }, (_, at) => at * 8);
    screen.tabs = [...new Set([...screen.tabs, screen.cursor.x])].sort((one, other) => one - other);
  }

  #charset(character) {
    const place = "()".indexOf(this.#sequence);
    if (place >= 0) this.#charsets[place] = character;
    this.#state = "text";
  }

  #execute(sequence) {
    const [, mark, text, between, final] = /^([<=>?]?)([\d;:]*)([ !-/]*)(.)$/.exec(sequence) ?? [];
    if (final === undefined) return;
    const numbers = text.split(";").map((part) => (part === "" ? undefined : Number.parseInt(part, 10)));
    const value = (at, otherwise = 1) => numbers[at] || otherwise;
    if (mark === "?" && (final === "h" || final === "l")) return numbers.forEach((number) => this.#mode(number, final === "h"));
    if (mark === ">" && final === "c") return this.answer("\x1b[>0;10;1c");
    if (between === "!" && final === "p") return this.screen.reset();
    if (mark || between) return;
    SEQUENCES[final]?.call(this, this.screen, value, numbers, text);
  }

  #mode(number, isOn) {
    const { screen } = this;
    const name = { 1: "applicationCursor", 6: "origin", 7: "wrap", 25: "cursor", 2004: "bracketedPaste" }[number];
    if (name) screen.modes[name] = isOn;
    if (number === 6) screen.move(0, isOn ? screen.region[0] : 0);
    if (number === 1048 || number === 1049) isOn ? screen.save() : null;
    if ([47, 1047, 1049].includes(number)) screen.alternate(isOn);
    if (number === 1048 || number === 1049) isOn ? null : screen.restore();
  }

  repeat(count) {
    for (let left = Math.min(count, 10000); left > 0; left -= 1) this.screen.put(this.#last);
  }
}

/** By the last character of a control sequence. */
const SEQUENCES = {
  A: (screen, value) => screen.step(0, -value(0)),
  B: (screen, value) => screen.step(0, value(0)),
  C: (screen, value) => screen.step(value(0), 0),
  D: (screen, value) => screen.step(-value(0), 0),
  E: (screen, value) => (screen.step(0, value(0)), screen.move(0, screen.cursor.y)),
  F: (screen, value) => (screen.step(0, -value(0)), screen.move(0, screen.cursor.y)),
  G: (screen, value) => screen.move(value(0) - 1, screen.cursor.y),
  "`": (screen, value) => screen.move(value(0) - 1, screen.cursor.y),
  H: (screen, value) => screen.move(value(1) - 1, value(0) - 1 + (screen.modes.origin ? screen.region[0] : 0)),
  f: (screen, value) => screen.move(value(1) - 1, value(0) - 1 + (screen.modes.origin ? screen.region[0] : 0)),
  d: (screen, value) => screen.move(screen.cursor.x, value(0) - 1),
  I: (screen, value) => screen.tab(value(0)),
  Z: (screen, value) => screen.tab(-value(0)),
  J: (screen, value) => screen.eraseInScreen(value(0, 0)),
  K: (screen, value) => screen.eraseInLine(value(0, 0)),
  L: (screen, value) => screen.insertLines(value(0)),
  M: (screen, value) => screen.deleteLines(value(0)),
  P: (screen, value) => screen.deleteCells(value(0)),
  X: (screen, value) => screen.erase(screen.cursor.y, screen.cursor.x, screen.cursor.x + value(0)),
  "@": (screen, value) => screen.insertCells(value(0)),
  S: (screen, value) => screen.scroll(value(0)),
  T: (screen, value) => screen.scroll(-value(0)),
  b(screen, value) {
    this.repeat(value(0));
  },
  r: (screen, value) => screen.setRegion(value(0) - 1, value(1, screen.rows) - 1),
  s: (screen) => screen.save(),
  u: (screen) => screen.restore(),
  h: (screen, value) => value(0, 0) === 4 && (screen.modes.insert = true),
  l: (screen, value) => value(0, 0) === 4 && (screen.modes.insert = false),
  m: (screen, value, numbers, text) => (screen.style = restyled(screen.style, text)),
  g: (screen, value) => (screen.tabs = value(0, 0) === 3 ? [] : (screen.tabs ?? []).filter((stop) => stop !== screen.cursor.x)),
  c(screen) {
    this.answer("\x1b[?62;22c");
  },
  n(screen, value) {
    if (value(0) === 6) this.answer(`\x1b[${screen.cursor.y + 1};${screen.cursor.x + 1}R`);
    else if (value(0) === 5) this.answer("\x1b[0n");
  },
};

const ON = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 8: "hidden", 9: "strike" };
const OFF = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 28: ["hidden"], 29: ["strike"], 39: ["fg"], 49: ["bg"] };

/** A style after the numbers of `CSI … m`. Colours are 0 to 255, or `#rrggbb`. */
export function restyled(style, text) {
  const numbers = text.split(/[;:]/).map((part) => Number.parseInt(part, 10) || 0);
  let next = { ...style };
  for (let at = 0; at < numbers.length; at += 1) {
    const number = numbers[at];
    if (number === 0) next = {};
    else if (ON[number]) next[ON[number]] = true;
    else if (OFF[number]) OFF[number].forEach((name) => delete next[name]);
    else if (number >= 30 && number <= 37) next.fg = number - 30;
    else if (number >= 40 && number <= 47) next.bg = number - 40;
    else if (number >= 90 && number <= 97) next.fg = number - 82;
    else if (number >= 100 && number <= 107) next.bg = number - 92;
    else if (number === 38 || number === 48) {
      const isIndexed = numbers[at + 1] === 5;
      const rgb = numbers.slice(at + 2, at + 5);
      const colour = isIndexed ? numbers[at + 2] & 255 : `#${rgb.map((part) => (part & 255).toString(16).padStart(2, "0")).join("")}`;
      next[number === 38 ? "fg" : "bg"] = colour;
      at += isIndexed ? 2 : 4;
    }
  }
  return Object.keys(next).length ? next : PLAIN;
}
