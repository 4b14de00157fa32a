//! Writing a pod's status: only what changed, by strategic merge, so that conditions of others stay.

use super::{parts, resize};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Map, Value, json};

/// Fields that the node writes; a missing one is cleared.
const FIELDS: &[&str] = &[
    "observedGeneration",
    "phase",
    "conditions",
    "message",
    "reason",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "startTime",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "qosClass",
];
/// Conditions that are the node's to take away.
const OWN: &[&str] = &[resize::PENDING, resize::IN_PROGRESS];
/// Lists that are merged by this key: what left must be named. Conditions of others are not the node's to take away.
const MERGED: &[(&str, &str, bool)] = &[("hostIPs", "ip", true), ("podIPs", "ip", true), ("conditions", "type", false)];

/// The patch that turns the status that `pod` has into `wanted`; nothing if it has it.
pub fn patch(pod: &Pod, wanted: &PodStatus) -> Option<Value> {
    let known = serde_json::to_value(parts::status(pod)).ok()?;
    let wanted = serde_json::to_value(wanted).ok()?;
    let mut changed = Map::new();
    for field in FIELDS {
        let (old, new) = (known.get(*field).unwrap_or(&Value::Null), wanted.get(*field).unwrap_or(&Value::Null));
        if !is_same(field, old, new) {
            changed.insert(field.to_string(), with_deletions(field, old, new));
        }
    }
    (!changed.is_empty()).then(|| json!({"metadata": {"uid": parts::uid(pod)}, "status": changed}))
}

/// Whether `wanted` only tells that a newer generation of the pod was seen.
pub fn is_notice(pod: &Pod, wanted: &PodStatus) -> bool {
    let known = parts::status(pod);
    let mut wanted = wanted.clone();
    wanted.observed_generation = known.observed_generation;
    for condition in wanted.conditions.iter_mut().flatten() {
        let before = known.conditions.iter().flatten().find(|before| before.type_ == condition.type_);
        condition.observed_generation = before.and_then(|before| before.observed_generation);
    }
    patch(pod, &wanted).is_none()
}

/// Whether nothing would change; the server keeps the order of lists that it merges.
fn is_same(field: &str, old: &Value, new: &Value) -> bool {
    match (old.as_array(), new.as_array()) {
        (Some(old), Some(new)) if MERGED.iter().any(|(merged, ..)| *merged == field) => {
            old.len() == new.len() && new.iter().all(|one| old.contains(one))
        }
        _ => old == new || is_nothing(old) && is_nothing(new),
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_str().is_some_and(str::is_empty)
}

fn with_deletions(field: &str, old: &Value, new: &Value) -> Value {
    let Some((_, key, own)) = MERGED.iter().find(|(merged, ..)| *merged == field) else { return new.clone() };
    let mut list = new.as_array().cloned().unwrap_or_default();
    for left in old.as_array().into_iter().flatten() {
        if let Some(one) = list.iter_mut().find(|one| one[*key] == left[*key]) {
            // A field that left must be named as well, or the merge would keep it.
            for name in left.as_object().into_iter().flat_map(Map::keys).filter(|name| left[*name] != Value::Null) {
                if one.get(name).is_none() {
                    one[name] = Value::Null;
                }
            }
        } else if *own || left["type"].as_str().is_some_and(|kind| OWN.contains(&kind)) {
            let mut deletion = Map::new();
            deletion.insert("$patch".into(), json!("delete"));
            deletion.insert(key.to_string(), left[*key].clone());
            list.push(Value::Object(deletion));
        }
    }
    Value::Array(list)
}

/// Sends the patch; returns the pod as it is then.
pub async fn write(pods: &Api<Pod>, name: &str, patch: Value) -> kube::Result<Pod> {
    pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::pod;

    #[test]
    fn only_changes_are_sent_and_addresses_that_left_are_named() {
        let mut pod = pod(json!({"containers": []}));
        let old = json!({"phase": "Running", "reason": "Evicted", "podIPs": [{"ip": "10.0.0.1"}]});
        pod.status = serde_json::from_value(old).unwrap();
        let wanted: PodStatus =
            serde_json::from_value(json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.2"}]})).unwrap();
        let patch = patch(&pod, &wanted).unwrap();
        assert_eq!(
            patch["status"],
            json!({"reason": null, "podIPs": [{"ip": "10.0.0.2"}, {"$patch": "delete", "ip": "10.0.0.1"}]})
        );
        assert!(super::patch(&pod, parts::status(&pod)).is_none());
    }

    #[test]
    fn a_newer_generation_alone_is_a_notice() {
        let mut pod = pod(json!({"containers": []}));
        let status = |generation: i64, phase: &str| -> PodStatus {
            let ready = json!({"type": "Ready", "status": "True", "observedGeneration": generation});
            let status = json!({"phase": phase, "observedGeneration": generation, "conditions": [ready]});
            serde_json::from_value(status).unwrap()
        };
        pod.status = Some(status(1, "Running"));
        assert!(patch(&pod, &status(2, "Running")).is_some() && is_notice(&pod, &status(2, "Running")));
        assert!(!is_notice(&pod, &status(2, "Failed")));
    }

    #[test]
    fn a_reason_that_a_condition_has_no_more_is_cleared_and_conditions_of_others_stay() {
        let mut pod = pod(json!({"containers": []}));
        let old = json!({"conditions": [
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "m"},
            {"type": "example.com/other", "status": "True"},
        ]});
        pod.status = serde_json::from_value(old).unwrap();
        let wanted: PodStatus =
            serde_json::from_value(json!({"conditions": [{"type": "Ready", "status": "True"}]})).unwrap();
        let conditions = &patch(&pod, &wanted).unwrap()["status"]["conditions"];
        assert_eq!(*conditions, json!([{"type": "Ready", "status": "True", "reason": null, "message": null}]));
    }
}
