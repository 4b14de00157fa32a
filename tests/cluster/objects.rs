//! Objects through a real `kubectl`.

use super::harness::Cluster;

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  colour: blue\n";

#[test]
fn kubectl_makes_shows_changes_and_deletes_objects() {
    let Some(cluster) = Cluster::started("objects") else { return };
    cluster.kubectl_with("create", CONFIG).ok();
    let again = cluster.kubectl_with("create", CONFIG);
    assert!(again.err.contains("configmaps \"settings\" already exists"), "{}", again.err);
    let table = cluster.kubectl("get configmaps").ok();
    assert!(table.starts_with("NAME"), "{table}");
    cluster.kubectl("patch configmap settings --type=merge -p {\"data\":{\"colour\":\"red\"}}").ok();
    assert_eq!(cluster.kubectl("get configmap settings -o jsonpath={.data.colour}").ok(), "red");
    cluster.kubectl("label configmap settings a=b").ok();
    assert!(cluster.kubectl("get configmap -l a=b -o name").ok().contains("configmap/settings"));
    assert_eq!(cluster.kubectl("get configmap -l a=c -o name").ok(), "");
    cluster.kubectl("delete configmap settings").ok();
    let gone = cluster.kubectl("get configmap settings");
    assert!(gone.err.contains("Error from server (NotFound): configmaps \"settings\" not found"), "{}", gone.err);
}

#[test]
fn every_kind_is_listed_by_api_resources() {
    let Some(cluster) = Cluster::started("kinds") else { return };
    let names = cluster.kubectl("api-resources -o name").ok();
    for name in [
        "pods",
        "deployments.apps",
        "cronjobs.batch",
        "networkpolicies.networking.k8s.io",
        "storageclasses.storage.k8s.io",
    ] {
        assert!(names.lines().any(|line| line == name), "{name} is missing in {names}");
    }
    let version = cluster.kubectl("version").ok();
    assert!(version.contains("Server Version: v1.36"), "{version}");
}

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 3\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: coracle.local/hello}]}\n";

#[test]
fn controllers_make_what_is_wanted() {
    let Some(cluster) = Cluster::started("controllers") else { return };
    cluster.kubectl_with("create", WEB).ok();
    cluster.kubectl("wait --for=create serviceaccount/default --timeout=20s").ok();
    cluster.kubectl("wait --for=jsonpath={.status.replicas}=3 deployment/web --timeout=20s").ok();
    let pods = cluster.kubectl("get pods -l app=web -o name").ok();
    assert_eq!(pods.lines().count(), 3, "{pods}");
}
