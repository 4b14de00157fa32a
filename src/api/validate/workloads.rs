//! Deployments, replica sets, replication controllers, daemon sets, stateful sets.
//!
//! Source: pkg/apis/apps/validation/validation.go, pkg/apis/core/validation/validation.go.

use super::causes::{At, Causes, collect, same};
use super::{labels, pod};
use crate::api::selector::Selector;
use crate::api::{Cause, Object};
use serde_json::{Value, json};

const MISMATCH: &str = "`selector` does not match template `labels`";

/// What is wrong with a Deployment.
pub fn deployment(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        causes.not_negative(&spec.at("replicas"));
        selector_and_template(&spec, "deployment", Some("ReplicaSet"), causes);
        strategy(&spec.at("strategy"), causes);
        causes.not_negative(&spec.at("minReadySeconds"));
        causes.not_negative(&spec.at("revisionHistoryLimit"));
        let deadline = spec.at("progressDeadlineSeconds");
        causes.not_negative(&deadline);
        let ready = spec.at("minReadySeconds").number().unwrap_or(0);
        if deadline.number().is_some_and(|deadline| deadline <= ready) {
            causes.invalid(&deadline, "must be greater than minReadySeconds");
        }
    })
}

/// What is wrong with a ReplicaSet.
pub fn replica_set(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        causes.not_negative(&spec.at("replicas"));
        causes.not_negative(&spec.at("minReadySeconds"));
        // Upstream says `deployment` here as well.
        selector_and_template(&spec, "deployment", Some("ReplicaSet"), causes);
    })
}

/// What is wrong with a ReplicationController.
pub fn replication_controller(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        causes.not_negative(&spec.at("minReadySeconds"));
        let selector = spec.at("selector");
        labels::labels(&selector, causes);
        if selector.is_empty() {
            causes.required(&selector, "");
        }
        causes.not_negative(&spec.at("replicas"));
        let template = spec.at("template");
        if template.is_missing() {
            causes.required(&template, "");
            return;
        }
        if !selector.is_empty() {
            match_labels(&Selector::from_map(selector.value()), &template, causes);
        }
        pod::template(&template, causes);
        always(&template, None, causes);
    })
}

/// What is wrong with a DaemonSet.
pub fn daemon_set(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        selector_and_template(&spec, "daemonset", Some("DaemonSet"), causes);
        causes.not_negative(&spec.at("minReadySeconds"));
        let strategy = spec.at("updateStrategy");
        if strategy.at("type").text() == "RollingUpdate" {
            let rolling = strategy.at("rollingUpdate");
            if rolling.is_missing() {
                causes.required(&rolling, "");
            } else {
                daemon_rolling(&rolling, causes);
            }
        }
        causes.one_of(&strategy.at("type"), &["RollingUpdate", "OnDelete"]);
        causes.not_negative(&spec.at("revisionHistoryLimit"));
    })
}

fn daemon_rolling(at: &At<'_>, causes: &mut Causes) {
    let (unavailable, surge) = (at.at("maxUnavailable"), at.at("maxSurge"));
    int_or_percent(&unavailable, causes);
    int_or_percent(&surge, causes);
    match (amount(&unavailable) > 0, amount(&surge) > 0) {
        (false, false) => causes.required(&unavailable, "cannot be 0 when maxSurge is 0"),
        (true, true) => causes.invalid(&surge, "may not be set when maxUnavailable is non-zero"),
        _ => {}
    }
    at_most_all(&unavailable, causes);
    at_most_all(&surge, causes);
}

/// What is wrong with a StatefulSet.
pub fn stateful_set(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        let policy = spec.at("podManagementPolicy");
        match policy.text() {
            "" => causes.required(&policy, ""),
            "OrderedReady" | "Parallel" => {}
            _ => causes.invalid(&policy, "must be 'OrderedReady' or 'Parallel'"),
        }
        let strategy = spec.at("updateStrategy");
        let rolling = strategy.at("rollingUpdate");
        match strategy.at("type").text() {
            "" => causes.required(&strategy, ""),
            "OnDelete" if !rolling.is_missing() => {
                causes.invalid(&rolling, "only allowed for updateStrategy 'RollingUpdate'");
            }
            "OnDelete" => {}
            "RollingUpdate" => {
                causes.not_negative(&rolling.at("partition"));
                let unavailable = rolling.at("maxUnavailable");
                if !unavailable.is_missing() {
                    int_or_percent(&unavailable, causes);
                    if amount(&unavailable) == 0 {
                        causes.invalid(&unavailable, "cannot be 0");
                    }
                    at_most_all(&unavailable, causes);
                }
            }
            _ => causes.invalid(&strategy, "must be 'RollingUpdate' or 'OnDelete'"),
        }
        let kept = spec.at("persistentVolumeClaimRetentionPolicy");
        for field in ["whenDeleted", "whenScaled"] {
            causes.optional_of(&kept.at(field), &["Delete", "Retain"]);
        }
        causes.not_negative(&spec.at("replicas"));
        causes.not_negative(&spec.at("minReadySeconds"));
        causes.not_negative(&spec.at("ordinals").at("start"));
        causes.not_negative(&spec.at("revisionHistoryLimit"));
        selector_and_template(&spec, "statefulset", Some("StatefulSet"), causes);
    })
}

/// The selector must be there, select something, and select the template's pods; the template must be one of pods that stay.
fn selector_and_template(spec: &At<'_>, what: &str, owner: Option<&str>, causes: &mut Causes) {
    let (at, template) = (spec.at("selector"), spec.at("template"));
    if at.is_missing() {
        // Nothing selects nothing.
        if what != "daemonset" {
            causes.required(&at, "");
        }
        mismatch(&template, causes);
    } else {
        labels::selector(&at, causes);
        if at.at("matchLabels").is_empty() && at.at("matchExpressions").is_empty() {
            causes.invalid(&at, &format!("empty selector is invalid for {what}"));
        }
    }
    match Selector::from_object(at.value()) {
        Ok(selector) if !at.is_missing() && !selector.is_everything() => match_labels(&selector, &template, causes),
        Ok(_) => {}
        Err(_) => causes.invalid(&at, "invalid label selector"),
    }
    // The claims of a StatefulSet become volumes that its template does not list: the pods are looked at when they are made.
    match what {
        "statefulset" => pod::template_metadata(&template, causes),
        _ => pod::template(&template, causes),
    }
    always(&template, owner, causes);
}

fn match_labels(selector: &Selector, template: &At<'_>, causes: &mut Causes) {
    let metadata = template.at("metadata");
    let labels = metadata.at("labels");
    if !selector.matches(|key| labels.value().get(key).and_then(Value::as_str)) {
        mismatch(template, causes);
    }
}

fn mismatch(template: &At<'_>, causes: &mut Causes) {
    let metadata = template.at("metadata");
    let labels = metadata.at("labels");
    let none = json!({});
    causes.invalid_as(&labels, if labels.is_missing() { &none } else { labels.value() }, MISMATCH);
}

/// Pods that are to be there always do not end by themselves.
fn always(template: &At<'_>, owner: Option<&str>, causes: &mut Causes) {
    let spec = template.at("spec");
    let policy = spec.at("restartPolicy");
    if !matches!(policy.text(), "" | "Always") {
        causes.unsupported(&policy, &["Always"]);
    }
    let deadline = spec.at("activeDeadlineSeconds");
    if let Some(owner) = owner.filter(|_| !deadline.is_missing()) {
        causes.forbidden(&deadline, &format!("activeDeadlineSeconds in {owner} is not Supported"));
    }
}

fn strategy(at: &At<'_>, causes: &mut Causes) {
    let rolling = at.at("rollingUpdate");
    match at.at("type").text() {
        "Recreate" if !rolling.is_missing() => {
            causes.forbidden(&rolling, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" if rolling.is_missing() => {
            causes.required(&rolling, "this should be defaulted and never be nil");
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.at("maxUnavailable"), rolling.at("maxSurge"));
            int_or_percent(&unavailable, causes);
            int_or_percent(&surge, causes);
            if amount(&unavailable) == 0 && amount(&surge) == 0 {
                causes.invalid(&unavailable, "may not be 0 when `maxSurge` is 0");
            }
            at_most_all(&unavailable, causes);
        }
        _ => causes.unsupported(&at.at("type"), &["Recreate", "RollingUpdate"]),
    }
}

fn percent(at: &At<'_>) -> Option<i64> {
    let digits = at.value().as_str()?.strip_suffix('%')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn amount(at: &At<'_>) -> i64 {
    percent(at).or(at.number()).unwrap_or(0)
}

/// A number that is not negative, or a share of the whole.
pub fn int_or_percent(at: &At<'_>, causes: &mut Causes) {
    match at.value() {
        Value::String(_) if percent(at).is_none() => {
            let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
            causes.invalid(at, why);
        }
        Value::String(_) => {}
        _ => causes.not_negative(at),
    }
}

fn at_most_all(at: &At<'_>, causes: &mut Causes) {
    if percent(at).is_some_and(|share| share > 100) {
        causes.invalid(at, "must not be greater than 100%");
    }
}

/// The selector of a workload stays.
pub fn update(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        let (spec, before) = (At::top(new, "spec"), At::top(old, "spec"));
        causes.immutable(&spec.at("selector"), &before.at("selector"));
    })
}

/// Fields of a stateful set that may change.
const STATEFUL: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// Most of a stateful set stays.
pub fn update_stateful_set(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        let (spec, before) = (At::top(new, "spec"), At::top(old, "spec"));
        let mut masked = spec.value().clone();
        for field in STATEFUL {
            masked[*field] = before.value()[*field].clone();
        }
        if !same(&masked, before.value()) {
            let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
            causes.forbidden(&spec, why);
        }
    })
}

/// The data of a controller revision stays.
pub fn update_revision(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| causes.immutable(&At::top(new, "data"), &At::top(old, "data")))
}
