//! Ownership as users meet it: several managers, one object.

use super::*;
use crate::api::kinds;
use serde_json::json;

fn deployment() -> &'static Kind {
    kinds::find("apps", "v1", "deployments").unwrap()
}

fn config_map() -> &'static Kind {
    kinds::find("", "v1", "configmaps").unwrap()
}

fn writer<'a>(kind: &'a Kind, manager: &'a str) -> Writer<'a> {
    Writer {
        kind,
        group: &kind.stored.group,
        version: &kind.stored.version,
        manager,
        subresource: "",
        now: "2026-01-01T00:00:00Z".into(),
    }
}

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

/// A configuration of a Deployment with these containers.
fn web(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
}

fn applied(kind: &Kind, manager: &str, live: Option<&Object>, config: Value, force: bool) -> Result<Object, Error> {
    apply(&writer(kind, manager), live, &config, force)
}

fn owned(object: &Object, manager: &str, operation: Operation) -> Vec<String> {
    let all = managers::of(object);
    let found = all.iter().find(|own| own.name == manager && own.operation == operation);
    found.map(|own| own.fields.paths()).unwrap_or_default()
}

fn conflicts(result: Result<Object, Error>) -> Conflicts {
    match result {
        Err(Error::Conflicts(conflicts)) => conflicts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_makes_an_object_owns_all_it_says() {
    let mut new = object(map(json!({"a": "1"})));
    new.set(&["metadata", "labels"], json!({"x": "y"}));
    update(&writer(config_map(), "me"), None, &mut new);
    assert_eq!(owned(&new, "me", Operation::Update), [".data", ".data.a", ".metadata.labels", ".metadata.labels.x"]);
    let entry = &new.at(&["metadata", "managedFields"]).unwrap()[0];
    let wanted = json!({"manager": "me", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {".": {}, "f:a": {}}, "f:metadata": {"f:labels": {".": {}, "f:x": {}}}}});
    assert_eq!(entry, &wanted);
}

#[test]
fn an_update_takes_what_it_changes_and_keeps_its_time_otherwise() {
    let mut first = object(map(json!({"a": "1", "b": "1"})));
    update(&writer(config_map(), "one"), None, &mut first);
    let mut second = first.clone();
    second.set(&["data", "a"], "2");
    second.set(&["data", "c"], "3");
    let later = Writer { now: "2026-01-02T00:00:00Z".into(), ..writer(config_map(), "two") };
    update(&later, Some(&first), &mut second);
    assert_eq!(owned(&second, "one", Operation::Update), [".data", ".data.b"]);
    assert_eq!(owned(&second, "two", Operation::Update), [".data.a", ".data.c"]);
    let mut same = second.clone();
    update(&Writer { now: "2026-01-03T00:00:00Z".into(), ..writer(config_map(), "two") }, Some(&second), &mut same);
    assert_eq!(same, second);
}

#[test]
fn a_status_is_owned_through_its_subresource() {
    let mut old = object(web(json!({"replicas": 1})));
    update(&writer(deployment(), "me"), None, &mut old);
    let mut new = old.clone();
    new.set(&["status", "replicas"], 1);
    update(&Writer { subresource: "status", ..writer(deployment(), "controller") }, Some(&old), &mut new);
    let all = managers::of(&new);
    let status = all.iter().find(|own| own.name == "controller").unwrap();
    assert_eq!(
        (status.subresource.as_str(), status.fields.paths()),
        ("status", vec![".status".into(), ".status.replicas".into()])
    );
    let mut by_object = new.clone();
    by_object.set(&["status", "replicas"], 2);
    update(&writer(deployment(), "other"), Some(&new), &mut by_object);
    assert!(owned(&by_object, "other", Operation::Update).is_empty());
}

#[test]
fn an_apply_owns_what_it_names_and_drops_what_it_named() {
    let first = applied(config_map(), "ci", None, map(json!({"a": "1", "b": "1"})), false).unwrap();
    assert_eq!(owned(&first, "ci", Operation::Apply), [".data.a", ".data.b"]);
    let second = applied(config_map(), "ci", Some(&first), map(json!({"b": "2"})), false).unwrap();
    assert_eq!(second.at(&["data"]), Some(&json!({"b": "2"})));
    assert_eq!(owned(&second, "ci", Operation::Apply), [".data.b"]);
}

#[test]
fn a_field_of_another_manager_is_a_conflict_unless_forced() {
    let first = applied(config_map(), "one", None, map(json!({"a": "1", "b": "1"})), false).unwrap();
    let found = conflicts(applied(config_map(), "two", Some(&first), map(json!({"a": "2"})), false));
    assert_eq!(found.to_string(), "Apply failed with 1 conflict: conflict with \"one\": .data.a");
    let found = conflicts(applied(config_map(), "two", Some(&first), map(json!({"a": "2", "b": "2"})), false));
    assert_eq!(found.to_string(), "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b");
    let forced = applied(config_map(), "two", Some(&first), map(json!({"a": "2"})), true).unwrap();
    assert_eq!(owned(&forced, "one", Operation::Apply), [".data.b"]);
    assert_eq!(owned(&forced, "two", Operation::Apply), [".data.a"]);
}

#[test]
fn a_conflict_with_an_update_names_the_version() {
    let mut first = object(web(json!({"replicas": 1})));
    update(&writer(deployment(), "kubectl-scale"), None, &mut first);
    let found = conflicts(applied(deployment(), "ci", Some(&first), web(json!({"replicas": 2})), false));
    assert_eq!(
        found.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl-scale\" using apps/v1: .spec.replicas"
    );
}

#[test]
fn the_same_value_is_shared_and_goes_with_its_last_owner() {
    let first = applied(config_map(), "one", None, map(json!({"a": "1"})), false).unwrap();
    let shared = applied(config_map(), "two", Some(&first), map(json!({"a": "1"})), false).unwrap();
    assert_eq!(owned(&shared, "one", Operation::Apply), owned(&shared, "two", Operation::Apply));
    let left = applied(config_map(), "one", Some(&shared), map(json!({})), false).unwrap();
    assert_eq!(left.at(&["data"]), Some(&json!({"a": "1"})));
    let gone = applied(config_map(), "two", Some(&left), map(json!({})), false).unwrap();
    assert_eq!(gone.at(&["data", "a"]), None);
}

fn containers(list: Value) -> Value {
    web(json!({"template": {"spec": {"containers": list}}}))
}

fn names(object: &Object) -> Vec<&str> {
    let list = object.at(&["spec", "template", "spec", "containers"]).and_then(Value::as_array);
    list.into_iter().flatten().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn managers_share_a_list_by_key() {
    let first = applied(deployment(), "one", None, containers(json!([{"name": "a", "image": "1"}])), false).unwrap();
    let both =
        applied(deployment(), "two", Some(&first), containers(json!([{"name": "b", "image": "1"}])), false).unwrap();
    assert_eq!(names(&both), ["a", "b"]);
    let changed =
        applied(deployment(), "two", Some(&both), containers(json!([{"name": "a", "tty": true}])), false).unwrap();
    assert_eq!(names(&changed), ["a"]);
    let item = &changed.at(&["spec", "template", "spec", "containers"]).unwrap()[0];
    assert_eq!(item, &json!({"name": "a", "image": "1", "tty": true}));
    let gone = applied(deployment(), "one", Some(&changed), web(json!({})), false).unwrap();
    let item = &gone.at(&["spec", "template", "spec", "containers"]).unwrap()[0];
    assert_eq!(item, &json!({"name": "a", "tty": true}), "the item stays with whoever names it");
}

#[test]
fn an_item_with_fields_of_nobody_goes_with_its_applier() {
    let mut first =
        applied(deployment(), "one", None, containers(json!([{"name": "a", "image": "1"}, {"name": "b"}])), false)
            .unwrap();
    // A default that nobody owns.
    first.entry(&["spec", "template", "spec", "containers"])[1]["terminationMessagePath"] = json!("/dev/log");
    let next =
        applied(deployment(), "one", Some(&first), containers(json!([{"name": "a", "image": "1"}])), false).unwrap();
    assert_eq!(names(&next), ["a"]);
}

#[test]
fn an_atomic_value_is_replaced_whole() {
    let selector = |labels: Value| web(json!({"selector": {"matchLabels": labels}}));
    let first = applied(deployment(), "one", None, selector(json!({"a": "1"})), false).unwrap();
    let found = conflicts(applied(deployment(), "two", Some(&first), selector(json!({"b": "1"})), false));
    assert_eq!(found.0[0].path, ".spec.selector");
    let next = applied(deployment(), "one", Some(&first), selector(json!({"b": "1"})), false).unwrap();
    assert_eq!(next.at(&["spec", "selector"]), Some(&json!({"matchLabels": {"b": "1"}})));
}

#[test]
fn values_of_a_set_are_owned_one_by_one() {
    let with = |finalizers: Value| {
        let mut config = map(json!({}));
        config["metadata"]["finalizers"] = finalizers;
        config
    };
    let first = applied(config_map(), "one", None, with(json!(["x.io/a"])), false).unwrap();
    let both = applied(config_map(), "two", Some(&first), with(json!(["x.io/b"])), false).unwrap();
    assert_eq!(both.finalizers().collect::<Vec<_>>(), ["x.io/a", "x.io/b"]);
    let left = applied(config_map(), "one", Some(&both), map(json!({})), false).unwrap();
    assert_eq!(left.finalizers().collect::<Vec<_>>(), ["x.io/b"]);
}

#[test]
fn what_was_there_before_the_first_apply_has_a_manager() {
    let old = object(map(json!({"a": "1", "b": "1"})));
    let found = conflicts(applied(config_map(), "ci", Some(&old), map(json!({"a": "2"})), false));
    assert_eq!(found.0[0].manager.name, "before-first-apply");
    let new = applied(config_map(), "ci", Some(&old), map(json!({"a": "1"})), false).unwrap();
    assert_eq!(owned(&new, "before-first-apply", Operation::Update), [".data", ".data.a", ".data.b"]);
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let config = map(json!({"a": "1"}));
    let first = applied(config_map(), "ci", None, config.clone(), false).unwrap();
    let later = Writer { now: "2027-01-01T00:00:00Z".into(), ..writer(config_map(), "ci") };
    assert_eq!(apply(&later, Some(&first), &config, false).unwrap(), first);
}

#[test]
fn kubectl_changes_over_from_its_own_annotation_without_conflict() {
    let mut live = object(map(json!({"a": "1", "b": "1"})));
    let last = serde_json::to_string(&map(json!({"a": "1", "b": "1"}))).unwrap();
    live.set(&["metadata", "annotations", LAST_APPLIED], last);
    update(&writer(config_map(), "kubectl-client-side-apply"), None, &mut live);
    let new = applied(config_map(), "kubectl", Some(&live), map(json!({"a": "2"})), false).unwrap();
    assert_eq!(new.text(&["data", "a"]), "2");
    let kept: Value = serde_json::from_str(new.text(&["metadata", "annotations", LAST_APPLIED])).unwrap();
    assert_eq!(kept["data"], json!({"a": "2"}));
    let found = conflicts(applied(config_map(), "other", Some(&live), map(json!({"a": "2"})), false));
    assert_eq!(found.0.len(), 1);
}

#[test]
fn managers_of_another_version_keep_what_is_theirs() {
    let kind = kinds::find("autoscaling", "v2", "horizontalpodautoscalers").unwrap();
    let config = |version: &str, spec: Value| json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": spec});
    let first = applied(kind, "new", None, config("v2", json!({"maxReplicas": 3, "minReplicas": 1})), false).unwrap();
    let old_version = Writer { version: "v1", ..writer(kind, "old") };
    let found = conflicts(apply(&old_version, Some(&first), &config("v1", json!({"maxReplicas": 5})), false));
    assert_eq!(found.0[0].path, ".spec.maxReplicas");
    let forced = apply(&old_version, Some(&first), &config("v1", json!({"maxReplicas": 5})), true).unwrap();
    assert_eq!(forced.api_version(), "autoscaling/v2");
    assert_eq!(owned(&forced, "new", Operation::Apply), [".spec.minReplicas"]);
    assert_eq!(owned(&forced, "old", Operation::Apply), [".spec.maxReplicas"]);
}

#[test]
fn a_client_may_bring_managers_along() {
    let mut first = object(map(json!({"a": "1"})));
    update(&writer(config_map(), "one"), None, &mut first);
    let mut reset = first.clone();
    reset.set(&["metadata", "managedFields"], json!([{}]));
    update(&writer(config_map(), "two"), Some(&first), &mut reset);
    assert!(managers::of(&reset).is_empty());
    let mut without = first.clone();
    without.remove(&["metadata", "managedFields"]);
    update(&writer(config_map(), "two"), Some(&first), &mut without);
    assert_eq!(managers::of(&without), managers::of(&first));
}
