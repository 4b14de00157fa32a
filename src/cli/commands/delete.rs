//! `coracle delete`.

use super::super::{Context, Exit, Failure, cluster_failure, events};
use super::output::Output;
use crate::cluster::{self, Cluster};

/// Delete the cluster and everything that is in it; its snapshots are kept
#[derive(clap::Args)]
pub struct Arguments {
    /// Delete the clusters of all profiles
    #[arg(long)]
    all: bool,
    /// Remove the folder where coracle keeps things as well, and with it the snapshots
    #[arg(long)]
    purge: bool,
    #[command(flatten)]
    output: Output,
}

/// Removes one cluster or all. A profile that is not there is gone already.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    arguments.output.tell(context);
    let names = context.home.names()?;
    if arguments.purge && !arguments.all && names.iter().any(|name| *name != context.profile) {
        let what = "there are other profiles, which --purge would remove as well: say --all --purge";
        return Err(Failure { error: what.into(), exit: Exit::Usage });
    }
    let names = if arguments.all { names } else { vec![context.profile.clone()] };
    super::each(&names, context, async |name: &str| delete(name, &arguments, context).await).await?;
    if arguments.purge && context.home.root().exists() {
        std::fs::remove_dir_all(context.home.root())?;
        context.printer.say(format!("{} is gone", context.home.root().display()));
    }
    Ok(Exit::Success)
}

async fn delete(name: &str, arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let _held = super::hold(context, name)?;
    let failure = |error| cluster_failure(error, name);
    let cluster = match Cluster::open(&context.home, name) {
        Ok(cluster) => cluster,
        Err(cluster::Error::NoProfile(_)) => {
            context.printer.say(format!("there is no profile `{name}`"));
            return sweep(name, context).await;
        }
        // Another user's profile is read well by that one.
        Err(error @ cluster::Error::Unreadable { .. }) if Exit::of(&error) != Exit::Code(37) => {
            context.printer.warn(format!("the profile `{name}` cannot be read; what carries its mark is removed"));
            return sweep(name, context).await;
        }
        Err(error) => return Err(failure(error)),
    };
    let steps = context.printer.plan(&events::DELETE);
    steps.note(&format!("deleting `{name}`"));
    steps.note("stopping the node");
    let left = cluster.delete().await.map_err(failure)?;
    steps.note("done");
    drop(steps);
    if let Some(gone) = left {
        let what = "its container, volume and network may be left there, and go with another `coracle delete`";
        context.printer.warn(format!("{gone}; {what} -p {name} when the engine runs"));
    }
    context.printer.say(format!("`{name}` is gone"));
    let kept = cluster.snapshots().map_err(failure)?.len();
    if kept > 0 && !arguments.purge {
        let removal = "coracle delete --all --purge removes them";
        context.printer.say(format!("{kept} snapshot(s) of `{name}` are kept; {removal}"));
    }
    Ok(())
}

/// Removes what is left of a profile that tells nothing.
async fn sweep(name: &str, context: &Context) -> Result<(), Failure> {
    for what in cluster::sweep(&context.home, name).await.map_err(|error| cluster_failure(error, name))? {
        context.printer.say(format!("removed what was left of it: {what}"));
    }
    Ok(())
}
