// What can be done with an object: the table of actions and the buttons for them.

import { MANAGER, MERGE, write } from "../lib/api.js";
import { ofKey, path, place } from "../lib/discovery.js";
import { el } from "../lib/dom.js";
import { chosen } from "../lib/state.js";
import { button, confirm, dialog, toast } from "./parts.js";

const SCALED = ["apps/deployments", "apps/statefulsets", "apps/replicasets", "/replicationcontrollers"];
const RESTARTED = ["apps/deployments", "apps/statefulsets", "apps/daemonsets"];

/** Actions: name, drawing, for which objects, what to do. */
const ACTIONS = [
  ["Scale", "scale", ({ resource }) => SCALED.includes(resource.key) || resource.subresources.includes("scale"), scale],
  ["Restart", "restart", ({ resource }) => RESTARTED.includes(resource.key), restart],
  ["Run now", "play", ({ resource }) => resource.key === "batch/cronjobs", trigger],
  ["Suspend", "pause", ({ resource, object }) => ["batch/cronjobs", "batch/jobs"].includes(resource.key) && !object.spec.suspend, (about) => suspend(about, true)],
  ["Resume", "play", ({ resource, object }) => ["batch/cronjobs", "batch/jobs"].includes(resource.key) && object.spec.suspend, (about) => suspend(about, false)],
  ["Cordon", "pause", ({ resource, object }) => resource.key === "/nodes" && !object.spec.unschedulable, (about) => cordon(about, true)],
  ["Uncordon", "play", ({ resource, object }) => resource.key === "/nodes" && object.spec.unschedulable, (about) => cordon(about, false)],
  ["Show only this", "search", ({ resource }) => resource.key === "/namespaces", showOnly],
  ["Edit", "edit", () => true, (about) => about.choose("yaml")],
  ["Delete", "trash", ({ resource }) => resource.verbs.includes("delete"), remove],
];

/** The buttons for an object. */
export const actions = (about) =>
  el(".actions", ACTIONS.filter(([, , fits]) => fits(about)).map(([name, symbol, , act]) =>
    button(name, symbol, () => attempt(() => act(about)), name === "Delete" ? "danger-quiet" : "")));

/** Does something, and says so if it fails. */
export async function attempt(work) {
  try {
    const said = await work();
    if (said) toast(said);
  } catch (error) {
    toast(error.message, "bad");
  }
}

const merge = (about, change, subresource = "") => write("PATCH", `${about.path}${subresource}?${MANAGER}`, change, MERGE);

async function scale(about) {
  const now = about.object.spec.replicas ?? 0;
  const wanted = await dialog(`Scale ${about.name}`, (close) => {
    const input = el("input.number", { type: "number", min: 0, max: 10000, value: now, required: true, data: { first: "" }, aria: { label: "Replicas" } });
    const step = (by) => (input.value = Math.max(0, Number(input.value) + by));
    return el("form", { onsubmit: (event) => (event.preventDefault(), close(Number(input.value))) },
      el(".stepper", button("−", null, () => step(-1)), input, button("+", null, () => step(1))),
      el("footer.dialog-foot", button("Cancel", null, () => close(null)), el("button.button.primary", { type: "submit" }, "Scale")));
  });
  if (wanted === null || wanted === now) return "";
  await merge(about, { spec: { replicas: wanted } }, "/scale");
  return `${about.name} is to have ${wanted} ${wanted === 1 ? "replica" : "replicas"}`;
}

/** As `kubectl rollout restart`: a new template makes new pods, in the order that the kind has. */
async function restart(about) {
  const annotations = { "kubectl.kubernetes.io/restartedAt": new Date().toISOString().replace(/\.\d+/, "") };
  await merge(about, { spec: { template: { metadata: { annotations } } } });
  return `${about.name} makes its pods anew`;
}

async function trigger(about) {
  const { object, namespace, name } = about;
  const { spec, metadata = {} } = object.spec.jobTemplate;
  const job = {
    apiVersion: "batch/v1", kind: "Job", spec,
    metadata: {
      generateName: `${name.slice(0, 45)}-manual-`, labels: metadata.labels,
      annotations: { ...metadata.annotations, "cronjob.kubernetes.io/instantiate": "manual" },
      ownerReferences: [{ apiVersion: "batch/v1", kind: "CronJob", name, uid: object.metadata.uid, controller: true }],
    },
  };
  const made = await write("POST", `${path(ofKey("batch/jobs"), namespace)}?${MANAGER}`, job);
  return `job ${made.metadata.name} is made`;
}

async function suspend(about, isSuspended) {
  await merge(about, { spec: { suspend: isSuspended } });
  return `${about.name} ${isSuspended ? "is suspended" : "goes on"}`;
}

async function cordon(about, isClosed) {
  await merge(about, { spec: { unschedulable: isClosed || null } });
  return isClosed ? `no new pods come to ${about.name}` : `${about.name} takes pods again`;
}

function showOnly({ name }) {
  chosen.namespace = name;
  location.hash = "#/";
}

async function remove(about) {
  const { resource, name, namespace, object } = about;
  const where = namespace ? ` in ${namespace}` : "";
  const isSure = await confirm(`Delete ${resource.kind} ${name}?`, `${resource.kind} ${name}${where} and what it owns will be deleted. This cannot be taken back.`, "Delete");
  if (!isSure) return "";
  await write("DELETE", about.path, { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Background", preconditions: { uid: object.metadata.uid } });
  if (resource.key !== "/pods") location.hash = place(resource);
  return `${name} is being deleted`;
}
