//! Where a machine runs: the [`Driver`] trait and one file or folder per driver.
//!
//! A driver only makes the machine: namespaces, a root file system, an address. In it, PID 1 is `coracle init`, and
//! nothing there knows which driver it was.

pub mod native;

use crate::config::Profile;
use async_trait::async_trait;
use std::path::PathBuf;

/// One machine that a driver makes, and what it is made from.
#[derive(Clone, Debug)]
pub struct Machine {
    pub profile: Profile,
    /// The folder that becomes the node's root file system and outlives a stop.
    pub root: PathBuf,
    /// Where the driver keeps its own notes.
    pub folder: PathBuf,
    /// The executable that the node runs.
    pub executable: PathBuf,
}

/// Whether a machine is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineState {
    Running {
        /// PID 1 of the node, as the host numbers it.
        pid: u32,
    },
    Stopped,
}

/// Whether a driver can be used on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub usable: bool,
    /// Why not; empty when usable.
    pub reason: String,
    /// What to do about it; empty when usable.
    pub fix: String,
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

/// Makes machines. Every method may be called again after a failure, and on a machine that is half there.
#[async_trait]
pub trait Driver: Sync {
    /// The word of `--driver`.
    fn name(&self) -> &'static str;
    /// Whether it can be used here. Quick, changes nothing.
    fn probe(&self) -> Health;
    /// Makes the machine run; returns when its PID 1 does.
    async fn start(&self, machine: &Machine) -> Result<(), Error>;
    /// Ends the machine in order. No error if it does not run.
    async fn stop(&self, machine: &Machine) -> Result<(), Error>;
    /// Whether it runs.
    fn state(&self, machine: &Machine) -> MachineState;
    /// A command line that runs `argv` (or a shell, when empty) in the machine.
    fn enter(&self, machine: &Machine, argv: &[String]) -> Result<std::process::Command, Error>;
}

/// Every driver, best first.
pub static DRIVERS: &[&dyn Driver] = &[&native::Native];

/// The driver of that name.
pub fn find(name: &str) -> Option<&'static dyn Driver> {
    DRIVERS.iter().copied().find(|driver| driver.name() == name)
}
