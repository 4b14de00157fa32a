//! `test`: runs the tests of a release.

use super::operate;
use super::printing::{self, Show};
use super::session::Session;
use super::{Outcome, Problem, Scope, exactly};
use crate::charts::release::{Filter, Options};

/// Run tests for a release
#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the release
    #[arg(value_name = "RELEASE")]
    names: Vec<String>,
    /// Time to wait for any individual Kubernetes operation (like Jobs for hooks)
    #[arg(long, default_value = "5m0s")]
    timeout: String,
    /// Dump the logs from test pods (this runs after all tests are complete, but before any cleanup)
    #[arg(long)]
    logs: bool,
    /// Specify tests by attribute (currently "name"): name=test1, or '!name=test1' to exclude one
    #[arg(long, value_delimiter = ',')]
    filter: Vec<String>,
    /// Of Helm 3: notes are never shown
    #[arg(long, hide = true)]
    hide_notes: bool,
}

/// Runs tests and prints how they ended.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    exactly(1, &arguments.names, "test", "[RELEASE] [flags]")?;
    let options = Options { timeout: operate::duration(&arguments.timeout, "timeout")?, ..Options::default() };
    let mut filter = Filter::default();
    for word in &arguments.filter {
        if let Some(name) = word.strip_prefix("name=") {
            filter.only.push(name.into());
        } else if let Some(name) = word.strip_prefix('!').and_then(|word| word.trim_start().strip_prefix("name=")) {
            filter.not.push(name.into());
        }
    }
    let session = Session::open(scope, false)?;
    let tested = session.run(session.actions.test(&arguments.names[0], filter, &options))?;
    let show = Show {
        everything: scope.globals.debug,
        metadata: false,
        hide_notes: true,
        colour: printing::is_coloured(&scope.globals.color),
    };
    scope.print(&printing::release(&tested.release, show));
    let mut errors = Vec::new();
    if arguments.logs {
        let (text, failed) = session.run(async { Ok(session.actions.test_logs(&tested).await) })?;
        scope.print(&format!("\n{text}"));
        errors = failed;
    }
    let result = session.run(session.actions.finish_tests(tested, &options))?;
    let texts: Vec<String> = result.err().into_iter().chain(errors).map(|error| error.to_string()).collect();
    if texts.is_empty() { Ok(()) } else { Err(Problem(texts.join("\n"))) }
}
