//! What pods may say of themselves on the bridge: their own hardware address and their own IP address, and nothing else. Who
//! could say otherwise would be sent what is for others, and pass for whom policies let in.
//!
//! ```text
//! frame of a pod ─▶ prerouting (bridge) ─▶ @guarded: interface ─▶ own ─▶ @lawful: interface . hardware . IP ─▶ on
//!                                                                                             └ else ─▶ dropped
//! ```
//!
//! Two look-ups decide however many pods there are. The addresses of pods are made from their leases, so that where each is
//! need not be learnt from what pods send: the bridge and the node's neighbours are told.

use super::{Error, nft};
use crate::base::causes::chain;
use nlink::netlink::nftables::{
    BaseChain, CmpOp, Expr, Family, FilterHook, MetaKey, PayloadBase, Priority, Register, Set, SetElement, SetKeyType,
    Transaction, Verdict,
};
use nlink::netlink::{Connection, Nftables};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use tokio::sync::Mutex;

const TABLE: &str = "coracle-links";
const FAMILY: Family = Family::Bridge;
const OWN: &str = "own";
/// Before whatever others do with frames.
const FIRST: Priority = Priority::Custom(-300);
/// `ETH_P_IP` and `ETH_P_ARP`.
const IP: u16 = 0x0800;
const ARP: u16 = 0x0806;

/// A hardware address.
pub type Hardware = [u8; 6];

/// The pod's end of a link has this address: locally administered, and told apart by the lease.
pub fn of_pod(address: Ipv4Addr) -> Hardware {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// The node's end has this, which shows that the link is one whose other end is known.
pub fn of_node(address: Ipv4Addr) -> Hardware {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x59, a, b, c, d]
}

/// The guard of one bridge.
pub struct Guard {
    /// None where the kernel has no packet filter for bridges.
    connection: Option<Connection<Nftables>>,
    /// The interface of each pod that is guarded, by its address. Held while the kernel is told.
    known: Mutex<BTreeMap<Ipv4Addr, u32>>,
}

impl Guard {
    /// A guard of the pods that are there already, in the place of one that a server before this one left.
    pub async fn new(known: BTreeMap<Ipv4Addr, u32>) -> Self {
        // A node without this works; the bridge and the neighbours know all the same where pods are.
        let connection = match Self::begin(&known).await {
            Ok(connection) => Some(connection),
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "the kernel filters no bridges: a pod with NET_RAW may send as another pod");
                None
            }
        };
        Self { connection, known: Mutex::new(known) }
    }

    async fn begin(known: &BTreeMap<Ipv4Addr, u32>) -> Result<Connection<Nftables>, Error> {
        let connection = nft::connect()?;
        let batch = skeleton(connection.transaction());
        let batch = known.iter().fold(batch, |batch, (address, interface)| admit(batch, *interface, *address));
        batch.commit(&connection).await.map_err(Error::kernel("cannot guard the pods' bridge"))?;
        Ok(connection)
    }

    /// From now on the pod behind an interface sends as itself or not at all.
    pub async fn add(&self, interface: u32, address: Ipv4Addr) -> Result<(), Error> {
        let mut known = self.known.lock().await;
        if let Some(connection) = &self.connection {
            // What an earlier pod with the address left, if anything.
            let batch = connection.transaction();
            let batch = known.get(&address).into_iter().fold(batch, |batch, old| dismiss(batch, *old, address));
            let batch = admit(batch, interface, address);
            batch.commit(connection).await.map_err(Error::kernel("cannot guard the pod's link"))?;
        }
        known.insert(address, interface);
        Ok(())
    }

    /// Who is guarded.
    #[cfg(test)]
    pub async fn known(&self) -> BTreeMap<Ipv4Addr, u32> {
        self.known.lock().await.clone()
    }

    /// Forgets a pod. No error if it was not known.
    pub async fn remove(&self, address: Ipv4Addr) -> Result<(), Error> {
        let mut known = self.known.lock().await;
        let Some(interface) = known.get(&address).copied() else { return Ok(()) };
        if let Some(connection) = &self.connection {
            let batch = dismiss(connection.transaction(), interface, address);
            batch.commit(connection).await.map_err(Error::kernel("cannot forget the pod's link"))?;
        }
        known.remove(&address);
        Ok(())
    }
}

fn guarded() -> Set {
    Set::new(TABLE, "guarded").family(FAMILY).key_type(SetKeyType::IfIndex).vmap()
}

fn lawful() -> Set {
    let parts = vec![SetKeyType::IfIndex, SetKeyType::EtherAddr, SetKeyType::Ipv4Addr];
    Set::new(TABLE, "lawful").family(FAMILY).key_type(SetKeyType::Concat(parts))
}

fn key(interface: u32, address: Ipv4Addr) -> SetElement {
    let parts = [SetElement::ifindex(interface), SetElement::ether(of_pod(address)), SetElement::ipv4(address)];
    SetElement::concat(parts)
}

fn admit(batch: Transaction, interface: u32, address: Ipv4Addr) -> Transaction {
    let batch = nft::add_elements(batch, &lawful(), &[key(interface, address)]);
    nft::add_elements(batch, &guarded(), &[SetElement::ifindex(interface).verdict(nft::goto(OWN))])
}

fn dismiss(batch: Transaction, interface: u32, address: Ipv4Addr) -> Transaction {
    let batch = nft::remove_elements(batch, &guarded(), &[SetElement::ifindex(interface)]);
    nft::remove_elements(batch, &lawful(), &[key(interface, address)])
}

fn skeleton(batch: Transaction) -> Transaction {
    let base = BaseChain::filter(FilterHook::Prerouting, FIRST);
    let batch = nft::replace_table(batch, TABLE, FAMILY).add_set(lawful()).add_chain(nft::chain(TABLE, OWN, FAMILY));
    let batch = batch.add_set(guarded()).add_chain(nft::chain(TABLE, "prerouting", FAMILY).base(base));
    let rules = [
        ("prerouting", vec![interface(), nft::decide("guarded")]),
        (OWN, nft::steps([is(IP), sent_by(PayloadBase::LinkLayer, 6, 12), accept()])),
        // What it says of itself, and by whom that came.
        (
            OWN,
            nft::steps([
                is(ARP),
                sent_by(PayloadBase::LinkLayer, 6, 14),
                sent_by(PayloadBase::Network, 8, 14),
                accept(),
            ]),
        ),
        (OWN, vec![Expr::Verdict(Verdict::Drop)]),
    ];
    rules.into_iter().fold(batch, |batch, (chain, steps)| nft::add_rule(batch, FAMILY, TABLE, chain, steps))
}

fn accept() -> Vec<Expr> {
    vec![Expr::Verdict(Verdict::Accept)]
}

fn at(word: usize) -> Register {
    Register::word(word).expect("a rule here uses less than 16 words")
}

fn interface() -> Expr {
    Expr::Meta { dreg: at(0), key: MetaKey::Iif }
}

/// Goes on if the frame carries this.
fn is(protocol: u16) -> Vec<Expr> {
    let data = protocol.to_be_bytes().to_vec();
    vec![Expr::Meta { dreg: at(0), key: MetaKey::Protocol }, Expr::Cmp { sreg: at(0), op: CmpOp::Eq, data }]
}

/// Goes on if it is the interface's pod that has this hardware address (at an offset of a header) and this IP address (at an
/// offset of the network's header).
fn sent_by(base: PayloadBase, hardware: u32, address: u32) -> Vec<Expr> {
    vec![
        interface(),
        Expr::Payload { dreg: at(1), base, offset: hardware, len: 6 },
        Expr::Payload { dreg: at(3), base: PayloadBase::Network, offset: address, len: 4 },
        nft::is_in("lawful", 0),
    ]
}
