//! `coracle stop`.

use super::super::{Context, Exit, Failure, cluster_failure};

/// Stop the cluster; objects, volumes and images stay
#[derive(clap::Args)]
pub struct Arguments {}

/// Ends the node.
pub async fn run(_: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    let ran = cluster.stop().await.map_err(|error| cluster_failure(error, &context.profile))?;
    let word = if ran { "stopped" } else { "was not running" };
    context.printer.say(format!("`{}` {word}", context.profile));
    Ok(Exit::Success)
}
