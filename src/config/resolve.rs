//! From what the user asked for to a [`Profile`]: every default, every check, all problems at once.

use super::profile::{LAYOUT, Proxy};
use super::settings::{self, Effect, SETTINGS};
use super::shortage::Shortage;
use super::values::Chart;
use super::{Network, Profile};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// What was asked for, by setting; what is not named is as usual.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub name: String,
    /// Values by the names of [`super::settings::SETTINGS`].
    pub settings: BTreeMap<&'static str, Vec<String>>,
    /// Charts to install; `None` leaves those of the profile as they are.
    pub charts: Option<Vec<Chart>>,
}

/// What would change in a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: &'static str,
    pub before: Vec<String>,
    pub after: Vec<String>,
    pub effect: Effect,
}

/// One thing that is wrong with what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Problem {
    /// The flag or field.
    pub what: String,
    pub why: String,
    /// Whether only a new cluster can have what was asked for.
    pub needs_new_cluster: bool,
}

impl Problem {
    /// What no cluster can have.
    pub fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), needs_new_cluster: false }
    }

    /// What this cluster cannot have, as it has something else.
    fn fixed(what: &str, before: &[String]) -> Self {
        let why = format!("is `{}` and cannot change; delete the cluster to have another", before.join(","));
        Self { needs_new_cluster: true, ..Self::new(what, why) }
    }
}

/// How many clusters fit side by side: one number decides all addresses of a cluster.
const SLOTS: u8 = 32;

impl Wanted {
    /// A cluster of that name that is as usual.
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Asks for a setting; no value at all asks for nothing.
    pub fn set(&mut self, key: &'static str, value: Vec<String>) {
        if !value.is_empty() {
            self.settings.insert(key, value);
        }
    }

    /// What `other` asks for goes before what this one asks for.
    pub fn overlay(&mut self, other: Wanted) {
        self.settings.extend(other.settings);
        self.charts = other.charts.or(self.charts.take());
        if !other.name.is_empty() {
            self.name = other.name;
        }
    }

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
            problems.push(Problem::new(format!("profile `{}`", self.name), why));
        }
        let slot = (0..SLOTS).find(|slot| {
            let network = network(*slot);
            // Also one whose node has an address of its own has the pods and services of a slot.
            let is_other = others.iter().any(|other| meet(&other.network, &network));
            !is_other && !is_used(network.host_address)
        });
        if slot.is_none() {
            problems.push(Problem::new("profiles", format!("there are {SLOTS} already")));
        }
        let mut profile = usual(&self.name, network(slot.unwrap_or_default()));
        self.put(&mut profile, &mut problems);
        let meets = |other: &&Profile| meet(&other.network, &profile.network);
        if let Some(other) = others.iter().filter(|other| other.name != self.name).find(meets) {
            let why = format!("the addresses that were asked for meet those of the profile `{}`", other.name);
            problems.push(Problem::new("network", why));
        }
        if problems.is_empty() { Ok(profile) } else { Err(problems) }
    }

    /// A profile that exists, as wanted now; what only a new cluster can have is a problem if it differs.
    pub fn over(&self, profile: &Profile) -> Result<(Profile, Vec<Change>), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut after = profile.clone();
        self.put(&mut after, &mut problems);
        let changes = changes(profile, &after);
        for change in changes.iter().filter(|change| change.effect == Effect::New) {
            problems.push(Problem::fixed(change.key, &change.before));
        }
        if problems.is_empty() { Ok((after, changes)) } else { Err(problems) }
    }

    fn put(&self, profile: &mut Profile, problems: &mut Vec<Problem>) {
        // In the order of the table, because some settings follow from others.
        for setting in SETTINGS {
            let Some(value) = self.settings.get(setting.key) else { continue };
            if let Err(why) = setting.put(profile, value) {
                problems.push(Problem::new(setting.key, why));
            }
        }
        if let Some(charts) = &self.charts {
            profile.charts = charts.clone();
        }
    }
}

/// What differs between two profiles, in the order of the table.
pub fn changes(before: &Profile, after: &Profile) -> Vec<Change> {
    let mut changes: Vec<Change> = SETTINGS
        .iter()
        .map(|setting| Change {
            key: setting.key,
            before: (setting.get)(before),
            after: (setting.get)(after),
            effect: setting.effect,
        })
        .filter(|change| change.before != change.after)
        .collect();
    let charts = |profile: &Profile| profile.charts.iter().map(|one| format!("{} = {}", one.name, one.chart)).collect();
    if before.charts != after.charts {
        let (before, after) = (charts(before), charts(after));
        changes.push(Change { key: "charts", before, after, effect: Effect::Live });
    }
    changes
}

/// Whether one setting can have a value, whatever the rest is.
pub fn check(key: &str, value: &[String]) -> Result<(), Problem> {
    let problem = |why: String| Problem::new(key, why);
    let setting = settings::find(key).ok_or_else(|| problem(unknown(key)))?;
    setting.put(&mut usual("check", network(0)), value).map_err(problem)
}

/// What is said of a setting that does not exist.
pub fn unknown(key: &str) -> String {
    match settings::closest(key, SETTINGS.iter().map(|setting| setting.key)) {
        Some(name) => format!("there is no such setting; did you mean `{name}`?"),
        None => "there is no such setting".into(),
    }
}

/// Whether two clusters would share an address.
fn meet(one: &Network, other: &Network) -> bool {
    one.node_address == other.node_address
        || one.service_cidr == other.service_cidr
        || one.pod_cidr == other.pod_cidr
        || one.host_address == other.host_address
}

/// A profile with every default.
fn usual(name: &str, network: Network) -> Profile {
    Profile {
        name: name.into(),
        driver: "native".into(),
        network,
        api_port: 8443,
        agent_port: 10250,
        api_names: Vec::new(),
        max_pods: 250,
        unsafe_sysctls: Vec::new(),
        addons: Vec::new(),
        cpus: None,
        memory: None,
        ports: Vec::new(),
        listen_address: None,
        names_port: None,
        disabled_addons: Vec::new(),
        addon_images: Default::default(),
        mounts: Vec::new(),
        images: Vec::new(),
        manifests: Vec::new(),
        charts: Vec::new(),
        certificate_seconds: None,
        environment: Vec::new(),
        proxy: Proxy::default(),
        kubernetes: true,
        admission: Default::default(),
        shortage: Shortage::default(),
        layout: LAYOUT,
    }
}

/// Addresses of the cluster in a slot. Slot 0 has those that everybody knows: services in 10.96, pods in 10.244.
fn network(slot: u8) -> Network {
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
        domain: "cluster.local".into(),
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
        Wanted::named(name)
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
    fn a_cluster_with_an_address_of_its_own_takes_no_pods_and_services_of_the_next() {
        let mut one = named("one");
        one.set("subnet", vec!["192.168.77.0/24".into()]);
        let one = one.resolve(&[]).unwrap();
        let two = named("two").resolve(std::slice::from_ref(&one)).unwrap();
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

    #[test]
    fn every_problem_is_told_at_once() {
        let mut wanted = named("-");
        wanted.set("cpus", vec!["many".into()]);
        wanted.set("memory", vec!["1".into()]);
        let problems = wanted.resolve(&[]).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn what_differs_is_listed_and_what_cannot_change_is_a_problem() {
        let profile = named("one").resolve(&[]).unwrap();
        let mut wanted = named("one");
        wanted.set("memory", vec!["2g".into()]);
        wanted.set("driver", vec!["native".into()]);
        let (after, changes) = wanted.over(&profile).unwrap();
        assert_eq!(after.memory, Some(2 << 30));
        assert_eq!(changes.len(), 1);
        assert_eq!(
            (changes[0].key, &changes[0].after[..], changes[0].effect),
            ("memory", &["2g".to_string()][..], Effect::Live)
        );
        wanted.set("dns-domain", vec!["other.test".into()]);
        assert!(wanted.over(&profile).unwrap_err()[0].to_string().contains("cluster.local"));
    }

    #[test]
    fn addresses_of_another_profile_cannot_be_asked_for() {
        let one = named("one").resolve(&[]).unwrap();
        let mut two = named("two");
        two.set("static-ip", vec![one.network.node_address.to_string()]);
        assert!(two.resolve(&[one]).unwrap_err()[0].to_string().contains("`one`"));
    }
}
