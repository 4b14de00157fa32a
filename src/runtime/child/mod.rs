//! What forked children of the supervisor do until they are a container, a command in one, or have made a sandbox.
//!
//! ```text
//! container: cgroups ─▶ own mounts ─▶ open mounts of the node ─▶ join the sandbox ─▶ root file system ─▶ pivot ─▶ terminal ─▶ credentials ─▶ exec
//! command:   cgroups ─▶ join the container ─▶ terminal ─▶ credentials ─▶ exec
//! sandbox:   new namespaces ─▶ name, loopback, kernel parameters ─▶ pin ─▶ exit
//! ```
//!
//! A child tells its parent over a socket that closes on exec: a terminal's master, or in words why it failed.

mod files;
mod process;
mod rootfs;
mod sandbox;

pub use process::{Process, Stdio};
pub use rootfs::{MASKED, READ_ONLY, Rootfs};
pub use sandbox::{SandboxPlan, pause, sandbox};

use super::sys;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags};
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// First byte of a message that carries a terminal's master.
pub const TERMINAL: u8 = b'T';
/// First byte of a message that says why the child failed.
pub const FAILED: u8 = b'E';
/// What a child exits with when it failed before exec.
const FAILURE: i32 = 128;

/// A container to be.
pub struct ContainerPlan {
    /// Files to write `0` to.
    pub entrances: Vec<PathBuf>,
    /// Whether it sees its own cgroup as the root of all.
    pub own_cgroups: bool,
    /// Pinned namespaces of its sandbox.
    pub namespaces: Vec<(PathBuf, LinkNameSpaceType)>,
    pub rootfs: Rootfs,
    pub process: Process,
    pub stdio: Stdio,
}

/// A command to be, in a container that runs.
pub struct CommandPlan<'a> {
    pub entrances: Vec<PathBuf>,
    pub container: &'a OwnedFd,
    pub process: Process,
    pub stdio: Stdio,
}

/// Why a child is not what it was to be.
pub struct Failed {
    why: String,
    /// The connection to the parent, once all other descriptors were closed.
    status: Option<UnixStream>,
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self { why, status: None }
    }
}

impl Failed {
    fn tell(self, status: &UnixStream, before: &str) -> i32 {
        fail(self.status.as_ref().unwrap_or(status), &format!("{before}{}", self.why))
    }
}

/// Becomes the container; returns only when that failed.
pub fn container(plan: &ContainerPlan, status: &UnixStream) -> i32 {
    let Err(failed) = try_container(plan, status);
    failed.tell(status, "unable to start container process: error during container init: ")
}

fn try_container(plan: &ContainerPlan, status: &UnixStream) -> Result<std::convert::Infallible, Failed> {
    enter(&plan.entrances)?;
    plan.process.adjust_oom_score()?;
    sys::unshare(UnshareFlags::NEWNS).map_err(|error| format!("cannot make a mount namespace: {}", words(&error)))?;
    let sources = plan.rootfs.open_sources()?;
    let null = null()?;
    for (path, kind) in &plan.namespaces {
        let joined = File::open(path).and_then(|file| sys::join(file, *kind));
        joined.map_err(|error| format!("cannot join `{}`: {}", path.display(), words(&error)))?;
    }
    if plan.own_cgroups {
        sys::unshare(UnshareFlags::NEWCGROUP)
            .map_err(|error| format!("cannot make a cgroup namespace: {}", words(&error)))?;
    }
    plan.rootfs.build(sources)?;
    let terminal = plan.stdio.connect(&plan.process.user, null)?;
    if let Some(terminal) = terminal {
        rootfs::show_console(&terminal)?;
        tell_terminal(status, &terminal.master)?;
    }
    plan.process.run(status)
}

/// Becomes a command in a container; returns only when that failed.
pub fn command(plan: &CommandPlan, status: &UnixStream) -> i32 {
    let Err(failed) = try_command(plan, status);
    failed.tell(status, "exec failed: unable to start container process: ")
}

fn try_command(plan: &CommandPlan, status: &UnixStream) -> Result<std::convert::Infallible, Failed> {
    enter(&plan.entrances)?;
    plan.process.adjust_oom_score()?;
    let null = null()?;
    let kinds = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::CONTROL_GROUP;
    sys::join_process(plan.container, kinds)
        .map_err(|error| format!("cannot join the container: {}", words(&error)))?;
    if let Some(terminal) = plan.stdio.connect(&plan.process.user, null)? {
        tell_terminal(status, &terminal.master)?;
    }
    plan.process.run(status)
}

fn null() -> Result<OwnedFd, String> {
    files::open_null().map_err(|error| format!("cannot open the node's /dev/null: {}", words(&error)))
}

/// Moves this process into cgroups.
fn enter(entrances: &[PathBuf]) -> Result<(), String> {
    entrances.iter().try_for_each(|path| write(path, "0"))
}

fn write(path: &Path, value: &str) -> Result<(), String> {
    let written = File::options().write(true).open(path).and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|error| format!("cannot write {value} to `{}`: {}", path.display(), words(&error)))
}

fn tell_terminal(status: &UnixStream, master: &OwnedFd) -> Result<(), String> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [master.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(status, &[IoSlice::new(&[TERMINAL])], &mut control, SendFlags::NOSIGNAL);
    sent.map(drop).map_err(|error| format!("cannot hand on the terminal: {error}"))
}

/// Tells the parent why, and says with what to exit.
fn fail(mut status: &UnixStream, why: &str) -> i32 {
    let mut message = vec![FAILED];
    message.extend_from_slice(why.as_bytes());
    // A parent that does not listen any more needs no reason.
    status.write_all(&message).ok();
    FAILURE
}

/// An error as Go words it, which is how users know it: `no such file or directory` without a number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match error.raw_os_error() {
        Some(_) => text.to_lowercase(),
        None => text.to_string(),
    }
}
