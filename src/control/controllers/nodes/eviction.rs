//! Evicts pods from nodes with `NoExecute` taints that they do not tolerate, or no longer.
//!
//! Source of the rules: kubernetes `pkg/controller/tainteviction/taint_eviction.go`.

use crate::client::{Change, Level};
use crate::control::controllers::runner::Next;
use crate::control::controllers::taints::{self, NO_EXECUTE, tolerates};
use crate::control::controllers::watches::{Watched, changes};
use crate::control::controllers::{Context, Controller, Error, Key, pods, write};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

pub(in super::super) const CONTROLLER: Controller = Controller {
    name: "taint-eviction-controller",
    watches: &[pods_of_tainted, pods_changed],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// Since when pods stand under eviction, by uid.
#[derive(Default)]
pub(in super::super) struct Evictions(Mutex<HashMap<String, Instant>>);

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

fn executes(node: &Node) -> Vec<Taint> {
    taints::of(node).iter().filter(|taint| taint.effect == NO_EXECUTE).cloned().collect()
}

fn pods_of_tainted(context: &Context) -> Watched {
    let pods = context.caches.of::<Pod>();
    changes::<Node>(context, move |change| {
        let Change::Applied { old, new } = change else { return Vec::new() };
        let before = old.as_deref().map(executes).unwrap_or_default();
        if before == executes(&new) {
            return Vec::new();
        }
        let mut keys = Vec::new();
        pods.for_each(|pod| {
            if Some(node_of(pod)) == new.metadata.name.as_deref() {
                keys.push(Key::of(&**pod));
            }
        });
        keys
    })
}

fn pods_changed(context: &Context) -> Watched {
    let nodes = context.caches.of::<Node>();
    changes::<Pod>(context, move |change| {
        let Change::Applied { old, new } = change else { return Vec::new() };
        let tolerations = |pod: &Pod| pod.spec.as_ref().map(|spec| (spec.node_name.clone(), spec.tolerations.clone()));
        if node_of(&new).is_empty() || old.is_some_and(|old| tolerations(&old) == tolerations(&new)) {
            return Vec::new();
        }
        let is_tainted = nodes.get("", node_of(&new)).is_some_and(|node| !executes(&node).is_empty());
        if is_tainted { vec![Key::of(&*new)] } else { Vec::new() }
    })
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(pod) = context.caches.of::<Pod>().get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let taints = context.caches.of::<Node>().get("", node_of(&pod)).map(|node| executes(&node)).unwrap_or_default();
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
    let Some(patience) = patience(&taints, &tolerations).filter(|_| !pods::is_terminating(&pod)) else {
        if context.evictions.0.lock().remove(&uid).is_some() && !pods::is_terminating(&pod) {
            let text = format!("Cancelling deletion of Pod {key}");
            context.record(CONTROLLER.name, &*pod, Level::Normal, "TaintManagerEviction", text);
        }
        return Ok(Next::Wait);
    };
    let since = *context.evictions.0.lock().entry(uid.clone()).or_insert_with(Instant::now);
    let left = patience.saturating_sub(since.elapsed());
    if !left.is_zero() {
        return Ok(Next::After(left));
    }
    evict(context, &key, &pod).await?;
    context.evictions.0.lock().remove(&uid);
    Ok(Next::Wait)
}

/// How long a pod may stay; nothing if for ever.
fn patience(taints: &[Taint], tolerations: &[Toleration]) -> Option<Duration> {
    if taints.is_empty() {
        return None;
    }
    let mut least: Option<i64> = None;
    for taint in taints {
        let covering: Vec<_> = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if covering.is_empty() {
            return Some(Duration::ZERO);
        }
        let seconds = covering.iter().filter_map(|toleration| toleration.toleration_seconds).min();
        least = least.into_iter().chain(seconds).min();
    }
    least.map(|seconds| Duration::from_secs(seconds.max(0) as u64))
}

async fn evict(context: &Context, key: &Key, pod: &Pod) -> Result<(), Error> {
    let text = format!("Marking for deletion Pod {key}");
    context.record(CONTROLLER.name, pod, Level::Normal, "TaintManagerEviction", text);
    let reason = "DeletionByTaintManager";
    mark_disrupted(context, pod, reason, "Taint manager: deleting due to NoExecute taint", None).await?;
    write::delete(context, pod).await.map(drop)
}

/// Tells in the pod's conditions that it goes for a reason that is not its own; with a `phase` it ends as well.
pub(in super::super) async fn mark_disrupted(
    context: &Context,
    pod: &Pod,
    reason: &str,
    message: &str,
    phase: Option<&str>,
) -> Result<(), Error> {
    let mut status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != "DisruptionTarget");
    conditions.push(PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_transition_time: Some(Time(jiff::Timestamp::now())),
        ..Default::default()
    });
    if let Some(phase) = phase {
        status.phase = Some(phase.into());
    }
    write::merge_status(context, pod, status).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str) -> Taint {
        Taint { key: key.into(), effect: NO_EXECUTE.into(), ..Default::default() }
    }

    fn toleration(key: &str, seconds: Option<i64>) -> Toleration {
        Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            toleration_seconds: seconds,
            ..Default::default()
        }
    }

    #[test]
    fn a_pod_stays_as_long_as_its_shortest_toleration() {
        let taints = [taint("a"), taint("b")];
        assert_eq!(patience(&[], &[]), None);
        assert_eq!(patience(&taints, &[toleration("a", None)]), Some(Duration::ZERO));
        assert_eq!(patience(&taints, &[toleration("a", None), toleration("b", None)]), None);
        let both = [toleration("a", Some(300)), toleration("b", Some(7))];
        assert_eq!(patience(&taints, &both), Some(Duration::from_secs(7)));
    }
}
