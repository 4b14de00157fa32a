//! Whether a Job is to end, and why. Pure.
//!
//! Source of the rules and wording: kubernetes `pkg/controller/job/job_controller.go` and `success_policy.go`.

use super::indexes;
use super::view::{View, holds};
use crate::control::controllers::pods;
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

/// The condition that says that a Job is to end well, and the one that says that it is to fail.
pub const SUCCESS: &str = "SuccessCriteriaMet";
pub const FAILURE: &str = "FailureTarget";

/// How a Job is to end.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    pub well: bool,
    pub reason: String,
    pub message: String,
}

impl End {
    fn failed(reason: &str, message: impl Into<String>) -> Option<Self> {
        Some(Self { well: false, reason: reason.into(), message: message.into() })
    }

    fn well(reason: &str, message: impl Into<String>) -> Option<Self> {
        Some(Self { well: true, reason: reason.into(), message: message.into() })
    }

    /// The condition of a type that tells of it.
    pub fn condition(&self, kind: &str, now: jiff::Timestamp) -> JobCondition {
        condition(kind, "True", &self.reason, &self.message, now)
    }
}

/// A condition.
pub fn condition(kind: &str, status: &str, reason: &str, message: &str, now: jiff::Timestamp) -> JobCondition {
    JobCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// How the Job is to end, if it is; what was decided stays decided.
pub fn judge(view: &View) -> Option<End> {
    let decided = |kind: &str| holds(&view.status, kind);
    let of = |condition: &JobCondition, well: bool| End {
        well,
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
    };
    if let Some(condition) = decided(FAILURE) {
        return Some(of(condition, false));
    }
    if let Some(condition) = decided(SUCCESS) {
        return Some(of(condition, true));
    }
    failure(view).or_else(|| success(view))
}

fn failure(view: &View) -> Option<End> {
    let new = view.newly_failed(false);
    if let Some(message) = new.iter().find_map(|pod| view.verdict_on(pod).fail_job) {
        return End::failed("PodFailurePolicy", message);
    }
    let default = if view.limit_per_index().is_some() { i32::MAX } else { 6 };
    let limit = view.spec.backoff_limit.unwrap_or(default);
    if view.failed() > limit || restarts_exceed(view, limit) {
        return End::failed("BackoffLimitExceeded", "Job has reached the specified backoff limit");
    }
    if time_left(view).is_some_and(|left| left.is_zero()) {
        return End::failed("DeadlineExceeded", "Job was active longer than specified deadline");
    }
    let failed = view.failed_indexes().len() as i32;
    if view.spec.max_failed_indexes.is_some_and(|most| failed > most) {
        return End::failed(
            "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes",
        );
    }
    let all = view.completions().unwrap_or(0);
    (failed > 0 && failed + view.succeeded() >= all)
        .then(|| End::failed("FailedIndexes", "Job has failed indexes"))
        .flatten()
}

/// Whether containers that restart in place did so too often.
fn restarts_exceed(view: &View, limit: i32) -> bool {
    let policy = view.spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    if policy != Some("OnFailure") || view.limit_per_index().is_some() {
        return false;
    }
    let running = view.pods.iter().filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
    let restarts: i32 = running
        .flat_map(|pod| pod.status.iter())
        .flat_map(|status| {
            status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
        })
        .map(|status| status.restart_count)
        .sum();
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

/// Until `activeDeadlineSeconds`; nothing if there is none, or time does not count.
pub fn time_left(view: &View) -> Option<Duration> {
    let seconds = view.spec.active_deadline_seconds.filter(|_| !view.is_suspended())?;
    let began = view.status.start_time.as_ref()?.0;
    let end = began.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    Some(Duration::try_from(end.duration_since(view.now)).unwrap_or_default())
}

fn success(view: &View) -> Option<End> {
    if let Some(rule) = success_rule(view) {
        return End::well("SuccessPolicy", format!("Matched rules at index {rule}"));
    }
    let succeeded = view.succeeded();
    let is_complete = match view.completions() {
        None => succeeded > 0 && view.active().is_empty(),
        Some(wanted) => succeeded >= wanted && view.active().is_empty(),
    };
    (is_complete && !view.is_suspended())
        .then(|| End::well("CompletionsReached", "Reached expected number of succeeded pods"))
        .flatten()
}

/// The first rule of the success policy that is met.
fn success_rule(view: &View) -> Option<usize> {
    let policy = view.spec.success_policy.as_ref().filter(|_| view.is_indexed())?;
    let succeeded = view.succeeded_indexes();
    policy.rules.iter().position(|rule| {
        let all = view.completions().unwrap_or(0);
        let named = rule.succeeded_indexes.as_deref().map(|text| indexes::parse(Some(text), all));
        let met = match &named {
            Some(named) => named.intersection(&succeeded).count(),
            None => succeeded.len(),
        };
        match rule.succeeded_count {
            Some(count) => met >= count.max(0) as usize,
            None => named.is_some_and(|named| met == named.len()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{job_pod, view};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_ends_well_when_enough_pods_succeeded() {
        let spec = json!({"completions": 2, "parallelism": 2});
        assert_eq!(judge(&view(&spec, vec![job_pod("a", "Succeeded"), job_pod("b", "Running")])), None);
        let end = judge(&view(&spec, vec![job_pod("a", "Succeeded"), job_pod("b", "Succeeded")])).unwrap();
        assert_eq!((end.well, end.reason.as_str()), (true, "CompletionsReached"));
    }

    #[test]
    fn too_many_failures_end_it_badly() {
        let spec = json!({"completions": 2, "backoffLimit": 1});
        assert_eq!(judge(&view(&spec, vec![job_pod("a", "Failed")])), None);
        let end = judge(&view(&spec, vec![job_pod("a", "Failed"), job_pod("b", "Failed")])).unwrap();
        assert_eq!(end.reason, "BackoffLimitExceeded");
    }

    #[test]
    fn time_counts_from_the_start() {
        let mut view = view(&json!({"completions": 1, "activeDeadlineSeconds": 5}), vec![job_pod("a", "Running")]);
        assert_eq!(time_left(&view), Some(Duration::from_secs(5)));
        view.now = view.now.checked_add(SignedDuration::from_secs(6)).unwrap();
        assert_eq!(judge(&view).unwrap().reason, "DeadlineExceeded");
    }

    #[test]
    fn a_success_policy_is_content_with_some_indexes() {
        let spec = json!({"completions": 3, "completionMode": "Indexed",
            "successPolicy": {"rules": [{"succeededIndexes": "1-2", "succeededCount": 1}]}});
        let mut pod = job_pod("a", "Succeeded");
        pod.metadata.annotations = Some([(super::super::view::INDEX.to_string(), "2".to_string())].into());
        let end = judge(&view(&spec, vec![pod])).unwrap();
        assert_eq!((end.reason.as_str(), end.message.as_str()), ("SuccessPolicy", "Matched rules at index 0"));
    }
}
