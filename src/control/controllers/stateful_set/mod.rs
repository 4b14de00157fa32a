//! StatefulSet: pods with names, in order, each with its claims.
//!
//! ```text
//! observe (pods by ordinal, revisions) -> plan: one step -> apply -> status; the changes of pods bring the next step
//! ```
//!
//! Source of the rules: kubernetes `pkg/controller/statefulset/stateful_set_control.go`.

mod claims;
mod identity;
mod plan;
#[cfg(test)]
mod whole;

use super::pods::{self, Claim};
use super::replica_set::{is_namespace_terminating, plain};
use super::revisions;
use super::runner::Next;
use super::watches::{Watched, changes, controlled, controller_of, own, read};
use super::{Context, Controller, Error, Key, write};
use crate::client::Level;
use futures::FutureExt;
use futures::future::join_all;
use identity::{missing_labels, ordinal, revision, start};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use plan::{Plan, View};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;

pub(super) const CONTROLLER: Controller = Controller {
    name: "statefulset-controller",
    watches: &[
        own::<StatefulSet>,
        controlled::<Pod, StatefulSet>,
        controlled::<ControllerRevision, StatefulSet>,
        orphans,
        read::<PersistentVolumeClaim>,
    ],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

fn orphans(context: &Context) -> Watched {
    let sets = context.caches.of::<StatefulSet>();
    changes::<Pod>(context, move |change| {
        let pod = change.object();
        if controller_of(&**pod).is_some() || pods::is_terminating(pod) {
            return Vec::new();
        }
        let selects = |set: &Arc<StatefulSet>| {
            let selector = set.spec.as_ref().and_then(|spec| pods::selector(&spec.selector).ok());
            selector.is_some_and(|selector| pods::selects(&selector, &pod.metadata.labels))
                && ordinal(set, pod).is_some()
        };
        let all = sets.list_in(pod.metadata.namespace.as_deref().unwrap_or_default());
        all.into_iter().filter(selects).map(|set| Key::of(&*set)).collect()
    })
}

/// A set while it is looked at.
struct Look<'a> {
    context: &'a Context,
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    owner: OwnerReference,
    /// The revisions that pods have, and are to have.
    current: Arc<ControllerRevision>,
    update: Arc<ControllerRevision>,
    collisions: i32,
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(set) = context.caches.of::<StatefulSet>().get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    let (Some(spec), Some(mut owner)) = (&set.spec, set.controller_owner_ref(&())) else { return Ok(Next::Wait) };
    owner.block_owner_deletion = Some(true);
    if set.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    let look = match look(context, &set, spec, owner, &key).await {
        Err(error) if is_namespace_terminating(&error) => return Ok(Next::Wait),
        other => other?,
    };
    let plan = look.view(look.pods().await?).plan();
    let later = plan.later;
    let applied = look.apply(plan).await;
    let view = look.view(look.pods().await?);
    let status = look.status(&view);
    let live = view.pods.iter().map(|pod| revision(pod).to_string());
    let named = [&status.current_revision, &status.update_revision].into_iter().flatten().cloned();
    let live: HashSet<String> = live.chain(named).collect();
    write::merge_status(context, &*set, status).await?;
    let history = revisions::of(context, &key.namespace, &look.owner);
    revisions::truncate(context, &history, &live, spec.revision_history_limit.unwrap_or(10)).await?;
    applied?;
    Ok(later.map_or(Next::Wait, Next::After))
}

async fn look<'a>(
    context: &'a Context,
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    owner: OwnerReference,
    key: &Key,
) -> Result<Look<'a>, Error> {
    let history = revisions::of(context, &key.namespace, &owner);
    let mut collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let histories = revisions::Owner {
        reference: &owner,
        name: &key.name,
        namespace: &key.namespace,
        labels: spec.selector.match_labels.clone().unwrap_or_default(),
        annotations: set.metadata.annotations.clone(),
    };
    let update = revisions::present(context, &histories, &spec.template, &history, &mut collisions).await?;
    let named = set.status.as_ref().and_then(|status| status.current_revision.clone());
    let current = history.iter().find(|revision| revision.metadata.name == named && named.is_some());
    let current = current.unwrap_or(&update).clone();
    Ok(Look { context, set, spec, owner, current, update, collisions })
}

fn name_of(revision: &ControllerRevision) -> &str {
    revision.metadata.name.as_deref().unwrap_or_default()
}

impl Look<'_> {
    fn tell(&self, level: Level, reason: &str, text: String) {
        self.context.record(CONTROLLER.name, self.set, level, reason, text);
    }

    fn set_name(&self) -> &str {
        self.set.metadata.name.as_deref().unwrap_or_default()
    }

    /// The pods of the set, after adopting and releasing.
    async fn pods(&self) -> Result<Vec<Arc<Pod>>, Error> {
        let selector = pods::selector(&self.spec.selector)?;
        let claim = Claim { owner: &self.owner, selector: &selector, terminating: false };
        let namespace = self.set.metadata.namespace.as_deref().unwrap_or_default();
        let mut all = self.context.caches.of::<Pod>().list_in(namespace);
        // Only pods of the set's names can be its own.
        all.retain(|pod| {
            ordinal(self.set, pod).is_some() || controller_of(&**pod).is_some_and(|one| one.uid == self.owner.uid)
        });
        let mut own = claim.settle(self.context, claim.sort(all)).await?;
        own.retain(|pod| ordinal(self.set, pod).is_some());
        Ok(own)
    }

    fn view(&self, pods: Vec<Arc<Pod>>) -> View<'_> {
        View { set: self.set, spec: self.spec, pods, update: name_of(&self.update).to_string(), now: Timestamp::now() }
    }

    async fn apply(&self, plan: Plan) -> Result<(), Error> {
        for pod in &plan.renew {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let (reason, state) = match pods::phase(pod) {
                "Failed" => ("RecreatingFailedPod", "failed"),
                _ => ("RecreatingTerminatedPod", "terminated"),
            };
            let namespace = self.set.metadata.namespace.as_deref().unwrap_or_default();
            let text = format!("StatefulSet {namespace}/{} is recreating {state} Pod {name}", self.set_name());
            self.tell(Level::Warning, reason, text);
        }
        for pod in self.pods().await?.iter().filter(|pod| !pods::is_terminating(pod)) {
            self.keep_identity(pod).await?;
        }
        let created = join_all(plan.create.iter().map(|ordinal| self.create(*ordinal)));
        let gone = plan.renew.iter().chain(&plan.condemn).chain(&plan.update);
        let deleted = join_all(gone.map(|pod| self.delete(pod)));
        let (created, deleted) = futures::join!(created, deleted);
        created.into_iter().chain(deleted).collect()
    }

    /// Brings labels and claims of a pod in line.
    async fn keep_identity(&self, pod: &Arc<Pod>) -> Result<(), Error> {
        if let Some(labels) = missing_labels(self.set, pod) {
            write::merge(self.context, &**pod, json!({"metadata": {"uid": pod.metadata.uid, "labels": labels}}))
                .await?;
        }
        if let Some(number) = ordinal(self.set, pod).filter(|number| identity::wanted(self.spec).contains(number)) {
            claims::ensure(self.context, self.set, &self.owner, number).await?;
        }
        claims::retain(self.context, self.set, &self.owner, pod).await
    }

    /// The template and revision of an ordinal that is made anew.
    fn version(&self, ordinal: i32) -> (Option<PodTemplateSpec>, &str) {
        let strategy = self.spec.update_strategy.as_ref();
        let is_on_delete = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete");
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let current = self.set.status.as_ref().and_then(|status| status.current_replicas).unwrap_or(0);
        let below = rolling.map_or(current, |rolling| rolling.partition.unwrap_or(0));
        if !is_on_delete && ordinal < start(self.spec) + below {
            (revisions::template(&self.current), name_of(&self.current))
        } else {
            (Some(self.spec.template.clone()), name_of(&self.update))
        }
    }

    async fn create(&self, ordinal: i32) -> Result<(), Error> {
        claims::ensure(self.context, self.set, &self.owner, ordinal).await?;
        let (template, revision) = self.version(ordinal);
        let template = template.unwrap_or_else(|| self.spec.template.clone());
        let pod = identity::pod(self.set, &template, &self.owner, ordinal, revision);
        let name = identity::pod_name(self.set, ordinal);
        match write::create(self.context, &pod).await {
            Ok(_) => {
                let text = format!("create Pod {name} in StatefulSet {} successful", self.set_name());
                self.tell(Level::Normal, "SuccessfulCreate", text);
                Ok(())
            }
            Err(error) if is_namespace_terminating(&error) => Ok(()),
            Err(error) => {
                let text =
                    format!("create Pod {name} in StatefulSet {} failed error: {}", self.set_name(), plain(&error));
                self.tell(Level::Warning, "FailedCreate", text);
                Err(error)
            }
        }
    }

    async fn delete(&self, pod: &Arc<Pod>) -> Result<(), Error> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match write::delete(self.context, &**pod).await {
            Ok(true) => {
                let text = format!("delete Pod {name} in StatefulSet {} successful", self.set_name());
                self.tell(Level::Normal, "SuccessfulDelete", text);
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) => {
                let text =
                    format!("delete Pod {name} in StatefulSet {} failed error: {}", self.set_name(), plain(&error));
                self.tell(Level::Warning, "FailedDelete", text);
                Err(error)
            }
        }
    }

    fn status(&self, view: &View) -> StatefulSetStatus {
        let count = |is: &dyn Fn(&Pod) -> bool| view.pods.iter().filter(|pod| is(pod)).count() as i32;
        let is_of = |pod: &Pod, name: &str| !pods::is_terminating(pod) && revision(pod) == name;
        let nonzero = |count: i32| Some(count).filter(|count| *count != 0);
        let (current, update) = (name_of(&self.current), name_of(&self.update));
        let replicas = count(&|_| true);
        let ready = count(&|pod| View::is_ready(pod));
        let updated = count(&|pod| is_of(pod, update));
        let wanted = self.spec.replicas.unwrap_or(1);
        let strategy = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        let is_done = strategy != Some("OnDelete") && [replicas, ready, updated] == [wanted; 3];
        let (current, of_current) =
            if is_done { (update, updated) } else { (current, count(&|pod| is_of(pod, current))) };
        StatefulSetStatus {
            replicas,
            ready_replicas: nonzero(ready),
            available_replicas: Some(count(&|pod| view.is_available(pod))),
            current_replicas: nonzero(of_current),
            updated_replicas: nonzero(updated),
            current_revision: Some(current.to_string()),
            update_revision: Some(update.to_string()),
            observed_generation: self.set.metadata.generation,
            collision_count: Some(self.collisions),
            conditions: self.set.status.as_ref().and_then(|status| status.conditions.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// A set `web`.
    pub fn set(spec: Value) -> StatefulSet {
        let mut whole = json!({"selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {"containers": []}}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": whole})).unwrap()
    }

    /// The pod of an ordinal.
    pub fn member(ordinal: i32, ready: bool, revision: &str) -> Pod {
        let mut pod = pods::tests::pod(&format!("web-{ordinal}"), "Running", ready);
        pod.metadata.labels.as_mut().unwrap().insert(revisions::HASH.into(), revision.into());
        pod
    }
}
