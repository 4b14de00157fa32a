// CPU and memory of nodes and pods over the time that the page is open. The API of metrics knows the present alone, and no
// watch: it is asked every few seconds while somebody looks at the page.

import { getJson } from "./api.js";
import { quantity } from "./format.js";

const EVERY = 5000;
const KEPT = 240;
const ROOT = "/apis/metrics.k8s.io/v1beta1";

/** Series by `node/NAME` and `pod/NAMESPACE/NAME`: `{ cpu: [], memory: [], times: [], containers }`. */
const series = new Map();
const listeners = new Set();
let timer = null;

/** Whether the cluster has the API; nothing before it was asked. */
export let available = null;

export const of = (key) => series.get(key);
export const ofPod = (namespace, name) => series.get(`pod/${namespace}/${name}`);

/** The last value of a series. */
export const last = (values) => values?.[values.length - 1];

/** Tells of every sample; returns what ends that. */
export function onSample(work) {
  listeners.add(work);
  return () => listeners.delete(work);
}

/** Begins to ask, for as long as the page is open. */
export function start() {
  if (timer) return;
  timer = setInterval(() => document.visibilityState === "visible" && sample(), EVERY);
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && sample());
  sample();
}

async function sample() {
  try {
    const [nodes, pods] = await Promise.all([getJson(`${ROOT}/nodes`), getJson(`${ROOT}/pods`)]);
    const now = Date.now();
    const seen = new Set();
    for (const node of nodes.items) take(`node/${node.metadata.name}`, now, [{ usage: node.usage }], seen);
    for (const pod of pods.items) take(`pod/${pod.metadata.namespace}/${pod.metadata.name}`, now, pod.containers, seen);
    for (const key of series.keys()) if (!seen.has(key)) series.delete(key);
    available = true;
  } catch {
    // Without the API there are no graphs, which is shown; it may come.
    available = false;
  }
  listeners.forEach((work) => work());
}

function take(key, now, parts, seen) {
  seen.add(key);
  const one = series.get(key) ?? { cpu: [], memory: [], times: [] };
  const sum = (name) => parts.reduce((total, part) => total + quantity(part.usage?.[name]), 0);
  one.cpu.push(sum("cpu"));
  one.memory.push(sum("memory"));
  one.times.push(now);
  one.containers = parts;
  for (const values of [one.cpu, one.memory, one.times]) if (values.length > KEPT) values.shift();
  series.set(key, one);
}
