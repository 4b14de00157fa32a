//! The packet filter's language: expressions for one address family, and batches of changes.
//!
//! A rule is a list of steps on registers of 4 bytes. A key of several fields lies in registers side by side.

use super::Error;
use super::cidr::{Cidr, octets};
use super::ledger::Change;
use nlink::netlink::nftables::{
    Chain, CmpOp, CtKey, CtState, CtStatus, DynsetExpr, DynsetOp, Expr, Family, FibFlags, FibResult, LookupExpr,
    MetaKey, NFT_MSG_NEWTABLE, NFTA_TABLE_NAME, NumgenKind, PayloadBase, RangeOp, RawExpr, RawMessage, Register, Rule,
    Set, SetElement, SetKeyType, Transaction, Verdict,
};
use nlink::netlink::{Connection, Nftables};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// The kernel refuses a message attribute beyond 64 KiB; an element takes at most 200 bytes of it.
const ELEMENTS_PER_MESSAGE: usize = 300;
/// How many bytes one change may have. Only a limit: nothing of it is set aside.
const BATCH_BYTES: usize = 64 << 20;
/// "Make it if it is not there", of a netlink request.
const NLM_F_CREATE: u16 = 0x400;
/// `RTN_LOCAL`: an address of this machine.
const LOCAL_ADDRESS: u32 = 2;
/// Source and destination ports are the same two fields in TCP, UDP and SCTP.
const DESTINATION_PORT: u32 = 2;

/// A verdict that goes to a chain and does not come back. Names of chains here are made of parts that the API limits.
pub fn goto(chain: &str) -> Verdict {
    Verdict::GotoTo(name(chain))
}

/// A verdict that goes to a chain and comes back when nothing was decided there.
pub fn jump(chain: &str) -> Verdict {
    Verdict::JumpTo(name(chain))
}

fn name(chain: &str) -> nlink::netlink::nftables::ChainName {
    chain.try_into().expect("names of chains have 1 to 255 characters and no NUL")
}

/// The register at a word of the register file.
fn at(word: usize) -> Register {
    Register::word(word).expect("a rule here uses less than 16 words")
}

/// One address family: where addresses are in packets, how long they are, how its types are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub family: Family,
}

impl Layout {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        Self { family: if address.is_ipv4() { Family::Ip } else { Family::Ip6 } }
    }

    /// Words of an address.
    pub fn words(self) -> usize {
        if self.family == Family::Ip { 1 } else { 4 }
    }

    /// The type of an address in a set.
    pub fn address(self) -> SetKeyType {
        if self.family == Family::Ip { SetKeyType::Ipv4Addr } else { SetKeyType::Ipv6Addr }
    }

    /// `address . protocol . port`
    pub fn front(self) -> SetKeyType {
        SetKeyType::Concat(vec![self.address(), SetKeyType::InetProto, SetKeyType::InetService])
    }

    /// `address . port`
    pub fn target(self) -> SetKeyType {
        SetKeyType::Concat(vec![self.address(), SetKeyType::InetService])
    }

    /// Loads the source address at a word.
    pub fn source(self, word: usize) -> Expr {
        self.field(word, if self.family == Family::Ip { 12 } else { 8 })
    }

    /// Loads the destination address at a word.
    pub fn destination(self, word: usize) -> Expr {
        self.field(word, if self.family == Family::Ip { 16 } else { 24 })
    }

    fn field(self, word: usize, offset: u32) -> Expr {
        let len = if self.family == Family::Ip { 4 } else { 16 };
        Expr::Payload { dreg: at(word), base: PayloadBase::Network, offset, len }
    }

    /// Loads `destination . protocol . port` at word 0.
    pub fn load_front(self) -> Vec<Expr> {
        let words = self.words();
        vec![self.destination(0), protocol(words), port(words + 1)]
    }

    /// Goes on if the address that `load` put at word 0 is in the network (or is not).
    pub fn within(self, load: Expr, network: &Cidr, inside: bool) -> Vec<Expr> {
        let (register, mask) = (at(0), network.mask());
        let len = u32::try_from(mask.len()).expect("an address is short");
        let zero = vec![0; mask.len()];
        let op = if inside { CmpOp::Eq } else { CmpOp::Neq };
        vec![
            load,
            Expr::Bitwise { sreg: register, dreg: register, len, mask, xor: zero },
            Expr::Cmp { sreg: register, op, data: octets(network.base) },
        ]
    }

    /// Sends the connection to the address at a word and the port behind it.
    pub fn send_to(self, word: usize) -> Expr {
        let family = if self.family == Family::Ip { libc::AF_INET } else { libc::AF_INET6 };
        let [first, last] = [at(word), at(word + self.words())].map(|register| register as u32);
        // NFTA_NAT_TYPE: destination; _FAMILY; _REG_ADDR_MIN, _MAX; _REG_PROTO_MIN, _MAX.
        let attributes = [(1, 1), (2, family.unsigned_abs()), (3, first), (4, first), (5, last), (6, last)];
        RawExpr::new("nat", attributes.into_iter().flat_map(|(kind, value)| attribute(kind, value)).collect()).into()
    }
}

/// A netlink attribute with a number in network order.
fn attribute(kind: u16, value: u32) -> Vec<u8> {
    let mut bytes = 8u16.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value.to_be_bytes());
    bytes
}

/// Loads the transport protocol at a word.
pub fn protocol(word: usize) -> Expr {
    Expr::Meta { dreg: at(word), key: MetaKey::L4Proto }
}

/// Loads the destination port at a word.
pub fn port(word: usize) -> Expr {
    Expr::Payload { dreg: at(word), base: PayloadBase::Transport, offset: DESTINATION_PORT, len: 2 }
}

/// Goes on if the destination port is between these, both included.
pub fn port_between(first: u16, last: u16) -> Vec<Expr> {
    let bytes = |port: u16| port.to_be_bytes().to_vec();
    vec![port(0), Expr::Range { sreg: at(0), op: RangeOp::Eq, from: bytes(first), to: bytes(last) }]
}

/// Puts a number (in the machine's order, as marks are) at a word.
pub fn number(word: usize, value: u32) -> Expr {
    Expr::Immediate { dreg: at(word), data: value.to_ne_bytes().to_vec() }
}

/// Draws a number below `count` at a word.
pub fn draw(word: usize, count: u32) -> Expr {
    Expr::Numgen { dreg: at(word), kind: NumgenKind::Random, modulus: count, offset: 0 }
}

/// Goes on if the key at word 0 is in a set.
pub fn is_in(set: &str, word: usize) -> Expr {
    LookupExpr::new(set, at(word)).into()
}

/// Looks the key at a word up in a map, goes on if it is there and puts what it maps to at another word.
pub fn look_up(map: &str, key: usize, value: usize) -> Expr {
    LookupExpr::new(map, at(key)).dreg(at(value)).into()
}

/// Does what a verdict map says of the key at word 0, or goes on.
pub fn decide(map: &str) -> Expr {
    LookupExpr::new(map, at(0)).dreg(Register::Verdict).into()
}

/// Keeps key and value at these words in a map for a time, which starts again.
pub fn remember(map: &str, key: usize, value: usize, timeout: Duration) -> Expr {
    DynsetExpr::new(DynsetOp::Update, map, at(key)).sreg_data(at(value)).timeout(timeout).into()
}

/// Removes the key at a word from a map. The kernel wants to be told where a value would be.
pub fn forget(map: &str, key: usize, value: usize) -> Expr {
    DynsetExpr::new(DynsetOp::Delete, map, at(key)).sreg_data(at(value)).into()
}

/// Goes on if the transport protocol is this.
pub fn is_protocol(number: u8) -> Vec<Expr> {
    vec![protocol(0), Expr::Cmp { sreg: at(0), op: CmpOp::Eq, data: vec![number] }]
}

/// Goes on if the packet leaves by the interface (or by another).
pub fn leaves_by(interface: &str, yes: bool) -> Vec<Expr> {
    interface_is(MetaKey::OifName, interface, yes)
}

fn interface_is(key: MetaKey, interface: &str, yes: bool) -> Vec<Expr> {
    let mut name = interface.as_bytes().to_vec();
    name.resize(libc::IFNAMSIZ, 0);
    vec![
        Expr::Meta { dreg: at(0), key },
        Expr::Cmp { sreg: at(0), op: if yes { CmpOp::Eq } else { CmpOp::Neq }, data: name },
    ]
}

/// Goes on if the destination is an address of this machine.
pub fn is_local() -> Vec<Expr> {
    vec![
        Expr::Fib { dreg: at(0), result: FibResult::AddrType, flags: FibFlags::DADDR },
        Expr::Cmp { sreg: at(0), op: CmpOp::Eq, data: LOCAL_ADDRESS.to_ne_bytes().to_vec() },
    ]
}

/// Goes on if the connection is in one of these states.
pub fn is_state(state: CtState) -> Vec<Expr> {
    has_bits(CtKey::State, state.bits())
}

/// Goes on if the connection was sent elsewhere.
pub fn was_sent_on() -> Vec<Expr> {
    has_bits(CtKey::Status, CtStatus::DST_NAT.bits())
}

fn has_bits(key: CtKey, bits: u32) -> Vec<Expr> {
    let (register, zero) = (at(0), vec![0; 4]);
    vec![
        Expr::Ct { dreg: register, key },
        Expr::Bitwise { sreg: register, dreg: register, len: 4, mask: bits.to_ne_bytes().to_vec(), xor: zero.clone() },
        Expr::Cmp { sreg: register, op: CmpOp::Neq, data: zero },
    ]
}

/// Steps of several parts in order.
pub fn steps(parts: impl IntoIterator<Item = Vec<Expr>>) -> Vec<Expr> {
    parts.into_iter().flatten().collect()
}

/// A connection to the kernel's packet filter that takes big changes.
pub fn connect() -> Result<Connection<Nftables>, Error> {
    let failed = || Error::kernel("cannot talk to the kernel's packet filter");
    let connection = Connection::<Nftables>::new().map_err(failed())?;
    let enlarged = rustix::net::sockopt::set_socket_send_buffer_size_force(connection.socket(), BATCH_BYTES);
    enlarged.map_err(|error| Error::io("cannot prepare for big changes of packet rules")(error.into()))?;
    Ok(connection)
}

/// Adds an empty table in the place of one that may be there.
pub fn replace_table(batch: Transaction, table: &str, family: Family) -> Transaction {
    // Added first, so that deleting it cannot fail: kernels before 6.3 know no "delete it if it is there".
    let mut name = u16::try_from(4 + table.len() + 1).expect("a table's name is short").to_ne_bytes().to_vec();
    name.extend(NFTA_TABLE_NAME.to_ne_bytes());
    name.extend(table.as_bytes());
    name.resize((name.len() + 1).next_multiple_of(4), 0);
    let create = RawMessage::new(NFT_MSG_NEWTABLE, family).flags(NLM_F_CREATE).attrs(name);
    batch.raw(create).del_table(table, family).add_table(table, family)
}

/// Adds a rule that does these steps to the end of a chain.
pub fn add_rule(batch: Transaction, family: Family, table: &str, chain: &str, steps: Vec<Expr>) -> Transaction {
    let rule = Rule::new(table, chain).family(family);
    batch.add_rule(steps.into_iter().fold(rule, Rule::expr))
}

/// Adds elements to a set, in as many messages as they need.
pub fn add_elements(batch: Transaction, set: &Set, elements: &[SetElement]) -> Transaction {
    elements.chunks(ELEMENTS_PER_MESSAGE).fold(batch, |batch, some| batch.add_set_elements(set, some))
}

/// Removes elements from a set, in as many messages as they need.
pub fn remove_elements(batch: Transaction, set: &Set, elements: &[SetElement]) -> Transaction {
    elements.chunks(ELEMENTS_PER_MESSAGE).fold(batch, |batch, some| batch.del_set_elements(set, some))
}

/// How a table's elements and rules are said to the kernel.
pub trait Dialect {
    const TABLE: &'static str;
    /// One of the table's sets.
    type Kind: Copy + Ord;
    type Element;
    type Data;
    type Rule;
    fn set(kind: Self::Kind, layout: Layout) -> Set;
    /// In which set an element is, and as which key.
    fn key(element: &Self::Element) -> (Self::Kind, SetElement);
    /// The key with what it leads to.
    fn with_data(key: SetElement, data: &Self::Data) -> SetElement;
    /// The kernel's rules for one of ours, in the chain `name`.
    fn rules(rule: &Self::Rule, layout: Layout, name: &str) -> Vec<Vec<Expr>>;
}

/// A chain of a table.
pub fn chain(table: &str, name: &str, family: Family) -> Chain {
    Chain::new(table, name).expect("names of chains have 1 to 255 characters and no NUL").family(family)
}

/// Adds a change. Chains are made before anything names them and go after everything that did.
pub fn change<D: Dialect>(
    batch: Transaction,
    change: &Change<D::Element, D::Data, D::Rule>,
    layout: Layout,
) -> Transaction {
    let family = layout.family;
    let removed = by_kind(change.removed.iter().map(D::key));
    let added = by_kind(change.added.iter().map(|(element, data)| {
        let (kind, key) = D::key(element);
        (kind, D::with_data(key, data))
    }));
    let batch = removed.iter().fold(batch, |batch, (kind, keys)| remove_elements(batch, &D::set(*kind, layout), keys));
    let batch = change.made.iter().fold(batch, |batch, name| batch.add_chain(chain(D::TABLE, name, family)));
    let mut batch = added.iter().fold(batch, |batch, (kind, keys)| add_elements(batch, &D::set(*kind, layout), keys));
    let made: BTreeSet<&String> = change.made.iter().collect();
    for (name, rules) in &change.written {
        if !made.contains(name) {
            batch = batch.flush_chain(D::TABLE, name, family);
        }
        let rules = rules.iter().flat_map(|rule| D::rules(rule, layout, name));
        batch = rules.fold(batch, |batch, steps| add_rule(batch, family, D::TABLE, name, steps));
    }
    let batch = change.gone.iter().fold(batch, |batch, name| batch.flush_chain(D::TABLE, name, family));
    change.gone.iter().fold(batch, |batch, name| batch.del_chain(D::TABLE, name, family))
}

fn by_kind<K: Ord>(keys: impl Iterator<Item = (K, SetElement)>) -> BTreeMap<K, Vec<SetElement>> {
    let mut all: BTreeMap<K, Vec<SetElement>> = BTreeMap::new();
    for (kind, key) in keys {
        all.entry(kind).or_default().push(key);
    }
    all
}

/// An address as a part of a key.
pub fn address_key(address: IpAddr) -> SetElement {
    SetElement::new(octets(address))
}
