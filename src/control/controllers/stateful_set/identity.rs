//! Who a pod of a StatefulSet is: its ordinal, its name, its labels, its claims. Pure.
//!
//! Source of the rules: kubernetes `pkg/controller/statefulset/stateful_set_utils.go`.

use crate::control::controllers::pods;
use crate::control::controllers::revisions::HASH;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

fn own_name(set: &StatefulSet) -> &str {
    set.metadata.name.as_deref().unwrap_or_default()
}

/// The first ordinal.
pub fn start(spec: &StatefulSetSpec) -> i32 {
    spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
}

/// The ordinals that are wanted.
pub fn wanted(spec: &StatefulSetSpec) -> std::ops::Range<i32> {
    let first = start(spec);
    first..first + spec.replicas.unwrap_or(1).max(0)
}

/// The ordinal of a pod, if its name is one of the set's.
pub fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let (parent, number) = pod.metadata.name.as_deref()?.rsplit_once('-')?;
    if parent != own_name(set) {
        return None;
    }
    number.parse().ok()
}

/// The name of the revision that a pod was made of.
pub fn revision(pod: &Pod) -> &str {
    pod.metadata.labels.as_ref().and_then(|labels| labels.get(HASH)).map_or("", String::as_str)
}

/// A pod's name.
pub fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", own_name(set))
}

/// The pod of an ordinal.
pub fn pod(set: &StatefulSet, template: &PodTemplateSpec, owner: &OwnerReference, ordinal: i32, revision: &str) -> Pod {
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let mut pod = pods::from_template(template, namespace, "", owner.clone());
    let name = pod_name(set, ordinal);
    pod.metadata.generate_name = Some(pods::prefix(own_name(set)));
    pod.metadata.labels.get_or_insert_default().insert(HASH.into(), revision.into());
    identify(&mut pod, &name, ordinal);
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    spec.subdomain = set.spec.as_ref().and_then(|spec| spec.service_name.clone()).filter(|name| !name.is_empty());
    let volumes = spec.volumes.get_or_insert_default();
    for claim in claims(set, ordinal) {
        let (name, template) = claim;
        volumes.retain(|volume| volume.name != template);
        volumes.push(Volume {
            name: template,
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: name.metadata.name.unwrap_or_default(),
                ..Default::default()
            }),
            ..Default::default()
        });
    }
    spec.volumes.take_if(|volumes| volumes.is_empty());
    pod
}

/// Gives a pod its name and the labels that say who it is.
fn identify(pod: &mut Pod, name: &str, ordinal: i32) {
    pod.metadata.name = Some(name.to_string());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME.into(), name.to_string());
    labels.insert(POD_INDEX.into(), ordinal.to_string());
}

/// The labels that a pod lacks to be who it is.
pub fn missing_labels(set: &StatefulSet, pod: &Pod) -> Option<serde_json::Value> {
    let ordinal = ordinal(set, pod)?;
    let label = |key: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let name = pod_name(set, ordinal);
    let is_complete = label(POD_NAME) == Some(&name) && label(POD_INDEX) == Some(&ordinal.to_string());
    (!is_complete).then(|| serde_json::json!({POD_NAME: name, POD_INDEX: ordinal.to_string()}))
}

/// The claims of an ordinal, each with the name of its template.
pub fn claims(set: &StatefulSet, ordinal: i32) -> Vec<(PersistentVolumeClaim, String)> {
    let Some(spec) = &set.spec else { return Vec::new() };
    let claim = |template: &PersistentVolumeClaim| {
        let name = template.metadata.name.clone().unwrap_or_default();
        let mut labels = template.metadata.labels.clone().unwrap_or_default();
        labels.extend(spec.selector.match_labels.clone().unwrap_or_default());
        let claim = PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(format!("{name}-{}-{ordinal}", own_name(set))),
                namespace: set.metadata.namespace.clone(),
                labels: Some(labels),
                annotations: template.metadata.annotations.clone(),
                ..Default::default()
            },
            spec: template.spec.clone(),
            status: None,
        };
        (claim, name)
    };
    spec.volume_claim_templates.iter().flatten().map(claim).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::set;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_has_a_name_a_host_and_claims_of_its_own() {
        let mut set = set(json!({"serviceName": "db", "volumeClaimTemplates": [
            {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]}));
        set.metadata.name = Some("db".into());
        let template = set.spec.as_ref().unwrap().template.clone();
        let pod = pod(&set, &template, &OwnerReference::default(), 2, "db-1");
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("db-2"), Some("db")));
        let claim = &spec.volumes.as_ref().unwrap()[0];
        assert_eq!(claim.persistent_volume_claim.as_ref().unwrap().claim_name, "data-db-2");
        assert_eq!(ordinal(&set, &pod), Some(2));
        assert_eq!(missing_labels(&set, &pod), None);
        assert_eq!(revision(&pod), "db-1");
    }

    #[test]
    fn pods_of_other_names_are_nobodys() {
        let mut pod = Pod::default();
        for name in ["other-1", "web", "web-a", "web-1-2"] {
            pod.metadata.name = Some(name.into());
            assert_eq!(ordinal(&set(json!({})), &pod), None, "{name}");
        }
    }
}
