// A place to write YAML: a text area over its own coloured copy, with numbers of lines.

import { el, fill, framed } from "../lib/dom.js";
import { coloured, difference } from "../lib/yaml.js";

/** Longer texts are shown without colours. */
const COLOURED = 5000;

/** An editor; `text` is read and written. `onsave` answers Ctrl-S. */
export class Editor {
  constructor({ label, onsave, onchange, readOnly = false }) {
    this.area = el("textarea.editor-text", { spellcheck: false, autocapitalize: "off", wrap: "off", readOnly, aria: { label } });
    this.copy = el("pre.editor-copy", { aria: { hidden: true } });
    this.numbers = el("pre.editor-numbers", { aria: { hidden: true } });
    this.element = el(".editor", this.numbers, el(".editor-frame", this.copy, this.area));
    this.#draw = framed(() => this.#paint());
    this.area.addEventListener("input", () => (this.#draw(), onchange?.()));
    this.area.addEventListener("scroll", () => this.#follow(), { passive: true });
    this.area.addEventListener("keydown", (event) => this.#press(event, onsave));
  }
  #draw;

  get text() {
    return this.area.value;
  }
  set text(text) {
    this.area.value = text;
    this.#draw();
  }

  #paint() {
    const lines = this.text.split("\n");
    this.numbers.textContent = lines.map((_, at) => at + 1).join("\n");
    if (lines.length > COLOURED) fill(this.copy, this.text);
    else fill(this.copy, lines.map((line) => [coloured(line), "\n"]));
    this.#follow();
  }

  #follow() {
    this.copy.style.transform = `translate(${-this.area.scrollLeft}px, ${-this.area.scrollTop}px)`;
    this.numbers.style.transform = `translateY(${-this.area.scrollTop}px)`;
  }

  #press(event, onsave) {
    if ((event.ctrlKey || event.metaKey) && event.key === "s") onsave?.();
    else if (event.key === "Tab" && !event.shiftKey && !this.area.readOnly && !this.left) document.execCommand("insertText", false, "  ");
    else {
      // After Escape the next Tab leaves, so that the keyboard is not caught.
      this.left = event.key === "Escape";
      return;
    }
    event.preventDefault();
  }
}

/** What differs between two texts, as a block. */
export const differenceView = (before, after) =>
  el("pre.difference", difference(before, after).map(([sign, line]) => el(`span.${{ "+": "added", "-": "removed", " ": "same" }[sign]}`, `${sign} ${line}\n`)));
