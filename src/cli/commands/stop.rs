//! `coracle stop`.

use super::super::{Context, Exit, Failure, cluster_failure, events};
use super::output::Output;
use crate::cluster::{Cluster, kubeconfig};
use crate::config::values;
use std::time::Duration;

/// Stop the cluster; objects, volumes and images stay
#[derive(clap::Args)]
pub struct Arguments {
    /// Stop the clusters of all profiles
    #[arg(long)]
    all: bool,
    /// Stop after a while: 5m, 1h30m
    #[arg(long)]
    schedule: Option<String>,
    /// Forget a stop that was scheduled
    #[arg(long)]
    cancel_scheduled: bool,
    /// Leave the current context of the kubeconfig as it is
    #[arg(long)]
    keep_context_active: bool,
    #[command(flatten)]
    output: Output,
}

/// Ends the node, now or later.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    arguments.output.tell(context);
    let after = arguments.schedule.as_deref().map(values::duration).transpose();
    let after = after.map_err(|why| Failure { error: why.into(), exit: Exit::Usage })?;
    let names = if arguments.all { context.home.names()? } else { vec![context.profile.clone()] };
    super::each(&names, context, async |name: &str| one(name, after, &arguments, context).await).await?;
    Ok(Exit::Success)
}

async fn one(name: &str, after: Option<Duration>, arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let _held = super::hold(context, name)?;
    let failure = |error| cluster_failure(error, name);
    let cluster = Cluster::open(&context.home, name).map_err(failure)?;
    match after {
        _ if arguments.cancel_scheduled => {
            let word = if cluster.cancel_scheduled_stop() { "was cancelled" } else { "was not scheduled" };
            context.printer.say(format!("the stop of `{name}` {word}"));
        }
        Some(after) if cluster.is_up().await => {
            cluster.schedule_stop(after).map_err(failure)?;
            context.printer.say(format!("`{name}` will be stopped in {}", values::duration_text(after)));
        }
        _ => stop(&cluster, arguments, context).await?,
    }
    Ok(())
}

async fn stop(cluster: &Cluster, arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let name = &cluster.profile.name;
    let steps = context.printer.plan(&events::STOP);
    steps.note(&format!("stopping `{name}`"));
    let ran = cluster.stop().await.map_err(|error| cluster_failure(error, name))?;
    let path = kubeconfig::path();
    if !arguments.keep_context_active && kubeconfig::current(&path).is_ok_and(|current| current == *name) {
        kubeconfig::select(&path, "")?;
    }
    steps.note("powering off");
    steps.note("done");
    drop(steps);
    let word = if ran { "stopped" } else { "was not running" };
    context.printer.say(format!("`{name}` {word}"));
    Ok(())
}
