//! Deployment: a ReplicaSet per template, and the way from the old ones to the new one.
//!
//! ```text
//! observe (sets, pods) -> plan: one step -> apply -> status; the changes of the sets bring the next step
//!
//! paused, or scaled meanwhile   all sets keep their proportions
//! RollingUpdate                 new set up within maxSurge; else old sets down within maxUnavailable
//! Recreate                      old sets to 0, wait for their pods to end, then the new set
//! ```
//!
//! Source of the rules: kubernetes `pkg/controller/deployment/deployment_controller.go` and `sync.go`.

mod revision;
mod rolling;
mod status;

pub(super) use revision::hash as template_hash;
pub(super) use rolling::portion;

use super::runner::Next;
use super::watches::{changes, controlled, controller_of, own};
use super::{Context, Controller, Error, Key, pods, write};
use crate::client::Level;
use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use revision::{DESIRED, MAX, REVISION};
use rolling::{Resize, Sets};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;

pub(super) const CONTROLLER: Controller = Controller {
    name: "deployment-controller",
    watches: &[own::<Deployment>, controlled::<ReplicaSet, Deployment>, ended_pods],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// Pods that are gone matter to `Recreate`, which waits for them.
fn ended_pods(context: &Context) -> super::watches::Watched {
    let sets = context.caches.of::<ReplicaSet>();
    changes::<Pod>(context, move |change| {
        let pod = change.object();
        let is_gone = matches!(change, crate::client::Change::Deleted(_)) || pods::is_finished(pod);
        let Some(owner) = controller_of(&**pod).filter(|owner| is_gone && owner.kind == "ReplicaSet") else {
            return Vec::new();
        };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let set = sets.get(namespace, &owner.name);
        let deployment = set.as_ref().and_then(|set| controller_of(&**set));
        deployment.map(|deployment| Key::new(namespace, &deployment.name)).into_iter().collect()
    })
}

/// What a step does.
#[derive(Debug, Default)]
struct Plan {
    /// Creates the set of the present template.
    create: Option<ReplicaSet>,
    /// New sizes.
    resize: Vec<Resize>,
    /// Old sets beyond the history that is kept.
    forget: Vec<Arc<ReplicaSet>>,
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(deployment) = context.caches.of::<Deployment>().get(&key.namespace, &key.name) else {
        return Ok(Next::Wait);
    };
    let Some(owner) = owner(&deployment) else { return Ok(Next::Wait) };
    let all = claim(context, &deployment, &owner).await?;
    if deployment.metadata.deletion_timestamp.is_some() {
        let sets = sort(&deployment, all);
        let status = status::counted(&deployment, &sets, Timestamp::now());
        write::merge_status(context, &*deployment, status).await?;
        return Ok(Next::Wait);
    }
    if let Some(condition) = status::paused(&deployment, Timestamp::now()) {
        let mut changed = deployment.status.clone().unwrap_or_default();
        status::set(&mut changed, condition);
        write::merge_status(context, &*deployment, changed).await?;
        // The write comes back by the watch, and is noted: the next run sees it.
        return Ok(Next::After(std::time::Duration::ZERO));
    }
    let sets = sort(&deployment, all);
    if annotate(context, &deployment, &sets).await? {
        return Ok(Next::After(std::time::Duration::ZERO));
    }
    let sets_pods = !rolling::is_rolling(&deployment) && old_pods_run(context, &sets, &key.namespace);
    let plan = plan(&deployment, &sets, &owner, sets_pods);
    let changed = apply(context, &deployment, plan).await?;

    let sets = if changed { sort(&deployment, claim(context, &deployment, &owner).await?) } else { sets };
    let now = Timestamp::now();
    let current = context.caches.of::<Deployment>().get(&key.namespace, &key.name).unwrap_or(deployment);
    let is_paused = current.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
    let status =
        if is_paused { status::counted(&current, &sets, now) } else { status::of_rollout(&current, &sets, now) };
    let next = status::next_look(&current, &status, now);
    write::merge_status(context, &*current, status).await?;
    Ok(next)
}

fn owner(deployment: &Deployment) -> Option<OwnerReference> {
    let mut owner = deployment.controller_owner_ref(&())?;
    owner.block_owner_deletion = Some(true);
    Some(owner)
}

/// The Deployment's sets, after adopting those of nobody that its selector takes and releasing those that it no longer takes.
async fn claim(
    context: &Context,
    deployment: &Deployment,
    owner: &OwnerReference,
) -> Result<Vec<Arc<ReplicaSet>>, Error> {
    let Some(spec) = &deployment.spec else { return Ok(Vec::new()) };
    let selector = pods::selector(&spec.selector)?;
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
    let terminating = deployment.metadata.deletion_timestamp.is_some();
    let mut mine = Vec::new();
    for set in context.caches.of::<ReplicaSet>().list_in(namespace) {
        let selected = pods::selects(&selector, &set.metadata.labels);
        let mut owners = set.metadata.owner_references.clone().unwrap_or_default();
        match controller_of(&*set) {
            Some(other) if other.uid != owner.uid => continue,
            Some(_) if selected || terminating => {
                mine.push(set);
                continue;
            }
            Some(_) => owners.retain(|one| one.uid != owner.uid),
            None if selected && !terminating && set.metadata.deletion_timestamp.is_none() => owners.push(owner.clone()),
            None => continue,
        }
        let patch = json!({"metadata": {"uid": set.metadata.uid, "ownerReferences": owners}});
        match write::merge(context, &*set, patch).await {
            Ok(set) if selected => mine.push(Arc::new(set)),
            Ok(_) => {}
            Err(error) if write::is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(mine)
}

/// Sorts sets into the new one and the old ones.
fn sort(deployment: &Deployment, all: Vec<Arc<ReplicaSet>>) -> Sets {
    let new = revision::find_new(deployment, &all).cloned();
    let uid = new.as_ref().and_then(|set| set.metadata.uid.clone());
    let old = all.into_iter().filter(|set| uid.is_none() || set.metadata.uid != uid).collect();
    Sets { new, old }
}

/// Whether a pod of an old set still runs.
fn old_pods_run(context: &Context, sets: &Sets, namespace: &str) -> bool {
    let old: HashSet<&str> = sets.old.iter().filter_map(|set| set.metadata.uid.as_deref()).collect();
    let pods = context.caches.of::<Pod>().list_in(namespace);
    let is_old = |pod: &Pod| controller_of(pod).is_some_and(|owner| old.contains(owner.uid.as_str()));
    pods.iter().any(|pod| is_old(pod) && !pods::is_finished(pod))
}

fn newest_revision(sets: &Sets) -> i64 {
    sets.old.iter().map(|set| revision::revision(set)).max().unwrap_or(0) + 1
}

/// Brings annotations and the revision up to date. Whether something had to be written.
async fn annotate(context: &Context, deployment: &Deployment, sets: &Sets) -> Result<bool, Error> {
    let Some(new) = &sets.new else { return Ok(false) };
    let missing = revision::missing_annotations(deployment, new, newest_revision(sets));
    let min_ready = |seconds: Option<i32>| seconds.unwrap_or(0);
    let seconds = min_ready(deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds));
    let differs = min_ready(new.spec.as_ref().and_then(|spec| spec.min_ready_seconds)) != seconds;
    if !missing.is_empty() || differs {
        let patch = json!({"metadata": {"annotations": missing}, "spec": {"minReadySeconds": seconds}});
        write::merge(context, &**new, patch).await?;
        return Ok(true);
    }
    let number = new.metadata.annotations.as_ref().and_then(|all| all.get(REVISION));
    let shown = deployment.metadata.annotations.as_ref().and_then(|all| all.get(REVISION));
    if number.is_some() && number != shown {
        write::merge(context, deployment, json!({"metadata": {"annotations": {REVISION: number}}})).await?;
        return Ok(true);
    }
    Ok(false)
}

fn plan(deployment: &Deployment, sets: &Sets, owner: &OwnerReference, old_pods_run: bool) -> Plan {
    let is_paused = deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
    let forget = || surplus_history(deployment, sets);
    let create = || {
        let max = rolling::wanted(deployment) + rolling::max_surge(deployment);
        let size = rolling::new_size(deployment, sets);
        Plan {
            create: Some(revision::new_set(deployment, owner.clone(), size, newest_revision(sets), max)),
            ..Plan::default()
        }
    };
    if is_paused || rolling::was_scaled(deployment, sets) {
        let resize = rolling::proportional(deployment, sets);
        if is_paused || !resize.is_empty() {
            return Plan { resize, forget: if is_paused { forget() } else { Vec::new() }, create: None };
        }
    }
    let resize = if !rolling::is_rolling(deployment) {
        let empty = rolling::empty_old(sets);
        if !empty.is_empty() || old_pods_run {
            return Plan { resize: empty, ..Plan::default() };
        }
        if sets.new.is_none() {
            return create();
        }
        rolling::scale_new(deployment, sets).into_iter().collect()
    } else if sets.new.is_none() {
        return create();
    } else {
        match rolling::scale_new(deployment, sets) {
            Some(resize) => vec![resize],
            None => rolling::scale_old(deployment, sets),
        }
    };
    let is_complete = deployment.status.as_ref().is_some_and(|status| status::is_complete(deployment, status));
    let forget = if resize.is_empty() && is_complete { forget() } else { Vec::new() };
    Plan { resize, forget, create: None }
}

/// Old sets, the earliest revisions first, beyond `revisionHistoryLimit`; those that still have pods stay.
fn surplus_history(deployment: &Deployment, sets: &Sets) -> Vec<Arc<ReplicaSet>> {
    let limit = deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(10);
    let mut kept: Vec<_> = sets.old.iter().filter(|set| set.metadata.deletion_timestamp.is_none()).collect();
    let surplus = kept.len().saturating_sub(limit.max(0) as usize);
    kept.sort_by_key(|set| revision::revision(set));
    let observed = |set: &ReplicaSet| set.status.as_ref().and_then(|status| status.observed_generation);
    let is_idle = |set: &&Arc<ReplicaSet>| {
        rolling::size(set) == 0 && rolling::actual(set) == 0 && observed(set) >= set.metadata.generation
    };
    kept.into_iter().take(surplus).filter(is_idle).cloned().collect()
}

/// Carries a step out. Whether sets changed.
async fn apply(context: &Context, deployment: &Deployment, plan: Plan) -> Result<bool, Error> {
    let changed = plan.create.is_some() || !plan.resize.is_empty() || !plan.forget.is_empty();
    if let Some(set) = plan.create {
        create(context, deployment, &set).await?;
    }
    for (set, size) in plan.resize {
        resize(context, deployment, &set, size).await?;
    }
    for set in plan.forget {
        write::delete(context, &*set).await?;
    }
    Ok(changed)
}

async fn create(context: &Context, deployment: &Deployment, set: &ReplicaSet) -> Result<(), Error> {
    let name = set.metadata.name.as_deref().unwrap_or_default();
    let now = Timestamp::now();
    match write::create(context, set).await {
        Ok(_) => {}
        Err(error) if write::is_conflict(&error) => return collide(context, deployment, name).await,
        Err(error) if super::replica_set::is_namespace_terminating(&error) => return Ok(()),
        Err(error) => {
            let text = format!("Failed to create new replica set {name:?}: {}", super::replica_set::plain(&error));
            let mut failed = deployment.status.clone().unwrap_or_default();
            let condition = status::condition(status::PROGRESSING, "False", "ReplicaSetCreateError", text.clone(), now);
            status::set(&mut failed, condition);
            write::merge_status(context, deployment, failed).await?;
            context.record(CONTROLLER.name, deployment, Level::Warning, "ReplicaSetCreateError", text);
            return Err(error);
        }
    }
    let size = rolling::size(set);
    if size > 0 {
        let text = format!("Scaled up replica set {name} from 0 to {size}");
        context.record(CONTROLLER.name, deployment, Level::Normal, "ScalingReplicaSet", text);
    }
    let number = set.metadata.annotations.as_ref().and_then(|all| all.get(REVISION)).cloned();
    let annotated = write::merge(context, deployment, json!({"metadata": {"annotations": {REVISION: number}}})).await?;
    if status::deadline(deployment).is_some() {
        let mut created = annotated.status.clone().unwrap_or_default();
        let text = format!("Created new replica set {name:?}");
        status::set(&mut created, status::condition(status::PROGRESSING, "True", "NewReplicaSetCreated", text, now));
        write::merge_status(context, &annotated, created).await?;
    }
    Ok(())
}

/// The name of the new set is taken. If the cache only did not show our own set yet, its event brings the next step; a set
/// of somebody else takes the name for good, and the count of collisions makes another.
async fn collide(context: &Context, deployment: &Deployment, name: &str) -> Result<(), Error> {
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
    let door = <ReplicaSet as write::Door>::door(context, namespace);
    let Some(taken) = door.get_opt(name).await? else { return Ok(()) };
    if controller_of(&taken).is_some_and(|owner| Some(&owner.uid) == deployment.metadata.uid.as_ref()) {
        context.caches.of::<ReplicaSet>().note(taken);
        return Ok(());
    }
    let mut status = deployment.status.clone().unwrap_or_default();
    status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
    write::merge_status(context, deployment, status).await.map(drop)
}

async fn resize(context: &Context, deployment: &Deployment, set: &ReplicaSet, size: i32) -> Result<(), Error> {
    let wanted = rolling::wanted(deployment);
    let annotations = json!({DESIRED: wanted.to_string(), MAX: (wanted + rolling::max_surge(deployment)).to_string()});
    let patch = json!({"metadata": {"annotations": annotations}, "spec": {"replicas": size}});
    let before = rolling::size(set);
    write::merge(context, set, patch).await?;
    if before != size {
        let direction = if size > before { "up" } else { "down" };
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let text = format!("Scaled {direction} replica set {name} from {before} to {size}");
        context.record(CONTROLLER.name, deployment, Level::Normal, "ScalingReplicaSet", text);
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::Value;

    /// A rolling Deployment `web` of so many replicas.
    pub fn deployment(replicas: i32) -> Deployment {
        let labels = json!({"app": "web"});
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "uid-web", "generation": 1},
            "spec": {"replicas": replicas, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 1,
                "selector": {"matchLabels": labels}, "strategy": {"type": "RollingUpdate"},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
        }))
        .unwrap()
    }

    /// A ReplicaSet of it with a size and available pods.
    pub fn set_of(deployment: &Deployment, name: &str, revision: i64, size: i32, available: i32) -> ReplicaSet {
        let owner = owner(deployment).unwrap();
        let mut set = super::revision::new_set(deployment, owner, size, revision, rolling::wanted(deployment) + 3);
        set.metadata.name = Some(name.into());
        set.metadata.uid = Some(format!("uid-{name}"));
        let status: Value = json!({"replicas": size, "readyReplicas": available, "availableReplicas": available});
        set.status = serde_json::from_value(status).unwrap();
        set
    }

    #[test]
    fn the_first_step_creates_the_set_of_the_template() {
        let deployment = deployment(3);
        let owner = owner(&deployment).unwrap();
        let plan = plan(&deployment, &Sets { new: None, old: vec![] }, &owner, false);
        let set = plan.create.unwrap();
        let hash = revision::template_hash(&deployment);
        assert_eq!(set.metadata.name, Some(format!("web-{hash}")));
        assert_eq!(rolling::size(&set), 3);
        assert_eq!(set.metadata.annotations.unwrap()[REVISION], "1");
        assert_eq!(set.spec.unwrap().selector.match_labels.unwrap()[revision::HASH], hash);
    }

    #[test]
    fn recreate_waits_for_the_old_pods() {
        let mut deployment = deployment(2);
        deployment.spec.as_mut().unwrap().strategy.as_mut().unwrap().type_ = Some("Recreate".into());
        let owner = owner(&deployment).unwrap();
        let old = |size| Sets { new: None, old: vec![Arc::new(set_of(&deployment, "web-1", 1, size, size))] };
        let first = plan(&deployment, &old(2), &owner, true);
        assert_eq!(first.resize[0].1, 0);
        let second = plan(&deployment, &old(0), &owner, true);
        assert!(second.create.is_none() && second.resize.is_empty());
        assert_eq!(rolling::size(&plan(&deployment, &old(0), &owner, false).create.unwrap()), 2);
    }

    #[test]
    fn a_paused_deployment_scales_but_does_not_roll() {
        let mut deployment = deployment(2);
        deployment.spec.as_mut().unwrap().paused = Some(true);
        let owner = owner(&deployment).unwrap();
        let old = vec![Arc::new(set_of(&deployment, "web-1", 1, 1, 1))];
        let plan = plan(&deployment, &Sets { new: None, old }, &owner, false);
        assert!(plan.create.is_none());
        assert_eq!(plan.resize[0].1, 2);
    }

    #[test]
    fn history_beyond_the_limit_is_forgotten_when_the_rollout_is_complete() {
        let mut deployment = deployment(1);
        let new = Some(Arc::new(set_of(&deployment, "web-3", 3, 1, 1)));
        let old =
            vec![Arc::new(set_of(&deployment, "web-2", 2, 0, 0)), Arc::new(set_of(&deployment, "web-1", 1, 0, 0))];
        let sets = Sets { new, old };
        deployment.status = Some(status::of_rollout(&deployment, &sets, Timestamp::now()));
        let plan = plan(&deployment, &sets, &owner(&deployment).unwrap(), false);
        assert_eq!(plan.forget[0].metadata.name.as_deref(), Some("web-1"));
        assert_eq!(plan.forget.len(), 1);
    }
}
