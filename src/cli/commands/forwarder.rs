//! `coracle forwarder`: the process that leads ports of this machine to the node. `coracle start` starts it.

use super::super::{Context, Exit, Failure, cluster_failure};

/// Forward ports until ended
#[derive(clap::Args)]
pub struct Arguments {}

/// Forwards until it is ended by a signal.
pub async fn run(_: Arguments, context: &Context) -> Result<Exit, Failure> {
    // The terminal that started it may go away.
    rustix::process::setsid().ok();
    let cluster = super::open(context)?;
    let forwarding = cluster.forward(|word| context.printer.data(word));
    forwarding.await.map_err(|error| cluster_failure(error, &context.profile))?;
    Ok(Exit::Success)
}
