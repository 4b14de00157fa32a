//! Custom kinds through the server, as clients see them.

use super::super::remote::testing::TestRemote;
use super::super::tests::{TestServer, server};
use futures::StreamExt;
use kube::api::{
    Api as Door, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

fn resource(version: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", version, "Thing"), "things")
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"]},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}, "scale": {
                        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "required": ["color"], "properties": {
                            "color": {"type": "string", "enum": ["red", "blue"]},
                            "replicas": {"type": "integer", "default": 1, "maximum": 10}}},
                        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}}}}}},
                {"name": "v1beta1", "served": true, "storage": false,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    })
}

fn thing(name: &str, spec: Value) -> DynamicObject {
    let object = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

fn definitions(test: &TestServer) -> Door<DynamicObject> {
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    Door::all_with(test.admin(), &ApiResource::from_gvk(&kind))
}

fn things(test: &TestServer, version: &str) -> Door<DynamicObject> {
    Door::namespaced_with(test.admin(), "default", &resource(version))
}

/// Writes the definition and waits until it says that it is served.
async fn establish(test: &TestServer, body: Value) {
    let definitions = definitions(test);
    let object: DynamicObject = serde_json::from_value(body).unwrap();
    let name = object.metadata.name.clone().unwrap();
    let made = definitions.create(&PostParams::default(), &object).await.unwrap();
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut watch = definitions.watch(&only, &made.metadata.resource_version.unwrap()).await.unwrap().boxed();
    loop {
        let Some(Ok(WatchEvent::Modified(now))) = watch.next().await else { panic!("the watch ended") };
        let conditions = now.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True") {
            return;
        }
    }
}

fn message(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_defined_kind_is_served_defaulted_validated_and_scaled() {
    let test = server().await;
    let doors = things(&test, "v1");
    assert!(doors.list(&ListParams::default()).await.is_err(), "nothing is served before it is defined");
    establish(&test, definition()).await;
    let made = doors.create(&PostParams::default(), &thing("a", json!({"color": "red", "odd": 1}))).await.unwrap();
    assert_eq!(made.data["spec"], json!({"color": "red", "replicas": 1}));
    assert_eq!(made.metadata.generation, Some(1));
    let wrong = doors.create(&PostParams::default(), &thing("b", json!({"replicas": 11, "color": "green"}))).await;
    let words = "Thing.example.com \"b\" is invalid: [spec.color: Unsupported value: \"green\": supported values: \"red\", \
        \"blue\", spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10]";
    assert_eq!(message(wrong.unwrap_err()), words);
    let scaled = doors.patch_scale("a", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 3}}))).await;
    assert_eq!(scaled.unwrap().spec.unwrap().replicas, Some(3));
    let status = json!({"status": {"replicas": 2}, "spec": {"color": "blue"}});
    let after = doors.patch_status("a", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    assert_eq!((&after.data["status"]["replicas"], &after.data["spec"]["color"]), (&json!(2), &json!("red")));
    let red = doors.list(&ListParams::default().fields("spec.color=red")).await.unwrap();
    assert_eq!(red.items.len(), 1);
    assert!(doors.list(&ListParams::default().fields("spec.color=blue")).await.unwrap().items.is_empty());
    let other = things(&test, "v1beta1").get("a").await.unwrap();
    assert_eq!(other.types.unwrap().api_version, "example.com/v1beta1");
    let discovery = kube::discovery::group(&test.admin(), "example.com").await.unwrap();
    assert_eq!(discovery.preferred_version_or_latest(), "v1");
}

#[tokio::test]
async fn a_definition_that_is_wrong_is_refused() {
    let test = server().await;
    let mut wrong = definition();
    wrong["metadata"]["name"] = json!("other.example.com");
    let object: DynamicObject = serde_json::from_value(wrong).unwrap();
    let error = definitions(&test).create(&PostParams::default(), &object).await.unwrap_err();
    assert!(message(error).contains("metadata.name: Invalid value: \"other.example.com\": must be spec.names.plural"));
}

#[tokio::test]
async fn a_definition_goes_after_its_objects_and_ends_their_watches() {
    let test = server().await;
    establish(&test, definition()).await;
    let doors = things(&test, "v1");
    let mut held = thing("a", json!({"color": "red"}));
    held.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    doors.create(&PostParams::default(), &held).await.unwrap();
    let mut watch = doors.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));
    definitions(&test).delete("things.example.com", &DeleteParams::default()).await.unwrap();
    assert!(
        matches!(watch.next().await, Some(Ok(WatchEvent::Modified(one))) if one.metadata.deletion_timestamp.is_some())
    );
    let late = doors.create(&PostParams::default(), &thing("b", json!({"color": "red"}))).await.unwrap_err();
    assert!(message(late).ends_with("create not allowed while custom resource definition is terminating"));
    assert!(definitions(&test).get_opt("things.example.com").await.unwrap().is_some());
    doors.patch("a", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    while let Some(event) = watch.next().await {
        assert!(matches!(event, Ok(WatchEvent::Deleted(_) | WatchEvent::Modified(_))), "{event:?}");
    }
    assert!(definitions(&test).get_opt("things.example.com").await.unwrap().is_none());
    assert!(doors.list(&ListParams::default()).await.is_err());
}

#[tokio::test]
async fn objects_of_an_older_schema_read_as_the_new_one_has_them() {
    let test = server().await;
    establish(&test, definition()).await;
    let doors = things(&test, "v1");
    doors.create(&PostParams::default(), &thing("a", json!({"color": "red"}))).await.unwrap();
    let mut watch = doors.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));
    let mut wider = definition();
    wider["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"] =
        json!({"type": "string", "default": "big"});
    let patch = Patch::Merge(json!({"spec": {"versions": wider["spec"]["versions"]}}));
    definitions(&test).patch("things.example.com", &PatchParams::default(), &patch).await.unwrap();
    while let Some(event) = watch.next().await {
        assert!(event.is_ok(), "the watch of the old form ends when the new one is served");
    }
    assert_eq!(doors.get("a").await.unwrap().data["spec"]["size"], "big");
    let listed = doors.list(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items[0].data["spec"]["size"], "big");
}

#[tokio::test]
async fn rules_of_a_schema_are_asked_and_those_of_changes_only_of_changes() {
    let test = server().await;
    let mut ruled = definition();
    ruled["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] = json!([
        {"rule": "self.color != 'blue' || self.replicas > 1", "message": "blue ones are never alone", "fieldPath": ".color"},
        {"rule": "self.replicas >= oldSelf.replicas", "messageExpression": "'had ' + string(oldSelf.replicas)"}]);
    establish(&test, ruled).await;
    let doors = things(&test, "v1");
    let alone = doors.create(&PostParams::default(), &thing("a", json!({"color": "blue"}))).await;
    let words = "Thing.example.com \"a\" is invalid: spec.color: Invalid value: \"object\": blue ones are never alone";
    assert_eq!(message(alone.unwrap_err()), words);
    let odd = doors.create(&PostParams::default(), &thing("a", json!({"color": 1}))).await;
    let unchecked = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid";
    assert!(message(odd.unwrap_err()).contains(unchecked));
    doors.create(&PostParams::default(), &thing("a", json!({"color": "blue", "replicas": 3}))).await.unwrap();
    let fewer = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let fewer = doors.patch("a", &PatchParams::default(), &fewer).await.unwrap_err();
    assert_eq!(message(fewer), "Thing.example.com \"a\" is invalid: spec: Invalid value: \"object\": had 3");
}

#[tokio::test]
async fn rules_that_cannot_be_read_are_refused_with_the_definition() {
    let test = server().await;
    for (rule, words) in [
        ("self.lost == 1", "undefined field 'lost'"),
        ("other", "undeclared reference to 'other'"),
        ("self.", "compilation failed"),
    ] {
        let mut wrong = definition();
        wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
            json!([{"rule": rule}]);
        let object: DynamicObject = serde_json::from_value(wrong).unwrap();
        let error = message(definitions(&test).create(&PostParams::default(), &object).await.unwrap_err());
        let place =
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value";
        assert!(error.contains(place) && error.contains(words), "{error}");
    }
}

/// Renames `spec.color` of one version to `spec.tint` of the other.
fn renamed(_: &str, body: &Value) -> Option<Value> {
    let wanted = body["request"]["desiredAPIVersion"].clone();
    let (from, to) = if wanted == "example.com/v1" { ("tint", "color") } else { ("color", "tint") };
    let objects = body["request"]["objects"].as_array().unwrap().iter().cloned().map(|mut object| {
        object["apiVersion"] = wanted.clone();
        let value = object["spec"].as_object_mut().unwrap().remove(from).unwrap();
        object["spec"][to] = value;
        object
    });
    let response = json!({"uid": body["request"]["uid"], "result": {"status": "Success"},
        "convertedObjects": objects.collect::<Vec<_>>()});
    Some(json!({"kind": "ConversionReview", "apiVersion": body["apiVersion"], "response": response}))
}

#[tokio::test]
async fn a_webhook_converts_on_the_way_in_and_out() {
    let (test, remote) = (server().await, TestRemote::start(renamed).await);
    let mut converted = definition();
    converted["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"], "clientConfig": remote.client_config("/convert")}});
    establish(&test, converted).await;
    let (new, old) = (things(&test, "v1"), things(&test, "v1beta1"));
    new.create(&PostParams::default(), &thing("a", json!({"color": "red"}))).await.unwrap();
    assert!(remote.asked("/convert").is_empty(), "nothing is converted into what it is");
    let read = old.get("a").await.unwrap();
    assert_eq!(
        (read.types.unwrap().api_version.as_str(), &read.data["spec"]["tint"]),
        ("example.com/v1beta1", &json!("red"))
    );
    let mut other = thing("b", json!({"tint": "blue"}));
    other.types.as_mut().unwrap().api_version = "example.com/v1beta1".into();
    let made = old.create(&PostParams::default(), &other).await.unwrap();
    assert_eq!(made.data["spec"]["tint"], "blue");
    let listed = new.list(&ListParams::default()).await.unwrap();
    assert_eq!(
        listed.items.iter().map(|one| one.data["spec"]["color"].as_str().unwrap()).collect::<Vec<_>>(),
        ["red", "blue"]
    );
    let mut watch = old.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    for color in ["red", "blue"] {
        let Some(Ok(WatchEvent::Added(one))) = watch.next().await else { panic!("the watch ended") };
        assert_eq!(one.data["spec"]["tint"], color);
    }
    let patch = Patch::Merge(json!({"spec": {"tint": "blue"}}));
    old.patch("a", &PatchParams::default(), &patch).await.unwrap();
    let Some(Ok(WatchEvent::Modified(one))) = watch.next().await else { panic!("the watch ended") };
    assert_eq!(one.data["spec"]["tint"], "blue");
    assert_eq!(new.get("a").await.unwrap().data["spec"]["color"], "blue");
    old.delete("b", &DeleteParams::default()).await.unwrap();
}
