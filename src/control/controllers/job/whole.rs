//! Jobs on the real server.

use crate::control::controllers::testing::{PATIENCE, World, eventually, world};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PropagationPolicy};
use serde_json::{Value, json};

fn job(more: Value) -> Value {
    let mut spec =
        json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": "pi"}, "spec": spec})
}

async fn until(world: &World, is_met: impl Fn(&Job) -> bool) -> Job {
    eventually(world.door::<Job>(), "pi", |job| job.is_some_and(&is_met)).await.unwrap()
}

/// Ends every pod that runs.
async fn end_pods(world: &World, phase: &str) {
    for pod in world.door::<Pod>().list(&ListParams::default()).await.unwrap() {
        let over =
            matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"));
        if !over {
            let patch = Patch::Merge(json!({"status": {"phase": phase}}));
            let name = pod.metadata.name.unwrap();
            match world.door::<Pod>().patch_status(&name, &PatchParams::default(), &patch).await {
                // A job that failed takes its other pods away.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                ended => drop(ended.unwrap()),
            }
        }
    }
}

fn active(count: i32) -> impl Fn(&Job) -> bool {
    move |job| job.status.as_ref().is_some_and(|status| status.active == Some(count).filter(|count| *count > 0))
}

#[tokio::test]
async fn a_job_runs_to_completion_and_counts_each_pod_once() {
    let world = world().await;
    world.make::<Job>(job(json!({"completions": 3, "parallelism": 2}))).await;
    until(&world, active(2)).await;
    end_pods(&world, "Succeeded").await;
    until(&world, |job| active(1)(job) && job.status.as_ref().unwrap().succeeded == Some(2)).await;
    end_pods(&world, "Succeeded").await;
    let done = until(&world, |job| super::ended(job) == Some("Complete")).await;
    let status = done.status.unwrap();
    assert_eq!((status.succeeded, status.failed, status.active), (Some(3), None, None));
    assert!(status.completion_time.is_some());
    let pods = world.door::<Pod>().list(&ListParams::default()).await.unwrap();
    assert!(pods.items.iter().all(|pod| !super::is_tracked(pod)));
}

#[tokio::test]
async fn a_job_that_fails_too_often_fails_and_its_pods_go_with_it() {
    let world = world().await;
    world.make::<Job>(job(json!({"completions": 2, "parallelism": 2, "backoffLimit": 0}))).await;
    until(&world, active(2)).await;
    end_pods(&world, "Failed").await;
    let failed = until(&world, |job| super::ended(job) == Some("Failed")).await;
    assert!(failed.status.unwrap().failed.unwrap() >= 1);
    let params = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..Default::default() };
    world.door::<Job>().delete("pi", &params).await.unwrap();
    for pod in world.door::<Pod>().list(&ListParams::default()).await.unwrap() {
        eventually(world.door::<Pod>(), &pod.metadata.name.unwrap(), |pod| pod.is_none()).await;
    }
}

#[tokio::test]
async fn a_job_is_paused_and_goes_on() {
    let world = world().await;
    world.make::<Job>(job(json!({"completions": 1, "suspend": true}))).await;
    until(&world, |job| job.status.as_ref().is_some_and(|status| super::view::holds(status, "Suspended").is_some()))
        .await;
    assert!(world.door::<Pod>().list(&ListParams::default()).await.unwrap().items.is_empty());
    let suspend = |suspend: bool| Patch::Merge(json!({"spec": {"suspend": suspend}}));
    world.door::<Job>().patch("pi", &PatchParams::default(), &suspend(false)).await.unwrap();
    until(&world, active(1)).await;
    world.door::<Job>().patch("pi", &PatchParams::default(), &suspend(true)).await.unwrap();
    let paused = until(&world, active(0)).await;
    assert_eq!(paused.status.unwrap().failed, None);
}

#[tokio::test]
async fn a_pod_that_is_no_longer_selected_is_let_go_and_replaced() {
    let world = world().await;
    world.make::<Job>(job(json!({"completions": 1}))).await;
    until(&world, active(1)).await;
    let name = world.door::<Pod>().list(&ListParams::default()).await.unwrap().items.remove(0).metadata.name.unwrap();
    let strange = Patch::Merge(json!({"metadata": {"labels": null}}));
    world.door::<Pod>().patch(&name, &PatchParams::default(), &strange).await.unwrap();
    let is_free = |pod: Option<&Pod>| {
        pod.is_some_and(|pod| {
            pod.metadata.owner_references.as_ref().is_none_or(Vec::is_empty) && !super::is_tracked(pod)
        })
    };
    eventually(world.door::<Pod>(), &name, is_free).await;
    let pods = crate::client::wait::any(world.door::<Pod>(), "job-name=pi", |pod: &Pod| {
        pod.metadata.name.as_ref() != Some(&name)
    });
    tokio::time::timeout(PATIENCE, pods).await.unwrap();
}
