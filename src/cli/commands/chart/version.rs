//! `version`: the Helm whose behaviour this is.

use super::{Outcome, Scope};
use crate::charts::capabilities::{HELM_VERSION, KUBE_VERSION, build_info};
use crate::charts::{Offline, render_text};

/// Print the helm version information
#[derive(clap::Args)]
pub struct Arguments {
    /// Print the version number
    #[arg(long)]
    short: bool,
    /// Template for version string format
    #[arg(long)]
    template: Option<String>,
    /// Of Helm 2: there is only this side
    #[arg(short, long, hide = true)]
    client: bool,
}

/// Prints the version.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    let kubernetes = KUBE_VERSION.rsplit_once('.').map_or(KUBE_VERSION, |(version, _)| version);
    let language = concat!("coracle", env!("CARGO_PKG_VERSION"));
    if let Some(template) = arguments.template.filter(|template| !template.is_empty()) {
        scope.print(&render_text("_", &template, &build_info(language), &Offline)?);
        return Ok(());
    }
    if arguments.short {
        scope.print(&format!("{HELM_VERSION}\n"));
        return Ok(());
    }
    scope.print(&format!(
        "version.BuildInfo{{Version:\"{HELM_VERSION}\", GitCommit:\"\", GitTreeState:\"clean\", GoVersion:\"{language}\", \
         KubeClientVersion:\"{kubernetes}\"}}\n"
    ));
    Ok(())
}
