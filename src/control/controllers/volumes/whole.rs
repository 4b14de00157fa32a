//! Volumes on the real server.

use crate::control::controllers::testing::{World, eventually, world};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

async fn class(world: &World, mode: &str) {
    let class = json!({"metadata": {"name": "standard"}, "provisioner": "coracle.local/hostpath",
        "reclaimPolicy": "Delete", "volumeBindingMode": mode, "allowVolumeExpansion": true});
    let class: StorageClass = serde_json::from_value(class).unwrap();
    world.all::<StorageClass>().create(&PostParams::default(), &class).await.unwrap();
}

fn claim(class: &str) -> Value {
    json!({"metadata": {"name": "data"}, "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}})
}

fn claim_phase(wanted: &'static str) -> impl Fn(Option<&PersistentVolumeClaim>) -> bool {
    move |claim| {
        claim.and_then(|claim| claim.status.as_ref()).and_then(|status| status.phase.as_deref()) == Some(wanted)
    }
}

fn phase(wanted: &'static str) -> impl Fn(Option<&PersistentVolume>) -> bool {
    move |volume| volume.is_some_and(|volume| super::phase(volume) == wanted)
}

#[tokio::test]
async fn a_claim_gets_a_folder_that_goes_with_it() {
    let world = world().await;
    class(&world, "Immediate").await;
    world.make::<PersistentVolumeClaim>(claim("standard")).await;
    let bound = eventually(world.door::<PersistentVolumeClaim>(), "data", claim_phase("Bound")).await.unwrap();
    let name = super::volume_name(&bound).to_string();
    let volume = eventually(world.all::<PersistentVolume>(), &name, phase("Bound")).await.unwrap();
    let folder = volume.spec.unwrap().host_path.unwrap().path;
    assert!(std::path::Path::new(&folder).is_dir());
    let larger = Patch::Merge(json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}));
    world.door::<PersistentVolumeClaim>().patch("data", &PatchParams::default(), &larger).await.unwrap();
    let grown = |claim: Option<&PersistentVolumeClaim>| {
        let capacity = claim.and_then(|claim| claim.status.as_ref()?.capacity.as_ref()?.get("storage").cloned());
        capacity.is_some_and(|size| size.0 == "2Gi")
    };
    eventually(world.door::<PersistentVolumeClaim>(), "data", grown).await;
    world.door::<PersistentVolumeClaim>().delete("data", &DeleteParams::default()).await.unwrap();
    eventually(world.all::<PersistentVolume>(), &name, |volume| volume.is_none()).await;
    assert!(!std::path::Path::new(&folder).exists());
}

#[tokio::test]
async fn a_claim_waits_for_its_first_consumer_where_its_class_says_so() {
    let world = world().await;
    class(&world, "WaitForFirstConsumer").await;
    world.make::<PersistentVolumeClaim>(claim("standard")).await;
    eventually(world.door::<PersistentVolumeClaim>(), "data", claim_phase("Pending")).await;
    let pod = json!({"metadata": {"name": "user"}, "spec": {"containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
    world.make::<Pod>(pod).await;
    eventually(world.door::<PersistentVolumeClaim>(), "data", claim_phase("Bound")).await;
}

#[tokio::test]
async fn a_volume_that_is_kept_is_released_when_its_claim_goes() {
    let world = world().await;
    let volume = json!({"metadata": {"name": "disk"}, "spec": {"capacity": {"storage": "5Gi"}, "storageClassName": "",
        "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/tmp/disk"}}});
    let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
    world.all::<PersistentVolume>().create(&PostParams::default(), &volume).await.unwrap();
    eventually(world.all::<PersistentVolume>(), "disk", phase("Available")).await;
    world.make::<PersistentVolumeClaim>(claim("")).await;
    eventually(world.door::<PersistentVolumeClaim>(), "data", claim_phase("Bound")).await;
    world.door::<PersistentVolumeClaim>().delete("data", &DeleteParams::default()).await.unwrap();
    eventually(world.all::<PersistentVolume>(), "disk", phase("Released")).await;
    world.all::<PersistentVolume>().delete("disk", &DeleteParams::default()).await.unwrap();
    eventually(world.all::<PersistentVolume>(), "disk", |volume| volume.is_none()).await;
}
