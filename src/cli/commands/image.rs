//! `coracle image`: the node's image store, used in place; a running cluster sees the change at once.

use super::super::{Context, Exit, Failure};
use crate::images::Store;

/// Manage the images of the node
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Load an archive: docker save, OCI archive or OCI layout
    Load {
        /// The archive; `-` is stdin
        archive: std::path::PathBuf,
    },
    /// List images
    #[command(alias = "list")]
    Ls {
        /// Form of the answer
        #[arg(long, default_value = "short", value_parser = ["short", "table", "json"])]
        format: String,
    },
    /// Remove images
    #[command(alias = "remove", alias = "unload")]
    Rm { images: Vec<String> },
    /// Pull images from their registries
    Pull { images: Vec<String> },
    /// Give an image another name
    Tag { source: String, target: String },
    /// Write an image to an archive
    Save { image: String, archive: std::path::PathBuf },
}
