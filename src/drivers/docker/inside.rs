//! `coracle node-container`: the first process of a node's container. It gives the container what the native driver gives its
//! node, and becomes `coracle init`, which cannot tell the difference.

use super::super::{etc, native};
use crate::config::{NodePaths, Profile};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;
use std::convert::Infallible;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Where the driver puts the machine's resolvers (see [`super`]).
pub const RESOLVERS: &str = "/etc/coracle/resolv.conf";
/// Files that the engine mounts over the node's own, and kernel file systems that `init` mounts itself: the same one cannot
/// be mounted twice at one place.
const ENGINE_MOUNTS: &[&str] = &["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/sys", "/proc"];

/// Whether a process with this `/proc/PID/cgroup` has a cgroup namespace of its own. Podman (4.3) leaves a container in the
/// machine's where cgroups are of version 1, whatever it is asked for: the node would make its cgroups beside the machine's own.
fn has_own_cgroups(memberships: &str) -> bool {
    memberships.lines().all(|line| line.splitn(3, ':').nth(2) == Some("/"))
}

/// Takes the machine's resolvers that the driver has put into a node that runs.
pub fn take_resolvers() -> io::Result<()> {
    let resolvers = std::fs::read_to_string(RESOLVERS)?;
    let file = NodePaths::default().resolvers().join(etc::RESOLV_CONF);
    match std::fs::read_to_string(&file).is_ok_and(|there| there == resolvers) {
        true => Ok(()),
        // Those who watch the folder see the file come.
        false => crate::base::atomic::write(&file, resolvers.as_bytes(), 0o644),
    }
}

/// Becomes PID 1 of the node; returns only when it cannot.
pub fn main() -> io::Result<Infallible> {
    native::limits::lift();
    let profile: Profile = serde_json::from_slice(&std::fs::read(NodePaths::default().profile())?)?;
    if !has_own_cgroups(&std::fs::read_to_string("/proc/self/cgroup")?) {
        native::sys::unshare(UnshareFlags::NEWCGROUP)?;
    }
    // Podman shows it read-only, whatever it is asked for.
    rustix::mount::unmount("/proc/sys", UnmountFlags::DETACH).ok();
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    for place in ENGINE_MOUNTS {
        // One that is not mounted is a plain file or folder, which is as good.
        rustix::mount::unmount(*place, UnmountFlags::DETACH).ok();
    }
    let resolvers = std::fs::read_to_string(RESOLVERS).unwrap_or_default();
    etc::write(Path::new("/"), &profile, &resolvers)?;
    // Bidirectional mounts of pods must reach the node.
    rustix::mount::mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)?;
    // Bound before the node lives, and handed down to the server, so that a client's first connection waits instead of failing.
    let listener = std::net::TcpListener::bind(("0.0.0.0", profile.api_port))?;
    Err(Command::new("/coracle")
        .arg("init")
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(std::os::fd::OwnedFd::from(listener))
        .stdout(io::stderr())
        .current_dir("/")
        .exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_in_the_machines_cgroup_namespace_is_told() {
        assert!(has_own_cgroups("6:freezer:/\n1:name=systemd:/\n0::/\n"));
        assert!(!has_own_cgroups("6:freezer:/libpod_parent/libpod-1\n0::/\n"));
    }
}
