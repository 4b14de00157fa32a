//! Claims of pods' own volumes (`ephemeral.volumeClaimTemplate`): made for the pod, and gone with it.
//!
//! Source of the rules: kubernetes `pkg/controller/volume/ephemeral/controller.go`.

use super::runner::Next;
use super::watches::{changes, controlled};
use super::{Context, Controller, Error, Key, pods, replica_set, write};
use crate::client::{Change, Level};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

pub(super) const CONTROLLER: Controller = Controller {
    name: "ephemeral_volume",
    watches: &[
        |context| {
            changes::<Pod>(context, |change| match change {
                Change::Applied { old: None, new } if has_own_volumes(&new) => vec![Key::of(&*new)],
                _ => Vec::new(),
            })
        },
        controlled::<PersistentVolumeClaim, Pod>,
    ],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

fn has_own_volumes(pod: &Pod) -> bool {
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.any(|volume| volume.ephemeral.is_some())
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(pod) = context.caches.of::<Pod>().get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    let Some(mut owner) = pod.controller_owner_ref(&()) else { return Ok(Next::Wait) };
    owner.block_owner_deletion = Some(true);
    if !pods::is_active(&pod) {
        return Ok(Next::Wait);
    }
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let Some(claim) = claim(&pod, volume, &owner) else { continue };
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let found = context.caches.of::<PersistentVolumeClaim>().get(&key.namespace, name);
        match found {
            Some(found) if found.metadata.owner_references.iter().flatten().any(|one| one.uid == owner.uid) => continue,
            Some(_) => {
                let text = format!("PVC {}/{name} was not created for pod {key} (pod is not owner)", key.namespace);
                context.record(CONTROLLER.name, &*pod, Level::Warning, "FailedCreate", text.clone());
                return Err(Error::Invalid(text));
            }
            None => {}
        }
        match write::create(context, &claim).await {
            Err(error) if !replica_set::is_namespace_terminating(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(Next::Wait)
}

/// The claim of a volume, if it is to have one of its own.
fn claim(pod: &Pod, volume: &Volume, owner: &OwnerReference) -> Option<PersistentVolumeClaim> {
    let template = volume.ephemeral.as_ref()?.volume_claim_template.as_ref()?;
    let meta = template.metadata.clone().unwrap_or_default();
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(format!("{pod_name}-{}", volume.name)),
            namespace: pod.metadata.namespace.clone(),
            labels: meta.labels,
            annotations: meta.annotations,
            owner_references: Some(vec![owner.clone()]),
            ..Default::default()
        },
        spec: Some(template.spec.clone()),
        status: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::controllers::testing::{eventually, world};
    use kube::api::DeleteParams;
    use serde_json::json;

    #[tokio::test]
    async fn a_pods_own_volume_gets_a_claim_that_goes_with_it() {
        let world = world().await;
        let template =
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        let volume = json!({"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}});
        let spec = json!({"containers": [{"name": "c", "image": "i"}], "volumes": [volume]});
        world.make::<Pod>(json!({"metadata": {"name": "p"}, "spec": spec})).await;
        eventually(world.door::<PersistentVolumeClaim>(), "p-scratch", |claim| claim.is_some()).await;
        world.door::<Pod>().delete("p", &DeleteParams::default()).await.unwrap();
        eventually(world.door::<PersistentVolumeClaim>(), "p-scratch", |claim| claim.is_none()).await;
    }
}
