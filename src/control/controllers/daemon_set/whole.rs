//! DaemonSets on the real server.

use crate::control::controllers::testing::{World, eventually, with_node, world};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

async fn node(world: &World, name: &str) {
    let node: Node = serde_json::from_value(json!({"metadata": {"name": name, "labels": {"kind": "boat"}}})).unwrap();
    world.all::<Node>().create(&PostParams::default(), &node).await.unwrap();
    let status =
        json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "r", "message": "m"}]}});
    world.all::<Node>().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

fn count(of: fn(&DaemonSetStatus) -> i32, wanted: i32) -> impl Fn(Option<&DaemonSet>) -> bool {
    move |set| set.and_then(|set| set.status.as_ref()).is_some_and(|status| of(status) == wanted)
}

/// What a status says of the second template; until the controller has seen that one, it speaks of the first.
fn of_update(set: Option<&DaemonSet>, is_met: impl Fn(&DaemonSetStatus) -> bool) -> bool {
    set.and_then(|set| set.status.as_ref())
        .is_some_and(|status| status.observed_generation == Some(2) && is_met(status))
}

#[tokio::test]
async fn every_node_gets_a_pod_and_an_update_replaces_them() {
    let world = world().await;
    node(&world, "one").await;
    node(&world, "two").await;
    let template =
        json!({"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}});
    let set =
        json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": template}});
    world.make::<DaemonSet>(set).await;
    eventually(world.door::<DaemonSet>(), "d", count(|status| status.current_number_scheduled, 2)).await;
    let available = count(|status| status.number_available.unwrap_or(0), 2);
    with_node(&world, eventually(world.door::<DaemonSet>(), "d", available)).await;
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}});
    world.door::<DaemonSet>().patch("d", &PatchParams::default(), &Patch::Merge(image)).await.unwrap();
    let updated = eventually(world.door::<DaemonSet>(), "d", |set| {
        of_update(set, |status| status.updated_number_scheduled == Some(2) && status.number_available == Some(2))
    });
    with_node(&world, updated).await;
    let revisions = world.door::<ControllerRevision>().list(&ListParams::default()).await.unwrap();
    assert_eq!(revisions.items.len(), 2);
    let pods = world.door::<Pod>().list(&ListParams::default()).await.unwrap();
    let images: Vec<_> = pods.iter().map(|pod| pod.spec.as_ref().unwrap().containers[0].image.as_deref()).collect();
    assert_eq!(images, [Some("two"); 2]);
}
