//! The service table in the kernel: its fixed part, and changes as batches.
//!
//! ```text
//! prerouting, output (nat) ─▶ ports ─▶ own ports of the node: left alone
//!                                  ├▶ @served: address . protocol . port ─▶ chain of the service ─▶ dnat
//!                                  └▶ local-ports (addresses of the node): @host-ports, @node-ports
//! forward, input, output (filter) ─▶ refusals: own ports left alone, @refused, @refused-node-ports, rest of the service networks ─▶ reject
//! postrouting (nat): masquerade of pods that reach themselves, of what is sent out of the node, and of pods that leave
//! ```
//!
//! Only the first packet of a connection passes nat chains, and one look-up decides it however many services there are.

use super::super::cidr::Cidr;
use super::super::nft::{self, Layout};
use super::super::pods::BRIDGE;
use super::wanted::{Data, Element, Front, Rule, Target, Verdict};
use nlink::netlink::nftables::{
    BaseChain, CtState, Expr, Family, FilterHook, MasqExpr, NatHook, Priority, Set, SetDataType, SetElement,
    SetKeyType, Transaction, Verdict as KernelVerdict,
};
use std::net::IpAddr;

/// The table's name.
pub const TABLE: &str = "coracle-services";
/// `NFT_REJECT_ICMPX_UNREACH` with "port", which each family turns into its own code.
const REJECT: Expr = Expr::Reject { reject_type: 2, icmp_code: 1 };
/// `NFT_REJECT_TCP_RST`.
const RESET: Expr = Expr::Reject { reject_type: 1, icmp_code: 0 };
/// Clients that are remembered at most for session affinity, of all services.
const REMEMBERED: u32 = 65_536;
/// After nat, before filters of others.
const BEFORE_FILTERS: Priority = Priority::Custom(-10);

/// The networks of a cluster, of one family.
#[derive(Clone, Debug)]
pub struct Networks {
    pub pods: Cidr,
    /// Networks in which an address that nobody serves is refused: services, load balancers.
    pub served: Vec<Cidr>,
    /// Networks that pods are seen in with their own addresses: the link to the machine.
    pub direct: Vec<Cidr>,
    /// TCP ports that the node answers itself at every address that it has.
    pub own_ports: [u16; 2],
}

/// The sets, by what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Served,
    NodePorts,
    Refused,
    RefusedNodePorts,
    HostPorts,
    HostPortsAt,
    Endpoints,
    Sticky,
    Clients,
    Hairpin,
}

impl Kind {
    const ALL: [Kind; 10] = [
        Kind::Served,
        Kind::NodePorts,
        Kind::Refused,
        Kind::RefusedNodePorts,
        Kind::HostPorts,
        Kind::HostPortsAt,
        Kind::Endpoints,
        Kind::Sticky,
        Kind::Clients,
        Kind::Hairpin,
    ];

    fn name(self) -> &'static str {
        match self {
            Kind::Served => "served",
            Kind::NodePorts => "node-ports",
            Kind::Refused => "refused",
            Kind::RefusedNodePorts => "refused-node-ports",
            Kind::HostPorts => "host-ports",
            Kind::HostPortsAt => "host-ports-at",
            Kind::Endpoints => "endpoints",
            Kind::Sticky => "sticky",
            Kind::Clients => "clients",
            Kind::Hairpin => "hairpin",
        }
    }

    fn set(self, layout: Layout) -> Set {
        use SetKeyType::{Concat, InetProto, InetService, Mark};
        let set = Set::new(TABLE, self.name()).family(layout.family);
        let port = || Concat(vec![InetProto, InetService]);
        let to_target = || SetDataType::Value(layout.target());
        match self {
            Kind::Served | Kind::Refused => set.key_type(layout.front()).vmap(),
            Kind::NodePorts | Kind::RefusedNodePorts => set.key_type(port()).vmap(),
            Kind::HostPorts => set.key_type(port()).map(to_target()),
            Kind::HostPortsAt => set.key_type(layout.front()).map(to_target()),
            Kind::Endpoints => set.key_type(Concat(vec![Mark, Mark])).map(to_target()),
            Kind::Sticky => set.key_type(Concat(vec![Mark, layout.address(), InetService])),
            Kind::Clients => {
                let set = set.key_type(Concat(vec![Mark, layout.address()])).map(to_target());
                set.dynamic().per_element_timeouts().size(REMEMBERED)
            }
            Kind::Hairpin => set.key_type(Concat(vec![layout.address(), layout.address()])),
        }
    }
}

/// Adds everything that is always there: the table anew, its sets, its base chains.
pub fn skeleton(batch: Transaction, networks: &Networks) -> Transaction {
    let layout = Layout::of(networks.pods.base);
    let family = layout.family;
    let batch = nft::replace_table(batch, TABLE, family);
    let batch = Kind::ALL.iter().fold(batch, |batch, kind| batch.add_set(kind.set(layout)));
    let bases = [
        ("prerouting", BaseChain::nat(NatHook::Prerouting, Priority::DstNat)),
        ("output", BaseChain::nat(NatHook::Output, Priority::DstNat)),
        ("postrouting", BaseChain::nat(NatHook::Postrouting, Priority::SrcNat)),
        ("refuse-forward", BaseChain::filter(FilterHook::Forward, BEFORE_FILTERS)),
        ("refuse-input", BaseChain::filter(FilterHook::Input, BEFORE_FILTERS)),
        ("refuse-output", BaseChain::filter(FilterHook::Output, BEFORE_FILTERS)),
    ];
    let plain = ["ports", "local-ports", "refusals", "reject"];
    let batch = plain.iter().fold(batch, |batch, name| batch.add_chain(nft::chain(TABLE, name, family)));
    let batch = bases
        .into_iter()
        .fold(batch, |batch, (name, base)| batch.add_chain(nft::chain(TABLE, name, family).base(base)));
    let rules = fixed_rules(layout, networks);
    rules.into_iter().fold(batch, |batch, (chain, steps)| nft::add_rule(batch, family, TABLE, chain, steps))
}

fn verdict(verdict: KernelVerdict) -> Vec<Expr> {
    vec![Expr::Verdict(verdict)]
}

fn fixed_rules(layout: Layout, networks: &Networks) -> Vec<(&'static str, Vec<Expr>)> {
    let own_ports = |chain: &'static str| {
        networks.own_ports.map(move |port| {
            let is_own = nft::steps([nft::is_protocol(6), nft::port_between(port, port), nft::is_local()]);
            (chain, nft::steps([is_own, verdict(KernelVerdict::Return)]))
        })
    };
    let mut rules: Vec<_> = ["ports", "refusals"].into_iter().flat_map(own_ports).collect();
    rules.extend([
        ("prerouting", verdict(nft::jump("ports"))),
        ("output", verdict(nft::jump("ports"))),
        ("ports", [layout.load_front(), vec![nft::decide(Kind::Served.name())]].concat()),
        ("ports", nft::steps([nft::is_local(), verdict(nft::jump("local-ports"))])),
        // What has the loopback as its source cannot leave by the bridge.
        ("local-ports", nft::steps([loopback(layout, layout.source(0)), verdict(KernelVerdict::Return)])),
        ("local-ports", host_port(layout, layout.load_front(), Kind::HostPortsAt)),
        ("local-ports", host_port(layout, vec![nft::protocol(0), nft::port(1)], Kind::HostPorts)),
        ("local-ports", nft::steps([loopback(layout, layout.destination(0)), verdict(KernelVerdict::Return)])),
        ("local-ports", vec![nft::protocol(0), nft::port(1), nft::decide(Kind::NodePorts.name())]),
    ]);
    for base in ["refuse-forward", "refuse-input", "refuse-output"] {
        rules.push((base, nft::steps([nft::is_state(CtState::NEW), verdict(nft::jump("refusals"))])));
    }
    let refused_node_ports = vec![nft::protocol(0), nft::port(1), nft::decide(Kind::RefusedNodePorts.name())];
    rules.push(("refusals", [layout.load_front(), vec![nft::decide(Kind::Refused.name())]].concat()));
    rules.push(("refusals", nft::steps([nft::is_local(), refused_node_ports])));
    for network in &networks.served {
        let served = layout.within(layout.destination(0), network, true);
        rules.push(("refusals", nft::steps([served, verdict(nft::goto("reject"))])));
    }
    rules.push(("reject", nft::steps([nft::is_protocol(6), vec![RESET]])));
    rules.push(("reject", vec![REJECT]));
    rules.extend(masquerades(layout, networks).into_iter().map(|steps| ("postrouting", steps)));
    rules
}

fn loopback(layout: Layout, load: Expr) -> Vec<Expr> {
    let network = if layout.family == Family::Ip { "127.0.0.0/8" } else { "::1/128" };
    layout.within(load, &Cidr::parse(network).expect("a network"), true)
}

fn host_port(layout: Layout, key: Vec<Expr>, map: Kind) -> Vec<Expr> {
    // The target is put behind the key.
    let value = 8;
    nft::steps([key, vec![nft::look_up(map.name(), 0, value), layout.send_to(value)]])
}

/// What needs the node's address as its source, because answers would not come back through the node otherwise.
fn masquerades(layout: Layout, networks: &Networks) -> Vec<Vec<Expr>> {
    let masquerade = || vec![MasqExpr::new().into()];
    let pair = vec![layout.source(0), layout.destination(layout.words()), nft::is_in(Kind::Hairpin.name(), 0)];
    let from_pods = || layout.within(layout.source(0), &networks.pods, true);
    let mut rules = vec![
        nft::steps([nft::leaves_by("lo", true), verdict(KernelVerdict::Return)]),
        nft::steps([nft::leaves_by(BRIDGE, true), nft::was_sent_on(), pair, masquerade()]),
        nft::steps([nft::leaves_by(BRIDGE, true), verdict(KernelVerdict::Return)]),
        nft::steps([nft::was_sent_on(), masquerade()]),
    ];
    for network in &networks.direct {
        let to = layout.within(layout.destination(0), network, true);
        rules.push(nft::steps([from_pods(), to, verdict(KernelVerdict::Return)]));
    }
    rules.push(nft::steps([from_pods(), masquerade()]));
    rules
}

/// How services are said to the kernel.
pub struct Services;

impl nft::Dialect for Services {
    const TABLE: &'static str = TABLE;
    type Kind = Kind;
    type Element = Element;
    type Data = Data;
    type Rule = Rule;

    fn set(kind: Kind, layout: Layout) -> Set {
        kind.set(layout)
    }

    fn key(element: &Element) -> (Kind, SetElement) {
        key(element)
    }

    fn with_data(key: SetElement, data: &Data) -> SetElement {
        with_data(key, data)
    }

    fn rules(rule: &Rule, layout: Layout, _: &str) -> Vec<Vec<Expr>> {
        steps_of(rule, layout)
    }
}

fn kernel_verdict(verdict: &Verdict) -> KernelVerdict {
    match verdict {
        Verdict::Chain(name) => nft::goto(name),
        Verdict::Drop => KernelVerdict::Drop,
        Verdict::Reject => nft::goto("reject"),
    }
}

/// The kernel's rules for one of ours.
fn steps_of(rule: &Rule, layout: Layout) -> Vec<Vec<Expr>> {
    match rule {
        Rule::Balance { chain, count } => {
            vec![[draw(*chain, *count, 0, 2), vec![layout.send_to(2)]].concat()]
        }
        Rule::Stick { chain, count, timeout } => {
            // chain . client | chain . address . port | chain . number
            let (client, target) = (0, 1 + layout.words());
            let draw_at = target + 2 + layout.words();
            let load = || vec![nft::number(client, *chain), layout.source(client + 1)];
            let stay = vec![
                nft::number(target, *chain),
                nft::look_up(Kind::Clients.name(), client, target + 1),
                nft::is_in(Kind::Sticky.name(), target),
                nft::remember(Kind::Clients.name(), client, target + 1, *timeout),
                layout.send_to(target + 1),
            ];
            let begin = vec![
                // Where it was before is gone: an element's value cannot be changed.
                nft::forget(Kind::Clients.name(), client, target + 1),
                nft::remember(Kind::Clients.name(), client, target + 1, *timeout),
                layout.send_to(target + 1),
            ];
            vec![[load(), stay].concat(), [load(), draw(*chain, *count, draw_at, target + 1), begin].concat()]
        }
        Rule::From(network, then) => {
            vec![nft::steps([layout.within(layout.source(0), network, true), verdict(kernel_verdict(then))])]
        }
        Rule::Else(then) => vec![verdict(kernel_verdict(then))],
    }
}

/// Draws one of a chain's endpoints: `chain . number` at a word, the target at another.
fn draw(chain: u32, count: u32, key: usize, value: usize) -> Vec<Expr> {
    vec![nft::number(key, chain), nft::draw(key + 1, count), nft::look_up(Kind::Endpoints.name(), key, value)]
}

fn key(element: &Element) -> (Kind, SetElement) {
    match *element {
        Element::Served(front) => front_key(front, Kind::Served, Kind::NodePorts),
        Element::Refused(front) => front_key(front, Kind::Refused, Kind::RefusedNodePorts),
        Element::HostPort(front) => front_key(front, Kind::HostPortsAt, Kind::HostPorts),
        Element::Endpoint { chain, index } => {
            (Kind::Endpoints, SetElement::concat([SetElement::mark(chain), SetElement::mark(index)]))
        }
        Element::Sticky { chain, target } => {
            let parts = [SetElement::mark(chain), nft::address_key(target.address), SetElement::port(target.port)];
            (Kind::Sticky, SetElement::concat(parts))
        }
        Element::Hairpin(address) => (Kind::Hairpin, pair_key(address, address)),
    }
}

fn pair_key(a: IpAddr, b: IpAddr) -> SetElement {
    SetElement::concat([nft::address_key(a), nft::address_key(b)])
}

fn front_key(front: Front, at_address: Kind, anywhere: Kind) -> (Kind, SetElement) {
    let port = [SetElement::inet_proto(front.protocol.number()), SetElement::port(front.port)];
    match front.address {
        Some(address) => (at_address, SetElement::concat([nft::address_key(address)].into_iter().chain(port))),
        None => (anywhere, SetElement::concat(port)),
    }
}

fn with_data(key: SetElement, data: &Data) -> SetElement {
    match data {
        Data::Nothing => key,
        Data::Verdict(verdict) => key.verdict(kernel_verdict(verdict)),
        Data::Target(Target { address, port }) => {
            key.value(SetElement::concat([nft::address_key(*address), SetElement::port(*port)]))
        }
    }
}
