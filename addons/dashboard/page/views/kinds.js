// The table of kinds: where each is in the navigation, and what is special about it. Everything that is not here is shown by
// what the API says of it.

/** Groups of the navigation: `[title, icon, [[key, title], …]]`. */
export const GROUPS = [
  ["Workloads", "workloads", [
    ["/pods", "Pods"], ["apps/deployments", "Deployments"], ["apps/statefulsets", "StatefulSets"],
    ["apps/daemonsets", "DaemonSets"], ["batch/jobs", "Jobs"], ["batch/cronjobs", "CronJobs"],
    ["apps/replicasets", "ReplicaSets"], ["autoscaling/horizontalpodautoscalers", "Autoscalers"],
  ]],
  ["Network", "network", [
    ["/services", "Services"], ["networking.k8s.io/ingresses", "Ingresses"], ["gateway.networking.k8s.io/gateways", "Gateways"],
    ["gateway.networking.k8s.io/httproutes", "HTTP routes"], ["discovery.k8s.io/endpointslices", "Endpoint slices"],
    ["networking.k8s.io/networkpolicies", "Network policies"],
  ]],
  ["Configuration", "config", [
    ["/configmaps", "Config maps"], ["/secrets", "Secrets"], ["/resourcequotas", "Quotas"], ["/limitranges", "Limit ranges"],
  ]],
  ["Storage", "storage", [
    ["/persistentvolumeclaims", "Claims"], ["/persistentvolumes", "Volumes"], ["storage.k8s.io/storageclasses", "Storage classes"],
  ]],
  ["Cluster", "cluster", [
    ["/nodes", "Nodes"], ["/namespaces", "Namespaces"], ["/events", "Events"],
    ["scheduling.k8s.io/priorityclasses", "Priority classes"],
  ]],
  ["Access", "access", [
    ["/serviceaccounts", "Service accounts"], ["rbac.authorization.k8s.io/roles", "Roles"],
    ["rbac.authorization.k8s.io/rolebindings", "Role bindings"], ["rbac.authorization.k8s.io/clusterroles", "Cluster roles"],
    ["rbac.authorization.k8s.io/clusterrolebindings", "Cluster role bindings"],
  ]],
];

/** What a list of a kind is called; nothing for kinds that are not in the navigation. */
export const titleOf = (key) => GROUPS.flatMap(([, , entries]) => entries).find(([known]) => known === key)?.[1];

/** Kinds whose objects the search looks through. */
export const SEARCHED = [
  "/pods", "apps/deployments", "apps/statefulsets", "apps/daemonsets", "batch/jobs", "batch/cronjobs", "/services",
  "networking.k8s.io/ingresses", "/configmaps", "/secrets", "/persistentvolumeclaims", "/persistentvolumes", "/nodes",
  "/namespaces", "/serviceaccounts", "apiextensions.k8s.io/customresourcedefinitions",
];

const selector = (object) => labels(object.spec?.selector?.matchLabels);
const labels = (pairs) => (pairs ? Object.entries(pairs).map(([key, value]) => `${key}=${value}`).join(",") : null);

/** Whose pods a kind has, as a label selector; nothing where it has none. */
export const PODS = {
  "apps/deployments": selector,
  "apps/statefulsets": selector,
  "apps/daemonsets": selector,
  "apps/replicasets": selector,
  "batch/jobs": selector,
  "/replicationcontrollers": (object) => labels(object.spec?.selector),
  "/services": (object) => labels(object.spec?.selector),
};

/** Kinds of what belongs to an object beside its pods: `[key, how]`, by owner or by a label. */
export const CHILDREN = {
  "apps/deployments": [["apps/replicasets", selector]],
  "batch/cronjobs": [["batch/jobs", () => ""]],
  "/services": [["discovery.k8s.io/endpointslices", (object) => `kubernetes.io/service-name=${object.metadata.name}`]],
  "/nodes": [["/pods", () => "", (object) => `spec.nodeName=${object.metadata.name}`]],
};

/** Facts worth a line of their own: `[label, object → text]`; an empty text is no line. */
export const FACTS = {
  "/pods": [
    ["Node", (pod) => pod.spec.nodeName, (pod) => ({ apiVersion: "v1", kind: "Node", name: pod.spec.nodeName })],
    ["Address", (pod) => pod.status?.podIP],
    ["Service account", (pod) => pod.spec.serviceAccountName, (pod) => ({ apiVersion: "v1", kind: "ServiceAccount", name: pod.spec.serviceAccountName })],
    ["Quality of service", (pod) => pod.status?.qosClass],
    ["Restart policy", (pod) => pod.spec.restartPolicy],
    ["Reason", (pod) => [pod.status?.reason, pod.status?.message].filter(Boolean).join(": ")],
  ],
  "apps/deployments": [
    ["Replicas", ({ spec, status }) => `${status?.readyReplicas ?? 0} ready of ${spec.replicas}, ${status?.updatedReplicas ?? 0} up to date`],
    ["Strategy", ({ spec }) => spec.strategy?.type],
    ["Selector", selector],
  ],
  "apps/statefulsets": [
    ["Replicas", ({ spec, status }) => `${status?.readyReplicas ?? 0} ready of ${spec.replicas}`],
    ["Service", ({ spec }) => spec.serviceName, (object) => ({ apiVersion: "v1", kind: "Service", name: object.spec.serviceName })],
    ["Selector", selector],
  ],
  "apps/daemonsets": [
    ["Pods", ({ status }) => `${status?.numberReady ?? 0} ready of ${status?.desiredNumberScheduled ?? 0}`],
    ["Selector", selector],
  ],
  "apps/replicasets": [["Replicas", ({ spec, status }) => `${status?.readyReplicas ?? 0} ready of ${spec.replicas}`], ["Selector", selector]],
  "batch/jobs": [
    ["Succeeded", ({ spec, status }) => `${status?.succeeded ?? 0} of ${spec.completions ?? 1}`],
    ["Failed", ({ status }) => (status?.failed ? String(status.failed) : "")],
    ["Parallel", ({ spec }) => String(spec.parallelism ?? 1)],
  ],
  "batch/cronjobs": [
    ["Schedule", ({ spec }) => spec.schedule],
    ["Time zone", ({ spec }) => spec.timeZone],
    ["Suspended", ({ spec }) => (spec.suspend ? "yes" : "no")],
    ["Last run", ({ status }) => status?.lastScheduleTime],
  ],
  "/services": [
    ["Type", ({ spec }) => spec.type],
    ["Cluster address", ({ spec }) => (spec.clusterIPs ?? []).join(", ") || spec.externalName],
    ["Load balancer", ({ status }) => (status?.loadBalancer?.ingress ?? []).map((one) => one.ip ?? one.hostname).join(", ")],
    ["Selector", ({ spec }) => labels(spec.selector)],
  ],
  "/persistentvolumeclaims": [
    ["Volume", ({ spec }) => spec.volumeName, (object) => ({ apiVersion: "v1", kind: "PersistentVolume", name: object.spec.volumeName })],
    ["Class", ({ spec }) => spec.storageClassName],
    ["Capacity", ({ status }) => status?.capacity?.storage],
    ["Access", ({ spec }) => (spec.accessModes ?? []).join(", ")],
  ],
  "/persistentvolumes": [
    ["Claim", ({ spec }) => spec.claimRef && `${spec.claimRef.namespace}/${spec.claimRef.name}`, (object) => object.spec.claimRef],
    ["Class", ({ spec }) => spec.storageClassName],
    ["Capacity", ({ spec }) => spec.capacity?.storage],
    ["When released", ({ spec }) => spec.persistentVolumeReclaimPolicy],
    ["Path", ({ spec }) => spec.hostPath?.path ?? spec.local?.path],
  ],
  "/nodes": [
    ["Addresses", ({ status }) => (status?.addresses ?? []).map((one) => one.address).join(", ")],
    ["System", ({ status }) => [status?.nodeInfo?.osImage, status?.nodeInfo?.kernelVersion, status?.nodeInfo?.architecture].filter(Boolean).join(" · ")],
    ["Runtime", ({ status }) => status?.nodeInfo?.containerRuntimeVersion],
    ["Kubelet", ({ status }) => status?.nodeInfo?.kubeletVersion],
    ["Allocatable", ({ status }) => Object.entries(status?.allocatable ?? {}).map(([name, amount]) => `${name} ${amount}`).join(", ")],
    ["Taints", ({ spec }) => (spec.taints ?? []).map((one) => `${one.key}:${one.effect}`).join(", ")],
  ],
};

/** The state of an object in a word, where it has one. */
export function stateOf(key, object) {
  const { status = {}, spec = {}, metadata } = object;
  if (metadata.deletionTimestamp) return "Terminating";
  if (key === "/pods") return podState(object);
  if (key === "/nodes") return (status.conditions ?? []).some((one) => one.type === "Ready" && one.status === "True") ? (spec.unschedulable ? "SchedulingDisabled" : "Ready") : "NotReady";
  if (["apps/deployments", "apps/statefulsets", "apps/replicasets"].includes(key)) return readiness(status.readyReplicas, spec.replicas);
  if (key === "apps/daemonsets") return readiness(status.numberReady, status.desiredNumberScheduled);
  if (key === "batch/jobs") return (status.conditions ?? []).find((one) => one.status === "True" && ["Complete", "Failed"].includes(one.type))?.type ?? "Running";
  if (key === "batch/cronjobs") return spec.suspend ? "Suspended" : "Active";
  return typeof status.phase === "string" ? status.phase : conditionState(status.conditions);
}

const conditionState = (conditions) => {
  if (!Array.isArray(conditions)) return "";
  const ready = conditions.find((one) => ["Ready", "Available", "Established"].includes(one.type));
  return ready ? (ready.status === "True" ? ready.type : `Not${ready.type}`) : "";
};

function readiness(ready = 0, wanted = 0) {
  if (ready >= wanted) return wanted ? "Ready" : "Scaled to 0";
  return `${ready}/${wanted} ready`;
}

/** The state of a pod, in the words of kubectl. */
export function podState(pod) {
  const { status = {}, metadata } = pod;
  if (metadata.deletionTimestamp) return "Terminating";
  for (const one of status.initContainerStatuses ?? []) {
    const why = one.state?.waiting?.reason ?? (one.state?.terminated?.exitCode ? one.state.terminated.reason : "");
    if (why && why !== "PodInitializing") return `Init:${why}`;
  }
  for (const one of status.containerStatuses ?? []) {
    const why = one.state?.waiting?.reason ?? (status.phase !== "Succeeded" && one.state?.terminated?.reason);
    if (why && why !== "Completed") return why;
  }
  return status.reason ?? status.phase ?? "Pending";
}

/** What is wrong with a pod and why, or nothing. */
export function podTrouble(pod) {
  const { status = {} } = pod;
  if (status.phase === "Succeeded" || pod.metadata.deletionTimestamp) return null;
  const all = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  for (const one of all) {
    const waiting = one.state?.waiting;
    if (waiting?.reason && !["ContainerCreating", "PodInitializing"].includes(waiting.reason)) {
      const last = one.lastState?.terminated;
      const before = last ? `, last exit ${last.exitCode}${last.reason ? ` (${last.reason})` : ""}` : "";
      return { reason: waiting.reason, message: `${one.name}: ${waiting.message ?? waiting.reason}${before}` };
    }
    const ended = one.state?.terminated;
    if (ended?.exitCode) return { reason: ended.reason ?? "Error", message: `${one.name}: exit ${ended.exitCode} ${ended.message ?? ""}` };
  }
  if (status.phase === "Failed") return { reason: status.reason ?? "Failed", message: status.message ?? "" };
  const unscheduled = (status.conditions ?? []).find((one) => one.type === "PodScheduled" && one.status === "False");
  if (unscheduled) return { reason: unscheduled.reason ?? "Pending", message: unscheduled.message ?? "" };
  const notReady = all.find((one) => one.state?.running && !one.ready && one.started);
  if (notReady && status.phase === "Running") return { reason: "NotReady", message: `${notReady.name} runs and is not ready`, mild: true };
  return null;
}
