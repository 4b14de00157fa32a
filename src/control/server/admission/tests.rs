//! Plugins through the whole server: what clients see of them.

use crate::control::server::Identity;
use crate::control::server::tests::{TestServer, server};
use futures::future::join_all;
use http::Request;
use kube::Client;
use serde_json::{Value, json};

/// Sends a request and gives back the code and the answer.
async fn send(client: &Client, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder().method(method).uri(path).header("content-type", kind);
    let request = request.body(serde_json::to_vec(body).unwrap()).unwrap();
    match client.request::<Value>(request).await {
        Ok(value) => (200, value),
        Err(kube::Error::Api(status)) => (status.code, serde_json::to_value(*status).unwrap()),
        Err(error) => panic!("{error}"),
    }
}

async fn cluster() -> (TestServer, Client) {
    let test = server().await;
    test.account().await;
    let client = test.admin();
    (test, client)
}

fn pod(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    if spec["containers"].is_null() {
        spec["containers"] = json!([{"name": "c", "image": "i"}]);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn every_plugin_can_be_switched_by_the_name_that_the_profile_knows() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::control::store::Store::open(folder.path()).unwrap();
    let webhooks = std::sync::Arc::new(super::Webhooks::new(&store));
    let own: Vec<&str> =
        super::table(&store, &webhooks).into_iter().map(|(name, _)| name).filter(|name| !name.is_empty()).collect();
    let known: Vec<&str> = crate::config::profile::ADMISSION.iter().map(|(name, _)| *name).collect();
    assert_eq!(own, known);
}

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn a_pod_gets_account_token_priority_and_tolerations() {
    let (_test, client) = cluster().await;
    let (_, made) = send(&client, "POST", PODS, &pod("p", json!({"priorityClassName": "system-node-critical"}))).await;
    let spec = &made["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["priority"], 2_000_001_000);
    assert_eq!(spec["preemptionPolicy"], "PreemptLowerPriority");
    let name = spec["volumes"][0]["name"].as_str().unwrap();
    assert!(name.starts_with("kube-api-access-") && name.len() == "kube-api-access-".len() + 5);
    assert_eq!(spec["containers"][0]["volumeMounts"][0]["name"], name);
    assert_eq!(spec["tolerations"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_a_pod_names_must_be_there() {
    let (_test, client) = cluster().await;
    let cases = [
        (
            json!({"serviceAccountName": "gone"}),
            "error looking up service account default/gone: serviceaccount \"gone\" not found",
        ),
        (json!({"priorityClassName": "gone"}), "no PriorityClass with name gone was found"),
        (json!({"runtimeClassName": "gone"}), "pod rejected: RuntimeClass \"gone\" not found"),
    ];
    for (spec, wanted) in cases {
        let (code, answer) = send(&client, "POST", PODS, &pod("p", spec)).await;
        assert_eq!((code, answer["message"].as_str().unwrap()), (403, &*format!("pods \"p\" is forbidden: {wanted}")));
    }
}

#[tokio::test]
async fn pods_made_at_once_do_not_pass_a_quota_together() {
    let (_test, client) = cluster().await;
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "3"}}});
    send(&client, "POST", quotas, &quota).await;
    let status = json!({"status": {"hard": {"pods": "3"}, "used": {"pods": "0"}}});
    send(&client, "PATCH", &format!("{quotas}/q/status"), &status).await;
    let pods: Vec<Value> = (0..10).map(|number| pod(&format!("p{number}"), json!({}))).collect();
    let answers = join_all(pods.iter().map(|pod| send(&client, "POST", PODS, pod))).await;
    assert_eq!(answers.iter().filter(|(code, _)| *code == 200).count(), 3);
    let refused = answers.iter().find(|(code, _)| *code == 403).unwrap();
    let message = refused.1["message"].as_str().unwrap();
    assert!(message.ends_with("exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3"), "{message}");
}

#[tokio::test]
async fn a_namespace_says_what_its_pods_may_do() {
    let (_test, client) = cluster().await;
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    send(&client, "PATCH", "/api/v1/namespaces/default", &label).await;
    let (code, answer) = send(&client, "POST", PODS, &pod("p", json!({"hostNetwork": true}))).await;
    let wanted =
        "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
    assert_eq!((code, answer["message"].as_str().unwrap()), (403, wanted));
    assert_eq!(send(&client, "POST", PODS, &pod("p", json!({}))).await.0, 200);
}

#[tokio::test]
async fn a_node_changes_only_what_is_its_own() {
    let (test, client) = cluster().await;
    let node = |name: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    send(&client, "POST", "/api/v1/nodes", &node("two")).await;
    let one = test.server.client(Identity::new("system:node:one", &["system:nodes"]));
    assert_eq!(send(&one, "POST", "/api/v1/nodes", &node("one")).await.0, 200);
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(send(&one, "PATCH", "/api/v1/nodes/two", &patch).await.0, 403);
    assert_eq!(send(&one, "PATCH", "/api/v1/nodes/one", &patch).await.0, 200);
    let restricted = json!({"metadata": {"labels": {"node-restriction.kubernetes.io/a": "b"}}});
    assert_eq!(send(&one, "PATCH", "/api/v1/nodes/one", &restricted).await.0, 403);
}

#[tokio::test]
async fn a_claim_gets_the_default_class_and_grows_only_where_it_may() {
    let (_test, client) = cluster().await;
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "p", "metadata":
        {"name": "std", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
    send(&client, "POST", "/apis/storage.k8s.io/v1/storageclasses", &class).await;
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    let (_, made) = send(&client, "POST", claims, &claim).await;
    assert_eq!(made["spec"]["storageClassName"], "std");
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
    send(&client, "PATCH", &format!("{claims}/c/status"), &bound).await;
    let larger = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    assert_eq!(send(&client, "PATCH", &format!("{claims}/c"), &larger).await.0, 403);
}

#[tokio::test]
async fn an_eviction_asks_the_budget() {
    let (_test, client) = cluster().await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    send(&client, "POST", budgets, &budget).await;
    let status = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1,
        "desiredHealthy": 1, "expectedPods": 1}});
    send(&client, "PATCH", &format!("{budgets}/b/status"), &status).await;
    let mut web = pod("web", json!({}));
    web["metadata"]["labels"] = json!({"app": "web"});
    send(&client, "POST", PODS, &web).await;
    let running = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    send(&client, "PATCH", &format!("{PODS}/web/status"), &running).await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}});
    let path = format!("{PODS}/web/eviction");
    let (code, answer) = send(&client, "POST", &path, &eviction).await;
    let wanted = "Cannot evict pod as it would violate the pod's disruption budget.";
    assert_eq!((code, answer["message"].as_str().unwrap()), (429, wanted));
    send(&client, "DELETE", &format!("{budgets}/b"), &json!({})).await;
    assert_eq!(send(&client, "POST", &path, &eviction).await.0, 200);
    assert_eq!(send(&client, "GET", &format!("{PODS}/web"), &json!({})).await.0, 404);
}
