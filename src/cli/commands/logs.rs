//! `coracle logs`: what the node itself has to say.

use super::super::{Context, Exit, Failure};
use std::io::Write;

/// Show the logs of the node: PID 1, control plane and node agent
#[derive(clap::Args)]
pub struct Arguments {
    /// Lines from the end of each log
    #[arg(short = 'n', long, default_value_t = 60)]
    length: usize,
    /// Write to a file instead of stdout
    #[arg(long)]
    file: Option<std::path::PathBuf>,
}

/// Prints the last lines of each log under a heading.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    let node = context.home.profile_folder(&context.profile).join("node.log");
    let mut text = String::new();
    for (title, path) in [("init", node), ("server", cluster.paths().server_log())] {
        let log = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(arguments.length)..];
        text += &format!("==> {title} <==\n{}\n\n", tail.join("\n"));
    }
    match arguments.file {
        Some(path) => std::fs::File::create(path)?.write_all(text.as_bytes())?,
        None => context.printer.raw(&text),
    }
    Ok(Exit::Success)
}
