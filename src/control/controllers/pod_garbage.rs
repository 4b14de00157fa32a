//! Deletes pods that nobody else will: on nodes that are gone, terminating without ever having had a node, and ended
//! ones above a number.
//!
//! Source of the rules: kubernetes `pkg/controller/podgc/gc_controller.go`.

use super::nodes::mark_disrupted;
use super::runner::Next;
use super::watches::{Watched, changes, read};
use super::{Context, Controller, Error, Key, pods, write};
use crate::client::Change;
use futures::FutureExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::Api;
use std::time::Duration;

pub(super) const CONTROLLER: Controller = Controller {
    name: "pod-garbage-collector",
    watches: &[read::<Node>, suspects, of_gone_nodes],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// Ended pods that may stay (`--terminated-pod-gc-threshold`).
const ENDED: usize = 12_500;
/// How long a node must be gone: it may come back under its name.
const QUARANTINE: Duration = Duration::from_secs(40);

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// The key of the count of ended pods: no pod has an empty name.
fn count() -> Key {
    Key::new("", "")
}

fn suspects(context: &Context) -> Watched {
    let nodes = context.caches.of::<Node>();
    changes::<Pod>(context, move |change| {
        let Change::Applied { old, new } = change else { return Vec::new() };
        let was = |is: fn(&Pod) -> bool| old.as_ref().is_some_and(|old| is(old));
        let mut keys = Vec::new();
        if pods::is_finished(&new) && !was(pods::is_finished) {
            keys.push(count());
        }
        let is_homeless = node_of(&new).is_empty() && pods::is_terminating(&new);
        let is_lost = !node_of(&new).is_empty()
            && old.is_none_or(|old| node_of(&old).is_empty())
            && nodes.get("", node_of(&new)).is_none();
        if is_homeless || is_lost {
            keys.push(Key::of(&*new));
        }
        keys
    })
}

fn of_gone_nodes(context: &Context) -> Watched {
    let pods = context.caches.of::<Pod>();
    changes::<Node>(context, move |change| {
        let Change::Deleted(node) = change else { return Vec::new() };
        let mut keys = Vec::new();
        pods.for_each(|pod| {
            if Some(node_of(pod)) == node.metadata.name.as_deref() {
                keys.push(Key::of(&**pod));
            }
        });
        keys
    })
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    if key == count() {
        return forget_ended(context).await;
    }
    let Some(pod) = context.caches.of::<Pod>().get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    let node = node_of(&pod);
    if node.is_empty() {
        if pods::is_terminating(&pod) {
            write::delete_with(context, &*pod, None, Some(0)).await?;
        }
        return Ok(Next::Wait);
    }
    if context.caches.of::<Node>().get("", node).is_some() {
        context.missing_nodes.lock().remove(node);
        return Ok(Next::Wait);
    }
    let since = *context.missing_nodes.lock().entry(node.to_string()).or_insert_with(tokio::time::Instant::now);
    let left = QUARANTINE.saturating_sub(since.elapsed());
    if !left.is_zero() {
        return Ok(Next::After(left));
    }
    // The cache may not know it yet: what is deleted here does not come back.
    if Api::<Node>::all(context.client.clone()).get_opt(node).await?.is_some() {
        return Ok(Next::Wait);
    }
    let phase = if pods::is_finished(&pod) { None } else { Some("Failed") };
    mark_disrupted(context, &pod, "DeletionByPodGC", "PodGC: node no longer exists", phase).await?;
    write::delete_with(context, &*pod, None, Some(0)).await?;
    Ok(Next::Wait)
}

/// Deletes the oldest ended pods above the number.
async fn forget_ended(context: &Context) -> Result<Next, Error> {
    let mut ended = Vec::new();
    context.caches.of::<Pod>().for_each(|pod| {
        if pods::is_finished(pod) && !pods::is_terminating(pod) {
            ended.push(pod.clone());
        }
    });
    let surplus = ended.len().saturating_sub(ENDED);
    ended.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    for pod in ended.into_iter().take(surplus) {
        write::delete_with(context, &*pod, None, Some(0)).await?;
    }
    Ok(Next::Wait)
}
