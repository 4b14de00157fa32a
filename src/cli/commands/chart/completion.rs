//! `completion`: the script with which a shell completes Helm's words.

use super::Outcome;
use super::scope::Scope;

/// Generate autocompletion scripts for the specified shell
#[derive(clap::Args)]
pub struct Arguments {
    /// bash, zsh, fish or powershell
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(arguments: Arguments, _: &Scope) -> Outcome {
    clap_complete::generate(arguments.shell, &mut super::whole(), "helm", &mut std::io::stdout());
    Ok(())
}
