// Objects of one kind, by the columns that the API has for them, live.

import { el, fill, framed } from "../lib/dom.js";
import { ofKey, path, place, placeOf, plural } from "../lib/discovery.js";
import { age, bytes, cores, ratioTone, time, tone } from "../lib/format.js";
import * as metrics from "../lib/metrics.js";
import { chosen } from "../lib/state.js";
import { Table } from "../lib/table.js";
import { Watch } from "../lib/watch.js";
import { button, pill, ratio, since, trouble } from "./parts.js";
import { edit } from "./create.js";
import { titleOf } from "./kinds.js";

/** Columns whose words are states. */
const STATES = /^(status|phase|type|reason|established|available|suspend|desired state)$/i;

/** Shows the objects of the resource `group/name` in `place`. */
export function listView(target, scope, { key }) {
  const resource = ofKey(key);
  const title = titleOf(key) ?? (resource && plural(resource));
  if (!resource) return void fill(target, trouble(new Error(`The cluster has no ${key.replace(/^\//, "")}.`)));
  document.title = `${title} · Coracle`;
  const filter = el("input.filter", { type: "search", placeholder: "Filter by name, label, state", aria: { label: "Filter" }, data: { filter: "" } });
  const wide = el("input", { type: "checkbox" });
  const amount = el("span.amount");
  const live = el("span.live", { role: "status" });
  const head = el("header.view-head", el("h1", title), amount, live, el(".spacer"), filter,
    el("label.check", wide, "All columns"), button("Create", "plus", () => edit(resource, chosen.namespace)));
  const table = new Table({
    key: (row) => row.object.metadata.uid,
    // Who opens an event wants to see what it is about.
    href: ({ object }) => (object.involvedObject && placeOf(object.involvedObject)) || place(resource, object.metadata.namespace, object.metadata.name),
    label: title,
    empty: () => emptiness(watch, resource, filter.value),
  });
  fill(target, head, table.element);

  let watch = null;
  const show = framed(() => {
    if (watch.columns.length) table.columns = columns(watch.columns, resource, wide.checked);
    const wanted = filter.value.trim().toLowerCase();
    const rows = wanted ? watch.list.filter((row) => matches(row, wanted)) : watch.list;
    table.update(rows);
    amount.textContent = wanted ? `${rows.length} of ${watch.items.size}` : watch.items.size.toLocaleString("en");
    sayState(live, watch);
  });
  const begin = () => {
    watch?.stop();
    const where = path(resource, resource.namespaced ? chosen.namespace : "");
    const query = key === "/events" ? "includeObject=Object" : "";
    watch = new Watch(where, { table: true, query, onchange: show });
  };
  begin();
  scope.add(() => (watch.stop(), table.end()));
  scope.listen(window, "coracle:namespace", begin);
  scope.listen(filter, "input", show);
  scope.listen(wide, "change", show);
  // Ages go on without a change.
  scope.every(10000, show);
  if (["/pods", "/nodes"].includes(key)) scope.add(metrics.onSample(show));
}

export function sayState(live, watch) {
  const words = { listing: "Loading", watching: "Live", waiting: "Reconnecting", failed: "Stopped" };
  live.className = `live ${watch.state}`;
  live.textContent = words[watch.state];
  live.title = watch.error?.message ?? "";
}

function emptiness(watch, resource, wanted) {
  if (watch.state === "listing") return "Loading";
  if (watch.error) return watch.error.message;
  if (wanted) return "Nothing matches the filter.";
  const where = resource.namespaced && chosen.namespace ? ` in ${chosen.namespace}` : "";
  return `There is no ${resource.kind}${where}.`;
}

function matches(row, wanted) {
  const { name, namespace = "", labels = {} } = row.object.metadata;
  const text = [name, namespace, ...row.cells, ...Object.entries(labels).map(([key, value]) => `${key}=${value}`)];
  return text.join("\n").toLowerCase().includes(wanted);
}

/** The columns of the API as those of the page, with what the page adds. */
function columns(definitions, resource, isWide) {
  if (resource.key === "/events") return eventColumns();
  const all = definitions.map((definition, at) => ({ ...column(definition, at), definition }));
  const shown = all.filter(({ definition }) => isWide || !definition.priority);
  if (resource.namespaced && !chosen.namespace) shown.splice(1, 0, namespaceColumn());
  if (resource.key === "/pods") shown.splice(-1, 0, ...usageColumns((row) => metrics.ofPod(row.object.metadata.namespace, row.object.metadata.name)));
  if (resource.key === "/nodes") shown.splice(-1, 0, ...usageColumns((row) => metrics.of(`node/${row.object.metadata.name}`)));
  return shown;
}

const namespaceColumn = () => ({ name: "Namespace", cell: (row) => row.object.metadata.namespace ?? "" });

function column(definition, at) {
  const { name, description: title } = definition;
  const cell = (row) => (row.cells[at] === null || row.cells[at] === undefined ? "" : String(row.cells[at]));
  if (name === "Age" || (name === "Created At" && definition.type === "date")) return ageColumn(name);
  const render = (row, text) => {
    if (at === 0) return el("span.name", text);
    if (STATES.test(name) && tone(text)) return pill(text);
    if (ratioTone(text)) return ratio(text);
    return text;
  };
  const sort = definition.type === "integer" || definition.type === "number" ? (row) => Number(row.cells[at]) || 0 : cell;
  return { name, title, cell, render, sort };
}

function ageColumn(name) {
  const made = (row) => row.object.metadata.creationTimestamp;
  return { name, cell: (row) => age(made(row)), render: (row) => since(made(row)), sort: (row) => -new Date(made(row)) };
}

function usageColumns(find) {
  const one = (name, field, format) => ({
    name,
    cell: (row) => (find(row) ? format(metrics.last(find(row)[field])) : ""),
    sort: (row) => metrics.last(find(row)?.[field]) ?? -1,
  });
  return [one("CPU", "cpu", cores), one("Memory", "memory", bytes)];
}

/** When an event was seen last. */
export const seen = (event) => event.lastTimestamp ?? event.series?.lastObservedTime ?? event.eventTime ?? event.metadata.creationTimestamp;

function eventColumns() {
  const read = (field) => (row) => field(row.object) ?? "";
  return [
    { name: "Last seen", cell: (row) => age(seen(row.object)), render: (row) => el("time", { title: time(seen(row.object)) }, age(seen(row.object))), sort: (row) => -new Date(seen(row.object)) },
    { name: "Type", cell: read((event) => event.type), render: (_, text) => pill(text) },
    { name: "Reason", cell: read((event) => event.reason) },
    { name: "Object", cell: read((event) => `${event.involvedObject.kind}/${event.involvedObject.name}`) },
    { name: "Message", cell: read((event) => event.message) },
    { name: "Count", cell: read((event) => String(event.count ?? event.series?.count ?? 1)), sort: (row) => row.object.count ?? 1 },
  ];
}

