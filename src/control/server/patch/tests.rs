//! Writes through the whole server: what is pruned, patched, applied, and whom it belongs to.

use crate::control::server::tests::{TestServer, server};
use http::Request;
use serde_json::{Value, json};

/// Sends a request and returns the code, the warnings and the body.
async fn send(test: &TestServer, method: &str, path: &str, media: &str, body: &Value) -> (u16, Vec<String>, Value) {
    let request =
        Request::builder().method(method).uri(path).header("content-type", media).header("user-agent", "tester/1.0");
    let request = request.body(kube::client::Body::from(body.to_string().into_bytes())).unwrap();
    let answer = test.admin().send(request).await.unwrap();
    let warnings =
        answer.headers().get_all("warning").iter().map(|value| value.to_str().unwrap().to_string()).collect();
    let code = answer.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    (code, warnings, serde_json::from_slice(&bytes).unwrap())
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";

fn pod(extra: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c", "image": "i", "nmae": 1}]}});
    json_patch::merge(&mut pod, &extra);
    pod
}

/// A server in which pods can be made.
async fn with_account() -> TestServer {
    let test = server().await;
    let account = json!({"metadata": {"name": "default"}});
    send(&test, "POST", "/api/v1/namespaces/default/serviceaccounts", JSON, &account).await;
    test
}

#[tokio::test]
async fn unknown_fields_are_pruned_with_a_warning_or_refused() {
    let test = with_account().await;
    let (code, warnings, made) = send(&test, "POST", PODS, JSON, &pod(json!({"spec": {"foo": 1}}))).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        warnings,
        ["299 - \"unknown field \\\"spec.containers[0].nmae\\\"\"", "299 - \"unknown field \\\"spec.foo\\\"\""]
    );
    assert!(made["spec"].get("foo").is_none() && made["spec"]["containers"][0].get("nmae").is_none());
    let strict = format!("{PODS}?fieldValidation=Strict");
    let (code, _, refused) = send(&test, "POST", &strict, JSON, &pod(json!({"spec": {"foo": 1}}))).await;
    let wanted = "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: \
                  unknown field \"spec.containers[0].nmae\", unknown field \"spec.foo\"";
    assert_eq!((code, refused["message"].as_str().unwrap()), (400, wanted));
    let ignore = format!("{PODS}?fieldValidation=Ignore");
    let (code, warnings, _) = send(&test, "POST", &ignore, JSON, &pod(json!({"metadata": {"name": "b"}}))).await;
    assert_eq!((code, warnings.len()), (201, 0));
}

#[tokio::test]
async fn a_wrong_type_or_option_is_refused() {
    let test = with_account().await;
    let (code, _, refused) = send(&test, "POST", PODS, JSON, &pod(json!({"spec": {"hostNetwork": "yes"}}))).await;
    let wanted = "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field \
                  PodSpec.spec.hostNetwork of type bool";
    assert_eq!((code, refused["message"].as_str().unwrap()), (400, wanted));
    let (code, _, refused) = send(&test, "POST", &format!("{MAPS}?fieldValidation=Some"), JSON, &json!({})).await;
    assert_eq!(code, 422);
    assert!(
        refused["message"].as_str().unwrap().starts_with("CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation")
    );
}

#[tokio::test]
async fn a_strategic_patch_merges_by_key() {
    let test = with_account().await;
    send(&test, "POST", PODS, JSON, &pod(json!({}))).await;
    let patch = json!({"spec": {"containers": [{"name": "c", "image": "j"}]}});
    let (code, _, patched) =
        send(&test, "PATCH", &format!("{PODS}/a"), "application/strategic-merge-patch+json", &patch).await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(patched["spec"]["containers"].as_array().unwrap().len(), 1);
    assert_eq!(patched["spec"]["containers"][0]["image"], "j");
    let managers = &patched["metadata"]["managedFields"];
    assert_eq!(managers[0]["manager"], "tester");
    assert!(managers[0]["fieldsV1"]["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"].get("f:image").is_some());
    let (code, _, refused) = send(&test, "PATCH", &format!("{PODS}/a"), "application/patch", &patch).await;
    assert_eq!(code, 415);
    assert!(refused["message"].as_str().unwrap().contains("application/strategic-merge-patch+json"));
}

fn map(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": value}})
}

#[tokio::test]
async fn an_apply_makes_changes_and_meets_conflicts() {
    let test = server().await;
    let path = |manager: &str| format!("{MAPS}/m?fieldManager={manager}");
    let (code, _, made) = send(&test, "PATCH", &path("one"), APPLY, &map("1")).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Apply");
    let (code, _, same) = send(&test, "PATCH", &path("one"), APPLY, &map("1")).await;
    assert_eq!((code, &same), (200, &made), "nothing changed, nothing is written");
    let (code, _, refused) = send(&test, "PATCH", &path("two"), APPLY, &map("2")).await;
    assert_eq!(code, 409);
    assert_eq!(refused["message"], "Apply failed with 1 conflict: conflict with \"one\": .data.k");
    let cause = json!({"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".data.k"});
    assert_eq!(refused["details"]["causes"][0], cause);
    let (code, _, forced) = send(&test, "PATCH", &format!("{}&force=true", path("two")), APPLY, &map("2")).await;
    assert_eq!((code, &forced["data"]["k"]), (200, &json!("2")));
    let (code, _, refused) = send(&test, "PATCH", &format!("{MAPS}/m"), APPLY, &map("1")).await;
    assert_eq!(code, 422);
    assert!(refused["message"].as_str().unwrap().contains("fieldManager: Required value: is required for apply patch"));
    let mut odd = map("1");
    odd["dat"] = json!({});
    let (code, _, refused) = send(&test, "PATCH", &path("one"), APPLY, &odd).await;
    assert_eq!(code, 400);
    let wanted =
        "failed to create typed patch object (default/m; /v1, Kind=ConfigMap): .dat: field not declared in schema";
    assert_eq!(refused["message"], wanted);
}

#[tokio::test]
async fn a_dry_run_of_an_apply_writes_nothing() {
    let test = server().await;
    let (code, ..) = send(&test, "PATCH", &format!("{MAPS}/m?fieldManager=one&dryRun=All"), APPLY, &map("1")).await;
    assert_eq!(code, 201);
    let (code, ..) = send(&test, "GET", &format!("{MAPS}/m"), JSON, &json!({})).await;
    assert_eq!(code, 404);
}

#[tokio::test]
async fn a_status_has_managers_of_its_own() {
    let test = with_account().await;
    send(&test, "POST", PODS, JSON, &pod(json!({}))).await;
    let patch = json!({"status": {"phase": "Running"}, "spec": {"nodeName": "n"}});
    let (code, _, patched) =
        send(&test, "PATCH", &format!("{PODS}/a/status?fieldManager=agent"), "application/merge-patch+json", &patch)
            .await;
    assert_eq!(code, 200, "{patched}");
    let managers = patched["metadata"]["managedFields"].as_array().unwrap();
    let agent = managers.iter().find(|manager| manager["manager"] == "agent").unwrap();
    assert_eq!((&agent["subresource"], &agent["fieldsV1"]), (&json!("status"), &json!({"f:status": {"f:phase": {}}})));
    assert!(patched["spec"].get("nodeName").is_none());
}
