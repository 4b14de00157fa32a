//! `rollback`: makes an earlier revision of a release the newest again.

use super::operate::{self, Method, Trying, Waiting, Writing};
use super::session::Session;
use super::{Outcome, Problem, Scope, at_least};
use crate::charts::release::Options;

/// Roll back a release to a previous revision
#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the release, and the revision; the one before the newest if left out
    #[arg(value_name = "RELEASE] [REVISION")]
    arguments: Vec<String>,
    /// Allow deletion of new resources created in this rollback when rollback fails
    #[arg(long)]
    cleanup_on_fail: bool,
    /// Limit the maximum number of revisions saved per release. Use 0 for no limit
    #[arg(long)]
    history_max: Option<usize>,
    /// Of Helm 3, where it did nothing in the end
    #[arg(long, hide = true)]
    recreate_pods: bool,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    method: Method,
    #[command(flatten)]
    trying: Trying,
    #[command(flatten)]
    waiting: Waiting,
}

/// Rolls a release back.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    at_least(1, &arguments.arguments, "rollback", "<RELEASE> [REVISION] [flags]")?;
    let revision = match arguments.arguments.get(1) {
        None => 0,
        Some(text) => text.parse().map_err(|_| {
            let why = format!("strconv.Atoi: parsing {text:?}: invalid syntax");
            Problem(format!("could not convert revision to a number: {why}"))
        })?,
    };
    let mut options = Options::default();
    arguments.writing.apply(&mut options)?;
    arguments.waiting.apply(&mut options)?;
    options.server_side = arguments.method.server_side()?;
    options.dry_run = arguments.trying.dry_run()?;
    options.cleanup_on_fail = arguments.cleanup_on_fail;
    options.history_max = arguments.history_max.unwrap_or_else(operate::max_history);
    let session = Session::open(scope, false)?;
    let name = &arguments.arguments[0];
    session.run_on(name, session.actions.rollback(name, revision, &options))?;
    scope.print("Rollback was a success! Happy Helming!\n");
    Ok(())
}
