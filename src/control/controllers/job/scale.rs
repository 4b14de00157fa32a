//! How many pods a Job is to run now, and which. Pure.
//!
//! Source of the rules: kubernetes `pkg/controller/job/job_controller.go` (`manageJob`), `indexed_job_utils.go` and
//! `backoff_utils.go`.

use super::view::{FINALIZER, INDEX, INDEX_FAILURES, INDEX_IGNORED, View, annotated, ended_at, index_of};
use crate::control::controllers::pods;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Delay after the first failure, doubled with each, up to the last.
const FIRST_DELAY: i64 = 10;
const LAST_DELAY: i64 = 600;
/// Pods that are made at once at most.
const BURST: usize = 500;

/// What to do.
#[derive(Debug, Default)]
pub struct Plan {
    /// Pods to make: the index of each, where there are any.
    pub create: Vec<Option<i32>>,
    pub delete: Vec<Arc<Pod>>,
    /// When to look again at what has to wait.
    pub later: Option<Duration>,
}

/// The pods to make and to delete for a Job that goes on.
pub fn plan(view: &View) -> Plan {
    let active = view.active();
    let mut surplus = if view.is_indexed() { misplaced(view, &active) } else { Vec::new() };
    let kept = active.len() - surplus.len();
    let held = if view.waits_for_end() { view.terminating() } else { 0 };
    let wanted = match view.completions() {
        None if view.succeeded() > 0 => kept,
        None => view.parallelism().max(0) as usize,
        Some(completions) => {
            let done = view.succeeded() + view.failed_indexes().len() as i32;
            (completions - done).max(0).min(view.parallelism()) as usize
        }
    };
    if kept > wanted {
        let gone: HashSet<_> = surplus.iter().map(|pod| pod.metadata.uid.clone()).collect();
        let mut left: Vec<Arc<Pod>> = active.iter().filter(|pod| !gone.contains(&pod.metadata.uid)).cloned().collect();
        pods::rank_for_deletion(&mut left, &active, view.now);
        surplus.extend(left.into_iter().take(kept - wanted));
        return Plan { delete: surplus, ..Plan::default() };
    }
    let missing = wanted.saturating_sub(kept + held).min(BURST);
    if missing == 0 {
        return Plan { delete: surplus, ..Plan::default() };
    }
    let (create, later) = match (view.is_indexed(), delay(view)) {
        (true, _) => free_indexes(view, missing),
        (false, None) => (vec![None; missing], None),
        (false, later) => (Vec::new(), later),
    };
    Plan { create, delete: surplus, later }
}

/// Active pods whose index is not wanted, or that another has as well.
fn misplaced(view: &View, active: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    let mut seen = BTreeSet::new();
    active.iter().filter(|pod| !view.is_valid(index_of(pod)) || !seen.insert(index_of(pod))).cloned().collect()
}

/// The first indexes that nobody works at, and when those come that have to wait.
fn free_indexes(view: &View, count: usize) -> (Vec<Option<i32>>, Option<Duration>) {
    let mut taken: BTreeSet<i32> = view.succeeded_indexes();
    taken.extend(view.failed_indexes());
    taken.extend(view.active().iter().filter_map(|pod| index_of(pod)));
    if view.waits_for_end() {
        let terminating = view.pods.iter().filter(|pod| pods::is_terminating(pod) && !pods::is_finished(pod));
        taken.extend(terminating.filter_map(|pod| index_of(pod)));
    }
    let whole = if view.limit_per_index().is_some() { None } else { delay(view) };
    if whole.is_some() {
        return (Vec::new(), whole);
    }
    let (mut free, mut later) = (Vec::new(), None::<Duration>);
    for index in (0..view.completions().unwrap_or(0)).filter(|index| !taken.contains(index)) {
        if free.len() == count {
            break;
        }
        match index_delay(view, index) {
            Some(delay) => later = Some(later.map_or(delay, |other| other.min(delay))),
            None => free.push(Some(index)),
        }
    }
    (free, later)
}

fn backoff(failures: u32, last: Timestamp, now: Timestamp) -> Option<Duration> {
    let seconds = FIRST_DELAY.saturating_mul(1 << (failures.saturating_sub(1)).min(10)).min(LAST_DELAY);
    let from = last.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    Duration::try_from(from.duration_since(now)).ok().filter(|left| !left.is_zero())
}

/// How long a Job that fails waits until its next pods: by the failures since the last success.
fn delay(view: &View) -> Option<Duration> {
    let succeeded =
        view.pods.iter().filter(|pod| pods::phase(pod) == "Succeeded").filter_map(|pod| ended_at(pod)).max();
    let failed: Vec<Timestamp> = view
        .pods
        .iter()
        .filter(|pod| view.has_failed(pod) && view.verdict_on(pod).counts)
        .filter_map(|pod| ended_at(pod))
        .filter(|ended| succeeded.is_none_or(|succeeded| *ended > succeeded))
        .collect();
    backoff(failed.len() as u32, *failed.iter().max()?, view.now)
}

fn index_delay(view: &View, index: i32) -> Option<Duration> {
    view.limit_per_index()?;
    let last = view.last_failed(index)?;
    let failures = annotated(last, INDEX_FAILURES) + 1;
    backoff(failures.unsigned_abs(), ended_at(last)?, view.now)
}

/// A pod of the Job.
pub fn pod(view: &View, owner: &OwnerReference, index: Option<i32>) -> Pod {
    let name = view.job.metadata.name.as_deref().unwrap_or_default();
    let namespace = view.job.metadata.namespace.as_deref().unwrap_or_default();
    let prefix = match index {
        Some(index) => format!("{name}-{index}-"),
        None => pods::prefix(name),
    };
    let mut pod = pods::from_template(&view.spec.template, namespace, &prefix, owner.clone());
    pod.metadata.finalizers.get_or_insert_default().push(FINALIZER.into());
    let Some(index) = index else { return pod };
    let number = index.to_string();
    pod.metadata.labels.get_or_insert_default().insert(INDEX.into(), number.clone());
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(INDEX.into(), number);
    if view.limit_per_index().is_some() {
        let (failures, ignored) = failures_before(view, index);
        annotations.insert(INDEX_FAILURES.into(), failures.to_string());
        if ignored > 0 {
            annotations.insert(INDEX_IGNORED.into(), ignored.to_string());
        }
    }
    let spec = pod.spec.get_or_insert_default();
    // The hostname must leave room in a DNS label for the index.
    let host = format!("{name}-{index}");
    spec.hostname = Some(host.chars().take(63).collect());
    let containers = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
    containers.for_each(tell_index);
    pod
}

fn failures_before(view: &View, index: i32) -> (i32, i32) {
    let Some(last) = view.last_failed(index) else { return (0, 0) };
    let (failures, ignored) = (annotated(last, INDEX_FAILURES), annotated(last, INDEX_IGNORED));
    if view.verdict_on(last).counts { (failures + 1, ignored) } else { (failures, ignored + 1) }
}

/// Gives a container its index as a variable.
fn tell_index(container: &mut Container) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|variable| variable.name == NAME) {
        return;
    }
    let field = ObjectFieldSelector { field_path: format!("metadata.labels['{INDEX}']"), ..Default::default() };
    let source = EnvVarSource { field_ref: Some(field), ..Default::default() };
    variables.push(EnvVar { name: NAME.into(), value_from: Some(source), ..Default::default() });
}

#[cfg(test)]
mod tests {
    use super::super::tests::{job_pod, view};
    use super::*;
    use serde_json::json;

    fn indexed(name: &str, phase: &str, index: i32) -> Pod {
        let mut pod = job_pod(name, phase);
        pod.metadata.annotations = Some([(INDEX.to_string(), index.to_string())].into());
        pod
    }

    #[test]
    fn as_many_pods_run_as_are_left_to_complete() {
        let spec = json!({"completions": 3, "parallelism": 2});
        assert_eq!(plan(&view(&spec, vec![])).create.len(), 2);
        let two = vec![job_pod("a", "Succeeded"), job_pod("b", "Succeeded"), job_pod("c", "Running")];
        assert_eq!(plan(&view(&spec, two)).create.len(), 0);
        let spec = json!({"parallelism": 2});
        assert_eq!(plan(&view(&spec, vec![job_pod("a", "Succeeded"), job_pod("c", "Running")])).create.len(), 0);
    }

    #[test]
    fn fewer_are_kept_when_less_parallelism_is_asked_for() {
        let spec = json!({"completions": 3, "parallelism": 1});
        let plan = plan(&view(&spec, vec![job_pod("a", "Running"), job_pod("b", "Pending")]));
        assert_eq!(plan.delete[0].metadata.name.as_deref(), Some("b"));
    }

    #[test]
    fn free_indexes_are_taken_in_order_and_doubles_go() {
        let spec = json!({"completions": 4, "parallelism": 4, "completionMode": "Indexed"});
        let pods = vec![indexed("a", "Running", 0), indexed("b", "Running", 0), indexed("c", "Succeeded", 2)];
        let plan = plan(&view(&spec, pods));
        assert_eq!(plan.create, [Some(1), Some(3)]);
        assert_eq!(plan.delete.len(), 1);
    }

    #[test]
    fn a_failure_is_followed_by_a_pause() {
        let spec = json!({"completions": 1, "parallelism": 1});
        let plan = plan(&view(&spec, vec![job_pod("a", "Failed")]));
        assert!(plan.create.is_empty());
        assert_eq!(plan.later, Some(Duration::from_secs(10)));
    }

    #[test]
    fn pods_of_indexes_know_their_index() {
        let view = view(
            &json!({"completions": 1, "completionMode": "Indexed",
            "template": {"spec": {"containers": [{"name": "c"}]}}}),
            vec![],
        );
        let pod = pod(&view, &OwnerReference::default(), Some(3));
        assert_eq!(pod.metadata.generate_name.as_deref(), Some("pi-3-"));
        assert_eq!(pod.metadata.labels.unwrap()[INDEX], "3");
        let spec = pod.spec.unwrap();
        assert_eq!(spec.hostname.as_deref(), Some("pi-3"));
        assert_eq!(spec.containers[0].env.as_ref().unwrap()[0].name, "JOB_COMPLETION_INDEX");
    }
}
