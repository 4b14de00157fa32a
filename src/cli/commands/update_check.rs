//! `coracle update-check`: this version and the latest, in minikube's words.

use super::super::release::{self, From};
use super::super::{Context, Exit, Failure};

/// Print the version of this executable and of the latest release
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    from: From,
}

/// Prints both; `coracle update` installs the latter.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let latest = arguments.from.place(context)?.latest().await.map_err(release::failure)?;
    context.printer.data(format!("CurrentVersion: v{}", release::OWN));
    context.printer.data(format!("LatestVersion: v{latest}"));
    Ok(Exit::Success)
}
