// Which kinds the API has, and the paths of their objects.

import { getJson } from "./api.js";

/** Every resource, by `group/resource` (`/pods`, `apps/deployments`), in the version that its group prefers. */
export const resources = new Map();
/** The same by `group/Kind`. */
const kinds = new Map();

const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/** Reads what the API has. */
export async function discover() {
  const [core, groups] = await Promise.all(["/api", "/apis"].map((path) => getJson(path, { accept: AGGREGATED })));
  resources.clear();
  kinds.clear();
  for (const group of [...(core.items ?? []), ...(groups.items ?? [])]) {
    for (const version of group.versions) {
      for (const resource of version.resources ?? []) add(group.metadata?.name ?? "", version.version, resource);
    }
  }
}

function add(group, version, entry) {
  const key = `${group}/${entry.resource}`;
  if (resources.has(key)) return;
  const resource = {
    key, group, version,
    name: entry.resource,
    kind: entry.responseKind?.kind ?? entry.singularResource,
    namespaced: entry.scope === "Namespaced",
    verbs: entry.verbs ?? [],
    short: entry.shortNames ?? [],
    subresources: (entry.subresources ?? []).map((one) => one.subresource),
  };
  resources.set(key, resource);
  const kind = `${group}/${resource.kind}`;
  if (!kinds.has(kind)) kinds.set(kind, resource);
}

/** The resource of a kind, by its group or `group/version`. */
export function ofKind(apiVersion, kind) {
  const group = apiVersion?.includes("/") ? apiVersion.split("/")[0] : "";
  return kinds.get(`${group}/${kind}`);
}

export const ofKey = (key) => resources.get(key);

/** The path of a resource's objects, or of one. */
export function path(resource, namespace, name, subresource) {
  const root = resource.group ? `/apis/${resource.group}/${resource.version}` : `/api/${resource.version}`;
  const parts = [root];
  if (resource.namespaced && namespace) parts.push("namespaces", encodeURIComponent(namespace));
  parts.push(resource.name);
  if (name) parts.push(encodeURIComponent(name));
  if (subresource) parts.push(subresource);
  return parts.join("/");
}

/** What many of a kind are called: its name as the kind writes it, with the end that the resource has. */
export function plural({ kind, name }) {
  let at = 0;
  while (at < kind.length && kind[at].toLowerCase() === name[at]) at += 1;
  return kind.slice(0, at) + name.slice(at);
}

/** Where in this page a list or an object is. */
export function place(resource, namespace, name, tab) {
  const key = `${resource.group || "core"}/${resource.name}`;
  if (!name) return `#/list/${key}`;
  const where = `#/object/${key}/${encodeURIComponent(namespace || "-")}/${encodeURIComponent(name)}`;
  return tab ? `${where}/${tab}` : where;
}

/** Where the object of a reference is, if its kind is known. */
export function placeOf({ apiVersion, kind, name, namespace }, fallback) {
  const resource = ofKind(apiVersion ?? "v1", kind);
  return resource && name ? place(resource, resource.namespaced ? namespace ?? fallback : "", name) : undefined;
}
