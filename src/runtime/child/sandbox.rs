//! Making a sandbox: a child makes its namespaces, sets them up, pins them by path and is gone. A pod that shares its
//! processes has another one, which stays as their first.

use super::{fail, words, write};
use crate::runtime::sys;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Signal, WaitOptions, set_parent_process_death_signal, wait};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::{Component, Path, PathBuf};

/// Whom the first process of a shared pid namespace runs as: nobody who owns anything.
const NOBODY: u32 = 65535;

/// What a sandbox's namespaces are to be.
pub struct SandboxPlan {
    /// Names below `/proc/self/ns` and the files to pin them at.
    pub pins: Vec<(&'static str, PathBuf)>,
    /// Missing when the node's name is kept.
    pub hostname: Option<String>,
    pub own_network: bool,
    /// Namespaces to make.
    pub new: UnshareFlags,
    pub sysctls: BTreeMap<String, String>,
}

/// Makes, sets up and pins the namespaces.
pub fn sandbox(plan: &SandboxPlan, status: &UnixStream) -> i32 {
    match try_sandbox(plan) {
        Ok(()) => 0,
        Err(why) => fail(status, &why),
    }
}

fn try_sandbox(plan: &SandboxPlan) -> Result<(), String> {
    sys::unshare(plan.new).map_err(|error| format!("cannot make namespaces: {}", words(&error)))?;
    if let Some(hostname) = &plan.hostname {
        let named = rustix::system::sethostname(hostname.as_bytes());
        named.map_err(|error| format!("cannot set the host name: {}", words(&error.into())))?;
    }
    if plan.own_network {
        sys::raise_loopback().map_err(|error| format!("cannot raise the loopback link: {}", words(&error)))?;
    }
    for (name, value) in &plan.sysctls {
        let path = parameter(name);
        if !is_own(&path, plan) {
            return Err(format!("cannot set sysctl {name}: it is not the pod's own"));
        }
        write(&path, value).map_err(|why| format!("cannot set sysctl {name}: {why}"))?;
    }
    for (name, path) in &plan.pins {
        let pinned = rustix::mount::mount_bind(Path::new("/proc/self/ns").join(name), path);
        pinned.map_err(|error| format!("cannot pin `{}`: {}", path.display(), words(&error.into())))?;
    }
    Ok(())
}

/// Whether a kernel parameter is one of namespaces that were made, and not the machine's. Whoever asks for it, this is where it
/// would be written by root.
fn is_own(path: &Path, plan: &SandboxPlan) -> bool {
    let Ok(name) = path.strip_prefix("/proc/sys") else { return false };
    if name.components().any(|part| !matches!(part, Component::Normal(_))) {
        return false;
    }
    let has_ipc = plan.new.contains(UnshareFlags::NEWIPC);
    let of_ipc = ["kernel/shm", "kernel/msg", "kernel/sem", "fs/mqueue/"];
    let name = name.to_string_lossy();
    name.starts_with("net/") && plan.own_network || has_ipc && of_ipc.iter().any(|prefix| name.starts_with(prefix))
}

/// Where a kernel parameter is. Dots and slashes both part names; the first one of either kind decides which.
fn parameter(name: &str) -> PathBuf {
    let first = name.find(['.', '/']).map(|at| name.as_bytes()[at]);
    let path: String = match first {
        Some(b'.') => name
            .chars()
            .map(|letter| {
                if letter == '.' {
                    '/'
                } else if letter == '/' {
                    '.'
                } else {
                    letter
                }
            })
            .collect(),
        _ => name.into(),
    };
    Path::new("/proc/sys").join(path)
}

/// The first process of a shared pid namespace: sees no file, may do nothing, reaps what others leave behind. Ends with the
/// supervisor.
pub fn pause(entrances: &[PathBuf], empty: &Path, status: &UnixStream) -> i32 {
    if let Err(why) = try_pause(entrances, empty) {
        return fail(status, &why);
    }
    sys::close_from(0);
    sys::on_every_child(|| while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {})
}

fn try_pause(entrances: &[PathBuf], empty: &Path) -> Result<(), String> {
    super::enter(entrances)?;
    let confined = || -> std::io::Result<()> {
        rustix::thread::set_name(c"pause")?;
        sys::unshare(UnshareFlags::NEWNS)?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private)?;
        let nothing = super::files::new_mount("tmpfs", &[("size", "0")], MountAttrFlags::MOUNT_ATTR_RDONLY)?;
        let target = rustix::fs::open(empty, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty())?;
        super::files::place(nothing, target)?;
        rustix::process::chdir(empty)?;
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        let nobody = (rustix::fs::Uid::from_raw(NOBODY), rustix::fs::Gid::from_raw(NOBODY));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(nobody.1, nobody.1, nobody.1)?;
        rustix::thread::set_thread_res_uid(nobody.0, nobody.0, nobody.0)?;
        let none = CapabilitySet::empty();
        rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
        Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
    };
    confined().map_err(|error| format!("cannot make the pod's first process: {}", words(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_parameters_are_named_with_dots_or_slashes() {
        assert_eq!(parameter("net.ipv4.ip_forward"), Path::new("/proc/sys/net/ipv4/ip_forward"));
        assert_eq!(parameter("net.ipv4.conf.eth0/1.rp_filter"), Path::new("/proc/sys/net/ipv4/conf/eth0.1/rp_filter"));
        assert_eq!(parameter("net/ipv4/conf/eth0.1/x"), Path::new("/proc/sys/net/ipv4/conf/eth0.1/x"));
    }
}
