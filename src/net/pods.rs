//! Links of pods: one bridge in the node's network, one veth per sandbox, an address from the node's range.
//!
//! The bridge `coracle0` is every pod's gateway. A pod has its address for itself (`/32`) and its ports of the bridge are
//! isolated, so that all its traffic passes the node's packet rules: answers from a service's endpoint on the same node find
//! their way back through address translation, and policies hold between any two pods.

use super::leases::{Leases, Network};
use super::{Error, sys};
use crate::config::{NodePaths, Profile};
use nlink::netlink::addr::Ipv4Address;
use nlink::netlink::link::{BridgeLink, BridgePortConfig, VethLink};
use nlink::netlink::route::Ipv4Route;
use nlink::netlink::types::route::RouteScope;
use nlink::netlink::{Connection, Route};
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
    leases: Mutex<Leases>,
}

impl PodLinks {
    /// The links of a node; the bridge is made if it is not there.
    pub async fn new(profile: &Profile, paths: &NodePaths) -> Result<Self, Error> {
        let network = Network::parse(&profile.network.pod_cidr)?;
        let leases = Leases::open(&paths.leases(), network)?;
        let connection = Connection::<Route>::new().map_err(Error::kernel("cannot talk to the kernel's network"))?;
        make_bridge(&connection, &network).await?;
        Ok(Self { network, connection, leases: Mutex::new(leases) })
    }

    /// Takes links and addresses from all sandboxes but these: what a node before this one left.
    pub async fn retain(&self, sandboxes: &[&str]) -> Result<(), Error> {
        let known: Vec<String> = self.leases.lock().await.sandboxes().cloned().collect();
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
            let open = || File::open(namespace).map_err(Error::io(format!("cannot open {}", namespace.display())));
            make_link(&self.connection, &link, &open()?).await.map_err(Error::kernel("cannot make the pod's link"))?;
            let network = self.network;
            sys::inside(open()?, move || configure(address, network)).await?;
        }
        Ok(vec![IpAddr::V4(address)])
    }

    /// Takes the link away and gives the address back. No error if there is none.
    pub async fn detach(&self, sandbox: &str) -> Result<(), Error> {
        let removed = self.connection.del_link_if_exists(link_name(sandbox)).await;
        removed.map_err(Error::kernel("cannot remove the pod's link"))?;
        self.leases.lock().await.release(sandbox);
        Ok(())
    }
}

/// At most 15 characters; ids of sandboxes are random, so their beginning tells them apart.
fn link_name(sandbox: &str) -> String {
    format!("veth{}", sandbox.chars().take(11).collect::<String>())
}

async fn make_bridge(connection: &Connection<Route>, network: &Network) -> Result<(), Error> {
    let failed = || Error::kernel("cannot make the pods' bridge");
    if connection.get_link_by_name(BRIDGE).await.map_err(failed())?.is_none() {
        connection.add_link(BridgeLink::new(BRIDGE)).await.map_err(failed())?;
        let address = Ipv4Address::new(BRIDGE, network.gateway(), network.prefix);
        connection.add_address(address).await.map_err(failed())?;
    }
    connection.set_link_up(BRIDGE).await.map_err(failed())?;
    let there = BRIDGE_SETTINGS.iter().filter(|(path, _)| Path::new("/proc/sys/net").join(path).exists());
    SETTINGS.iter().chain(there).try_for_each(|(path, value)| {
        std::fs::write(Path::new("/proc/sys/net").join(path), value)
            .map_err(Error::io(format!("cannot set net/{path}")))
    })
}

async fn make_link(connection: &Connection<Route>, link: &str, namespace: &File) -> nlink::Result<()> {
    connection.add_link(VethLink::new(link, POD_LINK).peer_netns_fd(namespace)).await?;
    connection.set_link_master(link, BRIDGE).await?;
    connection.set_bridge_port(link, BridgePortConfig::new().isolated(true)).await?;
    connection.set_link_up(link).await
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
    use super::*;
    use crate::config::Wanted;
    use std::os::fd::AsRawFd;
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
            assert_eq!(links.leases.lock().await.sandboxes().count(), 2, "what nobody knows is taken back");
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
}
