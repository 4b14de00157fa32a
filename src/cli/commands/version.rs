//! `coracle version`.

use super::super::{Context, Exit, Failure};
use serde_json::json;

/// Print the version
#[derive(clap::Args)]
pub struct Arguments {
    /// Print the bare version number
    #[arg(long)]
    short: bool,
    /// Form of the answer
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

/// Prints it.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    match (arguments.output.as_str(), arguments.short) {
        ("json", _) => context.printer.data(json!({"coracleVersion": version}).to_string()),
        (_, true) => context.printer.data(version),
        _ => context.printer.data(format!("coracle version: {version}")),
    }
    Ok(Exit::Success)
}
