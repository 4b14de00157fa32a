//! Labels and selectors.
//!
//! Source: k8s.io/apimachinery `pkg/apis/meta/v1/validation/validation.go`.

use super::causes::{At, Causes};
use crate::api::names;

/// A map of labels. What is wrong is told of the map, not of the entry, as upstream does.
pub fn labels(at: &At<'_>, causes: &mut Causes) {
    for (key, value) in at.entries() {
        for wrong in names::qualified_name(key) {
            causes.invalid_as(at, &key.into(), &wrong);
        }
        for wrong in names::label_value(value.text()) {
            causes.invalid_as(at, value.value(), &wrong);
        }
    }
}

/// A label's key.
pub fn label_name(at: &At<'_>, causes: &mut Causes) {
    for wrong in names::qualified_name(at.text()) {
        causes.invalid_as(at, &at.text().into(), &wrong);
    }
}

/// A label selector, if there is one.
pub fn selector(at: &At<'_>, causes: &mut Causes) {
    labels(&at.at("matchLabels"), causes);
    for one in at.at("matchExpressions").items() {
        requirement(&one, causes);
    }
}

fn requirement(at: &At<'_>, causes: &mut Causes) {
    match at.at("operator").text() {
        "In" | "NotIn" if at.at("values").is_empty() => {
            causes.required(&at.at("values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !at.at("values").is_empty() => {
            causes.forbidden(&at.at("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => causes.invalid(&at.at("operator"), "not a valid selector operator"),
    }
    label_name(&at.at("key"), causes);
    for value in at.at("values").items() {
        causes.each(&value, names::label_value(value.text()));
    }
}

/// A requirement on a node's labels or fields.
pub fn node_requirement(at: &At<'_>, causes: &mut Causes) {
    let values = at.at("values");
    match at.at("operator").text() {
        "In" | "NotIn" if values.is_empty() => {
            causes.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            causes.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.count() != 1 => {
            causes.required(&values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        _ => causes.invalid(&at.at("operator"), "not a valid selector operator"),
    }
    label_name(&at.at("key"), causes);
}
