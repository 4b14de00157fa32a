//! Claims: bound to a volume, given a new one, or waiting.

use super::{
    COMPLETED, NAME, SELECTED_NODE, annotation, bind, claim_ref, claims_of, class, class_of, complete, default_class,
    is_for, matching, provision, uses, volume_name,
};
use crate::client::Level;
use crate::control::controllers::runner::Next;
use crate::control::controllers::watches::{Watched, changes, own};
use crate::control::controllers::{Context, Controller, Error, Key, pods, write};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::json;
use std::sync::Arc;

pub(in super::super) const CONTROLLER: Controller = Controller {
    name: "persistentvolume-binder",
    watches: &[own::<PersistentVolumeClaim>, of_volumes, of_classes, of_pods],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

fn is_pending(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).is_none_or(|phase| phase == "Pending")
}

/// The claim of a volume that changes; every claim that waits when the volume is nobody's.
fn of_volumes(context: &Context) -> Watched {
    let claims = context.caches.of::<PersistentVolumeClaim>();
    changes::<PersistentVolume>(context, move |change| {
        let volume = change.object();
        if let Some(reference) = claim_ref(volume) {
            let text = |part: &Option<String>| part.clone().unwrap_or_default();
            return vec![Key::new(&text(&reference.namespace), &text(&reference.name))];
        }
        let mut keys = Vec::new();
        claims.for_each(|claim| {
            if is_pending(claim) {
                keys.push(Key::of(&**claim));
            }
        });
        keys
    })
}

fn of_classes(context: &Context) -> Watched {
    let claims = context.caches.of::<PersistentVolumeClaim>();
    changes::<StorageClass>(context, move |_| {
        let mut keys = Vec::new();
        claims.for_each(|claim| {
            if is_pending(claim) {
                keys.push(Key::of(&**claim));
            }
        });
        keys
    })
}

/// Claims that wait for their first consumer.
fn of_pods(context: &Context) -> Watched {
    let claims = context.caches.of::<PersistentVolumeClaim>();
    changes::<Pod>(context, move |change| {
        let crate::client::Change::Applied { old: None, new: pod } = change else { return Vec::new() };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let waits = |name: &String| claims.get(namespace, name).is_some_and(|claim| is_pending(&claim));
        claims_of(&pod).into_iter().filter(waits).map(|name| Key::new(namespace, &name)).collect()
    })
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    // One at a time: two claims must not take the same volume.
    let _binding = context.binding.lock().await;
    let Some(claim) = context.caches.of::<PersistentVolumeClaim>().get(&key.namespace, &key.name) else {
        return Ok(Next::Wait);
    };
    if annotation(&*claim, COMPLETED).is_some() {
        keep(context, &claim).await?;
    } else if claim.metadata.deletion_timestamp.is_none() {
        find(context, claim).await?;
    }
    Ok(Next::Wait)
}

async fn set_phase(context: &Context, claim: &PersistentVolumeClaim, phase: &str) -> Result<bool, Error> {
    let mut status = claim.status.clone().unwrap_or_default();
    status.phase = Some(phase.into());
    write::merge_status(context, claim, status).await
}

/// A claim that was bound once.
async fn keep(context: &Context, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    let lost = |reason: &'static str, text: &'static str| async move {
        if set_phase(context, claim, "Lost").await? {
            context.record(NAME, claim, Level::Warning, reason, text);
        }
        Ok(())
    };
    let name = volume_name(claim);
    if name.is_empty() {
        let text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
        return lost("ClaimLost", text).await;
    }
    let Some(volume) = context.caches.of::<PersistentVolume>().get("", name) else {
        return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!").await;
    };
    match claim_ref(&volume) {
        None => bind(context, &volume, claim).await,
        Some(reference) if reference.uid == claim.metadata.uid => {
            super::set_phase(context, &volume, "Bound", None).await?;
            complete(context, &volume, claim).await?;
            let current = context.caches.of::<PersistentVolumeClaim>();
            let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
            let current = current.get(namespace, claim.metadata.name.as_deref().unwrap_or_default());
            match current {
                Some(claim) => provision::expand(context, &volume, &claim).await,
                None => Ok(()),
            }
        }
        Some(_) => {
            let text = "Two claims are bound to the same volume, this one is bound incorrectly";
            lost("ClaimMisbound", text).await
        }
    }
}

/// A claim that has no volume yet.
async fn find(context: &Context, claim: Arc<PersistentVolumeClaim>) -> Result<(), Error> {
    let claim = with_default_class(context, claim).await?;
    let name = volume_name(&claim);
    if !name.is_empty() {
        return take_named(context, &claim, name).await;
    }
    let class_name = class_of(&claim);
    let class = class(context, &class_name);
    let waits = class.as_ref().is_some_and(|class| is_delayed(class)) && !has_consumer(context, &claim);
    let volumes = context.caches.of::<PersistentVolume>().list();
    let found = matching::best(&volumes, &claim);
    let is_kept = found.as_ref().and_then(|volume| claim_ref(volume)).is_some();
    if let Some(volume) = found.filter(|_| !waits || is_kept) {
        return bind(context, &volume, &claim).await;
    }
    set_phase(context, &claim, "Pending").await?;
    if waits {
        let text = "waiting for first consumer to be created before binding";
        context.record(NAME, &*claim, Level::Normal, "WaitForFirstConsumer", text);
        return Ok(());
    }
    match class {
        Some(class) if class.provisioner != "kubernetes.io/no-provisioner" => {
            provision::provision(context, &claim, &class).await
        }
        Some(_) => {
            let text = "no volume plugin matched name: kubernetes.io/no-provisioner";
            context.record(NAME, &*claim, Level::Normal, "FailedBinding", text);
            Ok(())
        }
        None if class_name.is_empty() => {
            let text = "no persistent volumes available for this claim and no storage class is set";
            context.record(NAME, &*claim, Level::Normal, "FailedBinding", text);
            Ok(())
        }
        None => {
            let text = format!("storageclass.storage.k8s.io {class_name:?} not found");
            context.record(NAME, &*claim, Level::Warning, "ProvisioningFailed", text);
            Ok(())
        }
    }
}

fn is_delayed(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// Whether somebody wants the volume now. The scheduler says where; with one node it is enough that a pod is there.
fn has_consumer(context: &Context, claim: &PersistentVolumeClaim) -> bool {
    if annotation(claim, SELECTED_NODE).is_some() {
        return true;
    }
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let pods = context.caches.of::<Pod>().list_in(claim.metadata.namespace.as_deref().unwrap_or_default());
    pods.iter().any(|pod| uses(pod, name) && pods::is_active(pod))
}

/// A claim that names no class gets the default one as soon as there is one.
async fn with_default_class(
    context: &Context,
    claim: Arc<PersistentVolumeClaim>,
) -> Result<Arc<PersistentVolumeClaim>, Error> {
    let names_none = claim.spec.as_ref().is_none_or(|spec| spec.storage_class_name.is_none());
    if !names_none || annotation(&*claim, super::BETA_CLASS).is_some() {
        return Ok(claim);
    }
    let Some(class) = default_class(context) else { return Ok(claim) };
    let patch = json!({"metadata": {"uid": claim.metadata.uid}, "spec": {"storageClassName": class.metadata.name}});
    Ok(Arc::new(write::merge(context, &*claim, patch).await?))
}

async fn take_named(context: &Context, claim: &PersistentVolumeClaim, name: &str) -> Result<(), Error> {
    let Some(volume) = context.caches.of::<PersistentVolume>().get("", name) else {
        return set_phase(context, claim, "Pending").await.map(drop);
    };
    match claim_ref(&volume) {
        Some(reference) if !is_for(reference, claim) => {
            let text = format!("volume {name:?} already bound to a different claim.");
            context.record(NAME, claim, Level::Warning, "FailedBinding", text);
            set_phase(context, claim, "Pending").await.map(drop)
        }
        Some(_) => bind(context, &volume, claim).await,
        None => match matching::mismatch(&volume, claim) {
            None => bind(context, &volume, claim).await,
            Some(why) => {
                let text = format!("Cannot bind to requested volume {name:?}: {why}");
                context.record(NAME, claim, Level::Warning, "VolumeMismatch", text);
                set_phase(context, claim, "Pending").await.map(drop)
            }
        },
    }
}
