//! Whether a pod that was given to this node may run here: the node's own check, whoever bound the pod.
//!
//! Source of rules and wording: kubelet `pkg/kubelet/lifecycle/predicate.go`.

use super::context::Node;
use super::pod::resources::Qos;
use super::pod::status::Ended;
use super::pod::{parts, resources};
use super::pods::Seen;
use super::pressure::{self, Condition};
use super::quantity::Amount;
use crate::api::selector::{Requirement, Selector};
use k8s_openapi::api::core::v1::{Node as NodeObject, NodeSelectorRequirement, NodeSelectorTerm, Pod};
use std::sync::Arc;

/// Why the pod may not run here; nothing if it may. `own` is the Node object.
pub fn check(node: &Node, own: Option<&NodeObject>, pod: &Pod) -> Option<Ended> {
    let others = others(node, pod);
    let found = for_another_system(pod)
        .or_else(|| sysctl_forbidden(&node.profile.unsafe_sysctls, pod))
        .or_else(|| under_pressure(node, pod))
        .or_else(|| resources_fit(node, pod, &others))
        .or_else(|| {
            own.filter(|own| !fits(own, pod))
                .map(|_| predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"))
        })
        .or_else(|| {
            let own = [node.profile.api_port, node.profile.agent_port].map(|port| ("TCP", i32::from(port), ""));
            let taken = others.iter().any(|other| ports_meet(pod, &ports(&other.pod)));
            (taken || ports_meet(pod, &own))
                .then(|| predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"))
        });
    found.map(|(reason, message)| Ended { reason, message })
}

/// The pods that have something of the node beside this one.
pub fn others(node: &Node, pod: &Pod) -> Vec<Arc<Seen>> {
    node.pods.active().into_iter().filter(|seen| parts::uid(&seen.pod) != parts::uid(pod)).collect()
}

type Reason = (String, String);

/// The operating system of nodes.
const SYSTEM: &str = "linux";
const SYSTEM_LABEL: &str = "kubernetes.io/os";

/// A pod that says it is for another operating system is spared checks that count on this one alone.
fn for_another_system(pod: &Pod) -> Option<Reason> {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(SYSTEM_LABEL));
    if label.is_some_and(|label| label != SYSTEM) {
        let message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
        return Some(("PodOSSelectorNodeLabelDoesNotMatch".into(), message.into()));
    }
    let is_other = parts::spec(pod).os.as_ref().is_some_and(|os| os.name != SYSTEM);
    is_other.then(|| ("PodOSNotSupported".into(), "Failed to admit pod as the OS field doesn't match node OS".into()))
}

/// Kernel parameters of a pod's own that cannot harm other pods or the machine.
///
/// Source: kubelet `pkg/kubelet/sysctl/safe_sysctls.go`.
const SAFE_SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// `allowed` are names, or beginnings with `*`, beside the safe ones.
fn sysctl_forbidden(allowed: &[String], pod: &Pod) -> Option<Reason> {
    let context = parts::spec(pod).security_context.as_ref();
    let wanted = context.and_then(|context| context.sysctls.as_ref()).into_iter().flatten();
    let not_own = |name: &str| {
        parts::host_network(pod) && name.starts_with("net.")
            || parts::spec(pod).host_ipc == Some(true) && name.starts_with("kernel.")
    };
    wanted.map(|one| one.name.replace('/', ".")).find_map(|name| {
        let is_allowed = |allowed: &String| match allowed.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => *allowed == name,
        };
        let why = match SAFE_SYSCTLS.contains(&name.as_str()) || allowed.iter().any(is_allowed) {
            true if not_own(&name) => "the pod shares that namespace with the node",
            true => return None,
            false => "not allowlisted",
        };
        Some(("SysctlForbidden".into(), format!("forbidden sysctl: {name:?} {why}")))
    })
}

/// A resource of which a node has too little.
#[derive(Debug)]
pub struct Lack {
    pub name: &'static str,
    pub requested: i64,
    pub used: i64,
    pub capacity: i64,
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, requested, used, capacity } = self;
        write!(
            f,
            "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        )
    }
}

fn predicate(name: &str, why: &str) -> Reason {
    (name.to_string(), format!("Predicate {name} failed: {why}"))
}

/// A node that is short of something takes what it cannot do without; one that is short of memory alone also what says how
/// much it needs, or tolerates the shortage.
fn under_pressure(node: &Node, pod: &Pod) -> Option<Reason> {
    let shortages = node.pressure.all();
    if shortages.is_empty() || pressure::is_critical(pod) {
        return None;
    }
    let is_modest = resources::qos(pod) != Qos::BestEffort || tolerates(pod, "node.kubernetes.io/memory-pressure");
    if shortages == [Condition::Memory] && is_modest {
        return None;
    }
    let names: Vec<&str> = shortages.iter().map(|condition| condition.name()).collect();
    Some(("Evicted".into(), format!("The node had condition: [{}]. ", names.join(" "))))
}

fn tolerates(pod: &Pod, taint: &str) -> bool {
    parts::spec(pod).tolerations.iter().flatten().any(|one| {
        let meets =
            |field: &Option<String>, wanted: &str| field.as_deref().is_none_or(|own| own.is_empty() || own == wanted);
        let any_value = one.operator.as_deref() == Some("Exists") || one.value.as_deref().is_none_or(str::is_empty);
        meets(&one.key, taint) && meets(&one.effect, "NoSchedule") && any_value
    })
}

fn resources_fit(node: &Node, pod: &Pod, others: &[Arc<Seen>]) -> Option<Reason> {
    let limit = i64::from(node.profile.max_pods);
    let count = others.len() as i64;
    if count + 1 > limit {
        return Some(lacking(&Lack { name: "pods", requested: 1, used: count, capacity: limit }));
    }
    lack(node, pod, others).map(|lack| lacking(&lack))
}

/// What the node has too little of for a pod beside some others.
pub fn lack(node: &Node, pod: &Pod, others: &[Arc<Seen>]) -> Option<Lack> {
    let whole = |value: u64| Amount::units(i64::try_from(value).unwrap_or(i64::MAX));
    let machine = &node.machine;
    let offered =
        [("cpu", whole(machine.cpus)), ("memory", whole(machine.memory)), ("ephemeral-storage", whole(machine.disk))];
    offered.into_iter().find_map(|(name, capacity)| {
        let wanted = resources::request(pod, name);
        let used = others.iter().fold(Amount::default(), |sum, other| sum + resources::request(&other.pod, name));
        let number = |amount: Amount| if name == "cpu" { amount.milli() } else { amount.value() };
        let lack = || Lack { name, requested: number(wanted), used: number(used), capacity: number(capacity) };
        (wanted.is_positive() && used + wanted > capacity).then(lack)
    })
}

fn lacking(lack: &Lack) -> Reason {
    (format!("OutOf{}", lack.name), lack.to_string())
}

/// Whether the node is one that the pod's selector and required affinity allow.
fn fits(own: &NodeObject, pod: &Pod) -> bool {
    let spec = parts::spec(pod);
    let label = |name: &str| own.metadata.labels.as_ref()?.get(name).map(String::as_str);
    let selected = spec.node_selector.iter().flatten().all(|(name, value)| label(name) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let term_fits = |term: &NodeSelectorTerm| {
        let (labels, fields) = (selector(term.match_expressions.as_deref()), selector(term.match_fields.as_deref()));
        let field = |name: &str| own.metadata.name.as_deref().filter(|_| name == "metadata.name");
        // An empty term selects nothing, and so does one that cannot be read.
        let (Some(labels), Some(fields)) = (labels, fields) else { return false };
        !(labels.is_everything() && fields.is_everything()) && labels.matches(label) && fields.matches(field)
    };
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(term_fits))
}

fn selector(requirements: Option<&[NodeSelectorRequirement]>) -> Option<Selector> {
    let one = |wanted: &NodeSelectorRequirement| {
        let (key, values) = (wanted.key.clone(), wanted.values.clone().unwrap_or_default());
        let number = || values.first()?.parse::<i64>().ok();
        Some(match wanted.operator.as_str() {
            "In" => Requirement::In(key, values),
            "NotIn" => Requirement::NotIn(key, values),
            "Exists" => Requirement::Exists(key),
            "DoesNotExist" => Requirement::Absent(key),
            "Gt" => Requirement::Greater(key, number()?),
            "Lt" => Requirement::Less(key, number()?),
            _ => return None,
        })
    };
    requirements.unwrap_or_default().iter().map(one).collect::<Option<Vec<_>>>().map(Selector)
}

/// Ports of the node that a pod wants: protocol, number, address.
fn ports(pod: &Pod) -> Vec<(&str, i32, &str)> {
    let containers = parts::spec(pod)
        .containers
        .iter()
        .chain(parts::init_containers(pod).iter().filter(|one| parts::is_sidecar(one)));
    let all = containers.flat_map(|container| container.ports.iter().flatten());
    let wanted = all.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let address = port.host_ip.as_deref().filter(|address| !matches!(*address, "" | "0.0.0.0" | "::"));
        Some((port.protocol.as_deref().unwrap_or("TCP"), number, address.unwrap_or_default()))
    });
    wanted.collect()
}

fn ports_meet(pod: &Pod, taken: &[(&str, i32, &str)]) -> bool {
    ports(pod).iter().any(|(protocol, number, address)| {
        taken.iter().any(|(their_protocol, their_number, their_address)| {
            let addresses_meet = address.is_empty() || their_address.is_empty() || address == their_address;
            protocol == their_protocol && number == their_number && addresses_meet
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{FakeApi, FakeRuntime, node, pod};
    use serde_json::{Value, json};

    fn with(container: Value, more: Value) -> Pod {
        let mut spec = more;
        let mut container = container;
        container["name"] = json!("web");
        container["image"] = json!("i");
        spec["containers"] = json!([container]);
        pod(spec)
    }

    fn seen(pod: Pod) -> Seen {
        Seen { pod: Arc::new(pod), sandbox: None, attempts: vec![], is_over: false }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_told_in_numbers() {
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        let mut other = with(json!({"resources": {"requests": {"cpu": "100m"}}}), json!({}));
        other.metadata.uid = Some("other".into());
        node.pods.set(seen(other));
        let cpus = node.machine.cpus;
        let big = with(json!({"resources": {"requests": {"cpu": cpus.to_string()}}}), json!({}));
        let refused = check(&node, None, &big).unwrap();
        assert_eq!(refused.reason, "OutOfcpu");
        let milli = cpus * 1000;
        let expected =
            format!("Node didn't have enough resource: cpu, requested: {milli}, used: 100, capacity: {milli}");
        assert_eq!(refused.message, expected);
        assert!(check(&node, None, &with(json!({}), json!({}))).is_none());
        node.pods.lose("other");
        assert!(check(&node, None, &big).is_none(), "an object that is gone has nothing of the node");
    }

    #[tokio::test]
    async fn a_node_that_is_short_of_memory_takes_only_what_is_modest_or_critical() {
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        node.pressure.set([Condition::Memory].into());
        let reason = |pod: &Pod| check(&node, None, pod).map(|ended| ended.message);
        let plain = with(json!({}), json!({}));
        assert_eq!(reason(&plain).unwrap(), "The node had condition: [MemoryPressure]. ");
        assert_eq!(reason(&with(json!({}), json!({"priority": 2_000_000_000}))), None);
        let modest = with(json!({"resources": {"requests": {"memory": "1Mi"}}}), json!({}));
        assert_eq!(reason(&modest), None);
        let tolerant = json!({"tolerations": [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]});
        assert_eq!(reason(&with(json!({}), tolerant)), None);
        node.pressure.set([Condition::Memory, Condition::Disk].into());
        assert!(reason(&modest).unwrap().contains("[MemoryPressure DiskPressure]"));
    }

    #[tokio::test]
    async fn kernel_parameters_of_the_machine_are_not_a_pods() {
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        let with = |name: &str, more: Value| {
            let mut spec = json!({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
            more.as_object().into_iter().flatten().for_each(|(key, value)| spec[key] = value.clone());
            check(&node, None, &self::with(json!({}), spec)).map(|ended| (ended.reason, ended.message))
        };
        let wrong =
            |name: &str| Some(("SysctlForbidden".to_string(), format!("forbidden sysctl: \"{name}\" not allowlisted")));
        assert_eq!(with("kernel.core_pattern", json!({})), wrong("kernel.core_pattern"));
        assert_eq!(with("kernel/core_pattern", json!({})), wrong("kernel.core_pattern"));
        assert_eq!(with("net.core.somaxconn", json!({})), wrong("net.core.somaxconn"));
        assert_eq!(with("net.ipv4.tcp_syncookies", json!({})), None);
        assert!(with("net.ipv4.tcp_syncookies", json!({"hostNetwork": true})).is_some());
        let pod = self::with(
            json!({}),
            json!({"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "9"}]}}),
        );
        for (allowed, is_refused) in [("net.core.*", false), ("net.core.somaxconn", false), ("net.core.some", true)] {
            assert_eq!(sysctl_forbidden(&[allowed.to_string()], &pod).is_some(), is_refused, "{allowed}");
        }
    }

    #[tokio::test]
    async fn selectors_and_ports_are_checked() {
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        let own: NodeObject =
            serde_json::from_value(json!({"metadata": {"name": "coracle", "labels": {"disk": "ssd"}}})).unwrap();
        let reason = |pod: &Pod| check(&node, Some(&own), pod).map(|ended| ended.reason);
        assert_eq!(reason(&with(json!({}), json!({"nodeSelector": {"disk": "ssd"}}))), None);
        assert_eq!(reason(&with(json!({}), json!({"nodeSelector": {"disk": "hdd"}}))).unwrap(), "NodeAffinity");
        let affinity = |operator: &str| {
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": operator, "values": ["ssd"]}]}]}}}})
        };
        assert_eq!(reason(&with(json!({}), affinity("In"))), None);
        assert_eq!(reason(&with(json!({}), affinity("NotIn"))).unwrap(), "NodeAffinity");
        let port = |address: &str| json!({"ports": [{"containerPort": 1, "hostPort": 80, "hostIP": address}]});
        let mut other = with(port("127.0.0.1"), json!({}));
        other.metadata.uid = Some("other".into());
        node.pods.set(seen(other));
        assert_eq!(reason(&with(port("127.0.0.2"), json!({}))), None);
        assert_eq!(reason(&with(port(""), json!({}))).unwrap(), "NodePorts");
    }

    #[tokio::test]
    async fn ports_of_the_server_and_the_agent_are_taken() {
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        let reason = |port: u16, protocol: &str, address: &str| {
            let ports =
                json!({"ports": [{"containerPort": 1, "hostPort": port, "protocol": protocol, "hostIP": address}]});
            check(&node, None, &with(ports, json!({}))).map(|ended| ended.reason)
        };
        for port in [node.profile.api_port, node.profile.agent_port] {
            assert_eq!(reason(port, "TCP", "").unwrap(), "NodePorts");
            assert_eq!(reason(port, "TCP", "192.168.49.2").unwrap(), "NodePorts");
            assert_eq!(reason(port, "UDP", ""), None);
            assert_eq!(reason(port + 1, "TCP", ""), None);
        }
    }

    #[tokio::test]
    async fn pods_of_another_operating_system_are_refused() {
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        let reason = |pod: &Pod| check(&node, None, pod).map(|ended| ended.reason);
        assert_eq!(reason(&with(json!({}), json!({"os": {"name": "windows"}}))).unwrap(), "PodOSNotSupported");
        assert_eq!(reason(&with(json!({}), json!({"os": {"name": "linux"}}))), None);
        let mut labelled = with(json!({}), json!({}));
        labelled.metadata.labels = Some([(SYSTEM_LABEL.to_string(), "windows".to_string())].into());
        assert_eq!(reason(&labelled).unwrap(), "PodOSSelectorNodeLabelDoesNotMatch");
    }
}
