//! `completion`: the script with which a shell completes Helm's words.

use super::scope::Scope;
use super::{Outcome, Problem};

/// Generate autocompletion scripts for the specified shell
#[derive(clap::Args)]
pub struct Arguments {
    /// bash, zsh, fish or powershell
    #[arg(value_name = "SHELL")]
    words: Vec<String>,
    /// Disable completion descriptions
    #[arg(long)]
    no_descriptions: bool,
}

/// Prints the script; where no shell is named that has one, how to ask for it.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    use clap::ValueEnum;
    let shell = arguments.words.first().and_then(|word| clap_complete::Shell::from_str(word, false).ok());
    let Some(shell) = shell else {
        let mut whole = super::whole();
        let help = whole.find_subcommand_mut("completion").map(|command| command.render_help().to_string());
        scope.print(&help.unwrap_or_default());
        return Ok(());
    };
    if arguments.words.len() > 1 {
        let command = format!("helm completion {shell}");
        return Err(Problem(format!("{command:?} accepts no arguments\n\nUsage:  {command} [flags]")));
    }
    let mut whole = super::whole();
    if arguments.no_descriptions {
        whole = undescribed(whole);
    }
    // Into memory first: a reader that goes away is a panic there.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole, "helm", &mut script);
    scope.print(&String::from_utf8_lossy(&script));
    Ok(())
}

/// The tree of commands without what they and their flags are for.
fn undescribed(command: clap::Command) -> clap::Command {
    let command = command.about(None::<&str>).mut_args(|argument| argument.help(None::<&str>));
    command.mut_subcommands(undescribed)
}
