//! The link between host and node: a veth, routes to the cluster's networks, masquerading of what leaves the machine, and a rule
//! that lets nobody in through the machine.
//!
//! Everything on the host carries the machine's mark: the link `cor-MARK` (its routes go with it) and the nftables table
//! `coracle-MARK`.

use super::super::{Error, Machine};
use crate::config::{Network, Profile};
use nlink::netlink::link::VethLink;
use nlink::netlink::nftables::types::{BaseChain, Chain, CtState, Family, FilterHook, NatHook, Priority, Rule};
use nlink::netlink::route::Ipv4Route;
use nlink::netlink::{Connection, Nftables, Route, addr::Ipv4Address};
use std::net::{IpAddr, Ipv4Addr};

/// The node's end of the link.
pub const NODE_LINK: &str = "eth0";

/// Makes the link, one end in the network namespace of process `pid`, and the routes over it.
pub async fn create(machine: &Machine, pid: u32) -> Result<(), Error> {
    remove(machine).await?;
    let host = machine.profile.network.host_address;
    if super::super::is_own_address(host) {
        return Err(Error::Taken { what: "network with the address", name: host.to_string() });
    }
    link_and_routes(machine, pid).await.map_err(network("cannot join the node to this machine's network"))?;
    packet_rules(machine).await.map_err(network("cannot set the rules for the node's packets"))?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").map_err(Error::io("cannot switch on forwarding"))
}

/// Takes away what [`create`] made. No error if it is gone.
pub async fn remove(machine: &Machine) -> Result<(), Error> {
    let routes = Connection::<Route>::new().map_err(network("cannot talk to the kernel's network"))?;
    routes.del_link_if_exists(host_link(&machine.mark())).await.map_err(network("cannot remove the node's link"))?;
    let rules = Connection::<Nftables>::new().map_err(network("cannot talk to the kernel's packet filter"))?;
    let removed = rules.del_table_if_exists(rules_table(machine), Family::Ip).await;
    removed.map(drop).map_err(network("cannot remove the node's packet rules"))
}

/// Gives the node's end its address and default route. Called in the node's network namespace.
pub async fn configure_node(network: &Network) -> Result<(), Error> {
    let (address, gateway) = (v4(network.node_address), v4(network.host_address));
    let inside = async {
        let connection = Connection::<Route>::new()?;
        connection.set_link_up("lo").await?;
        connection.add_address(Ipv4Address::new(NODE_LINK, address, network.prefix)).await?;
        connection.set_link_up(NODE_LINK).await?;
        connection.add_route(Ipv4Route::new(Ipv4Addr::UNSPECIFIED, 0).gateway(gateway)).await
    };
    inside.await.map_err(self::network("cannot set the node's address"))
}

async fn link_and_routes(machine: &Machine, pid: u32) -> nlink::Result<()> {
    let host = host_link(&machine.mark());
    let network = &machine.profile.network;
    let connection = Connection::<Route>::new()?;
    connection.add_link(VethLink::new(host.as_str(), NODE_LINK).peer_netns_pid(pid)).await?;
    connection.add_address(Ipv4Address::new(host.as_str(), v4(network.host_address), network.prefix)).await?;
    connection.set_link_up(host.as_str()).await?;
    for route in routes_over(network) {
        connection.add_route(route.dev(host.as_str())).await?;
    }
    Ok(())
}

/// Leads this machine's traffic for pods, services and load balancers to the node, over whatever link leads to the node.
pub async fn add_routes(profile: &Profile) -> Result<(), Error> {
    let add = async {
        let connection = Connection::<Route>::new()?;
        for route in routes_over(&profile.network) {
            connection.replace_route(route).await?;
        }
        Ok::<_, nlink::Error>(())
    };
    add.await.map_err(network("cannot add the routes to the cluster's addresses"))
}

/// Takes away what [`add_routes`] made. No error if it is gone.
pub async fn remove_routes(profile: &Profile) -> Result<(), Error> {
    let remove = async {
        let connection = Connection::<Route>::new()?;
        for route in routes_over(&profile.network) {
            connection.del_route_if_exists(route).await?;
        }
        Ok::<_, nlink::Error>(())
    };
    remove.await.map_err(network("cannot remove the routes to the cluster's addresses"))
}

/// Whether all routes are there, and lead to the node.
pub fn has_routes(profile: &Profile) -> bool {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let network = &profile.network;
    cidrs(network).into_iter().all(|cidr| is_routed(&table, cidr, v4(network.node_address)))
}

/// Whether a line of `/proc/net/route` (addresses in hexadecimal, as they lie in memory) leads a network over a gateway.
fn is_routed(table: &str, cidr: &str, gateway: Ipv4Addr) -> bool {
    let number = |address: Ipv4Addr| format!("{:08X}", u32::from_ne_bytes(address.octets()));
    let (base, prefix) = split(cidr);
    let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0));
    let wanted = [number(base), number(gateway), number(mask)];
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.len() > 7 && [fields[1], fields[2], fields[7]] == wanted
    })
}

/// The networks that are behind a node.
fn cidrs(network: &Network) -> [&str; 3] {
    [&network.pod_cidr, &network.service_cidr, &network.load_balancer_cidr]
}

fn routes_over(network: &Network) -> impl Iterator<Item = Ipv4Route> + use<> {
    let gateway = v4(network.node_address);
    cidrs(network).map(split).into_iter().map(move |(base, prefix)| Ipv4Route::new(base, prefix).gateway(gateway))
}

async fn packet_rules(machine: &Machine) -> nlink::Result<()> {
    let connection = Connection::<Nftables>::new()?;
    let table = rules_table(machine);
    connection.add_table(table.as_str(), Family::Ip).await?;
    let chain = Chain::new(table.as_str(), "postrouting")?
        .family(Family::Ip)
        .base(BaseChain::nat(NatHook::Postrouting, Priority::SrcNat));
    connection.add_chain(chain).await?;
    let rule = Rule::new(&table, "postrouting")
        .family(Family::Ip)
        .match_saddr_v4(v4(machine.profile.network.node_address), 32)
        .match_oif_not(&host_link(&machine.mark()))
        .masquerade();
    connection.add_rule(rule).await?;
    // Forwarding lets the node's traffic out; it is not to let others of this machine's networks in.
    let chain = Chain::new(table.as_str(), "forward")?
        .family(Family::Ip)
        .base(BaseChain::filter(FilterHook::Forward, Priority::Filter));
    connection.add_chain(chain).await?;
    let link = host_link(&machine.mark());
    let rule = Rule::new(&table, "forward")
        .family(Family::Ip)
        .match_oif(&link)
        .match_iif_not(&link)
        .match_ct_state(CtState::NEW)
        .drop();
    connection.add_rule(rule).await
}

/// The host's end of the link of the machine with this mark: at most 15 characters, so long names are cut.
pub fn host_link(mark: &str) -> String {
    let (name, tail) = mark.split_at(mark.len().saturating_sub(MARK_TAIL));
    format!("cor-{}{tail}", &name[..name.len().min(15 - 4 - MARK_TAIL)])
}

/// The dash and the characters that end a mark.
const MARK_TAIL: usize = 5;

fn rules_table(machine: &Machine) -> String {
    format!("coracle-{}", machine.mark())
}

fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

fn split(cidr: &str) -> (Ipv4Addr, u8) {
    let (base, prefix) = cidr.split_once('/').unwrap_or((cidr, "32"));
    (base.parse().unwrap_or(Ipv4Addr::UNSPECIFIED), prefix.parse().unwrap_or(32))
}

fn network<E: std::error::Error + Send + Sync + 'static>(what: &str) -> impl FnOnce(E) -> Error + use<E> {
    let what = what.to_string();
    move |source| Error::Network { what, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn a_route_counts_only_over_the_nodes_address() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     cor-x\t0000F40A\t0231A8C0\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let node = Ipv4Addr::new(192, 168, 49, 2);
        assert!(is_routed(table, "10.244.0.0/16", node));
        assert!(!is_routed(table, "10.244.0.0/16", Ipv4Addr::new(192, 168, 50, 2)));
        assert!(!is_routed(table, "10.96.0.0/16", node));
    }

    #[test]
    fn link_names_fit_the_kernel_and_differ() {
        let link = |name: &str, home: &str| host_link(&super::super::super::mark(name, &Path::new(home).join(name)));
        assert!(link("two", "/a").starts_with("cor-two-"));
        let links = [link("coracle", "/a"), link("coracle", "/b"), link("coracle-1", "/a"), link("coracle-2", "/a")];
        assert!(links.iter().all(|link| link.len() == 15), "{links:?}");
        assert_eq!(BTreeSet::from(links).len(), 4);
    }
}
