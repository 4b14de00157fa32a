//! `coracle snapshot`: the state of a cluster, saved and put back.

use super::super::{Context, Exit, Failure, cluster_failure, complete};
use super::start::start_or_undo;
use crate::base::Hint;
use crate::cluster::Cluster;

/// Save and restore the state of the cluster: objects, keys and volumes
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Save a snapshot
    Save {
        name: String,
        /// Replace a snapshot that has the name
        #[arg(long)]
        force: bool,
    },
    /// Put a snapshot in the place of what is there
    Restore {
        #[arg(add = complete::snapshots())]
        name: String,
    },
    /// List the snapshots
    #[command(visible_alias = "ls")]
    List {
        /// Form of the answer
        #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
        output: String,
    },
    /// Remove a snapshot
    #[command(visible_alias = "rm")]
    Delete {
        #[arg(add = complete::snapshots())]
        name: String,
    },
}

/// Does what was said.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let failure = |error| cluster_failure(error, &context.profile);
    let _held = match arguments.command {
        Command::List { .. } => None,
        _ => super::hold(context, &context.profile)?,
    };
    let mut cluster = super::open(context)?;
    let steps = context.printer.steps();
    match arguments.command {
        Command::Save { name, force } => {
            cluster.snapshot_file(&name).map_err(failure)?;
            if !force && has(&cluster, &name)? {
                let hint = format!("coracle snapshot delete {name}{}, or save it with --force", of(context));
                let error = Hint::new(format!("there is already a snapshot `{name}`"), hint);
                return Err(Failure { error: error.into(), exit: Exit::Usage });
            }
            steps.step(&format!("saving `{name}`"));
            let path = cluster.save_snapshot(&name).await.map_err(failure)?;
            drop(steps);
            context.printer.say(format!("`{name}` is saved in {}", path.display()));
        }
        Command::Restore { name } => {
            check(&cluster, &name, context)?;
            let ran = cluster.is_up().await;
            steps.step(&format!("restoring `{name}`"));
            cluster.stop().await.map_err(failure)?;
            cluster.settle().map_err(failure)?;
            cluster.restore_snapshot(&name).await.map_err(failure)?;
            if ran {
                start_or_undo(&cluster, false, &|text| steps.step(text)).await?;
            }
            drop(steps);
            context.printer.say(format!("`{}` is as `{name}` was", context.profile));
        }
        Command::List { output } => {
            let snapshots = cluster.snapshots().map_err(failure)?;
            if output == "json" {
                context.printer.data(serde_json::to_string(&snapshots)?);
                return Ok(Exit::Success);
            }
            context.printer.data(format!("{:<32} {:<32} {}", "NAME", "CREATED", "BYTES"));
            for one in snapshots {
                context.printer.data(format!("{:<32} {:<32} {}", one.name, one.created, one.size));
            }
        }
        Command::Delete { name } => {
            check(&cluster, &name, context)?;
            cluster.remove_snapshot(&name).map_err(failure)?;
        }
    }
    Ok(Exit::Success)
}

fn has(cluster: &Cluster, name: &str) -> Result<bool, Failure> {
    let known = cluster.snapshots().map_err(|error| cluster_failure(error, &cluster.profile.name))?;
    Ok(known.iter().any(|snapshot| snapshot.name == name))
}

/// Refuses a snapshot that is not there.
fn check(cluster: &Cluster, name: &str, context: &Context) -> Result<(), Failure> {
    if has(cluster, name)? {
        return Ok(());
    }
    let error = Hint::new(format!("there is no snapshot `{name}`"), format!("coracle snapshot list{}", of(context)));
    Err(Failure { error: error.into(), exit: Exit::GuestNotFound })
}

/// What names the profile to a command that is not about the active one.
fn of(context: &Context) -> String {
    super::option(&context.profile, &context.home.active())
}
