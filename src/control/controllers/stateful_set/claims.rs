//! The claims of a StatefulSet's pods: made before the pod, kept or deleted afterwards as the set asks.
//!
//! Source of the rules: kubernetes `pkg/controller/statefulset/stateful_pod_control.go`.

use super::identity::{claims, ordinal, wanted};
use super::{CONTROLLER, plain};
use crate::client::Level;
use crate::control::controllers::{Context, Error, write};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use serde_json::json;
use std::sync::Arc;

/// Makes the claims of an ordinal that are missing.
pub async fn ensure(context: &Context, set: &StatefulSet, owner: &OwnerReference, number: i32) -> Result<(), Error> {
    let cache = context.caches.of::<PersistentVolumeClaim>();
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    for (mut claim, _) in claims(set, number) {
        let name = claim.metadata.name.clone().unwrap_or_default();
        if cache.get(namespace, &name).is_some() {
            continue;
        }
        if deletes(set, "whenDeleted") {
            claim.metadata.owner_references = Some(vec![owner.clone()]);
        }
        let set_name = set.metadata.name.as_deref().unwrap_or_default();
        let pod = format!("{set_name}-{number}");
        match write::create(context, &claim).await {
            Ok(_) => {
                let text = format!("create Claim {name} Pod {pod} in StatefulSet {set_name} success");
                context.record(CONTROLLER.name, set, Level::Normal, "SuccessfulCreate", text);
            }
            Err(error) if write::is_conflict(&error) => {}
            Err(error) => {
                let text = format!(
                    "create Claim {name} for Pod {pod} in StatefulSet {set_name} failed error: {}",
                    plain(&error)
                );
                context.record(CONTROLLER.name, set, Level::Warning, "FailedCreate", text);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Whether claims are deleted `whenDeleted` or `whenScaled`.
fn deletes(set: &StatefulSet, when: &str) -> bool {
    let policy = set.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
    let chosen = policy.and_then(|policy| match when {
        "whenDeleted" => policy.when_deleted.as_deref(),
        _ => policy.when_scaled.as_deref(),
    });
    chosen == Some("Delete")
}

/// Makes the owners of a pod's claims what the retention policy asks for: the pod takes them along when it is one too many,
/// the set when it goes.
pub async fn retain(context: &Context, set: &StatefulSet, owner: &OwnerReference, pod: &Arc<Pod>) -> Result<(), Error> {
    let Some(number) = ordinal(set, pod) else { return Ok(()) };
    let is_surplus = set.spec.as_ref().is_some_and(|spec| !wanted(spec).contains(&number));
    let mut pod_owner = pod.controller_owner_ref(&());
    if let Some(owner) = &mut pod_owner {
        owner.block_owner_deletion = Some(true);
    }
    let by_pod = is_surplus && deletes(set, "whenScaled");
    let by_set = deletes(set, "whenDeleted") && !by_pod;
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    for (claim, _) in claims(set, number) {
        let name = claim.metadata.name.unwrap_or_default();
        let Some(claim) = context.caches.of::<PersistentVolumeClaim>().get(namespace, &name) else { continue };
        let before = claim.metadata.owner_references.clone().unwrap_or_default();
        let is_own = |one: &OwnerReference| {
            one.uid == owner.uid || (one.kind == "Pod" && Some(&one.name) == pod.metadata.name.as_ref())
        };
        let mut after: Vec<OwnerReference> = before.iter().filter(|one| !is_own(one)).cloned().collect();
        let has_other = after.iter().any(|one| one.controller == Some(true));
        after.extend(by_set.then(|| owner.clone()).filter(|_| !has_other));
        after.extend(pod_owner.clone().filter(|_| by_pod && !has_other));
        let uids = |all: &[OwnerReference]| all.iter().map(|one| one.uid.clone()).collect::<Vec<_>>();
        if uids(&before) != uids(&after) {
            let patch = json!({"metadata": {"uid": claim.metadata.uid, "ownerReferences": after}});
            write::merge(context, &*claim, patch).await?;
        }
    }
    Ok(())
}
