//! Where a machine runs: the [`Driver`] trait and one file or folder per driver.
//!
//! A driver only makes the machine: namespaces, a root file system, an address. In it, PID 1 is `coracle init`, and
//! nothing there knows which driver it was.

pub mod docker;
mod etc;
pub mod native;
mod terminal;

use crate::config::Profile;
use crate::config::values::Port;
use async_trait::async_trait;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// One machine that a driver makes, and what it is made from.
#[derive(Clone, Debug)]
pub struct Machine {
    pub profile: Profile,
    /// The folder that becomes the node's root file system and outlives a stop.
    pub root: PathBuf,
    /// Where the driver keeps its own notes.
    pub folder: PathBuf,
    /// Where a driver keeps what serves every machine.
    pub cache: PathBuf,
    /// The user's files for every node, laid out as below its root; need not be there.
    pub files: PathBuf,
    /// The executable that the node runs.
    pub executable: PathBuf,
}

impl Machine {
    /// What everything that the machine has outside of itself is called by.
    pub fn mark(&self) -> String {
        mark(&self.profile.name, &self.folder)
    }
}

/// A profile's name, and four characters that tell it from a profile of the same name in another home: links, packet rules
/// and cgroups have one space of names on a machine. `folder` is the profile's.
pub fn mark(name: &str, folder: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    // FNV-1a. A path that cannot be made absolute tells profiles apart as well.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let bytes = folder.as_os_str().as_bytes();
    let sum = bytes.iter().fold(0x811c_9dc5u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let digit = |place: u32| char::from(DIGITS[(sum / 36u32.pow(place) % 36) as usize]);
    format!("{name}-{}", (0..4).map(digit).collect::<String>())
}

/// Whether this machine has the address: only then can it be bound.
pub fn is_own_address(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

/// Whether a machine is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineState {
    Running {
        /// PID 1 of the node, as the host numbers it; 0 when it is on another machine.
        pid: u32,
    },
    /// All its processes are frozen.
    Paused {
        /// PID 1, as above.
        pid: u32,
    },
    /// It ended in order, or was never started.
    Stopped,
    /// Its PID 1 was killed, or ended with an error.
    Killed,
    /// What it was made of (its container) was removed by somebody else.
    Missing,
    /// The driver cannot tell: its engine does not answer.
    Unknown,
}

impl MachineState {
    /// Whether its processes are there, frozen or not.
    pub fn is_up(self) -> bool {
        matches!(self, MachineState::Running { .. } | MachineState::Paused { .. })
    }

    /// PID 1 of the node, as the host numbers it; 0 when it has none.
    pub fn pid(self) -> u32 {
        match self {
            MachineState::Running { pid } | MachineState::Paused { pid } => pid,
            _ => 0,
        }
    }
}

/// Whether a driver can be used on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub usable: bool,
    /// Minikube's word for what is wrong; empty when usable.
    pub id: &'static str,
    /// Why not; empty when usable.
    pub reason: String,
    /// What to do about it; empty when usable.
    pub fix: String,
}

impl Health {
    /// It can be used.
    pub fn usable() -> Self {
        Self { usable: true, id: "", reason: String::new(), fix: String::new() }
    }

    /// It cannot.
    pub fn unusable(id: &'static str, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { usable: false, id, reason: reason.into(), fix: fix.into() }
    }
}

/// Why a driver could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine lacks something that the driver needs.
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
    /// The network could not be changed.
    #[error("{what}")]
    Network {
        what: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine that carries the node refused something.
    #[error("{what}")]
    Engine {
        what: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no engine that answers; what is wrong, in minikube's word too, and what to do.
    #[error("there is no engine to run the node in: {reason}")]
    NoEngine { id: &'static str, reason: String, fix: String },
    /// The engine does not give the node a right that it needs.
    #[error("the engine does not give the node what it needs: {0}")]
    Refused(String),
    /// Something of the node's name is there, and not ours.
    #[error("there is a {what} `{name}` already that is not of this cluster")]
    Taken { what: &'static str, name: String },
    /// The part of the driver that runs as a process of its own gave up.
    #[error("the node did not start: {0}")]
    Launch(String),
    /// The machine does not run.
    #[error("the node is not running")]
    NotRunning,
}

impl Error {
    /// Says what was being done when `source` happened.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}

/// Told what is being done, in a few words.
pub type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// Makes machines. Every method may be called again after a failure, and on a machine that is half there.
#[async_trait]
pub trait Driver: Sync {
    /// The word of `--driver`.
    fn name(&self) -> &'static str;
    /// Whether it can be used here. Quick, changes nothing.
    async fn probe(&self) -> Health;
    /// Makes the machine run, whatever is left of it; returns when its PID 1 does. `say` is told of steps that take long.
    async fn start(&self, machine: &Machine, say: Say<'_>) -> Result<(), Error>;
    /// Ends the machine in order. No error if it does not run.
    async fn stop(&self, machine: &Machine) -> Result<(), Error>;
    /// Ends the machine and removes everything that the driver made for it. No error if nothing is left.
    async fn delete(&self, machine: &Machine) -> Result<(), Error>;
    /// Removes what carries the machine's mark where its profile is gone, and tells what it was. No error where the driver
    /// cannot be used: then it has nothing.
    async fn sweep(&self, machine: &Machine) -> Result<Vec<&'static str>, Error>;
    /// What somebody did to a machine that [`Driver::state`] does not tell; nothing if nothing.
    async fn trouble(&self, _: &Machine) -> Option<&'static str> {
        None
    }
    /// Whether it runs.
    async fn state(&self, machine: &Machine) -> MachineState;
    /// Gives a machine that runs the processors and memory that its profile says.
    async fn adjust(&self, machine: &Machine) -> Result<(), Error> {
        let what = format!("the driver `{}` cannot change a node that runs; stop and start it", machine.profile.driver);
        Err(Error::Launch(what))
    }
    /// Gives a machine that runs the profile, the certificates and the user's files as they are now.
    async fn hand_down(&self, machine: &Machine) -> Result<(), Error>;
    /// Which ports of the profile the driver leads to the node itself, now.
    async fn published(&self, machine: &Machine) -> Result<Vec<Port>, Error>;
    /// Where this machine sees the node's `/var`, which is there also when the node does not run.
    async fn state_folder(&self, machine: &Machine) -> Result<PathBuf, Error>;
    /// The content of one file of the node, also when it does not run; `None` if there is no such file.
    async fn read(&self, machine: &Machine, path: &Path) -> Result<Option<Vec<u8>>, Error>;
    /// Where this machine sees the node's root file system; `None` if only [`Driver::enter`] leads there.
    fn root(&self, machine: &Machine) -> Option<PathBuf>;
    /// What PID 1 of the node has said, newest last.
    async fn log(&self, machine: &Machine) -> Result<String, Error>;
    /// A command line that runs `argv` (or a shell, when empty) in the machine.
    fn enter(&self, machine: &Machine, argv: &[String]) -> Result<std::process::Command, Error>;
}

/// The user's files for nodes that no node can have, because a folder of its machine's stands there.
pub fn hidden_files(files: &Path) -> std::io::Result<Vec<PathBuf>> {
    etc::hidden(files)
}

/// Every driver, best first.
pub static DRIVERS: &[&dyn Driver] = &[&native::Native, &docker::Docker::ANY, &docker::Docker::PODMAN];

/// The driver of that name.
pub fn find(name: &str) -> Option<&'static dyn Driver> {
    DRIVERS.iter().copied().find(|driver| driver.name() == name)
}

/// What every driver says of this machine, best first.
pub async fn probe_all() -> Vec<(&'static str, Health)> {
    futures::future::join_all(DRIVERS.iter().map(|driver| async move { (driver.name(), driver.probe().await) })).await
}
