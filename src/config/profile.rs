//! The resolved description of one cluster. Written by `start` to the profile's folder, read by every process of the node.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One cluster, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The profile's name: a DNS label. Also the name of the kubeconfig context and of the node.
    pub name: String,
    /// The driver's name: `native`, later `docker` and `vm`.
    pub driver: String,
    pub network: Network,
    /// Port of the API server on the node's address.
    pub api_port: u16,
    /// Port of the node agent (the kubelet API) on the node's address.
    pub agent_port: u16,
    /// Further names and addresses for the API server's certificate.
    #[serde(default)]
    pub api_names: Vec<String>,
    /// Pods that the node takes at most.
    pub max_pods: u32,
    /// Addons that were switched on.
    #[serde(default)]
    pub addons: Vec<String>,
}

/// The addresses of one cluster. No two clusters of a machine share any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The node's address, for example `192.168.49.2`.
    pub node_address: IpAddr,
    /// The machine's end of the link to the node, for example `192.168.49.1`.
    pub host_address: IpAddr,
    /// Prefix length of the link's network.
    pub prefix: u8,
    /// Network of the pods, for example `10.244.0.0/16`.
    pub pod_cidr: String,
    /// Network of the services, for example `10.96.0.0/16`.
    pub service_cidr: String,
    /// The `kubernetes` service: first address of `service_cidr`.
    pub api_service_address: IpAddr,
    /// The `kube-dns` service: tenth address of `service_cidr`.
    pub dns_address: IpAddr,
    /// Addresses of LoadBalancer services, for example `192.168.49.128/25`.
    pub load_balancer_cidr: String,
    /// Ports of NodePort services, first and last.
    pub node_ports: (u16, u16),
    /// The cluster's domain, `cluster.local`.
    pub domain: String,
}
