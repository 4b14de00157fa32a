//! The kernel calls of this driver that Rust cannot check.

use rustix::thread::UnshareFlags;
use std::io;

/// Leaves the namespaces of `flags`.
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: no flag given here unshares the file descriptor table, which is what other code could rely on.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}
