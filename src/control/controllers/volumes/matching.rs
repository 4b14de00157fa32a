//! Which volume suits a claim. Pure.
//!
//! Source of the rules: kubernetes `staging/src/k8s.io/component-helpers/storage/volume/pv_helpers.go`.

use super::{claim_ref, claim_spec, class_of, is_for, phase, volume_spec};
use crate::api::quantity::Quantity;
use crate::control::controllers::pods;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An amount of storage; nothing asks for nothing.
pub fn storage(amounts: Option<&BTreeMap<String, Text>>) -> Quantity {
    amounts.and_then(|all| all.get("storage")).and_then(|text| text.0.parse().ok()).unwrap_or(Quantity::whole(0))
}

/// What a claim asks for.
pub fn requested(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    storage(resources.and_then(|resources| resources.requests.as_ref()))
}

/// How large a volume is.
pub fn capacity(volume: &PersistentVolume) -> Quantity {
    storage(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()))
}

fn mode(mode: Option<String>) -> String {
    mode.unwrap_or_else(|| "Filesystem".into())
}

/// Why a volume that a claim names does not suit it.
pub fn mismatch(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<String> {
    let (has, wants) = (volume_spec(volume), claim_spec(claim));
    if volume.metadata.deletion_timestamp.is_some() {
        return Some("volume is being deleted".into());
    }
    if capacity(volume) < requested(claim) {
        return Some("requested PV is too small".into());
    }
    if has.storage_class_name.unwrap_or_default() != class_of(claim) {
        return Some("storageClassName does not match".into());
    }
    if mode(has.volume_mode) != mode(wants.volume_mode) {
        return Some("incompatible volumeMode".into());
    }
    let modes = has.access_modes.unwrap_or_default();
    let is_covered = wants.access_modes.iter().flatten().all(|mode| modes.contains(mode));
    (!is_covered).then(|| "incompatible accessMode".into())
}

/// The volume for a claim: one kept for it, else the smallest that suits it.
pub fn best(volumes: &[Arc<PersistentVolume>], claim: &PersistentVolumeClaim) -> Option<Arc<PersistentVolume>> {
    let suits = |volume: &&Arc<PersistentVolume>| mismatch(volume, claim).is_none();
    let is_kept = |volume: &&Arc<PersistentVolume>| claim_ref(volume).is_some_and(|reference| is_for(reference, claim));
    if let Some(kept) = volumes.iter().filter(suits).find(is_kept) {
        return Some(kept.clone());
    }
    let wanted = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let selector = wanted.map(|selector| pods::selector(selector).ok());
    let is_selected = |volume: &Arc<PersistentVolume>| match &selector {
        None => true,
        Some(selector) => selector.as_ref().is_some_and(|one| pods::selects(one, &volume.metadata.labels)),
    };
    let is_free = |volume: &Arc<PersistentVolume>| claim_ref(volume).is_none() && phase(volume) == "Available";
    let free = volumes.iter().filter(suits).filter(|volume| is_free(volume) && is_selected(volume));
    free.min_by_key(|volume| (capacity(volume), volume.metadata.name.clone())).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn volume(name: &str, size: &str, more: Value) -> Arc<PersistentVolume> {
        let mut spec = json!({"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let value = json!({"metadata": {"name": name, "labels": {"disk": name}}, "spec": spec, "status": {"phase": "Available"}});
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn claim(more: Value) -> PersistentVolumeClaim {
        let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({"metadata": {"name": "c", "namespace": "one", "uid": "u"}, "spec": spec}))
            .unwrap()
    }

    fn chosen(volumes: &[Arc<PersistentVolume>], claim: &PersistentVolumeClaim) -> Option<String> {
        best(volumes, claim).and_then(|volume| volume.metadata.name.clone())
    }

    #[test]
    fn the_smallest_volume_that_is_large_enough_is_taken() {
        let all = [volume("big", "9Gi", json!({})), volume("small", "1Gi", json!({})), volume("fit", "3Gi", json!({}))];
        assert_eq!(chosen(&all, &claim(json!({}))).as_deref(), Some("fit"));
        assert_eq!(chosen(&all, &claim(json!({"selector": {"matchLabels": {"disk": "big"}}}))).as_deref(), Some("big"));
        assert_eq!(chosen(&all, &claim(json!({"storageClassName": "fast"}))), None);
        assert_eq!(chosen(&all, &claim(json!({"accessModes": ["ReadWriteMany"]}))), None);
        assert_eq!(chosen(&all, &claim(json!({"volumeMode": "Block"}))), None);
    }

    #[test]
    fn a_volume_kept_for_a_claim_is_its_own_and_nobody_elses() {
        let kept = |name: &str| json!({"claimRef": {"name": name, "namespace": "one"}});
        let all = [volume("fit", "2Gi", json!({})), volume("mine", "5Gi", kept("c"))];
        assert_eq!(chosen(&all, &claim(json!({}))).as_deref(), Some("mine"));
        assert_eq!(chosen(&[volume("theirs", "5Gi", kept("d"))], &claim(json!({}))), None);
    }
}
