//! Addresses and node ports of Services: who has which, and which are free.
//!
//! Source of rules and wording: pkg/registry/core/service/{ipallocator,portallocator,storage/alloc.go}.

use super::Status;
use crate::api::{Cause, Kind, Object};
use crate::config::Profile;
use crate::control::store::Store;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first addresses of the range are left for those who name one, as upstream does: between 16 and 256 of them.
const NAMED_ADDRESSES: (u64, u64) = (16, 256);
/// The same for node ports: between 16 and 128.
const NAMED_PORTS: (u64, u64) = (16, 128);

/// Everything that Services have. One per server.
pub struct Services {
    range: Range,
    ports: (u16, u16),
    taken: Mutex<Taken>,
}

/// Owners (`namespace/name`) by what they have.
#[derive(Default)]
struct Taken {
    addresses: HashMap<IpAddr, String>,
    ports: HashMap<u16, String>,
}

/// A network that addresses come from.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: IpAddr,
    prefix: u8,
}

/// What one write took anew: given back when it is dropped, unless the write succeeded.
pub struct Claim<'a> {
    services: &'a Services,
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
    is_kept: bool,
}

impl Claim<'_> {
    /// The write succeeded.
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let mut taken = self.services.taken.lock();
        self.addresses.iter().for_each(|address| drop(taken.addresses.remove(address)));
        self.ports.iter().for_each(|port| drop(taken.ports.remove(port)));
    }
}

/// Whether a kind is Service.
pub fn is_service(kind: &Kind) -> bool {
    kind.plural == "services" && kind.group().is_empty()
}

impl Services {
    /// Reads what the Services in the store have.
    pub fn load(profile: &Profile, store: &Store) -> Self {
        let range = Range::parse(&profile.network.service_cidr).unwrap_or(Range {
            first: profile.network.api_service_address,
            prefix: if profile.network.api_service_address.is_ipv4() { 32 } else { 128 },
        });
        let mut taken = Taken::default();
        taken.addresses.insert(profile.network.api_service_address, "default/kubernetes".into());
        let listed = store.list("services", None, None).map(|listing| listing.entries).unwrap_or_default();
        for entry in listed {
            let Ok(service) = super::objects::stored(&entry) else { continue };
            let owner = owner(&service);
            addresses(&service).into_iter().for_each(|address| drop(taken.addresses.insert(address, owner.clone())));
            ports(&service).into_iter().for_each(|port| drop(taken.ports.insert(port, owner.clone())));
        }
        Self { range, ports: profile.network.node_ports, taken: Mutex::new(taken) }
    }

    /// Gives a Service what it needs and lacks; what it names itself must be free. `old` is what it was before an update.
    pub fn assign(&self, service: &mut Object, old: Option<&Object>) -> Result<Claim<'_>, Vec<Cause>> {
        let mut claim = Claim { services: self, addresses: Vec::new(), ports: Vec::new(), is_kept: false };
        if service.text(&["spec", "type"]) == "ExternalName" {
            return Ok(claim);
        }
        self.check_families(service)?;
        self.assign_addresses(service, &mut claim)?;
        self.assign_ports(service, old, &mut claim)?;
        Ok(claim)
    }

    /// Takes back what a Service has that its successor (nothing after a deletion) has not.
    pub fn release(&self, service: &Object, successor: Option<&Object>) {
        let (kept, kept_ports) = successor.map(|one| (addresses(one), ports(one))).unwrap_or_default();
        let owner = owner(service);
        let mut taken = self.taken.lock();
        for address in addresses(service).into_iter().filter(|address| !kept.contains(address)) {
            free(&mut taken.addresses, &address, &owner);
        }
        for port in ports(service).into_iter().filter(|port| !kept_ports.contains(port)) {
            free(&mut taken.ports, &port, &owner);
        }
    }

    /// The cluster has one family of addresses.
    fn check_families(&self, service: &mut Object) -> Result<(), Vec<Cause>> {
        let own = if self.range.first.is_ipv4() { "IPv4" } else { "IPv6" };
        let listed = service.at(&["spec", "ipFamilies"]).and_then(Value::as_array).cloned().unwrap_or_default();
        for (index, family) in listed.iter().enumerate() {
            if family != own {
                return Err(vec![invalid(
                    &format!("spec.ipFamilies[{index}]"),
                    family,
                    "not configured on this cluster",
                )]);
            }
        }
        match service.text(&["spec", "ipFamilyPolicy"]) {
            "RequireDualStack" => Err(vec![invalid(
                "spec.ipFamilyPolicy",
                &json!("RequireDualStack"),
                "this cluster is not configured for dual-stack services",
            )]),
            _ => Ok(()),
        }
    }

    fn assign_addresses(&self, service: &mut Object, claim: &mut Claim<'_>) -> Result<(), Vec<Cause>> {
        let named = service.text(&["spec", "clusterIP"]).to_string();
        if named == "None" {
            service.set(&["spec", "clusterIPs"], json!(["None"]));
            return Ok(());
        }
        let owner = owner(service);
        let mut taken = self.taken.lock();
        let address = match named.parse::<IpAddr>() {
            Ok(address) => {
                self.check_address(&taken, address, &owner).map_err(|why| vec![refused_address(&named, &why)])?;
                address
            }
            // What is no address was refused by validation; what is missing is found.
            Err(_) => self.free_address(&taken).ok_or_else(|| {
                vec![cause(
                    "InternalError",
                    "spec.clusterIPs",
                    "Internal error: failed to allocate a serviceIP: range is full",
                )]
            })?,
        };
        if taken.addresses.insert(address, owner).is_none() {
            claim.addresses.push(address);
        }
        service.set(&["spec", "clusterIP"], address.to_string());
        service.set(&["spec", "clusterIPs"], json!([address.to_string()]));
        Ok(())
    }

    fn check_address(&self, taken: &Taken, address: IpAddr, owner: &str) -> Result<(), String> {
        if !self.range.contains(address) {
            let range = format!("{}/{}", self.range.first, self.range.prefix);
            let range = format!("The range of valid IPs is {range}");
            return Err(format!("the provided IP ({address}) is not in the valid range. {range}"));
        }
        match taken.addresses.get(&address) {
            Some(other) if other != owner => Err("provided IP is already allocated".into()),
            _ => Ok(()),
        }
    }

    fn free_address(&self, taken: &Taken) -> Option<IpAddr> {
        let size = self.range.size();
        // The network's own address and, in IPv4, the one that reaches all are nobody's.
        let last = if self.range.first.is_ipv4() { size.checked_sub(2)? } else { size.checked_sub(1)? };
        let found = free_number(1, last, band(size, NAMED_ADDRESSES), |number| {
            taken.addresses.contains_key(&self.range.at(number))
        })?;
        Some(self.range.at(found))
    }

    fn assign_ports(
        &self,
        service: &mut Object,
        old: Option<&Object>,
        claim: &mut Claim<'_>,
    ) -> Result<(), Vec<Cause>> {
        let owner = owner(service);
        let kind = service.text(&["spec", "type"]).to_string();
        let wants_ports = match kind.as_str() {
            "NodePort" => true,
            "LoadBalancer" => service.at(&["spec", "allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false)),
            _ => false,
        };
        let mut taken = self.taken.lock();
        let mut list = service.at(&["spec", "ports"]).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut causes = Vec::new();
        for (index, port) in list.iter().enumerate() {
            let number = port["nodePort"].as_u64().unwrap_or(0);
            if number == 0 {
                continue;
            }
            match self.take_port(&mut taken, number, &owner) {
                Ok(fresh) => claim.ports.extend(fresh),
                Err(why) => causes.push(invalid(&format!("spec.ports[{index}].nodePort"), &json!(number), &why)),
            }
        }
        if causes.is_empty() && wants_ports {
            self.fill_ports(&mut taken, &mut list, &owner, claim)?;
            service.set(&["spec", "ports"], list);
        }
        if causes.is_empty() {
            self.assign_health_port(&mut taken, service, old, &owner, claim)?;
        }
        if causes.is_empty() { Ok(()) } else { Err(causes) }
    }

    /// Ports that name no node port get one; the same number of another protocol gets the same one.
    fn fill_ports(
        &self,
        taken: &mut Taken,
        list: &mut [Value],
        owner: &str,
        claim: &mut Claim<'_>,
    ) -> Result<(), Vec<Cause>> {
        for index in 0..list.len() {
            if list[index]["nodePort"].as_u64().unwrap_or(0) > 0 {
                continue;
            }
            let is_twin = |other: &&Value| {
                other["port"] == list[index]["port"]
                    && other["protocol"] != list[index]["protocol"]
                    && other["nodePort"].as_u64().unwrap_or(0) > 0
            };
            let number = match list.iter().find(is_twin).and_then(|twin| twin["nodePort"].as_u64()) {
                Some(number) if !is_used(list, number, &list[index]["protocol"]) => number,
                _ => {
                    let number = self.free_port(taken).ok_or_else(|| full(&format!("spec.ports[{index}].nodePort")))?;
                    claim.ports.extend(self.take_port(taken, number, owner).ok().flatten());
                    number
                }
            };
            list[index]["nodePort"] = json!(number);
        }
        Ok(())
    }

    /// A LoadBalancer that only reaches pods of the node tells so on a port of its own.
    fn assign_health_port(
        &self,
        taken: &mut Taken,
        service: &mut Object,
        old: Option<&Object>,
        owner: &str,
        claim: &mut Claim<'_>,
    ) -> Result<(), Vec<Cause>> {
        let is_needed = service.text(&["spec", "type"]) == "LoadBalancer"
            && service.text(&["spec", "externalTrafficPolicy"]) == "Local";
        let field = "spec.healthCheckNodePort";
        let named = service.at(&["spec", "healthCheckNodePort"]).and_then(Value::as_u64).filter(|port| *port > 0);
        let before = old.and_then(|old| old.at(&["spec", "healthCheckNodePort"])).and_then(Value::as_u64);
        if !is_needed {
            service.remove(&["spec", "healthCheckNodePort"]);
            return Ok(());
        }
        let number = match named.or(before.filter(|port| *port > 0)) {
            Some(number) => number,
            None => self.free_port(taken).ok_or_else(|| full(field))?,
        };
        let fresh = self.take_port(taken, number, owner);
        claim.ports.extend(fresh.map_err(|why| vec![invalid(field, &json!(number), &why)])?);
        service.set(&["spec", "healthCheckNodePort"], number);
        Ok(())
    }

    /// Takes a port; the answer is the port if its owner did not have it yet.
    fn take_port(&self, taken: &mut Taken, number: u64, owner: &str) -> Result<Option<u16>, String> {
        let (first, last) = self.ports;
        let port = u16::try_from(number).ok().filter(|port| (first..=last).contains(port)).ok_or_else(|| {
            let range = format!("The range of valid ports is {first}-{last}");
            format!("provided port is not in the valid range. {range}")
        })?;
        match taken.ports.get(&port) {
            Some(other) if other == owner => Ok(None),
            Some(_) => Err("provided port is already allocated".into()),
            None => {
                taken.ports.insert(port, owner.to_string());
                Ok(Some(port))
            }
        }
    }

    fn free_port(&self, taken: &Taken) -> Option<u64> {
        let (first, last) = (u64::from(self.ports.0), u64::from(self.ports.1));
        let named = band(last - first + 1, NAMED_PORTS);
        free_number(first, last, named, |number| taken.ports.contains_key(&(number as u16)))
    }
}

/// How many numbers at the beginning of a range are left for those who name one.
fn band(size: u64, (least, most): (u64, u64)) -> u64 {
    if size <= least { 0 } else { (size / 16).clamp(least, most).min(size / 2) }
}

/// A free number from `first` to `last`: any beyond the first `named` ones, else one of those.
fn free_number(first: u64, last: u64, named: u64, is_taken: impl Fn(u64) -> bool) -> Option<u64> {
    if first > last {
        return None;
    }
    let middle = (first + named).min(last);
    let start = rand::random_range(middle..=last);
    let upper = (start..=last).chain(middle..start);
    upper.chain(first..middle).find(|number| !is_taken(*number))
}

fn is_used(list: &[Value], number: u64, protocol: &Value) -> bool {
    list.iter().any(|port| port["nodePort"].as_u64() == Some(number) && port["protocol"] == *protocol)
}

fn free<K: Hash + Eq>(taken: &mut HashMap<K, String>, key: &K, owner: &str) {
    if taken.get(key).is_some_and(|other| other == owner) {
        taken.remove(key);
    }
}

fn owner(service: &Object) -> String {
    format!("{}/{}", service.namespace(), service.name())
}

fn addresses(service: &Object) -> Vec<IpAddr> {
    let listed = service.at(&["spec", "clusterIPs"]).and_then(Value::as_array);
    let all = listed.into_iter().flatten().filter_map(Value::as_str);
    all.chain([service.text(&["spec", "clusterIP"])]).filter_map(|address| address.parse().ok()).collect()
}

fn ports(service: &Object) -> Vec<u16> {
    let listed = service.at(&["spec", "ports"]).and_then(Value::as_array);
    let numbers = listed.into_iter().flatten().map(|port| &port["nodePort"]);
    let health = service.at(&["spec", "healthCheckNodePort"]);
    numbers.chain(health).filter_map(|port| u16::try_from(port.as_u64()?).ok()).filter(|port| *port > 0).collect()
}

fn cause(reason: &str, field: &str, message: &str) -> Cause {
    Cause { reason: reason.into(), field: field.into(), message: message.into() }
}

fn invalid(field: &str, value: &Value, why: &str) -> Cause {
    cause("FieldValueInvalid", field, &format!("Invalid value: {value}: {why}"))
}

fn refused_address(address: &str, why: &str) -> Cause {
    let message = format!("Invalid value: [\"{address}\"]: failed to allocate IP {address}: {why}");
    cause("FieldValueInvalid", "spec.clusterIPs", &message)
}

fn full(field: &str) -> Vec<Cause> {
    vec![cause("InternalError", field, "Internal error: failed to allocate a nodePort: range is full")]
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (first, prefix) = text.split_once('/')?;
        Some(Self { first: first.parse().ok()?, prefix: prefix.parse().ok()? })
    }

    /// How many addresses there are; of IPv6 networks as many as upstream uses of them.
    fn size(self) -> u64 {
        match self.first {
            IpAddr::V4(_) => 1u64 << (32 - u32::from(self.prefix.min(32))),
            IpAddr::V6(_) => 1u64 << (128 - u32::from(self.prefix.min(128))).min(16),
        }
    }

    fn at(self, number: u64) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from_bits(first.to_bits().wrapping_add(number as u32))),
            IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from_bits(first.to_bits().wrapping_add(u128::from(number)))),
        }
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(own)) => {
                let distance = u64::from(own.to_bits().wrapping_sub(first.to_bits()));
                distance > 0 && distance + 1 < self.size()
            }
            (IpAddr::V6(first), IpAddr::V6(own)) => {
                let distance = own.to_bits().wrapping_sub(first.to_bits());
                distance > 0 && distance < u128::from(self.size())
            }
            _ => false,
        }
    }
}

/// The failure that causes of an allocation make.
pub fn refusal(service: &Object, causes: Vec<Cause>) -> Status {
    Status::invalid("", "Service", service.name(), causes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services() -> Services {
        let range = Range::parse("10.96.0.0/24").unwrap();
        let taken = Mutex::new(Taken::default());
        Services { range, ports: (30_000, 30_009), taken }
    }

    fn service(name: &str, spec: Value) -> Object {
        Object::from_value(json!({"metadata": {"name": name, "namespace": "one"}, "spec": spec})).unwrap()
    }

    fn message(result: Result<Claim<'_>, Vec<Cause>>) -> String {
        result.map(drop).unwrap_err().iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    }

    #[test]
    fn what_was_given_is_nobody_elses_until_it_is_released() {
        let services = services();
        let mut first = service("a", json!({"type": "NodePort", "ports": [{"port": 80}]}));
        services.assign(&mut first, None).unwrap().keep();
        let (address, port) = (first.text(&["spec", "clusterIP"]).to_string(), ports(&first)[0]);
        let mut same = service("b", json!({"clusterIP": address, "ports": []}));
        assert_eq!(
            message(services.assign(&mut same, None)),
            format!(
                "spec.clusterIPs: Invalid value: [\"{address}\"]: failed to allocate IP {address}: provided IP is already allocated"
            )
        );
        let mut same_port = service("b", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}));
        assert_eq!(
            message(services.assign(&mut same_port, None)),
            format!("spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated")
        );
        services.release(&first, None);
        services.assign(&mut same, None).unwrap().keep();
    }

    #[test]
    fn a_write_that_fails_gives_everything_back() {
        let services = services();
        for _ in 0..50 {
            let mut one = service("a", json!({"type": "NodePort", "ports": [{"port": 80}]}));
            drop(services.assign(&mut one, None).unwrap());
        }
        assert!(services.taken.lock().ports.is_empty() && services.taken.lock().addresses.is_empty());
    }

    #[test]
    fn every_port_is_given_before_the_range_is_full() {
        let services = services();
        for number in 0..10 {
            let mut one = service(&format!("s{number}"), json!({"type": "NodePort", "ports": [{"port": 80}]}));
            services.assign(&mut one, None).unwrap().keep();
        }
        let mut more = service("more", json!({"type": "NodePort", "ports": [{"port": 80}]}));
        assert!(message(services.assign(&mut more, None)).ends_with("range is full"));
    }

    #[test]
    fn both_protocols_of_a_port_share_a_node_port() {
        let services = services();
        let ports = json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]);
        let mut dns = service("dns", json!({"type": "LoadBalancer", "ports": ports, "externalTrafficPolicy": "Local"}));
        services.assign(&mut dns, None).unwrap().keep();
        let list = dns.at(&["spec", "ports"]).unwrap();
        assert_eq!(list[0]["nodePort"], list[1]["nodePort"]);
        assert!(dns.at(&["spec", "healthCheckNodePort"]).is_some());
    }

    #[test]
    fn headless_services_and_names_get_nothing_and_foreign_addresses_are_refused() {
        let services = services();
        let mut headless = service("a", json!({"clusterIP": "None"}));
        services.assign(&mut headless, None).unwrap().keep();
        assert_eq!(headless.at(&["spec", "clusterIPs"]), Some(&json!(["None"])));
        let mut foreign = service("b", json!({"clusterIP": "10.97.0.1"}));
        assert!(message(services.assign(&mut foreign, None)).ends_with("The range of valid IPs is 10.96.0.0/24"));
        let mut name = service("c", json!({"type": "ExternalName"}));
        services.assign(&mut name, None).unwrap().keep();
        assert!(name.at(&["spec", "clusterIP"]).is_none());
    }
}
