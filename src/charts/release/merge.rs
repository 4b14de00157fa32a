//! Changes made by this side, for releases whose objects are not applied by the server: three-way merges, and handing
//! fields that were written so over to server-side apply.
//!
//! Helm makes a strategic patch of three states; here the merged object itself is made, by the same rules, and what differs
//! from the live one is sent as a merge patch. Source of the rules: k8s.io/apimachinery `pkg/util/strategicpatch`
//! (`CreateThreeWayMergePatch`, overwriting), k8s.io/client-go `util/csaupgrade`.

use super::cluster::{Item, MANAGER};
use crate::api::kinds;
use crate::api::schema::{Field, Schema};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// The merge patch that makes of `live` what `target` wants, taking away what was in `original` and is in `target` no
/// more; nothing where there is nothing to do. Kinds whose schema is not known here get what changed between `original`
/// and `target`, whatever the live object is.
pub fn patch(original: &Fields, target: &Item, live: &Fields) -> Option<Value> {
    let (group, version) = target.kind.api_version.split_once('/').unwrap_or(("", &target.kind.api_version));
    let kind =
        kinds::find_kind(group, version, &target.kind.kind).filter(|kind| kind.kind != "CustomResourceDefinition");
    let wanted = &target.object.0;
    let patch = match kind.and_then(|kind| kind.schema_at(group, version)) {
        None => difference(original, wanted),
        Some(schema) => difference(live, &three_way(Some(schema), original, wanted, live)),
    };
    if patch.is_empty() { None } else { Some(Value::Object(patch)) }
}

/// The merge patch (RFC 7386) between two objects.
fn difference(from: &Fields, to: &Fields) -> Fields {
    let mut patch = Fields::new();
    for (name, new) in to {
        match (from.get(name), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(name.clone(), Value::Object(difference(old, new)));
            }
            (None, Value::Null) => {}
            _ => drop(patch.insert(name.clone(), new.clone())),
        }
    }
    let gone = from.keys().filter(|name| !to.contains_key(*name));
    gone.for_each(|name| drop(patch.insert(name.clone(), Value::Null)));
    patch
}

fn three_way(schema: Option<&Schema>, original: &Fields, wanted: &Fields, live: &Fields) -> Fields {
    let mut merged = live.clone();
    for (name, _) in original.iter().filter(|(name, _)| wanted.get(*name).is_none_or(Value::is_null)) {
        merged.remove(name);
    }
    for (name, new) in wanted.iter().filter(|(_, new)| !new.is_null()) {
        let field = schema.and_then(|schema| schema.field(name));
        let inner = schema.and_then(|schema| schema.child(name));
        let value = match (new, merged.get(name)) {
            (Value::Object(new), Some(Value::Object(old))) if !field.is_some_and(|field| field.patch.replace) => {
                let before = original.get(name).and_then(Value::as_object);
                Value::Object(merge_fields(field, inner, before, new, old))
            }
            (Value::Array(new), Some(Value::Array(old))) if field.is_some_and(|field| field.patch.merge) => {
                let before = original.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                Value::Array(merge_lists(field, before, new, old))
            }
            (new, _) => new.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

fn merge_fields(
    field: Option<&Field>,
    schema: Option<&Schema>,
    before: Option<&Fields>,
    new: &Fields,
    old: &Fields,
) -> Fields {
    let mut merged = three_way(schema, before.unwrap_or(&Fields::new()), new, old);
    // One of several alternatives: another one that the server filled in must not stay beside it.
    if field.is_some_and(|field| field.patch.retain_keys) && merged != *old {
        merged.retain(|name, _| new.contains_key(name));
    }
    merged
}

fn merge_lists(field: Option<&Field>, before: &[Value], new: &[Value], old: &[Value]) -> Vec<Value> {
    let key = field.and_then(|field| field.patch.key.as_deref());
    let is_same = |a: &Value, b: &Value| match key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    };
    let has = |list: &[Value], item: &Value| list.iter().any(|other| is_same(other, item));
    let items = field.and_then(|field| field.schema.items()).map(|list| &list.items);
    let mut merged: Vec<Value> = Vec::new();
    for item in new {
        let live = old.iter().find(|other| is_same(other, item));
        merged.push(match (item, live) {
            (Value::Object(item), Some(Value::Object(live))) => {
                let was = before.iter().find(|other| is_same(other, &Value::Object(item.clone())));
                let was = was.and_then(Value::as_object).cloned().unwrap_or_default();
                Value::Object(three_way(items, &was, item, live))
            }
            _ => item.clone(),
        });
    }
    // What others added keeps its place behind.
    merged.extend(old.iter().filter(|item| !has(new, item) && !has(before, item)).cloned());
    merged
}

/// The JSON patch that makes fields which this manager wrote by updates its own by apply; nothing where there are none.
pub fn hand_over(live: &Value) -> Option<Value> {
    let entries = live["metadata"]["managedFields"].as_array()?;
    let is_own = |entry: &&Value, operation: &str| {
        entry["manager"] == MANAGER
            && entry["operation"] == operation
            && entry["subresource"].as_str().unwrap_or_default().is_empty()
    };
    let updates: Vec<&Value> = entries.iter().filter(|entry| is_own(entry, "Update")).collect();
    let first = *updates.first()?;
    let mut kept: Vec<Value> = entries.iter().filter(|entry| !is_own(entry, "Update")).cloned().collect();
    let place = match kept.iter().position(|entry| is_own(&entry, "Apply")) {
        Some(place) => place,
        None => {
            let mut entry = first.clone();
            entry["operation"] = "Apply".into();
            kept.push(entry);
            kept.len() - 1
        }
    };
    for update in updates {
        unite(&mut kept[place]["fieldsV1"], &update["fieldsV1"]);
    }
    Some(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": kept},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
    ]))
}

/// Adds a set of fields to another.
fn unite(into: &mut Value, from: &Value) {
    let Some(from) = from.as_object() else { return };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, inner) in from {
        unite(&mut into[name.as_str()], inner);
        if into[name.as_str()].is_null() {
            into[name.as_str()] = json!({});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cluster::Kind;
    use super::*;
    use crate::api::Object;

    fn fields(value: Value) -> Fields {
        Object::from_value(value).unwrap().0
    }

    fn item(api_version: &str, kind: &str, value: Value) -> Item {
        let kind = Kind { api_version: api_version.into(), kind: kind.into(), plural: String::new(), namespaced: true };
        Item { kind, namespace: "one".into(), name: "x".into(), object: Object::from_value(value).unwrap() }
    }

    fn containers(list: Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": list}}}})
    }

    #[test]
    fn what_others_added_stays_what_left_goes_and_what_is_wanted_comes() {
        let original = fields(containers(
            json!([{"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "b"}]),
        ));
        let target = item(
            "apps/v1",
            "Deployment",
            containers(json!([{"name": "a", "image": "a:2", "env": [{"name": "Y", "value": "2"}]}])),
        );
        let live = fields(containers(json!([
            {"name": "a", "image": "a:1", "imagePullPolicy": "Always", "env": [{"name": "X", "value": "1"}, {"name": "Z", "value": "3"}]},
            {"name": "b", "image": "b"},
            {"name": "sidecar", "image": "s"},
        ])));
        let wanted = containers(json!([
            {"name": "a", "image": "a:2", "imagePullPolicy": "Always", "env": [{"name": "Y", "value": "2"}, {"name": "Z", "value": "3"}]},
            {"name": "sidecar", "image": "s"},
        ]));
        assert_eq!(patch(&original, &target, &live), Some(wanted));
    }

    #[test]
    fn nothing_is_sent_where_nothing_changes() {
        let wanted = json!({"spec": {"replicas": 2}});
        let target = item("apps/v1", "Deployment", wanted.clone());
        let live = fields(json!({"spec": {"replicas": 2, "paused": true}, "status": {"replicas": 2}}));
        assert_eq!(patch(&fields(wanted), &target, &live), None);
    }

    #[test]
    fn a_drift_of_the_live_object_is_mended() {
        let wanted = json!({"spec": {"replicas": 2}});
        let target = item("apps/v1", "Deployment", wanted.clone());
        let live = fields(json!({"spec": {"replicas": 5}}));
        assert_eq!(patch(&fields(wanted.clone()), &target, &live), Some(wanted));
    }

    #[test]
    fn another_strategy_takes_the_parameters_of_the_old_one_away() {
        let original = fields(json!({"spec": {"strategy": {"type": "RollingUpdate"}}}));
        let target = item("apps/v1", "Deployment", json!({"spec": {"strategy": {"type": "Recreate"}}}));
        let live = fields(json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}));
        assert_eq!(
            patch(&original, &target, &live),
            Some(json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}))
        );
        let target = item("apps/v1", "Deployment", json!({"spec": {"strategy": {"type": "RollingUpdate"}}}));
        assert_eq!(patch(&original, &target, &live), None);
    }

    #[test]
    fn kinds_without_a_schema_get_what_changed_in_the_manifest() {
        let original = fields(json!({"spec": {"a": 1, "b": [1], "c": 1}}));
        let target = item("sea.io/v1", "Boat", json!({"spec": {"a": 2, "b": [1]}}));
        let live = fields(json!({"spec": {"a": 7, "b": [9]}}));
        assert_eq!(patch(&original, &target, &live), Some(json!({"spec": {"a": 2, "c": null}})));
    }

    #[test]
    fn fields_of_updates_become_fields_of_apply() {
        let entry = |manager: &str, operation: &str, sub: &str, fields: Value| json!({"manager": manager, "operation": operation, "subresource": sub, "fieldsV1": fields});
        let live = json!({"metadata": {"resourceVersion": "7", "managedFields": [
            entry("helm", "Update", "", json!({"f:spec": {"f:a": {}}})),
            entry("kubectl", "Update", "", json!({"f:spec": {"f:b": {}}})),
            entry("helm", "Update", "status", json!({"f:status": {}})),
        ]}});
        let patch = hand_over(&live).unwrap();
        let list = patch[0]["value"].as_array().unwrap();
        assert_eq!(list.len(), 3);
        assert_eq!(list[2], entry("helm", "Apply", "", json!({"f:spec": {"f:a": {}}})));
        assert_eq!(patch[1]["value"], "7");
        let applied = json!({"metadata": {"managedFields": [entry("helm", "Apply", "", json!({}))]}});
        assert_eq!(hand_over(&applied), None);
    }
}
