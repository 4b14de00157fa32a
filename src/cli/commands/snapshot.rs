//! `coracle snapshot`: the state of a cluster, saved and put back.

use super::super::{Context, Exit, Failure, cluster_failure};
use super::start::start_or_undo;

/// Save and restore the state of the cluster: objects, keys and volumes
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Save a snapshot
    Save { name: String },
    /// Put a snapshot in the place of what is there
    Restore { name: String },
    /// List the snapshots
    #[command(visible_alias = "ls")]
    List {
        /// Form of the answer
        #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
        output: String,
    },
    /// Remove a snapshot
    #[command(visible_alias = "rm")]
    Delete { name: String },
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
        Command::Save { name } => {
            steps.step(&format!("saving `{name}`"));
            let path = cluster.save_snapshot(&name).await.map_err(failure)?;
            drop(steps);
            context.printer.say(format!("`{name}` is saved in {}", path.display()));
        }
        Command::Restore { name } => {
            let known = cluster.snapshots().map_err(failure)?;
            if !known.iter().any(|snapshot| snapshot.name == name) {
                return Err(Failure {
                    error: format!("there is no snapshot `{name}`").into(),
                    exit: Exit::GuestNotFound,
                });
            }
            let ran = cluster.is_up().await;
            steps.step(&format!("restoring `{name}`"));
            cluster.stop().await.map_err(failure)?;
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
        Command::Delete { name } => cluster.remove_snapshot(&name).map_err(failure)?,
    }
    Ok(Exit::Success)
}
