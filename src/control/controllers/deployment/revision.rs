//! Revisions of a Deployment: one ReplicaSet per template, its name, labels and annotations.
//!
//! Source of the rules: kubernetes `pkg/controller/deployment/util/deployment_util.go` and `sync.go`.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The label that tells the pods of one template from those of another.
pub const HASH: &str = "pod-template-hash";
/// The number of a revision, on ReplicaSets and on the Deployment.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Earlier numbers of a revision that came back.
pub const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Replicas of the Deployment when its ReplicaSet was last scaled.
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// The same with the surge.
pub const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of the Deployment that its ReplicaSets do not get.
const OWN: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
/// Letters of generated names: no vowels, so that no words come out.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Length that the history annotation may have.
const HISTORY_LENGTH: usize = 2000;

/// An annotation as a number; 0 if there is none.
pub fn number(annotations: Option<&BTreeMap<String, String>>, key: &str) -> Option<i64> {
    annotations?.get(key)?.parse().ok()
}

/// The revision of a ReplicaSet, 0 if it has none.
pub fn revision(set: &ReplicaSet) -> i64 {
    number(set.metadata.annotations.as_ref(), REVISION).unwrap_or(0)
}

/// The hash of a template, in the letters of generated names. `collisions` makes another of the same template.
pub fn hash(template: &PodTemplateSpec, collisions: i32) -> String {
    // FNV-1a with 32 bits, as upstream; over the canonical JSON instead of Go's dump of the struct.
    let text = serde_json::to_vec(template).unwrap_or_default();
    let collided = if collisions > 0 { collisions.to_le_bytes().to_vec() } else { Vec::new() };
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619);
    let hash = text.iter().chain(&collided).fold(2_166_136_261, step);
    hash.to_string().bytes().map(|digit| LETTERS[usize::from(digit) % LETTERS.len()] as char).collect()
}

/// Whether two templates make the same pods.
fn same_template(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let Some(mut theirs) = set.spec.as_ref().and_then(|spec| spec.template.clone()) else { return false };
    let mut ours = template.clone();
    for template in [&mut theirs, &mut ours] {
        let meta = template.metadata.get_or_insert_default();
        let labels = meta.labels.get_or_insert_default();
        labels.remove(HASH);
        meta.creation_timestamp = None;
    }
    theirs == ours
}

/// The ReplicaSet of the Deployment's present template: the oldest, if there are several.
pub fn find_new<'a>(deployment: &Deployment, sets: &'a [Arc<ReplicaSet>]) -> Option<&'a Arc<ReplicaSet>> {
    let template = &deployment.spec.as_ref()?.template;
    let mut oldest: Vec<&Arc<ReplicaSet>> = sets.iter().collect();
    oldest.sort_by_key(|set| (set.metadata.creation_timestamp.clone().map(|time| time.0), set.metadata.name.clone()));
    let same = oldest.iter().find(|set| same_template(set, template));
    // Defaults may have been filled in on one side only; the name says which template it was made of.
    let expected = set_name(deployment, &template_hash(deployment));
    let named = || oldest.iter().find(|set| set.metadata.name.as_deref() == Some(&expected));
    same.or_else(named).copied()
}

/// The hash of the Deployment's present template.
pub fn template_hash(deployment: &Deployment) -> String {
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let spec = deployment.spec.clone().unwrap_or_default();
    hash(&spec.template, collisions)
}

fn set_name(deployment: &Deployment, hash: &str) -> String {
    format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or_default())
}

/// The ReplicaSet of the present template, not yet created.
pub fn new_set(deployment: &Deployment, owner: OwnerReference, replicas: i32, revision: i64, max: i32) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let hash = template_hash(deployment);
    let mut template = spec.template;
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH.into(), hash.clone());
    let mut selector = spec.selector;
    selector.match_labels.get_or_insert_default().insert(HASH.into(), hash.clone());
    let mut annotations = inherited(deployment);
    annotations.insert(REVISION.into(), revision.to_string());
    annotations.insert(DESIRED.into(), spec.replicas.unwrap_or(1).to_string());
    annotations.insert(MAX.into(), max.to_string());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(set_name(deployment, &hash)),
            namespace: deployment.metadata.namespace.clone(),
            labels: template.metadata.as_ref().and_then(|meta| meta.labels.clone()),
            annotations: Some(annotations),
            owner_references: Some(vec![owner]),
            ..Default::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    }
}

fn inherited(deployment: &Deployment) -> BTreeMap<String, String> {
    let all = deployment.metadata.annotations.iter().flatten();
    all.filter(|(key, _)| !OWN.contains(&key.as_str())).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Annotations that the ReplicaSet of the present template lacks: those of the Deployment, and the newest revision.
pub fn missing_annotations(deployment: &Deployment, set: &ReplicaSet, newest: i64) -> BTreeMap<String, String> {
    let present = set.metadata.annotations.clone().unwrap_or_default();
    let mut wanted = inherited(deployment);
    let old = revision(set);
    if old < newest {
        wanted.insert(REVISION.into(), newest.to_string());
        // The template came back: it keeps its earlier numbers.
        if old > 0 {
            let earlier = present.get(HISTORY).filter(|history| !history.is_empty());
            let mut history: Vec<String> =
                earlier.map(|text| text.split(',').map(String::from).collect()).unwrap_or_default();
            history.push(old.to_string());
            while history.join(",").len() > HISTORY_LENGTH {
                history.remove(0);
            }
            wanted.insert(HISTORY.into(), history.join(","));
        }
    }
    wanted.retain(|key, value| present.get(key) != Some(value));
    wanted
}

#[cfg(test)]
mod tests {
    use super::super::tests::{deployment, set_of};
    use super::*;

    #[test]
    fn the_hash_is_of_the_template_and_the_collisions() {
        let mut deployment = deployment(3);
        let first = template_hash(&deployment);
        assert!(first.bytes().all(|letter| LETTERS.contains(&letter)));
        deployment.status.get_or_insert_default().collision_count = Some(1);
        assert_ne!(first, template_hash(&deployment));
    }

    #[test]
    fn the_set_of_the_present_template_is_found_by_its_template() {
        let deployment = deployment(3);
        let mut other = set_of(&deployment, "old", 1, 3, 3);
        let meta = other.spec.as_mut().unwrap().template.as_mut().unwrap().metadata.as_mut().unwrap();
        meta.labels.as_mut().unwrap().insert("version".into(), "old".into());
        let sets = [other, set_of(&deployment, "new", 2, 0, 0)].map(Arc::new);
        assert_eq!(find_new(&deployment, &sets).unwrap().metadata.name.as_deref(), Some("new"));
    }

    #[test]
    fn a_template_that_comes_back_gets_a_new_number_and_keeps_its_history() {
        let mut deployment = deployment(3);
        let set = set_of(&deployment, "web-1", 1, 3, 3);
        deployment.metadata.annotations = Some([("kubernetes.io/change-cause".to_string(), "undo".to_string())].into());
        let missing = missing_annotations(&deployment, &set, 3);
        assert_eq!(missing[REVISION], "3");
        assert_eq!(missing[HISTORY], "1");
        assert_eq!(missing["kubernetes.io/change-cause"], "undo");
    }
}
