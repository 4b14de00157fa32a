//! `coracle forward`: ports of this machine that lead to the node, added to a cluster and taken away while it runs.

use super::super::{Context, Exit, Failure, cluster_failure};
use crate::config::Change;
use crate::config::values::Port;

/// Lead ports of this machine to ports of the node
#[derive(clap::Args)]
pub struct Arguments {
    /// [ADDRESS:]HOST:NODE[/PROTOCOL]; lists those there are when left out
    ports: Vec<Port>,
    /// Take them away
    #[arg(long)]
    remove: bool,
    /// Port where services have names, http://SERVICE.NAMESPACE.localhost:PORT; 0 is none
    #[arg(long)]
    names: Option<u16>,
}

/// Changes the profile and the forwarder.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let _held = super::hold(context, &context.profile)?;
    let mut cluster = super::open(context)?;
    let mut after = cluster.profile.clone();
    for port in &arguments.ports {
        let is_same =
            |other: &Port| (other.address, other.host, other.protocol) == (port.address, port.host, port.protocol);
        after.ports.retain(|other| !is_same(other));
        if !arguments.remove {
            after.ports.push(port.clone());
        }
    }
    if let Some(names) = arguments.names {
        after.names_port = Some(names).filter(|port| *port != 0);
    }
    let changes: Vec<Change> = crate::config::resolve::changes(&cluster.profile, &after);
    if !changes.is_empty() {
        cluster.change(after, &changes).await.map_err(|error| cluster_failure(error, &context.profile))?;
    }
    let node = cluster.profile.network.node_address;
    let listen = cluster.profile.listen_address();
    for port in &cluster.profile.ports {
        let address = port.address.unwrap_or(listen);
        context.printer.data(format!("{address}:{} -> {node}:{} ({:?})", port.host, port.node, port.protocol));
    }
    if let Some(port) = cluster.profile.names_port {
        context.printer.data(format!("http://SERVICE.NAMESPACE.localhost:{port} -> services"));
    }
    Ok(Exit::Success)
}
