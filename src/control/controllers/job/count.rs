//! Counts pods that ended, each once, whatever fails in between.
//!
//! ```text
//! pod ended, has the finalizer -> its uid in uncountedTerminatedPods -> finalizer gone -> in the number, uid gone
//! ```
//!
//! Source of the rules: kubernetes `pkg/controller/job/job_controller.go` (`trackJobStatusAndRemoveFinalizers`).

use super::indexes;
use super::view::{FINALIZER, View, index_of, is_tracked};
use crate::control::controllers::{Context, Error, pods, write};
use futures::future::join_all;
use k8s_openapi::api::batch::v1::{JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;

/// What a round counts.
#[derive(Debug)]
pub struct Count {
    /// The status with the uids of what was counted newly.
    pub status: JobStatus,
    /// Whether it has to be written before finalizers go.
    pub is_new: bool,
    /// Pods to let go.
    pub free: Vec<Arc<Pod>>,
}

/// Puts ended pods on the lists; with `ending` (`Some(well)`) those as well that are cut off.
pub fn count(view: &View, ending: Option<bool>) -> Count {
    let mut status = view.status.clone();
    let failed = view.newly_failed(ending == Some(false));
    let succeeded = view.newly_succeeded();
    let mut lists = settled(view, &mut status);
    let before = (lists.clone(), status.completed_indexes.clone(), status.failed_indexes.clone());
    if view.is_indexed() {
        let completed = view.succeeded_indexes();
        status.succeeded = Some(completed.len() as i32);
        status.completed_indexes = Some(indexes::format(&completed)).filter(|text| !text.is_empty());
        if view.limit_per_index().is_some() {
            status.failed_indexes = Some(indexes::format(&view.failed_indexes()));
        }
    } else {
        push(&mut lists.succeeded, succeeded.iter().copied());
    }
    push(&mut lists.failed, failed.iter().copied().filter(|pod| view.counts(pod)));
    let mut free: Vec<Arc<Pod>> =
        view.pods.iter().filter(|pod| is_tracked(pod) && view_lists(&lists, pod)).cloned().collect();
    free.extend(succeeded.into_iter().filter(|_| view.is_indexed()).cloned());
    free.extend(failed.into_iter().filter(|pod| !view.counts(pod)).cloned());
    if ending.is_none() {
        // It tells the next pod of its index how often the index failed.
        free.retain(|pod| !is_awaited(view, pod));
    }
    let after = (lists.clone(), status.completed_indexes.clone(), status.failed_indexes.clone());
    let is_new = before != after;
    status.uncounted_terminated_pods = Some(lists);
    Count { status, is_new, free }
}

/// Whether a failed pod has no successor yet and its index needs one.
fn is_awaited(view: &View, pod: &Pod) -> bool {
    if view.limit_per_index().is_none() || pods::phase(pod) == "Succeeded" {
        return false;
    }
    let Some(index) = index_of(pod).filter(|index| view.is_valid(Some(*index))) else { return false };
    let is_last = view.last_failed(index).is_some_and(|last| last.metadata.uid == pod.metadata.uid);
    let has_successor = view.active().iter().any(|active| index_of(active) == Some(index));
    is_last && !has_successor && !view.failed_indexes().contains(&index) && !view.succeeded_indexes().contains(&index)
}

fn view_lists(lists: &UncountedTerminatedPods, pod: &Pod) -> bool {
    let uid = pod.metadata.uid.as_ref();
    lists.succeeded.iter().chain(&lists.failed).flatten().any(|listed| Some(listed) == uid)
}

fn push<'a>(list: &mut Option<Vec<String>>, pods: impl Iterator<Item = &'a Arc<Pod>>) {
    let mut all = list.take().unwrap_or_default();
    all.extend(pods.filter_map(|pod| pod.metadata.uid.clone()));
    *list = Some(all).filter(|all| !all.is_empty());
}

/// Moves uids whose pods are free or gone from the lists into the numbers; returns the lists that are left.
pub fn settled(view: &View, status: &mut JobStatus) -> UncountedTerminatedPods {
    let tracked: HashSet<&str> =
        view.pods.iter().filter(|pod| is_tracked(pod)).filter_map(|pod| pod.metadata.uid.as_deref()).collect();
    let lists = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let settle = |list: Option<Vec<String>>| {
        let (kept, done): (Vec<_>, Vec<_>) =
            list.unwrap_or_default().into_iter().partition(|uid| tracked.contains(uid.as_str()));
        (Some(kept).filter(|kept| !kept.is_empty()), done.len() as i32)
    };
    let (succeeded, more) = settle(lists.succeeded);
    let (failed, failures) = settle(lists.failed);
    if more > 0 {
        status.succeeded = Some(status.succeeded.unwrap_or(0) + more);
    }
    if failures > 0 {
        status.failed = Some(status.failed.unwrap_or(0) + failures);
    }
    UncountedTerminatedPods { succeeded, failed }
}

/// Takes the finalizer off pods, all at once.
pub async fn free(context: &Context, pods: &[Arc<Pod>]) -> Result<(), Error> {
    let freed = join_all(pods.iter().map(|pod| free_one(context, pod))).await;
    freed.into_iter().collect()
}

async fn free_one(context: &Context, pod: &Pod) -> Result<(), Error> {
    let mut finalizers = pod.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|own| own != FINALIZER);
    let patch = json!({"metadata": {"uid": pod.metadata.uid, "finalizers": finalizers}});
    match write::merge(context, pod, patch).await {
        // A pod that was held by nothing else is gone with it.
        Ok(made) if made.metadata.deletion_timestamp.is_some() && finalizers.is_empty() => Ok(()),
        Err(error) if !write::is_missing(&error) && !write::is_conflict(&error) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{job_pod, view};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_listed_first_and_in_the_number_when_its_finalizer_is_gone() {
        let mut view = view(&json!({"completions": 2}), vec![job_pod("a", "Succeeded"), job_pod("b", "Failed")]);
        let first = count(&view, None);
        assert!(first.is_new);
        assert_eq!(first.free.len(), 2);
        assert_eq!(first.status.succeeded, None);
        let lists = first.status.uncounted_terminated_pods.clone().unwrap();
        assert_eq!(
            (lists.succeeded.unwrap(), lists.failed.unwrap()),
            (vec!["uid-a".to_string()], vec!["uid-b".into()])
        );
        view.status = first.status;
        view.pods.iter_mut().for_each(|pod| Arc::make_mut(pod).metadata.finalizers = None);
        let second = count(&view, None);
        assert!(second.free.is_empty());
        assert_eq!((second.status.succeeded, second.status.failed), (Some(1), Some(1)));
        assert_eq!((view.succeeded(), view.failed()), (1, 1));
    }

    #[test]
    fn pods_that_are_cut_off_by_a_failing_job_count_as_failed() {
        let view = view(&json!({"completions": 2}), vec![job_pod("a", "Running")]);
        assert!(count(&view, Some(true)).free.is_empty());
        assert_eq!(count(&view, Some(false)).free.len(), 1);
    }
}
