//! The policies in a real kernel, with real traffic between network namespaces.

use super::*;
use crate::net::testing::{TestNode, TestPod, ask, is_silent, serve};
use serde_json::{Value, json};
use std::sync::Arc;

struct Cluster {
    guard: Guard,
    node: TestNode,
}

impl Cluster {
    async fn new() -> Option<Self> {
        let node = TestNode::new().await?;
        let mut guard = Guard::new(&node.profile).unwrap();
        let namespace = json!({"metadata": {"name": "default", "labels": {"team": "blue"}}});
        let namespace = Arc::new(serde_json::from_value(namespace).unwrap());
        guard.note(News::Namespace(Change::Applied { old: None, new: namespace }));
        guard.sync(true).await.unwrap();
        Some(Self { guard, node })
    }

    /// A pod named by its label `app`, which serves on the ports 8080 and 9090.
    async fn pod(&mut self, app: &'static str) -> TestPod {
        let pod = self.node.pod().await;
        serve(Some(&pod.network), 8080, app);
        serve(Some(&pod.network), 9090, app);
        self.label(&pod, app, app).await;
        pod
    }

    async fn label(&mut self, pod: &TestPod, name: &str, app: &str) {
        let object = json!({"metadata": {"namespace": "default", "name": name, "labels": {"app": app}},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"phase": "Running", "podIPs": [{"ip": pod.address}]}});
        let object = Arc::new(serde_json::from_value(object).unwrap());
        self.guard.note(News::Pod(Change::Applied { old: None, new: object }));
        self.guard.sync(false).await.unwrap();
    }

    /// Makes the policy, or changes it.
    async fn policy(&mut self, spec: Value) {
        let object = json!({"metadata": {"namespace": "default", "name": "p"}, "spec": spec});
        let object = Arc::new(serde_json::from_value(object).unwrap());
        self.guard.note(News::Policy(Change::Applied { old: None, new: object }));
        self.guard.sync(false).await.unwrap();
    }

    async fn no_policy(&mut self) {
        let last = self.guard.world.policies.values().next().unwrap().clone();
        self.guard.note(News::Policy(Change::Deleted(last)));
        self.guard.sync(false).await.unwrap();
    }
}

fn at(pod: &TestPod, port: u16) -> String {
    format!("{}:{port}", pod.address)
}

#[tokio::test]
async fn a_selected_pod_takes_only_what_is_allowed_and_always_its_node() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let (web, friend, other) = (cluster.pod("web").await, cluster.pod("friend").await, cluster.pod("other").await);
    let selected = json!({"matchLabels": {"app": "web"}});
    cluster.policy(json!({"podSelector": selected})).await;
    assert!(is_silent(Some(&friend.network), &at(&web, 8080)));
    assert!(is_silent(Some(&cluster.node.machine), &at(&web, 8080)));
    assert!(ask(None, &at(&web, 8080)).is_ok(), "probes come from the node");
    assert!(ask(Some(&web.network), &at(&other, 8080)).is_ok(), "answers come back, and nobody selected the other");
    assert!(ask(Some(&web.network), &at(&web, 8080)).is_ok(), "a pod reaches itself");

    let from = json!([{"podSelector": {"matchLabels": {"app": "friend"}}}]);
    cluster.policy(json!({"podSelector": selected, "ingress": [{"from": from, "ports": [{"port": "http"}]}]})).await;
    assert!(ask(Some(&friend.network), &at(&web, 8080)).is_ok());
    assert!(is_silent(Some(&friend.network), &at(&web, 9090)));
    assert!(is_silent(Some(&other.network), &at(&web, 8080)));
    cluster.label(&other, "other", "friend").await;
    assert!(ask(Some(&other.network), &at(&web, 8080)).is_ok(), "a new label counts at once");

    let from =
        json!([{"ipBlock": {"cidr": "192.168.49.0/24"}}, {"namespaceSelector": {"matchLabels": {"team": "red"}}}]);
    cluster.policy(json!({"podSelector": selected, "ingress": [{"from": from}]})).await;
    assert!(ask(Some(&cluster.node.machine), &at(&web, 8080)).is_ok());
    assert!(is_silent(Some(&friend.network), &at(&web, 8080)));
    cluster.no_policy().await;
    assert!(ask(Some(&friend.network), &at(&web, 8080)).is_ok());
}

#[tokio::test]
async fn a_selected_pod_sends_only_what_is_allowed() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let (web, db) = (cluster.pod("web").await, cluster.pod("db").await);
    serve(None, 7000, "node");
    let node = "192.168.49.2:7000";
    let selected = json!({"matchLabels": {"app": "web"}});
    let spec = |egress: Value| json!({"podSelector": selected, "policyTypes": ["Egress"], "egress": egress});
    cluster.policy(spec(json!([]))).await;
    assert!(is_silent(Some(&web.network), &at(&db, 8080)));
    assert!(is_silent(Some(&web.network), node));
    assert!(ask(Some(&db.network), &at(&web, 8080)).is_ok(), "what comes in is not looked at");
    let to_db = json!([{"podSelector": {"matchLabels": {"app": "db"}}}]);
    cluster.policy(spec(json!([{"to": to_db, "ports": [{"port": 8000, "endPort": 8100}]}]))).await;
    assert!(ask(Some(&web.network), &at(&db, 8080)).is_ok());
    assert!(is_silent(Some(&web.network), &at(&db, 9090)));
    let block = json!([{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}}]);
    cluster.policy(spec(json!([{"to": block}]))).await;
    assert!(is_silent(Some(&web.network), &at(&db, 8080)));
    assert!(ask(Some(&web.network), node).is_ok());
}

#[tokio::test]
async fn both_ends_must_allow_a_connection() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let (one, two) = (cluster.pod("one").await, cluster.pod("two").await);
    let types = json!(["Ingress", "Egress"]);
    cluster.policy(json!({"podSelector": {}, "policyTypes": types, "egress": [{}]})).await;
    assert!(is_silent(Some(&one.network), &at(&two, 8080)));
    cluster.policy(json!({"podSelector": {}, "policyTypes": types, "ingress": [{}]})).await;
    assert!(is_silent(Some(&one.network), &at(&two, 8080)));
    cluster.policy(json!({"podSelector": {}, "policyTypes": types, "ingress": [{}], "egress": [{}]})).await;
    assert!(ask(Some(&one.network), &at(&two, 8080)).is_ok());
    cluster.guard.sync(true).await.unwrap();
    assert!(ask(Some(&one.network), &at(&two, 8080)).is_ok(), "the whole table at once is the same");
}
