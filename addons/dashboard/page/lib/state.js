// What is chosen for the whole page, and what ends with a view.

const NAMESPACE = "coracle.namespace";

/** The namespace whose objects lists show; empty is all of them. */
export const chosen = {
  get namespace() {
    return localStorage.getItem(NAMESPACE) ?? "";
  },
  set namespace(name) {
    localStorage.setItem(NAMESPACE, name);
    dispatchEvent(new CustomEvent("coracle:namespace"));
  },
};

/** What a view has to end when another one comes: watches, timers, terminals. */
export class Scope {
  #endings = [];
  add(end) {
    this.#endings.push(end);
  }
  every(milliseconds, work) {
    const timer = setInterval(work, milliseconds);
    this.add(() => clearInterval(timer));
  }
  listen(target, name, work) {
    target.addEventListener(name, work);
    this.add(() => target.removeEventListener(name, work));
  }
  end() {
    const all = this.#endings;
    this.#endings = [];
    all.forEach((end) => end());
  }
}
