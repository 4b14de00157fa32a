//! Security contexts of pods and containers.

use super::is_id;
use crate::api::validate::{At, Causes};
use std::collections::BTreeSet;

const WRONG_ID: &str = "must be between 0 and 2147483647, inclusive";
const SYSCTL: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

fn id(at: &At<'_>, causes: &mut Causes) {
    if !is_id(at.value()) {
        causes.invalid(at, WRONG_ID);
    }
}

/// The pod's own, and what it shares with its node.
pub fn pod(spec: &At<'_>, causes: &mut Causes) {
    let at = spec.at("securityContext");
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(&at.at(field), causes);
    }
    for group in at.at("supplementalGroups").items() {
        id(&group, causes);
    }
    if spec.at("shareProcessNamespace").is_true() && spec.at("hostPID").is_true() {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        causes.invalid(&spec.at("shareProcessNamespace"), why);
    }
    sysctls(&at.at("sysctls"), spec, causes);
    causes.optional_of(&at.at("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    causes.optional_of(&at.at("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    causes.optional_of(&at.at("seLinuxChangePolicy"), &["MountOption", "Recursive"]);
    profiles(&at, causes);
}

fn sysctls(at: &At<'_>, spec: &At<'_>, causes: &mut Causes) {
    let mut seen = BTreeSet::new();
    for one in at.items() {
        let name = one.at("name");
        if name.is_empty() {
            causes.required(&name, "");
        } else if !is_sysctl(name.text()) {
            causes.invalid(&name, SYSCTL);
        } else if !seen.insert(name.text().replace('/', ".")) {
            causes.duplicate(&name);
        }
        if spec.at("hostNetwork").is_true() && name.text().starts_with("net.") {
            causes.invalid(&name, "may not be specified when 'hostNetwork' is true");
        }
        let is_ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.text().starts_with(prefix));
        if spec.at("hostIPC").is_true() && (is_ipc || name.text() == "kernel.sem") {
            causes.invalid(&name, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let is_part = |part: &str| {
        let inside = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
        let end = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        inside && end(part.as_bytes().first()) && end(part.as_bytes().last())
    };
    name.len() <= 253 && name.split(['.', '/']).all(is_part)
}

/// Profiles of the kernel's gatekeepers.
fn profiles(at: &At<'_>, causes: &mut Causes) {
    for field in ["seccompProfile", "appArmorProfile"] {
        let profile = at.at(field);
        if profile.is_missing() {
            continue;
        }
        let (kind, file) = (profile.at("type"), profile.at("localhostProfile"));
        if kind.is_empty() {
            causes.required(&kind, &format!("type is required when {field} is set"));
        } else {
            causes.optional_of(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
        }
        match (kind.text(), file.is_missing()) {
            ("Localhost", true) => {
                let what = if field == "seccompProfile" { "seccomp" } else { "AppArmor" };
                causes.required(&file, &format!("must be set when {what} type is Localhost"));
            }
            ("Localhost", false) if field == "seccompProfile" => super::containers::descending(&file, causes),
            ("Localhost", false) | (_, true) => {}
            (_, false) => {
                let what = if field == "seccompProfile" { "seccomp" } else { "AppArmor" };
                causes.invalid(&file, &format!("can only be set when {what} type is Localhost"));
            }
        }
    }
}

/// A container's own.
pub fn container(at: &At<'_>, causes: &mut Causes) {
    if at.is_missing() {
        return;
    }
    for field in ["runAsUser", "runAsGroup"] {
        id(&at.at(field), causes);
    }
    causes.optional_of(&at.at("procMount"), &["Default", "Unmasked"]);
    profiles(at, causes);
    let escalation = at.at("allowPrivilegeEscalation");
    if escalation.is_missing() || escalation.is_true() {
        return;
    }
    if at.at("privileged").is_true() {
        causes.invalid(at, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
    let adds_admin = at.at("capabilities").at("add").items().any(|one| one.text() == "CAP_SYS_ADMIN");
    if adds_admin {
        let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        causes.invalid(at, why);
    }
}
