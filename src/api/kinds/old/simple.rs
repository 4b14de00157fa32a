//! Old versions that differ in a field or in what is usual.

use super::super::edit::{Fields, child, each, is_absent, missing, zero};
use super::super::{Cause, Object};
use crate::api::validate::certificates::LEGACY;
use serde_json::{Map, Value, json};

/// In `policy/v1beta1` an empty selector selects nothing, in `policy/v1` everything. Either is written in the other with a
/// label that no pod has.
///
/// Source: pkg/apis/policy/v1beta1/conversion.go.
const EMPTY: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";

fn by_label(operator: &str) -> Value {
    json!({"matchExpressions": [{"key": EMPTY, "operator": operator}]})
}

pub fn budget_to_stored(budget: &mut Object) {
    change_selector(budget, &by_label("Exists"), &by_label("DoesNotExist"));
}

pub fn budget_from_stored(budget: &mut Object) {
    change_selector(budget, &by_label("DoesNotExist"), &by_label("Exists"));
}

/// Writes an empty selector as `written`, and `read` as an empty one.
fn change_selector(budget: &mut Object, written: &Value, read: &Value) {
    match budget.at(&["spec", "selector"]) {
        Some(Value::Object(selector)) if selector.is_empty() => budget.set(&["spec", "selector"], written.clone()),
        Some(selector) if selector == read => budget.set(&["spec", "selector"], Map::new()),
        _ => {}
    }
}

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Source: pkg/apis/discovery/v1beta1/conversion.go.
pub fn slice_to_stored(slice: &mut Object) {
    for endpoint in each(&mut slice.0, "endpoints") {
        let Some(Value::Object(mut topology)) = endpoint.remove("topology") else { continue };
        let host = topology.remove(HOST);
        if is_absent(endpoint, "nodeName") {
            endpoint.extend(host.map(|name| ("nodeName".to_string(), name)));
        }
        endpoint.extend(topology.remove(ZONE).map(|name| ("zone".to_string(), name)));
        if !topology.is_empty() {
            endpoint.insert("deprecatedTopology".into(), Value::Object(topology));
        }
    }
}

pub fn slice_from_stored(slice: &mut Object) {
    for endpoint in each(&mut slice.0, "endpoints") {
        let mut topology = match endpoint.remove("deprecatedTopology") {
            Some(Value::Object(topology)) => topology,
            _ => Map::new(),
        };
        topology.extend(endpoint.remove("zone").map(|zone| (ZONE.to_string(), zone)));
        topology.extend(endpoint.get("nodeName").map(|name| (HOST.to_string(), name.clone())));
        if !topology.is_empty() {
            endpoint.insert("topology".into(), Value::Object(topology));
        }
    }
}

/// Source: pkg/apis/admissionregistration/v1beta1/defaults.go.
pub fn webhooks_to_stored(configuration: &mut Object) {
    for webhook in each(&mut configuration.0, "webhooks") {
        missing(webhook, "failurePolicy", "Ignore");
        missing(webhook, "matchPolicy", "Exact");
        missing(webhook, "sideEffects", "Unknown");
        missing(webhook, "timeoutSeconds", 30);
        missing(webhook, "admissionReviewVersions", json!(["v1beta1"]));
    }
}

/// Webhooks could do anything, or not say what they do.
pub fn may_have_side_effects(cause: &Cause) -> bool {
    let known = ["\"Unknown\"", "\"Some\""];
    cause.field.ends_with(".sideEffects") && known.iter().any(|word| cause.message.contains(&format!("value: {word}")))
}

/// Source: pkg/apis/certificates/v1beta1/defaults.go.
pub fn request_to_stored(request: &mut Object) {
    if let Some(spec) = child(&mut request.0, "spec") {
        zero(spec, "signerName", LEGACY);
        missing(spec, "usages", json!(["digital signature", "key encipherment"]));
    }
    if let Some(status) = child(&mut request.0, "status") {
        each(status, "conditions").for_each(|condition| zero(condition, "status", "True"));
    }
}

pub fn review_to_stored(review: &mut Object) {
    if let Some(spec) = child(&mut review.0, "spec") {
        rename(spec, "group", "groups");
    }
}

pub fn review_from_stored(review: &mut Object) {
    if let Some(spec) = child(&mut review.0, "spec") {
        rename(spec, "groups", "group");
    }
}

fn rename(fields: &mut Fields, from: &str, to: &str) {
    let value = fields.remove(from);
    fields.extend(value.map(|value| (to.to_string(), value)));
}
