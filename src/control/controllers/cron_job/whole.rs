//! CronJobs on the real server.

use crate::control::controllers::testing::{eventually, world};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

#[tokio::test]
async fn a_job_is_started_when_it_is_due_and_only_once() {
    let world = world().await;
    let template =
        json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}});
    // The distant past is due at once: `@every` counts from the last time.
    let cron = json!({"metadata": {"name": "tick"}, "spec": {"schedule": "@every 1h", "suspend": true,
        "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": template}}});
    world.make::<CronJob>(cron).await;
    let now = jiff::Timestamp::now();
    let before = now.checked_sub(jiff::SignedDuration::from_mins(90)).unwrap();
    let status = Patch::Merge(json!({"status": {"lastScheduleTime": crate::api::time::text(before)}}));
    world.door::<CronJob>().patch_status("tick", &PatchParams::default(), &status).await.unwrap();
    let resume = Patch::Merge(json!({"spec": {"suspend": false}}));
    world.door::<CronJob>().patch("tick", &PatchParams::default(), &resume).await.unwrap();
    let has_started = |cron: Option<&CronJob>| {
        cron.and_then(|cron| cron.status.as_ref())
            .and_then(|status| status.active.as_ref())
            .is_some_and(|active| active.len() == 1)
    };
    let cron = eventually(world.door::<CronJob>(), "tick", has_started).await.unwrap();
    assert!(cron.status.unwrap().last_schedule_time.unwrap().0 > before);
    let job = world.door::<Job>().list(&ListParams::default()).await.unwrap().items.remove(0);
    assert!(job.metadata.name.clone().unwrap().starts_with("tick-"));
    let condition = json!({"type": "Complete", "status": "True", "reason": "r", "message": "m", "lastTransitionTime": crate::api::time::text(now)});
    let done =
        Patch::Merge(json!({"status": {"conditions": [condition], "completionTime": crate::api::time::text(now)}}));
    world.door::<Job>().patch_status(&job.metadata.name.unwrap(), &PatchParams::default(), &done).await.unwrap();
    let has_seen = |cron: Option<&CronJob>| {
        cron.and_then(|cron| cron.status.as_ref())
            .is_some_and(|status| status.active.is_none() && status.last_successful_time.is_some())
    };
    eventually(world.door::<CronJob>(), "tick", has_seen).await;
}
