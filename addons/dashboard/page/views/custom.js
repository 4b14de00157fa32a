// Every kind that the API has, custom ones first.

import { discover, place, resources } from "../lib/discovery.js";
import { el, fill } from "../lib/dom.js";
import { compare } from "../lib/format.js";
import { card } from "./parts.js";

/** Kinds by group; read anew, as definitions come and go. */
export async function customView(target) {
  document.title = "All kinds · Coracle";
  await discover();
  const groups = new Map();
  for (const resource of resources.values()) {
    if (!resource.verbs.includes("list")) continue;
    if (!groups.has(resource.group)) groups.set(resource.group, []);
    groups.get(resource.group).push(resource);
  }
  const isOwn = (group) => group === "" || group.endsWith(".k8s.io") || !group.includes(".");
  const order = [...groups.keys()].sort((one, other) => isOwn(one) - isOwn(other) || compare(one, other));
  fill(target, el("header.view-head", el("h1", "All kinds")), el(".kind-groups", order.map((group) => card(group || "core",
    el("ul.kind-list", groups.get(group).sort((one, other) => compare(one.kind, other.kind)).map((resource) =>
      el("li", el("a.link", { href: place(resource) }, resource.kind), el("span.quiet", `${resource.version}${resource.namespaced ? "" : " · cluster"}`))))))));
}
