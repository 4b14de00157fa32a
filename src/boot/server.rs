//! `coracle server`: control plane and node agent in one process. The components, in the order in which they start.

use crate::addons;
use crate::base::causes::chain;
use crate::base::{Shutdown, crypto, handed};
use crate::charts;
use crate::config::{NodePaths, Profile};
use crate::control::scheduler;
use crate::control::server::{Identity, Server, ServerConfig};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use tokio::signal::unix::{SignalKind, signal};

/// What is logged if `CORACLE_LOG` says nothing: nlink warns of every link that is looked for and not there.
const LOG: &str = "info,nlink=error";

/// Runs until SIGTERM.
pub fn main() -> io::Result<()> {
    crypto::install();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("CORACLE_LOG").unwrap_or_else(|_| LOG.into()))
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    let paths = NodePaths::default();
    let profile: Profile = serde_json::from_slice(&std::fs::read(paths.profile())?)?;
    let (listener, agent) = (listener(&profile)?, handed::inherited()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(profile, paths, listener, agent))
}

async fn run(profile: Profile, paths: NodePaths, listener: TcpListener, agent: Option<TcpListener>) -> io::Result<()> {
    let (trigger, shutdown) = Shutdown::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let server = Server::start(ServerConfig { profile: profile.clone(), paths: paths.clone() }).await;
    let server = server.map_err(|error| io::Error::other(chain(&error)))?;
    let serving = tokio::spawn({
        let (server, shutdown) = (server.clone(), shutdown.clone());
        async move { server.serve(tokio::net::TcpListener::from_std(listener)?, shutdown).await.map_err(io::Error::other) }
    });
    let client = server.client(Identity::new("system:apiserver", &["system:masters"]));
    addons::apply_wanted(&client, &profile).await.map_err(|error| io::Error::other(chain(&error)))?;
    tokio::spawn({
        let (client, profile) = (client.clone(), profile.clone());
        async move {
            if let Err(error) = addons::remove_unwanted(&client, &profile).await {
                tracing::warn!(error = %chain(&error), "an addon that is off was not taken away");
            }
        }
    });
    let watcher = shutdown.clone();
    // What charts make is for their authors to say: the administrator's rights, as k3s has it.
    tokio::spawn(charts::objects::run(client, async move { watcher.wait().await }));
    let node = server.client(Identity::new(format!("system:node:{}", profile.name), &["system:nodes"]));
    let mut agent =
        tokio::spawn(super::node::run(node, agent, server.users(), profile.clone(), paths.clone(), shutdown.clone()));
    let proxy = server.client(Identity::new("system:kube-proxy", &[]));
    let networking = tokio::spawn(super::network::run(proxy, profile.clone(), shutdown.clone()));
    let manager = server.client(Identity::new("system:kube-controller-manager", &[]));
    let controlling = tokio::spawn(super::controllers::run(manager, profile.clone(), paths.clone(), shutdown.clone()));
    let scheduler = server.client(Identity::new("system:kube-scheduler", &[]));
    let scheduling = tokio::spawn(scheduler::run(scheduler, shutdown));
    tokio::spawn(crate::base::memory::settle());
    if let Err(error) = super::landmarks::write(&profile, &paths) {
        // Nothing of the cluster reads them.
        tracing::warn!(%error, "admin.conf was not written");
    }
    let ended = tokio::select! {
        _ = terminate.recv() => None,
        () = super::renewal::renewed(&profile, &paths) => None,
        ended = &mut agent => Some(ended),
    };
    trigger.ask();
    let ended = match ended {
        Some(ended) => ended,
        None => agent.await,
    };
    ended.map_err(io::Error::other)?.map_err(|error| io::Error::other(chain(&error)))?;
    controlling.await.map_err(io::Error::other)?.map_err(|error| io::Error::other(chain(&error)))?;
    scheduling.await.map_err(io::Error::other)?;
    networking.await.map_err(io::Error::other)?.map_err(|error| io::Error::other(chain(&error)))?;
    serving.await.map_err(io::Error::other)?
}

/// The listening socket that was handed down as stdin, or a new one where nobody did.
fn listener(profile: &Profile) -> io::Result<TcpListener> {
    let stdin: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    let is_socket = rustix::net::sockopt::socket_acceptconn(&stdin).unwrap_or(false);
    let listener = match is_socket {
        true => TcpListener::from(stdin),
        false => TcpListener::bind(("0.0.0.0", profile.api_port))?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}
