//! The kernel calls of this driver that Rust cannot check.

use rustix::thread::UnshareFlags;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

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
