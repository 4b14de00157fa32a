//! Deletes Jobs `ttlSecondsAfterFinished` after they ended.
//!
//! Source of the rules: kubernetes `pkg/controller/ttlafterfinished/ttlafterfinished_controller.go`.

use super::runner::Next;
use super::watches::own;
use super::{Context, Controller, Error, Key, write};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::PropagationPolicy;
use std::time::Duration;

pub(super) const CONTROLLER: Controller = Controller {
    name: "ttl-after-finished-controller",
    watches: &[own::<Job>],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(job) = context.caches.of::<Job>().get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    let Some(expiry) = expiry(&job) else { return Ok(Next::Wait) };
    let left = expiry.duration_since(Timestamp::now());
    if left.is_positive() {
        return Ok(Next::After(Duration::try_from(left).unwrap_or_default()));
    }
    write::delete_with(context, &*job, Some(PropagationPolicy::Foreground), None).await?;
    Ok(Next::Wait)
}

/// When a Job that ended is to go, if ever.
fn expiry(job: &Job) -> Option<Timestamp> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    if job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let conditions = job.status.as_ref()?.conditions.iter().flatten();
    let mut ends = conditions.filter(|one| matches!(one.type_.as_str(), "Complete" | "Failed") && one.status == "True");
    let ended = ends.next()?.last_transition_time.as_ref()?.0;
    ended.checked_add(SignedDuration::from_secs(seconds.into())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_jobs_that_ended_and_say_so_expire() {
        let job = |status: &str| -> Job {
            let condition = json!({"type": "Complete", "status": status, "lastTransitionTime": "1970-01-01T00:01:00Z"});
            serde_json::from_value(json!({"spec": {"ttlSecondsAfterFinished": 5, "template": {}},
                "status": {"conditions": [condition]}}))
            .unwrap()
        };
        assert_eq!(expiry(&job("True")), Some(Timestamp::from_second(65).unwrap()));
        assert_eq!(expiry(&job("False")), None);
    }
}
