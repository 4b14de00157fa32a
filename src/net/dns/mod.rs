//! Cluster DNS: the pod that `coracle dns` is. Answers the cluster's names from what it watches and forwards all others.
//!
//! ```text
//! API ─▶ feed ─▶ zone ─┐
//! client ─▶ handler ───┼─▶ answer
//!            └▶ forwarder ─▶ resolvers of the machine, as they are now
//! ```

mod feed;
mod forward;
mod handler;
mod health;
mod zone;

use crate::client::Client;
use forward::Forwarder;
use handler::Handler;
use hickory_server::Server;
use parking_lot::RwLock;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use zone::Zone;

/// A TCP connection without a question for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Bytes of answers that wait in one TCP connection.
const TCP_BUFFER: usize = 32;

/// What the server is told on its command line.
pub struct Options {
    /// The cluster's domain, `cluster.local`.
    pub domain: String,
    /// The address of the machine, for `host.coracle.internal`.
    pub machine: IpAddr,
    /// Where to listen.
    pub address: IpAddr,
    pub port: u16,
}

/// Serves until the future is dropped; ends with an error only. `resolvers` is the text of a `resolv.conf`.
pub async fn run(client: Client, options: Options, resolvers: watch::Receiver<String>) -> io::Result<()> {
    let zone = Zone::new(&options.domain, options.machine).map_err(io::Error::other)?;
    let zone = Arc::new(RwLock::new(zone));
    let counters = Arc::new(health::Counters::default());
    let (ready, is_ready) = watch::channel(false);
    let forwarder = Arc::new(Forwarder::new(&resolvers.borrow()).map_err(io::Error::other)?);
    let mut server =
        Server::new(Handler { zone: zone.clone(), forwarder: forwarder.clone(), counters: counters.clone() });
    let address = SocketAddr::new(options.address, options.port);
    server.register_socket(UdpSocket::bind(address).await?);
    server.register_listener(TcpListener::bind(address).await?, IDLE, TCP_BUFFER);
    tokio::select! {
        ended = server.block_until_done() => ended.map_err(io::Error::other),
        ended = health::serve(options.address, is_ready, counters) => ended,
        () = forwarder.follow(resolvers) => Ok(()),
        () = feed::follow(client, zone, ready) => Ok(()),
    }
}
