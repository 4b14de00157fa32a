//! Documents as clients read them.

use super::*;
use crate::api::{KINDS, kinds};

fn no_custom(_: &Kind, _: &str) -> Option<Value> {
    None
}

fn kinds_in(served: &GroupVersion) -> Vec<&'static Kind> {
    KINDS.iter().filter(|kind| kind.versions().any(|own| own == served)).collect()
}

fn every_version() -> Vec<GroupVersion> {
    let mut all: Vec<GroupVersion> = KINDS.iter().flat_map(|kind| kind.versions().cloned()).collect();
    all.sort_by_key(GroupVersion::api_version);
    all.dedup();
    all
}

/// Every `$ref` of a document.
fn references<'a>(value: &'a Value, all: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            all.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|value| references(value, all));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, all)),
        _ => {}
    }
}

#[test]
fn documents_refer_only_to_what_they_have() {
    for served in every_version() {
        let text = v3::document(&served, &kinds_in(&served), &no_custom);
        let document: Value = serde_json::from_str(&text).unwrap();
        let mut all = Vec::new();
        references(&document, &mut all);
        for reference in all {
            let name = reference.strip_prefix("#/components/schemas/").unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{served:?} {reference}");
        }
    }
    let document: Value =
        serde_json::from_str(&v2::json_text(&KINDS.iter().collect::<Vec<_>>(), &no_custom, &[])).unwrap();
    let mut all = Vec::new();
    references(&document, &mut all);
    for reference in all {
        let name = reference.strip_prefix("#/definitions/").unwrap();
        assert!(document["definitions"].get(name).is_some(), "{reference}");
    }
}

#[test]
fn kinds_are_found_by_what_they_are_and_what_can_be_done() {
    let served = GroupVersion { group: "apps".into(), version: "v1".into() };
    let document: Value = serde_json::from_str(&v3::document(&served, &kinds_in(&served), &no_custom)).unwrap();
    let schemas = &document["components"]["schemas"];
    let own = json!([{"group": "apps", "kind": "Deployment", "version": "v1"}]);
    assert_eq!(schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"], own);
    let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    let has = |name: &str| {
        patch["parameters"].as_array().unwrap().iter().any(|one| one["name"] == name && one["in"] == "query")
    };
    assert!(has("fieldValidation") && has("dryRun"));
    assert_eq!(patch["x-kubernetes-group-version-kind"], own[0]);
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"];
    assert_eq!(scale["operationId"], "readAppsV1NamespacedDeploymentScale");
}

#[test]
fn a_custom_kind_is_listed_with_its_schema() {
    let mut kind = kinds::find("", "v1", "configmaps").unwrap().clone();
    kind.schema = "com.example.v1.Widget".into();
    kind.kind = "Widget".into();
    kind.stored = GroupVersion { group: "example.com".into(), version: "v1".into() };
    let custom = |_: &Kind, _: &str| {
        Some(
            json!({"type": "object", "properties": {"spec": {"type": "object", "nullable": true, "properties": {"size": {"type": "integer"}}}}}),
        )
    };
    let served = kind.stored.clone();
    let document: Value = serde_json::from_str(&v3::document(&served, &[&kind], &custom)).unwrap();
    let widget = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(widget["properties"]["spec"]["properties"]["size"]["type"], "integer");
    assert!(document["components"]["schemas"].get(paths::OBJECT_META).is_some());
    assert_ne!(v3::mark(&served, &[&kind], &custom), v3::mark(&served, &[&kind], &no_custom));
    // kubectl sends strategic patches to kinds whose document lists them.
    assert!(!document.to_string().contains("strategic"));
    let document: Value = serde_json::from_str(&v2::json_text(&[&kind], &custom, &[])).unwrap();
    let spec = &document["definitions"]["com.example.v1.Widget"]["properties"]["spec"];
    assert!(spec.get("properties").is_none(), "what may be null is not looked into");
    let metadata = &document["definitions"]["com.example.v1.Widget"]["properties"]["metadata"];
    assert!(metadata["description"].as_str().unwrap().starts_with("Standard object's metadata. More info: https://"));
    assert_eq!(metadata["$ref"], format!("#/definitions/{}", paths::OBJECT_META));
}

#[test]
fn the_protobuf_form_has_every_definition() {
    let all: Vec<&Kind> = KINDS.iter().collect();
    let bytes = v2::protobuf(&all, &no_custom, &[]);
    for word in
        ["io.k8s.api.core.v1.Pod", "x-kubernetes-group-version-kind", "/api/v1/namespaces/{namespace}/pods/{name}"]
    {
        assert!(memchr::memmem::find(&bytes, word.as_bytes()).is_some(), "{word}");
    }
}
