//! From NetworkPolicies, pods and namespaces to what the packet filter needs for them. Plain data, no kernel.
//!
//! A policy has a chain per direction that accepts what it allows. A pod that some policy selects has a chain per direction
//! that tries the chains of its policies and drops the rest. Pods that a selector finds, and pods with a port of a name, are
//! elements of two sets that all policies share, told apart by a number.

use super::super::cidr::Cidr;
use super::super::kinds::{Namespace, NetworkPolicy, Peer, Pod, PolicyPort, PolicyRule};
use super::super::ledger::{self, Ledger};
use super::super::protocol::Protocol;
use crate::api::selector::Selector;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// To a pod, or from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Ingress, Direction::Egress];

    /// As chains are named.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Direction::Ingress => "Ingress",
            Direction::Egress => "Egress",
        }
    }
}

/// One element of one of the table's sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// A pod's address that policies hold for: data is its chain.
    Isolated(Direction, IpAddr),
    /// An address that the selector with a number finds.
    Member { selector: u32, address: IpAddr },
    /// An address that has the port with a (numbered) name.
    NamedPort { name: u32, address: IpAddr, port: u16 },
}

/// One rule of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Accepts what comes from the address itself, or goes to it.
    Own(IpAddr),
    /// Tries a policy's chain.
    Try(String),
    /// Drops the rest.
    Drop,
    /// Accepts what fits both.
    Accept { direction: Direction, with: With, at: At },
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum With {
    Anybody,
    /// Whom the selector with a number finds.
    Selected(u32),
    Block {
        network: Cidr,
        except: Vec<Cidr>,
    },
}

/// The port of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    AnyPort,
    AllOf(Protocol),
    Ports { protocol: Protocol, first: u16, last: u16 },
    Named { protocol: Protocol, name: u32 },
}

/// Who wants something of the policy table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    Policy(String, String),
    Pod(String, String),
    /// The elements of selectors and port names.
    Sets,
}

/// What one owner wants of the policy table. The data of an element is the chain that it leads to, if any.
pub type Wanted = ledger::Wanted<Element, Option<String>, Rule>;
/// The policy table, as it is wanted.
pub type Table = Ledger<Owner, Element, Option<String>, Rule>;

/// Numbers for things that are known by a text.
#[derive(Default)]
pub struct Numbers {
    known: BTreeMap<String, u32>,
    next: u32,
}

impl Numbers {
    fn of(&mut self, text: &str) -> u32 {
        if let Some(number) = self.known.get(text) {
            return *number;
        }
        self.next += 1;
        self.known.insert(text.into(), self.next);
        self.next
    }
}

/// Everything that policies are about.
#[derive(Default)]
pub struct World {
    pub policies: BTreeMap<(String, String), Arc<NetworkPolicy>>,
    pub pods: BTreeMap<(String, String), Arc<Pod>>,
    pub namespaces: BTreeMap<String, Arc<Namespace>>,
}

/// What everybody wants: the whole table. `is_v4` says of which family.
pub fn all(world: &World, numbers: &mut Numbers, is_v4: bool) -> BTreeMap<Owner, Wanted> {
    let mut reading = Reading { world, numbers, is_v4, sets: Wanted::default() };
    let mut all = BTreeMap::new();
    let mut chosen: BTreeMap<(&(String, String), Direction), BTreeSet<String>> = BTreeMap::new();
    for (key, policy) in &world.policies {
        let Some(selector) = selector(&policy.spec.pod_selector) else { continue };
        let mut wanted = Wanted::default();
        for direction in Direction::ALL.into_iter().filter(|direction| applies(policy, *direction)) {
            let chain = format!("{}/{}/{}", direction.word(), key.0, key.1);
            wanted.chains.insert(chain.clone(), reading.rules(key.0.as_str(), policy, direction));
            for (pod, object) in &world.pods {
                if pod.0 == key.0 && matches(&selector, object.labels()) {
                    chosen.entry((pod, direction)).or_default().insert(chain.clone());
                }
            }
        }
        all.insert(Owner::Policy(key.0.clone(), key.1.clone()), wanted);
    }
    for ((pod, direction), policies) in chosen {
        let Some(address) = reading.address(&world.pods[pod]) else { continue };
        let chain = format!("{}-pod/{}/{}", direction.word(), pod.0, pod.1);
        let tries = policies.into_iter().map(Rule::Try);
        let rules = [Rule::Own(address)].into_iter().chain(tries).chain([Rule::Drop]).collect();
        let wanted: &mut Wanted = all.entry(Owner::Pod(pod.0.clone(), pod.1.clone())).or_default();
        wanted.elements.insert(Element::Isolated(direction, address), Some(chain.clone()));
        wanted.chains.insert(chain, rules);
    }
    all.insert(Owner::Sets, reading.sets);
    all
}

/// Whether a policy is about a direction. Without a list it is about ingress, and about egress if it has rules for that.
fn applies(policy: &NetworkPolicy, direction: Direction) -> bool {
    let types = &policy.spec.policy_types;
    match direction {
        _ if !types.is_empty() => types.iter().any(|kind| kind == direction.kind()),
        Direction::Ingress => true,
        Direction::Egress => !policy.spec.egress.is_empty(),
    }
}

/// A selector that cannot be read finds nobody; the API takes none such.
fn selector(object: &Value) -> Option<Selector> {
    Selector::from_object(object).ok()
}

fn matches(selector: &Selector, labels: Option<&BTreeMap<String, String>>) -> bool {
    selector.matches(|key| labels?.get(key).map(String::as_str))
}

/// Policies on their way to rules.
struct Reading<'a> {
    world: &'a World,
    numbers: &'a mut Numbers,
    is_v4: bool,
    sets: Wanted,
}

impl Reading<'_> {
    fn address(&self, pod: &Pod) -> Option<IpAddr> {
        pod.addresses().into_iter().find(|address| address.is_ipv4() == self.is_v4)
    }

    fn rules(&mut self, namespace: &str, policy: &NetworkPolicy, direction: Direction) -> Vec<Rule> {
        let rules = match direction {
            Direction::Ingress => &policy.spec.ingress,
            Direction::Egress => &policy.spec.egress,
        };
        rules.iter().flat_map(|rule| self.rule(namespace, rule, direction)).collect()
    }

    fn rule(&mut self, namespace: &str, rule: &PolicyRule, direction: Direction) -> Vec<Rule> {
        let peers: Vec<With> = match rule.peers.is_empty() {
            true => vec![With::Anybody],
            false => rule.peers.iter().filter_map(|peer| self.peer(namespace, peer)).collect(),
        };
        let ports: Vec<At> = match rule.ports.is_empty() {
            true => vec![At::AnyPort],
            false => rule.ports.iter().filter_map(|port| self.port(port)).collect(),
        };
        let both = |with: &With| ports.iter().map(|at| (with.clone(), *at)).collect::<Vec<_>>();
        peers.iter().flat_map(both).map(|(with, at)| Rule::Accept { direction, with, at }).collect()
    }

    fn peer(&mut self, namespace: &str, peer: &Peer) -> Option<With> {
        if let Some(block) = &peer.ip_block {
            let is_family = |network: &Cidr| network.base.is_ipv4() == self.is_v4;
            let network = Cidr::parse(&block.cidr).ok().filter(is_family)?;
            let except = block.except.iter().filter_map(|text| Cidr::parse(text).ok()).filter(is_family).collect();
            return Some(With::Block { network, except });
        }
        let scope = peer.namespace_selector.as_ref().map_or_else(|| namespace.into(), ToString::to_string);
        let pods = peer.pod_selector.as_ref().map_or_else(|| "{}".into(), ToString::to_string);
        let number = self.numbers.of(&format!("{scope} {pods}"));
        let everything = Value::Object(serde_json::Map::new());
        let pod_selector = selector(peer.pod_selector.as_ref().unwrap_or(&everything))?;
        let namespaces: BTreeSet<&String> = match &peer.namespace_selector {
            Some(object) => {
                let namespace_selector = selector(object)?;
                let all = self.world.namespaces.iter();
                let found = all.filter(|(_, one)| matches(&namespace_selector, one.metadata.labels.as_ref()));
                found.map(|(name, _)| name).collect()
            }
            None => self.world.namespaces.keys().filter(|name| *name == namespace).collect(),
        };
        for (key, pod) in &self.world.pods {
            if namespaces.contains(&key.0)
                && matches(&pod_selector, pod.labels())
                && let Some(address) = self.address(pod)
            {
                self.sets.elements.insert(Element::Member { selector: number, address }, None);
            }
        }
        Some(With::Selected(number))
    }

    fn port(&mut self, port: &PolicyPort) -> Option<At> {
        let protocol = Protocol::read(port.protocol.as_deref())?;
        match &port.port {
            None => Some(At::AllOf(protocol)),
            Some(Value::String(name)) => Some(At::Named { protocol, name: self.named(protocol, name) }),
            Some(number) => {
                let first = number.as_u64().and_then(|number| u16::try_from(number).ok())?;
                Some(At::Ports { protocol, first, last: port.end_port.unwrap_or(first).max(first) })
            }
        }
    }

    /// The number of a port's name, with every pod that has it.
    fn named(&mut self, protocol: Protocol, name: &str) -> u32 {
        let number = self.numbers.of(&format!("{} {name}", protocol.word()));
        for pod in self.world.pods.values() {
            let Some(address) = self.address(pod) else { continue };
            for port in pod.ports() {
                let is_it = port.name.as_deref() == Some(name);
                if is_it && Protocol::read(port.protocol.as_deref()) == Some(protocol) {
                    let element = Element::NamedPort { name: number, address, port: port.container_port };
                    self.sets.elements.insert(element, None);
                }
            }
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn world(spec: Value) -> World {
        let mut world = World::default();
        for (name, labels) in [("a", json!({"team": "blue"})), ("b", json!({}))] {
            let object = json!({"metadata": {"name": name, "labels": labels}});
            world.namespaces.insert(name.into(), Arc::new(serde_json::from_value(object).unwrap()));
        }
        let pods = [("a", "web", "10.244.0.2"), ("a", "db", "10.244.0.3"), ("b", "web", "10.244.0.4")];
        for (namespace, app, address) in pods {
            let object = json!({"metadata": {"namespace": namespace, "name": app, "labels": {"app": app}},
                "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
                "status": {"phase": "Running", "podIPs": [{"ip": address}]}});
            world.pods.insert((namespace.into(), app.into()), Arc::new(serde_json::from_value(object).unwrap()));
        }
        let policy = json!({"metadata": {"namespace": "a", "name": "p"}, "spec": spec});
        world.policies.insert(("a".into(), "p".into()), Arc::new(serde_json::from_value(policy).unwrap()));
        world
    }

    fn plan(spec: Value) -> BTreeMap<Owner, Wanted> {
        all(&world(spec), &mut Numbers::default(), true)
    }

    fn policy_rules(plan: &BTreeMap<Owner, Wanted>, direction: Direction) -> Vec<(With, At)> {
        let wanted = &plan[&Owner::Policy("a".into(), "p".into())];
        let rules = wanted.chains[&format!("{}/a/p", direction.word())].clone();
        rules
            .into_iter()
            .map(|rule| match rule {
                Rule::Accept { with, at, direction: own } if own == direction => (with, at),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn members(plan: &BTreeMap<Owner, Wanted>) -> Vec<String> {
        let elements = plan[&Owner::Sets].elements.keys();
        elements
            .map(|element| match element {
                Element::Member { address, .. } => address.to_string(),
                Element::NamedPort { address, port, .. } => format!("{address}:{port}"),
                Element::Isolated(..) => panic!("a pod's"),
            })
            .collect()
    }

    #[test]
    fn selected_pods_are_isolated_and_others_are_not() {
        let plan = plan(json!({"podSelector": {"matchLabels": {"app": "web"}}}));
        let web = &plan[&Owner::Pod("a".into(), "web".into())];
        let address: IpAddr = "10.244.0.2".parse().unwrap();
        assert_eq!(web.elements.len(), 1, "ingress only");
        assert_eq!(web.elements[&Element::Isolated(Direction::Ingress, address)].as_deref(), Some("ingress-pod/a/web"));
        let rules = [Rule::Own(address), Rule::Try("ingress/a/p".into()), Rule::Drop];
        assert_eq!(web.chains["ingress-pod/a/web"], rules);
        assert!(!plan.contains_key(&Owner::Pod("a".into(), "db".into())));
        assert!(!plan.contains_key(&Owner::Pod("b".into(), "web".into())), "a policy holds in its namespace");
        assert!(policy_rules(&plan, Direction::Ingress).is_empty());
    }

    #[test]
    fn an_empty_rule_allows_everything() {
        let plan = plan(json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}]}));
        assert_eq!(policy_rules(&plan, Direction::Ingress), [(With::Anybody, At::AnyPort)]);
        assert!(policy_rules(&plan, Direction::Egress).is_empty());
        assert_eq!(plan[&Owner::Pod("a".into(), "db".into())].elements.len(), 2);
    }

    #[test]
    fn peers_are_found_by_their_labels_and_those_of_their_namespaces() {
        let from = |peer: Value| plan(json!({"podSelector": {}, "ingress": [{"from": [peer]}]}));
        assert_eq!(members(&from(json!({"podSelector": {"matchLabels": {"app": "web"}}}))), ["10.244.0.2"]);
        let blue = json!({"namespaceSelector": {"matchLabels": {"team": "blue"}}});
        assert_eq!(members(&from(blue)), ["10.244.0.2", "10.244.0.3"]);
        let both = json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}});
        assert_eq!(members(&from(both)), ["10.244.0.2", "10.244.0.4"]);
        let block = from(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}));
        let network = Cidr::parse("10.0.0.0/8").unwrap();
        let except = vec![Cidr::parse("10.1.0.0/16").unwrap()];
        assert_eq!(policy_rules(&block, Direction::Ingress), [(With::Block { network, except }, At::AnyPort)]);
    }

    #[test]
    fn ports_are_numbers_ranges_names_or_all_of_a_protocol() {
        let ports = json!([{"port": 53, "protocol": "UDP"}, {"port": 8000, "endPort": 8080}, {"port": "http"}, {}]);
        let plan = plan(json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": ports}]}));
        let found: Vec<At> = policy_rules(&plan, Direction::Egress).into_iter().map(|(_, at)| at).collect();
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        assert_eq!(found[0], At::Ports { protocol: udp, first: 53, last: 53 });
        assert_eq!(found[1], At::Ports { protocol: tcp, first: 8000, last: 8080 });
        assert_eq!(found[2], At::Named { protocol: tcp, name: 1 });
        assert_eq!(found[3], At::AllOf(tcp));
        assert_eq!(members(&plan).len(), 3, "every pod has a port `http`");
    }

    #[test]
    fn egress_rules_alone_make_a_policy_about_egress() {
        let plan = plan(json!({"podSelector": {}, "egress": [{}]}));
        assert_eq!(policy_rules(&plan, Direction::Egress).len(), 1);
        assert!(policy_rules(&plan, Direction::Ingress).is_empty());
    }
}
