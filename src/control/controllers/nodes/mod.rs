//! Node lifecycle: a node that is silent for too long becomes unknown and is tainted; one that speaks again is freed.
//!
//! ```text
//!  ready <--heard--  not ready / unknown
//!    |                    ^
//!    +---silent > grace---+     taints: not-ready or unreachable, NoSchedule and NoExecute
//! ```
//!
//! Silence is measured on the monotonic clock from the moment in which the last sign was seen here, never by comparing
//! time stamps: a laptop that slept, or whose clock jumped, loses no pods.
//!
//! Source of the rules: kubernetes `pkg/controller/nodelifecycle/node_lifecycle_controller.go`.

mod eviction;

pub(super) use eviction::{CONTROLLER as EVICTION, Evictions, mark_disrupted};

use super::runner::Next;
use super::taints::{self, NO_EXECUTE, NO_SCHEDULE};
use super::watches::{Watched, changes_of, own, read};
use super::{Context, Controller, Error, Key, pods, write};
use crate::client::{Cache, Level, Selection};
use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const CONTROLLER: Controller = Controller {
    name: "node-controller",
    watches: &[own::<Node>, leases_changed, read::<Pod>],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// How long a node may be silent (`--node-monitor-grace-period`).
const GRACE: Duration = Duration::from_secs(50);
/// The same for one that never said anything (`--node-startup-grace-period`).
const STARTUP_GRACE: Duration = Duration::from_secs(60);
/// Where nodes keep their leases.
const LEASES: &str = "kube-node-lease";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Conditions that become unknown with the node.
const CONDITIONS: &[&str] = &["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// Conditions that taint when they are true, and the taint.
const PRESSURES: &[(&str, &str)] = &[
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// A sign of life: the lease and the heartbeat of `Ready`.
type Sign = (Option<MicroTime>, Option<Time>);

/// The last sign of each node, and when it was first seen.
#[derive(Default)]
pub(super) struct Signs(Mutex<HashMap<String, (Sign, Instant)>>);

impl Signs {
    /// Notes a sign; returns since when it is the last one, and whether the node is new here.
    fn heard(&self, node: &str, sign: Sign, now: Instant) -> (Instant, bool) {
        let mut all = self.0.lock();
        match all.get(node) {
            Some((last, since)) if *last == sign => (*since, false),
            known => {
                let is_new = known.is_none();
                all.insert(node.to_string(), (sign, now));
                (now, is_new)
            }
        }
    }
}

fn leases(context: &Context) -> Arc<Cache<Lease>> {
    context.caches.some(Selection { labels: String::new(), fields: format!("metadata.namespace={LEASES}") })
}

fn leases_changed(context: &Context) -> Watched {
    changes_of(leases(context), |change| {
        vec![Key::new("", change.object().metadata.name.as_deref().unwrap_or_default())]
    })
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(node) = context.caches.of::<Node>().get("", &key.name) else {
        if context.signs.0.lock().remove(&key.name).is_some() {
            tracing::info!(node = key.name, "node removed");
        }
        return Ok(Next::Wait);
    };
    let ready = condition(&node, "Ready");
    let lease = leases(context).get(LEASES, &key.name);
    let renewed = lease.and_then(|lease| lease.spec.as_ref().and_then(|spec| spec.renew_time.clone()));
    let heartbeat = ready.and_then(|ready| ready.last_heartbeat_time.clone());
    let has_spoken = ready.is_some();
    let (since, is_new) = context.signs.heard(&key.name, (renewed, heartbeat), Instant::now());
    if is_new {
        let text = format!("Node {0} event: Registered Node {0} in Controller", key.name);
        context.record(CONTROLLER.name, &*node, Level::Normal, "RegisteredNode", text);
    }
    let grace = if has_spoken { GRACE } else { STARTUP_GRACE };
    let silent = since.elapsed();
    let node = if silent > grace { doubt(context, node).await? } else { node };
    taint(context, &node).await?;
    if ready_status(&node) != "True" {
        unready_pods(context, &node).await?;
    }
    let is_known = ready_status(&node) != "Unknown";
    Ok(if is_known { Next::After((grace + Duration::from_millis(1)).saturating_sub(silent)) } else { Next::Wait })
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn ready_status(node: &Node) -> &str {
    condition(node, "Ready").map_or("Unknown", |ready| ready.status.as_str())
}

/// Says that nothing is known of the node any more.
async fn doubt(context: &Context, node: Arc<Node>) -> Result<Arc<Node>, Error> {
    let mut status = node.status.clone().unwrap_or_default();
    let conditions = status.conditions.get_or_insert_default();
    let was_ready = ready_status(&node) == "True";
    if !doubt_conditions(conditions, Timestamp::now()) {
        return Ok(node);
    }
    write::merge_status(context, &*node, status).await?;
    if was_ready {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let text = format!("Node {name} status is now: NodeNotReady");
        context.record(CONTROLLER.name, &*node, Level::Normal, "NodeNotReady", text);
    }
    let name = node.metadata.name.as_deref().unwrap_or_default();
    Ok(context.caches.of::<Node>().get("", name).unwrap_or(node))
}

/// Makes the conditions unknown; whether any was not.
fn doubt_conditions(conditions: &mut Vec<NodeCondition>, now: Timestamp) -> bool {
    let mut changed = false;
    for kind in CONDITIONS {
        match conditions.iter_mut().find(|condition| condition.type_ == *kind) {
            Some(condition) if condition.status == "Unknown" => continue,
            Some(condition) => {
                condition.status = "Unknown".into();
                condition.reason = Some("NodeStatusUnknown".into());
                condition.message = Some("Kubelet stopped posting node status.".into());
                condition.last_transition_time = Some(Time(now));
            }
            None => conditions.push(NodeCondition {
                type_: kind.to_string(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: None,
                last_transition_time: Some(Time(now)),
            }),
        }
        changed = true;
    }
    changed
}

/// Brings the taints in line with the conditions.
async fn taint(context: &Context, node: &Node) -> Result<(), Error> {
    let Some(wanted) = taints_of(node, Timestamp::now()) else { return Ok(()) };
    let meta = json!({"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version});
    match write::merge(context, node, json!({"metadata": meta, "spec": {"taints": wanted}})).await {
        Err(error) if !write::is_missing(&error) => Err(error),
        _ => Ok(()),
    }
}

/// The taints that the node is to have, if they are others.
fn taints_of(node: &Node, now: Timestamp) -> Option<Vec<Taint>> {
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    match ready_status(node) {
        "True" => {}
        "False" => wanted.extend([(NOT_READY, NO_SCHEDULE), (NOT_READY, NO_EXECUTE)]),
        // A node that just came is not lost: it has not spoken yet.
        _ if condition(node, "Ready").is_none() => wanted.push((NOT_READY, NO_SCHEDULE)),
        _ => wanted.extend([(UNREACHABLE, NO_SCHEDULE), (UNREACHABLE, NO_EXECUTE)]),
    }
    let holds = |kind: &str| condition(node, kind).is_some_and(|condition| condition.status == "True");
    wanted.extend(PRESSURES.iter().filter(|(kind, _)| holds(kind)).map(|(_, taint)| (*taint, NO_SCHEDULE)));
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    let present = taints::of(node);
    let is_own = |taint: &Taint| {
        let keys = PRESSURES.iter().map(|(_, key)| *key).chain([NOT_READY, UNREACHABLE, UNSCHEDULABLE]);
        keys.into_iter().any(|key| key == taint.key) && matches!(taint.effect.as_str(), NO_SCHEDULE | NO_EXECUTE)
    };
    let is_wanted = |taint: &Taint| wanted.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut taints: Vec<Taint> = present.iter().filter(|taint| !is_own(taint) || is_wanted(taint)).cloned().collect();
    for (key, effect) in wanted {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            taints.push(Taint { key: key.into(), effect: effect.into(), time_added: Some(Time(now)), value: None });
        }
    }
    (taints != present).then_some(taints)
}

/// The pods of a node that is not ready are not ready either: Services leave them out.
async fn unready_pods(context: &Context, node: &Node) -> Result<(), Error> {
    // A node that never spoke cannot have ready pods.
    if condition(node, "Ready").is_none() {
        return Ok(());
    }
    let mut ready = Vec::new();
    context.caches.of::<Pod>().for_each(|pod| {
        let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        if on == node.metadata.name.as_deref() && pods::is_ready(pod) {
            ready.push(pod.clone());
        }
    });
    for pod in ready {
        let mut status = pod.status.clone().unwrap_or_default();
        for condition in status.conditions.iter_mut().flatten().filter(|condition| condition.type_ == "Ready") {
            condition.status = "False".into();
            condition.last_transition_time = Some(Time(Timestamp::now()));
        }
        write::merge_status(context, &*pod, status).await?;
        context.record(CONTROLLER.name, &*pod, Level::Warning, "NodeNotReady", "Node is not ready");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ready: &str) -> Node {
        let condition = json!({"type": "Ready", "status": ready});
        let taint = json!({"key": "mine", "effect": "NoSchedule"});
        serde_json::from_value(
            json!({"metadata": {"name": "a"}, "spec": {"taints": [taint]}, "status": {"conditions": [condition]}}),
        )
        .unwrap()
    }

    fn keys(taints: Option<Vec<Taint>>) -> Vec<(String, String)> {
        taints.unwrap().into_iter().map(|taint| (taint.key, taint.effect)).collect()
    }

    #[test]
    fn taints_say_how_the_node_is_and_leave_those_of_users_alone() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(taints_of(&node("True"), now), None);
        let pair = |key: &str, effect: &str| (key.to_string(), effect.to_string());
        let unknown = taints_of(&node("Unknown"), now);
        assert_eq!(
            keys(unknown.clone()),
            [pair("mine", NO_SCHEDULE), pair(UNREACHABLE, NO_SCHEDULE), pair(UNREACHABLE, NO_EXECUTE)]
        );
        let mut again = node("True");
        again.spec.as_mut().unwrap().taints = unknown;
        again.spec.as_mut().unwrap().unschedulable = Some(true);
        assert_eq!(keys(taints_of(&again, now)), [pair("mine", NO_SCHEDULE), pair(UNSCHEDULABLE, NO_SCHEDULE)]);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_when_the_last_sign_was_seen_whatever_its_time_stamp() {
        let signs = Signs::default();
        let sign = |second| (Some(MicroTime(Timestamp::from_second(second).unwrap())), None);
        let began = Instant::now();
        assert_eq!(signs.heard("a", sign(1_000_000), began), (began, true));
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(signs.heard("a", sign(1_000_000), Instant::now()), (began, false));
        // The clock jumped back by days: still a sign of life.
        let (since, _) = signs.heard("a", sign(1000), Instant::now());
        assert_eq!(since, Instant::now());
    }

    #[test]
    fn a_silent_node_becomes_unknown_once() {
        let mut conditions = node("True").status.unwrap().conditions.unwrap();
        assert!(doubt_conditions(&mut conditions, Timestamp::UNIX_EPOCH));
        assert_eq!(conditions[0].reason.as_deref(), Some("NodeStatusUnknown"));
        assert_eq!(conditions.len(), 4);
        assert!(!doubt_conditions(&mut conditions, Timestamp::UNIX_EPOCH));
    }
}
