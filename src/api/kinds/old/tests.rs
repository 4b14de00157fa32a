//! What old versions say, and that nothing is lost on the way.

use crate::api::{KINDS, Kind, Object, kinds};
use serde_json::{Value, json};

fn kind(api_version: &str, name: &str) -> (&'static Kind, &'static kinds::Served) {
    let (group, version) = api_version.split_once('/').unwrap();
    let kind = kinds::find_kind(group, version, name).unwrap_or_else(|| panic!("{api_version} {name}"));
    (kind, kind.served_as(group, version).unwrap())
}

fn stored(api_version: &str, name: &str, value: Value) -> Value {
    let mut object = Object::from_value(value).unwrap();
    (kind(api_version, name).1.to_stored)(&mut object);
    Value::Object(object.0)
}

/// The object of an old version, through the stored one and back.
fn there_and_back(api_version: &str, name: &str, value: Value) -> Value {
    let mut object = Object::from_value(stored(api_version, name, value)).unwrap();
    (kind(api_version, name).1.from_stored)(&mut object);
    Value::Object(object.0)
}

#[test]
fn a_version_that_went_says_so_in_kubernetes_words() {
    let cron = kinds::find("batch", "v1beta1", "cronjobs").unwrap();
    let warning = "batch/v1beta1 CronJob is deprecated in v1.21+, unavailable in v1.25+; use batch/v1 CronJob";
    assert_eq!(cron.old_warning("batch", "v1beta1"), Some(warning));
    assert_eq!(cron.old_warning("batch", "v1"), None);
    let deployment = kinds::find("extensions", "v1beta1", "deployments").unwrap();
    assert!(deployment.has_left("extensions", "v1beta1"));
    assert!(!deployment.has_left("apps", "v1beta1") && !deployment.has_left("apps", "v1"));
}

#[test]
fn every_old_version_leads_to_the_stored_one() {
    for kind in KINDS.iter().filter(|kind| kind.custom.is_none()) {
        for served in kind.served.iter().filter(|served| !served.warning.is_empty()) {
            let name = format!("{} {} is deprecated", served.version.api_version(), kind.kind);
            assert!(served.warning.starts_with(&name), "{}", served.warning);
        }
    }
}

#[test]
fn an_ingress_keeps_its_backends() {
    let old = json!({"spec": {
        "backend": {"serviceName": "all", "servicePort": 80},
        "rules": [{"host": "a", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"serviceName": "web", "servicePort": "http"}},
            {"path": "/b", "pathType": "Exact", "backend": {"resource": {"kind": "Bucket", "name": "b"}}}]}}]}});
    let new = stored("networking.k8s.io/v1beta1", "Ingress", old.clone());
    assert_eq!(new["spec"]["defaultBackend"], json!({"service": {"name": "all", "port": {"number": 80}}}));
    let path = &new["spec"]["rules"][0]["http"]["paths"][0];
    assert_eq!(path["backend"], json!({"service": {"name": "web", "port": {"name": "http"}}}));
    assert_eq!(there_and_back("extensions/v1beta1", "Ingress", old.clone()), old);
    let bare = json!({"spec": {"rules": [{"http": {"paths": [{"backend": {"serviceName": "w", "servicePort": 1}}]}}]}});
    let new = stored("extensions/v1beta1", "Ingress", bare);
    assert_eq!(new["spec"]["rules"][0]["http"]["paths"][0]["pathType"], "ImplementationSpecific");
}

#[test]
fn workloads_select_by_their_template_and_have_the_defaults_of_their_time() {
    let bare = json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}});
    let first = stored("extensions/v1beta1", "Deployment", bare.clone());
    assert_eq!(first["spec"]["selector"], json!({"matchLabels": {"a": "b"}}));
    assert_eq!(first["spec"]["strategy"]["rollingUpdate"], json!({"maxUnavailable": 1, "maxSurge": 1}));
    let second = stored("apps/v1beta1", "Deployment", bare.clone());
    assert_eq!((&second["spec"]["revisionHistoryLimit"], &second["spec"]["strategy"]), (&json!(2), &Value::Null));
    let daemon = stored("extensions/v1beta1", "DaemonSet", bare.clone());
    assert_eq!(daemon["spec"]["updateStrategy"]["type"], "OnDelete");
    assert_eq!(stored("apps/v1beta2", "Deployment", bare.clone()), bare);
    let mut old = stored("extensions/v1beta1", "DaemonSet", bare);
    old["metadata"] = json!({"name": "d"});
    old["spec"]["templateGeneration"] = json!(3);
    assert_eq!(there_and_back("extensions/v1beta1", "DaemonSet", old.clone()), old);
}

#[test]
fn an_empty_selector_of_a_budget_means_what_it_meant() {
    let old = json!({"spec": {"selector": {}}});
    let none = stored("policy/v1beta1", "PodDisruptionBudget", old.clone());
    assert_eq!(none["spec"]["selector"]["matchExpressions"][0]["operator"], "Exists");
    assert_eq!(there_and_back("policy/v1beta1", "PodDisruptionBudget", old.clone()), old);
    let mut all = Object::from_value(old.clone()).unwrap();
    let (_, served) = kind("policy/v1beta1", "PodDisruptionBudget");
    (served.from_stored)(&mut all);
    assert_eq!(all.at(&["spec", "selector", "matchExpressions"]).unwrap()[0]["operator"], "DoesNotExist");
    (served.to_stored)(&mut all);
    assert_eq!(Value::Object(all.0), old);
}

#[test]
fn the_place_of_an_endpoint_goes_along() {
    let old = json!({"endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "n", "topology": {
        "kubernetes.io/hostname": "n", "topology.kubernetes.io/zone": "z", "own": "o"}}]});
    let new = stored("discovery.k8s.io/v1beta1", "EndpointSlice", old.clone());
    assert_eq!(
        new["endpoints"][0],
        json!({"addresses": ["10.0.0.1"], "nodeName": "n", "zone": "z", "deprecatedTopology": {"own": "o"}})
    );
    assert_eq!(there_and_back("discovery.k8s.io/v1beta1", "EndpointSlice", old.clone()), old);
}

#[test]
fn a_definition_gives_every_version_what_they_share() {
    let old = json!({"spec": {"group": "g", "version": "v1", "scope": "Namespaced",
        "validation": {"openAPIV3Schema": {"properties": {"spec": {"properties": {"a": {"type": "string"}}}}}},
        "subresources": {"status": {}}, "additionalPrinterColumns": [{"name": "A", "type": "string", "JSONPath": ".spec.a"}]}});
    let new = stored("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition", old);
    let version = &new["spec"]["versions"][0];
    assert_eq!((&version["name"], &version["storage"]), (&json!("v1"), &json!(true)));
    assert_eq!(version["additionalPrinterColumns"][0]["jsonPath"], ".spec.a");
    let schema = &version["schema"]["openAPIV3Schema"];
    assert_eq!((&schema["type"], &schema["x-kubernetes-preserve-unknown-fields"]), (&json!("object"), &json!(true)));
    assert_eq!(schema["properties"]["spec"]["type"], "object");
    let mut back = Object::from_value(new.clone()).unwrap();
    let (_, served) = kind("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition");
    (served.from_stored)(&mut back);
    assert_eq!(back.text(&["spec", "version"]), "v1");
    assert_eq!(back.at(&["spec", "validation", "openAPIV3Schema"]), Some(schema));
    (served.to_stored)(&mut back);
    assert_eq!(Value::Object(back.0), new);
}

#[test]
fn webhooks_need_not_say_what_they_do() {
    let old = json!({"webhooks": [{"name": "a.b.c"}]});
    let new = stored("admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration", old);
    let hook = &new["webhooks"][0];
    assert_eq!((&hook["failurePolicy"], &hook["sideEffects"]), (&json!("Ignore"), &json!("Unknown")));
    let (kind, served) = kind("admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration");
    let object = Object::from_value(new).unwrap();
    let about_effects: Vec<_> =
        (kind.rules.validate)(&object).into_iter().filter(|cause| cause.field.ends_with("sideEffects")).collect();
    assert_eq!(about_effects.len(), 1);
    assert!(served.allows.unwrap()(&about_effects[0]), "{about_effects:?}");
}
