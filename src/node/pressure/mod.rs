//! What the node is short of, and what goes for it: images that nobody uses, then pods.
//!
//! ```text
//! every 10 s: measure ──▶ shortage (thresholds, grace, conditions) ──▶ conditions of the Node, admission
//!                            └─▶ images (unused ones, when the disk is short) ─▶ rank ─▶ one pod is told to go
//! every 5 min: which images are used; beyond their budget the longest unused go
//! ```
//!
//! Source of rules, order and wording: kubelet `pkg/kubelet/eviction/{eviction_manager,helpers}.go`, `pkg/kubelet/images`.

mod images;
mod measure;
mod rank;
mod shortage;

pub use shortage::Condition;

use super::context::Node;
use super::pod::parts;
use super::pod::status::Ended;
use crate::base::Shutdown;
use crate::client::Level;
use crate::config::{Signal, Threshold};
use images::Ledger;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use parking_lot::Mutex;
use shortage::{Met, Shortages};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// From one measuring to the next, as upstream.
const PERIOD: Duration = Duration::from_secs(10);
/// Measurings between two looks at the budget of images: 5 minutes, as upstream.
const MEASURINGS_PER_LOOK: u32 = 30;
/// Seconds that a pod has to end when the node can wait no longer.
const HARD_GRACE: i64 = 1;
/// How long an evicted pod is waited for before the next one goes.
const CLEANUP: Duration = Duration::from_secs(30);
/// Pods of this priority keep the cluster up and stay.
const CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// What the node is short of now.
#[derive(Default)]
pub struct Pressure(Mutex<BTreeSet<Condition>>);

impl Pressure {
    /// Whether the node is short of it.
    pub fn has(&self, condition: Condition) -> bool {
        self.0.lock().contains(&condition)
    }

    /// Everything that the node is short of.
    pub fn all(&self) -> Vec<Condition> {
        self.0.lock().iter().copied().collect()
    }

    /// Replaces what the node is short of; whether that is something else than before.
    pub fn set(&self, conditions: BTreeSet<Condition>) -> bool {
        let mut own = self.0.lock();
        let differs = *own != conditions;
        *own = conditions;
        differs
    }
}

/// A pod that has to go.
#[derive(Debug)]
pub struct Order {
    pub uid: String,
    pub why: Ended,
    /// Seconds at most.
    pub grace: i64,
}

/// Whether a pod stays whatever the node is short of.
pub fn is_critical(pod: &Pod) -> bool {
    let has = |name: &str| pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(name));
    has("kubernetes.io/config.mirror") || parts::spec(pod).priority.is_some_and(|own| own >= CRITICAL_PRIORITY)
}

/// Measures until shutdown; pods that have to go are told to `orders`.
pub async fn watch(node: Arc<Node>, orders: mpsc::UnboundedSender<Order>, shutdown: Shutdown) {
    let thresholds = node.profile.shortage.thresholds().unwrap_or_else(|error| {
        // It was checked when it was set; a profile written by hand still gets a node.
        tracing::error!(error, "eviction thresholds cannot be read; nothing is evicted");
        Vec::new()
    });
    let mut watch =
        Watch { shortages: Shortages::new(thresholds), ledger: Ledger::default(), last: None, orders, node };
    let mut timer = tokio::time::interval(PERIOD);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut measurings = 0u32;
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = timer.tick() => {
                if measurings.is_multiple_of(MEASURINGS_PER_LOOK) {
                    watch.look_at_images().await;
                }
                measurings = measurings.wrapping_add(1);
                watch.turn(Instant::now()).await;
            }
        }
    }
}

struct Watch {
    node: Arc<Node>,
    shortages: Shortages,
    ledger: Ledger,
    /// The pod that was told to go last, and when.
    last: Option<(String, Instant)>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Watch {
    /// The budget of images.
    async fn look_at_images(&mut self) {
        let Some(disk) = measure::supply(&self.node, Signal::ImageFsAvailable) else { return };
        let wanted = images::to_free(&disk, self.node.profile.shortage.images());
        let freed = self.ledger.free(&self.node, wanted.unwrap_or(0), Instant::now()).await;
        if let Some(wanted) = wanted.filter(|wanted| *wanted > freed) {
            let used = 100.0 - 100.0 * disk.available as f64 / disk.capacity.max(1) as f64;
            let (all, node) = (rank::binary(disk.capacity), &self.node);
            let why = format!(
                "Insufficient free disk space on the node's image filesystem ({used:.1}% of {all} used). \
                 Failed to free sufficient space by deleting unused images (freed {freed} of {wanted} bytes)."
            );
            node.events.record(reference(node), Level::Warning, "FreeDiskSpaceFailed", why);
        }
    }

    /// One measuring and what follows from it.
    async fn turn(&mut self, now: Instant) {
        let met = self.shortages.observe(&measure::all(&self.node), now);
        if self.node.pressure.set(self.shortages.conditions(now)) {
            self.node.images_changed.notify_one();
        }
        let Some(first) = met.into_iter().next() else { return };
        if self.is_waiting(now) {
            return;
        }
        let message = format!("Attempting to reclaim {}", rank::resource(first.threshold.signal));
        self.node.events.record(reference(&self.node), Level::Warning, "EvictionThresholdMet", message);
        if Condition::of(first.threshold.signal) == Condition::Disk {
            self.ledger.free(&self.node, u64::MAX, now).await;
            let again = measure::supply(&self.node, first.threshold.signal);
            if again.is_some_and(|supply| !shortage::is_met(&first.threshold, &supply)) {
                return;
            }
        }
        self.evict_one(&first, now).await;
    }

    /// Whether a pod that was told to go still is about to.
    fn is_waiting(&self, now: Instant) -> bool {
        let Some((uid, at)) = &self.last else { return false };
        let goes = self.node.pods.list().iter().any(|seen| parts::uid(&seen.pod) == uid && !seen.is_over);
        goes && now.duration_since(*at) < CLEANUP
    }

    async fn evict_one(&mut self, met: &Met, now: Instant) {
        let candidates = rank::candidates(&self.node, met.threshold.signal).await;
        let Some(worst) = rank::worst(candidates, met.threshold.signal) else {
            tracing::warn!(signal = met.threshold.signal.name(), "the node is short and has no pod that could go");
            return;
        };
        let uid = parts::uid(&worst.pod).to_string();
        let why = Ended { reason: "Evicted".into(), message: rank::message(met, &worst) };
        let grace = grace(&met.threshold, &worst.pod);
        // The agent is gone only at shutdown.
        self.orders.send(Order { uid: uid.clone(), why, grace }).ok();
        self.last = Some((uid, now));
    }
}

fn grace(threshold: &Threshold, pod: &Pod) -> i64 {
    if threshold.grace.is_some() { parts::grace_seconds(pod) } else { HARD_GRACE }
}

/// The Node object, as events name it.
fn reference(node: &Node) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Node".into()),
        name: Some(node.name.clone()),
        uid: Some(node.name.clone()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limit;
    use crate::node::fake::{FakeApi, FakeRuntime, node, pod};
    use crate::node::pods::Seen;
    use serde_json::json;

    /// A watch of a node on which nothing is ever enough.
    fn starving(node: Arc<Node>) -> (Watch, mpsc::UnboundedReceiver<Order>) {
        let (orders, told) = mpsc::unbounded_channel();
        let limit = Limit::Amount(u64::MAX);
        let threshold = Threshold { signal: Signal::MemoryAvailable, limit, grace: None };
        let shortages = Shortages::new(vec![threshold]);
        (Watch { shortages, ledger: Ledger::default(), last: None, orders, node }, told)
    }

    fn put(node: &Node, uid: &str, priority: i32, is_over: bool) {
        let mut pod = pod(json!({"priority": priority, "containers": [{"name": "web", "image": "i"}]}));
        pod.metadata.uid = Some(uid.into());
        node.pods.set(Seen { pod: Arc::new(pod), sandbox: None, attempts: vec![], is_over });
    }

    #[tokio::test(start_paused = true)]
    async fn one_pod_after_the_other_is_told_to_go_the_least_important_first() {
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        let node = Arc::new(node);
        put(&node, "critical", CRITICAL_PRIORITY, false);
        put(&node, "high", 5, false);
        put(&node, "low", 1, false);
        let (mut watch, mut told) = starving(node.clone());
        watch.turn(Instant::now()).await;
        let order = told.try_recv().unwrap();
        assert_eq!((order.uid.as_str(), order.grace, order.why.reason.as_str()), ("low", HARD_GRACE, "Evicted"));
        assert!(order.why.message.starts_with("The node was low on resource: memory. Threshold quantity: "));
        assert!(node.pressure.has(Condition::Memory));
        watch.turn(Instant::now()).await;
        assert!(told.try_recv().is_err(), "the first one is still going");
        put(&node, "low", 1, true);
        watch.turn(Instant::now()).await;
        assert_eq!(told.try_recv().unwrap().uid, "high");
        put(&node, "high", 5, true);
        watch.turn(Instant::now()).await;
        assert!(told.try_recv().is_err(), "what is critical stays");
    }
}
