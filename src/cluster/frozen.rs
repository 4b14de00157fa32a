//! A paused node whose first process was killed. Under version 1 of cgroups what stands still cannot even be killed: PID 1
//! waits for its children for ever, and whoever looks after it waits too. They are let go from outside, before anything else.

use super::life::{Cluster, Error};
use crate::drivers::{self, native::cgroups};
use std::path::{Path, PathBuf};

impl Cluster {
    /// Lets a node's processes end that stand still without a first process. No error where there are none.
    pub async fn let_go(&self) -> Result<(), Error> {
        if !self.is_paused() {
            return Ok(());
        }
        let state = self.state().await?;
        if state.is_up() && !drivers::native::is_ending(state.pid()) {
            return Ok(());
        }
        for folder in self.frozen_folders() {
            // Gone already, or not this user's: then what follows says what is wrong.
            std::fs::write(folder.join("freezer.state"), "THAWED").ok();
        }
        if state.pid() != 0 {
            drivers::native::ended(state.pid()).await;
        }
        self.forget_pause();
        Ok(())
    }

    /// Where the node's frozen processes are, as this machine sees it: what was noted, and what its driver would make.
    fn frozen_folders(&self) -> Vec<PathBuf> {
        let noted = std::fs::read_to_string(self.paused_file()).unwrap_or_default();
        let noted = Some(noted.trim()).filter(|text| !text.is_empty()).map(PathBuf::from);
        let usual = cgroups::freezer(&self.mark()).map(|folder| folder.join(PAUSED));
        noted.into_iter().chain(usual).filter(|folder| folder.join("freezer.state").exists()).collect()
    }
}

/// The folder of what stands still, below the node's own.
const PAUSED: &str = "paused";

/// The text to note of a pause: where the frozen processes of the node with this PID 1 will be, if that can be seen.
pub fn note(pid: u32) -> String {
    let folder = cgroups::freezer_of(pid).map(|folder| folder.join(PAUSED));
    folder.as_deref().map(Path::display).map(|path| path.to_string()).unwrap_or_default()
}
