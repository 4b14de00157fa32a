//! What a machine lacks for a cluster: the drivers' own probes, and what the kernel, the disk, the clock and the environment say.

use crate::config::{Home, Profile};
use crate::drivers::{self, Health};
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    Ok,
    Warning,
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Finding {
    pub name: String,
    pub grade: Grade,
    pub detail: String,
    /// What to do about it; empty when it is well.
    pub fix: String,
}

impl Finding {
    fn new(name: &str, grade: Grade, detail: impl Into<String>, fix: &str) -> Self {
        let fix = if grade == Grade::Ok { String::new() } else { fix.into() };
        Self { name: name.into(), grade, detail: detail.into(), fix }
    }

    fn ok(name: &str, detail: impl Into<String>) -> Self {
        Self::new(name, Grade::Ok, detail, "")
    }
}

/// Bytes that must be free for images and volumes.
const LEAST_DISK: u64 = 2 << 30;
/// Controllers of cgroups that limits of pods need.
const CONTROLLERS: &[&str] = &["cpu", "memory", "pids"];

/// Every finding: drivers first. A machine without any usable driver has an error, one with a driver too few does not.
pub async fn examine(home: &Home, profiles: &[Profile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let probes = drivers::probe_all().await;
    let is_usable = probes.iter().any(|(_, health)| health.usable);
    findings.extend(probes.iter().map(|(name, health)| of_driver(name, health, is_usable)));
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    findings.push(cgroups(&read("/sys/fs/cgroup/cgroup.controllers"), &read("/proc/cgroups")));
    findings.push(file_systems(&read("/proc/filesystems")));
    findings.push(namespaces());
    findings.push(ports(profiles));
    findings.push(disk(home));
    findings.push(clock(SystemTime::now(), built()));
    findings.push(proxies(&|name| std::env::var(name).unwrap_or_default()));
    findings
}

fn of_driver(name: &str, health: &Health, another_is_usable: bool) -> Finding {
    let name = format!("driver {name}");
    match (health.usable, another_is_usable) {
        (true, _) => Finding::ok(&name, "usable"),
        (false, true) => Finding::new(&name, Grade::Warning, &health.reason, &health.fix),
        (false, false) => Finding::new(&name, Grade::Error, &health.reason, &health.fix),
    }
}

/// `unified` is the list of version 2's controllers, `table` is `/proc/cgroups`.
fn cgroups(unified: &str, table: &str) -> Finding {
    let has = |name: &str| match unified.trim() {
        // NAME HIERARCHY NUMBER ENABLED; a hierarchy of 0 is not mounted.
        "" => table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .any(|fields| fields.first() == Some(&name) && fields.get(1) != Some(&"0") && fields.get(3) == Some(&"1")),
        list => list.split_whitespace().any(|one| one == name),
    };
    let version = if unified.trim().is_empty() { 1 } else { 2 };
    let missing: Vec<&str> = CONTROLLERS.iter().copied().filter(|name| !has(name)).collect();
    match missing.is_empty() {
        true => Finding::ok("cgroups", format!("version {version}, with {}", CONTROLLERS.join(", "))),
        false => Finding::new(
            "cgroups",
            Grade::Warning,
            format!("version {version} lacks {}: limits of that kind do not hold", missing.join(", ")),
            "boot with cgroup_enable=memory, or enable cgroup version 2",
        ),
    }
}

fn file_systems(known: &str) -> Finding {
    match known.lines().any(|line| line.split_whitespace().last() == Some("overlay")) {
        true => Finding::ok("kernel", "overlay file systems"),
        false => Finding::new("kernel", Grade::Error, "there are no overlay file systems", "sudo modprobe overlay"),
    }
}

fn namespaces() -> Finding {
    let missing: Vec<&str> = ["cgroup", "ipc", "mnt", "net", "pid", "uts"]
        .into_iter()
        .filter(|name| std::fs::symlink_metadata(format!("/proc/self/ns/{name}")).is_err())
        .collect();
    match missing.is_empty() {
        true => Finding::ok("namespaces", "all of them"),
        false => Finding::new(
            "namespaces",
            Grade::Error,
            format!("the kernel lacks {}", missing.join(", ")),
            "use a kernel of a distribution",
        ),
    }
}

/// Ports of this machine that profiles want, and that somebody else may have.
fn ports(profiles: &[Profile]) -> Finding {
    let wanted = profiles.iter().flat_map(|profile| {
        profile
            .ports
            .iter()
            .map(move |port| (port.address.unwrap_or(profile.listen_address()), port.host, &profile.name))
    });
    let taken: Vec<String> = wanted
        .filter(|(address, port, _)| std::net::TcpListener::bind((*address, *port)).is_err())
        .map(|(address, port, name)| format!("{address}:{port} (of `{name}`)"))
        .collect();
    match taken.is_empty() {
        true => Finding::ok("ports", "those that profiles want are free"),
        false => Finding::new(
            "ports",
            Grade::Warning,
            format!("in use, by the cluster itself if it runs: {}", taken.join(", ")),
            "stop what listens there, or choose others with --ports",
        ),
    }
}

fn disk(home: &Home) -> Finding {
    let folder = home.root().ancestors().find(|folder| folder.exists()).unwrap_or(home.root());
    let Ok(disk) = rustix::fs::statvfs(folder) else {
        return Finding::new("disk", Grade::Warning, "its size cannot be told", "df -h");
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let detail = format!("{} MiB are free at {}", free >> 20, folder.display());
    let grade = if free < LEAST_DISK { Grade::Warning } else { Grade::Ok };
    Finding::new("disk", grade, detail, "make room: images and volumes need 2 GiB at least")
}

/// When this executable was written: the clock cannot be earlier.
fn built() -> Option<SystemTime> {
    std::env::current_exe().ok()?.metadata().ok()?.modified().ok()
}

fn clock(now: SystemTime, built: Option<SystemTime>) -> Finding {
    // A file may come from a machine whose clock is a little ahead.
    let slack = Duration::from_secs(24 * 3600);
    match built.is_some_and(|built| now + slack < built) {
        true => Finding::new(
            "clock",
            Grade::Error,
            "it is earlier than this executable: certificates would not be valid yet",
            "sudo timedatectl set-ntp true",
        ),
        false => Finding::ok("clock", "plausible"),
    }
}

fn proxies(variable: &dyn Fn(&str) -> String) -> Finding {
    let of = |name: &str| Some(variable(name)).filter(|value| !value.is_empty());
    let any = |names: [&str; 2]| names.iter().find_map(|name| of(name));
    match any(["HTTPS_PROXY", "https_proxy"]).or_else(|| any(["HTTP_PROXY", "http_proxy"])) {
        None => Finding::ok("proxies", "none"),
        Some(proxy) if proxy.contains("127.0.0.1") || proxy.contains("localhost") => Finding::new(
            "proxies",
            Grade::Warning,
            format!("{proxy} is on this machine's loopback, which a node cannot reach"),
            "let the proxy listen on another address, and name that one",
        ),
        Some(proxy) => Finding::ok("proxies", format!("{proxy}; the cluster's own addresses are left out of it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_of_both_versions_are_read() {
        let table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t10\t1\nmemory\t4\t40\t1\npids\t0\t10\t1\n";
        let finding = cgroups("", table);
        assert_eq!(finding.grade, Grade::Warning);
        assert!(finding.detail.contains("lacks pids"), "{}", finding.detail);
        assert_eq!(cgroups("cpuset cpu io memory pids\n", "").grade, Grade::Ok);
    }

    #[test]
    fn a_driver_that_fails_is_an_error_only_when_no_other_works() {
        let broken = Health::unusable("X", "no engine", "install one");
        assert_eq!(of_driver("docker", &broken, true).grade, Grade::Warning);
        assert_eq!(of_driver("docker", &broken, false).grade, Grade::Error);
        assert_eq!(of_driver("native", &Health::usable(), true).fix, "");
    }

    #[test]
    fn a_clock_before_the_executable_is_wrong() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert_eq!(clock(now, Some(now + Duration::from_secs(48 * 3600))).grade, Grade::Error);
        assert_eq!(clock(now, Some(now)).grade, Grade::Ok);
    }

    #[test]
    fn a_proxy_on_the_loopback_is_warned_of() {
        let with = |value: &'static str| {
            proxies(&move |name: &str| if name == "HTTPS_PROXY" { value.into() } else { String::new() })
        };
        assert_eq!(with("http://127.0.0.1:3128").grade, Grade::Warning);
        assert_eq!(with("http://proxy.example:3128").grade, Grade::Ok);
        assert_eq!(with("").detail, "none");
    }
}
