//! From a claim to the folder on this node that its volume is.

use super::{Place, ownership};
use crate::node::context::Node;
use crate::node::pod::parts;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::Api;
use std::path::{Path, PathBuf};

/// The place of a claim's volume. `owner` says that the claim must have been made for this pod.
pub async fn place(node: &Node, pod: &Pod, claim: &str, read_only: bool, owned: bool) -> Result<Place, String> {
    let namespace = parts::namespace(pod);
    let failed = |why: String| format!("error processing PVC {namespace}/{claim}: {why}");
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(node.client.clone(), namespace);
    let found = claims.get_opt(claim).await.map_err(|error| failed(error.to_string()))?;
    let found = found.ok_or_else(|| format!("persistentvolumeclaim \"{claim}\" not found"))?;
    if owned && !is_owned(&found, pod) {
        let name = parts::name(pod);
        return Err(failed(format!(
            "PVC {namespace}/{claim} was not created for pod {namespace}/{name} (pod is not owner)"
        )));
    }
    let phase = found.status.as_ref().and_then(|status| status.phase.as_deref());
    let name = found.spec.as_ref().and_then(|spec| spec.volume_name.as_ref()).filter(|_| phase == Some("Bound"));
    let name = name.ok_or_else(|| failed("PVC is not bound".into()))?;
    let volumes: Api<PersistentVolume> = Api::all(node.client.clone());
    let volume = volumes.get(name).await.map_err(|error| failed(error.to_string()))?;
    let is_mine = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.claim_ref.as_ref())
        .is_some_and(|claim| claim.uid == found.metadata.uid);
    if !is_mine {
        return Err(failed(format!("PV {name} is bound to another claim")));
    }
    of_volume(pod, &volume, read_only).await
}

fn is_owned(claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
    let owners = claim.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.controller == Some(true) && owner.uid == parts::uid(pod))
}

async fn of_volume(pod: &Pod, volume: &PersistentVolume, read_only: bool) -> Result<Place, String> {
    let spec = volume.spec.clone().unwrap_or_default();
    let is_block = spec.volume_mode.as_deref() == Some("Block");
    if let Some(source) = &spec.host_path {
        let place = super::host_path::place(source)?;
        return Ok(Place { read_only, is_block, ..place });
    }
    let Some(local) = &spec.local else {
        return Err("no volume plugin matched: this node knows volumes of the kinds hostPath and local".into());
    };
    let path = PathBuf::from(&local.path);
    if !path.exists() {
        return Err(format!("path \"{}\" does not exist", path.display()));
    }
    if !read_only && !is_block {
        give(pod, &path).await?;
    }
    Ok(Place { path, read_only, is_block })
}

/// A volume may have many files.
async fn give(pod: &Pod, path: &Path) -> Result<(), String> {
    let Some(context) = parts::spec(pod).security_context.clone() else { return Ok(()) };
    let Some(group) = context.fs_group else { return Ok(()) };
    let path = path.to_path_buf();
    let given = tokio::task::spawn_blocking(move || {
        ownership::give(&path, group as u32, false, context.fs_group_change_policy.as_deref())
    });
    given.await.map_err(|error| error.to_string())?.map_err(|error| format!("applyFSGroup failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{FakeApi, FakeRuntime, node, pod};
    use serde_json::{Value, json};

    async fn place_of(phase: &str, source: Value) -> Result<Place, String> {
        let api = FakeApi::default();
        api.put(
            "/api/v1/namespaces/default/persistentvolumeclaims/c",
            json!({"metadata": {"name": "c", "namespace": "default", "uid": "c1"}, "spec": {"volumeName": "v"}, "status": {"phase": phase}}),
        );
        let mut spec = source;
        spec["claimRef"] = json!({"name": "c", "namespace": "default", "uid": "c1"});
        api.put("/api/v1/persistentvolumes/v", json!({"metadata": {"name": "v", "uid": "v1"}, "spec": spec}));
        let (node, _folder) = node(&api, &FakeRuntime::default());
        place(&node, &pod(json!({"containers": []})), "c", false, false).await
    }

    #[tokio::test]
    async fn a_bound_claim_leads_to_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let local = json!({"local": {"path": folder.path()}});
        assert_eq!(place_of("Bound", local.clone()).await.unwrap().path, folder.path());
        assert_eq!(place_of("Pending", local).await.unwrap_err(), "error processing PVC default/c: PVC is not bound");
        let missing = place_of("Bound", json!({"local": {"path": "/nothing/here"}})).await.unwrap_err();
        assert_eq!(missing, "path \"/nothing/here\" does not exist");
        assert!(place_of("Bound", json!({"nfs": {"path": "/", "server": "x"}})).await.is_err());
    }
}
