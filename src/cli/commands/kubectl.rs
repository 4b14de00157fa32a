//! `coracle kubectl -- …`: the kubectl that is on the machine, with the right context.

use super::super::{Context, Exit, Failure};
use crate::base::Hint;
use std::os::unix::process::CommandExt;

/// Run kubectl against the cluster
#[derive(clap::Args)]
pub struct Arguments {
    /// Given for minikube's sake: it is this machine's kubectl in any case
    #[arg(long, hide = true)]
    ssh: bool,
    /// kubectl's arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Commands of kubectl that work without a cluster.
const LOCAL: &[&str] = &["completion", "config", "help", "kustomize", "options", "plugin", "version", "--help", "-h"];

/// Replaces this process by kubectl; returns only if that fails.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = match arguments.arguments.first() {
        Some(word) if LOCAL.contains(&word.as_str()) => super::open(context)?,
        // Another cluster may have the address of one that does not run.
        _ => {
            let cluster = super::open_up(context).await?;
            super::refuse_paused(&cluster)?;
            cluster
        }
    };
    let own = std::env::current_exe()?;
    // Under the name `kubectl` this executable may be the first one found.
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("kubectl"))
        .find(|path| path.is_file() && std::fs::canonicalize(path).is_ok_and(|real| real != own));
    let Some(kubectl) = found else {
        return Err(Hint::new("there is no kubectl on this machine", "install kubectl and put it on the PATH").into());
    };
    let error = std::process::Command::new(kubectl)
        .arg(format!("--context={}", cluster.profile.name))
        .args(arguments.arguments)
        .exec();
    Err(error.into())
}
