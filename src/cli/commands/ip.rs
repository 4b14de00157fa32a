//! `coracle ip`.

use super::super::{Context, Exit, Failure};

/// Print the node's address
#[derive(clap::Args)]
pub struct Arguments {
    /// The node; a cluster has one
    #[arg(short, long)]
    node: Option<String>,
}

/// Prints it.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    super::check_node(&cluster, arguments.node.as_deref())?;
    context.printer.data(cluster.profile.network.node_address.to_string());
    Ok(Exit::Success)
}
