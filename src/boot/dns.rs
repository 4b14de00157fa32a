//! `coracle dns`: cluster DNS as a process of its own, in a pod of `kube-system`.

use crate::client;
use crate::net::dns::{self, Options};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use tokio::signal::unix::{SignalKind, signal};

/// The port of DNS.
const PORT: u16 = 53;

/// Serves until SIGTERM.
pub fn main(domain: String, machine: IpAddr) -> io::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("CORACLE_LOG").unwrap_or_else(|_| "warn".into()))
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let client =
            client::config::in_cluster().map_err(|error| io::Error::other(crate::base::causes::chain(&error)))?;
        let options = Options { domain, machine, address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: PORT };
        tokio::spawn(crate::base::memory::settle());
        tokio::select! {
            ended = dns::run(client, options, super::resolvers::of_pod()) => ended,
            _ = terminate.recv() => Ok(()),
        }
    })
}
