//! The policy table in the kernel: its fixed part, and changes as batches.
//!
//! ```text
//! forward (pod ─▶ anywhere), input (pod ─▶ node) ─▶ @isolated-egress: source ─▶ chain of the pod ─▶ chains of its policies
//! forward, later (anywhere ─▶ pod) ───────────────▶ @isolated-ingress: destination ─▶ …
//! ```
//!
//! What is accepted in one direction is still looked at in the other: they are two base chains. What the node itself sends
//! passes neither, so probes always arrive. Connections that are there already are not looked at.

use super::super::cidr::Cidr;
use super::super::nft::{self, Layout};
use super::wanted::{At, Direction, Element, Rule, With};
use nlink::netlink::nftables::{
    BaseChain, CtState, Expr, FilterHook, Priority, Set, SetElement, SetKeyType, Transaction, Verdict,
};

/// The table's name.
pub const TABLE: &str = "coracle-policies";
const EGRESS: Priority = Priority::Filter;
const INGRESS: Priority = Priority::Custom(1);
/// Base chain, its hook and priority, and the direction that is looked at there.
const BASES: [(&str, FilterHook, Priority, Direction); 3] = [
    ("egress-forward", FilterHook::Forward, EGRESS, Direction::Egress),
    ("egress-input", FilterHook::Input, EGRESS, Direction::Egress),
    ("ingress-forward", FilterHook::Forward, INGRESS, Direction::Ingress),
];

/// The sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Isolated(Direction),
    Members,
    NamedPorts,
}

impl Kind {
    const ALL: [Kind; 4] =
        [Kind::Isolated(Direction::Ingress), Kind::Isolated(Direction::Egress), Kind::Members, Kind::NamedPorts];

    fn name(self) -> &'static str {
        match self {
            Kind::Isolated(Direction::Ingress) => "isolated-ingress",
            Kind::Isolated(Direction::Egress) => "isolated-egress",
            Kind::Members => "members",
            Kind::NamedPorts => "named-ports",
        }
    }

    fn set(self, layout: Layout) -> Set {
        use SetKeyType::{Concat, InetService, Mark};
        let set = Set::new(TABLE, self.name()).family(layout.family);
        match self {
            Kind::Isolated(_) => set.key_type(layout.address()).vmap(),
            Kind::Members => set.key_type(Concat(vec![Mark, layout.address()])),
            Kind::NamedPorts => set.key_type(Concat(vec![Mark, layout.address(), InetService])),
        }
    }
}

/// Adds everything that is always there: the table anew, its sets, its base chains.
pub fn skeleton(batch: Transaction, layout: Layout) -> Transaction {
    let family = layout.family;
    let batch = nft::replace_table(batch, TABLE, family);
    let batch = Kind::ALL.iter().fold(batch, |batch, kind| batch.add_set(kind.set(layout)));
    let known = CtState::ESTABLISHED | CtState::RELATED;
    BASES.into_iter().fold(batch, |batch, (name, hook, priority, direction)| {
        let batch = batch.add_chain(nft::chain(TABLE, name, family).base(BaseChain::filter(hook, priority)));
        let pass = nft::steps([nft::is_state(known), vec![Expr::Verdict(Verdict::Accept)]]);
        let address = match direction {
            Direction::Ingress => layout.destination(0),
            Direction::Egress => layout.source(0),
        };
        let batch = nft::add_rule(batch, family, TABLE, name, pass);
        nft::add_rule(batch, family, TABLE, name, vec![address, nft::decide(Kind::Isolated(direction).name())])
    })
}

/// How policies are said to the kernel.
pub struct Policies;

impl nft::Dialect for Policies {
    const TABLE: &'static str = TABLE;
    type Kind = Kind;
    type Element = Element;
    type Data = Option<String>;
    type Rule = Rule;

    fn set(kind: Kind, layout: Layout) -> Set {
        kind.set(layout)
    }

    fn key(element: &Element) -> (Kind, SetElement) {
        key(element)
    }

    fn with_data(key: SetElement, chain: &Option<String>) -> SetElement {
        match chain {
            Some(chain) => key.verdict(nft::goto(chain)),
            None => key,
        }
    }

    fn rules(rule: &Rule, layout: Layout, name: &str) -> Vec<Vec<Expr>> {
        vec![steps_of(rule, layout, name)]
    }
}

fn key(element: &Element) -> (Kind, SetElement) {
    match *element {
        Element::Isolated(direction, address) => (Kind::Isolated(direction), nft::address_key(address)),
        Element::Member { selector, address } => {
            (Kind::Members, SetElement::concat([SetElement::mark(selector), nft::address_key(address)]))
        }
        Element::NamedPort { name, address, port } => {
            let parts = [SetElement::mark(name), nft::address_key(address), SetElement::port(port)];
            (Kind::NamedPorts, SetElement::concat(parts))
        }
    }
}

/// The kernel's rule for one of ours, in the chain `name`.
fn steps_of(rule: &Rule, layout: Layout, name: &str) -> Vec<Expr> {
    let verdict = |verdict| vec![Expr::Verdict(verdict)];
    match rule {
        Rule::Own(address) => {
            // The other end is the address, too.
            let direction = if name.starts_with("ingress") { Direction::Ingress } else { Direction::Egress };
            let own = Cidr::around(*address, if address.is_ipv4() { 32 } else { 128 });
            nft::steps([layout.within(other_end(direction, layout, 0), &own, true), verdict(Verdict::Accept)])
        }
        Rule::Try(chain) => verdict(nft::jump(chain)),
        Rule::Drop => verdict(Verdict::Drop),
        Rule::Accept { direction, with, at } => {
            nft::steps([with_steps(with, *direction, layout), at_steps(*at, layout), verdict(Verdict::Accept)])
        }
    }
}

fn other_end(direction: Direction, layout: Layout, word: usize) -> Expr {
    match direction {
        Direction::Ingress => layout.source(word),
        Direction::Egress => layout.destination(word),
    }
}

fn with_steps(with: &With, direction: Direction, layout: Layout) -> Vec<Expr> {
    match with {
        With::Anybody => Vec::new(),
        With::Selected(number) => {
            vec![nft::number(0, *number), other_end(direction, layout, 1), nft::is_in(Kind::Members.name(), 0)]
        }
        With::Block { network, except } => {
            let inside = layout.within(other_end(direction, layout, 0), network, true);
            let outside = except.iter().map(|part| layout.within(other_end(direction, layout, 0), part, false));
            nft::steps([inside].into_iter().chain(outside))
        }
    }
}

fn at_steps(at: At, layout: Layout) -> Vec<Expr> {
    match at {
        At::AnyPort => Vec::new(),
        At::AllOf(protocol) => nft::is_protocol(protocol.number()),
        At::Ports { protocol, first, last } => {
            nft::steps([nft::is_protocol(protocol.number()), nft::port_between(first, last)])
        }
        At::Named { protocol, name } => {
            let key = vec![nft::number(0, name), layout.destination(1), nft::port(1 + layout.words())];
            nft::steps([nft::is_protocol(protocol.number()), key, vec![nft::is_in(Kind::NamedPorts.name(), 0)]])
        }
    }
}
