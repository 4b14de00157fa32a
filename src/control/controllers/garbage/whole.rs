//! The garbage collector on the real server.

use crate::control::controllers::testing::{World, deployment, eventually, world};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams, PropagationPolicy};
use serde_json::json;

/// A Deployment of two pods; returns its set.
async fn deployed(world: &World) -> ReplicaSet {
    world.make::<Deployment>(deployment(2, "one")).await;
    let all = |deployment: Option<&Deployment>| {
        deployment.and_then(|one| one.status.as_ref()).and_then(|status| status.replicas) == Some(2)
    };
    eventually(world.door::<Deployment>(), "web", all).await;
    world.door::<ReplicaSet>().list(&ListParams::default()).await.unwrap().items.remove(0)
}

async fn delete(world: &World, policy: PropagationPolicy) {
    let params = DeleteParams { propagation_policy: Some(policy), ..Default::default() };
    world.door::<Deployment>().delete("web", &params).await.unwrap();
}

#[tokio::test]
async fn dependents_go_with_their_owner() {
    let world = world().await;
    let set = deployed(&world).await;
    let pod = world.door::<Pod>().list(&ListParams::default()).await.unwrap().items.remove(0);
    delete(&world, PropagationPolicy::Background).await;
    eventually(world.door::<ReplicaSet>(), set.metadata.name.as_deref().unwrap(), |set| set.is_none()).await;
    eventually(world.door::<Pod>(), pod.metadata.name.as_deref().unwrap(), |pod| pod.is_none()).await;
}

#[tokio::test]
async fn an_owner_deleted_in_the_foreground_goes_last() {
    let world = world().await;
    let set = deployed(&world).await;
    delete(&world, PropagationPolicy::Foreground).await;
    eventually(world.door::<Deployment>(), "web", |deployment| deployment.is_none()).await;
    assert!(world.door::<ReplicaSet>().get_opt(set.metadata.name.as_deref().unwrap()).await.unwrap().is_none());
    assert!(world.door::<Pod>().list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn orphans_stay_and_name_their_owner_no_more() {
    let world = world().await;
    let set = deployed(&world).await;
    delete(&world, PropagationPolicy::Orphan).await;
    eventually(world.door::<Deployment>(), "web", |deployment| deployment.is_none()).await;
    let set = world.door::<ReplicaSet>().get(set.metadata.name.as_deref().unwrap()).await.unwrap();
    assert_eq!(set.metadata.owner_references.unwrap_or_default().len(), 0);
}

#[tokio::test]
async fn who_names_an_absent_owner_only_goes_and_who_has_another_stays() {
    let world = world().await;
    let owner = world.make::<ConfigMap>(json!({"metadata": {"name": "owner"}})).await;
    let reference = |name: &str, uid: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid});
    let gone = reference("nobody", "no-uid");
    world.make::<ConfigMap>(json!({"metadata": {"name": "lost", "ownerReferences": [gone]}})).await;
    let kept = json!([gone, reference("owner", owner.metadata.uid.as_deref().unwrap())]);
    world.make::<ConfigMap>(json!({"metadata": {"name": "kept", "ownerReferences": kept}})).await;
    eventually(world.door::<ConfigMap>(), "lost", |map| map.is_none()).await;
    let struck =
        |map: Option<&ConfigMap>| map.is_some_and(|map| map.metadata.owner_references.as_ref().unwrap().len() == 1);
    eventually(world.door::<ConfigMap>(), "kept", struck).await;
}
