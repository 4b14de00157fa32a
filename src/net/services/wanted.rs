//! From a Service and its EndpointSlices to what the packet filter needs for it. Plain data, no kernel.
//!
//! Every port of a service has a chain `service/NAMESPACE/NAME/PROTOCOL-PORT/all` that spreads new connections over its
//! endpoints, and one `…/local` where a policy keeps traffic on the node and the endpoints differ. Elements of the maps say
//! which address and port go to which chain. A port without endpoints is refused instead.

use super::super::cidr::Cidr;
use super::super::ledger::{self, Ledger};
pub use super::super::protocol::Protocol;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a client stays with its endpoint when nobody says how long.
const DEFAULT_AFFINITY: Duration = Duration::from_secs(10_800);
/// Services with this label are somebody else's to serve.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";

/// An address and port that traffic is sent on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    pub address: IpAddr,
    pub port: u16,
}

/// An address and port that clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Front {
    /// Nothing: any address of the node.
    pub address: Option<IpAddr>,
    pub protocol: Protocol,
    pub port: u16,
}

/// One element of one of the table's sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// What is answered: data is a verdict.
    Served(Front),
    /// What is refused, because nothing is behind it.
    Refused(Front),
    /// A port of a pod on the node's addresses: data is the target.
    HostPort(Front),
    /// The endpoint of a chain (by its number) that a number in 0..count draws: data is the target.
    Endpoint { chain: u32, index: u32 },
    /// An endpoint that a client may stay with.
    Sticky { chain: u32, target: Target },
    /// An address whose connections to itself through a service need another source.
    Hairpin(IpAddr),
}

/// What an element maps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Nothing,
    Verdict(Verdict),
    Target(Target),
}

/// What becomes of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Chain(String),
    Drop,
    /// Answered with a reset or "port unreachable".
    Reject,
}

/// One rule of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Spread over the chain's endpoints.
    Balance { chain: u32, count: u32 },
    /// The same, but a client that came before stays where it was; forgotten after so long without a new connection.
    Stick { chain: u32, count: u32, timeout: Duration },
    /// What comes from a network.
    From(Cidr, Verdict),
    /// What comes from elsewhere.
    Else(Verdict),
}

/// What one owner wants of the service table.
pub type Wanted = ledger::Wanted<Element, Data, Rule>;

/// Who wants something of the service table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    Service(String, String),
    /// A pod with host ports.
    Pod(String, String),
}

/// The service table, as it is wanted.
pub type Table = Ledger<Owner, Element, Data, Rule>;

/// What a node knows of itself.
#[derive(Clone, Debug)]
pub struct Place {
    pub node: String,
    /// Where its pods are: what comes from there is no outside traffic.
    pub pods: Cidr,
}

impl Place {
    fn is_family(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.pods.base.is_ipv4()
    }
}

/// What a service needs, in the address family of the place.
pub fn of_service(service: &Service, slices: &[Arc<EndpointSlice>], place: &Place, table: &mut Table) -> Wanted {
    let mut wanted = Wanted::default();
    let Some(spec) = &service.spec else { return wanted };
    let other = service.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(OTHER_PROXY));
    if other || spec.type_.as_deref() == Some("ExternalName") || spec.cluster_ip.as_deref() == Some("None") {
        return wanted;
    }
    let name = format!(
        "service/{}/{}",
        service.metadata.namespace.as_deref().unwrap_or_default(),
        service.metadata.name.as_deref().unwrap_or_default()
    );
    for port in spec.ports.iter().flatten() {
        let Some(protocol) = Protocol::read(port.protocol.as_deref()) else { continue };
        let endpoints = Endpoints::of(port, protocol, slices, place);
        let base = format!("{name}/{}-{}", protocol.word(), port.port);
        let mut building = Building { spec, place, base, protocol, endpoints, wanted: &mut wanted, table };
        building.port(service, port);
    }
    wanted
}

/// The endpoints of one port: all that answer, and those of this node.
#[derive(Default, Debug, PartialEq, Eq)]
struct Endpoints {
    all: BTreeSet<Target>,
    local: BTreeSet<Target>,
}

impl Endpoints {
    fn of(port: &ServicePort, protocol: Protocol, slices: &[Arc<EndpointSlice>], place: &Place) -> Self {
        let family = if place.pods.base.is_ipv4() { "IPv4" } else { "IPv6" };
        // Ready ones, and those that serve their last requests.
        let (mut ready, mut last) = (Self::default(), Self::default());
        for slice in slices.iter().filter(|slice| slice.address_type == family) {
            let is_port = |offered: &&k8s_openapi::api::discovery::v1::EndpointPort| {
                offered.name.as_deref().unwrap_or_default() == port.name.as_deref().unwrap_or_default()
                    && Protocol::read(offered.protocol.as_deref()) == Some(protocol)
            };
            let Some(number) = slice.ports.iter().flatten().find(is_port).and_then(|offered| offered.port) else {
                continue;
            };
            let Ok(number) = u16::try_from(number) else { continue };
            for endpoint in slice.endpoints.iter().flatten() {
                let conditions = endpoint.conditions.clone().unwrap_or_default();
                let kept = match conditions.ready.unwrap_or(true) {
                    true => &mut ready,
                    false if conditions.serving == Some(true) && conditions.terminating == Some(true) => &mut last,
                    false => continue,
                };
                // Further addresses of an endpoint are no further endpoints.
                let Some(Ok(address)) = endpoint.addresses.first().map(|address| address.parse()) else { continue };
                let target = Target { address, port: number };
                kept.all.insert(target);
                if endpoint.node_name.as_deref() == Some(&place.node) {
                    kept.local.insert(target);
                }
            }
        }
        let pick = |ready: BTreeSet<Target>, last| if ready.is_empty() { last } else { ready };
        Self { all: pick(ready.all, last.all), local: pick(ready.local, last.local) }
    }
}

/// One port of one service on its way to elements and chains.
struct Building<'a> {
    spec: &'a ServiceSpec,
    place: &'a Place,
    base: String,
    protocol: Protocol,
    endpoints: Endpoints,
    wanted: &'a mut Wanted,
    table: &'a mut Table,
}

impl Building<'_> {
    fn port(&mut self, service: &Service, port: &ServicePort) {
        let Ok(number) = u16::try_from(port.port) else { return };
        for target in &self.endpoints.all {
            self.wanted.elements.insert(Element::Hairpin(target.address), Data::Nothing);
        }
        let inside = self.inside();
        let own = self.spec.cluster_ips.clone().unwrap_or_else(|| self.spec.cluster_ip.iter().cloned().collect());
        for address in self.addresses(&own) {
            self.answer(Some(address), number, inside.clone());
        }
        let outside = self.outside();
        for address in self.addresses(&self.spec.external_ips.clone().unwrap_or_default()) {
            self.answer(Some(address), number, outside.clone());
        }
        let balanced = self.balanced(service);
        if !balanced.is_empty() {
            let admitted = self.admitted(outside.clone());
            for address in balanced {
                self.answer(Some(address), number, admitted.clone());
            }
        }
        if let Some(node_port) = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0) {
            self.answer(None, node_port, outside);
        }
    }

    /// Addresses of the family.
    fn addresses(&self, texts: &[String]) -> Vec<IpAddr> {
        let parsed = texts.iter().filter_map(|text| text.parse().ok());
        parsed.filter(|address| self.place.is_family(*address)).collect()
    }

    /// The addresses that a load balancer gave and leaves to the node to answer.
    fn balanced(&self, service: &Service) -> Vec<IpAddr> {
        if self.spec.type_.as_deref() != Some("LoadBalancer") {
            return Vec::new();
        }
        let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = status.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
        let own = ingress.filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"));
        self.addresses(&own.filter_map(|ingress| ingress.ip.clone()).collect::<Vec<_>>())
    }

    fn answer(&mut self, address: Option<IpAddr>, port: u16, verdict: Verdict) {
        let front = Front { address, protocol: self.protocol, port };
        let element = match verdict {
            // A chain of the nat type cannot refuse, so that is done in another one.
            Verdict::Reject => Element::Refused(front),
            _ => Element::Served(front),
        };
        self.wanted.elements.insert(element, Data::Verdict(verdict));
    }

    /// What becomes of traffic to the service's own address.
    fn inside(&mut self) -> Verdict {
        let is_local = self.spec.internal_traffic_policy.as_deref() == Some("Local");
        if is_local && self.endpoints.local.is_empty() && !self.endpoints.all.is_empty() {
            return Verdict::Drop;
        }
        self.spread(is_local)
    }

    /// What becomes of traffic to the addresses that the service has outside the cluster. Pods come in at them as inside.
    fn outside(&mut self) -> Verdict {
        let all = self.spread(false);
        if self.spec.external_traffic_policy.as_deref() != Some("Local") || self.endpoints.local == self.endpoints.all {
            return all;
        }
        let local = match self.endpoints.local.is_empty() {
            true => Verdict::Drop,
            false => self.spread(true),
        };
        self.chain("outside", vec![Rule::From(self.place.pods, all), Rule::Else(local)])
    }

    /// The same, for the networks only that may use the load balancer.
    fn admitted(&mut self, then: Verdict) -> Verdict {
        let ranges = self.spec.load_balancer_source_ranges.iter().flatten();
        let ranges: Vec<Cidr> = ranges.filter_map(|range| Cidr::parse(range).ok()).collect();
        let is_limited = self.spec.load_balancer_source_ranges.as_ref().is_some_and(|ranges| !ranges.is_empty());
        if !is_limited || then == Verdict::Reject {
            return then;
        }
        let family = ranges.into_iter().filter(|range| self.place.is_family(range.base));
        let mut rules: Vec<Rule> = family.map(|range| Rule::From(range, then.clone())).collect();
        rules.push(Rule::Else(Verdict::Drop));
        self.chain("admitted", rules)
    }

    /// The chain that spreads over all endpoints, or over those of this node.
    fn spread(&mut self, local: bool) -> Verdict {
        let same = self.endpoints.local == self.endpoints.all;
        let (targets, suffix) = match local && !same {
            true => (self.endpoints.local.clone(), "local"),
            false => (self.endpoints.all.clone(), "all"),
        };
        if targets.is_empty() {
            return Verdict::Reject;
        }
        let name = format!("{}/{suffix}", self.base);
        if self.wanted.chains.contains_key(&name) {
            return Verdict::Chain(name);
        }
        let chain = self.table.id(&name);
        let count = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        let timeout = affinity(self.spec);
        for (index, target) in (0..).zip(&targets) {
            self.wanted.elements.insert(Element::Endpoint { chain, index }, Data::Target(*target));
            if timeout.is_some() {
                self.wanted.elements.insert(Element::Sticky { chain, target: *target }, Data::Nothing);
            }
        }
        let balance = Rule::Balance { chain, count };
        let rules = match timeout {
            // The last rule is for the moment in which no further client can be remembered.
            Some(timeout) => vec![Rule::Stick { chain, count, timeout }, balance],
            None => vec![balance],
        };
        self.wanted.chains.insert(name.clone(), rules);
        Verdict::Chain(name)
    }

    fn chain(&mut self, suffix: &str, rules: Vec<Rule>) -> Verdict {
        let name = format!("{}/{suffix}", self.base);
        self.wanted.chains.insert(name.clone(), rules);
        Verdict::Chain(name)
    }
}

fn affinity(spec: &ServiceSpec) -> Option<Duration> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|client| client.timeout_seconds).and_then(|seconds| u64::try_from(seconds).ok());
    Some(seconds.filter(|seconds| *seconds > 0).map_or(DEFAULT_AFFINITY, Duration::from_secs))
}

/// The fronts of a service by which stale entries of connection tracking are found, with every target that they may have.
pub fn targets(wanted: &Wanted) -> BTreeMap<Front, BTreeSet<Target>> {
    let live: BTreeSet<Target> = wanted
        .elements
        .iter()
        .filter_map(|(element, data)| match (element, data) {
            (Element::Endpoint { .. } | Element::HostPort(_), Data::Target(target)) => Some(*target),
            _ => None,
        })
        .collect();
    let fronts = wanted.elements.keys().filter_map(|element| match element {
        Element::Served(front) | Element::Refused(front) | Element::HostPort(front) => Some(*front),
        _ => None,
    });
    fronts.map(|front| (front, live.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn place() -> Place {
        Place { node: "node".into(), pods: Cidr::parse("10.244.0.0/16").unwrap() }
    }

    fn wanted(spec: Value, slices: &[Value]) -> Wanted {
        let mut service: Service =
            serde_json::from_value(json!({"metadata": {"namespace": "default", "name": "web"}, "spec": spec})).unwrap();
        let balancer = json!({"loadBalancer": {"ingress": [{"ip": "192.168.49.128"}]}});
        service.status = serde_json::from_value(balancer).unwrap();
        let slices: Vec<_> =
            slices.iter().map(|slice| Arc::new(serde_json::from_value(slice.clone()).unwrap())).collect();
        of_service(&service, &slices, &place(), &mut Table::default())
    }

    fn slice(endpoints: Value) -> Value {
        json!({"addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": endpoints})
    }

    fn endpoint(address: &str) -> Value {
        json!({"addresses": [address], "nodeName": "node", "conditions": {"ready": true}})
    }

    fn spec(more: Value) -> Value {
        let mut spec = json!({"type": "ClusterIP", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    }

    fn front(address: &str, port: u16) -> Front {
        let address = (!address.is_empty()).then(|| address.parse().unwrap());
        Front { address, protocol: Protocol::Tcp, port }
    }

    fn target(address: &str) -> Target {
        Target { address: address.parse().unwrap(), port: 8080 }
    }

    fn chain(name: &str) -> Data {
        Data::Verdict(Verdict::Chain(format!("service/default/web/tcp-80/{name}")))
    }

    #[test]
    fn a_service_is_spread_over_its_ready_endpoints() {
        let not_ready = json!({"addresses": ["10.244.0.9"], "conditions": {"ready": false, "serving": false}});
        let plan =
            wanted(spec(json!({})), &[slice(json!([endpoint("10.244.0.2"), not_ready, endpoint("10.244.0.3")]))]);
        assert_eq!(plan.elements[&Element::Served(front("10.96.0.7", 80))], chain("all"));
        assert_eq!(plan.elements[&Element::Endpoint { chain: 1, index: 0 }], Data::Target(target("10.244.0.2")));
        assert_eq!(plan.elements[&Element::Endpoint { chain: 1, index: 1 }], Data::Target(target("10.244.0.3")));
        assert_eq!(plan.chains["service/default/web/tcp-80/all"], [Rule::Balance { chain: 1, count: 2 }]);
        assert!(plan.elements.contains_key(&Element::Hairpin("10.244.0.2".parse().unwrap())));
    }

    #[test]
    fn a_service_without_endpoints_is_refused() {
        let plan = wanted(spec(json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]})), &[]);
        assert_eq!(plan.elements[&Element::Refused(front("10.96.0.7", 80))], Data::Verdict(Verdict::Reject));
        assert_eq!(plan.elements[&Element::Refused(front("", 30080))], Data::Verdict(Verdict::Reject));
        assert!(plan.chains.is_empty());
    }

    #[test]
    fn terminating_endpoints_serve_when_no_other_is_left() {
        let terminating = json!({"addresses": ["10.244.0.9"], "nodeName": "node",
            "conditions": {"ready": false, "serving": true, "terminating": true}});
        let alone = wanted(spec(json!({})), &[slice(json!([terminating]))]);
        assert_eq!(alone.elements[&Element::Endpoint { chain: 1, index: 0 }], Data::Target(target("10.244.0.9")));
        let beside = wanted(spec(json!({})), &[slice(json!([terminating, endpoint("10.244.0.2")]))]);
        assert_eq!(beside.elements[&Element::Endpoint { chain: 1, index: 0 }], Data::Target(target("10.244.0.2")));
        assert_eq!(beside.chains["service/default/web/tcp-80/all"], [Rule::Balance { chain: 1, count: 1 }]);
    }

    #[test]
    fn outside_addresses_are_answered_too() {
        let more = json!({"type": "LoadBalancer", "externalIPs": ["1.2.3.4"],
            "ports": [{"name": "http", "port": 80, "nodePort": 30080}]});
        let plan = wanted(spec(more), &[slice(json!([endpoint("10.244.0.2")]))]);
        for front in [front("1.2.3.4", 80), front("192.168.49.128", 80), front("", 30080)] {
            assert_eq!(plan.elements[&Element::Served(front)], chain("all"), "{front:?}");
        }
    }

    #[test]
    fn a_load_balancer_admits_its_source_ranges_only() {
        let more = json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["192.168.49.0/24", "fd00::/8"]});
        let plan = wanted(spec(more), &[slice(json!([endpoint("10.244.0.2")]))]);
        assert_eq!(plan.elements[&Element::Served(front("192.168.49.128", 80))], chain("admitted"));
        assert_eq!(plan.elements[&Element::Served(front("10.96.0.7", 80))], chain("all"));
        let all = Verdict::Chain("service/default/web/tcp-80/all".into());
        let range = Cidr::parse("192.168.49.0/24").unwrap();
        let rules = [Rule::From(range, all), Rule::Else(Verdict::Drop)];
        assert_eq!(plan.chains["service/default/web/tcp-80/admitted"], rules);
    }

    #[test]
    fn a_local_policy_keeps_outside_traffic_on_the_node() {
        let elsewhere = json!({"addresses": ["10.9.9.9"], "conditions": {"ready": true}});
        let more = json!({"type": "NodePort", "externalTrafficPolicy": "Local",
            "ports": [{"name": "http", "port": 80, "nodePort": 30080}]});
        let both = wanted(spec(more.clone()), &[slice(json!([endpoint("10.244.0.2"), elsewhere]))]);
        assert_eq!(both.elements[&Element::Served(front("10.96.0.7", 80))], chain("all"));
        assert_eq!(both.elements[&Element::Served(front("", 30080))], chain("outside"));
        assert_eq!(both.chains.len(), 3);
        let none_here = wanted(spec(more), &[slice(json!([elsewhere]))]);
        let all = Verdict::Chain("service/default/web/tcp-80/all".into());
        let rules = [Rule::From(place().pods, all), Rule::Else(Verdict::Drop)];
        assert_eq!(none_here.chains["service/default/web/tcp-80/outside"], rules);
        let inside = wanted(spec(json!({"internalTrafficPolicy": "Local"})), &[slice(json!([elsewhere]))]);
        assert_eq!(inside.elements[&Element::Served(front("10.96.0.7", 80))], Data::Verdict(Verdict::Drop));
    }

    #[test]
    fn affinity_has_a_rule_of_its_own() {
        let more =
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}});
        let plan = wanted(spec(more), &[slice(json!([endpoint("10.244.0.2")]))]);
        let timeout = Duration::from_secs(60);
        let rules = [Rule::Stick { chain: 1, count: 1, timeout }, Rule::Balance { chain: 1, count: 1 }];
        assert_eq!(plan.chains["service/default/web/tcp-80/all"], rules);
        assert!(plan.elements.contains_key(&Element::Sticky { chain: 1, target: target("10.244.0.2") }));
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        for spec in [spec(json!({"clusterIP": "None"})), json!({"type": "ExternalName", "externalName": "a.b"})] {
            assert_eq!(wanted(spec, &[slice(json!([endpoint("10.244.0.2")]))]), Wanted::default());
        }
        let other_family = json!({"addressType": "IPv6", "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": ["fd00::2"]}]});
        let plan = wanted(spec(json!({"clusterIPs": ["10.96.0.7", "fd00::7"]})), &[other_family]);
        assert_eq!(plan.elements.len(), 1);
    }
}
