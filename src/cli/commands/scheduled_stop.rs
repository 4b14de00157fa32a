//! `coracle scheduled-stop`: the process that waits for a scheduled stop. `coracle stop --schedule` starts it.

use super::super::{Context, Exit, Failure, cluster_failure};
use std::time::Duration;

/// Wait, then stop the cluster
#[derive(clap::Args)]
pub struct Arguments {
    seconds: u64,
}

/// Waits and stops. Being ended by a signal is how it is cancelled.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    // The terminal that scheduled it may go away.
    rustix::process::setsid().ok();
    tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
    let _held = super::hold(context, &context.profile)?;
    let cluster = super::open(context)?;
    cluster.stop().await.map_err(|error| cluster_failure(error, &context.profile))?;
    Ok(Exit::Success)
}
