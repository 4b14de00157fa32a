//! What is written for a pod: its volumes and its binding, or why it has none, and what preemption does.

use super::NAME;
use super::filters::volumes::{SELECTED_NODE, Step};
use super::pod::PodInfo;
use crate::client::{Client, wait};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};
use std::time::Duration;

/// How long volumes may take until they are bound (upstream's `bindTimeoutSeconds`).
const VOLUMES: Duration = Duration::from_secs(600);

/// Why a pod that had a node was not bound to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused.
    #[error("{0}")]
    Refused(#[from] kube::Error),
    /// The volumes did not come.
    #[error("running PreBind plugin \"VolumeBinding\": binding volumes: {0}")]
    Volumes(String),
}

/// Prepares the pod's volumes and binds it.
pub async fn bind(client: &Client, info: &PodInfo, node: &str, steps: &[Step]) -> Result<(), Error> {
    for step in steps {
        match step {
            Step::Give { claim, volume } => give(client, claim, volume).await?,
            Step::Make { claim } => ask_for(client, claim, node).await?,
        }
    }
    for step in steps {
        let (Step::Give { claim, .. } | Step::Make { claim }) = step;
        wait_for(client, claim, node).await?;
    }
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": info.name(), "namespace": info.namespace(), "uid": info.uid()},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let pods: Api<Pod> = Api::namespaced(client.clone(), info.namespace());
    // The answer is a `Status`.
    pods.create_subresource::<Value, Value>("binding", &info.name(), &params(), &binding).await?;
    Ok(())
}

fn params() -> PostParams {
    PostParams { field_manager: Some("kube-scheduler".into()), ..PostParams::default() }
}

fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some("kube-scheduler".into()), ..PatchParams::default() }
}

/// Keeps a volume for a claim; the binder does the rest.
async fn give(client: &Client, claim: &(String, String), volume: &str) -> Result<(), Error> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &claim.0);
    let uid = claims.get(&claim.1).await?.uid().unwrap_or_default();
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let current = volumes.get(volume).await?;
    let patch = json!({
        "metadata": {
            "resourceVersion": current.resource_version(),
            "annotations": {"pv.kubernetes.io/bound-by-controller": "yes"},
        },
        "spec": {"claimRef": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.0, "name": claim.1, "uid": uid,
        }},
    });
    volumes.patch(volume, &patch_params(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Asks for a volume that can be reached from the node.
async fn ask_for(client: &Client, claim: &(String, String), node: &str) -> Result<(), Error> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &claim.0);
    let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
    claims.patch(&claim.1, &patch_params(), &Patch::Merge(patch)).await?;
    Ok(())
}

async fn wait_for(client: &Client, claim: &(String, String), node: &str) -> Result<(), Error> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &claim.0);
    let mut was_selected = false;
    let bound = wait::until(claims, &claim.1, |claim| {
        let Some(claim) = claim else { return true };
        let selected = claim.annotations().get(SELECTED_NODE).map(String::as_str);
        let was = was_selected;
        was_selected |= selected == Some(node);
        // A provisioner that cannot make the volume there takes the node away again.
        is_bound(claim) || (was && selected != Some(node))
    });
    let answer = tokio::time::timeout(VOLUMES, bound).await.map_err(|_| Error::Volumes("timed out".into()))?;
    match answer {
        Some(claim) if is_bound(&claim) => Ok(()),
        Some(_) => Err(Error::Volumes("provisioning failed for PVC, selected node was removed".into())),
        None => Err(Error::Volumes(format!("persistentvolumeclaim \"{}\" not found", claim.1))),
    }
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

/// Notes on the pod that it is not scheduled, and why; and the node that room is made on for it.
pub async fn refuse(client: &Client, pod: &Pod, reason: &str, why: &str, nominated: Option<&str>) -> kube::Result<()> {
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let known = conditions.iter().find(|condition| condition.type_ == "PodScheduled");
    let is_same = known.is_some_and(|known| {
        known.status == "False" && known.reason.as_deref() == Some(reason) && known.message.as_deref() == Some(why)
    });
    let before = status.nominated_node_name.as_deref().unwrap_or_default();
    if is_same && nominated.is_none_or(|node| node == before) {
        return Ok(());
    }
    let since = known.filter(|known| known.status == "False").and_then(|known| known.last_transition_time.clone());
    let condition = PodCondition {
        type_: "PodScheduled".into(),
        status: "False".into(),
        reason: Some(reason.into()),
        message: Some(why.into()),
        last_transition_time: since.or_else(now),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    };
    let mut patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": with(conditions, condition)}});
    if let Some(node) = nominated {
        patch["status"]["nominatedNodeName"] = if node.is_empty() { Value::Null } else { json!(node) };
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    pods.patch_status(&pod.name_any(), &patch_params(), &Patch::Merge(patch)).await.map(drop)
}

fn now() -> Option<Time> {
    let now = jiff::Timestamp::now();
    // Whole seconds, as the API has them.
    jiff::Timestamp::from_second(now.as_second()).ok().map(Time)
}

fn with(mut conditions: Vec<PodCondition>, condition: PodCondition) -> Vec<PodCondition> {
    match conditions.iter_mut().find(|own| own.type_ == condition.type_) {
        Some(own) => *own = condition,
        None => conditions.push(condition),
    }
    conditions
}

/// Pushes one pod out.
pub async fn evict(client: &Client, victim: &Pod) -> kube::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &victim.namespace().unwrap_or_default());
    let condition = PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("PreemptionByScheduler".into()),
        message: Some(format!("{NAME}: preempting to accommodate a higher priority pod")),
        last_transition_time: now(),
        observed_generation: victim.metadata.generation,
        ..PodCondition::default()
    };
    let newest = pods.get(&victim.name_any()).await?;
    let conditions = newest.status.and_then(|status| status.conditions).unwrap_or_default();
    let patch = json!({"metadata": {"uid": victim.uid()}, "status": {"conditions": with(conditions, condition)}});
    pods.patch_status(&victim.name_any(), &patch_params(), &Patch::Merge(patch)).await?;
    let preconditions = Some(Preconditions { uid: victim.uid(), resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::default() };
    pods.delete(&victim.name_any(), &params).await.map(drop)
}

/// Takes the nomination of a node from a pod that has to look for another one.
pub async fn take_nomination(client: &Client, pod: &Pod) -> kube::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"nominatedNodeName": null}});
    pods.patch_status(&pod.name_any(), &patch_params(), &Patch::Merge(patch)).await.map(drop)
}

/// Whether a failure says that the object is gone, or is another one by now.
pub fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
