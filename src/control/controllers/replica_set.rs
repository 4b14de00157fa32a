//! ReplicaSet and ReplicationController: as many pods as wanted, no more, no less.
//!
//! Source of the rules: kubernetes `pkg/controller/replicaset/replica_set.go` and `replica_set_utils.go`.

use super::pods::{self, Claim};
use super::runner::Next;
use super::watches::{changes, controlled, own};
use super::{Context, Controller, Error, Key, write};
use crate::client::Level;
use futures::FutureExt;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference, Time};
use kube::Resource;
use std::sync::Arc;
use std::time::Duration;

pub(super) const REPLICA_SET: Controller = Controller {
    name: "replicaset-controller",
    watches: &[own::<ReplicaSet>, controlled::<Pod, ReplicaSet>, |context| {
        let sets = context.caches.of::<ReplicaSet>();
        changes::<Pod>(context, move |change| {
            let candidates = sets.list_in(namespace_of(change.object()));
            orphaned(change.object(), candidates.into_iter().map(|set| Parent::Set(set).common()))
        })
    }],
    reconcile: |context, key| {
        let parent = context.caches.of::<ReplicaSet>().get(&key.namespace, &key.name).map(Parent::Set);
        async move { reconcile(&context, parent).await }.boxed()
    },
};

pub(super) const REPLICATION_CONTROLLER: Controller = Controller {
    name: "replication-controller",
    watches: &[own::<ReplicationController>, controlled::<Pod, ReplicationController>, |context| {
        let controllers = context.caches.of::<ReplicationController>();
        changes::<Pod>(context, move |change| {
            let candidates = controllers.list_in(namespace_of(change.object()));
            orphaned(change.object(), candidates.into_iter().map(|one| Parent::Controller(one).common()))
        })
    }],
    reconcile: |context, key| {
        let cache = context.caches.of::<ReplicationController>();
        let parent = cache.get(&key.namespace, &key.name).map(Parent::Controller);
        async move { reconcile(&context, parent).await }.boxed()
    },
};

/// Pods that one reconcile creates or deletes at most.
const BURST: usize = 500;

/// The two kinds that are wanted as replicas. Everything but writing sees a [`ReplicaSet`].
enum Parent {
    Set(Arc<ReplicaSet>),
    Controller(Arc<ReplicationController>),
}

impl Parent {
    fn controller(&self) -> &'static str {
        match self {
            Parent::Set(_) => REPLICA_SET.name,
            Parent::Controller(_) => REPLICATION_CONTROLLER.name,
        }
    }

    fn common(&self) -> Arc<ReplicaSet> {
        match self {
            Parent::Set(set) => set.clone(),
            Parent::Controller(controller) => Arc::new(as_replica_set(controller)),
        }
    }

    fn owner(&self) -> Option<OwnerReference> {
        let mut owner = match self {
            Parent::Set(set) => set.controller_owner_ref(&()),
            Parent::Controller(controller) => controller.controller_owner_ref(&()),
        }?;
        owner.block_owner_deletion = Some(true);
        Some(owner)
    }

    fn record(&self, context: &Context, level: Level, reason: &str, message: String) {
        match self {
            Parent::Set(set) => context.record(self.controller(), &**set, level, reason, message),
            Parent::Controller(one) => context.record(self.controller(), &**one, level, reason, message),
        }
    }

    async fn write_status(&self, context: &Context, status: &ReplicaSetStatus) -> Result<(), Error> {
        match self {
            Parent::Set(set) => write::merge_status(context, &**set, status).await.map(drop),
            Parent::Controller(one) => write::merge_status(context, &**one, status).await.map(drop),
        }
    }
}

fn as_replica_set(controller: &ReplicationController) -> ReplicaSet {
    let spec = controller.spec.clone().unwrap_or_default();
    let status = controller.status.clone().unwrap_or_default();
    let condition = |old: k8s_openapi::api::core::v1::ReplicationControllerCondition| ReplicaSetCondition {
        last_transition_time: old.last_transition_time,
        message: old.message,
        reason: old.reason,
        status: old.status,
        type_: old.type_,
    };
    ReplicaSet {
        metadata: controller.metadata.clone(),
        spec: Some(ReplicaSetSpec {
            min_ready_seconds: spec.min_ready_seconds,
            replicas: spec.replicas,
            selector: LabelSelector { match_labels: spec.selector, match_expressions: None },
            template: spec.template,
        }),
        status: Some(ReplicaSetStatus {
            available_replicas: status.available_replicas,
            conditions: status.conditions.map(|list| list.into_iter().map(condition).collect()),
            fully_labeled_replicas: status.fully_labeled_replicas,
            observed_generation: status.observed_generation,
            ready_replicas: status.ready_replicas,
            replicas: status.replicas,
            ..Default::default()
        }),
    }
}

fn namespace_of(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// The keys of the sets that could adopt a pod of nobody.
fn orphaned(pod: &Pod, candidates: impl Iterator<Item = Arc<ReplicaSet>>) -> Vec<Key> {
    if super::watches::controller_of(pod).is_some() || pods::is_terminating(pod) {
        return Vec::new();
    }
    let selects = |set: &Arc<ReplicaSet>| {
        let spec = set.spec.as_ref();
        let selector = spec.and_then(|spec| pods::selector(&spec.selector).ok());
        selector.is_some_and(|selector| pods::selects(&selector, &pod.metadata.labels))
    };
    candidates.filter(selects).map(|set| Key::of(&*set)).collect()
}

async fn reconcile(context: &Context, parent: Option<Parent>) -> Result<Next, Error> {
    let Some(parent) = parent else { return Ok(Next::Wait) };
    let set = parent.common();
    let Some(spec) = &set.spec else { return Ok(Next::Wait) };
    let Some(owner) = parent.owner() else { return Ok(Next::Wait) };
    let selector = pods::selector(&spec.selector)?;
    let terminating = set.metadata.deletion_timestamp.is_some();
    let claim = Claim { owner: &owner, selector: &selector, terminating };
    let cache = context.caches.of::<Pod>();
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let owned = claim.settle(context, claim.sort(cache.list_in(namespace))).await?;

    let plan = plan(&set, &owned, Timestamp::now());
    let failure = if terminating { None } else { apply(context, &parent, &set, &owner, plan).await.err() };

    let now = Timestamp::now();
    // Read again: what was just made and deleted is in the cache already.
    let owned = claim.sort(cache.list_in(namespace)).owned;
    let status = status(&set, &owned, failure.as_ref(), now);
    parent.write_status(context, &status).await?;
    match failure {
        Some((_, error)) => Err(error),
        None => Ok(next_available(spec, &owned, now)),
    }
}

/// What to do about the number of pods.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    create: usize,
    delete: Vec<Arc<Pod>>,
}

fn plan(set: &ReplicaSet, owned: &[Arc<Pod>], now: Timestamp) -> Plan {
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1).max(0) as usize;
    let mut active: Vec<Arc<Pod>> = owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    if active.len() <= wanted {
        return Plan { create: (wanted - active.len()).min(BURST), delete: Vec::new() };
    }
    let surplus = (active.len() - wanted).min(BURST);
    pods::rank_for_deletion(&mut active, owned, now);
    active.truncate(surplus);
    Plan { create: 0, delete: active }
}

/// Carries the plan out. An error comes with the reason of the condition that tells of it.
async fn apply(
    context: &Context,
    parent: &Parent,
    set: &ReplicaSet,
    owner: &OwnerReference,
    plan: Plan,
) -> Result<(), (&'static str, Error)> {
    create(context, parent, set, owner, plan.create).await.map_err(|error| ("FailedCreate", error))?;
    let deletions = plan.delete.iter().map(|pod| delete(context, parent, pod));
    let results = join_all(deletions).await;
    results.into_iter().collect::<Result<(), Error>>().map_err(|error| ("FailedDelete", error))
}

async fn delete(context: &Context, parent: &Parent, pod: &Pod) -> Result<(), Error> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    match write::delete(context, pod).await {
        Ok(true) => parent.record(context, Level::Normal, "SuccessfulDelete", format!("Deleted pod: {name}")),
        Ok(false) => {}
        Err(error) => {
            parent.record(context, Level::Warning, "FailedDelete", format!("Error deleting: {}", plain(&error)));
            return Err(error);
        }
    }
    Ok(())
}

/// Creates pods in batches of 1, 2, 4, …, each at once, so that a template that is refused is not tried hundreds of times.
async fn create(
    context: &Context,
    parent: &Parent,
    set: &ReplicaSet,
    owner: &OwnerReference,
    count: usize,
) -> Result<(), Error> {
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let name = set.metadata.name.as_deref().unwrap_or_default();
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let pod = pods::from_template(&template, namespace, &pods::prefix(name), owner.clone());
    let (mut left, mut batch) = (count, 1);
    while left > 0 {
        let size = batch.min(left);
        let results = join_all((0..size).map(|_| write::create(context, &pod))).await;
        for result in results {
            let pod = match result {
                Ok(pod) => pod,
                // Nothing can be made in a namespace that goes; this set will go as well.
                Err(error) if is_namespace_terminating(&error) => return Ok(()),
                Err(error) => {
                    let text = format!("Error creating: {}", plain(&error));
                    parent.record(context, Level::Warning, "FailedCreate", text);
                    return Err(error);
                }
            };
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            parent.record(context, Level::Normal, "SuccessfulCreate", format!("Created pod: {name}"));
        }
        left -= size;
        batch *= 2;
    }
    Ok(())
}

/// The message of the server, or what else went wrong.
pub(super) fn plain(error: &Error) -> String {
    match error {
        Error::Request(kube::Error::Api(status)) => status.message.clone(),
        other => crate::base::causes::chain(other),
    }
}

/// Whether a create was refused because its namespace is being deleted.
pub(super) fn is_namespace_terminating(error: &Error) -> bool {
    let Error::Request(kube::Error::Api(status)) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

fn status(
    set: &ReplicaSet,
    owned: &[Arc<Pod>],
    failure: Option<&(&'static str, Error)>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let spec = set.spec.clone().unwrap_or_default();
    let old = set.status.clone().unwrap_or_default();
    let active: Vec<&Arc<Pod>> = owned.iter().filter(|pod| pods::is_active(pod)).collect();
    let count = |is: &dyn Fn(&Pod) -> bool| active.iter().filter(|pod| is(pod)).count() as i32;
    let nonzero = |count: i32| Some(count).filter(|count| *count != 0);
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let labeled = |pod: &Pod| has_labels(pod, spec.template.as_ref());
    let terminating = owned.iter().filter(|pod| pods::is_terminating(pod) && !pods::is_finished(pod)).count() as i32;
    ReplicaSetStatus {
        replicas: active.len() as i32,
        fully_labeled_replicas: nonzero(count(&labeled)),
        ready_replicas: nonzero(count(&pods::is_ready)),
        available_replicas: nonzero(count(&|pod| pods::is_available(pod, min_ready, now))),
        terminating_replicas: old.terminating_replicas.map(|_| terminating),
        observed_generation: set.metadata.generation,
        conditions: conditions(old.conditions, failure, now),
    }
}

fn conditions(
    old: Option<Vec<ReplicaSetCondition>>,
    failure: Option<&(&'static str, Error)>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = old.unwrap_or_default();
    let had = conditions.iter().any(|condition| condition.type_ == "ReplicaFailure");
    match failure {
        Some((reason, error)) if !had => conditions.push(ReplicaSetCondition {
            type_: "ReplicaFailure".into(),
            status: "True".into(),
            reason: Some(reason.to_string()),
            message: Some(plain(error)),
            last_transition_time: Some(Time(now)),
        }),
        Some(_) => {}
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
    }
    Some(conditions).filter(|list| !list.is_empty())
}

fn has_labels(pod: &Pod, template: Option<&PodTemplateSpec>) -> bool {
    let wanted = template.and_then(|template| template.metadata.as_ref()).and_then(|meta| meta.labels.as_ref());
    let labels = pod.metadata.labels.as_ref();
    wanted.into_iter().flatten().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// When the next ready pod becomes available by mere time.
fn next_available(spec: &ReplicaSetSpec, owned: &[Arc<Pod>], now: Timestamp) -> Next {
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let later = owned.iter().filter(|pod| pods::is_active(pod)).filter_map(|pod| pods::available_from(pod, min_ready));
    match later.filter(|from| *from > now).min() {
        Some(from) => Next::After(Duration::try_from(from.duration_since(now)).unwrap_or_default()),
        None => Next::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pods::tests::pod;
    use super::*;

    fn set(replicas: i32) -> ReplicaSet {
        let spec = ReplicaSetSpec { replicas: Some(replicas), ..Default::default() };
        ReplicaSet { spec: Some(spec), ..Default::default() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn missing_pods_are_made_and_ended_ones_do_not_count() {
        let owned = [pod("a", "Running", true), pod("b", "Failed", false)].map(Arc::new);
        assert_eq!(plan(&set(3), &owned, at(2000)).create, 2);
    }

    #[test]
    fn surplus_pods_go_the_unready_first() {
        let owned = [pod("a", "Running", true), pod("b", "Running", false), pod("c", "Running", true)].map(Arc::new);
        let plan = plan(&set(2), &owned, at(2000));
        assert_eq!(plan.create, 0);
        assert_eq!(plan.delete, [owned[1].clone()]);
    }

    #[test]
    fn the_status_counts_ready_and_available_pods() {
        let mut set = set(2);
        set.spec.as_mut().unwrap().min_ready_seconds = Some(60);
        let owned = [pod("a", "Running", true), pod("b", "Running", false)].map(Arc::new);
        let early = status(&set, &owned, None, at(1010));
        assert_eq!((early.replicas, early.ready_replicas, early.available_replicas), (2, Some(1), None));
        assert_eq!(status(&set, &owned, None, at(1060)).available_replicas, Some(1));
        assert_eq!(next_available(set.spec.as_ref().unwrap(), &owned, at(1010)), Next::After(Duration::from_secs(50)));
    }

    #[test]
    fn a_failure_becomes_a_condition_and_goes_with_it() {
        let failure = ("FailedCreate", Error::Invalid("no quota".into()));
        let failed = conditions(None, Some(&failure), at(1)).unwrap();
        assert_eq!(failed[0].reason.as_deref(), Some("FailedCreate"));
        assert_eq!(failed[0].message.as_deref(), Some("no quota"));
        assert_eq!(conditions(Some(failed), None, at(2)), None);
    }
}
