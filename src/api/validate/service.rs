//! Services.
//!
//! Source: pkg/apis/core/validation `ValidateService`, `ValidateServiceUpdate`.

use super::causes::{At, Causes, collect};
use super::{labels, pod};
use crate::api::{Cause, Object, names};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const TRAFFIC: &[&str] = &["Cluster", "Local"];

/// What is wrong with a Service.
pub fn service(service: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(service, "spec");
        let kind = spec.at("type").text();
        causes.one_of(&spec.at("type"), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
        let is_headless = spec.at("clusterIP").text() == "None";
        if spec.at("ports").is_empty() && !is_headless && kind != "ExternalName" {
            causes.required(&spec.at("ports"), "");
        }
        if kind == "ExternalName" {
            external_name(&spec, causes);
        }
        if is_headless && matches!(kind, "NodePort" | "LoadBalancer") {
            let why = format!("may not be set to 'None' for {kind} services");
            causes.invalid_as(&spec.at("clusterIPs").at("[0]"), &json!("None"), &why);
        }
        ports(&spec, kind, causes);
        labels::labels(&spec.at("selector"), causes);
        affinity(&spec, causes);
        addresses(&spec, kind, causes);
        outside(&spec, kind, causes);
    })
}

fn external_name(spec: &At<'_>, causes: &mut Causes) {
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !spec.at(field).is_empty() {
            causes.forbidden(&spec.at(field), "may not be set when `type` is 'ExternalName'");
        }
    }
    let name = spec.at("externalName");
    let text = name.text().strip_suffix('.').unwrap_or(name.text());
    if text.is_empty() {
        causes.required(&name, "");
    } else {
        causes.each(&name, names::dns_subdomain(text));
    }
}

fn ports(spec: &At<'_>, kind: &str, causes: &mut Causes) {
    let list = spec.at("ports");
    let is_many = list.count() > 1;
    let (mut taken, mut pairs, mut nodes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for port in list.items() {
        let name = port.at("name");
        if name.is_empty() {
            if is_many {
                causes.required(&name, "");
            }
        } else {
            causes.each(&name, names::dns_label(name.text()));
            if !taken.insert(name.text().to_string()) {
                causes.duplicate(&name);
            }
        }
        let (number, protocol) = (port.at("port"), port.at("protocol"));
        for wrong in names::port_number(number.number().unwrap_or(0)) {
            causes.invalid_as(&number, &json!(number.number().unwrap_or(0)), &wrong);
        }
        causes.one_of(&protocol, &["SCTP", "TCP", "UDP"]);
        pod_port(&port.at("targetPort"), causes);
        if !port.at("appProtocol").is_empty() {
            causes.each(&port.at("appProtocol"), names::qualified_name(port.at("appProtocol").text()));
        }
        let node = port.at("nodePort").number().unwrap_or(0);
        if node != 0 && matches!(kind, "ClusterIP" | "ExternalName") {
            causes.forbidden(&port.at("nodePort"), &format!("may not be used when `type` is '{kind}'"));
        }
        if node != 0 && !nodes.insert((protocol.text().to_string(), node)) {
            causes.duplicate(&port.at("nodePort"));
        }
        if !pairs.insert((protocol.text().to_string(), number.number())) {
            let pair = json!({"Name": "", "Protocol": protocol.text(), "AppProtocol": null,
                "Port": number.number(), "TargetPort": 0, "NodePort": 0});
            causes.duplicate_as(&port, &pair);
        }
    }
}

fn pod_port(at: &At<'_>, causes: &mut Causes) {
    if !at.is_missing() {
        pod::port(at, causes);
    }
}

fn affinity(spec: &At<'_>, causes: &mut Causes) {
    let kind = spec.at("sessionAffinity");
    causes.one_of(&kind, &["ClientIP", "None"]);
    let config = spec.at("sessionAffinityConfig");
    if kind.text() == "None" && !config.is_missing() {
        let why = "must not be set when session affinity is None";
        causes.forbidden(&config, why);
    }
    let client = config.at("clientIP");
    let seconds = client.at("timeoutSeconds");
    if kind.text() == "ClientIP" && seconds.number().is_some_and(|seconds| !(1..=86_400).contains(&seconds)) {
        causes.invalid(&seconds, "must be greater than 0 and less than 86400");
    }
}

/// Addresses inside the cluster.
fn addresses(spec: &At<'_>, kind: &str, causes: &mut Causes) {
    if kind == "ExternalName" {
        return;
    }
    let (one, list) = (spec.at("clusterIP"), spec.at("clusterIPs"));
    if let Some(first) = list.items().next()
        && first.text() != one.text()
    {
        causes.invalid(&list, "first value must match `clusterIP`");
    }
    if list.count() > 2 {
        causes.invalid(&list, "may only hold up to 2 values");
    }
    let only = list.items().next().is_none();
    let listed: Vec<At<'_>> = list.items().collect();
    let all = if only && !one.is_empty() { vec![one] } else { listed };
    for address in all.iter().filter(|address| !matches!(address.text(), "" | "None")) {
        causes.each(address, names::ip_address(address.text()));
    }
    let mut families = BTreeSet::new();
    for family in spec.at("ipFamilies").items() {
        causes.optional_of(&family, &["IPv4", "IPv6"]);
        if !families.insert(family.text().to_string()) {
            causes.duplicate(&family);
        }
    }
    causes.optional_of(&spec.at("ipFamilyPolicy"), &["PreferDualStack", "RequireDualStack", "SingleStack"]);
}

/// How it is reached from outside.
fn outside(spec: &At<'_>, kind: &str, causes: &mut Causes) {
    for address in spec.at("externalIPs").items() {
        let wrong = names::ip_address(address.text());
        match address.text().parse::<std::net::IpAddr>() {
            Ok(ip) if ip.is_unspecified() => causes.invalid(&address, "may not be unspecified (0.0.0.0 or ::)"),
            Ok(ip) if ip.is_loopback() => {
                causes.invalid(&address, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
            }
            Ok(ip) if is_link_local(ip) => {
                causes.invalid(&address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
            }
            _ => causes.each(&address, wrong),
        }
    }
    let is_external =
        matches!(kind, "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && spec.at("externalIPs").count() > 0);
    let policy = spec.at("externalTrafficPolicy");
    if !is_external && !policy.is_empty() {
        causes.invalid(&policy, "may only be set for externally-accessible services");
    }
    if is_external {
        causes.one_of(&policy, TRAFFIC);
    }
    causes.optional_of(&spec.at("internalTrafficPolicy"), TRAFFIC);
    causes.optional_of(&spec.at("trafficDistribution"), &["PreferClose", "PreferSameNode", "PreferSameZone"]);
    let is_balanced = kind == "LoadBalancer";
    for field in ["loadBalancerClass", "allocateLoadBalancerNodePorts"] {
        if !is_balanced && !spec.at(field).is_missing() {
            causes.forbidden(&spec.at(field), "may only be used when `type` is 'LoadBalancer'");
        }
    }
    if is_balanced && spec.at("allocateLoadBalancerNodePorts").is_missing() {
        causes.required(&spec.at("allocateLoadBalancerNodePorts"), "");
    }
    let ranges = spec.at("loadBalancerSourceRanges");
    if !is_balanced && !ranges.is_empty() {
        causes.forbidden(&ranges, "may only be used when `type` is 'LoadBalancer'");
    }
    for range in ranges.items() {
        causes.each(&range, names::cidr(range.text().trim()));
    }
    let health = spec.at("healthCheckNodePort");
    if health.number().unwrap_or(0) != 0 && !(is_balanced && policy.text() == "Local") {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        causes.invalid(&health, why);
    }
}

fn is_link_local(ip: std::net::IpAddr) -> bool {
    match ip {
        std::net::IpAddr::V4(ip) => ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// What may not change: addresses that were given.
pub fn update(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        let (spec, before) = (At::top(new, "spec"), At::top(old, "spec"));
        let is_name = |spec: &At<'_>| spec.at("type").text() == "ExternalName";
        if is_name(&spec) || is_name(&before) {
            return;
        }
        for field in ["clusterIPs", "ipFamilies"] {
            let (now, earlier) = (spec.at(field), before.at(field));
            let first = |at: &At<'_>| at.items().next().map(|one| one.value().clone()).unwrap_or(Value::Null);
            let (now_first, earlier_first) = (first(&now), first(&earlier));
            if earlier_first.is_null() || earlier_first == json!("") || now_first == earlier_first {
                continue;
            }
            let place = At::named("spec", spec.value());
            let list = place.at(field);
            let item = list.items().next();
            match item {
                Some(item) => causes.invalid_as(&item, now.value(), "may not change once set"),
                None => causes.invalid_as(&list, now.value(), "primary clusterIP can not be unset"),
            }
        }
        let class = (spec.at("loadBalancerClass"), before.at("loadBalancerClass"));
        let both_balanced = spec.at("type").text() == "LoadBalancer" && before.at("type").text() == "LoadBalancer";
        if both_balanced && class.0.value() != class.1.value() {
            causes.invalid(&class.0, "may not change once set");
        }
    })
}
