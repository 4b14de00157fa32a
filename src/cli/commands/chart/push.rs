//! `push`: a packed chart into a registry.

use super::flags::Reaching;
use super::{Outcome, Problem, Scope, at_least};
use crate::charts::repository;
use std::path::Path;

/// Push a chart to remote
#[derive(clap::Args)]
pub struct Arguments {
    /// The archive, and where to: oci://REGISTRY/FOLDER
    #[arg(value_name = "CHART REMOTE")]
    arguments: Vec<String>,
    #[command(flatten)]
    reaching: Reaching,
}

/// Uploads a chart.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    at_least(2, &arguments.arguments, "push", "[chart] [remote] [flags]")?;
    let (chart, remote) = (&arguments.arguments[0], &arguments.arguments[1]);
    let path = Path::new(chart);
    if !repository::is_oci(remote) {
        let scheme = remote.split_once("://").map_or("", |(scheme, _)| scheme);
        return Err(Problem(if scheme.is_empty() {
            "scheme prefix missing from remote (e.g. \"oci://\")".to_string()
        } else {
            format!("scheme {scheme:?} not supported")
        }));
    }
    match std::fs::metadata(path) {
        Err(_) => return Err(Problem(format!("{chart}: no such file"))),
        Ok(found) if found.is_dir() => {
            return Err(Problem("cannot push directory, must provide chart archive (.tgz)".into()));
        }
        Ok(_) => {}
    }
    let download = arguments.reaching.download();
    let (reference, digest) = scope.wait(repository::push(path, remote, &download, &scope.settings))?;
    scope.print(&format!("Pushed: {reference}\nDigest: {digest}\n"));
    Ok(())
}
