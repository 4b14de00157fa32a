//! Kinds of the group `autoscaling`: stored as `v2`, which has everything, served as `v1` too.
//!
//! What `v1` has no field for travels in annotations, so that a round trip loses nothing.
//! Source: pkg/apis/autoscaling/v1/conversion.go.

use super::{GroupVersion, Kind, Object, Served};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

pub(super) const HORIZONTAL_POD_AUTOSCALER: Kind = kind!(
    Namespaced,
    "autoscaling" / "v2",
    "io.k8s.api.autoscaling",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    "horizontalpodautoscaler",
    short: names!["hpa"],
    categories: names!["all"],
    status: true,
    served: Cow::Borrowed(&[V1]),
);

const V1: Served = Served {
    version: GroupVersion { group: Cow::Borrowed("autoscaling"), version: Cow::Borrowed("v1") },
    schema: Cow::Borrowed("io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler"),
    to_stored,
    from_stored,
    warning: Cow::Borrowed(""),
};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Where each annotation of `v1` has its field in `v2`.
const CARRIED: [(&str, [&str; 2]); 4] = [
    (METRICS, ["spec", "metrics"]),
    (CURRENT_METRICS, ["status", "currentMetrics"]),
    (CONDITIONS, ["status", "conditions"]),
    (BEHAVIOR, ["spec", "behavior"]),
];

fn to_stored(hpa: &mut Object) {
    for (annotation, field) in CARRIED {
        let Some(text) = hpa.remove(&["metadata", "annotations", annotation]) else { continue };
        if let Some(value) = text.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()) {
            hpa.set(&field, value);
        }
    }
    drop_empty_annotations(hpa);
    if let Some(target) = hpa.remove(&["spec", "targetCPUUtilizationPercentage"]) {
        let metric = json!({"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}}});
        push_front(hpa, &["spec", "metrics"], metric);
    }
    if let Some(current) = hpa.remove(&["status", "currentCPUUtilizationPercentage"]) {
        let metric =
            json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": current}}});
        push_front(hpa, &["status", "currentMetrics"], metric);
    }
}

fn from_stored(hpa: &mut Object) {
    if let Some(target) =
        take_cpu(hpa, &["spec", "metrics"], |metric| metric.pointer("/resource/target/averageUtilization"))
    {
        hpa.set(&["spec", "targetCPUUtilizationPercentage"], target);
    }
    if let Some(current) =
        take_cpu(hpa, &["status", "currentMetrics"], |metric| metric.pointer("/resource/current/averageUtilization"))
    {
        hpa.set(&["status", "currentCPUUtilizationPercentage"], current);
    }
    for (annotation, field) in CARRIED {
        let Some(value) = hpa.remove(&field) else { continue };
        let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !is_empty {
            hpa.set(&["metadata", "annotations", annotation], value.to_string());
        }
    }
}

/// Takes the first CPU utilization metric out of a list and returns its number.
fn take_cpu(hpa: &mut Object, path: &[&str], number: fn(&Value) -> Option<&Value>) -> Option<Value> {
    let list = hpa.at(path)?.as_array()?;
    let at = list.iter().position(|metric| {
        metric["type"] == "Resource"
            && metric["resource"]["name"] == "cpu"
            && number(metric).is_some_and(Value::is_number)
    })?;
    let mut rest = list.clone();
    let value = number(&rest.remove(at)).cloned();
    hpa.set(path, rest);
    value
}

fn push_front(hpa: &mut Object, path: &[&str], metric: Value) {
    let mut list = hpa.at(path).and_then(Value::as_array).cloned().unwrap_or_default();
    list.insert(0, metric);
    hpa.set(path, list);
}

fn drop_empty_annotations(hpa: &mut Object) {
    if hpa.at(&["metadata", "annotations"]).and_then(Value::as_object).is_some_and(Map::is_empty) {
        hpa.remove(&["metadata", "annotations"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_through_v1_loses_nothing() {
        let stored = Object::from_value(json!({
            "metadata": {"name": "h"},
            "spec": {"maxReplicas": 3, "behavior": {"scaleUp": {"selectPolicy": "Max"}}, "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
                {"type": "Pods", "pods": {"metric": {"name": "x"}, "target": {"type": "AverageValue", "averageValue": "1"}}}]},
            "status": {"conditions": [{"type": "AbleToScale", "status": "True"}]}
        })).unwrap();
        let mut hpa = stored.clone();
        from_stored(&mut hpa);
        assert_eq!(hpa.at(&["spec", "targetCPUUtilizationPercentage"]), Some(&json!(80)));
        assert!(hpa.at(&["spec", "metrics"]).is_none());
        to_stored(&mut hpa);
        assert_eq!(hpa, stored);
    }
}
