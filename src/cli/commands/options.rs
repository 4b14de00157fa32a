//! `coracle options`: the flags that every command has.

use super::super::{Context, Exit, Failure};
use clap::CommandFactory;

/// Print the flags that every command has
#[derive(clap::Args)]
pub struct Arguments {}

/// Prints them.
pub async fn run(_: Arguments, context: &Context) -> Result<Exit, Failure> {
    let command = super::super::Arguments::command();
    context.printer.data("The following options can be passed to any command:\n");
    for flag in command.get_arguments().filter(|flag| flag.is_global_set() && !flag.is_hide_set()) {
        let short = flag.get_short().map(|short| format!("-{short}, ")).unwrap_or_else(|| "    ".into());
        let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
        context.printer.data(format!("  {short}--{:<12} {help}", flag.get_long().unwrap_or_default()));
    }
    Ok(Exit::Success)
}
