//! A paused node whose first process was killed. Under version 1 of cgroups what stands still cannot even be killed: PID 1
//! waits for its children for ever, and whoever looks after it waits too. They are let go from outside, before anything else.

use super::life::{Cluster, Error};
use crate::drivers::native::{cgroups, process};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

impl Cluster {
    /// Lets a node's processes end that stand still without a first process. No error where there are none.
    pub async fn let_go(&self) -> Result<(), Error> {
        if self.standing().is_none() {
            return Ok(());
        }
        let state = self.state().await?;
        if state.is_up() && !process::is_ending(state.pid()) {
            return Ok(());
        }
        for folder in self.frozen_folders() {
            // Gone already, or not this user's: then what follows says what is wrong.
            std::fs::write(folder.join("freezer.state"), "THAWED").ok();
        }
        if state.pid() != 0 {
            process::ended(state.pid()).await;
        }
        self.forget_pause();
        Ok(())
    }

    /// Where the node's frozen processes are, as this machine sees it: what was noted, and what its driver would make.
    fn frozen_folders(&self) -> Vec<PathBuf> {
        let noted = self.standing().map(|pause| pause.folder).filter(|text| !text.is_empty()).map(PathBuf::from);
        let usual = cgroups::freezer(&self.mark()).map(|folder| folder.join(PAUSED));
        noted.into_iter().chain(usual).filter(|folder| folder.join("freezer.state").exists()).collect()
    }
}

/// The folder of what stands still, below the node's own.
const PAUSED: &str = "paused";

/// Where the frozen processes of the node with this PID 1 will be, if that can be seen.
pub fn folder(pid: u32) -> String {
    let folder = cgroups::freezer_of(pid).map(|folder| folder.join(PAUSED));
    folder.as_deref().map(Path::display).map(|path| path.to_string()).unwrap_or_default()
}

/// What stands still of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Where its processes are, as this machine sees it; empty where that cannot be seen.
    #[serde(default)]
    pub(super) folder: String,
    /// The control plane.
    pub server: bool,
    /// Every pod.
    pub all: bool,
    /// The namespaces that were named, and the unique ids of their pods.
    pub namespaces: Vec<String>,
    pub pods: Vec<String>,
}

impl Pause {
    /// Control plane and all pods.
    pub fn everything() -> Self {
        Self { server: true, all: true, ..Self::default() }
    }

    /// The pods of namespaces, which are still to be found, and the control plane or not.
    pub fn of(server: bool, namespaces: Vec<String>) -> Self {
        Self { server, namespaces, ..Self::default() }
    }

    /// Whether everything that the other one asks for stands still.
    pub fn has(&self, other: &Pause) -> bool {
        let has_pods = self.all || (!other.all && other.namespaces.iter().all(|name| self.namespaces.contains(name)));
        has_pods && (self.server || !other.server)
    }

    /// This one together with what stood still before.
    pub(super) fn beside(&self, before: Pause, folder: String) -> Self {
        let both = |now: &[String], before: Vec<String>| -> Vec<String> {
            let mut all: Vec<String> = now.iter().cloned().chain(before).collect();
            all.sort();
            all.dedup();
            all
        };
        Self {
            folder,
            server: self.server || before.server,
            all: self.all || before.all,
            namespaces: both(&self.namespaces, before.namespaces),
            pods: both(&self.pods, before.pods),
        }
    }

    pub(super) fn text(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// The note as it was written; one of an older executable is the folder alone, and everything stood still.
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self { folder: text.trim().into(), ..Self::everything() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(namespaces: &[&str], server: bool) -> Pause {
        let namespaces: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
        Pause {
            server,
            pods: namespaces.iter().map(|name| format!("{name}-1")).collect(),
            namespaces,
            ..Pause::default()
        }
    }

    #[test]
    fn what_stands_still_adds_up() {
        let default = of(&["default"], false);
        let both = of(&["kube-system"], true).beside(default.clone(), "/f".into());
        assert!(both.server && both.has(&default) && both.pods == ["default-1", "kube-system-1"]);
        assert!(!both.has(&Pause::everything()), "other namespaces go on");
        assert!(!default.has(&of(&["default"], true)), "the control plane goes on");
        assert!(Pause::everything().has(&both));
    }

    #[test]
    fn a_note_is_read_back_and_so_is_an_older_one() {
        let note = of(&["default"], false).beside(Pause::default(), "/f".into());
        assert_eq!(Pause::read(&note.text().unwrap()), note);
        assert_eq!(Pause::read("/sys/fs/cgroup/freezer/x\n").folder, "/sys/fs/cgroup/freezer/x");
        assert!(Pause::read("").has(&Pause::everything()));
    }
}
