//! Services.
//!
//! Source: pkg/apis/core/v1/defaults.go, pkg/registry/core/service/{strategy.go,storage/storage.go}.

use super::edit::{Fields, child, each, is_absent, missing, object, text, zero};
use super::entry::columns::{AGE, NAME};
use super::pod::PROXY;
use super::{Column, Kind, NO_RULES, Object, Rules, print};
use crate::api::validate;
use serde_json::{Value, json};
use std::borrow::Cow;

pub(super) const SERVICE: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "Service",
    "services",
    "service",
    short: names!["svc"],
    categories: names!["all"],
    status: true,
    others: subresources!["proxy": "ServiceProxyOptions" PROXY],
    columns: Cow::Borrowed(COLUMNS),
    rules: Rules {
        validate: validate::service::service,
        validate_update: validate::service::update,
        default,
        prepare_create,
        prepare_update,
        fields,
        ..NO_RULES
    },
);

const COLUMNS: &[Column] = &[
    NAME,
    print::column("Type", "string", "How it is reached.", |service, _| print::text(service, &["spec", "type"])),
    print::column("Cluster-IP", "string", "Address inside the cluster.", |service, _| cluster_ip(service)),
    print::column("External-IP", "string", "Addresses from outside.", |service, _| external_ip(service)),
    print::column("Port(s)", "string", "Ports, node ports and protocols.", |service, _| ports(service)),
    AGE,
    print::wide("Selector", "string", "Labels of its pods.", |service, _| {
        print::labels(service.at(&["spec", "selector"]).and_then(Value::as_object)).into()
    }),
];

fn default(service: &mut Object) {
    let spec = object(&mut service.0, "spec");
    zero(spec, "type", "ClusterIP");
    zero(spec, "sessionAffinity", "None");
    default_affinity(spec);
    for port in each(spec, "ports") {
        zero(port, "protocol", "TCP");
        let number = port.get("port").cloned().unwrap_or_default();
        zero(port, "targetPort", number);
    }
    let kind = text(spec, "type").to_string();
    let has_external = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && has_external) {
        zero(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        missing(spec, "allocateLoadBalancerNodePorts", true);
    }
    if kind != "ExternalName" {
        missing(spec, "internalTrafficPolicy", "Cluster");
        default_families(spec);
    }
    default_ip_modes(service);
}

fn default_affinity(spec: &mut Fields) {
    if text(spec, "sessionAffinity") != "ClientIP" {
        spec.remove("sessionAffinityConfig");
        return;
    }
    missing(object(object(spec, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds", 10_800);
}

/// The families follow from the addresses that were asked for, else from what the cluster has.
fn default_families(spec: &mut Fields) {
    if is_absent(spec, "clusterIPs") && !text(spec, "clusterIP").is_empty() {
        let address = text(spec, "clusterIP").to_string();
        spec.insert("clusterIPs".into(), json!([address]));
    }
    if is_absent(spec, "ipFamilies") {
        let family = |address: &Value| match address.as_str() {
            Some(address) if address.contains(':') => "IPv6",
            _ => "IPv4",
        };
        let asked = spec.get("clusterIPs").and_then(Value::as_array).filter(|list| !list.is_empty());
        let families: Vec<&str> = asked.map_or(vec!["IPv4"], |list| list.iter().map(family).collect());
        spec.insert("ipFamilies".into(), json!(families));
    }
    let count = spec.get("ipFamilies").and_then(Value::as_array).map_or(0, Vec::len);
    zero(spec, "ipFamilyPolicy", if count > 1 { "RequireDualStack" } else { "SingleStack" });
}

fn default_ip_modes(service: &mut Object) {
    let balancer = child(&mut service.0, "status").and_then(|status| child(status, "loadBalancer"));
    for ingress in balancer.into_iter().flat_map(|balancer| each(balancer, "ingress")) {
        if !text(ingress, "ip").is_empty() {
            missing(ingress, "ipMode", "VIP");
        }
    }
}

fn prepare_create(service: &mut Object) {
    service.set(&["status"], json!({"loadBalancer": {}}));
}

/// A change that leaves out what the server allocated keeps it; a change of type drops what the new type has not.
fn prepare_update(service: &mut Object, old: &Object) {
    let spec = object(&mut service.0, "spec");
    zero(spec, "type", "ClusterIP");
    let kind = text(spec, "type").to_string();
    if kind == "ExternalName" {
        drop_allocations(spec, old);
        drop_unused(spec, &kind, old);
        return;
    }
    if old.text(&["spec", "type"]) != "ExternalName" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if let (true, Some(value)) = (is_empty(spec.get(field)), old.at(&["spec", field])) {
                spec.insert(field.into(), value.clone());
            }
        }
        agree_on_cluster_ip(spec, old);
    }
    keep_node_ports(spec, &kind, old);
    drop_unused(spec, &kind, old);
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    }
}

/// Clients that know one of `clusterIP` and `clusterIPs` change only that one.
fn agree_on_cluster_ip(spec: &mut Fields, old: &Object) {
    let (one, many) = (spec.get("clusterIP"), spec.get("clusterIPs"));
    if one != old.at(&["spec", "clusterIP"]) && many == old.at(&["spec", "clusterIPs"]) {
        let address = text(spec, "clusterIP").to_string();
        spec.insert("clusterIPs".into(), json!([address]));
    }
}

fn drop_allocations(spec: &mut Fields, old: &Object) {
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
        if spec.get(field) == old.at(&["spec", field]) {
            spec.remove(field);
        }
    }
    for port in each(spec, "ports") {
        port.remove("nodePort");
    }
}

/// Node ports are found again by port and protocol.
fn keep_node_ports(spec: &mut Fields, kind: &str, old: &Object) {
    if !matches!(kind, "NodePort" | "LoadBalancer") {
        return;
    }
    let had = print::list(old, &["spec", "ports"]);
    let used: Vec<Value> = each(spec, "ports").filter_map(|port| port.get("nodePort").cloned()).collect();
    for port in each(spec, "ports") {
        let protocol = if text(port, "protocol").is_empty() { "TCP" } else { text(port, "protocol") };
        let same =
            had.iter().find(|before| Some(&before["port"]) == port.get("port") && before["protocol"] == protocol);
        let Some(number) = same.and_then(|before| before.get("nodePort")) else { continue };
        if !used.contains(number) {
            zero(port, "nodePort", number.clone());
        }
    }
}

/// What the new type has no use for goes, unless the change itself says otherwise.
/// Source: pkg/registry/core/service/strategy.go `dropTypeDependentFields`.
fn drop_unused(spec: &mut Fields, kind: &str, old: &Object) {
    let had = old.text(&["spec", "type"]);
    if kind == "ClusterIP" && matches!(had, "NodePort" | "LoadBalancer") {
        let before = print::list(old, &["spec", "ports"]);
        for port in each(spec, "ports") {
            if before.iter().any(|before| before.get("nodePort") == port.get("nodePort")) {
                port.remove("nodePort");
            }
        }
    }
    let has_external = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let is_external = matches!(kind, "NodePort" | "LoadBalancer") || (has_external && kind == "ClusterIP");
    let is_local = kind == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local";
    let unused = [
        ("externalTrafficPolicy", is_external),
        ("allocateLoadBalancerNodePorts", kind == "LoadBalancer"),
        ("loadBalancerClass", kind == "LoadBalancer"),
        ("healthCheckNodePort", is_local),
    ];
    for (field, _) in unused.iter().filter(|(_, is_used)| !is_used) {
        if spec.get(*field) == old.at(&["spec", field]) {
            spec.remove(*field);
        }
    }
}

fn fields(service: &Object) -> Vec<(&'static str, String)> {
    vec![
        ("spec.clusterIP", service.text(&["spec", "clusterIP"]).into()),
        ("spec.type", service.text(&["spec", "type"]).into()),
    ]
}

fn cluster_ip(service: &Object) -> Value {
    let first = print::list(service, &["spec", "clusterIPs"]).first().and_then(Value::as_str);
    print::or_none(first.unwrap_or(service.text(&["spec", "clusterIP"])))
}

fn external_ip(service: &Object) -> Value {
    let external = print::joined(print::list(service, &["spec", "externalIPs"]));
    match service.text(&["spec", "type"]) {
        "ExternalName" => print::text(service, &["spec", "externalName"]),
        "LoadBalancer" => {
            let mut all = print::load_balancer(service);
            all.extend((!external.is_empty()).then_some(external));
            if all.is_empty() { "<pending>".into() } else { all.join(",").into() }
        }
        _ => print::or_none(external),
    }
}

fn ports(service: &Object) -> Value {
    let shown = print::list(service, &["spec", "ports"]).iter().map(|port| {
        let (number, protocol) = (port["port"].as_i64().unwrap_or_default(), print::field(port, "protocol"));
        match port["nodePort"].as_i64() {
            Some(node) if node > 0 => format!("{number}:{node}/{protocol}"),
            _ => format!("{number}/{protocol}"),
        }
    });
    print::or_none(shown.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Object {
        let mut service = Object::from_value(json!({"spec": spec})).unwrap();
        default(&mut service);
        service
    }

    #[test]
    fn defaults_are_those_of_its_type() {
        let plain = service(json!({"ports": [{"port": 80}]}));
        let wanted = json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]});
        assert_eq!(plain.at(&["spec"]), Some(&wanted));
        let balanced = service(json!({"type": "LoadBalancer"}));
        assert_eq!(balanced.at(&["spec", "allocateLoadBalancerNodePorts"]), Some(&json!(true)));
        assert_eq!(balanced.text(&["spec", "externalTrafficPolicy"]), "Cluster");
        let name = service(json!({"type": "ExternalName", "externalName": "a.b"}));
        assert!(name.at(&["spec", "ipFamilies"]).is_none());
    }

    #[test]
    fn what_was_allocated_stays_unless_the_type_changes() {
        let old =
            service(json!({"type": "NodePort", "clusterIP": "10.96.0.1", "ports": [{"port": 80, "nodePort": 30_000}]}));
        let mut new = service(json!({"type": "NodePort", "ports": [{"port": 80}]}));
        prepare_update(&mut new, &old);
        assert_eq!(new.at(&["spec"]), old.at(&["spec"]));
        let mut inside = old.clone();
        inside.set(&["spec", "type"], "ClusterIP");
        prepare_update(&mut inside, &old);
        assert!(inside.at(&["spec", "externalTrafficPolicy"]).is_none());
        assert!(print::list(&inside, &["spec", "ports"])[0].get("nodePort").is_none());
    }

    #[test]
    fn a_service_that_becomes_a_name_is_valid() {
        let old = service(json!({"type": "NodePort", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
            "ports": [{"port": 80, "nodePort": 30_000}]}));
        let mut name = old.clone();
        name.set(&["spec", "type"], "ExternalName");
        name.set(&["spec", "externalName"], "a.b");
        prepare_update(&mut name, &old);
        default(&mut name);
        assert_eq!(validate::service::service(&name), []);
        assert_eq!(validate::service::update(&name, &old, ""), []);
    }

    #[test]
    fn addresses_and_ports_are_shown() {
        let mut shown = service(
            json!({"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30_000}, {"port": 53, "protocol": "UDP"}]}),
        );
        assert_eq!(external_ip(&shown), "<pending>");
        assert_eq!(ports(&shown), "80:30000/TCP,53/UDP");
        shown.set(&["status"], json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}));
        assert_eq!(external_ip(&shown), "10.0.0.1");
    }
}
