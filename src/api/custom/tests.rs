//! Custom kinds as values: what is made of a definition.

use super::*;

fn things() -> Vec<(String, Kind)> {
    let definition = Object::from_value(json!({
        "metadata": {"name": "things.example.com", "generation": 1},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "versions": [
                {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                    "additionalPrinterColumns": [
                        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}],
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "properties": {
                            "replicas": {"type": "integer", "maximum": 10, "default": 1}, "color": {"type": "string"}}},
                        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}}}}}},
                {"name": "v1beta1", "served": true, "storage": false, "deprecated": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
                {"name": "v0", "served": false, "storage": false}],
        },
        "status": {"acceptedNames": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList", "shortNames": ["th"]}},
    }))
    .unwrap();
    let bytes = Bytes::from(serde_json::to_vec(&definition).unwrap());
    kinds(&definition, Arc::new(move || Some(bytes.clone())))
}

#[test]
fn every_served_version_is_a_kind_of_its_own() {
    let kinds = things();
    assert_eq!(kinds.iter().map(|(version, _)| version.as_str()).collect::<Vec<_>>(), ["v1", "v1beta1"]);
    let (first, second) = (&kinds[0].1, &kinds[1].1);
    assert!(first.status && first.scale.is_some() && !second.status && second.scale.is_none());
    assert_eq!(first.columns.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["Name", "Replicas", "Ready"]);
    assert_eq!(second.columns.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["Name", "Age"]);
    assert_eq!(
        first.versions().map(GroupVersion::api_version).collect::<Vec<_>>(),
        ["example.com/v1", "example.com/v1beta1"]
    );
    assert_eq!(first.schema, "com.example.v1.Thing");
    assert_eq!(&*first.short, ["th"]);
    let custom = first.custom.as_ref().unwrap();
    assert_eq!(custom.warning("v1beta1"), Some("example.com/v1beta1  is deprecated"));
    assert_eq!(custom.warning("v1"), None);
}

#[test]
fn objects_are_defaulted_pruned_and_validated_by_version() {
    let kinds = things();
    let custom = kinds[0].1.custom.as_ref().unwrap();
    let mut object = Object::from_value(json!({"metadata": {"name": "a"}, "spec": {"extra": 1}})).unwrap();
    custom.renew("v1", &mut object);
    assert_eq!(object.0["spec"], json!({"replicas": 1}));
    object.set(&["spec", "replicas"], 11);
    let causes = custom.faults("v1", &mut object, None, "");
    assert_eq!(causes[0].message, "Invalid value: 11: spec.replicas in body should be less than or equal to 10");
    object.set(&["status", "replicas"], "many");
    let causes = custom.faults("v1", &mut object, None, "status");
    assert_eq!(causes.iter().map(|cause| cause.field.as_str()).collect::<Vec<_>>(), ["status.replicas"]);
    assert!(custom.faults("v1beta1", &mut object, None, "").is_empty());
}

#[test]
fn fields_to_select_by_are_read_from_objects() {
    let kinds = things();
    let custom = kinds[0].1.custom.as_ref().unwrap();
    let object = Object::from_value(json!({"spec": {"color": "red"}})).unwrap();
    assert_eq!(custom.fields(&object), [("spec.color".to_string(), "red".to_string())]);
    assert_eq!(custom.field_names().collect::<Vec<_>>(), ["spec.color"]);
}
