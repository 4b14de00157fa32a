//! A pod's volumes on this node: setting them up, keeping their content current, showing them to containers, taking them down.
//!
//! ```text
//! mount ─▶ every volume set up (again after a while, or when what was missing is there) ─▶ Follower
//!                                                    a ConfigMap, a Secret, the pod or a token's age changes ─▶ written anew
//! containers get Places ─▶ mounts (subPath: a bind mount of what was opened below the volume)
//! pod ends ─▶ tear_down: unmount all below the pod's folders, then remove them
//! ```
//!
//! Folders: `pods/UID/volumes/PLUGIN/NAME` (emptyDir), memory-backed `NAME` folders for everything that the agent writes,
//! `pods/UID/volume-subpaths/VOLUME/CONTAINER/INDEX`.

mod atomic;
mod claims;
mod content;
mod empty_dir;
mod follow;
mod host_path;
mod mounts;
mod ownership;
mod sub_path;
mod tokens;
mod watched;

pub use follow::{Follower, mount};
pub use mounts::of as mounts;

use super::context::Node;
use crate::base::disk;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Where a volume is on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    pub read_only: bool,
    /// A device, not a folder.
    pub is_block: bool,
}

impl Place {
    fn folder(path: PathBuf, read_only: bool) -> Self {
        Self { path, read_only, is_block: false }
    }
}

/// By the volume's name in the pod.
pub type Places = BTreeMap<String, Place>;

/// Where a pod's emptyDir volume is.
pub fn empty_dir(node: &Node, uid: &str, volume: &str) -> PathBuf {
    node.pod_folder(uid).join("volumes/kubernetes.io~empty-dir").join(volume)
}

/// Unmounts and removes everything that the volumes of a pod have on this node. Blocks. No error if there is nothing.
pub fn tear_down(node: &Node, uid: &str) -> io::Result<()> {
    let folder = node.pod_folder(uid);
    let memory = node.memory_folder(uid);
    unmount_below(&[&folder, &memory])?;
    for gone in [folder.join("volume-subpaths"), folder.join("volumes"), memory] {
        remove(&gone)?;
    }
    Ok(())
}

/// Removes a folder of the agent after making sure that nothing is mounted in it: what is mounted there belongs to others.
pub fn remove_unmounted(folder: &Path) -> io::Result<()> {
    unmount_below(&[folder])?;
    remove(folder)
}

fn remove(folder: &Path) -> io::Result<()> {
    match disk::remove(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Takes away every mount below the folders; an error says that one is left.
fn unmount_below(folders: &[&Path]) -> io::Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let points: Vec<PathBuf> = table.lines().filter_map(mount_point).collect();
    // The last one was mounted on top.
    for point in points.iter().rev().filter(|point| folders.iter().any(|folder| point.starts_with(folder))) {
        rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH)?;
    }
    Ok(())
}

/// The fifth field of a line of `mountinfo`, whose blanks are written in octal.
fn mount_point(line: &str) -> Option<PathBuf> {
    let field = line.split(' ').nth(4)?;
    let replaced = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    Some(PathBuf::from(replaced.iter().fold(field.to_string(), |text, (code, plain)| text.replace(code, plain))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_their_blanks() {
        let line = r"36 35 98:0 /mnt1 /mnt/with\040blank rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mount_point(line).unwrap(), Path::new("/mnt/with blank"));
    }

    #[test]
    fn what_is_mounted_survives_the_removal_of_the_folder() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: mounting needs root");
            return;
        }
        let precious = tempfile::tempdir().unwrap();
        std::fs::write(precious.path().join("data"), "x").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("a/b");
        std::fs::create_dir_all(&inside).unwrap();
        if rustix::mount::mount_bind(precious.path(), &inside).is_err() {
            println!("skipped: this machine does not let root mount");
            return;
        }
        remove_unmounted(folder.path()).unwrap();
        assert!(!folder.path().exists() && precious.path().join("data").exists());
    }
}
