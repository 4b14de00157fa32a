//! Volumes that are folders of the node, made for claims of the class `coracle.local/hostpath` and removed with them.
//!
//! The controllers run in the node's own mount namespace, so the folder is made and removed here and not by a pod.

use super::{NAME, PROVISIONED_BY, PROVISIONER, claim_spec, matching};
use crate::base::disk;
use crate::client::Level;
use crate::control::controllers::{Context, Error, write};
use k8s_openapi::api::core::v1::{HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// The provisioner of the class of this cluster.
pub const OWN: &str = "coracle.local/hostpath";

/// Asks for a volume for a claim: makes it if its class is ours, else leaves it to whoever provisions the class.
pub async fn provision(context: &Context, claim: &PersistentVolumeClaim, class: &StorageClass) -> Result<(), Error> {
    let provisioner = class.provisioner.as_str();
    if super::annotation(claim, PROVISIONER[0]) != Some(provisioner) {
        let annotations = json!({PROVISIONER[0]: provisioner, PROVISIONER[1]: provisioner});
        let meta = json!({"uid": claim.metadata.uid, "annotations": annotations});
        write::merge(context, claim, json!({"metadata": meta})).await?;
    }
    if provisioner != OWN {
        let text = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system \
             administrator. If volume creation is delayed, please verify that the provisioner is running and correctly \
             registered."
        );
        context.record(NAME, claim, Level::Normal, "ExternalProvisioning", text);
        return Ok(());
    }
    make(context, claim, class).await.inspect_err(|error| {
        let name = class.metadata.name.as_deref().unwrap_or_default();
        let text = format!("failed to provision volume with StorageClass {name:?}: {error}");
        context.record(NAME, claim, Level::Warning, "ProvisioningFailed", text);
    })
}

async fn make(context: &Context, claim: &PersistentVolumeClaim, class: &StorageClass) -> Result<(), Error> {
    let spec = claim_spec(claim);
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err(Error::Invalid(format!("{OWN} does not support block volume provisioning")));
    }
    let name = format!("pvc-{}", claim.metadata.uid.as_deref().unwrap_or_default());
    let folder = context.config.volumes.join(&name);
    make_folder(&folder).await.map_err(|error| Error::Invalid(format!("cannot make {}: {error}", folder.display())))?;
    let volume = volume(claim, class, &name, &folder);
    match write::create(context, &volume).await {
        Ok(_) => {
            let text = format!("Successfully provisioned volume {name}");
            context.record(NAME, claim, Level::Normal, "ProvisioningSucceeded", text);
            Ok(())
        }
        // Made in a round that was cut short.
        Err(error) if write::is_conflict(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Anybody may write into the folder, whatever user the pod runs as: it is one claim's alone.
async fn make_folder(folder: &Path) -> std::io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    tokio::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).await
}

fn volume(claim: &PersistentVolumeClaim, class: &StorageClass, name: &str, folder: &Path) -> PersistentVolume {
    let spec = claim_spec(claim);
    let mut reference = claim.object_ref(&());
    reference.resource_version = claim.metadata.resource_version.clone();
    let size = spec.resources.as_ref().and_then(|resources| resources.requests.clone()).unwrap_or_default();
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name.into()),
            annotations: Some([(PROVISIONED_BY.to_string(), OWN.to_string())].into()),
            ..Default::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            capacity: Some(size.into_iter().filter(|(key, _)| key == "storage").collect()),
            claim_ref: Some(reference),
            persistent_volume_reclaim_policy: Some(class.reclaim_policy.clone().unwrap_or_else(|| "Delete".into())),
            storage_class_name: class.metadata.name.clone(),
            mount_options: class.mount_options.clone(),
            volume_mode: Some("Filesystem".into()),
            host_path: Some(HostPathVolumeSource {
                path: folder.display().to_string(),
                type_: Some("DirectoryOrCreate".into()),
            }),
            ..Default::default()
        }),
        status: None,
    }
}

/// Whether a volume was made here.
pub fn is_own(volume: &PersistentVolume) -> bool {
    super::annotation(volume, PROVISIONED_BY) == Some(OWN)
}

/// Removes the folder of a volume that was made here. Only a folder right below that of all volumes is touched.
pub async fn remove(context: &Context, volume: &PersistentVolume) -> Result<(), Error> {
    let path = volume.spec.as_ref().and_then(|spec| spec.host_path.as_ref()).map(|source| PathBuf::from(&source.path));
    let is_inside = |path: &PathBuf| {
        let rest = path.strip_prefix(&context.config.volumes).ok();
        let parts: Vec<Component> = rest.into_iter().flat_map(Path::components).collect();
        matches!(parts[..], [Component::Normal(_)])
    };
    let Some(folder) = path.filter(is_inside) else {
        return Err(Error::Invalid("the volume's path is not one of this provisioner's".into()));
    };
    let removed = {
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || disk::remove(&folder)).await.map_err(std::io::Error::other)
    };
    match removed.flatten() {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Invalid(format!("cannot remove {}: {error}", folder.display())))
        }
        _ => Ok(()),
    }
}

/// Grows a bound volume: a folder has no size of its own, so both sides just say the new one.
pub async fn expand(context: &Context, volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    let wanted = matching::requested(claim);
    let has = claim.status.as_ref().map(|status| matching::storage(status.capacity.as_ref()));
    if !is_own(volume) || has.is_none_or(|has| has >= wanted) {
        return Ok(());
    }
    let size = json!({"storage": wanted.to_string()});
    if matching::capacity(volume) < wanted {
        let meta = json!({"uid": volume.metadata.uid});
        write::merge(context, volume, json!({"metadata": meta, "spec": {"capacity": size}})).await?;
    }
    let mut status = claim.status.clone().unwrap_or_default();
    let text = k8s_openapi::apimachinery::pkg::api::resource::Quantity(wanted.to_string());
    status.capacity.get_or_insert_default().insert("storage".into(), text);
    status.conditions = None;
    write::merge_status(context, claim, status).await?;
    let text = "MountVolume.NodeExpandVolume succeeded for volume";
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    context.record(NAME, claim, Level::Normal, "FileSystemResizeSuccessful", format!("{text} {name:?}"));
    Ok(())
}
