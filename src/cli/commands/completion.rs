//! `coracle completion`: the script that makes a shell ask this executable for completions.

use super::super::{Context, Exit, Failure, complete};

/// Print the completion script of a shell: source <(coracle completion bash)
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(value_parser = complete::SHELLS)]
    shell: String,
}

/// Prints it.
pub async fn run(arguments: Arguments, _: &Context) -> Result<Exit, Failure> {
    complete::script(&arguments.shell, &mut std::io::stdout())?;
    Ok(Exit::Success)
}
