//! The resolved description of one cluster. Written by `start` to the profile's folder, read by every process of the node.

use super::shortage::Shortage;
use super::values::{Chart, Mount, Port};
use crate::base::login::{proxy_without_login, without_login};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How the files of a profile are laid out. Higher means newer; a profile of an older one is upgraded at its next start.
pub const LAYOUT: u32 = 1;

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
    /// Kernel parameters beside the safe ones that pods may set for themselves; `*` at the end stands for any rest.
    #[serde(default)]
    pub unsafe_sysctls: Vec<String>,
    /// Addons that were switched on.
    #[serde(default)]
    pub addons: Vec<String>,
    /// Processors that the node may use, in thousandths; no limit when left out.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// Bytes of memory that the node may use; no limit when left out.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Ports of this machine that lead to ports of the node.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Where ports listen that name no address; the loopback when left out.
    #[serde(default)]
    pub listen_address: Option<IpAddr>,
    /// Port of this machine where services have names, `SERVICE.NAMESPACE.localhost`.
    #[serde(default)]
    pub names_port: Option<u16>,
    /// Addons that are on by default and were switched off.
    #[serde(default)]
    pub disabled_addons: Vec<String>,
    /// Images that addons use in place of their own, by `ADDON/KEY`.
    #[serde(default)]
    pub addon_images: BTreeMap<String, String>,
    /// Folders of this machine that the node sees.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Archives of images that are loaded, and names of images that are pulled, by `start` and `apply`.
    #[serde(default)]
    pub images: Vec<String>,
    /// Files of manifests that `start` and `apply` apply.
    #[serde(default)]
    pub manifests: Vec<String>,
    /// Charts that `start` and `apply` install.
    #[serde(default)]
    pub charts: Vec<Chart>,
    /// How long certificates are valid, in seconds; three years when left out.
    #[serde(default)]
    pub certificate_seconds: Option<u64>,
    /// Variables of the node's own processes, `NAME=VALUE`.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Proxies through which the node reaches the internet.
    #[serde(default)]
    pub proxy: Proxy,
    /// Whether the node runs Kubernetes; without it, it is a machine to work in.
    #[serde(default = "yes")]
    pub kubernetes: bool,
    /// Which admission plugins are on that usually are not, and the reverse.
    #[serde(default)]
    pub admission: Admission,
    /// When the node is short of something.
    #[serde(default)]
    pub shortage: Shortage,
    /// See [`LAYOUT`]; zero is before there was a number.
    #[serde(default)]
    pub layout: u32,
}

fn yes() -> bool {
    true
}

/// Admission plugins by the names that they have upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    #[serde(default)]
    pub enabled: Vec<String>,
    #[serde(default)]
    pub disabled: Vec<String>,
}

/// The plugins that there are, and whether they are on when nothing is said.
pub const ADMISSION: &[(&str, bool)] = &[
    ("NamespaceAutoProvision", false),
    ("NamespaceLifecycle", true),
    ("LimitRanger", true),
    ("ServiceAccount", true),
    ("NodeRestriction", true),
    ("PodSecurity", true),
    ("Priority", true),
    ("DefaultTolerationSeconds", true),
    ("DefaultStorageClass", true),
    ("StorageObjectInUseProtection", true),
    ("PersistentVolumeClaimResize", true),
    ("RuntimeClass", true),
    ("CertificateApproval", true),
    ("CertificateSigning", true),
    ("CertificateSubjectRestriction", true),
    ("DefaultIngressClass", true),
    ("ValidatingAdmissionPolicy", true),
    ("MutatingAdmissionWebhook", true),
    ("ValidatingAdmissionWebhook", true),
    ("ResourceQuota", true),
];

impl Admission {
    /// Whether a plugin is on.
    pub fn has(&self, name: &str) -> bool {
        let is_in = |list: &[String]| list.iter().any(|one| one == name);
        let is_usual = ADMISSION.iter().any(|(known, is_on)| *known == name && *is_on);
        !is_in(&self.disabled) && (is_usual || is_in(&self.enabled))
    }
}

/// The proxies of this machine, as its environment names them; empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    #[serde(default)]
    pub http: String,
    #[serde(default)]
    pub https: String,
    /// What is reached without a proxy, the cluster's networks included.
    #[serde(default)]
    pub none: String,
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

impl Profile {
    /// This profile, asking for the images, manifests and charts of another one.
    pub fn with_content_of(self, other: &Profile) -> Self {
        let (images, manifests, charts) = (other.images.clone(), other.manifests.clone(), other.charts.clone());
        Self { images, manifests, charts, ..self }
    }

    /// This profile as it may be told: logins of proxies are their user's.
    pub fn told(&self) -> Self {
        let proxy = self.proxy.told();
        let environment = self.environment.iter().map(|variable| without_login(variable)).collect();
        Self { proxy, environment, ..self.clone() }
    }

    /// Where ports listen that name no address.
    pub fn listen_address(&self) -> IpAddr {
        self.listen_address.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
    }
}

impl Proxy {
    /// The proxies that this process's environment names; what is reached without one has the cluster's networks as well.
    pub fn from_environment(network: &Network) -> Self {
        let read = |name: &str| {
            let lower = std::env::var(name.to_ascii_lowercase()).ok().filter(|value| !value.is_empty());
            lower.or_else(|| std::env::var(name).ok()).unwrap_or_default()
        };
        let reachable = |name: &str| Some(read(name)).filter(|proxy| !is_local(proxy)).unwrap_or_default();
        Self::of(&reachable("HTTP_PROXY"), &reachable("HTTPS_PROXY"), &read("NO_PROXY"), network)
    }

    /// Proxies of this process's environment that listen on this machine's loopback only: a node has a loopback of its own.
    pub fn local_ones() -> Vec<(&'static str, String)> {
        let names = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
        let set = names.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
        set.filter(|(_, proxy)| is_local(proxy)).collect()
    }

    fn of(http: &str, https: &str, none: &str, network: &Network) -> Self {
        if http.is_empty() && https.is_empty() {
            return Self::default();
        }
        let node = network.node_address.to_string();
        let own =
            ["localhost", "127.0.0.1", &node, &network.service_cidr, &network.pod_cidr, &network.load_balancer_cidr];
        let domain = format!(".{}", network.domain);
        let mut all: Vec<&str> = none.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        for name in own.into_iter().chain([".svc", domain.as_str()]) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        Self { http: http.into(), https: https.into(), none: all.join(",") }
    }

    /// The same without who asks.
    pub fn told(&self) -> Self {
        let (http, https) = (proxy_without_login(&self.http), proxy_without_login(&self.https));
        Self { http, https, none: self.none.clone() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.http.is_empty() && self.https.is_empty()
    }

    /// Whether the user's own environment says that the node is reached without a proxy.
    pub fn reaches_node(&self, network: &Network) -> bool {
        let own = std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy")).unwrap_or_default();
        own.split(',').any(|part| covers(part.trim(), network.node_address))
    }

    /// As variables of a process.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("HTTP_PROXY", &self.http),
            ("http_proxy", &self.http),
            ("HTTPS_PROXY", &self.https),
            ("https_proxy", &self.https),
            ("NO_PROXY", &self.none),
            ("no_proxy", &self.none),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.clone())).collect()
    }
}

/// Whether a word of `NO_PROXY` means an address: itself, a network that it is in, or everything.
fn covers(word: &str, address: IpAddr) -> bool {
    let IpAddr::V4(own) = address else { return word == "*" || word == address.to_string() };
    let Some((base, length)) = word.split_once('/') else { return word == "*" || word == own.to_string() };
    let (Ok(base), Ok(length @ 0..=32)) = (base.parse::<std::net::Ipv4Addr>(), length.parse::<u32>()) else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    u32::from(base) & mask == u32::from(own) & mask
}

/// Whether a proxy, `[SCHEME://][USER@]HOST[:PORT]`, is on the loopback.
fn is_local(proxy: &str) -> bool {
    let rest = proxy.split_once("://").map_or(proxy, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let host = match rest.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => rest.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Wanted;

    #[test]
    fn a_proxy_on_the_loopback_is_told_from_others() {
        for (proxy, local) in [
            ("localhost:3128", true),
            ("http://me:secret@127.0.0.1:3128/", true),
            ("socks5://[::1]:9", true),
            ("http://proxy.corp:3128", false),
            ("192.168.49.1:8080", false),
            ("", false),
        ] {
            assert_eq!(is_local(proxy), local, "{proxy}");
        }
    }

    #[test]
    fn a_word_of_no_proxy_may_be_a_network() {
        let node: IpAddr = "192.168.49.2".parse().unwrap();
        assert!(["*", "192.168.49.2", "192.168.0.0/16", "0.0.0.0/0"].iter().all(|word| covers(word, node)));
        assert!(["", "192.168.49", "192.168.50.0/24", "10.0.0.0/33"].iter().all(|word| !covers(word, node)));
    }

    #[test]
    fn the_clusters_own_addresses_are_reached_without_a_proxy() {
        let network = Wanted::named("one").resolve(&[]).unwrap().network;
        let proxy = Proxy::of("http://proxy:3128", "", "intranet, localhost", &network);
        assert_eq!(
            proxy.none,
            "intranet,localhost,127.0.0.1,192.168.49.2,10.96.0.0/16,10.244.0.0/16,192.168.49.128/25,.svc,.cluster.local"
        );
        assert_eq!(proxy.variables().len(), 4);
        assert!(Proxy::of("", "", "intranet", &network).is_empty());
    }
}
