//! Reading a pod's specification: its containers of every kind, names for events, grace.

use crate::client::Level;
use crate::node::context::Node;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, ObjectReference, Pod, PodSpec, PodStatus};
use std::borrow::Cow;

/// Grace of a pod that says nothing, seconds.
const DEFAULT_GRACE: i64 = 30;

/// Which list of the pod a container is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Init,
    Regular,
    Ephemeral,
}

/// Whether and when containers are started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

static NO_SPEC: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
static NO_STATUS: std::sync::LazyLock<PodStatus> = std::sync::LazyLock::new(PodStatus::default);

/// `metadata.name`.
pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// `metadata.namespace`.
pub fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// `metadata.uid`.
pub fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// `NAME_NAMESPACE(UID)`: how messages name a pod.
pub fn title(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

/// `spec`, empty if it is missing.
pub fn spec(pod: &Pod) -> &PodSpec {
    pod.spec.as_ref().unwrap_or(&NO_SPEC)
}

/// `status`, empty if it is missing.
pub fn status(pod: &Pod) -> &PodStatus {
    pod.status.as_ref().unwrap_or(&NO_STATUS)
}

/// Init containers, in order.
pub fn init_containers(pod: &Pod) -> &[Container] {
    spec(pod).init_containers.as_deref().unwrap_or_default()
}

/// Every container with the list it is in: init, regular, ephemeral.
pub fn containers(pod: &Pod) -> impl Iterator<Item = (Kind, Cow<'_, Container>)> {
    let spec = spec(pod);
    let init = init_containers(pod).iter().map(|container| (Kind::Init, Cow::Borrowed(container)));
    let regular = spec.containers.iter().map(|container| (Kind::Regular, Cow::Borrowed(container)));
    let ephemeral = spec.ephemeral_containers.iter().flatten().filter_map(|container| {
        // The fields are those of a container, and a target.
        let value = serde_json::to_value(container).ok()?;
        Some((Kind::Ephemeral, Cow::Owned(serde_json::from_value(value).ok()?)))
    });
    init.chain(regular).chain(ephemeral)
}

/// The container called `name`.
pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<(Kind, Cow<'a, Container>)> {
    containers(pod).find(|(_, container)| container.name == name)
}

/// What the API last knew of a container.
pub fn known_status<'a>(pod: &'a Pod, kind: Kind, name: &str) -> Option<&'a ContainerStatus> {
    let status = status(pod);
    let list = match kind {
        Kind::Init => &status.init_container_statuses,
        Kind::Regular => &status.container_statuses,
        Kind::Ephemeral => &status.ephemeral_container_statuses,
    };
    list.iter().flatten().find(|status| status.name == name)
}

/// An init container that keeps running beside the others.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// `spec.restartPolicy`.
pub fn restart_policy(pod: &Pod) -> RestartPolicy {
    match spec(pod).restart_policy.as_deref() {
        Some("Never") => RestartPolicy::Never,
        Some("OnFailure") => RestartPolicy::OnFailure,
        _ => RestartPolicy::Always,
    }
}

/// Whether deletion was asked for.
pub fn is_deleted(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the API has it as done for ever.
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(status(pod).phase.as_deref(), Some("Succeeded" | "Failed"))
}

/// Seconds that its containers get to end: at least one.
pub fn grace_seconds(pod: &Pod) -> i64 {
    let asked = pod.metadata.deletion_grace_period_seconds.or(spec(pod).termination_grace_period_seconds);
    asked.unwrap_or(DEFAULT_GRACE).max(1)
}

/// `spec.hostNetwork`.
pub fn host_network(pod: &Pod) -> bool {
    spec(pod).host_network.unwrap_or(false)
}

/// Records an event about the pod, or about one of its containers.
pub fn tell(node: &Node, pod: &Pod, container: Option<&str>, level: Level, reason: &str, message: impl Into<String>) {
    let field = |name: &str| match container_kind(pod, name) {
        Some(Kind::Init) => format!("spec.initContainers{{{name}}}"),
        Some(Kind::Ephemeral) => format!("spec.ephemeralContainers{{{name}}}"),
        _ => format!("spec.containers{{{name}}}"),
    };
    let about = ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        resource_version: pod.metadata.resource_version.clone(),
        field_path: container.map(field),
    };
    node.events.record(about, level, reason, message);
}

fn container_kind(pod: &Pod, name: &str) -> Option<Kind> {
    containers(pod).find(|(_, container)| container.name == name).map(|(kind, _)| kind)
}
