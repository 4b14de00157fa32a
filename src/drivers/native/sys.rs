//! The kernel calls of this driver that Rust cannot check.

use rustix::thread::UnshareFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use tokio::io::unix::AsyncFd;

/// Leaves the namespaces of `flags`.
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: no flag given here unshares the file descriptor table, which is what other code could rely on.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Makes a command the leader of a new session, whose terminal is the command's stdin.
pub fn lead_session(command: &mut Command) -> &mut Command {
    let lead = || {
        rustix::process::setsid()?;
        Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
    };
    // SAFETY: between fork and exec only two system calls are made; nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(lead) }
}

/// Tells when a descriptor can be read or written.
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and answers the same descriptor until it is dropped, and the `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}
