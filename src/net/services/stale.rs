//! Connections without an end (UDP) that still go where their service no longer does: their entries in connection tracking
//! are removed, so that the next packet is sent anew.

use super::super::Error;
use super::wanted::{Front, Protocol, Target};
use nlink::netlink::netfilter::{ConntrackEntry, ConntrackFilter, IpProtocol};
use nlink::netlink::types::AddressFamily;
use nlink::netlink::{Connection, Netfilter};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// For every front that changed, the targets that it may have.
pub type Fronts = BTreeMap<Front, BTreeSet<Target>>;

/// Removes the entries of these fronts that lead elsewhere. `own` are the node's addresses, at which ports without an
/// address are answered.
pub async fn forget(fronts: &Fronts, own: &[IpAddr]) -> Result<(), Error> {
    let fronts: Fronts =
        fronts.iter().filter(|(front, _)| front.protocol == Protocol::Udp).map(|(k, v)| (*k, v.clone())).collect();
    if fronts.is_empty() {
        return Ok(());
    }
    let failed = || Error::kernel("cannot look through tracked connections");
    let connection = Connection::<Netfilter>::new().map_err(failed())?;
    let is_v4 = own.iter().any(IpAddr::is_ipv4);
    let family = if is_v4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let filter = ConntrackFilter::new().family(family).proto(IpProtocol::Udp);
    for entry in connection.get_conntrack_matching(&filter).await.map_err(failed())? {
        if !is_stale(&entry, &fronts, own) {
            continue;
        }
        match connection.del_conntrack_entry(&entry).await {
            Err(error) if !error.is_not_found() => return Err(failed()(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a connection was sent to one of the fronts and goes to none of its targets.
fn is_stale(entry: &ConntrackEntry, fronts: &Fronts, own: &[IpAddr]) -> bool {
    let (Some(address), Some(port)) = (entry.orig.dst_ip, entry.orig.dst_port) else { return false };
    let front = |address| Front { address, protocol: Protocol::Udp, port };
    let at_address = fronts.get(&front(Some(address)));
    let at_node = || own.contains(&address).then(|| fronts.get(&front(None))).flatten();
    let Some(targets) = at_address.or_else(at_node) else { return false };
    let (Some(address), Some(port)) = (entry.reply.src_ip, entry.reply.src_port) else { return false };
    !targets.contains(&Target { address, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlink::netlink::netfilter::ConntrackTuple;

    fn entry(asked: &str, answers: &str) -> ConntrackEntry {
        let tuple = |source: &str, destination: &str| {
            let [source, destination]: [std::net::SocketAddrV4; 2] =
                [source, destination].map(|text| text.parse().unwrap());
            ConntrackTuple::v4(*source.ip(), *destination.ip()).ports(source.port(), destination.port())
        };
        let mut entry = ConntrackEntry::default();
        entry.orig = tuple("10.244.0.9:4000", asked);
        entry.reply = tuple(answers, "10.244.0.9:4000");
        entry
    }

    #[test]
    fn an_entry_is_stale_when_its_answers_come_from_elsewhere() {
        let front = |address: Option<&str>, port| Front {
            address: address.map(|address| address.parse().unwrap()),
            protocol: Protocol::Udp,
            port,
        };
        let live = BTreeSet::from([Target { address: "10.244.0.2".parse().unwrap(), port: 53 }]);
        let fronts = BTreeMap::from([(front(Some("10.96.0.10"), 53), live.clone()), (front(None, 30053), live)]);
        let own = ["192.168.49.2".parse().unwrap()];
        let stale = |asked, answers| is_stale(&entry(asked, answers), &fronts, &own);
        assert!(!stale("10.96.0.10:53", "10.244.0.2:53"));
        assert!(stale("10.96.0.10:53", "10.244.0.3:53"));
        assert!(stale("10.96.0.10:53", "10.96.0.10:53"), "from before there was the service");
        assert!(stale("192.168.49.2:30053", "192.168.49.2:30053"));
        assert!(!stale("8.8.8.8:30053", "8.8.8.8:30053"), "somebody else's port");
        assert!(!stale("10.96.0.11:53", "10.244.0.3:53"));
    }
}
