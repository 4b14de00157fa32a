//! Links of pods: one bridge in the node's network, one veth per sandbox, an address from the node's range.
//!
//! The bridge `coracle0` is every pod's gateway. A pod has its address for itself (`/32`) and its ports of the bridge are
//! isolated, so that all its traffic passes the node's packet rules: answers from a service's endpoint on the same node find
//! their way back through address translation, and policies hold between any two pods. Nothing is learnt from what a pod
//! sends: where its addresses are is told to the bridge and the node, and what it sends under others is dropped.

use super::guard::{self, Guard};
use super::leases::{Leases, Network};
use super::{Error, sys};
use crate::config::{NodePaths, Profile};
use nlink::netlink::addr::Ipv4Address;
use nlink::netlink::fdb::FdbEntryBuilder;
use nlink::netlink::link::{BridgeLink, BridgePortConfig, VethLink};
use nlink::netlink::neigh::Neighbor;
use nlink::netlink::route::Ipv4Route;
use nlink::netlink::types::route::RouteScope;
use nlink::netlink::{Connection, Route};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use tokio::sync::Mutex;

/// The bridge's name.
pub const BRIDGE: &str = "coracle0";
/// The pod's end of its link.
const POD_LINK: &str = "eth0";

/// Settings of the node's network, below `/proc/sys/net`.
const SETTINGS: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    // Pods reach each other through the node on purpose; it must not tell them of a shorter way.
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/coracle0/send_redirects", "0"),
];
/// The same, where the kernel has them: packets that are only bridged must not pass rules that are for routed ones.
const BRIDGE_SETTINGS: &[(&str, &str)] = &[
    ("bridge/bridge-nf-call-iptables", "0"),
    ("bridge/bridge-nf-call-ip6tables", "0"),
    ("bridge/bridge-nf-call-arptables", "0"),
];

/// Settings of a pod's network: what is privileged on a machine that people share is not in a network of a pod's own. The
/// same as container runtimes set.
const POD_SETTINGS: &[(&str, &str)] =
    &[("ipv4/ip_unprivileged_port_start", "0"), ("ipv4/ping_group_range", "0 2147483647")];

/// Attaches sandboxes to the pod network.
pub struct PodLinks {
    network: Network,
    connection: Connection<Route>,
    /// The bridge's number.
    bridge: u32,
    leases: Mutex<Leases>,
    guard: Guard,
}

impl PodLinks {
    /// The links of a node; the bridge is made if it is not there.
    pub async fn new(profile: &Profile, paths: &NodePaths) -> Result<Self, Error> {
        let network = Network::parse(&profile.network.pod_cidr)?;
        let leases = Leases::open(&paths.leases(), network)?;
        let connection = Connection::<Route>::new().map_err(Error::kernel("cannot talk to the kernel's network"))?;
        let bridge = make_bridge(&connection, &network).await?;
        let guard = Guard::new(known(&connection, &leases).await?).await;
        Ok(Self { network, connection, bridge, leases: Mutex::new(leases), guard })
    }

    /// Takes links and addresses from all sandboxes but these: what a node before this one left.
    pub async fn retain(&self, sandboxes: &[&str]) -> Result<(), Error> {
        let known: Vec<String> = self.leases.lock().await.all().map(|(sandbox, _)| sandbox.clone()).collect();
        for sandbox in known.iter().filter(|sandbox| !sandboxes.contains(&sandbox.as_str())) {
            self.detach(sandbox).await?;
        }
        Ok(())
    }

    /// Gives a sandbox, whose network namespace is pinned at `namespace`, a link and an address. Asked again it answers the same.
    pub async fn attach(&self, sandbox: &str, namespace: &Path) -> Result<Vec<IpAddr>, Error> {
        let address = self.leases.lock().await.take(sandbox)?;
        let link = link_name(sandbox);
        let existing = self.connection.get_link_by_name(link.as_str()).await;
        if existing.map_err(Error::kernel("cannot look for the pod's link"))?.is_none() {
            let made = self.join(&link, namespace, address).await;
            if made.is_err() {
                // Half a link would pass for a whole one the next time.
                self.connection.del_link_if_exists(link.as_str()).await.ok();
            }
            made?;
        }
        Ok(vec![IpAddr::V4(address)])
    }

    /// Makes a link and sets both ends up.
    async fn join(&self, link: &str, namespace: &Path, address: Ipv4Addr) -> Result<(), Error> {
        let open = || File::open(namespace).map_err(Error::io(format!("cannot open {}", namespace.display())));
        let failed = || Error::kernel("cannot make the pod's link");
        let interface = make_link(&self.connection, link, &open()?, address).await.map_err(failed())?;
        let network = self.network;
        let ours = async {
            // Nothing comes in before it is up.
            self.guard.add(interface, address).await?;
            self.tell(interface, address).await.map_err(failed())?;
            self.connection.set_link_up(link).await.map_err(failed())
        };
        tokio::try_join!(ours, sys::inside(open()?, move || configure(address, network))).map(drop)
    }

    /// Tells the bridge and the node where a pod's addresses are.
    async fn tell(&self, interface: u32, address: Ipv4Addr) -> nlink::Result<()> {
        let hardware = guard::of_pod(address);
        self.connection.replace_fdb(FdbEntryBuilder::new(hardware).ifindex(interface).static_()).await?;
        let neighbor = Neighbor::with_index_v4(self.bridge, address).lladdr(hardware).permanent();
        self.connection.replace_neighbor(neighbor).await
    }

    /// Takes the link away and gives the address back. No error if there is none.
    pub async fn detach(&self, sandbox: &str) -> Result<(), Error> {
        let removed = self.connection.del_link_if_exists(link_name(sandbox)).await;
        removed.map_err(Error::kernel("cannot remove the pod's link"))?;
        let mut leases = self.leases.lock().await;
        if let Some(address) = leases.of(sandbox) {
            let neighbor = Neighbor::with_index_v4(self.bridge, address);
            let removed = self.connection.del_neighbor_if_exists(neighbor).await;
            removed.map_err(Error::kernel("cannot forget where the pod was"))?;
            self.guard.remove(address).await?;
        }
        leases.release(sandbox);
        Ok(())
    }
}

/// At most 15 characters; ids of sandboxes are random, so their beginning tells them apart.
fn link_name(sandbox: &str) -> String {
    format!("veth{}", sandbox.chars().take(11).collect::<String>())
}

/// The interfaces of links that are there, by the pod's address; only of those whose other end has the address that it should.
async fn known(connection: &Connection<Route>, leases: &Leases) -> Result<BTreeMap<Ipv4Addr, u32>, Error> {
    let links = connection.get_links().await.map_err(Error::kernel("cannot look for the pods' links"))?;
    let links: BTreeMap<&str, _> = links.iter().filter_map(|link| Some((link.name()?, link))).collect();
    let known = leases.all().filter_map(|(sandbox, address)| {
        let link = links.get(link_name(sandbox).as_str())?;
        let is_ours = link.address() == Some(guard::of_node(address).as_slice());
        is_ours.then(|| (address, link.ifindex()))
    });
    Ok(known.collect())
}

/// Makes the bridge if it is not there, and answers its number.
async fn make_bridge(connection: &Connection<Route>, network: &Network) -> Result<u32, Error> {
    let failed = || Error::kernel("cannot make the pods' bridge");
    if connection.get_link_by_name(BRIDGE).await.map_err(failed())?.is_none() {
        // Without an address of its own it has that of one of its ports, and another when that port goes.
        let bridge = BridgeLink::new(BRIDGE).address(guard::of_node(network.gateway()));
        connection.add_link(bridge).await.map_err(failed())?;
        let address = Ipv4Address::new(BRIDGE, network.gateway(), network.prefix);
        connection.add_address(address).await.map_err(failed())?;
    }
    connection.set_link_up(BRIDGE).await.map_err(failed())?;
    let there = BRIDGE_SETTINGS.iter().filter(|(path, _)| Path::new("/proc/sys/net").join(path).exists());
    SETTINGS.iter().chain(there).try_for_each(|(path, value)| {
        std::fs::write(Path::new("/proc/sys/net").join(path), value)
            .map_err(Error::io(format!("cannot set net/{path}")))
    })?;
    number(connection, BRIDGE).await.map_err(failed())
}

async fn number(connection: &Connection<Route>, link: &str) -> nlink::Result<u32> {
    let found = connection.get_link_by_name(link).await?;
    found.map(|link| link.ifindex()).ok_or_else(|| nlink::Error::interface_not_found(link))
}

/// Makes a link that is a port of the bridge and not up yet; answers the number of the node's end.
async fn make_link(
    connection: &Connection<Route>,
    link: &str,
    namespace: &File,
    address: Ipv4Addr,
) -> nlink::Result<u32> {
    let ends = VethLink::new(link, POD_LINK).address(guard::of_node(address)).peer_address(guard::of_pod(address));
    connection.add_link(ends.peer_netns_fd(namespace)).await?;
    connection.set_link_master(link, BRIDGE).await?;
    let port = BridgePortConfig::new().isolated(true).learning(false).unicast_flood(false);
    connection.set_bridge_port(link, port).await?;
    number(connection, link).await
}

/// Runs in the pod's network.
async fn configure(address: Ipv4Addr, network: Network) -> Result<(), Error> {
    let failed = || Error::kernel("cannot set the pod's address");
    let connection = Connection::<Route>::new().map_err(failed())?;
    connection.set_link_up("lo").await.map_err(failed())?;
    connection.add_address(Ipv4Address::new(POD_LINK, address, 32)).await.map_err(failed())?;
    connection.set_link_up(POD_LINK).await.map_err(failed())?;
    let gateway = Ipv4Route::new(network.gateway(), 32).dev(POD_LINK).scope(RouteScope::Link);
    connection.add_route(gateway).await.map_err(failed())?;
    let rest = Ipv4Route::new(Ipv4Addr::UNSPECIFIED, 0).gateway(network.gateway());
    connection.add_route(rest).await.map_err(failed())?;
    for (path, value) in POD_SETTINGS {
        // A convenience: where the machine does not let these be set, pods ask for the right to bind instead.
        std::fs::write(Path::new("/proc/sys/net").join(path), value).ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestNode, TestPod, within};
    use super::*;
    use crate::config::Wanted;
    use std::os::fd::AsRawFd;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    fn path(file: &File) -> std::path::PathBuf {
        format!("/proc/self/fd/{}", file.as_raw_fd()).into()
    }

    #[tokio::test]
    async fn pods_reach_each_other_and_keep_their_addresses() {
        let (Some(node), Some(one), Some(two)) =
            (sys::test::new_network(), sys::test::new_network(), sys::test::new_network())
        else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let paths = NodePaths::new(folder.path());
        let (first, second) = (path(&one), path(&two));
        // A network lives as long as somebody holds it.
        let addresses = sys::inside(node.try_clone().unwrap(), move || async move {
            let profile = Wanted::named("coracle").resolve(&[]).unwrap();
            let links = PodLinks::new(&profile, &paths).await?;
            let a = links.attach("aaaaaaaaaaaaaaaa", &first).await?;
            let b = links.attach("bbbbbbbbbbbbbbbb", &second).await?;
            assert_eq!(links.attach("aaaaaaaaaaaaaaaa", &first).await?, a);
            links.attach("cccccccccccccccc", &first).await.unwrap_err();
            links.retain(&["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"]).await?;
            assert_eq!(links.leases.lock().await.all().count(), 2, "what nobody knows is taken back");
            Ok((a[0], b[0]))
        });
        let (a, b) = addresses.await.unwrap();
        assert_ne!(a, b);
        let (ready, listening) = tokio::sync::oneshot::channel();
        let serve = sys::inside(two, move || async move {
            let listener = TcpListener::bind((b, 8080)).await.unwrap();
            ready.send(()).unwrap();
            let (mut stream, peer) = listener.accept().await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            Ok(peer.ip())
        });
        let ask = async {
            listening.await.unwrap();
            sys::inside(one, move || async move {
                let mut answer = String::new();
                TcpStream::connect((b, 8080)).await.unwrap().read_to_string(&mut answer).await.unwrap();
                Ok(answer)
            })
            .await
        };
        let (peer, answer) = tokio::join!(serve, ask);
        assert_eq!((peer.unwrap(), answer.unwrap().as_str()), (a, "hello"));
    }

    /// How long an answer that must not come is waited for, and one that must.
    const MOMENT: Duration = Duration::from_millis(300);
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Sends a datagram from an address to port 8080 of another, and tells what comes back in time.
    fn datagram(from: Ipv4Addr, to: IpAddr, wait: Duration) -> std::io::Result<String> {
        let socket = std::net::UdpSocket::bind((from, 0))?;
        socket.set_read_timeout(Some(wait))?;
        socket.send_to(b"?", (to, 8080))?;
        let mut buffer = [0; 64];
        let (length, _) = socket.recv_from(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into())
    }

    /// What reaches a pod's port 8080: the senders' addresses, as they come.
    fn senders(pod: &TestPod) -> std::sync::mpsc::Receiver<IpAddr> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        within(Some(&pod.network), move || {
            let socket = std::net::UdpSocket::bind(("0.0.0.0", 8080)).unwrap();
            ready.send(()).unwrap();
            let mut buffer = [0; 16];
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                // Told before it is answered: whoever has the answer finds the sender in the channel.
                if sender.send(from.ip()).is_err() {
                    return;
                }
                socket.send_to(b"heard", from).ok();
            }
        });
        is_ready.recv().unwrap();
        receiver
    }

    #[tokio::test]
    async fn a_pod_sends_as_itself_or_not_at_all() {
        let Some(mut node) = TestNode::new().await else { return };
        let (server, friend, rogue) = (node.pod().await, node.pod().await, node.pod().await);
        let heard = senders(&server);
        let (IpAddr::V4(own), IpAddr::V4(theirs)) = (rogue.address, friend.address) else { panic!("IPv4") };
        let to = server.address;
        let ask = |from, wait| within(Some(&rogue.network), move || datagram(from, to, wait)).join().unwrap();
        assert_eq!(ask(own, PATIENCE).unwrap(), "heard");
        assert_eq!(heard.recv().unwrap(), rogue.address);
        // With the friend's IP address beside its own.
        sys::inside(rogue.network.try_clone().unwrap(), move || async move {
            let connection = Connection::<Route>::new().unwrap();
            connection.add_address(Ipv4Address::new(POD_LINK, theirs, 32)).await.unwrap();
            Ok(())
        })
        .await
        .unwrap();
        assert!(ask(theirs, MOMENT).is_err());
        assert_eq!(ask(own, PATIENCE).unwrap(), "heard");
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [rogue.address], "nothing came under the friend's address");
        // With the friend's hardware address in place of its own.
        let wear = async |hardware: guard::Hardware| {
            sys::inside(rogue.network.try_clone().unwrap(), move || async move {
                let connection = Connection::<Route>::new().unwrap();
                connection.set_link_address(POD_LINK, hardware).await.unwrap();
                Ok(())
            })
            .await
            .unwrap();
        };
        wear(guard::of_pod(theirs)).await;
        assert!(ask(own, MOMENT).is_err());
        let asked = within(Some(&friend.network), move || datagram(theirs, to, PATIENCE)).join().unwrap();
        assert_eq!(asked.unwrap(), "heard", "the friend's answers still come to the friend");
        wear(guard::of_pod(own)).await;
        assert_eq!(ask(own, PATIENCE).unwrap(), "heard");
    }

    #[tokio::test]
    async fn pods_of_a_server_before_are_guarded_and_those_that_go_are_forgotten() {
        let Some(mut node) = TestNode::new().await else { return };
        let (server, rogue) = (node.pod().await, node.pod().await);
        let heard = senders(&server);
        let (links, address) = node.again().await;
        let IpAddr::V4(own) = rogue.address else { panic!("IPv4") };
        assert_eq!(links.guard.known().await.len(), 2);
        let to = server.address;
        assert_eq!(within(Some(&rogue.network), move || datagram(own, to, PATIENCE)).join().unwrap().unwrap(), "heard");
        assert_eq!(heard.recv().unwrap(), rogue.address);
        links.retain(&[]).await.unwrap();
        assert_eq!(links.guard.known().await.len(), 0);
        let neighbors = links.connection.get_neighbors().await.unwrap();
        assert!(!neighbors.iter().any(|one| one.destination() == Some(&address)), "{neighbors:?}");
    }
}
