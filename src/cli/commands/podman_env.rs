//! `coracle podman-env`: there is no podman in a node, which is said.

use super::super::{Context, Exit, Failure};
use super::docker_env;

/// Point a podman client at the node; a node has no engine, so this says what to do instead
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: docker_env::Shared,
}

/// Refuses.
pub async fn run(_: Arguments, context: &Context) -> Result<Exit, Failure> {
    docker_env::refuse("podman", "podman", context)
}
