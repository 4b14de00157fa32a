//! `coracle delete`.

use super::super::{Context, Exit, Failure, cluster_failure};
use crate::cluster::{self, Cluster};

/// Delete the cluster and everything that is in it
#[derive(clap::Args)]
pub struct Arguments {
    /// Delete the clusters of all profiles
    #[arg(long)]
    all: bool,
}

/// Removes one cluster or all. A profile that is not there is gone already.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let names = match arguments.all {
        true => context.home.names()?,
        false => vec![context.profile.clone()],
    };
    for name in names {
        match Cluster::open(&context.home, &name) {
            Err(cluster::Error::NoProfile(_)) => context.printer.say(format!("there is no profile `{name}`")),
            Err(error) => return Err(cluster_failure(error, &name)),
            Ok(cluster) => {
                cluster.delete().await.map_err(|error| cluster_failure(error, &name))?;
                context.printer.say(format!("`{name}` is gone"));
            }
        }
    }
    Ok(Exit::Success)
}
