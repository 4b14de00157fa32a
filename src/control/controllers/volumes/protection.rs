//! Protects claims that pods use, and volumes that are bound, from being removed.
//!
//! Source of the rules: kubernetes `pkg/controller/volume/pvcprotection` and `pvprotection`.

use super::{claims_of, phase, uses};
use crate::client::{Cached, Change};
use crate::control::controllers::runner::Next;
use crate::control::controllers::watches::{changes, own};
use crate::control::controllers::write::Door;
use crate::control::controllers::{Context, Controller, Error, Key, write};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use serde_json::json;

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

pub(in super::super) const CLAIMS: Controller = Controller {
    name: "pvc-protection-controller",
    watches: &[own::<PersistentVolumeClaim>, |context| {
        let claims = context.caches.of::<PersistentVolumeClaim>();
        changes::<Pod>(context, move |change| {
            let Change::Deleted(pod) = change else { return Vec::new() };
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let is_going = |name: &String| {
                claims.get(namespace, name).is_some_and(|one| one.metadata.deletion_timestamp.is_some())
            };
            claims_of(&pod).into_iter().filter(is_going).map(|name| Key::new(namespace, &name)).collect()
        })
    }],
    reconcile: |context, key| {
        async move {
            let Some(claim) = context.caches.of::<PersistentVolumeClaim>().get(&key.namespace, &key.name) else {
                return Ok(Next::Wait);
            };
            // A pod that has no node yet will not start with a claim that goes.
            let is_on_node = |pod: &Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
            let pods = context.caches.of::<Pod>().list_in(&key.namespace);
            let is_used = pods.iter().any(|pod| is_on_node(pod) && uses(pod, &key.name));
            protect(&context, &*claim, CLAIM_FINALIZER, is_used).await
        }
        .boxed()
    },
};

pub(in super::super) const VOLUMES: Controller = Controller {
    name: "pv-protection-controller",
    watches: &[own::<PersistentVolume>],
    reconcile: |context, key| {
        async move {
            let Some(volume) = context.caches.of::<PersistentVolume>().get("", &key.name) else {
                return Ok(Next::Wait);
            };
            protect(&context, &*volume, VOLUME_FINALIZER, phase(&volume) == "Bound").await
        }
        .boxed()
    },
};

/// Puts the finalizer on an object that stays, and takes it off one that goes and is used no more.
async fn protect<K: Cached + Door>(
    context: &Context,
    object: &K,
    finalizer: &str,
    is_used: bool,
) -> Result<Next, Error> {
    let meta = object.meta();
    let mut finalizers = meta.finalizers.clone().unwrap_or_default();
    let has = finalizers.iter().any(|own| own == finalizer);
    match (meta.deletion_timestamp.is_some(), has) {
        (false, false) => finalizers.push(finalizer.into()),
        (true, true) if !is_used => finalizers.retain(|own| own != finalizer),
        _ => return Ok(Next::Wait),
    }
    let patch = json!({"uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": finalizers});
    match write::merge(context, object, json!({"metadata": patch})).await {
        Err(error) if !write::is_missing(&error) => Err(error),
        _ => Ok(Next::Wait),
    }
}
