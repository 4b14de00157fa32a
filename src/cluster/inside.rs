//! What is done inside a node that runs, by this executable as another process there: pausing, copying, mounting.

use super::frozen::Pause;
use super::life::{Cluster, Error};
use crate::config::values::Mount;
use crate::drivers;
use crate::drivers::MachineState;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// This executable, as every node has it.
const EXECUTABLE: &str = "/coracle";

impl Cluster {
    /// A command line that plays a part of this executable in the node.
    pub fn part(&self, words: &[&str]) -> Result<Command, Error> {
        let argv: Vec<String> = [EXECUTABLE].iter().chain(words).map(ToString::to_string).collect();
        Ok(self.driver.enter(&self.machine()?, &argv)?)
    }

    /// Plays a part and waits for its end.
    pub fn play(&self, words: &[&str]) -> Result<(), Error> {
        let mut command = self.part(words)?;
        finish(command.stdin(Stdio::null()).stdout(Stdio::null()), words[0])
    }

    /// Whether the control plane was paused and not unpaused since.
    pub fn is_paused(&self) -> bool {
        self.standing().is_some_and(|pause| pause.server)
    }

    /// What stands still, if anything does.
    pub fn standing(&self) -> Option<Pause> {
        std::fs::read_to_string(self.paused_file()).ok().map(|text| Pause::read(&text))
    }

    pub(super) fn paused_file(&self) -> PathBuf {
        self.home.profile_folder(&self.profile.name).join("paused")
    }

    /// Makes it stand still, beside what stands still already.
    pub async fn pause(&self, what: &Pause) -> Result<(), Error> {
        let note = what.beside(self.standing().unwrap_or_default(), super::frozen::folder(self.state().await?.pid()));
        // Noted before, so that a pause that was interrupted is undone by `unpause` and `stop`.
        let written = note.text().and_then(|text| std::fs::write(self.paused_file(), text));
        written.map_err(Error::io("cannot note that the cluster is paused"))?;
        let switches = [("--server", what.server), ("--all", what.all)];
        let mut words = vec!["node-freeze"];
        words.extend(switches.iter().filter(|(_, is_on)| *is_on).map(|(word, _)| *word));
        words.extend(what.pods.iter().map(String::as_str));
        let frozen = self.play(&words);
        if frozen.is_err() {
            self.unpause()?;
        }
        frozen
    }

    /// Lets everything go on; `false` if nothing stood still.
    pub fn unpause(&self) -> Result<bool, Error> {
        if !self.paused_file().exists() {
            return Ok(false);
        }
        self.play(&["node-thaw"])?;
        self.forget_pause();
        Ok(true)
    }

    /// A node that ended stands still no more.
    pub fn forget_pause(&self) {
        // It is there only after a pause.
        std::fs::remove_file(self.paused_file()).ok();
    }

    /// Ends the server; PID 1 starts it again at once, with what the profile says now. Pods run on.
    pub fn restart_server(&self) -> Result<(), Error> {
        self.play(&["node-restart-server"])
    }

    /// Shows a folder of this machine in the running node.
    pub async fn mount(&self, mount: &Mount) -> Result<(), Error> {
        let source = std::fs::canonicalize(&mount.source)
            .map_err(Error::io(format!("cannot mount {}", mount.source.display())))?;
        let pid = self.local_pid().await?.to_string();
        let mut command = self.own("node-mount")?;
        if mount.read_only {
            command.arg("--read-only");
        }
        finish(command.arg(pid).arg(source).arg(&mount.target), "node-mount")
    }

    /// Takes a folder of this machine away from the running node.
    pub async fn unmount(&self, target: &Path) -> Result<(), Error> {
        let pid = self.local_pid().await?.to_string();
        finish(self.own("node-unmount")?.arg(pid).arg(target), "node-unmount")
    }

    fn own(&self, part: &str) -> Result<Command, Error> {
        let mut command = Command::new(self.machine()?.executable);
        command.arg(part).stdin(Stdio::null());
        Ok(command)
    }

    /// PID 1 of the node, if this machine sees it.
    async fn local_pid(&self) -> Result<u32, Error> {
        match self.state().await? {
            MachineState::Running { pid } if pid != 0 => Ok(pid),
            MachineState::Running { .. } => {
                let why = "the node runs on another machine, whose folders cannot be joined with this one's";
                Err(Error::Driver(drivers::Error::Launch(why.into())))
            }
            _ => Err(Error::Driver(drivers::Error::NotRunning)),
        }
    }
}

/// Runs a command to its end; what it says on stderr is the error.
fn finish(command: &mut Command, what: &str) -> Result<(), Error> {
    let output = command.stderr(Stdio::piped()).output().map_err(Error::io(format!("cannot run {what}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("it said nothing").trim_start_matches("error: ").to_string();
    Err(Error::Io { what: format!("{what} failed"), source: std::io::Error::other(first) })
}
