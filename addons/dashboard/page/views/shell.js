// The frame of every view: navigation, namespaces, search.

import { access } from "../lib/api.js";
import { ofKey, path, place } from "../lib/discovery.js";
import { el, fill } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { chosen } from "../lib/state.js";
import { Watch } from "../lib/watch.js";
import { button } from "./parts.js";
import { edit } from "./create.js";
import { GROUPS } from "./kinds.js";
import { openSearch } from "./search.js";

/** Builds the frame. `begin(path)` empties it for a view and marks where that is in the navigation. */
export function shell(app) {
  const main = el("main.view", { id: "view", tabIndex: -1 });
  const nav = navigation();
  const toggle = el("button.ghost.nav-toggle", { type: "button", aria: { label: "Navigation", expanded: false }, onclick: () => open() }, icon("menu"));
  const open = (wanted) => toggle.setAttribute("aria-expanded", nav.classList.toggle("open", wanted));
  fill(app, el("a.skip", { href: "#view", onclick: (event) => (event.preventDefault(), main.focus()) }, "Skip to content"),
    el("header.top", toggle, brand(), namespacePicker(), searchButton(), button("Create", "plus", () => edit(), "primary")),
    el(".body", nav, main));
  addEventListener("keydown", (event) => shortcut(event));
  return {
    begin(where) {
      open(false);
      nav.querySelectorAll("a").forEach((link) => {
        const isHere = link.dataset.path === where || (link.dataset.path !== "/" && where.startsWith(link.dataset.path.replace("/list/", "/object/")));
        if (isHere) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      });
      return fill(main);
    },
  };
}

function brand() {
  const name = access.about?.profile ?? location.hostname;
  return el("a.brand", { href: "#/" }, el("img", { src: "icon.svg", alt: "" }), el("span", "Coracle"), el("span.brand-cluster", name));
}

function navigation() {
  const entry = (title, where, symbol) => el("a.nav-link", { href: `#${where}`, data: { path: where } }, symbol && icon(symbol), el("span", title));
  const group = ([title, symbol, entries]) => {
    const known = entries.filter(([key]) => ofKey(key));
    return known.length > 0 && el(".nav-group", el("h2", icon(symbol), title), known.map(([key, name]) => entry(name, place(ofKey(key)).slice(1))));
  };
  return el("nav.nav", { aria: { label: "Kinds" } },
    entry("Overview", "/", "overview"), entry("Charts", "/charts", "charts"), access.about && entry("Addons", "/addons", "addons"),
    GROUPS.map(group), el(".nav-group", el("h2", icon("custom"), "More"), entry("All kinds", "/kinds"),
      ofKey("apiextensions.k8s.io/customresourcedefinitions") && entry("Definitions", "/list/apiextensions.k8s.io/customresourcedefinitions")),
    el("p.nav-foot", access.about ? `coracle ${access.about.version}` : ""));
}

function namespacePicker() {
  const select = el("select", { aria: { label: "Namespace" }, data: { namespace: "" }, onchange: () => (chosen.namespace = select.value) });
  const draw = (names) => {
    const all = [...new Set([...names, ...(chosen.namespace ? [chosen.namespace] : [])])].sort();
    fill(select, el("option", { value: "" }, "All namespaces"), all.map((name) => el("option", { value: name }, name)));
    select.value = chosen.namespace;
  };
  draw([]);
  const watch = new Watch(path(ofKey("/namespaces") ?? { version: "v1", name: "namespaces" }), { table: true, onchange: () => draw(watch.list.map((row) => row.object.metadata.name)) });
  addEventListener("coracle:namespace", () => (select.value = chosen.namespace));
  return el("label.namespace", el("span", "Namespace"), select);
}

const searchButton = () =>
  el("button.search-open", { type: "button", onclick: () => openSearch() }, icon("search"), el("span", "Search everything"), el("kbd", "Ctrl K"));

/** Keys that work everywhere but where somebody writes. */
function shortcut(event) {
  const isWriting = event.target.closest("input, textarea, select, .terminal");
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.target.closest(".terminal")) openSearch();
  else if (event.key === "/" && !isWriting) (document.querySelector("[data-filter]")?.focus() ?? openSearch());
  else return;
  event.preventDefault();
}

