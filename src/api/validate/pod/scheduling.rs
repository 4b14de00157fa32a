//! Where a pod wants to be: affinity, tolerations, spread, gates.

use crate::api::names;
use crate::api::validate::labels;
use crate::api::validate::{At, Causes};
use serde_json::json;
use std::collections::BTreeSet;

/// Affinity of all three kinds.
pub fn affinity(at: &At<'_>, causes: &mut Causes) {
    let node = at.at("nodeAffinity");
    let required = node.at("requiredDuringSchedulingIgnoredDuringExecution");
    if !required.is_missing() {
        node_selector(&required, causes);
    }
    for term in node.at("preferredDuringSchedulingIgnoredDuringExecution").items() {
        weight(&term, causes);
        node_term(&term.at("preference"), causes);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let at = at.at(kind);
        for term in at.at("requiredDuringSchedulingIgnoredDuringExecution").items() {
            pod_term(&term, causes);
        }
        for term in at.at("preferredDuringSchedulingIgnoredDuringExecution").items() {
            weight(&term, causes);
            pod_term(&term.at("podAffinityTerm"), causes);
        }
    }
}

/// A selector of nodes: at least one term.
pub fn node_selector(at: &At<'_>, causes: &mut Causes) {
    let terms = at.at("nodeSelectorTerms");
    if terms.is_empty() {
        causes.required(&terms, "must have at least one node selector term");
    }
    for term in terms.items() {
        node_term(&term, causes);
    }
}

fn node_term(at: &At<'_>, causes: &mut Causes) {
    for one in at.at("matchExpressions").items() {
        labels::node_requirement(&one, causes);
    }
    for one in at.at("matchFields").items() {
        match one.at("operator").text() {
            "In" | "NotIn" => {
                if one.at("values").count() != 1 {
                    let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                    causes.required(&one.at("values"), why);
                }
            }
            _ => causes.invalid(&one.at("operator"), "not a valid selector operator"),
        }
        if one.at("key").text() != "metadata.name" {
            causes.invalid(&one.at("key"), "not a valid field selector key");
        }
        for value in one.at("values").items() {
            causes.each(&value, names::dns_subdomain(value.text()));
        }
    }
}

fn weight(at: &At<'_>, causes: &mut Causes) {
    let weight = at.at("weight");
    if !(1..=100).contains(&weight.number().unwrap_or(0)) {
        causes.invalid_as(&weight, &json!(weight.number().unwrap_or(0)), "must be in the range 1-100");
    }
}

fn pod_term(at: &At<'_>, causes: &mut Causes) {
    labels::selector(&at.at("labelSelector"), causes);
    labels::selector(&at.at("namespaceSelector"), causes);
    for namespace in at.at("namespaces").items() {
        for wrong in names::dns_label(namespace.text()) {
            causes.invalid_as(&at.at("namespaces"), namespace.value(), &wrong);
        }
    }
    topology_key(&at.at("topologyKey"), causes);
}

fn topology_key(at: &At<'_>, causes: &mut Causes) {
    if at.is_empty() {
        causes.required(at, "can not be empty");
    } else {
        labels::label_name(at, causes);
    }
}

/// Tolerations.
pub fn tolerations(at: &At<'_>, causes: &mut Causes) {
    for one in at.items() {
        let (key, operator, value, effect) = (one.at("key"), one.at("operator"), one.at("value"), one.at("effect"));
        if !key.is_empty() {
            labels::label_name(&key, causes);
        } else if operator.text() != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            causes.invalid(&operator, why);
        }
        if !one.at("tolerationSeconds").is_missing() && effect.text() != "NoExecute" {
            causes.invalid(&effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator.text() {
            "Equal" | "" => {
                for wrong in names::label_value(value.text()) {
                    causes.invalid_as(&operator, value.value(), &wrong);
                }
            }
            "Exists" if !value.is_empty() => {
                causes.invalid_as(&operator, one.value(), "value must be empty when `operator` is 'Exists'");
            }
            "Exists" | "Lt" | "Gt" => {}
            _ => causes.unsupported(&operator, &["Equal", "Exists"]),
        }
        causes.optional_of(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
}

/// Topology spread constraints.
pub fn spread(at: &At<'_>, causes: &mut Causes) {
    let mut seen = BTreeSet::new();
    for one in at.items() {
        let skew = one.at("maxSkew");
        if skew.number().unwrap_or(0) <= 0 {
            causes.invalid_as(&skew, &json!(skew.number().unwrap_or(0)), "must be greater than zero");
        }
        topology_key(&one.at("topologyKey"), causes);
        let action = one.at("whenUnsatisfiable");
        causes.one_of(&action, &["DoNotSchedule", "ScheduleAnyway"]);
        let pair = format!("{{{}, {}}}", one.at("topologyKey").text(), action.text());
        if !seen.insert(pair.clone()) {
            causes.duplicate_as(&one.at("{topologyKey, whenUnsatisfiable}"), &json!(pair));
        }
        let domains = one.at("minDomains");
        if let Some(number) = domains.number() {
            if number <= 0 {
                causes.invalid(&domains, "must be greater than zero");
            }
            if action.text() != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}", action.text());
                causes.invalid(&domains, &why);
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            causes.optional_of(&one.at(policy), &["Honor", "Ignore"]);
        }
        for key in one.at("matchLabelKeys").items() {
            labels::label_name(&key, causes);
        }
        labels::selector(&one.at("labelSelector"), causes);
    }
}

/// Scheduling gates.
pub fn gates(at: &At<'_>, causes: &mut Causes) {
    let mut seen = BTreeSet::new();
    for gate in at.items() {
        let name = gate.at("name").text();
        for wrong in names::qualified_name(name) {
            causes.invalid_as(&gate, &name.into(), &wrong);
        }
        if !seen.insert(name.to_string()) {
            causes.duplicate_as(&gate, &name.into());
        }
    }
}
