// A list that stays true: one list, then one watch from its version. A watch that ends goes on where it ended; one that is too
// old (410) begins with a list again.
//
//     listing ──▶ watching ──▶ (ends) ──▶ watching
//        ▲            │ 410                  │ no connection: again after a pause, which is shown
//        └────────────┴──────────────────────┘

import { access, getJson, lines, stream } from "./api.js";

const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PAUSES = [500, 1000, 2000, 5000, 10000];

/** Without the sockets of `coracle dashboard` a browser has six connections for all: what is beyond these is listed again instead. */
const MOST = 3;
const AGAIN = 10000;
let open = 0;

/** Follows what `path` lists until `stop`. `onchange(watch)` is called after every change, once a burst. */
export class Watch {
  /** Objects, or rows of a table, by uid. */
  items = new Map();
  columns = [];
  state = "listing";
  error = null;
  #abort = new AbortController();
  #version = "";

  constructor(path, { query = "", table = false, onchange }) {
    this.path = path;
    this.query = query;
    this.accept = table ? TABLE : "application/json";
    this.isTable = table;
    this.onchange = onchange;
    this.#run();
  }

  stop() {
    this.#abort.abort();
  }

  get list() {
    return [...this.items.values()];
  }

  async #run() {
    let failures = 0;
    const signal = this.#abort.signal;
    while (!signal.aborted) {
      try {
        if (!this.#version) await this.#list();
        failures = 0;
        await this.#watch();
      } catch (error) {
        if (signal.aborted) return;
        if (error.code === 410) {
          this.#version = "";
          continue;
        }
        this.#tell("waiting", error);
        // Without the right to look there is nothing to wait for.
        if ([401, 403, 404, 405].includes(error.code)) return this.#tell("failed", error);
        await pause(PAUSES[Math.min(failures++, PAUSES.length - 1)], signal);
      }
    }
  }

  #tell(state, error = null) {
    this.state = state;
    this.error = error;
    if (!this.#abort.signal.aborted) this.onchange(this);
  }

  async #list() {
    const answer = await getJson(join(this.path, this.query), { accept: this.accept, signal: this.#abort.signal });
    this.items = new Map();
    if (this.isTable) {
      this.columns = answer.columnDefinitions ?? [];
      for (const row of answer.rows ?? []) this.items.set(row.object.metadata.uid, row);
    } else for (const item of answer.items ?? []) this.items.set(item.metadata.uid, item);
    this.#version = answer.metadata?.resourceVersion ?? "";
    this.#tell("watching");
  }

  async #watch() {
    const query = `${this.query}${this.query && "&"}watch=1&allowWatchBookmarks=true&resourceVersion=${this.#version}`;
    const signal = this.#abort.signal;
    if (this.state !== "watching") this.#tell("watching");
    if (!access.about && open >= MOST) {
      this.#version = "";
      return pause(AGAIN, signal);
    }
    open += 1;
    try {
      for await (const batch of lines(stream(join(this.path, query), { accept: this.accept, signal }))) {
        if (signal.aborted) return;
        for (const line of batch) if (line) this.#take(JSON.parse(line));
        this.onchange(this);
      }
    } finally {
      open -= 1;
    }
    // A server that ends watches at once is not to be asked in a circle.
    await pause(100, signal);
  }

  #take({ type, object }) {
    if (type === "ERROR") throw Object.assign(new Error(object.message), { code: object.code });
    const rows = this.isTable && object.kind === "Table" ? object.rows ?? [] : [object];
    for (const row of rows) {
      const metadata = (row.object ?? row).metadata;
      if (metadata?.resourceVersion) this.#version = metadata.resourceVersion;
      if (type === "BOOKMARK" || !metadata?.uid) continue;
      if (type === "DELETED") this.items.delete(metadata.uid);
      else {
        row.changed = performance.now();
        this.items.set(metadata.uid, row);
      }
    }
    if (this.isTable && type === "BOOKMARK" && object.metadata?.resourceVersion) this.#version = object.metadata.resourceVersion;
  }
}

const join = (path, query) => (query ? `${path}?${query}` : path);

/** Waits; an abort ends it. */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** Several watches that end together. */
export class Watches {
  all = [];
  add(path, options) {
    const watch = new Watch(path, options);
    this.all.push(watch);
    return watch;
  }
  stop() {
    this.all.forEach((watch) => watch.stop());
    this.all = [];
  }
}
