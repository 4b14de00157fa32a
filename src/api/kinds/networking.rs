//! Kinds of the group `networking.k8s.io`.
//!
//! Source: pkg/apis/networking/v1/defaults.go.

use super::edit::{each, object, zero};
use super::entry::columns::{AGE, NAME};
use super::{Column, Generation, Kind, NO_RULES, Object, Rules, old, print};
use crate::api::validate;
use serde_json::{Value, json};
use std::borrow::Cow;

/// How many hosts a cell shows.
const SHOWN: usize = 3;

pub(super) const INGRESS: Kind = kind!(
    Namespaced,
    "networking.k8s.io" / "v1",
    "io.k8s.api.networking",
    "Ingress",
    "ingresses",
    "ingress",
    served: old::INGRESS,
    short: names!["ing"],
    status: true,
    generation: Generation::Spec,
    columns: Cow::Borrowed(INGRESS_COLUMNS),
    rules: Rules {
        validate: validate::networking::ingress,
        prepare_create: |ingress| ingress.set(&["status"], json!({"loadBalancer": {}})),
        ..NO_RULES
    },
);

pub(super) const INGRESS_CLASS: Kind = kind!(
    Cluster,
    "networking.k8s.io" / "v1",
    "io.k8s.api.networking",
    "IngressClass",
    "ingressclasses",
    "ingressclass",
    served: old::INGRESS_CLASS,
    generation: Generation::Spec,
    columns: Cow::Borrowed(CLASS_COLUMNS),
    rules: Rules {
        validate: validate::networking::ingress_class,
        validate_update: validate::networking::update_ingress_class,
        default: default_class,
        ..NO_RULES
    },
);

pub(super) const IP_ADDRESS: Kind = kind!(
    Cluster,
    "networking.k8s.io" / "v1",
    "io.k8s.api.networking",
    "IPAddress",
    "ipaddresses",
    "ipaddress",
    short: names!["ip"],
    columns: Cow::Borrowed(ADDRESS_COLUMNS),
);

pub(super) const NETWORK_POLICY: Kind = kind!(
    Namespaced,
    "networking.k8s.io" / "v1",
    "io.k8s.api.networking",
    "NetworkPolicy",
    "networkpolicies",
    "networkpolicy",
    served: old::NETWORK_POLICY,
    short: names!["netpol"],
    generation: Generation::Spec,
    columns: Cow::Borrowed(POLICY_COLUMNS),
    rules: Rules { validate: validate::networking::policy, default: default_policy, ..NO_RULES },
);

pub(super) const SERVICE_CIDR: Kind = kind!(
    Cluster,
    "networking.k8s.io" / "v1",
    "io.k8s.api.networking",
    "ServiceCIDR",
    "servicecidrs",
    "servicecidr",
    status: true,
    columns: Cow::Borrowed(CIDR_COLUMNS),
    rules: Rules { prepare_create: |cidr| cidr.set(&["status"], json!({})), ..NO_RULES },
);

const INGRESS_COLUMNS: &[Column] = &[
    NAME,
    print::column("Class", "string", "Who serves it.", |ingress, _| class(ingress)),
    print::column("Hosts", "string", "Hosts of its rules.", |ingress, _| hosts(ingress).into()),
    print::column("Address", "string", "Where it is reached.", |ingress, _| {
        print::load_balancer(ingress).join(",").into()
    }),
    print::column("Ports", "string", "Ports that it opens.", |ingress, _| {
        match print::count(ingress, &["spec", "tls"]) {
            0 => "80".into(),
            _ => "80, 443".into(),
        }
    }),
    AGE,
];

const CLASS_COLUMNS: &[Column] = &[
    NAME,
    print::column("Controller", "string", "Who serves the class.", |class, _| {
        print::text(class, &["spec", "controller"])
    }),
    print::column("Parameters", "string", "Object with its settings.", |class, _| parameters(class)),
    AGE,
];

const POLICY_COLUMNS: &[Column] = &[
    NAME,
    print::column("Pod-Selector", "string", "Pods that it is about.", |policy, _| {
        print::selector(policy.at(&["spec", "podSelector"])).into()
    }),
    AGE,
];

const ADDRESS_COLUMNS: &[Column] =
    &[NAME, print::column("ParentRef", "string", "Object that has the address.", |address, _| parent(address)), AGE];

const CIDR_COLUMNS: &[Column] = &[
    NAME,
    print::column("CIDRs", "string", "Ranges of addresses.", |cidr, _| {
        print::joined(print::list(cidr, &["spec", "cidrs"])).into()
    }),
    AGE,
];

fn default_class(class: &mut Object) {
    let spec = object(&mut class.0, "spec");
    if let Some(parameters) = super::edit::child(spec, "parameters") {
        zero(parameters, "scope", "Cluster");
    }
}

/// A policy is about what comes in, and about what goes out where it has a rule for that.
fn default_policy(policy: &mut Object) {
    let spec = object(&mut policy.0, "spec");
    for direction in ["ingress", "egress"] {
        for rule in each(spec, direction) {
            each(rule, "ports").for_each(|port| zero(port, "protocol", "TCP"));
        }
    }
    if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let goes_out = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
        let types = if goes_out { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".into(), types);
    }
}

fn class(ingress: &Object) -> Value {
    match ingress.text(&["spec", "ingressClassName"]) {
        "" => print::text_or_none(ingress, &["metadata", "annotations", "kubernetes.io/ingress.class"]),
        class => class.into(),
    }
}

fn hosts(ingress: &Object) -> String {
    let hosts: Vec<String> = print::list(ingress, &["spec", "rules"])
        .iter()
        .map(|rule| print::field(rule, "host").to_string())
        .filter(|host| !host.is_empty())
        .collect();
    print::shortened(&hosts, SHOWN, "*")
}

fn parameters(class: &Object) -> Value {
    let Some(reference) = class.at(&["spec", "parameters"]).filter(|value| value.is_object()) else {
        return print::NONE.into();
    };
    let (kind, group, name) =
        (print::field(reference, "kind"), print::field(reference, "apiGroup"), print::field(reference, "name"));
    let dot = if group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{group}/{name}").into()
}

fn parent(address: &Object) -> Value {
    let text = |field: &str| address.text(&["spec", "parentRef", field]);
    if text("resource").is_empty() {
        return print::NONE.into();
    }
    let parts = [text("resource"), text("namespace"), text("name")];
    let path = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    match text("group") {
        "" => path.into(),
        group => format!("{group}/{path}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_with_a_rule_for_what_goes_out_is_about_both_directions() {
        let mut policy = Object::from_value(json!({"spec": {"egress": [{"ports": [{"port": 53}]}]}})).unwrap();
        default_policy(&mut policy);
        assert_eq!(policy.at(&["spec", "policyTypes"]), Some(&json!(["Ingress", "Egress"])));
        assert_eq!(print::list(&policy, &["spec", "egress"])[0]["ports"][0]["protocol"], "TCP");
    }

    #[test]
    fn an_ingress_without_hosts_is_for_all() {
        let ingress = Object::from_value(json!({"spec": {"rules": [{}]}})).unwrap();
        assert_eq!(hosts(&ingress), "*");
    }
}
