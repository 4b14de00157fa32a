//! Kinds with few rules: namespaces, nodes, accounts, limits, quotas, priority classes, leases, events.
//!
//! Source: pkg/apis/{core,scheduling,coordination}/validation.

use super::causes::{At, Causes, collect, same};
use super::{labels, pod};
use crate::api::{Cause, Object, names};
use std::collections::BTreeSet;

/// The highest priority that users give.
const HIGHEST: i64 = 1_000_000_000;
/// Classes that the cluster has of its own.
const SYSTEM: &[(&str, i64)] = &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// What is wrong with a Namespace.
pub fn namespace(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        for finalizer in spec.at("finalizers").items() {
            let list = spec.at("finalizers");
            for wrong in names::qualified_name(finalizer.text()) {
                causes.invalid_as(&list, finalizer.value(), &wrong);
            }
            if !finalizer.text().contains('/') && finalizer.text() != "kubernetes" {
                causes.invalid(&finalizer, "name is neither a standard finalizer name nor is it fully qualified");
            }
        }
    })
}

/// What is wrong with a Node.
pub fn node(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        let mut seen = BTreeSet::new();
        for taint in spec.at("taints").items() {
            let (key, effect) = (taint.at("key"), taint.at("effect"));
            labels::label_name(&key, causes);
            causes.each(&taint.at("value"), names::label_value(taint.at("value").text()));
            causes.one_of(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
            if !seen.insert((key.text().to_string(), effect.text().to_string())) {
                causes.duplicate(&taint);
            }
        }
        for range in spec.at("podCIDRs").items() {
            causes.each(&range, names::cidr(range.text()));
        }
        let status = At::top(object, "status");
        for field in ["capacity", "allocatable"] {
            for (_, amount) in status.at(field).entries() {
                pod::amount(&amount, causes);
            }
        }
    })
}

/// What of a node stays once it is set.
pub fn update_node(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        let (spec, before) = (At::top(new, "spec"), At::top(old, "spec"));
        let why = "node updates may not change podCIDR except from \"\" to valid";
        if !before.at("podCIDRs").is_empty() && !same(spec.at("podCIDRs").value(), before.at("podCIDRs").value()) {
            causes.forbidden(&spec.at("podCIDRs"), why);
        }
        let why = "node updates may not change providerID except from \"\" to valid";
        if !before.at("providerID").is_empty() && spec.at("providerID").text() != before.at("providerID").text() {
            causes.forbidden(&spec.at("providerID"), why);
        }
    })
}

/// What is wrong with a LimitRange.
pub fn limit_range(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        let mut seen = BTreeSet::new();
        for limit in spec.at("limits").items() {
            let kind = limit.at("type");
            if !seen.insert(kind.text().to_string()) {
                causes.duplicate(&kind);
            }
            for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
                for (_, amount) in limit.at(field).entries() {
                    pod::amount(&amount, causes);
                }
            }
            if kind.text() == "Pod" {
                for field in ["default", "defaultRequest"] {
                    if !limit.at(field).is_empty() {
                        causes.forbidden(&limit.at(field), "may not be specified when `type` is 'Pod'");
                    }
                }
            }
            order(&limit, causes);
        }
    })
}

/// min ≤ defaultRequest ≤ default ≤ max, told of in the order in which upstream compares.
fn order(limit: &At<'_>, causes: &mut Causes) {
    let pairs = [
        ("min", "max", "min", "min value", "max value"),
        ("min", "defaultRequest", "defaultRequest", "min value", "default request value"),
        ("defaultRequest", "max", "defaultRequest", "default request value", "max value"),
        ("defaultRequest", "default", "defaultRequest", "default request value", "default limit value"),
        ("min", "default", "default", "min value", "default value"),
        ("default", "max", "default", "default value", "max value"),
    ];
    for (low, high, place, low_word, high_word) in pairs {
        for (name, least) in limit.at(low).entries() {
            let high = limit.at(high);
            let most = high.key(name);
            let (Some(least), Some(most)) = (least.quantity(), most.quantity()) else { continue };
            if least > most {
                let place = limit.at(place);
                let at = place.key(name);
                let shown = at.quantity().map(|amount| amount.to_string()).unwrap_or_default();
                let why = format!("{low_word} {least} is greater than {high_word} {most}");
                causes.invalid_as(&at, &shown.into(), &why);
            }
        }
    }
}

/// What is wrong with a ResourceQuota.
pub fn quota(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        for (name, amount) in spec.at("hard").entries() {
            for wrong in names::qualified_name(name) {
                causes.invalid_as(&amount, &name.into(), &wrong);
            }
            if !name.contains('/') && !is_quota_resource(name) {
                causes.invalid_as(&amount, &name.into(), "must be a standard resource for quota");
            }
            pod::amount(&amount, causes);
        }
        let mut scopes = BTreeSet::new();
        for scope in spec.at("scopes").items() {
            let known = [
                "Terminating",
                "NotTerminating",
                "BestEffort",
                "NotBestEffort",
                "PriorityClass",
                "CrossNamespacePodAffinity",
                "VolumeAttributesClass",
            ];
            if !known.contains(&scope.text()) {
                causes.invalid_as(&spec.at("scopes"), spec.at("scopes").value(), "unsupported scope");
            }
            scopes.insert(scope.text().to_string());
        }
        let conflicts = |a: &str, b: &str| scopes.contains(a) && scopes.contains(b);
        if conflicts("BestEffort", "NotBestEffort") || conflicts("Terminating", "NotTerminating") {
            causes.invalid(&spec.at("scopes"), "conflicting scopes");
        }
    })
}

fn is_quota_resource(name: &str) -> bool {
    const KNOWN: &[&str] = &[
        "cpu",
        "memory",
        "ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "services.nodeports",
        "services.loadbalancers",
    ];
    KNOWN.contains(&name) || name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// The scopes of a quota stay.
pub fn update_quota(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        let (spec, before) = (At::top(new, "spec"), At::top(old, "spec"));
        causes.immutable(&spec.at("scopes"), &before.at("scopes"));
    })
}

/// What is wrong with a PriorityClass.
pub fn priority_class(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let value = At::top(object, "value");
        let number = value.number().unwrap_or(0);
        let own = SYSTEM.iter().find(|(name, _)| *name == object.name());
        if object.name().starts_with("system-") {
            if own.is_none_or(|(_, wanted)| *wanted != number) {
                let metadata = At::top(object, "metadata");
                let why = "priority class names with 'system-' prefix are reserved for system use only. error:";
                let why = match own {
                    None => format!("{why} {} is not a known system priority class", object.name()),
                    Some((name, wanted)) => format!("{why} value of {name} PriorityClass must be {wanted}"),
                };
                causes.forbidden(&metadata.at("name"), &why);
            }
        } else if number > HIGHEST {
            causes.forbidden(&value, &format!("maximum allowed value of a user defined priority is {HIGHEST}"));
        }
        causes.optional_of(&At::top(object, "preemptionPolicy"), &["Never", "PreemptLowerPriority"]);
    })
}

/// The value of a class stays.
pub fn update_priority_class(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        let number = |object: &Object| At::top(object, "value").number().unwrap_or(0);
        if number(new) != number(old) {
            causes.forbidden(&At::top(new, "value"), "may not be changed in an update.");
        }
        let policy = |object: &Object| object.text(&["preemptionPolicy"]).to_string();
        if policy(new) != policy(old) {
            causes.invalid(&At::top(new, "preemptionPolicy"), "field is immutable");
        }
    })
}

/// What is wrong with a Lease.
pub fn lease(object: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(object, "spec");
        let seconds = spec.at("leaseDurationSeconds");
        if seconds.number().is_some_and(|seconds| seconds <= 0) {
            causes.invalid(&seconds, "must be greater than 0");
        }
        causes.not_negative(&spec.at("leaseTransitions"));
    })
}

/// What is wrong with a RuntimeClass.
pub fn runtime_class(object: &Object) -> Vec<Cause> {
    collect(|causes| causes.each(&At::top(object, "handler"), names::dns_label(object.text(&["handler"]))))
}

/// The handler of a class stays.
pub fn update_runtime_class(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| causes.immutable(&At::top(new, "handler"), &At::top(old, "handler")))
}
