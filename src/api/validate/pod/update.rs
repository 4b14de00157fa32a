//! What may change in a pod: almost nothing, and by which door.
//!
//! Source: pkg/apis/core/validation `ValidatePodUpdate`, `ValidatePodEphemeralContainersUpdate`, `ValidatePodResize`.

use crate::api::validate::{At, Causes, collect, same};
use crate::api::{Cause, Object};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const FIELDS: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What is wrong with a change of a pod through a subresource, or through none.
pub fn update(new: &Object, old: &Object, subresource: &str) -> Vec<Cause> {
    let (spec, before) = (At::top(new, "spec"), At::top(old, "spec"));
    if same(spec.value(), before.value()) {
        return Vec::new();
    }
    collect(|causes| match subresource {
        "ephemeralcontainers" => ephemeral(&spec, &before, causes),
        "resize" => resize(&spec, &before, old, causes),
        _ => plain(&spec, &before, causes),
    })
}

fn plain(spec: &At<'_>, before: &At<'_>, causes: &mut Causes) {
    for list in ["containers", "initContainers"] {
        if spec.at(list).count() != before.at(list).count() {
            causes.forbidden(&spec.at(list), "pod updates may not add or remove containers");
            return;
        }
    }
    for list in ["containers", "initContainers"] {
        for container in spec.at(list).items().filter(|container| container.at("image").is_empty()) {
            causes.required(&container.at("image"), "");
        }
    }
    deadline(&spec.at("activeDeadlineSeconds"), &before.at("activeDeadlineSeconds"), causes);
    let is_gated = !before.at("schedulingGates").is_empty();
    tolerations(spec, before, causes);
    gates(&spec.at("schedulingGates"), &before.at("schedulingGates"), causes);
    if is_gated {
        node_selector(&spec.at("nodeSelector"), &before.at("nodeSelector"), causes);
    }
    if !causes.is_empty() {
        return;
    }
    if !same(&masked(spec.value(), before.value(), is_gated), before.value()) {
        causes.forbidden(spec, FIELDS);
    }
}

/// The new spec with everything that may change as it was before.
fn masked(new: &Value, old: &Value, is_gated: bool) -> Value {
    let mut masked = new.clone();
    let mut restore = |field: &str| masked[field] = old[field].clone();
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        restore(field);
    }
    if is_gated {
        restore("nodeSelector");
        masked["affinity"]["nodeAffinity"] = old["affinity"]["nodeAffinity"].clone();
    }
    let grace = |spec: &Value| spec["terminationGracePeriodSeconds"].as_i64();
    if grace(old).is_some_and(|before| before < 0) && grace(new) == Some(1) {
        masked["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"].clone();
    }
    for list in ["containers", "initContainers"] {
        let containers = masked.get_mut(list).and_then(Value::as_array_mut);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            container["image"] = old[list][index]["image"].clone();
        }
    }
    masked
}

fn deadline(new: &At<'_>, old: &At<'_>, causes: &mut Causes) {
    let Some(before) = old.number() else { return };
    match new.number() {
        None => causes.invalid(new, "must not update from a positive integer to nil value"),
        Some(now) if now > before => causes.invalid(new, "must be less than or equal to previous value"),
        Some(_) => {}
    }
}

/// Tolerations may come and their seconds may change.
fn tolerations(spec: &At<'_>, before: &At<'_>, causes: &mut Causes) {
    let list = spec.at("tolerations");
    let without_seconds = |value: &Value| {
        let mut value = value.clone();
        value["tolerationSeconds"] = Value::Null;
        value
    };
    let is_kept = |old: &At<'_>| {
        let wanted = without_seconds(old.value());
        list.items().any(|new| same(&without_seconds(new.value()), &wanted))
    };
    if !before.at("tolerations").items().all(|old| is_kept(&old)) {
        causes.forbidden(&list, "existing toleration can not be modified except its tolerationSeconds");
    }
}

fn gates(new: &At<'_>, old: &At<'_>, causes: &mut Causes) {
    let before: BTreeSet<&str> =
        old.value().as_array().into_iter().flatten().filter_map(|gate| gate["name"].as_str()).collect();
    for gate in new.items() {
        let name = gate.at("name").text();
        if !before.contains(name) {
            causes.forbidden(&gate, &format!("only deletion is allowed, but found new scheduling gate '{name}'"));
        }
    }
}

/// A pod that is held back may be held to fewer nodes, not to others.
fn node_selector(new: &At<'_>, old: &At<'_>, causes: &mut Causes) {
    let is_kept = |(key, value): (&str, At<'_>)| new.key(key).value() == value.value();
    if !old.entries().all(is_kept) {
        let why = "may only be changed by adding entries while the pod is gated";
        causes.invalid(new, why);
    }
}

fn ephemeral(spec: &At<'_>, before: &At<'_>, causes: &mut Causes) {
    let list = spec.at("ephemeralContainers");
    for old in before.at("ephemeralContainers").items() {
        let name = old.at("name").text();
        match list.items().find(|new| new.at("name").text() == name) {
            None => causes.forbidden(&list, &format!("existing ephemeral containers \"{name}\" may not be removed\n")),
            Some(new) if !same(new.value(), old.value()) => {
                causes.forbidden(&list, &format!("existing ephemeral containers \"{name}\" may not be changed\n"));
            }
            Some(_) => {}
        }
    }
}

fn resize(spec: &At<'_>, before: &At<'_>, old: &Object, causes: &mut Causes) {
    let class = |of: &At<'_>| {
        let mut pod = old.clone();
        pod.0.insert("spec".into(), of.value().clone());
        crate::api::kinds::qos_class(&pod)
    };
    let (now, earlier) = (class(spec), old.text(&["status", "qosClass"]));
    if !earlier.is_empty() && now != earlier {
        let at = At::named("spec", spec.value());
        causes.invalid_as(
            &at,
            &json!(now),
            &format!("Pod QOS Class may not change as a result of resizing: {earlier} to {now}"),
        );
    }
    for list in ["containers", "initContainers"] {
        for (new, old) in spec.at(list).items().zip(before.at(list).items()) {
            for kind in ["requests", "limits"] {
                let resources = old.at("resources");
                let gone = resources.at(kind);
                let gone: Vec<String> = gone
                    .entries()
                    .filter(|(name, _)| new.at("resources").at(kind).key(name).is_missing())
                    .map(|(name, _)| name.to_string())
                    .collect();
                if !gone.is_empty() {
                    let resources = new.at("resources");
                    causes.forbidden(&resources.at(kind), &format!("resource {kind} cannot be removed"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(new: Value, old: Value) -> Vec<String> {
        let object = |spec: Value| Object::from_value(json!({"spec": spec})).unwrap();
        update(&object(new), &object(old), "")
            .into_iter()
            .map(|one| format!("{}: {}", one.field, one.message))
            .collect()
    }

    #[test]
    fn only_a_few_fields_may_change() {
        let old = json!({"containers": [{"name": "c", "image": "a"}], "tolerations": [{"key": "k"}],
            "activeDeadlineSeconds": 10, "schedulingGates": [{"name": "g"}]});
        let with = |change: Value| {
            let mut new = old.clone();
            new.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            found(new, old.clone())
        };
        for fine in [
            json!({"containers": [{"name": "c", "image": "b"}]}),
            json!({"tolerations": [{"key": "k", "tolerationSeconds": 5}, {"key": "l"}]}),
            json!({"activeDeadlineSeconds": 5}),
            json!({"schedulingGates": []}),
            json!({"nodeSelector": {"a": "b"}}),
        ] {
            assert_eq!(with(fine.clone()), Vec::<String>::new(), "{fine}");
        }
        let cases = [
            (json!({"hostNetwork": true}), "spec: Forbidden: pod updates may not change fields other than"),
            (json!({"containers": []}), "spec.containers: Forbidden: pod updates may not add or remove containers"),
            (json!({"tolerations": []}), "spec.tolerations: Forbidden: existing toleration can not be modified"),
            (json!({"activeDeadlineSeconds": 11}), "spec.activeDeadlineSeconds: Invalid value: 11: must be less"),
            (json!({"schedulingGates": [{"name": "h"}]}), "spec.schedulingGates[0]: Forbidden: only deletion"),
        ];
        for (change, wanted) in cases {
            let found = with(change.clone());
            assert!(found[0].starts_with(wanted), "{change}: {found:?}");
        }
    }

    #[test]
    fn ephemeral_containers_come_and_stay() {
        let pod = |names: &[&str]| {
            let list: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            Object::from_value(json!({"spec": {"ephemeralContainers": list}})).unwrap()
        };
        assert!(update(&pod(&["a", "b"]), &pod(&["a"]), "ephemeralcontainers").is_empty());
        assert_eq!(update(&pod(&[]), &pod(&["a"]), "ephemeralcontainers").len(), 1);
    }
}
