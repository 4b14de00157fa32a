//! `coracle apply`: makes a cluster that exists like a cluster file.

use super::super::{Context, Exit, Failure, amounts, cluster_failure, content};
use super::start::{print_changes, read_file, start_or_undo};
use crate::cluster::Cluster;
use crate::cluster::change::Made;
use std::path::PathBuf;

/// Make the running cluster like a cluster file; the difference is printed first
#[derive(clap::Args)]
pub struct Arguments {
    /// The cluster file (TOML)
    #[arg(short, long)]
    file: PathBuf,
    /// Print the difference and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Stop and start the node if something of it holds only then
    #[arg(long)]
    restart: bool,
}

/// Prints the difference, then makes it.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let mut wanted = read_file(&arguments.file)?;
    if context.is_named || wanted.name.is_empty() {
        wanted.name = context.profile.clone();
    }
    amounts::check(&wanted, false, context)?;
    content::check_addons(wanted.settings.get("addons").map(Vec::as_slice).unwrap_or_default())?;
    let name = wanted.name.clone();
    let failure = |error| cluster_failure(error, &name);
    let _held = super::hold(context, &name)?;
    let mut cluster = Cluster::open(&context.home, &name).map_err(failure)?;
    let before = cluster.profile.clone();
    let (after, changes) = cluster.difference(&wanted).map_err(failure)?;
    print_changes(&changes, context);
    if arguments.dry_run {
        let (count, ending) = (changes.len(), if changes.len() == 1 { "" } else { "s" });
        context.printer.say(format!("{count} difference{ending}; nothing was changed (--dry-run)"));
        return Ok(Exit::Success);
    }
    super::refuse_paused(&cluster)?;
    // What is to be brought in is written when it is there.
    let content = after.clone();
    let made = cluster.change(after.with_content_of(&before), &changes).await.map_err(failure)?;
    cluster.profile = cluster.profile.clone().with_content_of(&content);
    if !cluster.is_up().await {
        cluster.save().map_err(failure)?;
        context.printer.say(format!("`{name}` does not run; what was asked for holds when it starts"));
        return Ok(Exit::Success);
    }
    let steps = context.printer.steps();
    if made == Made::AtStart && arguments.restart {
        steps.step("restarting the node");
        cluster.stop().await.map_err(failure)?;
        cluster.settle().map_err(failure)?;
        start_or_undo(&cluster, false, &|text| steps.step(text)).await?;
    }
    cluster.refresh_surroundings(&|text| steps.step(text)).await.map_err(failure)?;
    content::drop_addons(&cluster, &before).await?;
    content::bring(&cluster, &|text| steps.step(text), context).await?;
    cluster.save().map_err(failure)?;
    drop(steps);
    if made == Made::AtStart && !arguments.restart {
        context
            .printer
            .warn(format!("some of it holds when `{name}` starts the next time; --restart does that at once"));
    }
    context.printer.say(format!("`{name}` is as {} says", arguments.file.display()));
    Ok(Exit::Success)
}
