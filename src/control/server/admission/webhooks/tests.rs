//! Webhooks as clients meet them: a real server behind TLS, changes through the whole server.

use crate::control::server::remote::testing::{TestRemote, allowed, denied, review};
use crate::control::server::tests::{TestServer, server};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api as Door, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// What the server of these tests says, by path.
fn answers(path: &str, body: &Value) -> Option<Value> {
    let mark = |name: &str| {
        let data = &body["request"]["object"]["data"];
        let patch = match data.is_object() {
            true => json!([{"op": "add", "path": format!("/data/{name}"), "value": "yes"}]),
            false => json!([{"op": "add", "path": "/data", "value": {name: "yes"}}]),
        };
        allowed(body, patch)
    };
    Some(match path {
        "/allow" => allowed(body, Value::Null),
        "/deny" => denied(body, "not here"),
        "/mark-one" => mark("one"),
        "/mark-two" => mark("two"),
        "/warn" => review(body, json!({"uid": body["request"]["uid"], "allowed": true, "warnings": ["careful"]})),
        "/container" => allowed(
            body,
            json!([{"op": "add", "path": "/spec/containers/-", "value": {"name": "side", "image": "side"}}]),
        ),
        "/broken" => json!({"no": "review"}),
        _ => return None,
    })
}

fn door(test: &TestServer, kind: &str) -> Door<DynamicObject> {
    Door::all_with(
        test.admin(),
        &ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind)),
    )
}

fn hook(remote: &TestRemote, path: &str, resource: &str, more: Value) -> Value {
    let mut hook = json!({
        "name": format!("{}.example.com", &path[1..]), "clientConfig": remote.client_config(path),
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": [resource], "operations": ["*"]}],
        "admissionReviewVersions": ["v1"], "sideEffects": "None",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        hook[key] = value.clone();
    }
    hook
}

async fn register(test: &TestServer, kind: &str, name: &str, hooks: Vec<Value>) {
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": {"name": name}, "webhooks": hooks});
    door(test, kind).create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

const MUTATING: &str = "MutatingWebhookConfiguration";
const VALIDATING: &str = "ValidatingWebhookConfiguration";

fn maps(test: &TestServer) -> Door<ConfigMap> {
    Door::namespaced(test.admin(), "default")
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"of": name}}})).unwrap()
}

fn said(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.message.clone()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_validating_webhook_refuses_what_its_rules_and_selectors_name() {
    let (test, remote) = (server().await, TestRemote::start(answers).await);
    let only = json!({"objectSelector": {"matchLabels": {"of": "bad"}}});
    register(&test, VALIDATING, "v", vec![hook(&remote, "/deny", "configmaps", only)]).await;
    maps(&test).create(&PostParams::default(), &map("good")).await.unwrap();
    let refused = maps(&test).create(&PostParams::default(), &map("bad")).await.unwrap_err();
    let words = "admission webhook \"deny.example.com\" denied the request: not here";
    assert_eq!(said(refused), (400, words.to_string()));
    let asked = &remote.asked("/deny")[0]["request"];
    assert_eq!(
        (&asked["operation"], &asked["namespace"], &asked["name"]),
        (&json!("CREATE"), &json!("default"), &json!("bad"))
    );
    assert_eq!(asked["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(asked["userInfo"]["username"], "admin");
    assert_eq!((&asked["object"]["kind"], &asked["oldObject"]), (&json!("ConfigMap"), &Value::Null));
}

#[tokio::test]
async fn a_deletion_shows_what_there_was() {
    let (test, remote) = (server().await, TestRemote::start(answers).await);
    maps(&test).create(&PostParams::default(), &map("a")).await.unwrap();
    register(&test, VALIDATING, "v", vec![hook(&remote, "/deny", "configmaps", json!({}))]).await;
    assert!(maps(&test).delete("a", &DeleteParams::default()).await.is_err());
    let asked = &remote.asked("/deny")[0]["request"];
    assert_eq!((&asked["operation"], &asked["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(asked["oldObject"]["metadata"]["name"], "a");
}

#[tokio::test]
async fn mutations_follow_each_other_and_are_seen_again_if_asked_for() {
    let (test, remote) = (server().await, TestRemote::start(answers).await);
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    let hooks =
        vec![hook(&remote, "/mark-one", "configmaps", again), hook(&remote, "/mark-two", "configmaps", json!({}))];
    register(&test, MUTATING, "m", hooks).await;
    let made = maps(&test).create(&PostParams::default(), &map("a")).await.unwrap();
    let data = made.data.unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!((remote.asked("/mark-one").len(), remote.asked("/mark-two").len()), (2, 1));
    assert_eq!(remote.asked("/mark-one")[1]["request"]["object"]["data"]["two"], "yes");
}

#[tokio::test]
async fn what_a_webhook_adds_is_defaulted() {
    let (test, remote) = (server().await, TestRemote::start(answers).await);
    test.account().await;
    register(&test, MUTATING, "m", vec![hook(&remote, "/container", "pods", json!({}))]).await;
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"},
        "spec": {"containers": [{"name": "main", "image": "main"}]}}))
    .unwrap();
    let made = Door::<Pod>::namespaced(test.admin(), "default").create(&PostParams::default(), &pod).await.unwrap();
    let side = &made.spec.unwrap().containers[1];
    assert_eq!((side.name.as_str(), side.image_pull_policy.as_deref()), ("side", Some("Always")));
    assert_eq!(side.termination_message_path.as_deref(), Some("/dev/termination-log"));
}

#[tokio::test]
async fn a_webhook_that_fails_stops_the_request_unless_it_may() {
    let (test, remote) = (server().await, TestRemote::start(answers).await);
    let limit = json!({"timeoutSeconds": 1});
    register(&test, VALIDATING, "slow", vec![hook(&remote, "/never", "configmaps", limit)]).await;
    let (code, message) = said(maps(&test).create(&PostParams::default(), &map("a")).await.unwrap_err());
    let words = format!(
        "Internal error occurred: failed calling webhook \"never.example.com\": failed to call webhook: \
         Post \"https://{}/never?timeout=1s\": context deadline exceeded",
        remote.address
    );
    assert_eq!((code, message), (500, words));
    let may = Patch::Json::<()>(
        serde_json::from_value(json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]))
            .unwrap(),
    );
    door(&test, VALIDATING).patch("slow", &PatchParams::default(), &may).await.unwrap();
    maps(&test).create(&PostParams::default(), &map("a")).await.unwrap();
}

#[tokio::test]
async fn whoever_is_not_believed_is_not_asked() {
    let (test, remote) = (server().await, TestRemote::start(answers).await);
    let other = TestRemote::start(answers).await;
    let config =
        json!({"clientConfig": {"url": format!("https://{}/allow", remote.address), "caBundle": other.bundle}});
    register(&test, VALIDATING, "v", vec![hook(&remote, "/allow", "configmaps", config)]).await;
    let (code, message) = said(maps(&test).create(&PostParams::default(), &map("a")).await.unwrap_err());
    assert_eq!(code, 500);
    assert!(
        message.ends_with("tls: failed to verify certificate: x509: certificate signed by unknown authority"),
        "{message}"
    );
    assert!(remote.asked("/allow").is_empty());
}

#[tokio::test]
async fn an_answer_that_is_no_review_counts_as_a_failure() {
    let (test, remote) = (server().await, TestRemote::start(answers).await);
    register(&test, VALIDATING, "v", vec![hook(&remote, "/broken", "configmaps", json!({}))]).await;
    let (_, message) = said(maps(&test).create(&PostParams::default(), &map("a")).await.unwrap_err());
    assert!(
        message.contains("failed calling webhook \"broken.example.com\": received invalid webhook response"),
        "{message}"
    );
}

#[tokio::test]
async fn a_dry_run_is_only_asked_of_those_without_side_effects() {
    let (test, remote) = (server().await, TestRemote::start(answers).await);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    register(&test, MUTATING, "m", vec![hook(&remote, "/mark-one", "configmaps", json!({}))]).await;
    assert_eq!(maps(&test).create(&dry, &map("a")).await.unwrap().data.unwrap().len(), 1);
    assert_eq!(remote.asked("/mark-one")[0]["request"]["dryRun"], true);
    let old = json!({"sideEffects": "Some"});
    // Only older configurations may say so; the new ones are refused.
    let refused = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": VALIDATING, "metadata": {"name": "v"},
        "webhooks": [hook(&remote, "/allow", "configmaps", old)]});
    let refused =
        door(&test, VALIDATING).create(&PostParams::default(), &serde_json::from_value(refused).unwrap()).await;
    assert_eq!(said(refused.unwrap_err()).0, 422);
}

#[tokio::test]
async fn nobody_stands_between_an_administrator_and_the_configurations() {
    let (test, remote) = (server().await, TestRemote::start(answers).await);
    let everything =
        json!({"rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}]});
    register(&test, VALIDATING, "v", vec![hook(&remote, "/deny", "configmaps", everything)]).await;
    door(&test, VALIDATING).delete("v", &DeleteParams::default()).await.unwrap();
    maps(&test).create(&PostParams::default(), &map("a")).await.unwrap();
    assert!(remote.asked("/deny").is_empty());
}

#[tokio::test]
async fn warnings_reach_the_client() {
    let (test, remote) = (server().await, TestRemote::start(answers).await);
    register(&test, VALIDATING, "v", vec![hook(&remote, "/warn", "configmaps", json!({}))]).await;
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let request =
        http::Request::post("/api/v1/namespaces/default/configmaps").header("content-type", "application/json");
    let request = request.body(kube::client::Body::from(body.to_string().into_bytes())).unwrap();
    let answer = test.admin().send(request).await.unwrap();
    assert_eq!(answer.headers()["warning"], "299 - \"careful\"");
}
