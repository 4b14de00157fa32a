// One object: what it is, how it is, what belongs to it, and what can be done with it.

import { getJson } from "../lib/api.js";
import { ofKey, ofKind, path, place, placeOf } from "../lib/discovery.js";
import { el, fill, framed } from "../lib/dom.js";
import { age } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { Scope } from "../lib/state.js";
import { Watches } from "../lib/watch.js";
import { actions } from "./actions.js";
import { CHILDREN, PODS, stateOf } from "./kinds.js";
import { sayState } from "./list.js";
import { link, pill, tabs, trouble } from "./parts.js";
import { summary } from "./summary.js";

/** What an object's view knows, and gives its tabs. */
export async function objectView(target, scope, { key, namespace, name, tab }) {
  const resource = ofKey(key);
  if (!resource) return void fill(target, trouble(new Error(`The cluster has no ${key.replace(/^\//, "")}.`)));
  document.title = `${name} · ${resource.kind} · Coracle`;
  const about = { resource, namespace, name, path: path(resource, namespace, name), object: null, children: {}, events: [], pods: [] };
  const watches = new Watches();
  scope.add(() => watches.stop());
  const head = el("header.object-head");
  const live = el("span.live", { role: "status" });
  let begun = false;
  let inner = new Scope();
  scope.add(() => inner.end());
  const listeners = new Set();
  about.onchange = (work) => (listeners.add(work), () => listeners.delete(work));

  const draw = framed(() => {
    if (about.object) fill(head, heading(about, live));
    listeners.forEach((work) => work());
  });
  const main = watches.add(path(resource, namespace), {
    query: `fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`,
    onchange: (watch) => {
      const [object] = watch.list;
      sayState(live, watch);
      about.gone = !object && watch.state === "watching";
      if (object) about.object = { apiVersion: resource.group ? `${resource.group}/${resource.version}` : resource.version, kind: resource.kind, ...object };
      if (!about.object) {
        if (watch.error || about.gone) fill(target, trouble(watch.error ?? new Error(`There is no ${resource.kind} ${name}${namespace ? ` in ${namespace}` : ""}.`)));
        return;
      }
      if (!begun) begin();
      draw();
    },
  });
  scope.every(10000, draw);

  function begin() {
    begun = true;
    follow(about, watches, draw);
    const bar = tabs(tabsOf(about), tab ?? "summary", async (chosen, box) => {
      inner.end();
      inner = new Scope();
      const own = inner;
      fill(box);
      history.replaceState(null, "", place(resource, namespace, name, chosen === "summary" ? "" : chosen));
      const view = await TABS[chosen]();
      if (own === inner) await view(box, inner, about);
    });
    about.choose = bar.choose;
    fill(target, head, bar.bar, bar.place);
    bar.begin();
    owners(about).then(draw);
  }
  void main;
}

const TABS = {
  summary: async () => summary,
  yaml: async () => (await import("./yaml.js")).yamlView,
  logs: async () => (await import("./logs.js")).logsView,
  terminal: async () => (await import("./terminal.js")).terminalView,
};

function tabsOf({ resource }) {
  const all = [["summary", "Summary"]];
  if (resource.key === "/pods" || PODS[resource.key]) all.push(["logs", "Logs"]);
  if (resource.key === "/pods") all.push(["terminal", "Terminal"]);
  return [...all, ["yaml", "YAML"]];
}

function heading(about, live) {
  const { resource, object, namespace, name, chain = [] } = about;
  const state = about.gone ? "Deleted" : stateOf(resource.key, object);
  return [
    el("nav.crumbs", { aria: { label: "Belongs to" } }, link(resource.kind, place(resource)),
      namespace && [icon("chevron"), link(namespace, place(ofKey("/namespaces"), "", namespace))],
      chain.map((owner) => [icon("chevron"), el("span.quiet", owner.kind), link(owner.name, owner.href)])),
    el(".object-title", el("h1", name), state && pill(state, about.gone ? "bad" : undefined), el("span.quiet", `${age(object.metadata.creationTimestamp)} old`), live, el(".spacer"),
      !about.gone && actions(about)),
  ];
}

/** The owners of an object, the first one first. */
async function owners(about) {
  const chain = [];
  let [owner] = about.object.metadata.ownerReferences ?? [];
  while (owner && chain.length < 5) {
    const resource = ofKind(owner.apiVersion, owner.kind);
    chain.unshift({ kind: owner.kind, name: owner.name, href: placeOf({ ...owner, namespace: about.namespace }) });
    about.chain = chain;
    if (!resource) return;
    try {
      const found = await getJson(path(resource, resource.namespaced ? about.namespace : "", owner.name));
      [owner] = found.metadata.ownerReferences ?? [];
    } catch {
      // One that is gone, or not for this user to see, is named all the same.
      return;
    }
  }
}

/** Watches what belongs to an object: its events, pods, and other children. */
function follow(about, watches, draw) {
  const { resource, object, namespace, name } = about;
  const { uid } = object.metadata;
  const events = ofKey("/events");
  const field = encodeURIComponent(`involvedObject.name=${name},involvedObject.kind=${resource.kind}`);
  watches.add(path(events, namespace), {
    query: `fieldSelector=${field}`,
    onchange: (watch) => ((about.events = watch.list.filter((event) => !event.involvedObject.uid || resource.key === "/nodes" || event.involvedObject.uid === uid)), draw()),
  });
  const labels = PODS[resource.key]?.(object);
  if (labels) {
    watches.add(path(ofKey("/pods"), namespace), { query: `labelSelector=${encodeURIComponent(labels)}`, onchange: (watch) => ((about.pods = watch.list), draw()) });
  }
  for (const [key, select, fields] of CHILDREN[resource.key] ?? []) {
    const kind = ofKey(key);
    if (!kind) continue;
    const query = [select(object) && `labelSelector=${encodeURIComponent(select(object))}`, fields && `fieldSelector=${encodeURIComponent(fields(object))}`].filter(Boolean).join("&");
    const isOwn = (one) => fields || key.startsWith("discovery") || (one.metadata.ownerReferences ?? []).some((owner) => owner.uid === uid);
    watches.add(path(kind, namespace), { query, onchange: (watch) => ((about.children[key] = watch.list.filter(isOwn)), draw()) });
  }
}
