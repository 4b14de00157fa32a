//! What a container may do: capabilities, privilege, filters. Source: kubelet `pkg/securitycontext`, containerd's defaults.

use super::parts;
use super::start::Start;
use crate::runtime::{Seccomp, Security};
use k8s_openapi::api::core::v1::{AppArmorProfile, SeccompProfile};
use std::path::Path;

/// What every container may do (containerd `pkg/oci/spec.go`).
const USUAL: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];
/// Every capability of the kernel (capability.h).
const ALL: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
/// Folder of seccomp profiles that pods name, as upstream.
const PROFILES: &str = "/var/lib/kubelet/seccomp";

/// What the container of `start` may do.
pub fn of(start: &Start) -> Security {
    let pod = parts::spec(&start.pod).security_context.as_ref();
    let own = start.container.security_context.as_ref();
    let privileged = own.and_then(|own| own.privileged) == Some(true);
    let added = own.and_then(|own| own.capabilities.as_ref()).and_then(|list| list.add.clone()).unwrap_or_default();
    let dropped = own.and_then(|own| own.capabilities.as_ref()).and_then(|list| list.drop.clone()).unwrap_or_default();
    let seccomp = own.and_then(|own| own.seccomp_profile.as_ref()).or(pod.and_then(|pod| pod.seccomp_profile.as_ref()));
    let apparmor =
        own.and_then(|own| own.app_armor_profile.as_ref()).or(pod.and_then(|pod| pod.app_armor_profile.as_ref()));
    Security {
        privileged,
        read_only_root: own.and_then(|own| own.read_only_root_filesystem) == Some(true),
        no_new_privileges: own.and_then(|own| own.allow_privilege_escalation) == Some(false),
        capabilities: if privileged { names(ALL) } else { capabilities(&added, &dropped) },
        // A privileged container is not filtered (containerd, and the API's documentation).
        seccomp: if privileged { Seccomp::Unconfined } else { filter(seccomp) },
        apparmor_profile: apparmor.map(apparmor_name).unwrap_or_default(),
        masked_paths: Vec::new(),
        read_only_paths: Vec::new(),
    }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// `ALL` stands for every capability; what is added by name survives dropping all.
fn capabilities(added: &[String], dropped: &[String]) -> Vec<String> {
    let plain = |name: &String| {
        let name = name.to_ascii_uppercase();
        name.strip_prefix("CAP_").map(String::from).unwrap_or(name)
    };
    let (added, dropped): (Vec<String>, Vec<String>) =
        (added.iter().map(plain).collect(), dropped.iter().map(plain).collect());
    let has_all = |list: &[String]| list.iter().any(|name| name == "ALL");
    let mut set = if has_all(&added) { names(ALL) } else { names(USUAL) };
    if has_all(&dropped) {
        set.clear();
    }
    set.retain(|name| !dropped.contains(name));
    for name in added {
        if name != "ALL" && !set.contains(&name) {
            set.push(name);
        }
    }
    set
}

/// Without a profile nothing is filtered, as upstream unless it is told otherwise.
fn filter(profile: Option<&SeccompProfile>) -> Seccomp {
    match profile.map(|profile| (profile.type_.as_str(), profile.localhost_profile.as_deref())) {
        Some(("RuntimeDefault", _)) => Seccomp::RuntimeDefault,
        Some(("Localhost", Some(file))) => Seccomp::Localhost(Path::new(PROFILES).join(file)),
        _ => Seccomp::Unconfined,
    }
}

fn apparmor_name(profile: &AppArmorProfile) -> String {
    match (profile.type_.as_str(), &profile.localhost_profile) {
        ("Localhost", Some(name)) => name.clone(),
        ("Unconfined", _) => "unconfined".into(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(added: &[&str], dropped: &[&str]) -> Vec<String> {
        capabilities(&names(added), &names(dropped))
    }

    #[test]
    fn capabilities_are_added_and_dropped_by_name_or_all() {
        assert_eq!(set(&[], &[]).len(), USUAL.len());
        assert!(set(&["CAP_NET_ADMIN"], &["KILL"]).contains(&"NET_ADMIN".to_string()));
        assert!(!set(&[], &["KILL"]).contains(&"KILL".to_string()));
        assert_eq!(set(&["NET_BIND_SERVICE"], &["ALL"]), ["NET_BIND_SERVICE"]);
        assert_eq!(set(&["ALL"], &["KILL"]).len(), ALL.len() - 1);
    }
}
