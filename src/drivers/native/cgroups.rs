//! The node's cgroup on the host: `coracle-MARK` below the cgroup of whoever starts it, in every hierarchy of version 1. In
//! version 2 alone it is below the root instead: a cgroup with processes (a session's scope of systemd) hands no controllers on.

use super::process;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Moves this process into the node's cgroup in every hierarchy; the cgroup namespace that is made next has it as root.
pub fn join(mark: &str) -> io::Result<()> {
    for folder in folders(mark)? {
        std::fs::create_dir_all(&folder)?;
        if let Some(root) = folder.parent().filter(|root| root.join("cgroup.subtree_control").exists()) {
            hand_on(root)?;
        }
        inherit_cpuset(&folder);
        std::fs::write(folder.join("cgroup.procs"), "0")?;
    }
    Ok(())
}

/// The node's folder in the hierarchy that makes processes stand still; version 1 alone has one.
pub fn freezer(mark: &str) -> Option<PathBuf> {
    let memberships = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    folder(memberships.lines().find(|line| is_freezer(line))?, &mounts, mark)
}

/// The folder of a process in that hierarchy, as this machine sees it.
pub fn freezer_of(pid: u32) -> Option<PathBuf> {
    let memberships = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (controllers, path) = memberships.lines().find(|line| is_freezer(line))?.split_once(':')?.1.split_once(':')?;
    let mount = mounts.lines().find_map(|mount| hierarchy(mount, controllers))?;
    Some(mount.join(path.trim_start_matches('/')))
}

/// Whether a line of `/proc/PID/cgroup` is of the freezer.
fn is_freezer(line: &str) -> bool {
    line.split(':').nth(1).is_some_and(|controllers| controllers.split(',').any(|one| one == "freezer"))
}

/// Controllers of version 2 without which pods have no limits.
const NEEDED: &[&str] = &["cpu", "memory", "pids"];
/// Where the processes of a container in which coracle runs go, so that its cgroup may hand controllers on.
const OUTSIDE: &str = "coracle-outside";

/// Hands the controllers of version 2 on to the cgroups below `root`. In a hybrid there are none.
fn hand_on(root: &Path) -> io::Result<()> {
    let list = |file: &str| std::fs::read_to_string(root.join(file));
    let (available, given) = (list("cgroup.controllers")?, list("cgroup.subtree_control")?);
    let is_in = |list: &str, name: &str| list.split_whitespace().any(|one| one == name);
    for name in NEEDED.iter().filter(|name| is_in(&available, name) && !is_in(&given, name)) {
        let give = || write_named(&root.join("cgroup.subtree_control"), &format!("+{name}"));
        match give() {
            // The real root may have processes; that of a container may not.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                move_all(root, &root.join(OUTSIDE))?;
                give()?;
            }
            given => given?,
        }
    }
    Ok(())
}

/// Undoes what [`hand_on`] had to move, once no node is left below `root`.
fn let_back(root: &Path) -> io::Result<()> {
    let outside = root.join(OUTSIDE);
    if !outside.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("coracle-") && entry.path() != outside {
            return Ok(());
        }
    }
    let given = std::fs::read_to_string(root.join("cgroup.subtree_control"))?;
    given
        .split_whitespace()
        .try_for_each(|name| write_named(&root.join("cgroup.subtree_control"), &format!("-{name}")))?;
    move_all(&outside, root)?;
    std::fs::remove_dir(&outside)
}

fn move_all(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    // Processes that are forked while others are moved are found the next time.
    loop {
        let text = std::fs::read_to_string(from.join("cgroup.procs"))?;
        // Those of other pid namespaces are 0: they can only be moved from there.
        let mut pids = text.lines().filter(|pid| *pid != "0").peekable();
        if pids.peek().is_none() {
            return Ok(());
        }
        for pid in pids {
            match std::fs::write(to.join("cgroup.procs"), pid) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                moved => moved?,
            }
        }
    }
}

/// Gives the node at most so many thousandths of processors and bytes of memory; no limit where there is none.
pub fn limit(mark: &str, cpus: Option<u32>, memory: Option<u64>) -> io::Result<()> {
    let folders = folders(mark)?;
    let with = |file: &str| folders.iter().map(|folder| folder.join(file)).find(|path| path.exists());
    let quota = cpus.map(|thousandths| u64::from(thousandths) * PERIOD / 1000);
    let number = |value: Option<u64>, none: &str| value.map_or_else(|| none.to_string(), |value| value.to_string());
    let files = [
        ("cpu.cfs_period_us", cpus.map(|_| PERIOD.to_string())),
        ("cpu.cfs_quota_us", Some(number(quota, "-1"))),
        ("cpu.max", Some(format!("{} {PERIOD}", number(quota, "max")))),
        ("memory.limit_in_bytes", Some(number(memory, "-1"))),
        ("memory.max", Some(number(memory, "max"))),
    ];
    for (file, value) in files {
        match (with(file), value) {
            (Some(path), Some(value)) => write_named(&path, &value)?,
            // Of the two versions of cgroups only one has the file.
            _ => continue,
        }
    }
    let is_limited = cpus.is_some() || memory.is_some();
    if is_limited && with("cpu.cfs_quota_us").or_else(|| with("cpu.max")).is_none() {
        return Err(io::Error::other("this machine has no cgroup that limits processors and memory"));
    }
    Ok(())
}

/// Microseconds over which processors are counted.
const PERIOD: u64 = 100_000;

fn write_named(path: &Path, value: &str) -> io::Result<()> {
    std::fs::write(path, value)
        .map_err(|error| io::Error::new(error.kind(), format!("{} does not take {value}: {error}", path.display())))
}

/// Whether the node has a cgroup.
pub fn is_there(mark: &str) -> bool {
    folders(mark).is_ok_and(|folders| folders.iter().any(|folder| folder.exists()))
}

/// How often processes are looked for again that were forked while others were killed.
const ROUNDS: u32 = 20;

/// Kills every process in the node's cgroups, those that stand still as well, and waits for their end. Blocks.
pub fn kill(mark: &str) -> io::Result<()> {
    let folders: Vec<PathBuf> = folders(mark)?.into_iter().filter(|folder| folder.exists()).collect();
    for _ in 0..ROUNDS {
        let mut all = Vec::new();
        for folder in &folders {
            collect(folder, &mut all)?;
        }
        all.sort_unstable();
        all.dedup();
        // A shell inside of the node's cgroup may be the one that ends the node.
        all.retain(|pid| *pid != std::process::id() as i32);
        if all.is_empty() {
            return Ok(());
        }
        process::kill_all(&all);
    }
    Err(io::Error::other("processes of the node do not end"))
}

/// The processes of a cgroup and those below it, which are let go on: what stands still cannot be killed in version 1.
fn collect(folder: &Path, all: &mut Vec<i32>) -> io::Result<()> {
    for (file, value) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        if folder.join(file).exists() {
            // The cgroup may be gone just now, with all that was in it.
            std::fs::write(folder.join(file), value).ok();
        }
    }
    let text = match std::fs::read_to_string(folder.join("cgroup.procs")) {
        Ok(text) => text,
        // Gone, or a threaded cgroup, whose processes are those of the one above.
        Err(_) => return Ok(()),
    };
    all.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), all)?;
        }
    }
    Ok(())
}

/// How often the removal of a cgroup is tried again: after 1, 2, 4, … ms, about a second in all.
const TRIES: u32 = 10;

/// Removes the node's cgroups, deepest first. Processes in them have ended, but the kernel lets go of a cgroup a moment after
/// the last of them was reaped, and version 1 has no event to wait for.
pub async fn remove(mark: &str) -> io::Result<()> {
    for folder in folders(mark)? {
        for attempt in 0..TRIES {
            match remove_tree(&folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    tokio::time::sleep(Duration::from_millis(1 << attempt)).await;
                }
                _ => break,
            }
        }
        if let Some(root) = folder.parent() {
            let_back(root)?;
        }
    }
    Ok(())
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    std::fs::remove_dir(folder)
}

/// In cgroup v1 a new cpuset has no processors, so nothing may enter it before it is given its parent's.
fn inherit_cpuset(folder: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let parent = folder.parent().map(|parent| parent.join(file));
        let Some(value) = parent.and_then(|path| std::fs::read_to_string(path).ok()) else { continue };
        if std::fs::read_to_string(folder.join(file)).is_ok_and(|own| own.trim().is_empty()) {
            // Failing here shows as a refusal to enter the cgroup, which is reported.
            std::fs::write(folder.join(file), value.trim()).ok();
        }
    }
}

/// The node's cgroup folder in each mounted hierarchy.
fn folders(mark: &str) -> io::Result<Vec<PathBuf>> {
    let memberships = std::fs::read_to_string("/proc/self/cgroup")?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(folders_of(&memberships, &mounts, mark))
}

fn folders_of(memberships: &str, mounts: &str, mark: &str) -> Vec<PathBuf> {
    let is_version_2 = memberships.lines().all(|line| line.starts_with("0::"));
    let lines = memberships.lines().map(|line| if is_version_2 { "0::/" } else { line });
    lines.filter_map(|line| folder(line, mounts, mark)).collect()
}

/// `line` is `ID:CONTROLLERS:PATH` of `/proc/PID/cgroup`.
fn folder(line: &str, mountinfo: &str, mark: &str) -> Option<PathBuf> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    let mount = mountinfo.lines().find_map(|mount| hierarchy(mount, controllers))?;
    // A session inside the node's own cgroup (a restart by hand) must not nest.
    let own = format!("coracle-{mark}");
    let parent = path.split(&format!("/{own}")).next().unwrap_or("/");
    Some(mount.join(parent.trim_start_matches('/')).join(own))
}

/// The mount point of a line of `mountinfo` if it is the hierarchy of `controllers` (empty: version 2).
fn hierarchy(line: &str, controllers: &str) -> Option<PathBuf> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1)?);
    let matches = match controllers {
        "" => kind == "cgroup2",
        list => kind == "cgroup" && list.split(',').all(|one| options.split(',').any(|option| option == one)),
    };
    matches.then(|| PathBuf::from(left.split(' ').nth(4).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                          31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";

    #[test]
    fn each_hierarchy_gets_a_folder_below_the_callers_own() {
        assert_eq!(folder("4:cpu:/user", MOUNTS, "x"), Some("/sys/fs/cgroup/cpu/user/coracle-x".into()));
        assert_eq!(folder("0::/", MOUNTS, "x"), Some("/sys/fs/cgroup/unified/coracle-x".into()));
        assert_eq!(folder("5:memory:/", MOUNTS, "x"), None);
    }

    #[test]
    fn version_two_alone_has_the_node_below_the_root_whatever_session_starts_it() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let folders = folders_of("0::/user.slice/user-0.slice/session-3.scope\n", mounts, "x");
        assert_eq!(folders, [Path::new("/sys/fs/cgroup/coracle-x")]);
        assert_eq!(folders_of("4:cpu:/a\n0::/b\n", MOUNTS, "x")[1], Path::new("/sys/fs/cgroup/unified/b/coracle-x"));
    }

    #[test]
    fn processes_that_were_moved_out_come_back_with_the_last_node() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("cgroup.subtree_control", "");
        write("coracle-outside/cgroup.procs", "");
        write("coracle-other/cgroup.procs", "");
        let_back(root.path()).unwrap();
        assert!(root.path().join(OUTSIDE).exists(), "another node is left");
        assert!(let_back(&root.path().join("coracle-other")).is_ok(), "nothing was moved there");
    }

    #[test]
    fn a_caller_inside_the_nodes_cgroup_does_not_nest() {
        assert_eq!(folder("0::/coracle-x/init", MOUNTS, "x"), Some("/sys/fs/cgroup/unified/coracle-x".into()));
    }
}
