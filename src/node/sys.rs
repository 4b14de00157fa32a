//! Calls that the compiler cannot check.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

/// A descriptor that can be waited for.
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and answers the same descriptor until it is dropped, and the `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}
