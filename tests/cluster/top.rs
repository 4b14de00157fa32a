//! What is used: `kubectl top`, the metrics API, and an autoscaler that acts on it.

use super::harness::Cluster;
use super::tour::busybox_archive;

/// A pod that uses all that its limit gives it: twice of what it asks for.
const BUSY: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: busy
        image: busybox:local
        command: [sh, -c, "while :; do :; done"]
        resources: {requests: {cpu: 20m, memory: 8Mi}, limits: {cpu: 40m}}
"#;

#[test]
fn what_nodes_and_pods_use_is_measured_and_scaled_by() {
    let Some(cluster) = Cluster::started("top") else { return };
    let node = cluster.kubectl("top node").ok();
    let words: Vec<&str> = node.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(words[0] == "top" && words[1].ends_with('m') && words[3].ends_with("Mi"), "{node}");
    let pods = cluster.kubectl("top pod -n kube-system --containers").ok();
    assert!(pods.lines().any(|line| line.starts_with("coredns-")), "{pods}");
    let missing = cluster.kubectl("get pods.metrics.k8s.io nobody");
    let why = "Error from server (NotFound): podmetrics.metrics.k8s.io \"default/nobody\" not found";
    assert_eq!((missing.code, missing.err.trim()), (1, why));
    let refused = cluster.kubectl("delete nodes.metrics.k8s.io top");
    assert!(refused.err.contains("the server does not allow this method on the requested resource"), "{}", refused.err);

    let archive = busybox_archive(cluster.folder());
    cluster.coracle(&format!("image load {}", archive.display())).ok();
    cluster.kubectl_with("apply", BUSY).ok();
    cluster.kubectl("autoscale deployment busy --min=1 --max=2 --cpu-percent=50").ok();
    cluster.kubectl("wait deployment/busy --for=jsonpath={.status.readyReplicas}=2 --timeout=180s").ok();
    let table = cluster.kubectl("get pods.metrics.k8s.io -l app=busy").ok();
    assert!(table.starts_with("NAME") && table.contains("WINDOW") && table.contains("busy-"), "{table}");
}
