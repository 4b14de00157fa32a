//! Making a pod's sandbox: its folder, its namespaces and cgroup, its link.

use super::{parts, resources};
use crate::node::context::Node;
use crate::runtime::{Sandbox, SandboxSpec};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Annotation that keeps the grace of a pod whose object may be gone when the agent returns.
pub const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
/// Longest host name.
const HOSTNAME: usize = 63;

/// Makes the sandbox and its link.
pub async fn make(node: &Node, pod: &Pod, attempt: u32) -> Result<(Sandbox, Vec<IpAddr>), String> {
    // Pod security takes less of a pod that is root of nothing but a user namespace of its own: it must not be root here.
    if parts::spec(pod).host_users == Some(false) {
        return Err("user namespaces are not supported by this node: remove hostUsers: false".into());
    }
    let sandbox = node.runtime.run_sandbox(spec(node, pod, attempt)).await.map_err(|error| error.to_string())?;
    match link(node, &sandbox).await {
        Ok(addresses) => Ok((sandbox, addresses)),
        Err(why) => {
            // The first error is the one to tell; the next attempt makes another sandbox.
            node.runtime.stop_sandbox(&sandbox.id).await.ok();
            node.runtime.remove_sandbox(&sandbox.id).await.ok();
            Err(why)
        }
    }
}

/// The addresses of a sandbox; its link is made if it is not there.
pub async fn link(node: &Node, sandbox: &Sandbox) -> Result<Vec<IpAddr>, String> {
    match &sandbox.network_namespace {
        None => Ok(vec![node.profile.network.node_address]),
        Some(namespace) => node.links.attach(&sandbox.id, namespace).await.map_err(|error| error.to_string()),
    }
}

/// Ends what is left in a sandbox and takes its link away.
pub async fn end(node: &Node, id: &str) -> Result<(), String> {
    node.links.detach(id).await.map_err(|error| error.to_string())?;
    node.runtime.stop_sandbox(id).await.map_err(|error| error.to_string())
}

fn spec(node: &Node, pod: &Pod, attempt: u32) -> SandboxSpec {
    let spec = parts::spec(pod);
    let (namespace, name, uid) = (parts::namespace(pod), parts::name(pod), parts::uid(pod));
    let sysctls = spec.security_context.as_ref().and_then(|context| context.sysctls.as_ref());
    SandboxSpec {
        name: name.to_string(),
        namespace: namespace.to_string(),
        uid: uid.to_string(),
        attempt,
        hostname: hostname(node, pod),
        host_network: parts::host_network(pod),
        host_pid: spec.host_pid.unwrap_or(false),
        host_ipc: spec.host_ipc.unwrap_or(false),
        share_pid: spec.share_process_namespace.unwrap_or(false),
        sysctls: sysctls.into_iter().flatten().map(|one| (one.name.clone(), one.value.clone())).collect(),
        cgroup: resources::cgroup(pod),
        resources: resources::sandbox(pod),
        log_directory: node.paths.pod_logs().join(format!("{namespace}_{name}_{uid}")),
        labels: labels(pod),
        annotations: BTreeMap::from([(GRACE.to_string(), parts::grace_seconds(pod).to_string())]),
    }
}

fn labels(pod: &Pod) -> BTreeMap<String, String> {
    let own = pod.metadata.labels.clone().unwrap_or_default();
    let fixed = [
        ("io.kubernetes.pod.name", parts::name(pod)),
        ("io.kubernetes.pod.namespace", parts::namespace(pod)),
        ("io.kubernetes.pod.uid", parts::uid(pod)),
    ];
    own.into_iter().chain(fixed.map(|(key, value)| (key.to_string(), value.to_string()))).collect()
}

/// What the pod's containers are called: its `hostname` or name, cut to what a host name may be.
pub fn hostname(node: &Node, pod: &Pod) -> String {
    let spec = parts::spec(pod);
    if parts::host_network(pod) {
        return node.name.clone();
    }
    if let Some(override_) = spec.hostname_override.as_ref().filter(|name| !name.is_empty()) {
        return override_.clone();
    }
    let short = short_hostname(pod);
    match (spec.set_hostname_as_fqdn, domain(node, pod)) {
        (Some(true), Some(domain)) => format!("{short}.{domain}"),
        _ => short,
    }
}

/// The first label of the host name.
pub fn short_hostname(pod: &Pod) -> String {
    let name = parts::spec(pod).hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or(parts::name(pod));
    name.chars().take(HOSTNAME).collect::<String>().trim_end_matches(['-', '.']).to_string()
}

/// `SUBDOMAIN.NAMESPACE.svc.DOMAIN` of a pod with a subdomain.
pub fn domain(node: &Node, pod: &Pod) -> Option<String> {
    let subdomain = parts::spec(pod).subdomain.as_ref().filter(|name| !name.is_empty())?;
    Some(format!("{subdomain}.{}.svc.{}", parts::namespace(pod), node.profile.network.domain))
}
