//! Volumes: their phase, and what becomes of one whose claim is gone.

use super::{BY_CONTROLLER, NAME, annotation, claim_ref, phase, provision, set_phase, volume_name};
use crate::client::{Change, Level};
use crate::control::controllers::runner::Next;
use crate::control::controllers::watches::{changes, own};
use crate::control::controllers::{Context, Controller, Error, Key, write};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use serde_json::json;

pub(in super::super) const CONTROLLER: Controller = Controller {
    name: "persistentvolume-reclaimer",
    watches: &[own::<PersistentVolume>, |context| {
        changes::<PersistentVolumeClaim>(context, |change| {
            let claim = change.object();
            let name = volume_name(claim);
            let is_gone = matches!(change, Change::Deleted(_));
            if name.is_empty() && !is_gone { Vec::new() } else { vec![Key::new("", name)] }
        })
    }],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let _binding = context.binding.lock().await;
    let Some(volume) = context.caches.of::<PersistentVolume>().get("", &key.name) else { return Ok(Next::Wait) };
    let Some(reference) = claim_ref(&volume).cloned() else {
        set_phase(context, &volume, "Available", None).await?;
        return Ok(Next::Wait);
    };
    // Kept for a claim that is still to come.
    if reference.uid.as_deref().unwrap_or_default().is_empty() {
        set_phase(context, &volume, "Available", None).await?;
        return Ok(Next::Wait);
    }
    match claim(context, &reference).await? {
        None => release(context, &volume).await?,
        Some(claim) if volume_name(&claim).is_empty() => {}
        Some(claim) if volume_name(&claim) == key.name => set_phase(context, &volume, "Bound", None).await?,
        Some(_) if provision::is_own(&volume) && reclaim_policy(&volume) == "Delete" => {
            release(context, &volume).await?;
        }
        Some(_) => unbind(context, &volume).await?,
    }
    Ok(Next::Wait)
}

/// The claim of a reference, if it is still that one. Nothing is given up on the word of a cache alone.
async fn claim(context: &Context, reference: &ObjectReference) -> Result<Option<PersistentVolumeClaim>, Error> {
    let namespace = reference.namespace.as_deref().unwrap_or_default();
    let name = reference.name.as_deref().unwrap_or_default();
    let is_same = |claim: &PersistentVolumeClaim| claim.metadata.uid == reference.uid;
    let cached = context.caches.of::<PersistentVolumeClaim>().get(namespace, name);
    if let Some(claim) = cached.filter(|claim| is_same(claim)) {
        return Ok(Some((*claim).clone()));
    }
    let door = <PersistentVolumeClaim as write::Door>::door(context, namespace);
    Ok(door.get_opt(name).await?.filter(is_same))
}

fn reclaim_policy(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref()).unwrap_or("Retain")
}

/// The claim is gone: the volume is kept, or removed with what is in it.
async fn release(context: &Context, volume: &PersistentVolume) -> Result<(), Error> {
    if !matches!(phase(volume), "Released" | "Failed") {
        set_phase(context, volume, "Released", None).await?;
    }
    match reclaim_policy(volume) {
        "Delete" if provision::is_own(volume) => {
            if let Err(error) = provision::remove(context, volume).await {
                let text = error.to_string();
                context.record(NAME, volume, Level::Warning, "VolumeFailedDelete", text.clone());
                return set_phase(context, volume, "Failed", Some(&text)).await;
            }
            write::delete(context, volume).await.map(drop)
        }
        // Whoever made it removes it.
        "Delete" if annotation(volume, super::PROVISIONED_BY).is_some() => Ok(()),
        "Delete" => fail(context, volume, "VolumeFailedDelete", "error getting deleter volume plugin for volume").await,
        "Recycle" => fail(context, volume, "VolumeFailedRecycle", "no volume plugin matched").await,
        _ => Ok(()),
    }
}

async fn fail(context: &Context, volume: &PersistentVolume, reason: &str, why: &str) -> Result<(), Error> {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let text = format!("{why} {name:?}");
    if phase(volume) != "Failed" {
        context.record(NAME, volume, Level::Warning, reason, text.clone());
    }
    set_phase(context, volume, "Failed", Some(&text)).await
}

/// Frees a volume whose claim took another.
async fn unbind(context: &Context, volume: &PersistentVolume) -> Result<(), Error> {
    let mut meta = json!({"uid": volume.metadata.uid, "resourceVersion": volume.metadata.resource_version});
    let reference = if annotation(volume, BY_CONTROLLER).is_some() {
        meta["annotations"] = json!({BY_CONTROLLER: null});
        json!(null)
    } else {
        // A user keeps it for a claim of that name: it stays kept.
        json!({"uid": null, "resourceVersion": null})
    };
    let volume = write::merge(context, volume, json!({"metadata": meta, "spec": {"claimRef": reference}})).await?;
    set_phase(context, &volume, "Available", None).await
}
