//! Kinds of the group `autoscaling`: stored as `v2`, which has everything, served as `v1` too.
//!
//! What `v1` has no field for travels in annotations, so that a round trip loses nothing.
//! Source: pkg/apis/autoscaling/v1/conversion.go.

use super::edit::{Fields, child, each, missing, object, zero};
use super::entry::columns::{AGE, NAME};
use super::{Column, GroupVersion, Kind, NO_RULES, Object, Rules, Served, print};
use crate::api::validate;
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
    served: Cow::Borrowed(&[V1, V2BETA2]),
    columns: Cow::Borrowed(COLUMNS),
    rules: Rules { validate: validate::autoscaling::autoscaler, default, prepare_create, ..NO_RULES },
);

const V1: Served = Served {
    version: GroupVersion { group: Cow::Borrowed("autoscaling"), version: Cow::Borrowed("v1") },
    schema: Cow::Borrowed("io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler"),
    to_stored,
    from_stored,
    warning: Cow::Borrowed(""),
    allows: None,
};

/// The same as `v2`.
const V2BETA2: Served = Served {
    version: GroupVersion { group: Cow::Borrowed("autoscaling"), version: Cow::Borrowed("v2beta2") },
    schema: Cow::Borrowed("io.k8s.api.autoscaling.v2beta2.HorizontalPodAutoscaler"),
    to_stored: |_| {},
    from_stored: |_| {},
    warning: Cow::Borrowed(
        "autoscaling/v2beta2 HorizontalPodAutoscaler is deprecated in v1.23+, unavailable in v1.26+; \
         use autoscaling/v2 HorizontalPodAutoscaler",
    ),
    allows: None,
};

/// How many metrics a cell shows.
const SHOWN: usize = 2;

const COLUMNS: &[Column] = &[
    NAME,
    print::column("Reference", "string", "What it scales.", |hpa, _| {
        let target = |field: &str| hpa.text(&["spec", "scaleTargetRef", field]).to_string();
        format!("{}/{}", target("kind"), target("name")).into()
    }),
    print::column("Targets", "string", "Measured and wanted values.", |hpa, _| targets(hpa).into()),
    print::column("MinPods", "string", "Fewest pods.", |hpa, _| {
        hpa.at(&["spec", "minReplicas"]).map_or("<unset>".into(), |value| value.to_string().into())
    }),
    print::column("MaxPods", "string", "Most pods.", |hpa, _| print::number(hpa, &["spec", "maxReplicas"]).into()),
    print::column("Replicas", "string", "Pods at present.", |hpa, _| {
        print::number(hpa, &["status", "currentReplicas"]).into()
    }),
    AGE,
];

fn default(hpa: &mut Object) {
    let spec = object(&mut hpa.0, "spec");
    missing(spec, "minReplicas", 1);
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let cpu = json!({"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
        spec.insert("metrics".into(), json!([cpu]));
    }
    let Some(behavior) = child(spec, "behavior") else { return };
    let up = json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]);
    default_direction(object(behavior, "scaleUp"), Some(0), up);
    default_direction(
        object(behavior, "scaleDown"),
        None,
        json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]),
    );
}

fn default_direction(rules: &mut Fields, window: Option<i64>, policies: Value) {
    zero(rules, "selectPolicy", "Max");
    if let Some(seconds) = window {
        missing(rules, "stabilizationWindowSeconds", seconds);
    }
    if each(rules, "policies").next().is_none() {
        rules.insert("policies".into(), policies);
    }
}

fn prepare_create(hpa: &mut Object) {
    hpa.set(&["status"], json!({"desiredReplicas": 0, "currentMetrics": null}));
}

fn targets(hpa: &Object) -> String {
    let current = print::list(hpa, &["status", "currentMetrics"]);
    let shown: Vec<String> = print::list(hpa, &["spec", "metrics"])
        .iter()
        .enumerate()
        .map(|(index, metric)| target(metric, current.get(index).unwrap_or(&Value::Null)))
        .collect();
    match shown.len() {
        0 => print::NONE.into(),
        count if count > SHOWN => format!("{} + {} more...", shown[..SHOWN].join(", "), count - SHOWN),
        _ => shown.join(", "),
    }
}

/// One metric as `measured/wanted`, with its name in front where it is a resource.
fn target(metric: &Value, current: &Value) -> String {
    let kind = print::field(metric, "type");
    let field = format!("{}{}", kind[..kind.len().min(1)].to_lowercase(), kind.get(1..).unwrap_or_default());
    let (spec, status) = (&metric[&field]["target"], &current[&field]["current"]);
    let (name, unit) = match print::field(spec, "type") {
        "Utilization" => ("averageUtilization", "%"),
        "AverageValue" => ("averageValue", ""),
        _ => ("value", ""),
    };
    let amount = |of: &Value| print::number_or_percent(of.get(name)).map(|text| format!("{text}{unit}"));
    let measured = amount(status).unwrap_or_else(|| "<unknown>".into());
    let wanted = amount(spec).unwrap_or_else(|| "<auto>".into());
    let average = if name == "averageValue" && kind != "Resource" && kind != "Pods" { " (avg)" } else { "" };
    match kind {
        "Resource" | "ContainerResource" => {
            format!("{}: {measured}/{wanted}", print::field(&metric[&field], "name"))
        }
        _ => format!("{measured}/{wanted}{average}"),
    }
}

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
