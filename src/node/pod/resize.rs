//! Resizing containers that run: what their cgroups are held to follows what the pod asks for (KEP-1287).
//!
//! ```text
//! asked = held to ─▶ nothing to do
//! the node has too little ─▶ PodResizePending: Infeasible, or Deferred while other pods have it
//! else ─▶ PodResizeInProgress ─▶ cgroups written, or the container restarted where its policy says so ─▶ nothing to do
//! ```
//!
//! What a container is held to is what the runtime keeps of it, so a resize that was cut short goes on with the next agent.
//!
//! Source of rules and wording: kubelet `pkg/kubelet/allocation`, `pkg/kubelet/kuberuntime` (doPodResizeAction).

use super::history::{History, is_running};
use super::parts::{self, Kind};
use super::plan::Kill;
use super::{conditions, resources};
use crate::node::admit;
use crate::node::context::Node;
use crate::runtime::{self, Container, Resources};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use std::sync::Arc;

pub const PENDING: &str = "PodResizePending";
pub const IN_PROGRESS: &str = "PodResizeInProgress";

/// How far a resize is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Resize {
    /// Everything is held to what it asks for.
    #[default]
    Done,
    /// It cannot be, for this reason and in these words.
    Pending(&'static str, String),
    /// It is being held to it; the error of the last attempt.
    InProgress(Option<String>),
}

impl Resize {
    /// Whether it goes on when other pods have less of the node.
    pub fn waits_for_room(&self) -> bool {
        matches!(self, Resize::Pending(..))
    }

    /// The condition that tells of it.
    pub fn condition(&self, pod: &Pod) -> Option<PodCondition> {
        match self {
            Resize::Done => None,
            Resize::Pending(reason, message) => Some(conditions::holding(pod, PENDING, Some(reason), Some(message))),
            Resize::InProgress(error) => {
                let reason = error.as_ref().map(|_| "Error");
                Some(conditions::holding(pod, IN_PROGRESS, reason, error.as_deref()))
            }
        }
    }
}

/// A running container that is held to something else than it asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub id: String,
    pub name: String,
    /// What it is to be held to; what was taken away is written as no limit.
    pub resources: Resources,
    /// Its policy wants it restarted.
    pub restarts: bool,
}

impl Change {
    /// The end of a container that is to start again with other limits.
    pub fn kill(&self) -> Kill {
        let message = format!("Container {} resize requires restart", self.name);
        Kill { id: self.id.clone(), name: self.name.clone(), message, grace: None }
    }
}

/// The pod with what these containers were given, not with what they ask for now: that much of the node it has.
pub fn without(pod: &Pod, names: &[String]) -> Pod {
    let mut given = pod.clone();
    let all = given
        .spec
        .iter_mut()
        .flat_map(|spec| spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()));
    for container in all.filter(|container| names.contains(&container.name)) {
        let statuses = pod.status.iter().flat_map(|status| {
            status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
        });
        let known = statuses.into_iter().find(|known| known.name == container.name);
        if let Some(allocated) = known.and_then(|known| known.allocated_resources.clone()) {
            container.resources.get_or_insert_default().requests = Some(allocated);
        }
    }
    given
}

/// Everything that differs.
pub fn changes(node: &Node, pod: &Pod, history: &History) -> Vec<Change> {
    let all = parts::containers(pod).filter(|(kind, _)| *kind != Kind::Ephemeral);
    let differing = all.filter_map(|(_, wanted)| {
        let container = history.latest(&wanted.name).filter(|latest| is_running(latest))?;
        let (target, held) = (resources::container(pod, &wanted, &node.machine), &container.spec.resources);
        if is_same(&target, held) {
            return None;
        }
        let restarts = |resource: &str| {
            let mut policies = wanted.resize_policy.iter().flatten();
            policies.any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
        };
        let (cpu, memory) = (cpu(&target) != cpu(held), limit(target.memory_limit) != limit(held.memory_limit));
        Some(Change {
            id: container.id.clone(),
            name: wanted.name.clone(),
            restarts: cpu && restarts("cpu") || memory && restarts("memory"),
            resources: Resources {
                cpu_quota: target.cpu_quota.or(held.cpu_quota.map(|_| -1)),
                memory_limit: target.memory_limit.or(held.memory_limit.map(|_| -1)),
                ..target
            },
        })
    });
    differing.collect()
}

fn is_same(one: &Resources, other: &Resources) -> bool {
    cpu(one) == cpu(other) && limit(one.memory_limit) == limit(other.memory_limit)
}

fn cpu(resources: &Resources) -> (Option<u64>, Option<i64>) {
    (resources.cpu_shares, limit(resources.cpu_quota))
}

/// No limit is said in two ways.
fn limit(value: Option<i64>) -> Option<i64> {
    value.filter(|value| *value > 0)
}

/// Why the node cannot give the pod what it asks for now; nothing if it can.
pub fn pending(node: &Node, pod: &Pod) -> Option<Resize> {
    let lacks = |lack: admit::Lack, reason: &'static str| {
        let (name, requested, capacity) = (lack.name, lack.requested, lack.capacity);
        Resize::Pending(
            reason,
            match reason {
                "Infeasible" => {
                    format!("Node didn't have enough capacity: {name}, requested: {requested}, capacity: {capacity}")
                }
                _ => lack.to_string(),
            },
        )
    };
    admit::lack(node, pod, &[]).map(|lack| lacks(lack, "Infeasible")).or_else(|| {
        let others = admit::others(node, pod);
        admit::lack(node, pod, &others).map(|lack| lacks(lack, "Deferred"))
    })
}

/// Writes new limits of the pod and of its containers; returns the containers as they are then. A limit that is raised is
/// raised from the outside in, one that is lowered from the inside out: what is inside never has more than what is outside.
pub async fn apply(
    node: Arc<Node>,
    pod: Arc<Pod>,
    sandbox: String,
    changes: Vec<Change>,
) -> Result<Vec<Container>, String> {
    let failed = |error: runtime::Error| error.to_string();
    for change in &changes {
        let Some(memory) = limit(change.resources.memory_limit) else { continue };
        let usage = node.runtime.stats(&change.id).await.map_err(failed)?.memory_working_set_bytes;
        // The kernel would make room by killing it.
        if usage as i64 > memory {
            return Err(format!(
                "attempting to set container \"{}\" memory limit ({memory}) below current usage ({usage})",
                change.name
            ));
        }
    }
    let whole = resources::sandbox(&pod);
    // One that cannot be lowered yet, for what is inside still has more, is lowered afterwards.
    let first = node.runtime.update_sandbox(&sandbox, whole.clone()).await;
    for change in &changes {
        node.runtime.update_container(&change.id, change.resources.clone()).await.map_err(failed)?;
    }
    if first.is_err() {
        node.runtime.update_sandbox(&sandbox, whole).await.map_err(failed)?;
    }
    let mut resized = Vec::new();
    for change in &changes {
        resized.push(node.runtime.container(&change.id).await.map_err(failed)?);
    }
    Ok(resized)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{FakeApi, FakeRuntime, container, node, pod, running};
    use serde_json::{Value, json};

    fn asking(resources: Value) -> Pod {
        pod(json!({"containers": [{"name": "web", "image": "i", "resources": resources,
            "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}]}))
    }

    #[tokio::test]
    async fn running_containers_follow_what_they_ask_for() {
        let (api, runtime) = (FakeApi::default(), FakeRuntime::default());
        let (node, _folder) = node(&api, &runtime);
        let before = asking(json!({"limits": {"cpu": "1", "memory": "64Mi"}}));
        let mut web = container("web", 0, running());
        web.spec.resources = resources::container(&before, &parts::spec(&before).containers[0], &node.machine);
        let mut history = History::default();
        history.take(web);
        assert_eq!(changes(&node, &before, &history), []);

        let more = changes(&node, &asking(json!({"limits": {"cpu": "2", "memory": "64Mi"}})), &history);
        assert_eq!((more[0].resources.cpu_quota, more[0].restarts), (Some(200_000), false));
        let memory = changes(&node, &asking(json!({"limits": {"cpu": "1", "memory": "65Mi"}})), &history);
        assert!(memory[0].restarts, "its policy says so");
        let none = changes(&node, &asking(json!({"requests": {"cpu": "1"}, "limits": {"memory": "64Mi"}})), &history);
        assert_eq!((none[0].resources.cpu_quota, none[0].restarts), (Some(-1), false));
    }

    #[test]
    fn what_cannot_be_given_is_not_counted() {
        let mut pod = asking(json!({"requests": {"cpu": "90000"}}));
        pod.status = serde_json::from_value(json!({"containerStatuses": [{"name": "web", "image": "i", "imageID": "",
            "ready": true, "restartCount": 0, "allocatedResources": {"cpu": "1"}}]}))
        .unwrap();
        assert_eq!(resources::request(&without(&pod, &["web".into()]), "cpu").milli(), 1000);
        assert_eq!(resources::request(&without(&pod, &[]), "cpu").milli(), 90_000_000);
    }

    #[tokio::test]
    async fn a_node_that_has_too_little_says_so() {
        let (api, runtime) = (FakeApi::default(), FakeRuntime::default());
        let (node, _folder) = node(&api, &runtime);
        assert_eq!(pending(&node, &asking(json!({"requests": {"cpu": "1m"}}))), None);
        let Some(Resize::Pending("Infeasible", message)) =
            pending(&node, &asking(json!({"requests": {"cpu": "90000"}})))
        else {
            panic!()
        };
        let capacity = node.machine.cpus * 1000;
        let words = "Node didn't have enough capacity: cpu, requested: 90000000, capacity: ";
        assert_eq!(message, format!("{words}{capacity}"));
    }
}
