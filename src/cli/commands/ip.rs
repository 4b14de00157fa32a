//! `coracle ip`.

use super::super::{Context, Exit, Failure};

/// Print the node's address
#[derive(clap::Args)]
pub struct Arguments {}

/// Prints it.
pub async fn run(_: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    context.printer.data(cluster.profile.network.node_address.to_string());
    Ok(Exit::Success)
}
