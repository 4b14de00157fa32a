// The first tab of an object: facts, figures, conditions, containers, what belongs to it, events.

import { access } from "../lib/api.js";
import { ofKey, place, placeOf, plural } from "../lib/discovery.js";
import { copy, el, fill, framed } from "../lib/dom.js";
import { age, bytes, compare, cores, quantity, time } from "../lib/format.js";
import { lineGraph } from "../lib/graph.js";
import * as metrics from "../lib/metrics.js";
import { CHILDREN, FACTS, podState, stateOf } from "./kinds.js";
import { seen } from "./list.js";
import { card, chips, facts, grid, link, pill, ratio, since } from "./parts.js";

/** Draws the tab now and after every change. */
export function summary(target, scope, about) {
  const [main, side] = [["containers", "ports", "rules", "data", "children", "events"], ["figures", "facts", "conditions"]];
  const boxes = Object.fromEntries([...main, ...side].map((name) => [name, el(`.part.part-${name}`)]));
  const column = (look, names) => el(`.${look}`, names.map((name) => boxes[name]));
  const shown = new Map();
  fill(target, el(".summary", column("summary-main", main), column("summary-side", side)));
  figures(boxes.figures, scope, about);
  const draw = framed(() => {
    for (const [name, make] of Object.entries(PARTS)) {
      // What did not change is left alone: somebody may be reading, or have opened it.
      const state = make.state(about);
      if (shown.get(name) === state) continue;
      shown.set(name, state);
      fill(boxes[name], make.view(about));
    }
  });
  scope.add(about.onchange(draw));
  draw();
}

const minute = () => Math.floor(Date.now() / 10000);

const PARTS = {
  facts: { state: ({ object }) => object.metadata.resourceVersion, view: factsView },
  data: { state: ({ object }) => JSON.stringify([object.data, object.binaryData, object.rules, object.subjects]), view: dataView },
  ports: { state: ({ object }) => JSON.stringify([object.spec?.ports, object.status?.loadBalancer]), view: portsView },
  rules: { state: ({ object }) => JSON.stringify(object.spec?.rules ?? ""), view: rulesView },
  containers: { state: ({ object }) => JSON.stringify([object.status?.containerStatuses, object.status?.initContainerStatuses, object.status?.ephemeralContainerStatuses, minute()]), view: containersView },
  children: { state: ({ pods, children }) => JSON.stringify([pods, ...Object.values(children)].map((all) => all.map((one) => one.metadata.uid + one.metadata.resourceVersion)).concat(minute())), view: childrenView },
  conditions: { state: ({ object }) => JSON.stringify(object.status?.conditions ?? ""), view: conditionsView },
  events: { state: ({ events }) => JSON.stringify(events.map((one) => one.metadata.uid + one.metadata.resourceVersion).concat(minute())), view: eventsView },
};

function factsView({ resource, object, namespace }) {
  const { metadata } = object;
  const own = (FACTS[resource.key] ?? []).map(([label, read, refer]) => {
    const text = read(object);
    return [label, text && refer ? link(text, placeOf({ ...refer(object) }, namespace)) : text];
  });
  const { "kubectl.kubernetes.io/last-applied-configuration": _, ...annotations } = metadata.annotations ?? {};
  const has = (pairs) => Object.keys(pairs ?? {}).length > 0;
  return card("About", facts([
    ...own, ["Created", `${time(metadata.creationTimestamp)} (${age(metadata.creationTimestamp)} ago)`],
    ["Deletion asked", metadata.deletionTimestamp && time(metadata.deletionTimestamp)],
    ["Finalizers", (metadata.finalizers ?? []).join(", ")],
    ["Labels", has(metadata.labels) && chips(metadata.labels)], ["Annotations", has(annotations) && chips(annotations)],
  ].map(([label, value]) => [label, value === false ? "" : value])));
}

/** Graphs of what a pod, the pods of a workload, or a node use. */
function figures(box, scope, about) {
  const { resource, name, namespace } = about;
  const read = { "/pods": () => metrics.ofPod(namespace, name), "/nodes": () => metrics.of(`node/${name}`) }[resource.key]
    ?? (about.resource.key in CHILDREN || ["apps/statefulsets", "apps/daemonsets"].includes(resource.key) ? () => together(about) : null);
  if (!read || ["batch/cronjobs", "/services"].includes(resource.key)) return;
  const limit = (field) => {
    if (resource.key === "/nodes") return quantity(about.object.status?.allocatable?.[field]);
    const all = (about.object.spec.containers ?? []).map((one) => quantity(one.resources?.limits?.[field] ?? 0));
    return all.length && all.every(Boolean) ? all.reduce((sum, one) => sum + one) : 0;
  };
  // The pods of a workload are known a moment after its view is.
  const eitherChange = (draw) => {
    const ends = [metrics.onSample(draw), about.onchange(draw)];
    return () => ends.forEach((end) => end());
  };
  const graph = (title, field, write) => lineGraph({
    title, write, scope, limit: limit(field), subscribe: eitherChange, empty: () => (metrics.available === false ? "The cluster has no metrics" : metrics.available ? "No figures: nothing of it runs" : "Waiting for figures"),
    read: () => read() && { values: read()[field], times: read().times },
  });
  fill(box, el(".figures", el("section.card", graph("CPU", "cpu", cores)), el("section.card", graph("Memory", "memory", bytes))));
}

/** The sum of the pods' series, as far back as any goes. */
function together({ pods, namespace }) {
  const all = pods.map((pod) => metrics.ofPod(namespace, pod.metadata.name)).filter(Boolean);
  if (!all.length) return null;
  const longest = all.reduce((most, one) => (one.times.length > most.times.length ? one : most));
  const sum = (field) => longest.times.map((_, at) => all.reduce((total, one) => total + (one[field][one[field].length - longest.times.length + at] ?? 0), 0));
  return { cpu: sum("cpu"), memory: sum("memory"), times: longest.times };
}

/** Values of config maps and secrets; those of secrets are shown when they are asked for. */
function dataView({ resource, object }) {
  if (resource.group === "rbac.authorization.k8s.io") return rbacView(object);
  const isSecret = resource.key === "/secrets";
  if (!isSecret && resource.key !== "/configmaps") return [];
  const rows = [...Object.entries(object.data ?? {}).map(([key, value]) => [key, isSecret ? decoded(value) : value]),
    ...Object.entries(object.binaryData ?? {}).map(([key, value]) => [key, `${value.length} characters of base64`])];
  return card("Data", rows.length ? rows.map(([key, value]) => entry(key, value, isSecret)) : el("p.quiet", "There is no data."));
}

function entry(key, value, isHidden) {
  const text = el("pre.value", isHidden ? "••••••••" : value);
  const show = isHidden && el("button.button", { type: "button", aria: { pressed: false }, onclick: () => {
    const isShown = show.getAttribute("aria-pressed") !== "true";
    show.setAttribute("aria-pressed", isShown);
    text.textContent = isShown ? value : "••••••••";
    show.textContent = isShown ? "Hide" : "Show";
  } }, "Show");
  return el("section.entry", el("header", el("h3", key), el("span.quiet", `${value.length} characters`), show, el("button.button", { type: "button", onclick: (event) => copy(value, event.currentTarget) }, "Copy")), text);
}

function decoded(base64) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(atob(base64), (one) => one.charCodeAt(0)));
  } catch {
    return base64;
  }
}

function rbacView({ rules, subjects, roleRef }) {
  const list = (values) => (values ?? []).map((one) => one || "core").join(", ");
  if (rules) return card("Rules", grid(["Verbs", "Resources", "Groups", "Names"], rules.map((rule) => [list(rule.verbs), list(rule.resources ?? rule.nonResourceURLs), list(rule.apiGroups), list(rule.resourceNames)]), "It allows nothing."));
  if (!roleRef) return [];
  return card("Who may do what", facts([["Role", `${roleRef.kind} ${roleRef.name}`]]), grid(["Kind", "Name", "Namespace"], (subjects ?? []).map((one) => [one.kind, one.name, one.namespace ?? ""]), "Nobody."));
}

/** Ports of a service, each with the address at which it answers from the cluster's machine. */
function portsView({ resource, object }) {
  if (resource.key !== "/services") return [];
  const { spec, status } = object;
  const balancer = status?.loadBalancer?.ingress?.[0];
  const rows = (spec.ports ?? []).map((port) => {
    const host = balancer?.ip ?? balancer?.hostname ?? (port.nodePort ? access.about?.nodeAddress : spec.clusterIP);
    const number = balancer || !port.nodePort ? port.port : port.nodePort;
    const scheme = port.port === 443 || /^https/.test(port.name ?? "") ? "https" : "http";
    const can = host && host !== "None" && port.protocol === "TCP";
    return [port.name ?? "", `${port.port}/${port.protocol}`, String(port.targetPort ?? ""), port.nodePort ?? "",
      can ? el("a.link", { href: `${scheme}://${host}:${number}`, target: "_blank", rel: "noopener noreferrer" }, `${scheme}://${host}:${number}`) : ""];
  });
  return card("Ports", grid(["Name", "Port", "To", "Node port", "Answers at"], rows, "It has no ports."));
}

function rulesView({ resource, object, namespace }) {
  if (resource.key !== "networking.k8s.io/ingresses") return [];
  const rows = (object.spec.rules ?? []).flatMap((rule) => (rule.http?.paths ?? []).map((one) => {
    const { service } = one.backend;
    return [rule.host ?? "any", one.path ?? "/", one.pathType, service ? link(`${service.name}:${service.port.number ?? service.port.name}`, place(ofKey("/services"), namespace, service.name)) : one.backend.resource?.name];
  }));
  return card("Rules", grid(["Host", "Path", "Type", "To"], rows, "It has no rules."));
}

/** Each container of a pod with its state and why. */
function containersView(about) {
  if (about.resource.key !== "/pods") return [];
  const { spec, status = {}, metadata } = about.object;
  const groups = [["initContainers", "initContainerStatuses", "init"], ["containers", "containerStatuses", ""], ["ephemeralContainers", "ephemeralContainerStatuses", "ephemeral"]];
  const usage = metrics.ofPod(about.namespace, metadata.name)?.containers ?? [];
  const all = groups.flatMap(([own, states, what]) => (spec[own] ?? []).map((container) => containerView(container, (status[states] ?? []).find((one) => one.name === container.name), what, usage)));
  return card("Containers", el(".containers", all));
}

function containerView(container, status, what, usage) {
  const state = status?.state ?? {};
  const [word, since_, why] = state.running ? [status.ready ? "Running" : "Not ready", state.running.startedAt, ""]
    : state.terminated ? [state.terminated.reason ?? "Terminated", state.terminated.finishedAt, [`exit ${state.terminated.exitCode}`, state.terminated.message].filter(Boolean).join(", ")]
      : [state.waiting?.reason ?? "Waiting", null, state.waiting?.message ?? ""];
  const last = status?.lastState?.terminated;
  const used = usage.find((one) => one.name === container.name)?.usage;
  const amounts = (kind) => Object.entries(container.resources?.[kind] ?? {}).map(([name, amount]) => `${name} ${amount}`).join(", ");
  const mood = word === "Running" || word === "Completed" ? "good" : state.terminated || /BackOff|Err|Invalid/.test(word) ? "bad" : "warn";
  return el("section.container", el("header", el("h3", container.name), what && el("span.chip", what), pill(word, mood), since_ && el("span.quiet", since(since_))),
    why && el("p.container-why", why),
    facts([["Image", container.image], ["Restarts", status?.restartCount ? String(status.restartCount) : ""],
      ["Ended last", last && `exit ${last.exitCode} ${last.reason ?? ""}, ${age(last.finishedAt)} ago ${last.message ?? ""}`],
      ["Uses", used && `${cores(quantity(used.cpu))} CPU, ${bytes(quantity(used.memory))}`],
      ["Requests", amounts("requests")], ["Limits", amounts("limits")],
      ["Command", [...(container.command ?? []), ...(container.args ?? [])].join(" ")],
      ["Ports", (container.ports ?? []).map((port) => `${port.name ? `${port.name} ` : ""}${port.containerPort}/${port.protocol ?? "TCP"}`).join(", ")],
      ["Mounts", (container.volumeMounts ?? []).map((one) => `${one.mountPath}${one.readOnly ? " (read only)" : ""}`).join(", ")]]));
}

function childrenView({ resource, pods, children, namespace }) {
  const podRows = (list) => [...list].sort((one, other) => compare(one.metadata.name, other.metadata.name)).map((pod) => {
    const all = pod.status?.containerStatuses ?? [];
    const used = metrics.ofPod(pod.metadata.namespace, pod.metadata.name);
    return [link(pod.metadata.name, place(ofKey("/pods"), pod.metadata.namespace, pod.metadata.name)), ratio(`${all.filter((one) => one.ready).length}/${pod.spec.containers.length}`), pill(podState(pod)),
      String(all.reduce((sum, one) => sum + one.restartCount, 0)), used ? cores(metrics.last(used.cpu)) : "", used ? bytes(metrics.last(used.memory)) : "", since(pod.metadata.creationTimestamp)];
  });
  const titles = ["Pod", "Ready", "State", "Restarts", "CPU", "Memory", "Age"];
  const out = Object.entries(children).map(([key, list]) => {
    if (key === "/pods") return card(`Pods (${list.length})`, grid(titles, podRows(list), "None."));
    const kind = ofKey(key);
    const newest = [...list].sort((one, other) => new Date(other.metadata.creationTimestamp) - new Date(one.metadata.creationTimestamp));
    const hasState = list.some((one) => stateOf(key, one));
    const row = (one) => [link(one.metadata.name, place(kind, namespace, one.metadata.name)), ...(hasState ? [stateOf(key, one) && pill(stateOf(key, one))] : []), since(one.metadata.creationTimestamp)];
    return card(`${plural(kind)} (${list.length})`, grid(["Name", ...(hasState ? ["State"] : []), "Age"], newest.slice(0, 20).map(row), "None."));
  });
  const hasPods = ["apps/deployments", "apps/statefulsets", "apps/daemonsets", "apps/replicasets", "batch/jobs", "/replicationcontrollers", "/services"].includes(resource.key);
  return [hasPods && card(`Pods (${pods.length})`, grid(titles, podRows(pods), "It has no pods.")), ...out];
}

function conditionsView({ object }) {
  const all = object.status?.conditions;
  if (!Array.isArray(all) || !all.length) return [];
  // Some are good when they are false.
  const isGood = (one) => (one.status === "True") !== /Pressure|Unavailable|Failed|Failure|Dangling/.test(one.type);
  return card("Conditions", el("ul.conditions", all.map((one) => el("li", pill(one.type, isGood(one) ? "good" : "warn"), el("span.quiet", one.status), el(".spacer"),
    el("span.quiet", since(one.lastTransitionTime ?? one.lastProbeTime)), (one.message || one.reason) && el("p.quiet", [one.reason, one.message].filter(Boolean).join(": "))))));
}

function eventsView({ events }) {
  const all = [...events].sort((one, other) => new Date(seen(other)) - new Date(seen(one)));
  return card("Events", grid(["When", "Type", "Reason", "Message", "Count"], all.map((event) => [el("time", { title: time(seen(event)) }, age(seen(event))), pill(event.type, event.type === "Warning" ? "warn" : "plain"), event.reason, event.message, String(event.count ?? event.series?.count ?? 1)]), "No events are kept of it."));
}
