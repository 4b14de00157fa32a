//! The ingress controller: the pod that `coracle ingress` is. What Ingresses say becomes one routing table; requests are
//! proxied by it, straight to the addresses of pods.
//!
//! ```text
//! API ─▶ feed ─▶ assemble ─▶ table (swapped whole) ─┐
//!          └─▶ report: events and status            │
//! client ─▶ listen ─▶ proxy ────────────────────────┴─▶ upstream ─▶ pod
//! ```
//!
//! The specification is ingress-nginx: its annotations, its ConfigMap, its headers and its answers.

mod access;
mod annotations;
mod answers;
mod assemble;
mod bodies;
mod conditions;
mod config;
mod endpoints;
mod feed;
mod forward;
mod headers;
mod htpasswd;
mod limits;
mod listen;
mod metrics;
pub mod names;
mod outside;
mod paths;
mod proxy;
mod report;
mod settings;
mod streams;
mod table;
mod tls;
mod upgrade;
mod upstream;
mod variables;
mod world;

use crate::client::Client;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// The controller that an IngressClass names to be served here.
pub const CONTROLLER: &str = "k8s.io/ingress-nginx";
/// The class that Ingresses name by the older annotation.
pub const CLASS: &str = "nginx";

/// What the process is told on its command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the pod is: its ConfigMaps are there.
    pub namespace: String,
    /// The address that Ingresses are told to be reachable at.
    pub publish: Option<IpAddr>,
    /// Ports of HTTP, HTTPS, and of health and metrics.
    pub http: u16,
    pub https: u16,
    pub status: u16,
}

/// Serves until the future is dropped; ends with an error only.
pub async fn run(client: Client, options: Options) -> io::Result<()> {
    let fallback = tls::fallback_certificate().map_err(io::Error::other)?;
    let shared = Arc::new(proxy::Proxy::new(fallback));
    let (ready, is_ready) = watch::channel(false);
    tokio::select! {
        ended = listen::http(&options, shared.clone()) => ended,
        ended = listen::https(&options, shared.clone()) => ended,
        ended = metrics::serve(options.status, is_ready, shared.clone()) => ended,
        () = feed::follow(client, &options, shared, ready) => Ok(()),
    }
}
