//! `coracle update-context`.

use super::super::{Context, Exit, Failure, cluster_failure};
use crate::cluster::kubeconfig;

/// Point the kubeconfig at the cluster again
#[derive(clap::Args)]
pub struct Arguments {}

/// Writes the context if it is not there or points elsewhere.
pub async fn run(_: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    let path = kubeconfig::path();
    let right = kubeconfig::points_at(&path, &context.profile, &cluster.server_url())? == Some(true);
    cluster.write_context().map_err(|error| cluster_failure(error, &context.profile))?;
    match right {
        true => context.printer.data(format!("No changes required for the \"{}\" context", context.profile)),
        false => context.printer.data(format!(
            "\"{}\" context has been updated to point to {}",
            context.profile,
            cluster.server_url()
        )),
    }
    Ok(Exit::Success)
}
