//! The native driver: Linux namespaces made by coracle itself, as root, without a daemon.
//!
//! `start` runs this executable as `coracle node-launch` (see [`launch`]), which leaves the host's namespaces one by one and
//! then starts PID 1. A veth joins host and node; the host gets routes to node, service and pod addresses over it.
//!
//! ```text
//! coracle start ──spawns──▶ node-launch          unshares, says `ready`
//!      │ makes veth, puts one end into node-launch's network
//!      └──says `go`──▶      node-launch          addresses, mounts, root ──spawns──▶ coracle init (PID 1); says its pid
//! ```

pub mod cgroups;
pub mod launch;
pub(super) mod limits;
pub mod links;
pub mod mounts;
pub mod process;
pub(super) mod sys;
mod terminal;

use super::{Driver, Error, Health, Machine, MachineState, Say, etc};
use crate::base::atomic;
use crate::config::NodePaths;
use crate::config::values::Port;
use async_trait::async_trait;
use process::Stat;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// The driver.
pub struct Native;

/// PID 1 of a node, in a way that a re-used pid cannot be mistaken for it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks after boot.
    started: u64,
}

/// How long a node may take to end before it is killed: PID 1 itself waits 30 seconds for pods.
const STOP_PATIENCE: Duration = Duration::from_secs(40);

#[async_trait]
impl Driver for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    async fn probe(&self) -> Health {
        let (linux, root) = (cfg!(target_os = "linux"), rustix::process::geteuid().is_root());
        match (linux, root) {
            (false, _) => {
                Health::unusable("DRV_UNSUPPORTED_OS", "the native driver needs Linux", "coracle start --driver=docker")
            }
            (_, false) => {
                Health::unusable("DRV_NEEDS_ROOT", "the native driver needs root", "sudo coracle start --driver=native")
            }
            _ => Health::usable(),
        }
    }

    async fn start(&self, machine: &Machine, _: Say<'_>) -> Result<(), Error> {
        if let Some(pid) = running(machine) {
            return heal_link(machine, pid).await;
        }
        process::ended(noted_pid(machine)).await;
        // A node that nobody knows of any more has the store's lock and the API's port.
        end_leftovers(machine).await;
        std::fs::create_dir_all(&machine.root).map_err(Error::io("cannot make the node's root folder"))?;
        copy_files(machine)?;
        let result = launch_node(machine).await;
        if result.is_err() {
            undo(machine).await;
        }
        result
    }

    async fn stop(&self, machine: &Machine) -> Result<(), Error> {
        if let Some(pid) = running(machine) {
            process::end(pid, STOP_PATIENCE).await.map_err(Error::io("cannot end the node"))?;
        }
        process::ended(noted_pid(machine)).await;
        undo(machine).await;
        Ok(())
    }

    async fn delete(&self, machine: &Machine) -> Result<(), Error> {
        self.stop(machine).await
    }

    async fn sweep(&self, machine: &Machine) -> Result<Vec<&'static str>, Error> {
        let link = Path::new("/sys/class/net").join(links::host_link(&machine.mark()));
        let there = [("processes", cgroups::is_there(&machine.mark())), ("a link", link.exists())];
        let found: Vec<&str> = there.into_iter().filter(|(_, is_there)| *is_there).map(|(what, _)| what).collect();
        if !found.is_empty() {
            undo(machine).await;
        }
        Ok(found)
    }

    async fn state(&self, machine: &Machine) -> MachineState {
        match running(machine) {
            Some(pid) => MachineState::Running { pid },
            // The record goes when a node is stopped in order.
            None if record_file(machine).exists() => MachineState::Killed,
            None => MachineState::Stopped,
        }
    }

    async fn read(&self, machine: &Machine, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        match std::fs::read(machine.root.join(path.strip_prefix("/").unwrap_or(path))) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("cannot read a file of the node")(error)),
        }
    }

    async fn adjust(&self, machine: &Machine) -> Result<(), Error> {
        let profile = &machine.profile;
        cgroups::limit(&machine.mark(), profile.cpus, profile.memory).map_err(Error::io("cannot set the node's limits"))
    }

    async fn hand_down(&self, machine: &Machine) -> Result<(), Error> {
        // The certificates are in the node's folder already.
        let text = serde_json::to_vec_pretty(&machine.profile).map_err(io::Error::from);
        let written = text.and_then(|text| atomic::write(&NodePaths::new(&machine.root).profile(), &text, 0o600));
        written.map_err(Error::io("cannot write the node's profile"))?;
        copy_files(machine)
    }

    async fn published(&self, _: &Machine) -> Result<Vec<Port>, Error> {
        Ok(Vec::new())
    }

    async fn state_folder(&self, machine: &Machine) -> Result<PathBuf, Error> {
        Ok(machine.root.join("var"))
    }

    fn root(&self, machine: &Machine) -> Option<PathBuf> {
        Some(machine.root.clone())
    }

    async fn log(&self, machine: &Machine) -> Result<String, Error> {
        match std::fs::read_to_string(machine.folder.join("node.log")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("cannot read the node's log")(error))
            }
            read => Ok(read.unwrap_or_default()),
        }
    }

    fn enter(&self, machine: &Machine, argv: &[String]) -> Result<Command, Error> {
        let pid = running(machine).ok_or(Error::NotRunning)?;
        let mut command = Command::new(&machine.executable);
        command.args(["node-enter", &pid.to_string(), "--"]).args(argv);
        Ok(command)
    }
}

/// Gives the node the user's files for nodes.
fn copy_files(machine: &Machine) -> Result<(), Error> {
    let copied = etc::copy_files(&machine.files, &machine.root);
    copied.map_err(Error::io(format!("cannot copy {} into the node", machine.files.display())))
}

/// What is left of a node that ended: its links, its rules, its cgroups and its record.
async fn undo(machine: &Machine) {
    // Each of these may already be gone, and the next one is tried in any case.
    end_leftovers(machine).await;
    links::remove(machine).await.ok();
    cgroups::remove(&machine.mark()).await.ok();
    std::fs::remove_file(record_file(machine)).ok();
}

/// Ends every process of the node that is left when its PID 1 is gone, or was never known.
async fn end_leftovers(machine: &Machine) {
    let mark = machine.mark();
    // What cannot be ended keeps its cgroup, and the next start says what is in its way.
    tokio::task::spawn_blocking(move || cgroups::kill(&mark)).await.ok();
}

async fn launch_node(machine: &Machine) -> Result<(), Error> {
    let profile = serde_json::to_string(&machine.profile).map_err(|error| Error::Launch(error.to_string()))?;
    let log = machine.folder.join("node.log");
    let log = std::fs::File::create(&log).map_err(Error::io(format!("cannot write {}", log.display())))?;
    let mut child = tokio::process::Command::new(&machine.executable)
        .args(["node-launch", "--profile-json", &profile, "--mark", &machine.mark(), "--root"])
        .arg(&machine.root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(Error::io("cannot run the node's launcher"))?;
    let pid = child.id().ok_or_else(|| Error::Launch("the launcher ended at once".into()))?;
    // Before the pipes, so that it is dropped after them.
    let _launcher = Launcher(pid);
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Error::Launch("the launcher has no pipes".into()));
    };
    let mut answers = BufReader::new(stdout).lines();
    expect(&mut answers, machine, "ready").await?;
    links::create(machine, pid).await?;
    stdin.write_all(b"go\n").await.map_err(Error::io("the launcher went away"))?;
    let init = expect(&mut answers, machine, "pid ").await?;
    let pid: u32 = init.parse().map_err(|_| Error::Launch(format!("the launcher answered `{init}`")))?;
    let started = start_time(pid).ok_or_else(|| Error::Launch(tail_of_log(machine)))?;
    let record = serde_json::to_vec(&Record { pid, started }).map_err(|error| Error::Launch(error.to_string()))?;
    atomic::write(&record_file(machine), &record, 0o600).map_err(Error::io("cannot note the node's process"))?;
    child.wait().await.map_err(Error::io("cannot wait for the launcher"))?;
    Ok(())
}

/// The launcher's process. When its start is given up it hears of that by its pipes, takes back what it did and ends, which is
/// waited for: what it made can be removed then.
struct Launcher(u32);

impl Drop for Launcher {
    fn drop(&mut self) {
        process::await_end_of(self.0);
    }
}

/// The rest of the next line that the launcher says, which must begin with `word`.
async fn expect<R>(lines: &mut tokio::io::Lines<R>, machine: &Machine, word: &str) -> Result<String, Error>
where
    R: tokio::io::AsyncBufRead + AsyncReadExt + Unpin,
{
    match lines.next_line().await.map_err(Error::io("cannot hear the launcher"))? {
        Some(line) if line.starts_with(word) => Ok(line[word.len()..].trim().to_string()),
        Some(line) => Err(Error::Launch(line)),
        None => Err(Error::Launch(tail_of_log(machine))),
    }
}

fn tail_of_log(machine: &Machine) -> String {
    let text = std::fs::read_to_string(machine.folder.join("node.log")).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_string()
}

fn record_file(machine: &Machine) -> PathBuf {
    machine.folder.join("native.json")
}

/// PID 1 of the node, if it lives.
fn running(machine: &Machine) -> Option<u32> {
    let record: Record = serde_json::from_slice(&std::fs::read(record_file(machine)).ok()?).ok()?;
    (start_time(record.pid)? == record.started).then_some(record.pid)
}

/// When a process started, if it is there and not about to end.
fn start_time(pid: u32) -> Option<u64> {
    Stat::of(pid).filter(|stat| !stat.is_ending).map(|stat| stat.started)
}

/// PID 1 of the node as it was noted, whether it lives or not; 0 if nothing was noted, or the pid is another's now.
fn noted_pid(machine: &Machine) -> u32 {
    let record = std::fs::read(record_file(machine)).ok();
    let record = record.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    record
        .filter(|record| Stat::of(record.pid).is_some_and(|stat| stat.started == record.started))
        .map_or(0, |one| one.pid)
}

/// Makes the link to a node that runs again, if somebody took it away.
async fn heal_link(machine: &Machine, pid: u32) -> Result<(), Error> {
    if links::has_routes(&machine.profile) {
        return Ok(());
    }
    links::create(machine, pid).await?;
    let profile = serde_json::to_string(&machine.profile).map_err(|error| Error::Launch(error.to_string()))?;
    let mut command = tokio::process::Command::new(&machine.executable);
    command.args(["node-link", "--profile-json", &profile, &pid.to_string()]).stdin(Stdio::null());
    let output = command.output().await.map_err(Error::io("cannot join the node's network"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::Launch(String::from_utf8_lossy(&output.stderr).trim().to_string())),
    }
}
