//! A node that runs short of memory: who takes it goes, and the node says so.

use super::harness::Cluster;
use super::tour::busybox_archive;

const GREEDY: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 600
  containers:
  - name: fill
    image: "busybox:local"
    command: [sh, -c, "trap '' TERM; dd if=/dev/zero of=/memory/full bs=1048576 count=1200; while :; do sleep 1; done"]
    volumeMounts: [{name: memory, mountPath: /memory}]
  volumes:
  - {name: memory, emptyDir: {medium: Memory}}
---
apiVersion: v1
kind: Pod
metadata: {name: modest}
spec:
  containers:
  - {name: web, image: coracle.local/hello, resources: {requests: {memory: 64Mi}}}
"#;

#[test]
fn a_pod_that_takes_the_nodes_memory_is_evicted_and_a_modest_one_stays() {
    let Some(cluster) = Cluster::new("pressure") else { return };
    cluster.coracle("start --memory 2g --extra-config=kubelet.eviction-hard=memory.available<1Gi").ok();
    cluster.coracle(&format!("image load {}", busybox_archive(cluster.folder()).display())).ok();
    cluster.kubectl_with("apply", GREEDY).ok();
    cluster.kubectl("wait pod/modest --for=condition=Ready --timeout=60s").ok();
    // Measured every ten seconds; the pod ignores SIGTERM and has a second.
    cluster.kubectl("wait pod/greedy --for=jsonpath={.status.phase}=Failed --timeout=120s").ok();
    let said = cluster.kubectl("get pod greedy -o jsonpath={.status.reason}/{.status.message}").ok();
    assert!(
        said.starts_with("Evicted/The node was low on resource: memory. Threshold quantity: 1Gi, available: "),
        "{said}"
    );
    assert!(said.contains("Container fill was using ") && said.contains("has larger consumption of memory."), "{said}");
    let disrupted = "get pod greedy -o jsonpath={.status.conditions[?(@.type=='DisruptionTarget')].reason}";
    assert_eq!(cluster.kubectl(disrupted).ok(), "TerminationByKubelet");
    cluster.kubectl("wait node/pressure --for=condition=MemoryPressure --timeout=60s").ok();
    let taints =
        "wait node/pressure --for=jsonpath={.spec.taints[*].key}=node.kubernetes.io/memory-pressure --timeout=60s";
    cluster.kubectl(taints).ok();
    assert_eq!(cluster.kubectl("get pod modest -o jsonpath={.status.phase}").ok(), "Running");
    let events = cluster.kubectl("get events -o jsonpath={.items[*].reason}").ok();
    assert!(events.contains("Evicted"), "{events}");
}
