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
    let read = |link: PathBuf| serde_json::from_slice(&std::fs::read(link.join("profile.json")).ok()?).ok();
    links().filter_map(read).collect()
}

fn links() -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|link| link.path())
}

impl Cluster {
    fn neighbour_link(&self) -> PathBuf {
        Path::new(FOLDER).join(self.mark())
    }

    /// Has other homes know of this cluster, where that is possible. Links of profiles that somebody removed by hand go.
    pub(super) fn announce(&self) {
        for link in links().filter(|link| !link.join("profile.json").exists()) {
            std::fs::remove_file(link).ok();
        }
        let folder = self.home.profile_folder(&self.profile.name);
        let absolute = std::path::absolute(&folder).unwrap_or(folder);
        std::fs::create_dir_all(FOLDER).and_then(|()| symlink(absolute, self.neighbour_link())).ok();
    }

    /// Takes that back; the folder goes with the last link.
    pub(super) fn forget(&self) {
        std::fs::remove_file(self.neighbour_link()).ok();
        // What is not empty stays.
        for folder in Path::new(FOLDER).ancestors().take(2) {
            std::fs::remove_dir(folder).ok();
        }
    }
}
