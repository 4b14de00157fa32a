//! Kinds with only the fields that the network reads: the rest of an object would only take memory.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Makes a type readable by caches and watches: type, scope, kind, group, version, plural.
macro_rules! kind {
    ($type:ty, $scope:ident, $kind:literal, $group:literal, $version:literal, $plural:literal) => {
        impl kube::Resource for $type {
            type DynamicType = ();
            type Scope = k8s_openapi::$scope;

            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                $version.into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

kind!(Pod, NamespaceResourceScope, "Pod", "", "v1", "pods");
kind!(Namespace, ClusterResourceScope, "Namespace", "", "v1", "namespaces");
kind!(Service, NamespaceResourceScope, "Service", "", "v1", "services");
kind!(EndpointSlice, NamespaceResourceScope, "EndpointSlice", "discovery.k8s.io", "v1", "endpointslices");

kind!(NetworkPolicy, NamespaceResourceScope, "NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies");

/// Names the service of an EndpointSlice.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Pod {
    pub metadata: ObjectMeta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    pub host_network: bool,
    pub init_containers: Vec<Container>,
    pub containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    pub ports: Vec<ContainerPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerPort {
    pub name: Option<String>,
    pub container_port: u16,
    pub host_port: Option<u16>,
    #[serde(rename = "hostIP")]
    pub host_ip: Option<String>,
    pub protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    pub phase: Option<String>,
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodAddress>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodAddress {
    pub ip: String,
}

impl Pod {
    /// Its addresses in the pod network, while it has them to itself: none when it ended or shares the node's network.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let ended = matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if ended || self.spec.host_network {
            return Vec::new();
        }
        self.status.pod_ips.iter().filter_map(|address| address.ip.parse().ok()).collect()
    }

    /// The ports of all its containers.
    pub fn ports(&self) -> impl Iterator<Item = &ContainerPort> {
        self.spec.init_containers.iter().chain(&self.spec.containers).flat_map(|container| &container.ports)
    }

    /// Its labels.
    pub fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.metadata.labels.as_ref()
    }
}

/// A namespace: that it is there, and its labels.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    pub metadata: ObjectMeta,
}

/// A service, as names are made from it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    pub metadata: ObjectMeta,
    pub spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSpec {
    #[serde(rename = "type")]
    pub type_: Option<String>,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    pub external_name: Option<String>,
    pub ports: Vec<Port>,
}

/// A port of a service or a slice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Port {
    pub name: Option<String>,
    pub protocol: Option<String>,
    pub port: u16,
}

/// A slice of a service's endpoints.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointSlice {
    pub metadata: ObjectMeta,
    pub endpoints: Vec<Endpoint>,
    pub ports: Option<Vec<SlicePort>>,
}

/// A port of a slice; no number means all ports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SlicePort {
    pub name: Option<String>,
    pub protocol: Option<String>,
    pub port: Option<u16>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    pub addresses: Vec<String>,
    pub hostname: Option<String>,
    pub conditions: Conditions,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Conditions {
    pub ready: Option<bool>,
}

/// A network policy. Selectors are objects as they came.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NetworkPolicy {
    pub metadata: ObjectMeta,
    pub spec: PolicySpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PolicySpec {
    pub pod_selector: Value,
    pub ingress: Vec<PolicyRule>,
    pub egress: Vec<PolicyRule>,
    pub policy_types: Vec<String>,
}

/// Peers (`from` or `to`) and ports: a connection is allowed if one of each fits; no peer or no port means any.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PolicyRule {
    #[serde(alias = "from", alias = "to")]
    pub peers: Vec<Peer>,
    pub ports: Vec<PolicyPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Peer {
    pub pod_selector: Option<Value>,
    pub namespace_selector: Option<Value>,
    pub ip_block: Option<IpBlock>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IpBlock {
    pub cidr: String,
    pub except: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PolicyPort {
    pub protocol: Option<String>,
    /// A number or a name.
    pub port: Option<Value>,
    pub end_port: Option<u16>,
}
