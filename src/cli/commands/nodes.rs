//! `coracle node`: a cluster has one node, which can be listed, stopped and started; more are refused.

use super::super::{Context, Exit, Failure};
use crate::base::Hint;

/// List the node; a cluster has one
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the nodes with their addresses
    List,
    /// Add a node: not built, a cluster has one
    Add {
        #[arg(long, hide = true)]
        control_plane: bool,
        #[arg(long, hide = true)]
        delete_on_failure: bool,
        #[arg(long, hide = true)]
        worker: bool,
    },
    /// Delete a node: not built, a cluster has one
    Delete { name: String },
    /// Start a node: coracle start
    Start {
        name: String,
        #[arg(long, hide = true)]
        delete_on_failure: bool,
    },
    /// Stop a node: coracle stop
    Stop { name: String },
}

/// Lists, or says what does it.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    let name = &cluster.profile.name;
    let (what, hint) = match &arguments.command {
        Command::List => {
            context.printer.data(format!("{name}\t{}", cluster.profile.network.node_address));
            return Ok(Exit::Success);
        }
        Command::Add { .. } => (
            "a cluster has one node; more are not built".into(),
            format!("coracle start -p {name}-2 makes another cluster"),
        ),
        Command::Delete { name: node } => {
            super::check_node(&cluster, Some(node))?;
            (format!("`{node}` is the only node of `{name}`"), format!("coracle delete -p {name}"))
        }
        Command::Start { name: node, .. } | Command::Stop { name: node } => {
            super::check_node(&cluster, Some(node))?;
            let word = if matches!(arguments.command, Command::Start { .. }) { "start" } else { "stop" };
            (format!("`{node}` is the only node: the cluster {word}s with it"), format!("coracle {word} -p {name}"))
        }
    };
    Err(Failure { error: Box::new(Hint::new(what, hint)), exit: Exit::Usage })
}
