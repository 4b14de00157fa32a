//! Pausing: the server and the processes of pods stand still, by the cgroup freezer; PID 1 and the supervisor go on.
//!
//! Runs inside the node. Version 1 has a hierarchy of its own for freezing, in which pods have no folders: what is to stand
//! still moves to the folder `paused` there. Version 2 freezes pods where they are; the server moves to a leaf of its own.

use crate::config::NodePaths;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// The mounted hierarchies.
const CGROUPS: &str = "/sys/fs/cgroup";
/// The folder of what stands still.
const PAUSED: &str = "paused";
/// Processes may be forked while they are being moved.
const ROUNDS: usize = 50;

/// Whose processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Every pod's.
    All,
    /// Those of pods with these unique ids.
    Pods(Vec<String>),
}

/// Makes pods stand still, and the server if that is asked for.
pub fn freeze(whose: &Whose, has_server: bool) -> io::Result<()> {
    let root = Path::new(CGROUPS);
    if let Whose::Pods(uids) = whose {
        // The node agent asks no container how it is that cannot answer.
        let notes = NodePaths::default().paused_pods();
        std::fs::create_dir_all(&notes)?;
        uids.iter().try_for_each(|uid| std::fs::write(notes.join(uid), ""))?;
    }
    let servers = || if has_server { servers() } else { Ok(BTreeSet::new()) };
    let Some(freezer) = version_1(root) else {
        for folder in pod_folders(root, whose)? {
            std::fs::write(folder.join("cgroup.freeze"), "1")?;
        }
        if !has_server {
            return Ok(());
        }
        let paused = root.join(PAUSED);
        std::fs::create_dir_all(&paused)?;
        move_all(&servers()?, &paused)?;
        return std::fs::write(paused.join("cgroup.freeze"), "1");
    };
    let paused = freezer.join(PAUSED);
    std::fs::create_dir_all(&paused)?;
    let mut moved = BTreeSet::new();
    for _ in 0..ROUNDS {
        let mut wanted = servers()?;
        for folder in pod_folders(&root.join("pids"), whose)? {
            processes_below(&folder, &mut wanted)?;
        }
        let new: BTreeSet<u32> = wanted.difference(&moved).copied().collect();
        if new.is_empty() {
            break;
        }
        move_all(&new, &paused)?;
        moved.extend(new);
    }
    std::fs::write(paused.join("freezer.state"), "FROZEN")
}

/// Lets everything go on that stands still.
pub fn thaw() -> io::Result<()> {
    let root = Path::new(CGROUPS);
    match version_1(root) {
        Some(freezer) => dissolve(&freezer.join(PAUSED), "freezer.state", "THAWED", &freezer)?,
        None => {
            for folder in pod_folders(root, &Whose::All)? {
                std::fs::write(folder.join("cgroup.freeze"), "0")?;
            }
            dissolve(&root.join(PAUSED), "cgroup.freeze", "0", &root.join("init"))?;
        }
    }
    match std::fs::remove_dir_all(NodePaths::default().paused_pods()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Thaws a folder, moves its processes away and removes it. No error if it is not there.
fn dissolve(folder: &Path, file: &str, value: &str, home: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    std::fs::write(folder.join(file), value)?;
    for _ in 0..ROUNDS {
        let mut left = BTreeSet::new();
        processes_below(folder, &mut left)?;
        if left.is_empty() {
            break;
        }
        move_all(&left, home)?;
    }
    std::fs::remove_dir(folder)
}

/// The freezer's hierarchy, if cgroups are of version 1.
fn version_1(root: &Path) -> Option<PathBuf> {
    let freezer = root.join("freezer");
    freezer.join("cgroup.procs").exists().then_some(freezer)
}

fn move_all(pids: &BTreeSet<u32>, folder: &Path) -> io::Result<()> {
    for pid in pids {
        match std::fs::write(folder.join("cgroup.procs"), pid.to_string()) {
            // It has ended meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            moved => moved?,
        }
    }
    Ok(())
}

/// The server processes of this node.
pub fn servers() -> io::Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end while it is looked at.
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let is_child_of_init = status.lines().any(|line| line == "PPid:\t1");
        if words == b"/coracle\0server\0" && is_child_of_init {
            found.insert(pid);
        }
    }
    Ok(found)
}

/// The folders of pods below a hierarchy: `kubepods/[QOS/]podUID`.
fn pod_folders(hierarchy: &Path, whose: &Whose) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let pods = hierarchy.join("kubepods");
    for folder in [pods.clone(), pods.join("burstable"), pods.join("besteffort")] {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(uid) = name.strip_prefix("pod") else { continue };
            if entry.file_type()?.is_dir() && is_wanted(whose, uid) {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

fn is_wanted(whose: &Whose, uid: &str) -> bool {
    match whose {
        Whose::All => true,
        Whose::Pods(uids) => uids.iter().any(|one| one == uid),
    }
}

fn processes_below(folder: &Path, found: &mut BTreeSet<u32>) -> io::Result<()> {
    let text = std::fs::read_to_string(folder.join("cgroup.procs"))?;
    found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            processes_below(&entry.path(), found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_found_by_unique_id_in_every_class() {
        let folder = tempfile::tempdir().unwrap();
        for pod in ["kubepods/poda", "kubepods/burstable/podb", "kubepods/besteffort/podc"] {
            let container = folder.path().join(pod).join("container");
            std::fs::create_dir_all(&container).unwrap();
            std::fs::write(folder.path().join(pod).join("cgroup.procs"), "").unwrap();
            std::fs::write(container.join("cgroup.procs"), "7\n8\n").unwrap();
        }
        assert_eq!(pod_folders(folder.path(), &Whose::All).unwrap().len(), 3);
        let one = pod_folders(folder.path(), &Whose::Pods(vec!["b".into(), "x".into()])).unwrap();
        assert_eq!(one, [folder.path().join("kubepods/burstable/podb")]);
        let mut found = BTreeSet::new();
        processes_below(&one[0], &mut found).unwrap();
        assert_eq!(found, BTreeSet::from([7, 8]));
    }

    #[test]
    fn a_node_without_pods_has_no_folders() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(pod_folders(folder.path(), &Whose::All).unwrap(), Vec::<PathBuf>::new());
    }
}
