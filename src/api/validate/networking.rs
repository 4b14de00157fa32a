//! Ingresses, network policies, endpoint slices.
//!
//! Source: pkg/apis/networking/validation/validation.go, pkg/apis/discovery/validation/validation.go.

use super::causes::{At, Causes, collect, same};
use super::{labels, pod};
use crate::api::{Cause, Object, names};
use serde_json::Value;

/// What is wrong with an Ingress.
pub fn ingress(ingress: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(ingress, "spec");
        let (rules, backend) = (spec.at("rules"), spec.at("defaultBackend"));
        if rules.is_empty() && backend.is_missing() {
            let shown = if spec.is_missing() { Value::Object(Default::default()) } else { spec.value().clone() };
            causes.invalid_as(&spec, &shown, "either `defaultBackend` or `rules` must be specified");
        }
        if !backend.is_missing() {
            self::backend(&backend, causes);
        }
        for rule in rules.items() {
            host(&rule.at("host"), causes);
            let http = rule.at("http");
            if http.is_missing() {
                continue;
            }
            if http.at("paths").is_empty() {
                causes.required(&http.at("paths"), "");
            }
            for path in http.at("paths").items() {
                ingress_path(&path, causes);
            }
        }
        for tls in spec.at("tls").items() {
            for host in tls.at("hosts").items() {
                self::host(&host, causes);
            }
            let name = tls.at("secretName");
            if !name.is_empty() {
                causes.each(&name, names::dns_subdomain(name.text()));
            }
        }
        let class = spec.at("ingressClassName");
        if !class.is_missing() {
            causes.each(&class, names::dns_subdomain(class.text()));
        }
    })
}

fn host(at: &At<'_>, causes: &mut Causes) {
    if at.is_empty() {
        return;
    }
    if at.text().parse::<std::net::IpAddr>().is_ok() {
        causes.invalid(at, "must be a DNS name, not an IP address");
    } else if at.text().contains('*') {
        causes.each(at, names::wildcard_subdomain(at.text()));
    } else {
        causes.each(at, names::dns_subdomain(at.text()));
    }
}

fn ingress_path(at: &At<'_>, causes: &mut Causes) {
    let (kind, path) = (at.at("pathType"), at.at("path"));
    match kind.text() {
        "" => causes.required(&kind, "pathType must be specified"),
        "Exact" | "Prefix" => {
            if !path.text().starts_with('/') {
                causes.invalid_as(&path, &path.text().into(), "must be an absolute path");
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"] {
                if path.text().contains(part) {
                    causes.invalid(&path, &format!("must not contain '{part}'"));
                }
            }
            for end in ["/..", "/."] {
                if path.text().ends_with(end) {
                    causes.invalid(&path, &format!("cannot end with '{end}'"));
                }
            }
        }
        "ImplementationSpecific" => {
            if !path.is_empty() && !path.text().starts_with('/') {
                causes.invalid(&path, "must be an absolute path");
            }
        }
        _ => causes.unsupported(&kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(&at.at("backend"), causes);
}

fn backend(at: &At<'_>, causes: &mut Causes) {
    let (service, resource) = (at.at("service"), at.at("resource"));
    match (service.is_missing(), resource.is_missing()) {
        (false, false) => {
            let why = "cannot set both resource and service backends";
            causes.invalid_as(at, &"".into(), why);
        }
        (true, true) => causes.invalid_as(at, &"".into(), "resource or service backend is required"),
        (true, false) => {
            for field in ["kind", "name"] {
                if resource.at(field).is_empty() {
                    causes.required(&resource.at(field), "");
                }
            }
        }
        (false, true) => {
            causes.name(&service.at("name"), names::dns_1035_label);
            let port = service.at("port");
            let (name, number) = (port.at("name"), port.at("number"));
            match (name.is_empty(), number.number().unwrap_or(0)) {
                (true, 0) => causes.required(&port, "port name or number is required"),
                (false, 0) => causes.each(&name, names::port_name(name.text())),
                (true, value) => causes.each(&number, names::port_number(value)),
                (false, _) => causes.invalid_as(&port, &"".into(), "cannot set both port name & port number"),
            }
        }
    }
}

/// What is wrong with an IngressClass.
pub fn ingress_class(class: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(class, "spec");
        let controller = spec.at("controller");
        if controller.is_empty() {
            causes.required(&controller, "");
        } else if !controller.text().contains('/') {
            causes.invalid(&controller, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        }
    })
}

/// The controller of a class stays.
pub fn update_ingress_class(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        let (spec, before) = (At::top(new, "spec"), At::top(old, "spec"));
        causes.immutable(&spec.at("controller"), &before.at("controller"));
    })
}

/// What is wrong with a NetworkPolicy.
pub fn policy(policy: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(policy, "spec");
        labels::selector(&spec.at("podSelector"), causes);
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            for rule in spec.at(direction).items() {
                rule.at("ports").items().for_each(|port| policy_port(&port, causes));
                rule.at(peers).items().for_each(|peer| self::peer(&peer, causes));
            }
        }
        let kinds = spec.at("policyTypes");
        if kinds.count() > 2 {
            causes.invalid(&kinds, "may not specify more than two policyTypes");
            return;
        }
        for kind in kinds.items() {
            if !matches!(kind.text(), "Ingress" | "Egress") {
                causes.unsupported(&kind, &["Egress", "Ingress"]);
            }
        }
    })
}

fn policy_port(at: &At<'_>, causes: &mut Causes) {
    causes.optional_of(&at.at("protocol"), &["SCTP", "TCP", "UDP"]);
    let (port, end) = (at.at("port"), at.at("endPort"));
    if !port.is_missing() {
        pod::port(&port, causes);
    }
    let Some(last) = end.number() else { return };
    match port.value() {
        Value::Null => causes.required(&port, "must be specified when endPort is specified"),
        Value::String(_) => causes.invalid(&end, "may not be specified when `port` is non-numeric"),
        first if first.as_i64().is_some_and(|first| first > last) => {
            causes.invalid(&end, "must be greater than or equal to `port`");
        }
        _ => causes.each(&end, names::port_number(last)),
    }
}

fn peer(at: &At<'_>, causes: &mut Causes) {
    let (pods, namespaces, block) = (at.at("podSelector"), at.at("namespaceSelector"), at.at("ipBlock"));
    labels::selector(&pods, causes);
    labels::selector(&namespaces, causes);
    let selects = !pods.is_missing() || !namespaces.is_missing();
    match (selects, block.is_missing()) {
        (false, true) => causes.required(at, "must specify a peer"),
        (true, false) => causes.forbidden(at, "may not specify both ipBlock and another peer"),
        (_, false) => ip_block(&block, causes),
        (true, true) => {}
    }
}

fn ip_block(at: &At<'_>, causes: &mut Causes) {
    let range = at.at("cidr");
    if range.is_empty() {
        causes.required(&range, "");
        return;
    }
    causes.each(&range, names::cidr(range.text()));
    for except in at.at("except").items() {
        causes.each(&except, names::cidr(except.text()));
    }
}

/// What is wrong with an EndpointSlice.
pub fn slice(slice: &Object) -> Vec<Cause> {
    collect(|causes| {
        let kind = At::top(slice, "addressType");
        causes.one_of(&kind, &["FQDN", "IPv4", "IPv6"]);
        let endpoints = At::top(slice, "endpoints");
        if endpoints.count() > 1000 {
            causes.invalid_as(&endpoints, &endpoints.count().into(), "must have at most 1000 items");
        }
        for endpoint in endpoints.items() {
            let addresses = endpoint.at("addresses");
            if addresses.is_empty() {
                causes.required(&addresses, "must contain at least 1 address");
            }
            for address in addresses.items() {
                let wrong = match kind.text() {
                    "FQDN" => names::dns_subdomain(address.text().trim_end_matches('.')),
                    "IPv4" if address.text().parse::<std::net::Ipv4Addr>().is_err() => {
                        vec!["must be a valid IPv4 address".into()]
                    }
                    "IPv6" if address.text().parse::<std::net::Ipv6Addr>().is_err() => {
                        vec!["must be a valid IPv6 address".into()]
                    }
                    _ => Vec::new(),
                };
                causes.each(&address, wrong);
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for port in At::top(slice, "ports").items() {
            let name = port.at("name");
            if !name.is_empty() {
                causes.each(&name, names::dns_label(name.text()));
            }
            if !seen.insert(name.text().to_string()) {
                causes.duplicate_as(&name, &name.text().into());
            }
            causes.one_of(&port.at("protocol"), &["SCTP", "TCP", "UDP"]);
        }
    })
}

/// The kind of addresses stays.
pub fn update_slice(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        let (kind, before) = (At::top(new, "addressType"), At::top(old, "addressType"));
        if !same(kind.value(), before.value()) {
            causes.invalid(&kind, "field is immutable");
        }
    })
}
