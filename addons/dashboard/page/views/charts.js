// Releases of charts: the Secrets that Helm and `coracle chart` keep, read in the browser; changed by `coracle chart`.

import { access, command } from "../lib/api.js";
import { ofKey, path, placeOf } from "../lib/discovery.js";
import { copy, el, fill } from "../lib/dom.js";
import { age, compare } from "../lib/format.js";
import { chosen } from "../lib/state.js";
import { Table } from "../lib/table.js";
import { Watch } from "../lib/watch.js";
import { documents, identity, write } from "../lib/yaml.js";
import { attempt } from "./actions.js";
import { Editor } from "./editor.js";
import { sayState } from "./list.js";
import { button, card, confirm, dialog, facts, grid, link, pill, since, tabs } from "./parts.js";

const TYPE = "fieldSelector=type%3Dhelm.sh%2Frelease.v1";
const OWNED = "labelSelector=owner%3Dhelm";

/** What the labels of a release's Secret say. */
function described(secret) {
  const { labels = {}, namespace, creationTimestamp, uid } = secret.metadata;
  const modified = Number(labels.modifiedAt) * 1000;
  return { uid, namespace, name: labels.name, status: labels.status, revision: Number(labels.version), at: new Date(modified || creationTimestamp).toISOString(), secret };
}

/** A release as it was written: base64 of base64 of gzip of JSON. */
async function decoded(secret) {
  const bytes = Uint8Array.from(atob(atob(secret.data.release)), (one) => one.charCodeAt(0));
  const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const stream = new Blob([bytes]).stream();
  return JSON.parse(await new Response(isPacked ? stream.pipeThrough(new DecompressionStream("gzip")) : stream).text());
}

/** The newest revision of every release. */
function newest(secrets) {
  const all = new Map();
  for (const one of secrets.map(described)) {
    const key = `${one.namespace}/${one.name}`;
    if (!all.has(key) || all.get(key).revision < one.revision) all.set(key, one);
  }
  return [...all.values()];
}

/** The list of releases. */
export function chartsView(target, scope) {
  document.title = "Charts · Coracle";
  const live = el("span.live", { role: "status" });
  const charts = new Map();
  const table = new Table({
    key: (row) => row.uid, label: "Releases", href: (row) => `#/charts/${encodeURIComponent(row.namespace)}/${encodeURIComponent(row.name)}`,
    empty: () => (watch.state === "listing" ? "Loading" : watch.error?.message ?? "No chart is installed. `coracle chart install` and Helm do it, or the button above."),
  });
  const chartOf = (row) => charts.get(row.uid);
  table.columns = [
    { name: "Name", cell: (row) => row.name, render: (_, text) => el("span.name", text) },
    { name: "Namespace", cell: (row) => row.namespace },
    { name: "State", cell: (row) => row.status, render: (_, text) => pill(text) },
    { name: "Revision", cell: (row) => String(row.revision), sort: (row) => row.revision },
    { name: "Chart", cell: (row) => (chartOf(row) ? `${chartOf(row).name}-${chartOf(row).version}` : "…") },
    { name: "Application", cell: (row) => chartOf(row)?.appVersion ?? "" },
    { name: "Updated", cell: (row) => age(row.at), render: (row) => since(row.at), sort: (row) => -new Date(row.at) },
  ];
  fill(target, el("header.view-head", el("h1", "Charts"), live, el(".spacer"), access.about && button("Install a chart", "plus", install, "primary")), table.element);
  let watch = null;
  const show = async () => {
    sayState(live, watch);
    const rows = newest(watch.list);
    table.update(rows);
    const unknown = rows.filter((row) => !charts.has(row.uid));
    for (const row of unknown) {
      // A Secret that is no release, or of a newer form, is listed by its labels.
      charts.set(row.uid, (await decoded(row.secret).catch(() => null))?.chart?.metadata ?? { name: "?", version: "" });
    }
    if (unknown.length) table.update(rows);
  };
  const begin = () => {
    watch?.stop();
    watch = new Watch(path(ofKey("/secrets"), chosen.namespace), { query: `${TYPE}&${OWNED}`, onchange: show });
  };
  begin();
  scope.add(() => (watch.stop(), table.end()));
  scope.listen(window, "coracle:namespace", begin);
}

/** One release: what it is made of, and its revisions. */
export function releaseView(target, scope, { namespace, name }) {
  document.title = `${name} · Chart · Coracle`;
  const head = el("header.object-head");
  const body = el(".release");
  fill(target, head, body);
  const query = `${TYPE}&labelSelector=${encodeURIComponent(`owner=helm,name=${name}`)}`;
  let shown = "";
  const watch = new Watch(path(ofKey("/secrets"), namespace), { query, onchange: async () => {
    const state = watch.list.map((one) => one.metadata.uid + one.metadata.resourceVersion).join() + watch.state;
    if (state === shown) return;
    shown = state;
    const revisions = watch.list.map(described).sort((one, other) => other.revision - one.revision);
    if (!revisions.length) return void (watch.state === "watching" && fill(body, el("p.quiet", `There is no release ${name} in ${namespace}.`)) && fill(head));
    const releases = await Promise.all(revisions.map(async (one) => ({ ...one, ...(await decoded(one.secret)) })));
    draw(head, body, releases, { namespace, name });
  } });
  scope.add(() => watch.stop());
}

function draw(head, body, releases, about) {
  const [latest] = releases;
  const { metadata } = latest.chart;
  const owned = access.about && el(".actions", button("Uninstall", "trash", () => uninstall(about), "danger-quiet"));
  fill(head, el("nav.crumbs", link("Charts", "#/charts")), el(".object-title", el("h1", about.name), pill(latest.info.status), el("span.quiet", `revision ${latest.version}`), el(".spacer"), owned));
  const views = {
    summary: (box) => fill(box, card("About", facts([["Chart", `${metadata.name} ${metadata.version}`], ["Application", metadata.appVersion], ["Description", metadata.description],
      ["Namespace", about.namespace], ["First deployed", since(latest.info.first_deployed)], ["Last deployed", since(latest.info.last_deployed)], ["Told", latest.info.description]])),
    latest.info.notes && card("Notes", el("pre.value", latest.info.notes)), card("Objects", objects(latest, about)), card("History", history(releases, about))),
    values: (box) => fill(box, card("Values of the user", text(write(latest.config ?? {}))), card("Values of the chart", text(write(latest.chart.values ?? {})))),
    manifest: (box) => fill(box, text(latest.manifest)),
  };
  const bar = tabs([["summary", "Summary"], ["values", "Values"], ["manifest", "Manifest"]], body.dataset.tab ?? "summary", (chosenTab, box) => {
    body.dataset.tab = chosenTab;
    views[chosenTab](box);
  });
  fill(body, bar.bar, bar.place);
  bar.begin();
}

function text(value) {
  const editor = new Editor({ label: "YAML", readOnly: true });
  editor.text = value.trim();
  const lines = editor.text.split("\n").length;
  editor.element.style.height = `${Math.min(Math.max(lines, 2) * 20 + 24, 640)}px`;
  editor.element.style.minHeight = "0";
  return el("div", el(".editor-tools", el("button.button", { type: "button", onclick: (event) => copy(value, event.currentTarget) }, "Copy")), editor.element);
}

function objects(release, { namespace }) {
  const all = documents(release.manifest).map(identity).filter((one) => one.kind).sort((one, other) => compare(one.kind, other.kind));
  return grid(["Kind", "Name"], all.map((one) => [one.kind, link(one.name, placeOf({ ...one, namespace: one.namespace ?? namespace }))]), "It has none.");
}

function history(releases, about) {
  return grid(["Revision", "State", "Chart", "Told", "When", ""], releases.map((one, at) => [String(one.version), pill(one.info.status), `${one.chart.metadata.name}-${one.chart.metadata.version}`, one.info.description, since(one.info.last_deployed),
    at > 0 && access.about ? button("Roll back to this", "restart", () => rollback(about, one.version)) : ""]), "");
}

const where = ({ namespace, name }) => `releases/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;

async function rollback(about, revision) {
  if (!(await confirm(`Roll ${about.name} back?`, `${about.name} becomes what it was in revision ${revision}.`, "Roll back", "primary"))) return;
  attempt(async () => (await command(`${where(about)}/rollback/${revision}`)).out.trim().split("\n")[0]);
}

async function uninstall(about) {
  if (!(await confirm(`Uninstall ${about.name}?`, `Everything that the release ${about.name} made in ${about.namespace} will be deleted. This cannot be taken back.`, "Uninstall"))) return;
  attempt(async () => {
    const { out } = await command(`${where(about)}/uninstall`);
    location.hash = "#/charts";
    return out.trim().split("\n")[0];
  });
}

/** A form for a chart: `coracle chart upgrade --install` with the values that are written here. */
function install() {
  return dialog("Install a chart", (close) => {
    const field = (label, name, value, placeholder) => el("label.field", el("span", label), el("input", { name, value, placeholder, required: true, autocomplete: "off" }));
    const values = new Editor({ label: "Values" });
    const said = el("p", { role: "status" });
    const go = el("button.button.primary", { type: "submit" }, "Install");
    const onsubmit = async (event) => {
      event.preventDefault();
      const { release, namespace, chart } = Object.fromEntries(new FormData(event.target));
      go.disabled = true;
      fill(said, pill("working", "warn"));
      try {
        await command(`${where({ namespace, name: release })}/install/${encodeURIComponent(chart)}`, values.text || "{}");
        close(true);
        location.hash = `#/charts/${encodeURIComponent(namespace)}/${encodeURIComponent(release)}`;
      } catch (error) {
        fill(said, el("pre.value.bad", error.message));
      }
      go.disabled = false;
    };
    return el("form", { onsubmit }, el(".fields", field("Release", "release", "", "shop"), field("Namespace", "namespace", chosen.namespace || "default", ""),
      field("Chart", "chart", "", "oci://registry/chart, https://…/chart.tgz, REPOSITORY/CHART or a folder")),
    el("h3", "Values"), values.element, said, el("footer.dialog-foot", button("Cancel", null, () => close(null)), go));
  }, "large");
}

