// How the cluster is: what it has, what it uses, what is wrong and why.

import { el, fill, framed } from "../lib/dom.js";
import { ofKey, path, place, placeOf } from "../lib/discovery.js";
import { age, bytes, compare, cores, count, percent, quantity } from "../lib/format.js";
import { bar, lineGraph, ring } from "../lib/graph.js";
import * as metrics from "../lib/metrics.js";
import { chosen } from "../lib/state.js";
import { Watches } from "../lib/watch.js";
import { podState, podTrouble } from "./kinds.js";
import { card, link, pill } from "./parts.js";
import { seen } from "./list.js";

/** What is watched, by a short name. */
const WATCHED = {
  nodes: "/nodes", pods: "/pods", deployments: "apps/deployments", statefulsets: "apps/statefulsets",
  daemonsets: "apps/daemonsets", jobs: "batch/jobs", claims: "/persistentvolumeclaims", events: "/events",
};

/** Shows the overview until the scope ends. */
export function overview(target, scope) {
  document.title = "Overview · Coracle";
  const parts = { nodes: el(".nodes"), tiles: el(".tiles"), wrong: el(".wrong"), warnings: el(".warnings") };
  const heading = el("h1", "Overview");
  const sub = el("p.view-sub", "Reading the cluster");
  fill(target, el("header.view-head", el("div", heading, sub)), parts.nodes, parts.tiles,
    el(".halves", card("Needs attention", parts.wrong), card("Recent warnings", parts.warnings)));
  const watches = new Watches();
  scope.add(() => watches.stop());
  const all = {};
  const draw = framed(() => {
    drawNodes(parts.nodes, all, scope);
    fill(parts.tiles, tiles(all));
    drawWrong(parts.wrong, all);
    drawWarnings(parts.warnings, all.events);
    sub.textContent = summary(all);
  });
  const begin = () => {
    watches.stop();
    for (const [name, key] of Object.entries(WATCHED)) {
      const resource = ofKey(key);
      if (!resource) continue;
      const query = name === "events" ? "fieldSelector=type%3DWarning" : "";
      all[name] = watches.add(path(resource, resource.namespaced ? chosen.namespace : ""), { query, onchange: draw });
    }
  };
  begin();
  scope.listen(window, "coracle:namespace", begin);
  scope.every(10000, draw);
  scope.add(metrics.onSample(draw));
}

const listOf = (watch) => watch?.list ?? [];

function summary({ nodes, pods }) {
  if (!nodes || nodes.state === "listing") return "Reading the cluster";
  if (nodes.state === "waiting") return "The cluster does not answer; trying again";
  const version = listOf(nodes)[0]?.status?.nodeInfo?.kubeletVersion ?? "";
  const running = listOf(pods).filter((pod) => pod.status?.phase === "Running").length;
  const where = chosen.namespace ? ` in ${chosen.namespace}` : "";
  return `Kubernetes ${version} · ${count(listOf(nodes).length, "node")} · ${count(running, "running pod")}${where}`;
}

/** One card a node; made once, as graphs remember where the pointer is. */
function drawNodes(target, all, scope) {
  for (const node of listOf(all.nodes)) {
    const { name } = node.metadata;
    let box = [...target.children].find((one) => one.dataset.node === name);
    if (!box) target.append((box = nodeCard(node, scope)));
    fill(box.querySelector(".node-state"), nodeState(node, listOf(all.pods)));
  }
  for (const box of [...target.children]) if (!listOf(all.nodes).some((node) => node.metadata.name === box.dataset.node)) box.remove();
}

function nodeCard(node, scope) {
  const { name } = node.metadata;
  const key = `node/${name}`;
  const amount = (field) => quantity(node.status?.allocatable?.[field]);
  const graph = (title, field, write, limit) =>
    lineGraph({ title, limit, write, scope, subscribe: metrics.onSample, read: () => metrics.of(key) && { values: metrics.of(key)[field], times: metrics.of(key).times } });
  return el("section.card.node", { data: { node: name } }, el(".node-state"),
    el(".node-graphs", graph("CPU", "cpu", cores, amount("cpu")), graph("Memory", "memory", bytes, amount("memory"))));
}

function nodeState(node, pods) {
  const conditions = node.status?.conditions ?? [];
  const isReady = conditions.some((one) => one.type === "Ready" && one.status === "True");
  const pressures = conditions.filter((one) => one.type !== "Ready" && one.status === "True");
  const own = pods.filter((pod) => pod.spec.nodeName === node.metadata.name && !["Succeeded", "Failed"].includes(pod.status?.phase));
  const requested = (field) => own.reduce((sum, pod) => sum + requests(pod, field), 0);
  const share = (label, amount, whole, write) => el(".share", el("span", label), el("strong", percent(amount, whole)),
    el("span.quiet", `${write(amount)} of ${write(whole)}`), bar([{ amount, tone: amount / whole > 0.9 ? "warn" : "accent" }], whole, `${label} ${percent(amount, whole)}`));
  const can = (field) => quantity(node.status?.allocatable?.[field]);
  return [
    el("header", el("h2", el("a.link", { href: place(ofKey("/nodes"), "", node.metadata.name) }, node.metadata.name)), pill(isReady ? "Ready" : "NotReady"),
      node.spec.unschedulable && pill("SchedulingDisabled"), pressures.map((one) => pill(one.type, "bad"))),
    share("CPU requested", requested("cpu"), can("cpu"), cores),
    share("Memory requested", requested("memory"), can("memory"), bytes),
    share("Pods", own.length, can("pods"), String),
  ];
}

const requests = (pod, field) => (pod.spec.containers ?? []).reduce((sum, one) => sum + quantity(one.resources?.requests?.[field] ?? 0), 0);

/** Tiles: `[title, key, items → { good, warn, bad }]`. */
const TILES = [
  ["Pods", "pods", (items) => tally(items, podMood)],
  ["Deployments", "deployments", (items) => tally(items, ({ spec, status }) => mood(status?.availableReplicas, spec.replicas))],
  ["StatefulSets", "statefulsets", (items) => tally(items, ({ spec, status }) => mood(status?.readyReplicas, spec.replicas))],
  ["DaemonSets", "daemonsets", (items) => tally(items, ({ status }) => mood(status?.numberReady, status?.desiredNumberScheduled))],
  ["Jobs", "jobs", (items) => tally(items, ({ status }) => (status?.conditions?.some((one) => one.type === "Failed" && one.status === "True") ? "bad" : status?.active ? "warn" : "good"))],
  ["Claims", "claims", (items) => tally(items, ({ status }) => (status?.phase === "Bound" ? "good" : status?.phase === "Lost" ? "bad" : "warn"))],
];

const mood = (ready = 0, wanted = 0) => (ready >= wanted ? "good" : ready ? "warn" : "bad");

function podMood(pod) {
  const trouble = podTrouble(pod);
  if (trouble) return trouble.mild ? "warn" : "bad";
  return ["Running", "Succeeded"].includes(pod.status?.phase) && !pod.metadata.deletionTimestamp ? "good" : "warn";
}

function tally(items, judge) {
  const counts = { good: 0, warn: 0, bad: 0 };
  items.forEach((item) => (counts[judge(item)] += 1));
  return counts;
}

function tiles(all) {
  return TILES.filter(([, name]) => all[name]).map(([title, name, judge]) => {
    const items = listOf(all[name]);
    const counts = judge(items);
    const parts = ["good", "warn", "bad"].map((tone) => ({ tone, amount: counts[tone] }));
    const words = [counts.bad && `${counts.bad} failing`, counts.warn && `${counts.warn} in progress`, !counts.bad && !counts.warn && (items.length ? "all well" : "none")].filter(Boolean).join(", ");
    return el("a.tile", { href: place(ofKey(WATCHED[name])) }, ring(parts, String(items.length), `${title}: ${words}`),
      el("span.tile-title", title), el(`span.tile-words${counts.bad ? ".bad" : counts.warn ? ".warn" : ""}`, words));
  });
}

/** What is wrong: `{ tone, state, kind, name, namespace, href, message, at }`. */
function problems(all) {
  const found = [];
  const add = (key, object, state, message, tone = "bad") => {
    const { name, namespace, creationTimestamp } = object.metadata;
    found.push({ tone, state, message, name, namespace, at: creationTimestamp, kind: ofKey(key).kind, href: place(ofKey(key), namespace, name) });
  };
  for (const node of listOf(all.nodes)) {
    for (const one of node.status?.conditions ?? []) {
      if ((one.type === "Ready") !== (one.status === "True")) add("/nodes", node, one.type === "Ready" ? "NotReady" : one.type, one.message);
    }
  }
  for (const pod of listOf(all.pods)) {
    const why = podTrouble(pod);
    if (why) add("/pods", pod, why.reason === "NotReady" ? "NotReady" : podState(pod) === "Pending" ? why.reason : podState(pod), why.message, why.mild ? "warn" : "bad");
  }
  for (const [name, key] of [["deployments", "apps/deployments"], ["statefulsets", "apps/statefulsets"]]) {
    for (const one of listOf(all[name])) {
      const failed = (one.status?.conditions ?? []).find((condition) => condition.type === "Progressing" && condition.status === "False");
      if (failed) add(key, one, failed.reason, failed.message);
    }
  }
  for (const job of listOf(all.jobs)) {
    const failed = (job.status?.conditions ?? []).find((one) => one.type === "Failed" && one.status === "True");
    if (failed) add("batch/jobs", job, failed.reason ?? "Failed", failed.message);
  }
  for (const claim of listOf(all.claims)) if (claim.status?.phase === "Lost") add("/persistentvolumeclaims", claim, "Lost", "its volume is gone");
  return found.sort((one, other) => (one.tone === "bad" ? 0 : 1) - (other.tone === "bad" ? 0 : 1) || compare(one.name, other.name));
}

function drawWrong(target, all) {
  const found = problems(all);
  const known = all.pods?.state !== "listing";
  if (!found.length) return fill(target, el("p.quiet", known ? "Nothing. Every pod that should run does." : "Reading"));
  return fill(target, el("ul.problems", found.slice(0, 40).map((one) => el("li", el("a", { href: one.href }, pill(one.state, one.tone),
    el("span.problem-name", one.name), el("span.quiet", [one.kind, one.namespace].filter(Boolean).join(" · ")), el("span.problem-why", one.message ?? ""))))),
  found.length > 40 && el("p.quiet", `and ${found.length - 40} more`));
}

function drawWarnings(target, watch) {
  const all = listOf(watch).sort((one, other) => new Date(seen(other)) - new Date(seen(one))).slice(0, 30);
  if (!all.length) return fill(target, el("p.quiet", watch?.state === "listing" ? "Reading" : "No warnings."));
  return fill(target, el("ul.problems", all.map((event) => {
    const { kind, name, namespace, apiVersion } = event.involvedObject;
    return el("li", el("div", el("span.event-time", { title: seen(event) }, age(seen(event))), el("strong", event.reason),
      link(name, placeOf({ apiVersion, kind, name, namespace })), el("span.quiet", [kind, event.count > 1 && `${event.count} times`].filter(Boolean).join(" · ")),
      el("span.problem-why", event.message)));
  })));
}

