//! DaemonSet: a pod on every node that takes it.
//!
//! ```text
//! observe (nodes, pods by node, revisions) -> plan: pods to make and delete -> apply -> rolling update -> status
//! ```
//!
//! Source of the rules: kubernetes `pkg/controller/daemon/daemon_controller.go`.

mod nodes;
mod rolling;
#[cfg(test)]
mod whole;

use super::pods::{self, Claim};
use super::revisions::{self, HASH};
use super::runner::Next;
use super::watches::{Watched, changes, controlled, controller_of, own};
use super::{Context, Controller, Error, Key, write};
use crate::client::{Change, Level};
use futures::FutureExt;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use nodes::{Fit, fit, node_of, pinned};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const CONTROLLER: Controller = Controller {
    name: "daemonset-controller",
    watches: &[
        own::<DaemonSet>,
        controlled::<Pod, DaemonSet>,
        controlled::<ControllerRevision, DaemonSet>,
        nodes_changed,
        orphans,
    ],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// The generation of the template as a label, from before there were revisions.
const GENERATION: &str = "pod-template-generation";
/// Where the number of that generation is kept.
const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";
/// Delays between deletions of pods that fail on a node.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LAST_DELAY: Duration = Duration::from_secs(15 * 60);

/// Pods that failed: by set (uid) and node, how often in a row, and when the last was deleted.
#[derive(Default)]
pub(super) struct Failures(Mutex<HashMap<(String, String), (u32, Instant)>>);

impl Failures {
    /// Whether the failed pod of a node may be deleted now; else how long it has to wait.
    fn may_delete(&self, set: &str, node: &str, now: Instant) -> Result<(), Duration> {
        let mut all = self.0.lock();
        let (count, last) = all.entry((set.into(), node.into())).or_insert((0, now));
        let delay = FIRST_DELAY.saturating_mul(1 << count.saturating_sub(1).min(10)).min(LAST_DELAY);
        if now.duration_since(*last) > LAST_DELAY * 2 {
            *count = 0;
        }
        if *count > 0 && now.duration_since(*last) < delay {
            return Err(delay - now.duration_since(*last));
        }
        *count += 1;
        *last = now;
        Ok(())
    }
}

/// All sets, when a node comes, goes, or changes what it takes.
fn nodes_changed(context: &Context) -> Watched {
    let sets = context.caches.of::<DaemonSet>();
    changes::<Node>(context, move |change| {
        let matter = |node: &Node| {
            let spec = node.spec.as_ref();
            let places = spec.map(|spec| (spec.taints.clone(), spec.unschedulable));
            (node.metadata.labels.clone(), places)
        };
        match &change {
            Change::Applied { old: Some(old), new } if matter(old) == matter(new) => Vec::new(),
            _ => super::watches::all_keys(&sets),
        }
    })
}

fn orphans(context: &Context) -> Watched {
    let sets = context.caches.of::<DaemonSet>();
    changes::<Pod>(context, move |change| {
        let pod = change.object();
        if controller_of(&**pod).is_some() || pods::is_terminating(pod) {
            return Vec::new();
        }
        let selects = |set: &Arc<DaemonSet>| {
            let selector = set.spec.as_ref().and_then(|spec| pods::selector(&spec.selector).ok());
            selector.is_some_and(|selector| pods::selects(&selector, &pod.metadata.labels))
        };
        let all = sets.list_in(pod.metadata.namespace.as_deref().unwrap_or_default());
        all.into_iter().filter(selects).map(|set| Key::of(&*set)).collect()
    })
}

/// A set while it is looked at.
struct Look<'a> {
    context: &'a Context,
    set: &'a DaemonSet,
    spec: &'a DaemonSetSpec,
    owner: OwnerReference,
    /// The hash of the present template.
    hash: String,
    nodes: Vec<Arc<Node>>,
    now: Timestamp,
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(set) = context.caches.of::<DaemonSet>().get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    let (Some(spec), Some(mut owner)) = (&set.spec, set.controller_owner_ref(&())) else { return Ok(Next::Wait) };
    owner.block_owner_deletion = Some(true);
    let is_everything = spec.selector.match_labels.iter().flatten().next().is_none()
        && spec.selector.match_expressions.iter().flatten().next().is_none();
    if is_everything {
        let text = "This daemon set is selecting all pods. A non-empty selector is required.";
        context.record(CONTROLLER.name, &*set, Level::Warning, "SelectingAll", text);
        return Ok(Next::Wait);
    }
    if set.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    let history = revisions::of(context, &key.namespace, &owner);
    let mut collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let histories = revisions::Owner {
        reference: &owner,
        name: &key.name,
        namespace: &key.namespace,
        labels: spec.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default(),
        annotations: set.metadata.annotations.clone().map(|mut all| {
            all.remove("kubectl.kubernetes.io/last-applied-configuration");
            all
        }),
    };
    let present = match revisions::present(context, &histories, &spec.template, &history, &mut collisions).await {
        Err(error) if super::replica_set::is_namespace_terminating(&error) => return Ok(Next::Wait),
        other => other?,
    };
    let look = Look {
        context,
        set: &set,
        spec,
        owner,
        hash: revisions::hash_of(&present).to_string(),
        nodes: context.caches.of::<Node>().list(),
        now: Timestamp::now(),
    };
    let managed = look.manage().await;
    let rolled = if managed.is_ok() { look.roll().await } else { Ok(()) };
    let pods = look.pods().await?;
    let live = pods.iter().filter_map(|pod| pod.metadata.labels.as_ref()?.get(HASH).cloned());
    let live: HashSet<String> = live.chain([look.hash.clone()]).collect();
    let history = revisions::of(context, &key.namespace, &look.owner);
    revisions::truncate(context, &history, &live, spec.revision_history_limit.unwrap_or(10)).await?;
    let status = DaemonSetStatus { collision_count: Some(collisions).filter(|count| *count > 0), ..look.status(&pods) };
    write::merge_status(context, &*set, status).await?;
    rolled?;
    let later = managed?;
    Ok(later.into_iter().chain(look.next_available(&pods)).min().map_or(Next::Wait, Next::After))
}

/// What to do about pods and nodes.
#[derive(Debug, Default)]
struct Plan {
    /// Nodes to make a pod for.
    create: Vec<String>,
    delete: Vec<Arc<Pod>>,
    later: Option<Duration>,
}

impl Look<'_> {
    fn tell(&self, level: Level, reason: &str, text: String) {
        self.context.record(CONTROLLER.name, self.set, level, reason, text);
    }

    /// The pods of the set, after adopting and releasing.
    async fn pods(&self) -> Result<Vec<Arc<Pod>>, Error> {
        let selector = pods::selector(&self.spec.selector)?;
        let claim = Claim { owner: &self.owner, selector: &selector, terminating: false };
        let namespace = self.set.metadata.namespace.as_deref().unwrap_or_default();
        claim.settle(self.context, claim.sort(self.context.caches.of::<Pod>().list_in(namespace))).await
    }

    fn by_node(pods: &[Arc<Pod>]) -> BTreeMap<String, Vec<Arc<Pod>>> {
        let mut all: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in pods {
            if let Some(node) = node_of(pod) {
                all.entry(node.to_string()).or_default().push(pod.clone());
            }
        }
        all
    }

    /// Whether a pod is of the present template.
    fn is_updated(&self, pod: &Pod) -> bool {
        let labels = pod.metadata.labels.as_ref();
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
        let generation = self.set.metadata.annotations.as_ref().and_then(|all| all.get(GENERATION_ANNOTATION));
        label(HASH) == Some(&self.hash) || (generation.is_some() && label(GENERATION) == generation.map(String::as_str))
    }

    fn is_available(&self, pod: &Pod) -> bool {
        !pods::is_terminating(pod) && pods::is_available(pod, self.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    async fn manage(&self) -> Result<Option<Duration>, Error> {
        let pods = self.pods().await?;
        let plan = self.plan(&pods);
        let later = plan.later;
        self.apply(plan).await?;
        Ok(later)
    }

    /// A pod where one is missing, none where none may be, one where there are several.
    fn plan(&self, pods: &[Arc<Pod>]) -> Plan {
        let by_node = Self::by_node(pods);
        let mut plan = Plan::default();
        let surges = rolling::max_surge(self) > 0;
        for node in &self.nodes {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            let own = by_node.get(name).map(Vec::as_slice).unwrap_or_default();
            match fit(&self.spec.template, node) {
                Fit::Run if own.is_empty() => plan.create.push(name.to_string()),
                Fit::Run | Fit::Stay => self.tidy(name, own, surges, &mut plan),
                Fit::Leave => plan.delete.extend(own.iter().filter(|pod| !pods::is_terminating(pod)).cloned()),
            }
        }
        // Pods that wait for a node that is gone.
        let names: HashSet<_> = self.nodes.iter().filter_map(|node| node.metadata.name.as_deref()).collect();
        let is_lost = |pod: &&Arc<Pod>| {
            let unassigned =
                pod.spec.as_ref().is_none_or(|spec| spec.node_name.as_deref().unwrap_or_default().is_empty());
            unassigned && !pods::is_terminating(pod) && node_of(pod).is_some_and(|node| !names.contains(node))
        };
        plan.delete.extend(pods.iter().filter(is_lost).cloned());
        plan
    }

    /// Deletes ended pods of a node, and all but the oldest of those that run.
    fn tidy(&self, node: &str, own: &[Arc<Pod>], surges: bool, plan: &mut Plan) {
        let mut running: Vec<&Arc<Pod>> = Vec::new();
        for pod in own.iter().filter(|pod| !pods::is_terminating(pod)) {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            match pods::phase(pod) {
                "Failed" => match self.may_delete(node) {
                    Ok(()) => {
                        let text =
                            format!("Found failed daemon pod {namespace}/{name} on node {node}, will try to kill it");
                        self.tell(Level::Warning, "FailedDaemonPod", text);
                        plan.delete.push(pod.clone());
                    }
                    Err(delay) => plan.later = plan.later.into_iter().chain([delay]).min(),
                },
                "Succeeded" => {
                    let text =
                        format!("Found succeeded daemon pod {namespace}/{name} on node {node}, will try to delete it");
                    self.tell(Level::Normal, "SucceededDaemonPod", text);
                    plan.delete.push(pod.clone());
                }
                _ => running.push(pod),
            }
        }
        running.sort_by_key(|pod| {
            let is_waiting = pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none());
            let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (is_waiting, !pods::is_ready(pod), created, pod.metadata.name.clone())
        });
        if surges {
            // An old pod and its successor may be side by side.
            let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| self.is_updated(pod));
            plan.delete.extend(new.into_iter().skip(1).chain(old.into_iter().skip(1)).cloned());
        } else {
            plan.delete.extend(running.into_iter().skip(1).cloned());
        }
    }

    fn may_delete(&self, node: &str) -> Result<(), Duration> {
        let uid = self.set.metadata.uid.as_deref().unwrap_or_default();
        self.context.daemon_failures.may_delete(uid, node, Instant::now())
    }

    async fn apply(&self, plan: Plan) -> Result<(), Error> {
        let made = plan.create.iter().map(|node| self.pod(node)).collect();
        let created = pods::create_all(self.context, CONTROLLER.name, self.set, made);
        let deleted = join_all(plan.delete.iter().map(|pod| self.delete(pod)));
        let (created, deleted) = futures::join!(created, deleted);
        created?;
        deleted.into_iter().collect()
    }

    async fn delete(&self, pod: &Pod) -> Result<(), Error> {
        if write::delete(self.context, pod).await? {
            let text = format!("Deleted pod: {}", pod.metadata.name.as_deref().unwrap_or_default());
            self.tell(Level::Normal, "SuccessfulDelete", text);
        }
        Ok(())
    }

    /// A pod for a node: the scheduler puts it there, for the affinity allows no other.
    fn pod(&self, node: &str) -> Pod {
        let name = self.set.metadata.name.as_deref().unwrap_or_default();
        let namespace = self.set.metadata.namespace.as_deref().unwrap_or_default();
        let template = pinned(&self.spec.template, node);
        let mut pod = pods::from_template(&template, namespace, &pods::prefix(name), self.owner.clone());
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(HASH.into(), self.hash.clone());
        let generation = self.set.metadata.annotations.as_ref().and_then(|all| all.get(GENERATION_ANNOTATION));
        if let Some(generation) = generation {
            labels.insert(GENERATION.into(), generation.clone());
        }
        pod
    }

    async fn roll(&self) -> Result<(), Error> {
        let strategy = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        if strategy == Some("OnDelete") {
            return Ok(());
        }
        let plan = rolling::plan(self, &Self::by_node(&self.pods().await?));
        self.apply(plan).await
    }

    fn status(&self, pods: &[Arc<Pod>]) -> DaemonSetStatus {
        let by_node = Self::by_node(pods);
        let mut status = DaemonSetStatus { observed_generation: self.set.metadata.generation, ..Default::default() };
        let (mut updated, mut available) = (0, 0);
        for node in &self.nodes {
            let own = by_node.get(node.metadata.name.as_deref().unwrap_or_default());
            let mut own: Vec<&Arc<Pod>> = own.into_iter().flatten().collect();
            own.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
            if fit(&self.spec.template, node) != Fit::Run {
                status.number_misscheduled += i32::from(!own.is_empty());
                continue;
            }
            status.desired_number_scheduled += 1;
            status.current_number_scheduled += i32::from(!own.is_empty());
            let Some(pod) = own.iter().find(|pod| pods::is_ready(pod)).or(own.first()) else { continue };
            if pods::is_ready(pod) && !pods::is_terminating(pod) {
                status.number_ready += 1;
                available += i32::from(self.is_available(pod));
            }
            updated += i32::from(own.iter().any(|pod| self.is_updated(pod)));
        }
        let nonzero = |count: i32| Some(count).filter(|count| *count != 0);
        status.updated_number_scheduled = nonzero(updated);
        status.number_available = nonzero(available);
        status.number_unavailable = nonzero(status.desired_number_scheduled - available);
        status
    }

    /// When the next ready pod becomes available by mere time.
    fn next_available(&self, pods: &[Arc<Pod>]) -> Option<Duration> {
        let least = self.spec.min_ready_seconds.unwrap_or(0);
        let now = Timestamp::now();
        let times = pods.iter().filter_map(|pod| pods::available_from(pod, least)).filter(|from| *from > now);
        times.min().map(|from| Duration::try_from(from.duration_since(now)).unwrap_or_default())
    }
}
