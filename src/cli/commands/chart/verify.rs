//! `verify`: whether a packed chart has a valid signature.

use super::{Outcome, Scope, exactly};
use crate::charts::provenance;
use std::path::{Path, PathBuf};

/// Verify that a chart at the given path has been signed and is valid
#[derive(clap::Args)]
pub struct Arguments {
    /// The archive
    #[arg(value_name = "PATH")]
    arguments: Vec<String>,
    /// Keyring containing public keys
    #[arg(long)]
    keyring: Option<String>,
}

/// Checks a signature.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    exactly(1, &arguments.arguments, "verify", "PATH [flags]")?;
    let keyring = arguments.keyring.map_or_else(provenance::default_keyring, PathBuf::from);
    let verified = provenance::verify(Path::new(&arguments.arguments[0]), &keyring)?;
    scope.print(&verified.to_string());
    Ok(())
}
