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
