//! A command in the node with a terminal of the node's own, as large as the one in front of this process: keys go there
//! as they are, so Ctrl-C is the command's and not ours.

use super::super::terminal::Raw;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, ExitStatus};
use tokio::signal::unix::{SignalKind, signal};

/// Runs a command to its end. The namespaces of the node must have been joined; there must be one thread, and there is
/// one at the end.
pub fn run(command: &mut Command) -> io::Result<ExitStatus> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    copy_size(&master);
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    let mut child = super::sys::lead_session(command).spawn()?;
    // The copies of the terminal that the command line holds: the end of the last one is how its end is seen.
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let raw = Raw::begin();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let carried = runtime.block_on(carry(master));
    drop(raw);
    let status = child.wait()?;
    carried.map(|()| status)
}

/// Carries bytes in both directions until the command's side is closed.
async fn carry(master: OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&master)?;
    rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
    let master = super::sys::watch(master)?;
    // Its flags are shared with the shell that started us, so it is read only when there is something to read.
    let keys = super::sys::watch(io::stdin().as_fd().try_clone_to_owned()?)?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut pending: Vec<u8> = Vec::new();
    let (mut typed, mut printed) = ([0; 4096], [0; 16 << 10]);
    let mut is_typing = true;
    loop {
        tokio::select! {
            ready = master.readable() => {
                let mut ready = ready?;
                match rustix::io::read(master.get_ref(), &mut printed) {
                    // The kernel's way to say that nobody holds the other side.
                    Ok(0) | Err(Errno::IO) => return Ok(()),
                    Ok(length) => {
                        let mut out = io::stdout().lock();
                        out.write_all(&printed[..length])?;
                        out.flush()?;
                    }
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            ready = master.writable(), if !pending.is_empty() => {
                let mut ready = ready?;
                match rustix::io::write(master.get_ref(), &pending) {
                    Ok(length) => drop(pending.drain(..length)),
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            // What was typed waits in the kernel until the command took what was typed before.
            ready = keys.readable(), if is_typing && pending.is_empty() => {
                let mut ready = ready?;
                // A read that finds nothing would wait, so the kernel is asked first.
                let stdin = io::stdin();
                if rustix::event::poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&Timespec::default()))? == 0 {
                    ready.clear_ready();
                    continue;
                }
                match rustix::io::read(&stdin, &mut typed) {
                    Ok(0) => is_typing = false,
                    Ok(length) => pending.extend_from_slice(&typed[..length]),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            _ = resized.recv() => copy_size(master.get_ref()),
        }
    }
}

/// Makes the command's terminal as large as this process's.
fn copy_size(master: &OwnedFd) {
    // One that has no size leaves the other's as it is.
    if let Ok(size) = rustix::termios::tcgetwinsize(io::stdin()) {
        rustix::termios::tcsetwinsize(master, size).ok();
    }
}
