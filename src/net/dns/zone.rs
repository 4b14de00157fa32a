//! What the cluster's names mean, by the Kubernetes DNS specification. Plain data: services and namespaces in, records out.
//!
//! ```text
//! SERVICE.NAMESPACE.svc.DOMAIN                 its address, or its endpoints' when it has none
//! HOST.SERVICE.NAMESPACE.svc.DOMAIN            one endpoint
//! _PORT._PROTOCOL.SERVICE.NAMESPACE.svc.DOMAIN ports, as SRV
//! 10-244-0-7.NAMESPACE.pod.DOMAIN              the address in the name
//! 7.0.244.10.in-addr.arpa                      back from an address
//! ```

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use rand::seq::SliceRandom;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How long an answer may be kept, seconds. Short: a service that is made again has another address.
pub const TTL: u32 = 5;
/// The version of the specification that is followed.
const SPECIFICATION: &str = "1.1.0";
/// Names of the machine that the cluster runs on.
const MACHINE: &[&str] = &["host.coracle.internal.", "host.minikube.internal.", "host.docker.internal."];

/// Namespace and name of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

/// A port, as SRV records tell it: `http`, `tcp`, 80.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    pub protocol: String,
    pub number: u16,
}

/// An endpoint that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub addresses: Vec<IpAddr>,
    /// The name that its pod asked for.
    pub hostname: Option<String>,
    pub ports: Vec<Port>,
}

impl Endpoint {
    /// The label that it is known by below its service.
    fn label(&self) -> String {
        let address = || self.addresses.first().map(|address| address.to_string().replace(['.', ':'], "-"));
        self.hostname.clone().or_else(address).unwrap_or_default()
    }
}

/// What is known of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its own addresses; none if it is headless.
    pub addresses: Vec<IpAddr>,
    pub is_headless: bool,
    /// The name that it stands for, somewhere else.
    pub external: Option<String>,
    pub ports: Vec<Port>,
    pub endpoints: Vec<Endpoint>,
}

/// The answer to a question about a name of ours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Whether the name is there at all.
    pub exists: bool,
    pub records: Vec<Record>,
    /// Addresses of names in `records`.
    pub additional: Vec<Record>,
    /// The name to look further at: the service stands for it.
    pub alias: Option<Name>,
}

impl Answer {
    fn there() -> Self {
        Self { exists: true, ..Self::default() }
    }
}

/// The cluster's names.
pub struct Zone {
    domain: Name,
    machine: IpAddr,
    services: HashMap<Key, Service>,
    namespaces: BTreeSet<String>,
    /// Services by their own addresses.
    by_address: HashMap<IpAddr, Key>,
    /// Endpoints with host names by their addresses: service and label.
    by_endpoint: HashMap<IpAddr, Vec<(Key, String)>>,
}

impl Zone {
    /// No names yet. `domain` is `cluster.local`.
    pub fn new(domain: &str, machine: IpAddr) -> Result<Self, hickory_proto::ProtoError> {
        let mut domain = Name::from_ascii(domain)?.to_lowercase();
        domain.set_fqdn(true);
        let (services, by_address, by_endpoint) = Default::default();
        Ok(Self { domain, machine, services, namespaces: BTreeSet::new(), by_address, by_endpoint })
    }

    /// A namespace is there, or gone.
    pub fn set_namespace(&mut self, name: &str, is_there: bool) {
        if is_there {
            self.namespaces.insert(name.into());
        } else {
            self.namespaces.remove(name);
        }
    }

    /// A service is as told from now on, or gone.
    pub fn set_service(&mut self, key: Key, service: Option<Service>) {
        if let Some(old) = self.services.remove(&key) {
            self.by_address.retain(|_, other| *other != key);
            for address in old.endpoints.iter().flat_map(|endpoint| &endpoint.addresses) {
                if let Some(known) = self.by_endpoint.get_mut(address) {
                    known.retain(|(other, _)| *other != key);
                    if known.is_empty() {
                        self.by_endpoint.remove(address);
                    }
                }
            }
        }
        let Some(service) = service else { return };
        self.by_address.extend(service.addresses.iter().map(|address| (*address, key.clone())));
        for endpoint in &service.endpoints {
            let Some(hostname) = &endpoint.hostname else { continue };
            for address in &endpoint.addresses {
                self.by_endpoint.entry(*address).or_default().push((key.clone(), hostname.clone()));
            }
        }
        self.services.insert(key, service);
    }

    /// The answer to a question; nothing if the name is not the cluster's.
    pub fn answer(&self, name: &Name, kind: RecordType) -> Option<Answer> {
        let lower = name.to_lowercase();
        if MACHINE.iter().any(|own| lower.to_ascii() == *own) {
            let addresses = addresses(name, &[self.machine], kind);
            return Some(Answer { records: addresses, ..Answer::there() });
        }
        if let Some(address) = reverse(&lower) {
            return self.pointers(name, address, kind);
        }
        if !self.domain.zone_of(&lower) {
            return None;
        }
        let own = usize::from(lower.num_labels() - self.domain.num_labels());
        let labels: Vec<String> =
            lower.iter().take(own).map(|label| String::from_utf8_lossy(label).into_owned()).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        Some(match labels.as_slice() {
            [] => Answer { records: self.apex(name, kind), ..Answer::there() },
            ["dns-version"] => Answer { records: text(name, kind), ..Answer::there() },
            ["dns" | "svc" | "pod"] => Answer::there(),
            ["ns", "dns"] => Answer { records: addresses(name, &self.own_addresses(), kind), ..Answer::there() },
            [namespace, "svc" | "pod"] => Answer { exists: self.namespaces.contains(*namespace), ..Answer::default() },
            [address, namespace, "pod"] => self.pod(name, address, namespace, kind),
            [below @ .., service, namespace, "svc"] => {
                let key = Key { namespace: namespace.to_string(), name: service.to_string() };
                let found = self.services.get(&key);
                found.map_or_else(Answer::default, |service| self.service(name, &key, service, below, kind))
            }
            _ => Answer::default(),
        })
    }

    /// The record that goes with "there is no such name" and "there is nothing of this kind".
    pub fn authority(&self) -> Record {
        let below = |label: &str| Name::from_ascii(label).and_then(|label| label.append_domain(&self.domain));
        let [server, mail] = ["ns.dns", "hostmaster"].map(|label| below(label).unwrap_or_else(|_| self.domain.clone()));
        let authority = SOA::new(server, mail, 1, 7200, 1800, 86_400, TTL);
        Record::from_rdata(self.domain.clone(), TTL, RData::SOA(authority))
    }

    fn apex(&self, name: &Name, kind: RecordType) -> Vec<Record> {
        let server = Name::from_ascii("ns.dns").and_then(|label| label.append_domain(&self.domain));
        match (kind, server) {
            (RecordType::SOA, _) => vec![self.authority()],
            (RecordType::NS, Ok(server)) => vec![Record::from_rdata(name.clone(), TTL, RData::NS(NS(server)))],
            _ => Vec::new(),
        }
    }

    /// The addresses of the service that this server is behind.
    fn own_addresses(&self) -> Vec<IpAddr> {
        let key = Key { namespace: "kube-system".into(), name: "kube-dns".into() };
        self.services.get(&key).map(|service| service.addresses.clone()).unwrap_or_default()
    }

    fn pod(&self, name: &Name, address: &str, namespace: &str, kind: RecordType) -> Answer {
        let v4 = || address.replace('-', ".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
        let v6 = || address.replace('-', ":").parse::<Ipv6Addr>().ok().map(IpAddr::V6);
        match v4().or_else(v6).filter(|_| self.namespaces.contains(namespace)) {
            Some(address) => Answer { records: addresses(name, &[address], kind), ..Answer::there() },
            None => Answer::default(),
        }
    }

    fn service(&self, name: &Name, key: &Key, service: &Service, below: &[&str], kind: RecordType) -> Answer {
        if let Some(external) = &service.external {
            return if below.is_empty() { alias(name, external) } else { Answer::default() };
        }
        match below {
            [] if service.is_headless => {
                let all: Vec<IpAddr> = service.endpoints.iter().flat_map(|one| one.addresses.clone()).collect();
                let records = match kind {
                    RecordType::SRV => return self.ports(name, key, service, None),
                    _ => addresses(name, &all, kind),
                };
                Answer { exists: !all.is_empty(), records, ..Answer::default() }
            }
            [] if kind == RecordType::SRV => self.ports(name, key, service, None),
            [] => Answer { records: addresses(name, &service.addresses, kind), ..Answer::there() },
            [port, protocol] => {
                let (Some(port), Some(protocol)) = (port.strip_prefix('_'), protocol.strip_prefix('_')) else {
                    return Answer::default();
                };
                let found = self.ports(name, key, service, Some((port, protocol)));
                if kind == RecordType::SRV { found } else { Answer { exists: found.exists, ..Answer::default() } }
            }
            [host] => {
                let named = service.endpoints.iter().filter(|endpoint| endpoint.label() == *host);
                let all: Vec<IpAddr> = named.flat_map(|endpoint| endpoint.addresses.clone()).collect();
                Answer { exists: !all.is_empty(), records: addresses(name, &all, kind), ..Answer::default() }
            }
            _ => Answer::default(),
        }
    }

    /// The ports of a service, of one name and protocol or all.
    fn ports(&self, name: &Name, key: &Key, service: &Service, wanted: Option<(&str, &str)>) -> Answer {
        let is_wanted =
            |port: &&Port| wanted.is_none_or(|(name, protocol)| port.name == name && port.protocol == protocol);
        let mut answer = Answer::default();
        let mut tell = |label: Option<&str>, addresses: &[IpAddr], ports: &[Port]| {
            let Some(target) = self.name_of(key, label) else { return };
            for port in ports.iter().filter(is_wanted) {
                let record = SRV::new(0, 100, port.number, target.clone());
                answer.records.push(Record::from_rdata(name.clone(), TTL, RData::SRV(record)));
                for kind in [RecordType::A, RecordType::AAAA] {
                    let more = self::addresses(&target, addresses, kind);
                    let new = more.into_iter().filter(|record| !answer.additional.contains(record)).collect::<Vec<_>>();
                    answer.additional.extend(new);
                }
            }
        };
        if service.is_headless {
            for endpoint in &service.endpoints {
                tell(Some(&endpoint.label()), &endpoint.addresses, &endpoint.ports);
            }
        } else {
            tell(None, &service.addresses, &service.ports);
        }
        let is_there = !service.is_headless || !service.endpoints.is_empty();
        answer.exists = !answer.records.is_empty() || (wanted.is_none() && is_there);
        answer
    }

    /// The name of a service, or of an endpoint of it.
    fn name_of(&self, key: &Key, label: Option<&str>) -> Option<Name> {
        let labels = label.into_iter().chain([key.name.as_str(), key.namespace.as_str(), "svc"]);
        // Names of objects are DNS labels: this cannot fail for what the API took.
        Name::from_labels(labels.map(str::as_bytes)).ok()?.append_domain(&self.domain).ok()
    }

    fn pointers(&self, name: &Name, address: IpAddr, kind: RecordType) -> Option<Answer> {
        let own = self.by_address.get(&address).map(|key| vec![(key.clone(), None)]);
        let named = || {
            let endpoints = self.by_endpoint.get(&address)?;
            Some(endpoints.iter().map(|(key, label)| (key.clone(), Some(label.clone()))).collect())
        };
        let targets: Vec<(Key, Option<String>)> = own.or_else(named)?;
        let names = targets.iter().filter_map(|(key, label)| self.name_of(key, label.as_deref()));
        let records = names.map(|target| Record::from_rdata(name.clone(), TTL, RData::PTR(PTR(target))));
        let records = if kind == RecordType::PTR { records.collect() } else { Vec::new() };
        Some(Answer { records, ..Answer::there() })
    }
}

fn alias(name: &Name, external: &str) -> Answer {
    let Ok(mut target) = Name::from_ascii(external) else { return Answer::there() };
    target.set_fqdn(true);
    let record = Record::from_rdata(name.clone(), TTL, RData::CNAME(CNAME(target.clone())));
    Answer { records: vec![record], alias: Some(target), ..Answer::there() }
}

/// Address records of the kind that is asked for, in a new order each time so that load is spread.
fn addresses(name: &Name, addresses: &[IpAddr], kind: RecordType) -> Vec<Record> {
    let data = addresses.iter().filter_map(|address| match (address, kind) {
        (IpAddr::V4(address), RecordType::A) => Some(RData::A(A(*address))),
        (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(AAAA(*address))),
        _ => None,
    });
    let mut records: Vec<Record> = data.map(|data| Record::from_rdata(name.clone(), TTL, data)).collect();
    records.shuffle(&mut rand::rng());
    records
}

fn text(name: &Name, kind: RecordType) -> Vec<Record> {
    match kind {
        RecordType::TXT => {
            vec![Record::from_rdata(name.clone(), TTL, RData::TXT(TXT::new(vec![SPECIFICATION.into()])))]
        }
        _ => Vec::new(),
    }
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` is for.
fn reverse(name: &Name) -> Option<IpAddr> {
    let text = name.to_ascii();
    if let Some(rest) = text.strip_suffix(".in-addr.arpa.") {
        let parts: Vec<&str> = rest.rsplit('.').collect();
        return parts.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let rest = text.strip_suffix(".ip6.arpa.")?;
    let digits: Vec<&str> = rest.rsplit('.').collect();
    if digits.len() != 32 || digits.iter().any(|digit| digit.len() != 1) {
        return None;
    }
    let number = u128::from_str_radix(&digits.concat(), 16).ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "default".into(), name: name.into() }
    }

    fn port(name: &str, number: u16) -> Port {
        Port { name: name.into(), protocol: "tcp".into(), number }
    }

    fn endpoint(address: &str, hostname: Option<&str>) -> Endpoint {
        Endpoint {
            addresses: vec![address.parse().unwrap()],
            hostname: hostname.map(String::from),
            ports: vec![port("http", 8080)],
        }
    }

    fn zone() -> Zone {
        let mut zone = Zone::new("cluster.local", "192.168.49.1".parse().unwrap()).unwrap();
        zone.set_namespace("default", true);
        let web = Service {
            addresses: vec!["10.96.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
            ports: vec![port("http", 80), port("https", 443)],
            endpoints: vec![endpoint("10.244.0.2", None)],
            ..Service::default()
        };
        zone.set_service(key("web"), Some(web));
        let db = Service {
            is_headless: true,
            endpoints: vec![endpoint("10.244.0.3", Some("db-0")), endpoint("10.244.0.4", None)],
            ..Service::default()
        };
        zone.set_service(key("db"), Some(db));
        zone.set_service(key("empty"), Some(Service { is_headless: true, ..Service::default() }));
        zone.set_service(key("far"), Some(Service { external: Some("example.com".into()), ..Service::default() }));
        zone
    }

    /// What is answered, as text, sorted; `!` if the name is not there.
    fn ask(name: &str, kind: RecordType) -> Vec<String> {
        let answer = zone().answer(&Name::from_ascii(name).unwrap(), kind).expect("a name of ours");
        let mut data: Vec<String> = answer.records.iter().map(|record| record.data.to_string()).collect();
        data.sort();
        if !answer.exists {
            assert!(data.is_empty());
            data.push("!".into());
        }
        data
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn a_service_has_its_addresses() {
        assert_eq!(ask("web.default.svc.cluster.local.", RecordType::A), ["10.96.0.7"]);
        assert_eq!(ask("WEB.Default.svc.cluster.LOCAL.", RecordType::A), ["10.96.0.7"]);
        assert_eq!(ask("web.default.svc.cluster.local.", RecordType::AAAA), ["fd00::7"]);
        assert_eq!(ask("web.default.svc.cluster.local.", RecordType::MX), NOTHING);
        assert_eq!(ask("other.default.svc.cluster.local.", RecordType::A), ["!"]);
        assert_eq!(ask("web.nowhere.svc.cluster.local.", RecordType::A), ["!"]);
    }

    #[test]
    fn a_headless_service_has_its_endpoints() {
        assert_eq!(ask("db.default.svc.cluster.local.", RecordType::A), ["10.244.0.3", "10.244.0.4"]);
        assert_eq!(ask("db-0.db.default.svc.cluster.local.", RecordType::A), ["10.244.0.3"]);
        assert_eq!(ask("10-244-0-4.db.default.svc.cluster.local.", RecordType::A), ["10.244.0.4"]);
        assert_eq!(ask("db-1.db.default.svc.cluster.local.", RecordType::A), ["!"]);
        assert_eq!(ask("db.default.svc.cluster.local.", RecordType::AAAA), NOTHING);
        assert_eq!(ask("empty.default.svc.cluster.local.", RecordType::A), ["!"], "no endpoint is ready");
    }

    #[test]
    fn named_ports_are_told() {
        let web = ask("_http._tcp.web.default.svc.cluster.local.", RecordType::SRV);
        assert_eq!(web, ["0 100 80 web.default.svc.cluster.local."]);
        let db = ask("_http._tcp.db.default.svc.cluster.local.", RecordType::SRV);
        assert_eq!(db[0], "0 100 8080 10-244-0-4.db.default.svc.cluster.local.");
        assert_eq!(db[1], "0 100 8080 db-0.db.default.svc.cluster.local.");
        assert_eq!(ask("_http._tcp.web.default.svc.cluster.local.", RecordType::A), NOTHING);
        assert_eq!(ask("_http._udp.web.default.svc.cluster.local.", RecordType::SRV), ["!"]);
        let name = Name::from_ascii("_http._tcp.db.default.svc.cluster.local.").unwrap();
        assert_eq!(zone().answer(&name, RecordType::SRV).unwrap().additional.len(), 2);
    }

    #[test]
    fn an_external_service_is_another_name() {
        let name = Name::from_ascii("far.default.svc.cluster.local.").unwrap();
        let answer = zone().answer(&name, RecordType::A).unwrap();
        assert_eq!(answer.records[0].data.to_string(), "example.com.");
        assert_eq!(answer.alias.unwrap().to_ascii(), "example.com.");
    }

    #[test]
    fn addresses_have_names() {
        assert_eq!(ask("7.0.96.10.in-addr.arpa.", RecordType::PTR), ["web.default.svc.cluster.local."]);
        assert_eq!(ask("3.0.244.10.in-addr.arpa.", RecordType::PTR), ["db-0.db.default.svc.cluster.local."]);
        let six = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.";
        assert_eq!(ask(six, RecordType::PTR), ["web.default.svc.cluster.local."]);
        let foreign = Name::from_ascii("8.8.8.8.in-addr.arpa.").unwrap();
        assert!(zone().answer(&foreign, RecordType::PTR).is_none());
    }

    #[test]
    fn a_pod_name_holds_its_address() {
        assert_eq!(ask("10-244-0-9.default.pod.cluster.local.", RecordType::A), ["10.244.0.9"]);
        assert_eq!(ask("fd00--9.default.pod.cluster.local.", RecordType::AAAA), ["fd00::9"]);
        assert_eq!(ask("10-244-0-9.nowhere.pod.cluster.local.", RecordType::A), ["!"]);
        assert_eq!(ask("nonsense.default.pod.cluster.local.", RecordType::A), ["!"]);
    }

    #[test]
    fn names_on_the_way_are_there_and_others_are_not() {
        for there in
            ["cluster.local.", "svc.cluster.local.", "default.svc.cluster.local.", "default.pod.cluster.local."]
        {
            assert_eq!(ask(there, RecordType::A), NOTHING, "{there}");
        }
        for not in ["x.cluster.local.", "nowhere.svc.cluster.local.", "a.b.c.web.default.svc.cluster.local."] {
            assert_eq!(ask(not, RecordType::A), ["!"], "{not}");
        }
        assert_eq!(ask("dns-version.cluster.local.", RecordType::TXT), ["1.1.0"]);
        assert!(zone().answer(&Name::from_ascii("example.com.").unwrap(), RecordType::A).is_none());
        assert!(zone().answer(&Name::from_ascii("notcluster.local.").unwrap(), RecordType::A).is_none());
    }

    #[test]
    fn the_machine_has_a_name() {
        assert_eq!(ask("host.coracle.internal.", RecordType::A), ["192.168.49.1"]);
        assert_eq!(ask("host.docker.internal.", RecordType::AAAA), NOTHING);
    }

    #[test]
    fn what_is_gone_has_no_name() {
        let mut zone = zone();
        for name in ["web", "db"] {
            zone.set_service(key(name), None);
        }
        assert!(zone.by_address.is_empty() && zone.by_endpoint.is_empty());
        let name = Name::from_ascii("web.default.svc.cluster.local.").unwrap();
        assert!(!zone.answer(&name, RecordType::A).unwrap().exists);
    }
}
