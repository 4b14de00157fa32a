//! `coracle completion`.

use super::super::{Context, Exit, Failure};
use clap::CommandFactory;

/// Print the completion script of a shell
#[derive(clap::Args)]
pub struct Arguments {
    shell: clap_complete::Shell,
}

/// Prints it.
pub async fn run(arguments: Arguments, _: &Context) -> Result<Exit, Failure> {
    let mut command = super::super::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "coracle", &mut std::io::stdout());
    Ok(Exit::Success)
}
