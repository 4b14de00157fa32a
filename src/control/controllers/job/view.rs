//! A Job as its controller sees it: the wanted numbers, its pods, and what has been counted of them.

use super::failure_policy::{self, Verdict};
use super::indexes;
use crate::control::controllers::pods;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Holds a pod until it is counted.
pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// The index of a pod of an indexed Job, as label and annotation.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How often the index of a pod had failed before it.
pub const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// The same for failures that the policy ignores.
pub const INDEX_IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// The view.
pub struct View {
    pub job: Arc<Job>,
    pub spec: JobSpec,
    pub status: JobStatus,
    pub pods: Vec<Arc<Pod>>,
    pub now: Timestamp,
}

/// Whether a pod still waits to be counted.
pub fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|own| own == FINALIZER)
}

/// The index of a pod, if it has one.
pub fn index_of(pod: &Pod) -> Option<i32> {
    let annotation = pod.metadata.annotations.as_ref().and_then(|all| all.get(INDEX));
    let label = pod.metadata.labels.as_ref().and_then(|all| all.get(INDEX));
    annotation.or(label)?.parse().ok().filter(|index| *index >= 0)
}

/// A number in an annotation, 0 if there is none.
pub fn annotated(pod: &Pod, key: &str) -> i32 {
    pod.metadata.annotations.as_ref().and_then(|all| all.get(key)).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A condition of a Job that is true.
pub fn holds<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind && condition.status == "True")
}

/// Whether the Job ended.
pub fn is_over(status: &JobStatus) -> bool {
    holds(status, "Complete").or_else(|| holds(status, "Failed")).is_some()
}

impl View {
    /// Whether pods have indexes.
    pub fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    /// `spec.completions`, nothing for as many as it takes.
    pub fn completions(&self) -> Option<i32> {
        self.spec.completions
    }

    /// `spec.parallelism`, 1 if it is left out.
    pub fn parallelism(&self) -> i32 {
        self.spec.parallelism.unwrap_or(1)
    }

    /// Whether it is paused.
    pub fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    /// Whether failures are counted per index.
    pub fn limit_per_index(&self) -> Option<i32> {
        self.spec.backoff_limit_per_index.filter(|_| self.is_indexed())
    }

    /// Whether a pod is only replaced when it ended, not when it begins to terminate.
    pub fn waits_for_end(&self) -> bool {
        match self.spec.pod_replacement_policy.as_deref() {
            Some(policy) => policy == "Failed",
            None => self.spec.pod_failure_policy.is_some(),
        }
    }

    /// Pods that run or will.
    pub fn active(&self) -> Vec<Arc<Pod>> {
        self.pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect()
    }

    /// Pods that terminate and did not end.
    pub fn terminating(&self) -> usize {
        self.pods.iter().filter(|pod| pods::is_terminating(pod) && !pods::is_finished(pod)).count()
    }

    /// Whether a pod failed, or is about to.
    pub fn has_failed(&self, pod: &Pod) -> bool {
        match pods::phase(pod) {
            "Failed" => true,
            "Succeeded" => false,
            _ => pods::is_terminating(pod) && !self.waits_for_end(),
        }
    }

    /// What the policy makes of a failure.
    pub fn verdict_on(&self, pod: &Pod) -> Verdict {
        failure_policy::ask(self.spec.pod_failure_policy.as_ref(), pod)
    }

    fn is_listed(list: Option<&Vec<String>>, pod: &Pod) -> bool {
        list.is_some_and(|list| list.iter().any(|uid| Some(uid) == pod.metadata.uid.as_ref()))
    }

    fn is_uncounted(&self, pod: &Pod) -> bool {
        let lists = self.status.uncounted_terminated_pods.as_ref();
        Self::is_listed(lists.and_then(|lists| lists.succeeded.as_ref()), pod)
            || Self::is_listed(lists.and_then(|lists| lists.failed.as_ref()), pod)
    }

    /// Tracked pods that succeeded and that no list has.
    pub fn newly_succeeded(&self) -> Vec<&Arc<Pod>> {
        let is_new = |pod: &&Arc<Pod>| pods::phase(pod) == "Succeeded" && is_tracked(pod) && !self.is_uncounted(pod);
        self.pods.iter().filter(is_new).collect()
    }

    /// Tracked pods that failed and that no list has; with `all` those too that run when the Job ends.
    pub fn newly_failed(&self, all: bool) -> Vec<&Arc<Pod>> {
        let is_new = |pod: &&Arc<Pod>| {
            let failed = self.has_failed(pod) || (all && pods::phase(pod) != "Succeeded");
            failed && is_tracked(pod) && !self.is_uncounted(pod)
        };
        self.pods.iter().filter(is_new).collect()
    }

    /// Indexes below `completions` only: those above were taken away.
    pub fn is_valid(&self, index: Option<i32>) -> bool {
        index.is_some_and(|index| index < self.completions().unwrap_or(0))
    }

    /// Indexes that succeeded, those that are not counted yet included.
    pub fn succeeded_indexes(&self) -> BTreeSet<i32> {
        let mut all = indexes::parse(self.status.completed_indexes.as_deref(), self.completions().unwrap_or(0));
        let new = self.newly_succeeded().into_iter().map(|pod| index_of(pod)).filter(|index| self.is_valid(*index));
        all.extend(new.flatten());
        all
    }

    /// Indexes that failed for good.
    pub fn failed_indexes(&self) -> BTreeSet<i32> {
        let Some(limit) = self.limit_per_index() else { return BTreeSet::new() };
        let mut all = indexes::parse(self.status.failed_indexes.as_deref(), self.completions().unwrap_or(0));
        let succeeded = self.succeeded_indexes();
        for pod in self.pods.iter().filter(|pod| self.has_failed(pod)) {
            let Some(index) = index_of(pod).filter(|index| self.is_valid(Some(*index))) else { continue };
            let verdict = self.verdict_on(pod);
            let is_last = verdict.fail_index || (verdict.counts && annotated(pod, INDEX_FAILURES) + 1 > limit);
            if is_last && !succeeded.contains(&index) {
                all.insert(index);
            }
        }
        all
    }

    /// How many pods succeeded: indexes, where there are any.
    pub fn succeeded(&self) -> i32 {
        if self.is_indexed() {
            return self.succeeded_indexes().len() as i32;
        }
        let lists = self.status.uncounted_terminated_pods.as_ref();
        let listed = lists.and_then(|lists| lists.succeeded.as_ref()).map_or(0, Vec::len);
        self.status.succeeded.unwrap_or(0) + (listed + self.newly_succeeded().len()) as i32
    }

    /// How many failures count.
    pub fn failed(&self) -> i32 {
        let lists = self.status.uncounted_terminated_pods.as_ref();
        let listed = lists.and_then(|lists| lists.failed.as_ref()).map_or(0, Vec::len);
        let new = self.newly_failed(false).into_iter().filter(|pod| self.counts(pod)).count();
        self.status.failed.unwrap_or(0) + (listed + new) as i32
    }

    /// Whether the failure of a pod counts: by the policy, and by its index.
    pub fn counts(&self, pod: &Pod) -> bool {
        (!self.is_indexed() || self.is_valid(index_of(pod))) && self.verdict_on(pod).counts
    }

    /// The failed pod of an index whose successor is still to be made: it keeps the number of failures.
    pub fn last_failed(&self, index: i32) -> Option<&Arc<Pod>> {
        let failed = self.pods.iter().filter(|pod| index_of(pod) == Some(index) && self.has_failed(pod));
        failed.max_by_key(|pod| annotated(pod, INDEX_FAILURES) + annotated(pod, INDEX_IGNORED))
    }
}

/// When a pod ended, as well as can be told.
pub fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let ended = statuses.filter_map(|status| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    let ready = pods::condition(pod, "Ready").and_then(|condition| condition.last_transition_time.as_ref());
    let times = [pod.metadata.deletion_timestamp.as_ref(), ready, pod.metadata.creation_timestamp.as_ref()];
    ended.map(|time| time.0).max().or_else(|| times.into_iter().flatten().map(|time| time.0).next())
}
