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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn applies_that_make_one_object_at_the_same_time_all_succeed() {
    let test = server().await;
    for round in 0..10 {
        let path = format!("{MAPS}/m{round}?fieldManager=one");
        let mut wanted = map("1");
        wanted["metadata"]["name"] = json!(format!("m{round}"));
        let all = futures::future::join_all((0..5).map(|_| send(&test, "PATCH", &path, APPLY, &wanted))).await;
        let mut codes: Vec<u16> = all.iter().map(|(code, ..)| *code).collect();
        codes.sort();
        assert_eq!(codes, [200, 200, 200, 200, 201], "{all:?}");
    }
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

const OLD: &str = "/apis/extensions/v1beta1/namespaces/default/ingresses";
const NEW: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
const WARNING: &str = "299 - \"extensions/v1beta1 Ingress is deprecated in v1.14+, unavailable in v1.22+; use \
                       networking.k8s.io/v1 Ingress\"";

#[tokio::test]
async fn an_object_of_an_old_version_is_the_same_object_in_the_new_one() {
    let test = server().await;
    let backend = json!({"serviceName": "web", "servicePort": 80});
    let ingress = json!({"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "a"},
        "spec": {"backend": backend}});
    let (code, warnings, made) = send(&test, "POST", OLD, JSON, &ingress).await;
    assert_eq!((code, warnings), (201, vec![WARNING.to_string()]), "{made}");
    assert_eq!((&made["apiVersion"], &made["spec"]["backend"]), (&json!("extensions/v1beta1"), &backend));
    assert_eq!(made["metadata"]["managedFields"][0]["apiVersion"], "extensions/v1beta1");
    assert!(made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:backend"].is_object(), "{made}");

    let (_, warnings, read) = send(&test, "GET", &format!("{NEW}/a"), JSON, &Value::Null).await;
    assert_eq!((warnings.len(), &read["apiVersion"]), (0, &json!("networking.k8s.io/v1")));
    assert_eq!(read["spec"]["defaultBackend"]["service"], json!({"name": "web", "port": {"number": 80}}));
    assert_eq!(read["metadata"]["uid"], made["metadata"]["uid"]);

    let patch = json!({"spec": {"backend": {"servicePort": "http"}}});
    let merge = "application/merge-patch+json";
    let (code, _, patched) = send(&test, "PATCH", &format!("{OLD}/a"), merge, &patch).await;
    assert_eq!((code, &patched["spec"]["backend"]["servicePort"]), (200, &json!("http")), "{patched}");
    let (_, _, list) = send(&test, "GET", NEW, JSON, &Value::Null).await;
    assert_eq!(list["items"][0]["spec"]["defaultBackend"]["service"]["port"], json!({"name": "http"}));
    let (_, _, list) = send(&test, "GET", OLD, JSON, &Value::Null).await;
    assert_eq!((&list["apiVersion"], &list["kind"]), (&json!("extensions/v1beta1"), &json!("IngressList")));
    assert_eq!(list["items"][0]["spec"]["backend"]["serviceName"], "web");
}

#[tokio::test]
async fn who_applies_in_an_old_version_and_who_in_the_new_one_meet_in_their_fields() {
    let test = server().await;
    let old = json!({"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "a"},
        "spec": {"backend": {"serviceName": "web", "servicePort": 80}}});
    let (code, warnings, made) = send(&test, "PATCH", &format!("{OLD}/a?fieldManager=one"), APPLY, &old).await;
    assert_eq!((code, warnings), (201, vec![WARNING.to_string()]), "{made}");
    let new = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"},
        "spec": {"defaultBackend": {"service": {"name": "other", "port": {"number": 80}}}}});
    let path = format!("{NEW}/a?fieldManager=two");
    let (code, _, refused) = send(&test, "PATCH", &path, APPLY, &new).await;
    assert_eq!(code, 409, "{refused}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("conflict with \"one\": .spec.backend.serviceName"), "{message}");
    let (code, _, taken) = send(&test, "PATCH", &format!("{path}&force=true"), APPLY, &new).await;
    assert_eq!((code, &taken["spec"]["defaultBackend"]["service"]["name"]), (200, &json!("other")), "{taken}");
}

#[tokio::test]
async fn what_was_right_in_its_time_is_taken() {
    let test = server().await;
    let post = async |path: &str, object: Value| {
        let (code, warnings, made) = send(&test, "POST", path, JSON, &object).await;
        assert_eq!((code, warnings.len()), (201, 1), "{path} {warnings:?} {made}");
        made
    };
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let workload = json!({"metadata": {"name": "w"}, "spec": {"template": template}});
    for (group, plural) in [
        ("extensions/v1beta1", "deployments"),
        ("extensions/v1beta1", "daemonsets"),
        ("extensions/v1beta1", "replicasets"),
        ("apps/v1beta1", "statefulsets"),
    ] {
        let made = post(&format!("/apis/{group}/namespaces/default/{plural}"), workload.clone()).await;
        assert_eq!(made["spec"]["selector"], json!({"matchLabels": {"a": "b"}}), "{made}");
    }
    let job = json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let cron = json!({"metadata": {"name": "c"}, "spec": {"schedule": "* * * * *", "jobTemplate": job}});
    post("/apis/batch/v1beta1/namespaces/default/cronjobs", cron).await;
    let budget = json!({"metadata": {"name": "p"}, "spec": {"minAvailable": 1, "selector": {}}});
    let budget = post("/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets", budget).await;
    assert_eq!(budget["spec"]["selector"], json!({}));
    let hook = json!({"metadata": {"name": "h"}, "webhooks": [{"name": "a.b.c", "clientConfig": {"url": "https://a/b"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["widgets"], "operations": ["CREATE"]}]}]});
    post("/apis/admissionregistration.k8s.io/v1beta1/validatingwebhookconfigurations", hook).await;
    let definition = json!({"metadata": {"name": "widgets.example.com"}, "spec": {
        "group": "example.com", "version": "v1", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
        "validation": {"openAPIV3Schema": {"properties": {"spec": {"properties": {"a": {"type": "string"}}}}}}}});
    let made = post("/apis/apiextensions.k8s.io/v1beta1/customresourcedefinitions", definition).await;
    assert_eq!((&made["spec"]["version"], &made["spec"]["versions"][0]["name"]), (&json!("v1"), &json!("v1")));
}

#[tokio::test]
async fn questions_are_answered_in_the_version_in_which_they_were_asked() {
    let test = server().await;
    for version in ["v1", "v1beta1", "v1alpha1"] {
        let path = format!("/apis/authentication.k8s.io/{version}/selfsubjectreviews");
        let (code, _, review) = send(&test, "POST", &path, JSON, &json!({})).await;
        assert_eq!((code, &review["status"]["userInfo"]["username"]), (201, &json!("admin")), "{review}");
        assert_eq!(review["apiVersion"], format!("authentication.k8s.io/{version}"));
    }
    let attributes = json!({"verb": "get", "resource": "pods"});
    let review = json!({"spec": {"user": "u", "group": ["system:masters"], "resourceAttributes": attributes}});
    let path = "/apis/authorization.k8s.io/v1beta1/subjectaccessreviews";
    let (_, warnings, review) = send(&test, "POST", path, JSON, &review).await;
    assert_eq!((warnings.len(), &review["status"]["allowed"]), (1, &json!(true)), "{review}");
    assert_eq!(review["spec"]["group"], json!(["system:masters"]));
}

#[tokio::test]
async fn parts_of_the_control_plane_are_asked_whether_they_live() {
    let test = server().await;
    let scheduler = test.server.client(crate::control::server::Identity::new("system:kube-scheduler", &[]));
    let health = async |name: &str| {
        let (code, warnings, one) =
            send(&test, "GET", &format!("/api/v1/componentstatuses/{name}"), JSON, &Value::Null).await;
        assert_eq!(
            (code, warnings.as_slice()),
            (200, &["299 - \"v1 ComponentStatus is deprecated in v1.19+\"".to_string()][..])
        );
        one["conditions"][0]["status"].as_str().unwrap().to_string()
    };
    assert_eq!([health("scheduler").await, health("etcd-0").await], ["True", "True"]);
    assert_eq!(health("controller-manager").await, "False");
    drop(scheduler);
    assert_eq!(health("scheduler").await, "False");
    let (code, ..) = send(&test, "GET", "/api/v1/componentstatuses/other", JSON, &Value::Null).await;
    assert_eq!(code, 404);
}

#[tokio::test]
async fn a_binding_names_a_node() {
    let test = with_account().await;
    let made = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    send(&test, "POST", PODS, JSON, &made).await;
    let bind = async |target: Value, query: &str| {
        let (code, _, answer) =
            send(&test, "POST", &format!("{PODS}/a/binding{query}"), JSON, &json!({"target": target})).await;
        (code, answer["message"].as_str().unwrap_or_default().to_string())
    };
    let (code, message) = bind(json!({}), "").await;
    assert_eq!((code, message.as_str()), (422, "Binding \"a\" is invalid: target.name: Required value"));
    let (code, message) = bind(json!({"kind": "Pod", "name": "n"}), "").await;
    let expected =
        "Binding \"a\" is invalid: target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\"";
    assert_eq!((code, message.as_str()), (422, expected));
    assert_eq!(bind(json!({"kind": "Node", "name": "n"}), "?dryRun=All").await.0, 201);
    let (_, _, pod) = send(&test, "GET", &format!("{PODS}/a"), JSON, &Value::Null).await;
    assert!(pod["spec"]["nodeName"].is_null(), "nothing was written");
    assert_eq!(bind(json!({"name": "n"}), "").await.0, 201);
    assert_eq!(bind(json!({"name": "n"}), "").await.0, 409);
}

#[tokio::test]
async fn a_json_patch_that_does_not_apply_says_so_in_the_words_of_kubernetes_and_why_in_a_cause() {
    let test = server().await;
    send(&test, "POST", MAPS, JSON, &json!({"metadata": {"name": "a"}})).await;
    let patch = json!([{"op": "remove", "path": "/data/missing"}]);
    let (code, _, refused) = send(&test, "PATCH", &format!("{MAPS}/a"), "application/json-patch+json", &patch).await;
    assert_eq!((code, &refused["reason"]), (422, &json!("Invalid")));
    assert_eq!(refused["message"], "the server rejected our request due to an error in our request");
    let cause = &refused["details"]["causes"][0];
    assert_eq!(cause["field"], "patch");
    assert!(cause["message"].as_str().unwrap().contains("/data/missing"), "{cause}");
}
