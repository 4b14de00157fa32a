//! The status of a Deployment: counts, conditions, and when a rollout that does not move is given up.
//!
//! Source of the rules: kubernetes `pkg/controller/deployment/progress.go`, `sync.go` and `util/deployment_util.go`.

use super::rolling::{Sets, actual, available, max_unavailable, size, total, wanted};
use crate::control::controllers::runner::Next;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

pub const PROGRESSING: &str = "Progressing";
const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// A condition as of `now`.
pub fn condition(kind: &str, status: &str, reason: &str, message: String, now: Timestamp) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// The condition of a kind.
pub fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// Puts a condition in, unless it says what is said already.
pub fn set(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    if let Some(old) = find(status, &condition.type_) {
        if old.status == condition.status && old.reason == condition.reason {
            return;
        }
        if old.status == condition.status {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
    remove(status, &condition.type_);
    status.conditions.get_or_insert_default().push(condition);
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    status.conditions.get_or_insert_default().retain(|condition| condition.type_ != kind);
}

/// Seconds that a rollout may stand still; nothing if for ever.
pub fn deadline(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)
}

/// The counts, and the condition `Available`.
pub fn counted(deployment: &Deployment, sets: &Sets, now: Timestamp) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let nonzero = |count: i32| Some(count).filter(|count| *count != 0);
    let is_available = total(sets.all(), available);
    let ready = |set: &k8s_openapi::api::apps::v1::ReplicaSet| {
        set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
    };
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: nonzero(total(sets.all(), actual)),
        updated_replicas: nonzero(sets.new.as_deref().map_or(0, actual)),
        ready_replicas: nonzero(total(sets.all(), ready)),
        available_replicas: nonzero(is_available),
        unavailable_replicas: nonzero((total(sets.all(), size) - is_available).max(0)),
        collision_count: old.collision_count,
        conditions: old.conditions,
        terminating_replicas: old.terminating_replicas,
    };
    let enough = is_available >= wanted(deployment) - max_unavailable(deployment);
    let (word, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut status, condition("Available", word, reason, message.into(), now));
    status
}

/// The whole status of a rollout.
pub fn of_rollout(deployment: &Deployment, sets: &Sets, now: Timestamp) -> DeploymentStatus {
    let mut status = counted(deployment, sets, now);
    let current = find(deployment.status.as_ref().unwrap_or(&DeploymentStatus::default()), PROGRESSING).cloned();
    let done = current.as_ref().and_then(|condition| condition.reason.as_deref()) == Some(NEW_SET_AVAILABLE)
        && status.replicas == status.updated_replicas;
    if deadline(deployment).is_none() {
        remove(&mut status, PROGRESSING);
    } else if !done {
        progress(deployment, sets, current, &mut status, now);
    }
    let failures = |set: &k8s_openapi::api::apps::v1::ReplicaSet| {
        let conditions = set.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions
            .into_iter()
            .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")
            .cloned()
    };
    match sets.all().find_map(|set| failures(set)) {
        Some(failure) => {
            let reason = failure.reason.unwrap_or_default();
            let message = failure.message.unwrap_or_default();
            set(&mut status, condition("ReplicaFailure", "True", &reason, message, now));
        }
        None => remove(&mut status, "ReplicaFailure"),
    }
    status
}

fn progress(
    deployment: &Deployment,
    sets: &Sets,
    current: Option<DeploymentCondition>,
    status: &mut DeploymentStatus,
    now: Timestamp,
) {
    let about = match &sets.new {
        Some(new) => format!("ReplicaSet {:?}", new.metadata.name.as_deref().unwrap_or_default()),
        None => format!("Deployment {:?}", deployment.metadata.name.as_deref().unwrap_or_default()),
    };
    if is_complete(deployment, status) {
        let message = format!("{about} has successfully progressed.");
        set(status, condition(PROGRESSING, "True", NEW_SET_AVAILABLE, message, now));
    } else if has_moved(deployment, status) {
        let message = format!("{about} is progressing.");
        let mut moved = condition(PROGRESSING, "True", "ReplicaSetUpdated", message, now);
        if let Some(current) = current.filter(|current| current.status == "True") {
            moved.last_transition_time = current.last_transition_time;
        }
        // Always a new one: its update time is what the deadline counts from.
        remove(status, PROGRESSING);
        set(status, moved);
    } else if has_timed_out(deployment, status, now) {
        let message = format!("{about} has timed out progressing.");
        set(status, condition(PROGRESSING, "False", TIMED_OUT, message, now));
    }
}

/// Whether every wanted pod is one of the present template, and available.
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let all = Some(wanted(deployment)).filter(|count| *count != 0);
    [status.updated_replicas, status.replicas, status.available_replicas]
        .iter()
        .all(|count| count.filter(|count| *count != 0) == all)
        && status.observed_generation >= deployment.metadata.generation
}

fn has_moved(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let before = deployment.status.clone().unwrap_or_default();
    let count = |count: Option<i32>| count.unwrap_or(0);
    let old = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(status.updated_replicas) > count(before.updated_replicas)
        || old(status) < old(&before)
        || count(status.ready_replicas) > count(before.ready_replicas)
        || count(status.available_replicas) > count(before.available_replicas)
}

fn has_timed_out(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> bool {
    let Some(condition) = find(status, PROGRESSING) else { return false };
    match condition.reason.as_deref() {
        Some(NEW_SET_AVAILABLE) => false,
        Some(TIMED_OUT) => true,
        _ => expiry(deployment, condition).is_some_and(|expiry| expiry < now),
    }
}

fn expiry(deployment: &Deployment, condition: &DeploymentCondition) -> Option<Timestamp> {
    let from = condition.last_update_time.as_ref()?.0;
    from.checked_add(SignedDuration::from_secs(deadline(deployment)?.into())).ok()
}

/// When to look again at a rollout that stands still.
pub fn next_look(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> Next {
    let Some(condition) = find(status, PROGRESSING) else { return Next::Wait };
    if is_complete(deployment, status) || condition.reason.as_deref() == Some(TIMED_OUT) {
        return Next::Wait;
    }
    match expiry(deployment, condition) {
        Some(expiry) => {
            let left = Duration::try_from(expiry.duration_since(now)).unwrap_or_default();
            Next::After(left + Duration::from_secs(1))
        }
        None => Next::Wait,
    }
}

/// The condition of a Deployment that was paused or resumed, if it is to change: time does not count while it is paused.
pub fn paused(deployment: &Deployment, now: Timestamp) -> Option<DeploymentCondition> {
    deadline(deployment)?;
    let is_paused = deployment.spec.as_ref()?.paused == Some(true);
    let current = deployment.status.as_ref().and_then(|status| find(status, PROGRESSING));
    let reason = current.and_then(|condition| condition.reason.as_deref());
    let says_paused = reason == Some("DeploymentPaused");
    match (is_paused, says_paused) {
        _ if reason == Some(TIMED_OUT) => None,
        (true, false) => {
            Some(condition(PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused".into(), now))
        }
        (false, true) => {
            Some(condition(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed".into(), now))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{deployment, set_of};
    use super::*;
    use std::sync::Arc;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn progressing(status: &DeploymentStatus) -> (&str, &str) {
        let condition = find(status, PROGRESSING).unwrap();
        (condition.status.as_str(), condition.reason.as_deref().unwrap())
    }

    #[test]
    fn a_rollout_moves_completes_and_stays_complete() {
        let mut deployment = deployment(2);
        let sets = |available| Sets { new: Some(Arc::new(set_of(&deployment, "web-1", 1, 2, available))), old: vec![] };
        let (half, full) = (sets(1), sets(2));
        let moving = of_rollout(&deployment, &half, at(10));
        assert_eq!(progressing(&moving), ("True", "ReplicaSetUpdated"));
        assert_eq!(find(&moving, "Available").unwrap().status, "False");
        deployment.status = Some(moving);
        let done = of_rollout(&deployment, &full, at(20));
        assert_eq!(progressing(&done), ("True", "NewReplicaSetAvailable"));
        deployment.status = Some(done.clone());
        assert_eq!(of_rollout(&deployment, &full, at(30)), done);
    }

    #[test]
    fn a_rollout_that_stands_still_is_given_up_at_its_deadline() {
        let mut deployment = deployment(2);
        let sets = Sets { new: Some(Arc::new(set_of(&deployment, "web-1", 1, 2, 1))), old: vec![] };
        deployment.status = Some(of_rollout(&deployment, &sets, at(10)));
        let waiting = of_rollout(&deployment, &sets, at(50));
        assert_eq!(next_look(&deployment, &waiting, at(50)), Next::After(Duration::from_secs(561)));
        let late = of_rollout(&deployment, &sets, at(611));
        assert_eq!(progressing(&late), ("False", "ProgressDeadlineExceeded"));
        assert_eq!(next_look(&deployment, &late, at(611)), Next::Wait);
    }

    #[test]
    fn pausing_stops_the_clock() {
        let mut deployment = deployment(2);
        deployment.spec.as_mut().unwrap().paused = Some(true);
        assert_eq!(paused(&deployment, at(1)).unwrap().reason.as_deref(), Some("DeploymentPaused"));
    }
}
