//! `coracle ingress` and `coracle ingress-dns`: the ingress controller and its name server, each as a process of its own in a
//! pod.

use crate::client::{self, Client};
use crate::ingress::{self, Options};
use std::io;
use std::net::IpAddr;
use tokio::signal::unix::{SignalKind, signal};

/// Ports of HTTP, HTTPS, health and metrics, and DNS.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;
const STATUS: u16 = 10254;
const DNS: u16 = 53;

/// Proxies until SIGTERM.
pub fn main(namespace: String, publish: Option<IpAddr>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let options = Options { namespace, publish, http: HTTP, https: HTTPS, status: STATUS };
    until_terminated(&runtime, |client| ingress::run(client, options))
}

/// Answers names until SIGTERM.
pub fn names(address: IpAddr) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    until_terminated(&runtime, |client| ingress::names::run(client, address, DNS))
}

fn until_terminated<F>(runtime: &tokio::runtime::Runtime, run: impl FnOnce(Client) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("CORACLE_LOG").unwrap_or_else(|_| "warn".into()))
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    runtime.block_on(async {
        crate::base::crypto::install();
        let mut terminate = signal(SignalKind::terminate())?;
        let client =
            client::config::in_cluster().map_err(|error| io::Error::other(crate::base::causes::chain(&error)))?;
        tokio::spawn(crate::base::memory::settle());
        tokio::select! {
            ended = run(client) => ended,
            _ = terminate.recv() => Ok(()),
        }
    })
}
