//! `plugin`: plugins of Helm's are programs for Helm, and are not run.

use super::scope::Scope;
use super::{Outcome, Problem};

/// Plugins of Helm's, which this executable does not run
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _words: Vec<String>,
}

/// Says what to do in place of a plugin.
pub fn run(_: Arguments, _: &Scope) -> Outcome {
    let problem = "plugins are not run by this executable: start a plugin's program by itself, or give a post-renderer as a program \
                   ('--post-renderer PROGRAM')";
    Err(Problem(problem.into()))
}
