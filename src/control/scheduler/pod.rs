//! What the scheduler knows of one pod, worked out once.

use super::resources::{self, Resources};
use k8s_openapi::api::core::v1::{Affinity, Pod, PodSpec};
use kube::ResourceExt;
use std::sync::Arc;

/// A port of the node that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The address that it is opened on; `0.0.0.0` for all.
    pub address: String,
    pub protocol: String,
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot be open at once.
    pub fn meets(&self, other: &Self) -> bool {
        let everywhere = |address: &str| address == "0.0.0.0";
        let overlap = self.address == other.address || everywhere(&self.address) || everywhere(&other.address);
        self.port == other.port && self.protocol == other.protocol && overlap
    }
}

/// A pod with what its spec means for scheduling.
#[derive(Clone, Debug)]
pub struct PodInfo {
    pub pod: Arc<Pod>,
    pub priority: i32,
    pub asked: Resources,
    /// What it counts as when nodes are compared.
    pub weight: Resources,
    pub ports: Vec<HostPort>,
}

impl PodInfo {
    /// Works it out.
    pub fn new(pod: Arc<Pod>) -> Self {
        let spec = pod.spec.as_ref();
        Self {
            priority: spec.and_then(|spec| spec.priority).unwrap_or(0),
            asked: resources::asked(&pod),
            weight: resources::weight(&pod),
            ports: spec.map(host_ports).unwrap_or_default(),
            pod,
        }
    }

    /// The pod's unique id.
    pub fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The pod's namespace.
    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The pod's name.
    pub fn name(&self) -> String {
        self.pod.name_any()
    }

    /// The node that preemption makes room on for it; empty for none.
    pub fn nominated(&self) -> &str {
        let status = self.pod.status.as_ref();
        status.and_then(|status| status.nominated_node_name.as_deref()).unwrap_or_default()
    }

    /// What it wants to be near to and far from.
    pub fn affinity(&self) -> Option<&Affinity> {
        self.pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref())
    }
}

/// The node of a pod, empty while it has none.
pub fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// Whether a pod is over: it holds nothing of its node any more.
pub fn is_over(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}

/// Whether a pod holds itself back.
pub fn is_gated(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref()).is_some_and(|gates| !gates.is_empty())
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|one| one.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            Some(HostPort {
                port: port.host_port.filter(|port| *port > 0)?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
                address: port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".into()),
            })
        })
        .collect()
}
