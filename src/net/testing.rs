//! A node, its pods and the machine as network namespaces, for tests that send real traffic. Every test's thread is its node.

use super::{Error, PodLinks, sys};
use crate::config::{NodePaths, Profile, Wanted};
use nlink::netlink::addr::Ipv4Address;
use nlink::netlink::link::VethLink;
use nlink::netlink::route::Ipv4Route;
use nlink::netlink::{Connection, Route};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for an answer that must not come: a packet that is dropped leaves no other trace.
const SILENCE: Duration = Duration::from_millis(300);
/// An address that only the machine has, as a stand-in for the world.
pub const WORLD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// A node with its links, joined to a machine.
pub struct TestNode {
    pub profile: Profile,
    pub machine: File,
    links: PodLinks,
    pods: usize,
    leases: tempfile::TempDir,
}

/// A network with an address in the pod network.
pub struct TestPod {
    pub network: File,
    pub address: IpAddr,
}

impl TestNode {
    /// Makes this thread a node; nothing without the rights.
    pub async fn new() -> Option<Self> {
        let (node, machine) = (sys::test::new_network()?, sys::test::new_network()?);
        move_into_link_name_space(node.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let profile = Wanted::named("coracle").resolve(&[]).unwrap();
        join(&machine).await.unwrap();
        let leases = tempfile::tempdir().unwrap();
        let links = PodLinks::new(&profile, &NodePaths::new(leases.path())).await.unwrap();
        Some(Self { profile, machine, links, pods: 0, leases })
    }

    /// The links as another server after this one finds them, and the address of one of the pods.
    pub async fn again(&self) -> (PodLinks, IpAddr) {
        let links = PodLinks::new(&self.profile, &NodePaths::new(self.leases.path())).await.unwrap();
        (links, IpAddr::V4(Ipv4Addr::new(10, 244, 0, 2)))
    }

    /// Adds a pod.
    pub async fn pod(&mut self) -> TestPod {
        let network = sys::test::new_network().unwrap();
        let path = format!("/proc/self/fd/{}", network.as_raw_fd());
        self.pods += 1;
        let address = self.links.attach(&format!("pod{}", self.pods), path.as_ref()).await.unwrap()[0];
        TestPod { network, address }
    }
}

/// The veth between node (this thread) and machine, with the machine's routes, as the native driver makes them.
async fn join(machine: &File) -> Result<(), Error> {
    let (node_address, machine_address) = (Ipv4Addr::new(192, 168, 49, 2), Ipv4Addr::new(192, 168, 49, 1));
    let failed = || Error::kernel("cannot join");
    let connection = Connection::<Route>::new().map_err(failed())?;
    connection.add_link(VethLink::new("eth0", "cor").peer_netns_fd(machine)).await.map_err(failed())?;
    connection.add_address(Ipv4Address::new("eth0", node_address, 24)).await.map_err(failed())?;
    connection.set_link_up("eth0").await.map_err(failed())?;
    connection.set_link_up("lo").await.map_err(failed())?;
    sys::inside(machine.try_clone().unwrap(), move || async move {
        let connection = Connection::<Route>::new().map_err(failed())?;
        connection.set_link_up("lo").await.map_err(failed())?;
        connection.add_address(Ipv4Address::new("lo", WORLD, 32)).await.map_err(failed())?;
        connection.add_address(Ipv4Address::new("cor", machine_address, 24)).await.map_err(failed())?;
        connection.set_link_up("cor").await.map_err(failed())?;
        for (base, prefix) in [("10.244.0.0", 16), ("10.96.0.0", 16), ("192.168.49.128", 25)] {
            let route = Ipv4Route::new(base.parse::<Ipv4Addr>().unwrap(), prefix).gateway(node_address);
            connection.add_route(route).await.map_err(failed())?;
        }
        Ok(())
    })
    .await?;
    let rest = Ipv4Route::new(Ipv4Addr::UNSPECIFIED, 0).gateway(machine_address);
    connection.add_route(rest).await.map_err(failed())
}

/// Runs `work` on a thread in a network (nothing: the node's).
pub fn within<T: Send + 'static>(
    network: Option<&File>,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let network = network.map(|network| network.try_clone().unwrap());
    std::thread::spawn(move || {
        if let Some(network) = network {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        }
        work()
    })
}

/// Serves `NAME CLIENT` over TCP and UDP on a port until the tests end.
pub fn serve(network: Option<&File>, port: u16, name: &'static str) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    within(network, move || {
        let (tcp, udp) = (TcpListener::bind(("0.0.0.0", port)).unwrap(), UdpSocket::bind(("0.0.0.0", port)).unwrap());
        ready.send(()).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 16];
            while let Ok((_, client)) = udp.recv_from(&mut buffer) {
                udp.send_to(format!("{name} {}", client.ip()).as_bytes(), client).ok();
            }
        });
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let client = stream.peer_addr().unwrap().ip();
            stream.write_all(format!("{name} {client}").as_bytes()).ok();
        }
    });
    is_ready.recv().unwrap();
}

/// What answers over TCP at an address, asked from a network (nothing: the node's).
pub fn ask(network: Option<&File>, address: &str) -> io::Result<String> {
    ask_for(network, address, PATIENCE)
}

/// Whether nothing answers at all at an address.
pub fn is_silent(network: Option<&File>, address: &str) -> bool {
    ask_for(network, address, SILENCE).is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

fn ask_for(network: Option<&File>, address: &str, patience: Duration) -> io::Result<String> {
    let address: SocketAddr = address.parse().unwrap();
    let asked = within(network, move || {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    asked.join().unwrap()
}
