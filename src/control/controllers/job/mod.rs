//! Job: pods that run to their end, until enough of them succeeded.
//!
//! ```text
//! running --enough succeeded----> SuccessCriteriaMet --no pod left--> Complete
//!    | ^  --failed for good-----> FailureTarget     --no pod left--> Failed
//!    v |
//! suspended (no pods)
//! ```
//!
//! Source of the rules: kubernetes `pkg/controller/job/job_controller.go`.

mod count;
mod failure_policy;
mod indexes;
mod judge;
mod scale;
mod view;
#[cfg(test)]
mod whole;

use super::pods::{self, Claim};
use super::runner::Next;
use super::watches::{Watched, changes, controlled, controller_of, own};
use super::{Context, Controller, Error, Key, write};
use crate::client::Level;
use futures::FutureExt;
use futures::future::join_all;
use jiff::Timestamp;
use judge::{End, FAILURE, SUCCESS, condition};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource;
use std::sync::Arc;
use view::{View, is_over, is_tracked};

pub(super) const CONTROLLER: Controller = Controller {
    name: "job-controller",
    watches: &[own::<Job>, controlled::<Pod, Job>, orphans],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// Marks the key of a pod instead of a Job: no object's name has it.
const POD: &str = "/";

/// Jobs that could adopt a pod of nobody; without any, the pod itself if it still waits to be counted.
fn orphans(context: &Context) -> Watched {
    let jobs = context.caches.of::<Job>();
    changes::<Pod>(context, move |change| {
        let crate::client::Change::Applied { new: pod, .. } = change else { return Vec::new() };
        if controller_of(&*pod).is_some() {
            return Vec::new();
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let adopting = adopting(&jobs.list_in(namespace), &pod);
        match adopting.is_empty() && is_tracked(&pod) {
            true => vec![Key::new(namespace, &format!("{POD}{}", pod.metadata.name.as_deref().unwrap_or_default()))],
            false => adopting,
        }
    })
}

/// The Jobs that would adopt a pod.
fn adopting(jobs: &[Arc<Job>], pod: &Pod) -> Vec<Key> {
    if pods::is_terminating(pod) {
        return Vec::new();
    }
    let selects = |job: &&Arc<Job>| {
        let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let selector = selector.and_then(|selector| pods::selector(selector).ok());
        job.metadata.deletion_timestamp.is_none()
            && selector.is_some_and(|selector| pods::selects(&selector, &pod.metadata.labels))
    };
    jobs.iter().filter(selects).map(|job| Key::of(&**job)).collect()
}

/// Lets a pod of nobody go: it will not be counted.
async fn free_orphan(context: &Context, namespace: &str, name: &str) -> Result<Next, Error> {
    let Some(pod) = context.caches.of::<Pod>().get(namespace, name) else { return Ok(Next::Wait) };
    let is_awaited = !adopting(&context.caches.of::<Job>().list_in(namespace), &pod).is_empty();
    if controller_of(&*pod).is_none() && is_tracked(&pod) && !is_awaited {
        count::free(context, &[pod]).await?;
    }
    Ok(Next::Wait)
}

/// Whether `status.conditions` say that a Job ended; the condition is `Complete` or `Failed`.
pub(super) fn ended(job: &Job) -> Option<&'static str> {
    let status = job.status.as_ref()?;
    ["Complete", "Failed"].into_iter().find(|kind| view::holds(status, kind).is_some())
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    if let Some(pod) = key.name.strip_prefix(POD) {
        return free_orphan(context, &key.namespace, pod).await;
    }
    let job = context.caches.of::<Job>().get(&key.namespace, &key.name);
    free_lost(context, &key, job.as_deref()).await?;
    let Some(job) = job.filter(|job| is_ours(job)) else { return Ok(Next::Wait) };
    let Some(owner) = owner(&job) else { return Ok(Next::Wait) };
    let status = job.status.clone().unwrap_or_default();
    let mut view = look(context, &job, &owner, status).await?;
    if is_over(&view.status) {
        let left: Vec<_> = view.pods.iter().filter(|pod| is_tracked(pod)).cloned().collect();
        count::free(context, &left).await?;
        return Ok(Next::Wait);
    }
    begin(context, &mut view);
    let end = judge::judge(&view);
    let later = act(context, &view, &owner, end.as_ref()).await;
    // Read again: what was just made and deleted is in the cache already.
    let status = view.status;
    let view = look(context, &job, &owner, status).await?;
    let result = settle(context, view, &owner, end).await?;
    Ok(match (later?, result) {
        (Next::After(one), Next::After(other)) => Next::After(one.min(other)),
        (Next::Wait, other) | (other, Next::Wait) => other,
    })
}

fn is_ours(job: &Job) -> bool {
    let by = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
    by.is_none_or(|by| by == "kubernetes.io/job-controller")
}

fn owner(job: &Job) -> Option<OwnerReference> {
    let mut owner = job.controller_owner_ref(&())?;
    owner.block_owner_deletion = Some(true);
    Some(owner)
}

/// Lets pods of a Job go that is no more: nobody will count them.
async fn free_lost(context: &Context, key: &Key, job: Option<&Job>) -> Result<(), Error> {
    let uid = job.and_then(|job| job.metadata.uid.as_deref());
    let is_lost = |pod: &Arc<Pod>| {
        let owner = controller_of(&**pod).filter(|owner| owner.kind == "Job" && owner.name == key.name);
        is_tracked(pod) && owner.is_some_and(|owner| Some(owner.uid.as_str()) != uid)
    };
    let mut lost = context.caches.of::<Pod>().list_in(&key.namespace);
    lost.retain(is_lost);
    count::free(context, &lost).await
}

/// The Job with its pods, after adopting those of nobody.
async fn look(context: &Context, job: &Arc<Job>, owner: &OwnerReference, status: JobStatus) -> Result<View, Error> {
    let spec = job.spec.clone().unwrap_or_default();
    let selector = pods::selector(&spec.selector.clone().unwrap_or_default())?;
    let claim = Claim { owner, selector: &selector, terminating: job.metadata.deletion_timestamp.is_some() };
    let all = context.caches.of::<Pod>().list_in(job.metadata.namespace.as_deref().unwrap_or_default());
    let pods = claim.settle(context, claim.sort(all)).await?;
    Ok(View { job: job.clone(), spec, status, pods, now: Timestamp::now() })
}

/// Notes the start, and that the Job was paused or goes on.
fn begin(context: &Context, view: &mut View) {
    let now = view.now;
    if view.is_suspended() {
        if view::holds(&view.status, "Suspended").is_none() {
            set(&mut view.status, condition("Suspended", "True", "JobSuspended", "Job suspended", now));
            context.record(CONTROLLER.name, &*view.job, Level::Normal, "Suspended", "Job suspended");
        }
        view.status.start_time = None;
        return;
    }
    if view::holds(&view.status, "Suspended").is_some() {
        set(&mut view.status, condition("Suspended", "False", "JobResumed", "Job resumed", now));
        context.record(CONTROLLER.name, &*view.job, Level::Normal, "Resumed", "Job resumed");
        view.status.start_time = Some(Time(now));
    }
    view.status.start_time.get_or_insert(Time(now));
}

fn set(status: &mut JobStatus, new: k8s_openapi::api::batch::v1::JobCondition) {
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != new.type_);
    conditions.push(new);
}

/// Makes and deletes pods.
async fn act(context: &Context, view: &View, owner: &OwnerReference, end: Option<&End>) -> Result<Next, Error> {
    if view.job.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    if end.is_some() {
        delete(context, view, view.active(), false).await?;
        return Ok(Next::Wait);
    }
    if view.is_suspended() {
        delete(context, view, view.active(), true).await?;
        return Ok(Next::Wait);
    }
    let plan = scale::plan(view);
    delete(context, view, plan.delete, true).await?;
    let made = plan.create.into_iter().map(|index| scale::pod(view, owner, index)).collect();
    pods::create_all(context, CONTROLLER.name, &*view.job, made).await?;
    let deadline = judge::time_left(view);
    let next = plan.later.into_iter().chain(deadline).min();
    Ok(next.map_or(Next::Wait, |delay| Next::After(delay + std::time::Duration::from_millis(1))))
}

/// Deletes pods; `forgive` lets them go first, so that they count as nothing.
async fn delete(context: &Context, view: &View, pods: Vec<Arc<Pod>>, forgive: bool) -> Result<(), Error> {
    if forgive {
        let tracked: Vec<_> = pods.iter().filter(|pod| is_tracked(pod)).cloned().collect();
        count::free(context, &tracked).await?;
    }
    let deleted = join_all(pods.iter().map(|pod| async move {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        if write::delete(context, &**pod).await? {
            let text = format!("Deleted pod: {name}");
            context.record(CONTROLLER.name, &*view.job, Level::Normal, "SuccessfulDelete", text);
        }
        Ok(())
    }))
    .await;
    deleted.into_iter().collect()
}

/// Counts what ended and writes the status; ends the Job when no pod of it is left.
async fn settle(context: &Context, mut view: View, owner: &OwnerReference, end: Option<End>) -> Result<Next, Error> {
    let now = view.now;
    let counted = count::count(&view, end.as_ref().map(|end| end.well));
    view.status = counted.status;
    if let Some(end) = &end {
        let kind = if end.well { SUCCESS } else { FAILURE };
        if view::holds(&view.status, kind).is_none() {
            set(&mut view.status, end.condition(kind, now));
        }
    }
    if !counted.free.is_empty() {
        if counted.is_new {
            numbers(&mut view);
            write::merge_status(context, &*view.job, &view.status).await?;
        }
        count::free(context, &counted.free).await?;
        let job = current(context, &view.job);
        view = look(context, &job, owner, view.status).await?;
        let mut status = view.status.clone();
        status.uncounted_terminated_pods = Some(count::settled(&view, &mut status));
        view.status = status;
    }
    numbers(&mut view);
    let is_idle = view.active().is_empty() && view.terminating() == 0;
    let is_counted = view.status.uncounted_terminated_pods.as_ref().is_none_or(|lists| *lists == Default::default());
    if let Some(end) = end.filter(|_| is_idle && is_counted) {
        finish(context, &mut view, &end);
    }
    let job = current(context, &view.job);
    write::merge_status(context, &*job, &view.status).await?;
    Ok(Next::Wait)
}

fn current(context: &Context, job: &Arc<Job>) -> Arc<Job> {
    let key = Key::of(&**job);
    let found = context.caches.of::<Job>().get(&key.namespace, &key.name);
    found.filter(|found| found.metadata.uid == job.metadata.uid).unwrap_or_else(|| job.clone())
}

fn numbers(view: &mut View) {
    let active = view.active();
    view.status.active = Some(active.len() as i32).filter(|count| *count > 0);
    view.status.ready = Some(active.iter().filter(|pod| pods::is_ready(pod)).count() as i32);
    view.status.terminating = Some(view.terminating() as i32);
}

fn finish(context: &Context, view: &mut View, end: &End) {
    let now = Timestamp::now();
    if end.well {
        view.status.completion_time = Some(Time(now));
        context.record(CONTROLLER.name, &*view.job, Level::Normal, "Completed", "Job completed");
        set(&mut view.status, end.condition("Complete", now));
    } else {
        context.record(CONTROLLER.name, &*view.job, Level::Warning, &end.reason, end.message.clone());
        set(&mut view.status, end.condition("Failed", now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A pod that is tracked.
    pub fn job_pod(name: &str, phase: &str) -> Pod {
        let mut pod = pods::tests::pod(name, phase, phase == "Running");
        pod.metadata.finalizers = Some(vec![view::FINALIZER.into()]);
        pod
    }

    /// A Job `pi` that started when its pods changed last, seen at that time.
    pub fn view(spec: &Value, pods: Vec<Pod>) -> View {
        let mut spec = spec.clone();
        if spec["template"].is_null() {
            spec["template"] = json!({});
        }
        let job: Job =
            serde_json::from_value(json!({"metadata": {"name": "pi", "namespace": "one"}, "spec": spec})).unwrap();
        let now = Timestamp::from_second(1000).unwrap();
        let status = JobStatus { start_time: Some(Time(now)), ..Default::default() };
        let spec = job.spec.clone().unwrap();
        View { job: Arc::new(job), spec, status, pods: pods.into_iter().map(Arc::new).collect(), now }
    }
}
