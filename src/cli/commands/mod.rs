//! One file per command: its arguments, and what it does with them.

pub mod completion;
pub mod delete;
pub mod image;
pub mod ip;
pub mod kubectl;
pub mod logs;
pub mod node;
pub mod profile;
pub mod service;
pub mod ssh;
pub mod start;
pub mod status;
pub mod stop;
pub mod update_context;
pub mod version;

use super::{Context, Exit, Failure, cluster_failure};
use crate::cluster::Cluster;
use clap::CommandFactory;

/// The cluster that the command line names.
fn open(context: &Context) -> Result<Cluster, Failure> {
    Cluster::open(&context.home, &context.profile).map_err(|error| cluster_failure(error, &context.profile))
}

/// A client of the cluster that the command line names, with the administrator's rights.
async fn client(cluster: &Cluster) -> Result<crate::client::Client, Failure> {
    let name = &cluster.profile.name;
    let context = cluster.context().map_err(|error| cluster_failure(error, name))?;
    crate::cluster::ready::client(&context).await.map_err(|error| cluster_failure(error, name))
}

/// No command at all prints the help.
pub fn help() -> Result<Exit, Failure> {
    super::Arguments::command().print_help()?;
    Ok(Exit::Success)
}
