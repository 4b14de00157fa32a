//! Plugins of claims and volumes: the default class, that what is used is not deleted, and growing.
//!
//! Source: plugin/pkg/admission/storage.

use super::{Api, Change, Plugin, Verb, default_of, find, list, list_at};
use crate::api::Status;
use crate::api::quantity::Quantity;
use async_trait::async_trait;
use serde_json::Value;

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// A claim that names no class gets the default one.
pub struct DefaultStorageClass;

#[async_trait]
impl Plugin for DefaultStorageClass {
    async fn mutate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let is_new = change.is("", "persistentvolumeclaims") && change.verb == Verb::Create;
        let class = change.object.at(&["spec", "storageClassName"]).filter(|class| !class.is_null());
        let is_named = class.is_some()
            || change.object.annotations().any(|(key, _)| key == "volume.beta.kubernetes.io/storage-class");
        if !is_new || is_named {
            return Ok(());
        }
        let classes = list(api, "storage.k8s.io", "storageclasses", None)?;
        if let Some(class) = default_of(classes, DEFAULT_CLASS) {
            change.object.set(&["spec", "storageClassName"], class.name());
        }
        Ok(())
    }
}

/// What is used stays: claims and volumes are held until controllers say that nobody needs them.
pub struct StorageObjectInUseProtection;

#[async_trait]
impl Plugin for StorageObjectInUseProtection {
    async fn mutate(&self, _: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if change.verb != Verb::Create {
            return Ok(());
        }
        let finalizer = if change.is("", "persistentvolumeclaims") {
            "kubernetes.io/pvc-protection"
        } else if change.is("", "persistentvolumes") {
            "kubernetes.io/pv-protection"
        } else {
            return Ok(());
        };
        let list = list_at(change.object, &["metadata", "finalizers"]);
        if !list.iter().any(|own| own == finalizer) {
            list.push(finalizer.into());
        }
        Ok(())
    }
}

/// A claim grows only where its class allows it.
pub struct PersistentVolumeClaimResize;

#[async_trait]
impl Plugin for PersistentVolumeClaimResize {
    async fn validate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let Some(old) = change.old.filter(|_| change.is("", "persistentvolumeclaims") && change.verb == Verb::Update)
        else {
            return Ok(());
        };
        let size = |claim: &crate::api::Object| {
            let value = claim.at(&["spec", "resources", "requests", "storage"]).unwrap_or(&Value::Null);
            Quantity::from_json(value).ok()
        };
        if size(change.object) <= size(old) {
            return Ok(());
        }
        if old.text(&["status", "phase"]) != "Bound" {
            return Err(change.forbidden("Only bound persistent volume claims can be expanded"));
        }
        let class = old.text(&["spec", "storageClassName"]);
        let class = find(api, "storage.k8s.io", "storageclasses", "", class)?;
        let may_grow = class.is_some_and(|class| class.at(&["allowVolumeExpansion"]) == Some(&Value::Bool(true)));
        if may_grow {
            return Ok(());
        }
        Err(change.forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        ))
    }
}
