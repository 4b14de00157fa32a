//! `coracle license`: the licence of this executable, and what it is made of.

use super::super::{Context, Exit, Failure};
use std::path::PathBuf;

/// Write the licence and the list of dependencies to a folder
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder
    #[arg(short, long, default_value = ".")]
    dir: PathBuf,
}

const LICENSE: &str = include_str!("../../../LICENSE");
const LOCK: &str = include_str!("../../../Cargo.lock");

/// Writes them.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    std::fs::create_dir_all(&arguments.dir)?;
    std::fs::write(arguments.dir.join("LICENSE"), LICENSE)?;
    std::fs::write(arguments.dir.join("DEPENDENCIES"), dependencies(LOCK))?;
    context.printer.say(format!("LICENSE and DEPENDENCIES are in {}", arguments.dir.display()));
    Ok(Exit::Success)
}

/// A line for each crate: name, version and where its licence is.
fn dependencies(lock: &str) -> String {
    let value = |line: &str, key: &str| Some(line.strip_prefix(key)?.trim_matches([' ', '=', '"']).to_string());
    let mut found = String::new();
    let mut name = String::new();
    for line in lock.lines() {
        if let Some(text) = value(line, "name") {
            name = text;
        } else if let Some(version) = value(line, "version").filter(|_| !name.is_empty()) {
            found += &format!("{name} {version} https://crates.io/crates/{name}/{version}\n");
            name.clear();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dependency_is_listed_with_its_version() {
        let list = dependencies("version = 4\n\n[[package]]\nname = \"toml\"\nversion = \"1.2.1\"\n");
        assert_eq!(list, "toml 1.2.1 https://crates.io/crates/toml/1.2.1\n");
        assert!(dependencies(LOCK).contains("\ntokio "));
    }
}
