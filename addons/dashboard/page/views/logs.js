// Logs that follow: of one container, or of all pods of a workload at once.

import { access, lines, stream } from "../lib/api.js";
import { ofKey, path } from "../lib/discovery.js";
import { el, fill, framed, marked } from "../lib/dom.js";
import { PLAIN } from "../terminal/screen.js";
import { restyled } from "../terminal/parser.js";
import { styled } from "../terminal/style.js";
import { button } from "./parts.js";

/** Lines that are kept on the page, and read at first. */
const KEPT = 10000;
const FIRST = 1000;
/** Pods that are followed at once; a browser has few connections where there are no sockets. */
const mostPods = () => (access.about ? 30 : 2);

/** The tab with the log. */
export function logsView(target, scope, about) {
  const isPod = about.resource.key === "/pods";
  const options = { wrap: true, follow: true, timestamps: false, previous: false };
  const box = el(".log", { tabIndex: 0, role: "log", aria: { label: "Log", live: "off" } });
  const note = el("span.quiet", { role: "status" });
  const pods = el("select", { aria: { label: "Pod" }, onchange: () => restart() });
  const containers = el("select", { aria: { label: "Container" }, onchange: () => restart() });
  const search = el("input.filter", { type: "search", placeholder: "Find in the log", aria: { label: "Find in the log" }, data: { filter: "" } });
  const log = new Log(box, options, () => search.value.trim(), note);
  let abort = null;

  const check = (name, label, work) => el("label.check", el("input", { type: "checkbox", checked: options[name], onchange: (event) => ((options[name] = event.target.checked), work()) }), label);
  const listPods = () => (isPod ? [about.object] : about.pods);
  const choices = () => {
    const names = listPods().map((pod) => pod.metadata.name).sort();
    if (!isPod && pods.names !== names.join()) {
      const before = pods.value;
      fill(pods, el("option", { value: "" }, `All pods (${names.length})`), names.map((name) => el("option", { value: name }, name)));
      pods.value = names.includes(before) ? before : "";
      pods.names = names.join();
      return true;
    }
    return false;
  };
  const containersOf = () => {
    const spec = listPods()[0]?.spec ?? about.object.spec?.template?.spec ?? {};
    return [...(spec.containers ?? []), ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])].map((one) => one.name);
  };
  const restart = () => {
    abort?.abort();
    abort = new AbortController();
    log.clear();
    const chosen = listPods().filter((pod) => !pods.value || pod.metadata.name === pods.value).slice(0, mostPods());
    note.textContent = chosen.length ? "" : "It has no pods.";
    chosen.forEach((pod, at) => follow(pod, at, chosen.length > 1));
  };
  const follow = async (pod, at, isOne) => {
    const { signal } = abort;
    const where = `${path(ofKey("/pods"), pod.metadata.namespace, pod.metadata.name, "log")}`;
    const query = new URLSearchParams({ container: containers.value, tailLines: isOne ? Math.ceil(FIRST / 5) : FIRST, timestamps: "true" });
    if (options.previous) query.set("previous", "true");
    else query.set("follow", "true");
    const source = isOne ? { name: pod.metadata.name, tone: at % 6 } : null;
    try {
      for await (const batch of lines(stream(`${where}?${query}`, { accept: "*/*", signal }))) {
        if (signal.aborted) return;
        log.add(batch.filter(Boolean), source);
      }
      if (!signal.aborted) note.textContent = options.previous ? "This is the log of the container before." : "The container has ended.";
    } catch (error) {
      if (!signal.aborted) note.textContent = error.message;
    }
  };
  const download = async () => {
    const text = log.text();
    const link = el("a", { download: `${about.name}.log` });
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  choices();
  fill(containers, containersOf().map((name) => el("option", { value: name }, name)));
  containers.value = about.object.metadata.annotations?.["kubectl.kubernetes.io/default-container"] ?? containersOf()[0] ?? "";
  fill(target, el(".log-bar", !isPod && el("label.field", el("span", "Pod"), pods), el("label.field", el("span", "Container"), containers),
    check("follow", "Follow", () => log.stick()), check("wrap", "Wrap", () => log.look()), check("timestamps", "Times", () => log.look()),
    isPod && check("previous", "Previous", restart), el(".spacer"), note, search, button("Save", "down", download)), box);
  search.addEventListener("input", () => log.redraw());
  box.addEventListener("scroll", () => log.scrolled(target.querySelector('input[type="checkbox"]')), { passive: true });
  scope.add(() => abort?.abort());
  if (!isPod) scope.add(about.onchange(() => choices() && restart()));
  log.look();
  restart();
}

/** The lines, and the elements that show them. */
class Log {
  #all = [];
  #new = [];
  #draw = framed(() => this.#paint());

  constructor(box, options, query, note) {
    Object.assign(this, { box, options, query, note });
  }

  clear() {
    this.#all = [];
    this.#new = [];
    fill(this.box);
  }

  add(texts, source) {
    for (const text of texts) {
      const cut = text.indexOf(" ");
      this.#new.push({ time: text.slice(0, cut), text: text.slice(cut + 1), source });
    }
    this.#draw();
  }

  text() {
    return this.#all.map(({ time, text, source }) => `${source ? `${source.name} ` : ""}${this.options.timestamps ? `${time} ` : ""}${text}\n`).join("");
  }

  look() {
    this.box.classList.toggle("wrapped", this.options.wrap);
    this.box.classList.toggle("timed", this.options.timestamps);
    this.stick();
  }

  /** Goes to the end and stays there. */
  stick() {
    if (this.options.follow) this.box.scrollTop = this.box.scrollHeight;
  }

  /** Who scrolls up reads, and is not to be pulled down again. */
  scrolled(check) {
    const isAtEnd = this.box.scrollTop + this.box.clientHeight >= this.box.scrollHeight - 8;
    if (isAtEnd === this.options.follow) return;
    this.options.follow = check.checked = isAtEnd;
  }

  redraw() {
    fill(this.box);
    this.#new = this.#all;
    this.#all = [];
    this.#paint();
  }

  #paint() {
    const wanted = this.query().toLowerCase();
    const fresh = this.#new;
    this.#new = [];
    if (fresh.some((line) => line.source)) fresh.sort((one, other) => (one.time < other.time ? -1 : 1));
    this.#all.push(...fresh);
    const gone = Math.max(0, this.#all.length - KEPT);
    if (gone) this.#all.splice(0, gone);
    const shown = fresh.slice(-KEPT).filter((line) => !wanted || line.text.toLowerCase().includes(wanted));
    const part = document.createDocumentFragment();
    shown.forEach((line) => part.append(row(line, wanted)));
    this.box.append(part);
    while (this.box.children.length > KEPT) this.box.firstChild.remove();
    this.stick();
  }
}

function row({ time, text, source }, wanted) {
  return el(".log-line", el("span.log-time", time.replace(/(\.\d{3})\d*/, "$1")), source && el(`span.log-source.tone-${source.tone}`, source.name), el("span.log-text", words(text, wanted)));
}

/** A line with its colours, or with what was searched for marked. */
function words(text, wanted) {
  if (!text.includes("\x1b")) return marked(text, wanted);
  const out = [];
  let style = PLAIN;
  for (const part of text.split(/(\x1b\[[\d;:]*m)/)) {
    const change = /^\x1b\[([\d;:]*)m$/.exec(part);
    if (change) style = restyled(style, change[1]);
    else if (part) out.push(style === PLAIN ? part : styled(part, style));
  }
  return out;
}

