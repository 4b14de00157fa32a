//! PersistentVolumes and claims: who is bound to whom, volumes made and removed for claims, and their protection.
//!
//! ```text
//! claim   Pending --match or new volume--> Bound --volume gone--> Lost
//! volume  Available ----claim bound------> Bound --claim gone---> Released --Delete--> (removed) or Failed
//! ```
//!
//! Binding writes both sides one after the other, the volume first; a half-made binding is completed by whoever sees it next.
//!
//! Source of the rules and wording: kubernetes `pkg/controller/volume/persistentvolume/pv_controller.go`.

mod claim;
mod matching;
mod protection;
mod provision;
mod volume;
#[cfg(test)]
mod whole;

pub(super) use claim::CONTROLLER as CLAIMS;
pub(super) use protection::{CLAIMS as CLAIM_PROTECTION, VOLUMES as VOLUME_PROTECTION};
pub(super) use volume::CONTROLLER as VOLUMES;

use super::{Context, Error, write};
use k8s_openapi::api::core::v1::{
    ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeSpec,
    PersistentVolumeStatus, Pod,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use serde_json::json;
use std::sync::Arc;

/// The source of events of both controllers.
const NAME: &str = "persistentvolume-controller";
/// Says that a binding was made here, not by a user.
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Says that the claim was bound once: without its volume it is lost.
const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Who made the volume.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Who is to make a volume for the claim, now and formerly.
const PROVISIONER: &[&str] =
    &["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];
/// The node that the scheduler chose for the first pod of the claim.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The class in the way of old.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: &[&str] =
    &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

fn claim_spec(claim: &PersistentVolumeClaim) -> PersistentVolumeClaimSpec {
    claim.spec.clone().unwrap_or_default()
}

fn volume_spec(volume: &PersistentVolume) -> PersistentVolumeSpec {
    volume.spec.clone().unwrap_or_default()
}

fn annotation<'a>(object: &'a impl Resource, key: &str) -> Option<&'a str> {
    object.meta().annotations.as_ref()?.get(key).map(String::as_str)
}

/// The class of a claim; empty for none.
fn class_of(claim: &PersistentVolumeClaim) -> String {
    let beta = annotation(claim, BETA_CLASS).map(String::from);
    beta.or_else(|| claim.spec.as_ref()?.storage_class_name.clone()).unwrap_or_default()
}

/// The name of the volume that the claim names; empty for none.
fn volume_name(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default()
}

fn claim_ref(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

/// Whether a volume is kept for this claim, by name at least; one that names a uid means that claim only.
fn is_for(reference: &ObjectReference, claim: &PersistentVolumeClaim) -> bool {
    let uid = reference.uid.as_deref().filter(|uid| !uid.is_empty());
    reference.name == claim.metadata.name
        && reference.namespace == claim.metadata.namespace
        && uid.is_none_or(|uid| claim.metadata.uid.as_deref() == Some(uid))
}

fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn class(context: &Context, name: &str) -> Option<Arc<StorageClass>> {
    if name.is_empty() { None } else { context.caches.of::<StorageClass>().get("", name) }
}

/// The newest class that is marked as the default.
fn default_class(context: &Context) -> Option<Arc<StorageClass>> {
    let mut all = context.caches.of::<StorageClass>().list();
    all.retain(|class| DEFAULT_CLASS.iter().any(|key| annotation(&**class, key) == Some("true")));
    all.into_iter().max_by_key(|class| {
        let created = class.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, std::cmp::Reverse(class.metadata.name.clone()))
    })
}

/// Whether a pod uses a claim.
fn uses(pod: &Pod, claim: &str) -> bool {
    claims_of(pod).iter().any(|name| name == claim)
}

/// The names of the claims that a pod uses.
fn claims_of(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let own = pod.metadata.name.as_deref().unwrap_or_default();
    let name = |volume: &k8s_openapi::api::core::v1::Volume| {
        let named = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
        named.or_else(|| volume.ephemeral.as_ref().map(|_| format!("{own}-{}", volume.name)))
    };
    volumes.filter_map(name).collect()
}

/// Writes the phase of a volume, if it is another.
async fn set_phase(
    context: &Context,
    volume: &PersistentVolume,
    phase: &str,
    message: Option<&str>,
) -> Result<(), Error> {
    let old = volume.status.clone().unwrap_or_default();
    if old.phase.as_deref() == Some(phase) && old.message.as_deref() == message {
        return Ok(());
    }
    let status = PersistentVolumeStatus {
        phase: Some(phase.into()),
        message: message.map(String::from),
        reason: None,
        last_phase_transition_time: match old.phase.as_deref() == Some(phase) {
            true => old.last_phase_transition_time,
            false => Some(Time(jiff::Timestamp::now())),
        },
    };
    write::merge_status(context, volume, status).await.map(drop)
}

/// Binds both sides to each other; what is done already is left alone.
async fn bind(context: &Context, volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    let mut volume = volume.clone();
    let reference = claim_ref(&volume);
    if reference.is_none_or(|reference| reference.uid != claim.metadata.uid) {
        let mut wanted = claim.object_ref(&());
        wanted.resource_version = claim.metadata.resource_version.clone();
        let mut meta = json!({"uid": volume.metadata.uid, "resourceVersion": volume.metadata.resource_version});
        if reference.is_none() {
            meta["annotations"] = json!({BY_CONTROLLER: "yes"});
        }
        let patch = json!({"metadata": meta, "spec": {"claimRef": wanted}});
        volume = write::merge(context, &volume, patch).await?;
    }
    set_phase(context, &volume, "Bound", None).await?;
    complete(context, &volume, claim).await
}

/// The claim's side of a binding.
async fn complete(context: &Context, volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let mut claim = claim.clone();
    if volume_name(&claim) != name || annotation(&claim, COMPLETED).is_none() {
        let mut annotations = json!({COMPLETED: "yes"});
        if volume_name(&claim).is_empty() {
            annotations[BY_CONTROLLER] = json!("yes");
        }
        let meta = json!({"uid": claim.metadata.uid, "annotations": annotations});
        claim = write::merge(context, &claim, json!({"metadata": meta, "spec": {"volumeName": name}})).await?;
    }
    let spec = volume_spec(volume);
    let mut status = claim.status.clone().unwrap_or_default();
    let was_bound = status.phase.as_deref() == Some("Bound");
    status.phase = Some("Bound".into());
    status.access_modes = spec.access_modes;
    // Later changes of the capacity come with an expansion.
    if !was_bound || status.capacity.is_none() {
        status.capacity = spec.capacity;
    }
    write::merge_status(context, &claim, status).await.map(drop)
}
