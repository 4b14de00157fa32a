//! `uninstall`: takes releases away.

use super::operate::{self, Waiting};
use super::session::Session;
use super::{Outcome, Problem, Scope, at_least};
use crate::charts::release::Options;

/// Uninstall a release
#[derive(clap::Args)]
pub struct Arguments {
    /// The names of releases
    #[arg(value_name = "RELEASE_NAME")]
    names: Vec<String>,
    /// Simulate a uninstall
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true)]
    dry_run: String,
    /// Prevent hooks from running during uninstallation
    #[arg(long)]
    no_hooks: bool,
    /// Treat "release not found" as a successful uninstall
    #[arg(long)]
    ignore_not_found: bool,
    /// Remove all associated resources and mark the release as deleted, but retain the release history
    #[arg(long)]
    keep_history: bool,
    /// Must be "background", "orphan", or "foreground": what becomes of dependents
    #[arg(long, default_value = "background")]
    cascade: String,
    /// Add a custom description
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    #[command(flatten)]
    waiting: Waiting,
}

/// Uninstalls releases.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    at_least(1, &arguments.names, "uninstall", "RELEASE_NAME [...] [flags]")?;
    if !["background", "foreground", "orphan"].contains(&arguments.cascade.as_str()) {
        let word = &arguments.cascade;
        return Err(Problem(format!(
            "invalid cascade value ({word}). Must be \"background\", \"foreground\", or \"orphan\""
        )));
    }
    let mut options = Options {
        dry_run: operate::dry_run(match arguments.dry_run.as_str() {
            "true" => "client",
            "false" => "none",
            other => other,
        })?,
        no_hooks: arguments.no_hooks,
        ignore_not_found: arguments.ignore_not_found,
        keep_history: arguments.keep_history,
        cascade: arguments.cascade.clone(),
        description: arguments.description.clone(),
        ..Options::default()
    };
    arguments.waiting.apply(&mut options)?;
    let session = Session::open(scope, false)?;
    for name in &arguments.names {
        let done = session.run_on(name, session.actions.uninstall(name, &options))?;
        if let Some(done) = done.filter(|done| !done.info.is_empty()) {
            scope.print(&format!("{}\n", done.info));
        }
        scope.print(&format!("release {name:?} uninstalled\n"));
    }
    Ok(())
}
