//! `coracle ssh`: a shell or a command on the node.

use super::super::{Context, Exit, Failure, cluster_failure};
use std::os::unix::process::ExitStatusExt;

/// Run a shell or a command on the node
#[derive(clap::Args)]
pub struct Arguments {
    /// The node; a cluster has one
    #[arg(short, long)]
    node: Option<String>,
    /// Given for minikube's sake: there is no ssh
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    native_ssh: Option<String>,
    /// The command; a shell when left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs it and hands its exit code on. The words are one line for the node's shell, as ssh and minikube have it.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open_up(context).await?;
    super::check_node(&cluster, arguments.node.as_deref())?;
    let failure = |error| cluster_failure(error, &context.profile);
    let argv = match arguments.command.as_slice() {
        [] => Vec::new(),
        words => vec!["/bin/sh".into(), "-c".into(), words.join(" ")],
    };
    let machine = cluster.machine().map_err(failure)?;
    let status = cluster.driver.enter(&machine, &argv).map_err(|error| failure(error.into()))?.status()?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(Exit::Code(code as u8))
}
