//! The checks of each level, one entry each in a table: what a pod does that it may not.
//!
//! Source: k8s.io/pod-security-admission `policy`.

use super::Level;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a check found: what is forbidden, and who does it.
type Found = Option<(String, String)>;

/// One check: the level from which on it counts, and the stricter one that replaces it there.
struct Check {
    level: Level,
    /// Not asked at the restricted level, where another check asks for more.
    is_replaced: bool,
    find: fn(&Pod<'_>) -> Found,
}

const fn baseline(find: fn(&Pod<'_>) -> Found) -> Check {
    Check { level: Level::Baseline, is_replaced: false, find }
}

const fn replaced(find: fn(&Pod<'_>) -> Found) -> Check {
    Check { level: Level::Baseline, is_replaced: true, find }
}

const fn restricted(find: fn(&Pod<'_>) -> Found) -> Check {
    Check { level: Level::Restricted, is_replaced: false, find }
}

/// In the order in which they are told of.
static CHECKS: &[Check] = &[
    baseline(app_armor),
    replaced(capabilities_baseline),
    baseline(host_namespaces),
    replaced(host_path_volumes),
    baseline(host_ports),
    baseline(probe_hosts),
    baseline(privileged),
    baseline(proc_mount),
    baseline(selinux),
    replaced(seccomp_baseline),
    baseline(sysctls),
    baseline(windows_host_process),
    restricted(privilege_escalation),
    restricted(capabilities_restricted),
    restricted(volume_types),
    restricted(run_as_non_root),
    restricted(run_as_root),
    restricted(seccomp_restricted),
];

/// What a pod (metadata and spec) does that a level forbids, or nothing.
pub fn violations(pod: &Value, level: Level) -> Option<String> {
    if level == Level::Privileged {
        return None;
    }
    let pod = Pod { metadata: &pod["metadata"], spec: &pod["spec"] };
    let applies = |check: &&Check| match level {
        Level::Restricted => !check.is_replaced,
        _ => check.level == Level::Baseline,
    };
    let found: Vec<String> = CHECKS
        .iter()
        .filter(applies)
        .filter_map(|check| (check.find)(&pod))
        .map(|(what, who)| if who.is_empty() { what } else { format!("{what} ({who})") })
        .collect();
    (!found.is_empty()).then(|| found.join(", "))
}

struct Pod<'a> {
    metadata: &'a Value,
    spec: &'a Value,
}

impl<'a> Pod<'a> {
    fn containers(&self) -> impl Iterator<Item = &'a Value> {
        let spec = self.spec;
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        lists.into_iter().flat_map(move |list| spec[list].as_array().into_iter().flatten())
    }

    fn volumes(&self) -> impl Iterator<Item = &'a Value> {
        self.spec["volumes"].as_array().into_iter().flatten()
    }

    /// Names of containers that do something, quoted.
    fn who(&self, does: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|container| does(container)).map(name).collect()
    }

    fn is_windows(&self) -> bool {
        self.spec["os"]["name"] == "windows"
    }
}

fn name(of: &Value) -> &str {
    of["name"].as_str().unwrap_or_default()
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// `container "a"` or `containers "a", "b"`.
fn containers(names: &[&str]) -> String {
    counted("container", names)
}

fn counted(word: &str, names: &[&str]) -> String {
    let ending = if names.len() == 1 { "" } else { "s" };
    format!("{word}{ending} {}", quoted(names.iter().copied()))
}

fn found(what: &str, who: String) -> Found {
    Some((what.into(), who))
}

fn app_armor(pod: &Pod<'_>) -> Found {
    let is_wrong = |kind: &Value| !matches!(kind.as_str(), None | Some("RuntimeDefault" | "Localhost"));
    let who = pod.who(|container| is_wrong(&container["securityContext"]["appArmorProfile"]["type"]));
    let mut parts = Vec::new();
    if is_wrong(&pod.spec["securityContext"]["appArmorProfile"]["type"]) {
        parts.push("pod must not set AppArmor profile type to \"Unconfined\"".to_string());
    }
    if !who.is_empty() {
        parts.push(format!("{} must not set AppArmor profile type to \"Unconfined\"", containers(&who)));
    }
    let annotations = pod.metadata["annotations"].as_object().into_iter().flatten();
    let wrong: BTreeSet<String> = annotations
        .filter(|(key, _)| key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        .filter(|(_, value)| {
            let value = value.as_str().unwrap_or_default();
            !value.is_empty() && value != "runtime/default" && !value.starts_with("localhost/")
        })
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if !wrong.is_empty() {
        let ending = if wrong.len() == 1 { "" } else { "s" };
        parts.push(format!("annotation{ending} {}", wrong.into_iter().collect::<Vec<_>>().join(", ")));
    }
    let ending = if parts.len() == 1 { "" } else { "s" };
    if parts.is_empty() { None } else { found(&format!("forbidden AppArmor profile{ending}"), parts.join(" and ")) }
}

/// What a container runtime gives by default.
const DEFAULT_CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn added(container: &Value) -> impl Iterator<Item = &str> {
    let list = container["securityContext"]["capabilities"]["add"].as_array();
    list.into_iter().flatten().filter_map(Value::as_str)
}

fn capabilities_baseline(pod: &Pod<'_>) -> Found {
    let is_more = |capability: &&str| !DEFAULT_CAPABILITIES.contains(capability);
    let who = pod.who(|container| added(container).any(|one| is_more(&one)));
    let all: BTreeSet<&str> = pod.containers().flat_map(added).filter(is_more).collect();
    if who.is_empty() {
        return None;
    }
    let what = format!("{} must not include {} in securityContext.capabilities.add", containers(&who), quoted(all));
    found("non-default capabilities", what)
}

fn host_namespaces(pod: &Pod<'_>) -> Found {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|field| pod.spec[**field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    if shared.is_empty() { None } else { found("host namespaces", shared.join(", ")) }
}

fn host_path_volumes(pod: &Pod<'_>) -> Found {
    let names: Vec<&str> = pod.volumes().filter(|volume| !volume["hostPath"].is_null()).map(name).collect();
    if names.is_empty() { None } else { found("hostPath volumes", counted("volume", &names)) }
}

fn host_ports(pod: &Pod<'_>) -> Found {
    let of = |container: &Value| -> Vec<i64> {
        let ports = container["ports"].as_array().into_iter().flatten();
        ports.filter_map(|port| port["hostPort"].as_i64()).filter(|port| *port != 0).collect()
    };
    let who = pod.who(|container| !of(container).is_empty());
    let ports: BTreeSet<String> = pod.containers().flat_map(of).map(|port| port.to_string()).collect();
    if who.is_empty() {
        return None;
    }
    let uses = if who.len() == 1 { "uses" } else { "use" };
    let word = if ports.len() == 1 { "hostPort" } else { "hostPorts" };
    let list = ports.into_iter().collect::<Vec<_>>().join(", ");
    found("hostPort", format!("{} {uses} {word} {list}", containers(&who)))
}

/// Hosts that probes and hooks of containers go to: the node would ask others in a pod's name.
fn probe_hosts(pod: &Pod<'_>) -> Found {
    let of = |container: &Value| -> Vec<String> {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &container[probe]);
        let hooks = ["postStart", "preStop"].map(|hook| &container["lifecycle"][hook]);
        let handlers = probes.into_iter().chain(hooks);
        let hosts = handlers.flat_map(|handler| [&handler["httpGet"]["host"], &handler["tcpSocket"]["host"]]);
        hosts.filter_map(Value::as_str).filter(|host| !host.is_empty()).map(String::from).collect()
    };
    let who: BTreeSet<&str> = pod.who(|container| !of(container).is_empty()).into_iter().collect();
    let hosts: BTreeSet<String> = pod.containers().flat_map(of).collect();
    if who.is_empty() {
        return None;
    }
    let (who, hosts): (Vec<&str>, Vec<&str>) = (who.into_iter().collect(), hosts.iter().map(String::as_str).collect());
    let uses = if who.len() == 1 { "uses" } else { "use" };
    let what = "probe or lifecycle host";
    found(what, format!("{} {uses} {}", containers(&who), counted(what, &hosts)))
}

fn privileged(pod: &Pod<'_>) -> Found {
    let who = pod.who(|container| container["securityContext"]["privileged"] == true);
    let what = "must not set securityContext.privileged=true";
    if who.is_empty() { None } else { found("privileged", format!("{} {what}", containers(&who))) }
}

fn proc_mount(pod: &Pod<'_>) -> Found {
    if pod.spec["hostUsers"] == false {
        return None;
    }
    let kind = |container: &Value| container["securityContext"]["procMount"].as_str().map(String::from);
    let is_wrong = |container: &Value| kind(container).is_some_and(|kind| kind != "Default");
    let who = pod.who(is_wrong);
    let kinds: BTreeSet<String> = pod.containers().filter(|one| is_wrong(one)).filter_map(kind).collect();
    if who.is_empty() {
        return None;
    }
    let kinds = quoted(kinds.iter().map(String::as_str));
    found("procMount", format!("{} must not set securityContext.procMount to {kinds}", containers(&who)))
}

fn selinux(pod: &Pod<'_>) -> Found {
    const TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let options = |of: &Value| of["securityContext"]["seLinuxOptions"].clone();
    let wrong = |options: &Value| -> Vec<String> {
        let text = |field: &str| options[field].as_str().unwrap_or_default();
        let mut wrong = Vec::new();
        if !TYPES.contains(&text("type")) {
            wrong.push(format!("type \"{}\"", text("type")));
        }
        wrong.extend((!text("user").is_empty()).then(|| "user may not be set".to_string()));
        wrong.extend((!text("role").is_empty()).then(|| "role may not be set".to_string()));
        wrong
    };
    let mut who = Vec::new();
    let mut what: Vec<String> = wrong(&options(pod.spec));
    who.extend((!what.is_empty()).then(|| "pod".to_string()));
    let names = pod.who(|container| !wrong(&options(container)).is_empty());
    who.extend((!names.is_empty()).then(|| containers(&names)));
    what.extend(pod.containers().flat_map(|container| wrong(&options(container))));
    what.sort();
    what.dedup();
    if who.is_empty() {
        None
    } else {
        found("seLinuxOptions", format!("{} set forbidden {}", who.join(" and "), what.join("; ")))
    }
}

fn seccomp(of: &Value) -> Option<&str> {
    of["securityContext"]["seccompProfile"]["type"].as_str()
}

fn seccomp_baseline(pod: &Pod<'_>) -> Found {
    let is_wrong = |of: &Value| seccomp(of) == Some("Unconfined");
    let names = pod.who(is_wrong);
    let mut who = Vec::new();
    who.extend(is_wrong(pod.spec).then(|| "pod".to_string()));
    who.extend((!names.is_empty()).then(|| containers(&names)));
    let what = "must not set securityContext.seccompProfile.type to \"Unconfined\"";
    if who.is_empty() { None } else { found("seccompProfile", format!("{} {what}", who.join(" and "))) }
}

fn sysctls(pod: &Pod<'_>) -> Found {
    const SAFE: &[&str] = &[
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    ];
    let list = pod.spec["securityContext"]["sysctls"].as_array().into_iter().flatten();
    let wrong: Vec<&str> = list.map(name).filter(|name| !SAFE.contains(name)).collect();
    if wrong.is_empty() { None } else { found("forbidden sysctls", wrong.join(", ")) }
}

fn windows_host_process(pod: &Pod<'_>) -> Found {
    let is_host = |of: &Value| of["securityContext"]["windowsOptions"]["hostProcess"] == true;
    let names = pod.who(is_host);
    let mut who = Vec::new();
    who.extend(is_host(pod.spec).then(|| "pod".to_string()));
    who.extend((!names.is_empty()).then(|| containers(&names)));
    let what = "must not set securityContext.windowsOptions.hostProcess=true";
    if who.is_empty() { None } else { found("hostProcess", format!("{} {what}", who.join(" and "))) }
}

fn privilege_escalation(pod: &Pod<'_>) -> Found {
    if pod.is_windows() {
        return None;
    }
    let who = pod.who(|container| container["securityContext"]["allowPrivilegeEscalation"] != false);
    let what = "must set securityContext.allowPrivilegeEscalation=false";
    if who.is_empty() {
        None
    } else {
        found("allowPrivilegeEscalation != false", format!("{} {what}", containers(&who)))
    }
}

fn capabilities_restricted(pod: &Pod<'_>) -> Found {
    if pod.is_windows() {
        return None;
    }
    let drops_all = |container: &Value| {
        let list = container["securityContext"]["capabilities"]["drop"].as_array();
        list.into_iter().flatten().any(|one| one == "ALL")
    };
    let is_more = |capability: &&str| *capability != "NET_BIND_SERVICE";
    let keeping = pod.who(|container| !drops_all(container));
    let adding = pod.who(|container| added(container).any(|one| is_more(&one)));
    let mut what = Vec::new();
    if !keeping.is_empty() {
        what.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    }
    if !adding.is_empty() {
        let all: BTreeSet<&str> = pod.containers().flat_map(added).filter(is_more).collect();
        let list = quoted(all);
        what.push(format!("{} must not include {list} in securityContext.capabilities.add", containers(&adding)));
    }
    if what.is_empty() { None } else { found("unrestricted capabilities", what.join("; ")) }
}

fn volume_types(pod: &Pod<'_>) -> Found {
    const ALLOWED: &[&str] = &[
        "name",
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    let forbidden = |volume: &Value| -> Option<String> {
        let fields = volume.as_object()?;
        fields
            .iter()
            .find(|(field, value)| !ALLOWED.contains(&field.as_str()) && !value.is_null())
            .map(|(field, _)| field.clone())
    };
    let names: Vec<&str> = pod.volumes().filter(|volume| forbidden(volume).is_some()).map(name).collect();
    let kinds: BTreeSet<String> = pod.volumes().filter_map(forbidden).collect();
    if names.is_empty() {
        return None;
    }
    let uses = if names.len() == 1 { "uses" } else { "use" };
    let ending = if kinds.len() == 1 { "" } else { "s" };
    let list = quoted(kinds.iter().map(String::as_str));
    found(
        "restricted volume types",
        format!("{} {uses} restricted volume type{ending} {list}", counted("volume", &names)),
    )
}

fn run_as_non_root(pod: &Pod<'_>) -> Found {
    let own = |of: &Value| of["securityContext"]["runAsNonRoot"].as_bool();
    let of_pod = own(pod.spec);
    let explicit = pod.who(|container| own(container) == Some(false));
    let implicit = pod.who(|container| own(container).is_none());
    if of_pod == Some(false) || !explicit.is_empty() {
        let mut who = Vec::new();
        who.extend((of_pod == Some(false)).then(|| "pod".to_string()));
        who.extend((!explicit.is_empty()).then(|| containers(&explicit)));
        let what = format!("{} must not set securityContext.runAsNonRoot=false", who.join(" and "));
        return found("runAsNonRoot != true", what);
    }
    if of_pod == Some(true) || implicit.is_empty() || pod.spec["hostUsers"] == false {
        return None;
    }
    found(
        "runAsNonRoot != true",
        format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&implicit)),
    )
}

fn run_as_root(pod: &Pod<'_>) -> Found {
    if pod.spec["hostUsers"] == false {
        return None;
    }
    let is_root = |of: &Value| of["securityContext"]["runAsUser"] == 0;
    let names = pod.who(is_root);
    let mut who = Vec::new();
    who.extend(is_root(pod.spec).then(|| "pod".to_string()));
    who.extend((!names.is_empty()).then(|| containers(&names)));
    if who.is_empty() { None } else { found("runAsUser=0", format!("{} must not set runAsUser=0", who.join(" and "))) }
}

fn seccomp_restricted(pod: &Pod<'_>) -> Found {
    if pod.is_windows() {
        return None;
    }
    let is_fine = |kind: &str| matches!(kind, "RuntimeDefault" | "Localhost");
    let of_pod = seccomp(pod.spec);
    let wrong = |of: &Value| seccomp(of).is_some_and(|kind| !is_fine(kind));
    let explicit = pod.who(wrong);
    if wrong(pod.spec) || !explicit.is_empty() {
        let mut who = Vec::new();
        who.extend(wrong(pod.spec).then(|| "pod".to_string()));
        who.extend((!explicit.is_empty()).then(|| containers(&explicit)));
        let what = "must not set securityContext.seccompProfile.type to \"Unconfined\"";
        return found("seccompProfile", format!("{} {what}", who.join(" and ")));
    }
    let implicit = pod.who(|container| seccomp(container).is_none());
    if of_pod.is_some() || implicit.is_empty() {
        return None;
    }
    let what = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    found("seccompProfile", format!("pod or {} {what}", containers(&implicit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain() -> Value {
        json!({"spec": {"containers": [{"name": "c"}]}})
    }

    #[test]
    fn a_plain_pod_is_baseline_and_not_restricted() {
        assert_eq!(violations(&plain(), Level::Privileged), None);
        assert_eq!(violations(&plain(), Level::Baseline), None);
        let wanted = "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
            unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), \
            runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), \
            seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
        assert_eq!(violations(&plain(), Level::Restricted).unwrap(), wanted);
    }

    #[test]
    fn a_careful_pod_is_restricted() {
        let careful = json!({"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"}});
        let pod = json!({"spec": {"containers": [{"name": "c", "securityContext": careful}]}});
        assert_eq!(violations(&pod, Level::Restricted), None);
    }

    #[test]
    fn what_reaches_the_host_is_no_baseline() {
        let cases = [
            (json!({"hostNetwork": true, "hostPID": true}), "host namespaces (hostNetwork=true, hostPID=true)"),
            (json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), "hostPath volumes (volume \"v\")"),
            (
                json!({"containers": [{"name": "a", "securityContext": {"privileged": true}}]}),
                "privileged (container \"a\" must not set securityContext.privileged=true)",
            ),
            (
                json!({"containers": [{"name": "a", "ports": [{"hostPort": 80}]}]}),
                "hostPort (container \"a\" uses hostPort 80)",
            ),
            (
                json!({"containers": [{"name": "a", "securityContext": {"capabilities": {"add": ["SYS_ADMIN", "KILL"]}}}]}),
                "non-default capabilities (container \"a\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add)",
            ),
            (json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}), "forbidden sysctls (kernel.msgmax)"),
        ];
        for (spec, wanted) in cases {
            assert_eq!(violations(&json!({"spec": spec}), Level::Baseline).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn probes_and_hooks_ask_nobody_but_the_pod() {
        let host = |kind: &str, host: &str| json!({kind: {"host": host, "port": 80}});
        let own = json!({"containers": [{"name": "a", "livenessProbe": host("httpGet", ""),
            "lifecycle": {"postStart": {"httpGet": {"port": 80}}, "preStop": null}}]});
        let cases = [
            (own, None),
            (
                json!({"containers": [{"name": "a", "livenessProbe": host("httpGet", "127.0.0.1")}]}),
                Some("probe or lifecycle host (container \"a\" uses probe or lifecycle host \"127.0.0.1\")"),
            ),
            (
                json!({"containers": [
                    {"name": "a", "readinessProbe": host("tcpSocket", "8.8.8.8"), "startupProbe": host("httpGet", "8.8.8.8")},
                    {"name": "b"}],
                    "initContainers": [{"name": "i", "lifecycle": {"preStop": host("httpGet", "1.1.1.1")}}]}),
                Some(
                    "probe or lifecycle host (containers \"a\", \"i\" use probe or lifecycle hosts \"1.1.1.1\", \"8.8.8.8\")",
                ),
            ),
            (
                json!({"containers": [{"name": "a", "lifecycle": {"postStart": host("tcpSocket", "h")}}]}),
                Some("probe or lifecycle host (container \"a\" uses probe or lifecycle host \"h\")"),
            ),
        ];
        for (spec, wanted) in cases {
            assert_eq!(violations(&json!({"spec": spec}), Level::Baseline).as_deref(), wanted);
        }
    }
}
