//! Horizontal pod autoscalers and disruption budgets.
//!
//! Source: pkg/apis/autoscaling/validation, pkg/apis/policy/validation.

use super::causes::{At, collect};
use super::{labels, workloads};
use crate::api::{Cause, Object, names};
use serde_json::json;

/// What is wrong with a HorizontalPodAutoscaler.
pub fn autoscaler(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        let (least, most) = (spec.at("minReplicas"), spec.at("maxReplicas"));
        if least.number().is_some_and(|number| number < 1) {
            causes.invalid(&least, "must be greater than or equal to 1");
        }
        let number = most.number().unwrap_or(0);
        if number < 1 {
            causes.invalid_as(&most, &json!(number), "must be greater than 0");
        }
        if least.number().is_some_and(|least| number < least) {
            causes.invalid_as(&most, &json!(number), "must be greater than or equal to `minReplicas`");
        }
        let target = spec.at("scaleTargetRef");
        for field in ["kind", "name"] {
            causes.name(&target.at(field), names::path_segment);
        }
        for metric in spec.at("metrics").items() {
            causes.one_of(&metric.at("type"), &["ContainerResource", "External", "Object", "Pods", "Resource"]);
        }
    })
}

/// What is wrong with a PodDisruptionBudget.
pub fn budget(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        let (least, most) = (spec.at("minAvailable"), spec.at("maxUnavailable"));
        if !least.is_missing() && !most.is_missing() {
            causes.invalid(&spec, "minAvailable and maxUnavailable cannot be both set");
        }
        workloads::int_or_percent(&least, causes);
        workloads::int_or_percent(&most, causes);
        labels::selector(&spec.at("selector"), causes);
        causes.optional_of(&spec.at("unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"]);
    })
}
