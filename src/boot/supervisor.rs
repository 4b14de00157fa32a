//! `coracle supervisor`: what containers are children of. Everything it does is in the room `runtime`.

use crate::config::NodePaths;
use crate::runtime::supervisor::{self, Paths};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

/// Runs until SIGTERM, answering on the socket that `init` handed down as stdin.
pub fn main() -> io::Result<()> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(io::stderr).with_ansi(false).init();
    let paths = NodePaths::default();
    let stdin: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    let paths = Paths { containers: paths.containers(), namespaces: paths.namespaces(), images: paths.images() };
    supervisor::main(paths, UnixListener::from(stdin))
}
