//! Pods that are files of the node.

use super::harness::{Cluster, until};

fn manifest(image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: kube-system}}\n\
         spec:\n  terminationGracePeriodSeconds: 0\n  containers:\n  - {{name: web, image: {image}}}\n"
    )
}

#[test]
fn a_file_of_the_node_is_a_pod_for_as_long_as_it_is_there() {
    let Some(cluster) = Cluster::started("manifest") else { return };
    let file = cluster.folder().join("web.yaml");
    let place = |text: &str| {
        std::fs::write(&file, text).unwrap();
        cluster.coracle(&format!("cp {} manifest:/etc/kubernetes/manifests/web.yaml", file.display())).ok();
    };
    place(&manifest("coracle.local/hello"));
    let pod = "get pod -n kube-system web-manifest -o jsonpath=";
    until("the pod is ready", || {
        cluster.kubectl(&format!("{pod}{{.status.containerStatuses[0].ready}}")).out == "true"
    });
    let uid = || cluster.kubectl(&format!("{pod}{{.metadata.uid}}")).out;
    let first = uid();

    cluster.kubectl("delete pod -n kube-system web-manifest --wait=false").ok();
    until("one that was deleted is there again", || ![first.clone(), String::new()].contains(&uid()));

    place(&manifest("coracle.local/hello:latest"));
    until("it is what the file says now", || {
        cluster.kubectl(&format!("{pod}{{.spec.containers[0].image}}")).out == "coracle.local/hello:latest"
    });

    cluster.coracle("ssh -- rm /etc/kubernetes/manifests/web.yaml").ok();
    until("it goes with its file", || cluster.kubectl(&format!("{pod}{{.metadata.name}}")).code != 0);
}

/// What minikube's test of a cluster's health looks at.
#[test]
fn parts_of_the_control_plane_are_pods_that_are_ready_come_back_and_are_read_only() {
    let Some(cluster) = Cluster::started("mirrors") else { return };
    let parts = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    let words = "wait pod -n kube-system -l tier=control-plane --for=condition=Ready --timeout=60s";
    until("all are ready", || cluster.kubectl(words).out.matches("condition met").count() == parts.len());
    let list = "get pod -n kube-system -l tier=control-plane --sort-by=.metadata.name -o jsonpath=";
    let of_each = |path: &str| cluster.kubectl(&format!("{list}{{.items[*]{path}}}")).ok();
    assert_eq!(of_each(".metadata.labels.component"), parts.join(" "));
    assert_eq!(of_each(".status.phase"), ["Running"; 4].join(" "));

    let pod = "kube-scheduler-mirrors";
    let uid = || cluster.kubectl(&format!("get pod -n kube-system {pod} -o jsonpath={{.metadata.uid}}")).out;
    let first = uid();
    cluster.kubectl(&format!("delete pod -n kube-system {pod} --wait=false")).ok();
    until("one that was deleted is there again", || ![first.clone(), String::new()].contains(&uid()));
    until("it is ready", || cluster.kubectl(words).out.matches("condition met").count() == parts.len());
    let second = uid();
    let drained = cluster.kubectl("drain mirrors --ignore-daemonsets --delete-emptydir-data --timeout=60s");
    assert_eq!(drained.code, 0, "{}{}", drained.out, drained.err);
    assert_eq!(uid(), second);

    let log = cluster.kubectl(&format!("logs -n kube-system {pod}")).ok();
    assert!(log.contains("the node starts: coracle"), "{log}");
    let exec = cluster.kubectl(&format!("exec -n kube-system {pod} -- true"));
    assert!(exec.code != 0 && exec.err.contains("has no container"), "{}", exec.err);
    let running = cluster.coracle("ssh -- ls /var/log/pods").ok();
    assert!(!running.contains(pod), "{running}");
}
