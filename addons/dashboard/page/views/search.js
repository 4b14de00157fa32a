// One box for everything: kinds, namespaces, objects by name.

import { access, getJson } from "../lib/api.js";
import { ofKey, path, place, resources } from "../lib/discovery.js";
import { el, fill, marked } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { chosen } from "../lib/state.js";
import { SEARCHED } from "./kinds.js";

const METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";
const MOST = 60;

/** Opens the box; names of objects are read then. */
export function openSearch() {
  if (document.querySelector(".palette")) return;
  const input = el("input", { type: "search", placeholder: "A pod, a service, a kind, a namespace", aria: { label: "Search", controls: "found" }, role: "combobox", autocomplete: "off", spellcheck: false });
  const results = el("ul.palette-results", { id: "found", role: "listbox" });
  const box = el("dialog.palette", el(".palette-head", icon("search"), input), results);
  let entries = fixed();
  let at = 0;
  const close = () => (box.close(), box.remove());
  const go = (entry) => {
    close();
    entry.act ? entry.act() : (location.hash = entry.href);
  };
  const draw = () => {
    const wanted = input.value.trim();
    const found = find(entries, wanted);
    at = Math.min(at, Math.max(found.length - 1, 0));
    fill(results, found.map((entry, place) => el("li", { role: "option", aria: { selected: place === at }, onclick: () => go(entry) },
      el("span.palette-kind", entry.kind), el("span.palette-name", marked(entry.name, wanted)), el("span.palette-where", entry.where ?? ""))));
    if (!found.length) fill(results, el("li.quiet", "Nothing of that name."));
    results.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
    box.found = found;
  };
  input.addEventListener("input", () => ((at = 0), draw()));
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) at = Math.max(0, Math.min(at + step, box.found.length - 1));
    else if (event.key === "Enter" && box.found[at]) return void go(box.found[at]);
    else return;
    event.preventDefault();
    draw();
  });
  box.addEventListener("cancel", (event) => (event.preventDefault(), close()));
  box.addEventListener("click", (event) => event.target === box && close());
  document.body.append(box);
  box.showModal();
  draw();
  objects((more) => {
    entries = entries.concat(more);
    if (box.isConnected) draw();
  });
}

/** Best first: names that begin with what is wanted, then those that hold it. */
function find(entries, wanted) {
  const low = wanted.toLowerCase();
  if (!low) return entries.slice(0, 12);
  const rank = ({ name, kind }) => {
    const text = name.toLowerCase();
    if (text === low) return 0;
    if (text.startsWith(low)) return 1;
    if (text.includes(low)) return 2;
    return `${kind} ${name}`.toLowerCase().includes(low) ? 3 : 9;
  };
  const ranked = entries.map((entry) => [rank(entry), entry]).filter(([order]) => order < 9);
  return ranked.sort((one, other) => one[0] - other[0] || one[1].name.length - other[1].name.length).slice(0, MOST).map(([, entry]) => entry);
}

function fixed() {
  const kinds = [...resources.values()].filter((resource) => resource.verbs.includes("list"))
    .map((resource) => ({ kind: "Kind", name: resource.kind, where: resource.group, href: place(resource) }));
  const views = [["Overview", "#/"], ["Charts", "#/charts"], ...(access.about ? [["Addons", "#/addons"]] : []), ["All kinds", "#/kinds"]];
  return [...views.map(([name, href]) => ({ kind: "View", name, href })), ...kinds];
}

/** Names of objects, kind by kind as they come. */
function objects(tell) {
  for (const resource of SEARCHED.map(ofKey).filter(Boolean)) {
    const entry = ({ metadata: { name, namespace } }) => ({ kind: resource.kind, name, where: namespace, href: place(resource, namespace, name) });
    const choice = ({ metadata: { name } }) => ({ kind: "Show only", name, where: "namespace", act: () => (chosen.namespace = name) });
    getJson(path(resource, ""), { accept: METADATA })
      .then(({ items }) => tell([...items.map(entry), ...(resource.key === "/namespaces" ? items.map(choice) : [])]))
      // What somebody may not read is not found.
      .catch(() => {});
  }
}
