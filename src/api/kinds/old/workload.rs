//! Workloads of `extensions/v1beta1` and `apps/v1beta1`: selectors follow from the template, and other things are usual.
//!
//! Source: pkg/apis/{extensions,apps}/v1beta1/{defaults,conversion}.go of Kubernetes 1.15.

use super::super::Object;
use super::super::edit::{child, missing, object};
use serde_json::{Map, Value};

/// Where `apps/v1` keeps `spec.rollbackTo.revision`.
const ROLLBACK: &str = "deprecated.deployment.rollback.to";
/// Where `apps/v1` keeps `spec.templateGeneration`.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
/// No limit, as a number.
const ALL: i64 = i32::MAX as i64;

/// A selector that is missing selects by the labels of the template.
pub fn select_by_template(workload: &mut Object) {
    let Some(labels) = workload.at(&["spec", "template", "metadata", "labels"]).and_then(Value::as_object).cloned()
    else {
        return;
    };
    if let Some(spec) = child(&mut workload.0, "spec").filter(|_| !labels.is_empty()) {
        let selector = Map::from_iter([("matchLabels".to_string(), Value::Object(labels))]);
        missing(spec, "selector", selector);
    }
}

/// A number that an annotation carries.
fn from_annotation(workload: &mut Object, annotation: &str, field: &[&str]) {
    let text = workload.remove(&["metadata", "annotations", annotation]);
    if let Some(number) = text.and_then(|text| text.as_str()?.parse::<i64>().ok()) {
        workload.set(field, number);
    }
    if workload.at(&["metadata", "annotations"]).and_then(Value::as_object).is_some_and(Map::is_empty) {
        workload.remove(&["metadata", "annotations"]);
    }
}

pub fn deployment_to_stored(deployment: &mut Object) {
    select_by_template(deployment);
    if let Some(revision) = deployment.remove(&["spec", "rollbackTo"]).and_then(|to| to["revision"].as_i64()) {
        deployment.set(&["metadata", "annotations", ROLLBACK], revision.to_string());
    }
    if let Some(spec) = child(&mut deployment.0, "spec") {
        missing(spec, "revisionHistoryLimit", 2);
    }
}

/// The first version kept everything, waited for ever and replaced one pod after the other.
pub fn first_deployment_to_stored(deployment: &mut Object) {
    if let Some(spec) = child(&mut deployment.0, "spec") {
        missing(spec, "revisionHistoryLimit", ALL);
        missing(spec, "progressDeadlineSeconds", ALL);
        let strategy = object(spec, "strategy");
        if strategy.get("type").is_none_or(|kind| kind == "RollingUpdate" || kind == "" || kind.is_null()) {
            let rolling = object(strategy, "rollingUpdate");
            missing(rolling, "maxUnavailable", 1);
            missing(rolling, "maxSurge", 1);
        }
    }
    deployment_to_stored(deployment);
}

pub fn deployment_from_stored(deployment: &mut Object) {
    from_annotation(deployment, ROLLBACK, &["spec", "rollbackTo", "revision"]);
}

pub fn daemon_to_stored(daemon: &mut Object) {
    select_by_template(daemon);
    if let Some(generation) = daemon.remove(&["spec", "templateGeneration"]).and_then(|number| number.as_i64()) {
        daemon.set(&["metadata", "annotations", TEMPLATE_GENERATION], generation.to_string());
    }
    update_on_delete(daemon);
}

pub fn daemon_from_stored(daemon: &mut Object) {
    from_annotation(daemon, TEMPLATE_GENERATION, &["spec", "templateGeneration"]);
}

pub fn stateful_to_stored(set: &mut Object) {
    select_by_template(set);
    update_on_delete(set);
}

/// Pods were replaced when somebody deleted them, unless asked otherwise.
fn update_on_delete(workload: &mut Object) {
    if let Some(spec) = child(&mut workload.0, "spec") {
        missing(object(spec, "updateStrategy"), "type", "OnDelete");
    }
}
