//! Clusters of other homes on this machine: their addresses are theirs also while they are stopped.
//!
//! Every profile has a link in one folder of the machine, named by its mark, that leads to the profile's folder. A link that
//! leads nowhere says nothing. Who may not write there (an engine's user) has no links, and is not heard of by others.

use super::life::Cluster;
use crate::config::Profile;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where the links are.
const FOLDER: &str = "/var/lib/coracle/profiles";

/// The profiles that have a link, of every home.
pub fn profiles() -> Vec<Profile> {
    let links = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let read = |link: &Path| serde_json::from_slice(&std::fs::read(link.join("profile.json")).ok()?).ok();
    links.filter_map(|link| read(&link.path())).collect()
}

impl Cluster {
    fn neighbour_link(&self) -> PathBuf {
        Path::new(FOLDER).join(self.mark())
    }

    /// Has other homes know of this cluster, where that is possible.
    pub(super) fn announce(&self) {
        let folder = self.home.profile_folder(&self.profile.name);
        let absolute = std::path::absolute(&folder).unwrap_or(folder);
        std::fs::create_dir_all(FOLDER).and_then(|()| symlink(absolute, self.neighbour_link())).ok();
    }

    /// Takes that back; the folder goes with the last link.
    pub(super) fn forget(&self) {
        std::fs::remove_file(self.neighbour_link()).ok();
        // One that is not empty stays.
        std::fs::remove_dir(FOLDER).ok();
        Path::new(FOLDER).parent().map(std::fs::remove_dir);
    }
}
