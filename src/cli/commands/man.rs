//! `coracle man`: manual pages, made from the same words and flags that the command line reads.

use super::super::{Context, Exit, Failure};
use std::path::PathBuf;

/// Print the manual page, or write the pages of all commands
#[derive(clap::Args)]
pub struct Arguments {
    /// Write a page per command into this folder
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Prints or writes them.
pub async fn run(arguments: Arguments, _: &Context) -> Result<Exit, Failure> {
    let command = super::super::whole();
    match arguments.dir {
        Some(folder) => {
            std::fs::create_dir_all(&folder)?;
            clap_mangen::generate_to(command, folder)?;
        }
        None => clap_mangen::Man::new(command).render(&mut std::io::stdout())?,
    }
    Ok(Exit::Success)
}
