//! From what the user asked for to a [`Profile`]: every default, every check, all problems at once.

use super::{Network, Profile};
use std::net::{IpAddr, Ipv4Addr};

/// What was asked for; `None` means "as usual".
#[derive(Clone, Debug)]
pub struct Wanted {
    pub name: String,
    pub driver: Option<String>,
    pub api_port: Option<u16>,
    pub api_names: Vec<String>,
    pub max_pods: Option<u32>,
    pub domain: Option<String>,
    pub addons: Vec<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            name: "coracle".into(),
            driver: None,
            api_port: None,
            api_names: Vec::new(),
            max_pods: None,
            domain: None,
            addons: Vec::new(),
        }
    }
}

/// One thing that is wrong with what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Problem {
    /// The flag or field.
    pub what: String,
    pub why: String,
}

/// How many clusters fit side by side: one number decides all addresses of a cluster.
const SLOTS: u8 = 32;

impl Wanted {
    /// The profile, with addresses that no profile of `others` has. Every problem is listed.
    pub fn resolve(&self, others: &[Profile]) -> Result<Profile, Vec<Problem>> {
        self.resolve_beside(others, |_| false)
    }

    /// The same, passing over addresses that `is_used` says this machine has for something else.
    pub fn resolve_beside(
        &self,
        others: &[Profile],
        is_used: impl Fn(IpAddr) -> bool,
    ) -> Result<Profile, Vec<Problem>> {
        let mut problems = Vec::new();
        if let Some(why) = bad_label(&self.name) {
            problems.push(Problem { what: format!("profile `{}`", self.name), why });
        }
        let slot = (0..SLOTS).find(|slot| {
            let network = network(*slot, None);
            let is_other = others.iter().any(|other| other.network.node_address == network.node_address);
            !is_other && !is_used(network.host_address)
        });
        if slot.is_none() {
            problems.push(Problem { what: "profiles".into(), why: format!("there are {SLOTS} already") });
        }
        match (slot, problems.is_empty()) {
            (Some(slot), true) => Ok(self.with_network(network(slot, self.domain.as_deref()))),
            _ => Err(problems),
        }
    }

    fn with_network(&self, network: Network) -> Profile {
        Profile {
            name: self.name.clone(),
            driver: self.driver.clone().unwrap_or_else(|| "native".into()),
            network,
            api_port: self.api_port.unwrap_or(8443),
            agent_port: 10250,
            api_names: self.api_names.clone(),
            max_pods: self.max_pods.unwrap_or(250),
            addons: self.addons.clone(),
        }
    }
}

/// Addresses of the cluster in a slot. Slot 0 has those that everybody knows: services in 10.96, pods in 10.244.
fn network(slot: u8, domain: Option<&str>) -> Network {
    let [a, b, c, _] = node_address(slot).octets();
    let service = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 96 + slot, 0, last));
    Network {
        node_address: IpAddr::V4(node_address(slot)),
        host_address: IpAddr::V4(Ipv4Addr::new(a, b, c, 1)),
        prefix: 24,
        pod_cidr: format!("10.{}.0.0/16", 244 - slot),
        service_cidr: format!("10.{}.0.0/16", 96 + slot),
        api_service_address: service(1),
        dns_address: service(10),
        load_balancer_cidr: format!("{a}.{b}.{c}.128/25"),
        node_ports: (30000, 32767),
        domain: domain.unwrap_or("cluster.local").into(),
    }
}

fn node_address(slot: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 49 + slot, 2)
}

/// Why a profile's name cannot be one: it becomes a host name, so it is a DNS label (RFC 1123), and short enough for links.
fn bad_label(name: &str) -> Option<String> {
    let letters = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let ends = !name.starts_with('-') && !name.ends_with('-');
    let fits = !name.is_empty() && name.len() <= 40 && letters && ends;
    (!fits).then(|| "a name is 1 to 40 of a-z, 0-9 and -, and starts and ends with a letter or digit".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Wanted {
        Wanted { name: name.into(), ..Wanted::default() }
    }

    #[test]
    fn the_first_cluster_has_the_addresses_that_everybody_knows() {
        let network = named("coracle").resolve(&[]).unwrap().network;
        assert_eq!(network.dns_address.to_string(), "10.96.0.10");
        assert_eq!(network.api_service_address.to_string(), "10.96.0.1");
        assert_eq!(network.node_address.to_string(), "192.168.49.2");
    }

    #[test]
    fn two_clusters_share_no_address() {
        let one = named("one").resolve(&[]).unwrap();
        let two = named("two").resolve(std::slice::from_ref(&one)).unwrap();
        assert_ne!(one.network.node_address, two.network.node_address);
        assert_ne!(one.network.service_cidr, two.network.service_cidr);
        assert_ne!(one.network.pod_cidr, two.network.pod_cidr);
    }

    #[test]
    fn addresses_that_the_machine_uses_are_passed_over() {
        let first = named("one").resolve(&[]).unwrap().network;
        let profile = named("one").resolve_beside(&[], |address| address == first.host_address).unwrap();
        assert_ne!(profile.network.pod_cidr, first.pod_cidr);
    }

    #[test]
    fn names_that_are_no_host_names_are_refused() {
        for name in ["", "-a", "a-", "A", "a.b", &"x".repeat(41)] {
            assert!(named(name).resolve(&[]).is_err(), "{name}");
        }
    }
}
