//! What every node needs to have mounted, whatever driver made it.

use rustix::mount::{MountFlags, mount};
use std::ffi::CStr;
use std::io;
use std::path::Path;

/// Mounts `/proc`, `/sys`, the cgroup hierarchies and `/run`.
pub fn mount_all() -> io::Result<()> {
    let strict = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    on("proc", "/proc", "proc", strict, c"")?;
    on("sysfs", "/sys", "sysfs", strict, c"")?;
    on("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=755")?;
    seal(Path::new("/coracle"))?;
    mount_cgroups()
}

/// Lets nobody who runs the executable change it through `/proc/self/exe`.
fn seal(executable: &Path) -> io::Result<()> {
    if !executable.exists() {
        return Ok(());
    }
    rustix::mount::mount_bind(executable, executable)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    Ok(rustix::mount::mount_remount(executable, flags, "")?)
}

fn on(source: &str, target: &str, kind: &str, flags: MountFlags, options: &CStr) -> io::Result<()> {
    std::fs::create_dir_all(target)?;
    mount(source, target, kind, flags, options)
        .map_err(|error| io::Error::other(format!("cannot mount {kind} on {target}: {error}")))
}

/// Version 2 alone, or every hierarchy of version 1 in a folder named like its controllers, as distributions lay them out.
fn mount_cgroups() -> io::Result<()> {
    let strict = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let memberships = std::fs::read_to_string("/proc/self/cgroup")?;
    let hierarchies: Vec<&str> = memberships.lines().filter_map(controllers).filter(|name| !name.is_empty()).collect();
    if hierarchies.is_empty() {
        on("cgroup2", "/sys/fs/cgroup", "cgroup2", strict, c"")?;
        return hand_on_controllers(Path::new("/sys/fs/cgroup"));
    }
    on("tmpfs", "/sys/fs/cgroup", "tmpfs", strict, c"mode=755")?;
    for name in hierarchies {
        let folder = name.trim_start_matches("name=");
        let options = std::ffi::CString::new(name)?;
        on("cgroup", &format!("/sys/fs/cgroup/{folder}"), "cgroup", strict, &options)?;
        link_each(folder)?;
    }
    Ok(())
}

/// `cpu,cpuacct` is found as `cpu` and as `cpuacct` too.
fn link_each(folder: &str) -> io::Result<()> {
    if !folder.contains(',') {
        return Ok(());
    }
    folder.split(',').try_for_each(|one| std::os::unix::fs::symlink(folder, format!("/sys/fs/cgroup/{one}")))
}

/// The middle field of a line `ID:CONTROLLERS:PATH`.
fn controllers(line: &str) -> Option<&str> {
    line.split(':').nth(1)
}

/// In version 2 a cgroup with processes hands no controllers on, so everything of the node moves to a leaf first.
fn hand_on_controllers(root: &Path) -> io::Result<()> {
    let leaf = root.join("init");
    std::fs::create_dir_all(&leaf)?;
    for pid in std::fs::read_to_string(root.join("cgroup.procs"))?.lines().filter(|pid| *pid != "0") {
        std::fs::write(leaf.join("cgroup.procs"), pid)?;
    }
    let available = std::fs::read_to_string(root.join("cgroup.controllers"))?;
    for controller in available.split_whitespace() {
        // One that cannot be handed on is missed only by limits of that kind.
        std::fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")).ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_line_names_its_controllers() {
        assert_eq!(controllers("3:cpu,cpuacct:/a:b"), Some("cpu,cpuacct"));
        assert_eq!(controllers("0::/"), Some(""));
    }
}
