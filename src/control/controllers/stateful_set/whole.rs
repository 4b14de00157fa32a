//! StatefulSets on the real server.

use crate::control::controllers::testing::{World, eventually, make_ready, world};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

/// Waits for a status while a node makes pods ready.
async fn until(world: &World, is_met: impl Fn(&StatefulSetStatus) -> bool) -> StatefulSet {
    let client = world.client.clone();
    let node = async {
        let caches = crate::client::Caches::new(client);
        let mut changes = caches.of::<Pod>().changes();
        while futures::StreamExt::next(&mut changes).await.is_some() {
            make_ready(world).await;
        }
    };
    let met = |set: Option<&StatefulSet>| set.and_then(|set| set.status.as_ref()).is_some_and(&is_met);
    let waiting = eventually(world.door::<StatefulSet>(), "db", met);
    tokio::select! { set = waiting => set.unwrap(), () = node => unreachable!("the watch of pods never ends") }
}

async fn pods(world: &World) -> Vec<Pod> {
    world.door::<Pod>().list(&ListParams::default()).await.unwrap().items
}

#[tokio::test]
async fn pods_have_names_and_claims_are_updated_and_scaled_down() {
    let world = world().await;
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    let template =
        json!({"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}});
    let set = json!({"metadata": {"name": "db"}, "spec": {"replicas": 3, "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}}, "template": template, "volumeClaimTemplates": [claim],
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": "Retain"}}});
    world.make::<StatefulSet>(set).await;
    let first =
        until(&world, |status| status.available_replicas == Some(3) && status.current_replicas == Some(3)).await;
    let first = first.status.unwrap().update_revision;
    let names: Vec<String> = pods(&world).await.into_iter().map(|pod| pod.metadata.name.unwrap()).collect();
    assert_eq!(names, ["db-0", "db-1", "db-2"]);
    let claims = world.door::<PersistentVolumeClaim>();
    assert_eq!(claims.list(&ListParams::default()).await.unwrap().items.len(), 3);

    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}});
    world.door::<StatefulSet>().patch("db", &PatchParams::default(), &Patch::Merge(image)).await.unwrap();
    until(&world, |status| {
        status.current_revision != first && status.updated_replicas == Some(3) && status.available_replicas == Some(3)
    })
    .await;
    assert!(
        pods(&world).await.iter().all(|pod| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("two"))
    );

    let one = Patch::Merge(json!({"spec": {"replicas": 1}}));
    world.door::<StatefulSet>().patch("db", &PatchParams::default(), &one).await.unwrap();
    until(&world, |status| status.replicas == 1).await;
    eventually(claims.clone(), "data-db-2", |claim| claim.is_none()).await;
    assert!(claims.get_opt("data-db-0").await.unwrap().is_some());
}
