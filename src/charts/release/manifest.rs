//! Manifests as text: split into documents, ordered as Helm orders kinds, turned into objects with a place.
//!
//! Source of the orders and of splitting: helm/helm `pkg/release/v1/util`.

use super::cluster::{Cluster, Item};
use super::error::Error;
use crate::api::{Object, yaml};
use serde_json::Value;
use std::cmp::Ordering;

/// Kinds in the order in which they are made.
pub const INSTALL_ORDER: &[&str] = &[
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// Kinds in the order in which they are deleted.
pub const UNINSTALL_ORDER: &[&str] = &[
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "APIService",
    "Ingress",
    "IngressClass",
    "Service",
    "CronJob",
    "Job",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "Deployment",
    "ReplicaSet",
    "ReplicationController",
    "Pod",
    "DaemonSet",
    "RoleBindingList",
    "RoleBinding",
    "RoleList",
    "Role",
    "ClusterRoleBindingList",
    "ClusterRoleBinding",
    "ClusterRoleList",
    "ClusterRole",
    "CustomResourceDefinition",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "StorageClass",
    "ConfigMap",
    "SecretList",
    "Secret",
    "ServiceAccount",
    "PodDisruptionBudget",
    "PodSecurityPolicy",
    "LimitRange",
    "ResourceQuota",
    "NetworkPolicy",
    "Namespace",
    "PriorityClass",
];

/// Which kind comes first in an order; kinds that are not in it come last, by their names.
pub fn compare_kinds(a: &str, b: &str, order: &[&str]) -> Ordering {
    let place = |kind: &str| order.iter().position(|known| *known == kind);
    match (place(a), place(b)) {
        (None, None) => a.cmp(b),
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (a, b) => a.cmp(&b),
    }
}

/// The documents of a text, without those that are blank: a line that begins with `---` ends one.
pub fn split(text: &str) -> Vec<&str> {
    let text = text.trim_start();
    let mut documents = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("---") {
            documents.push(&text[start..at]);
            start = at + line.len() - rest.trim_start_matches([' ', '\t']).len();
        }
        at += line.len();
    }
    documents.push(&text[start..]);
    documents.into_iter().map(str::trim_start).filter(|document| !document.trim().is_empty()).collect()
}

/// Every object of a text, lists opened.
pub fn objects(text: &str) -> Result<Vec<Object>, Error> {
    let mut found = Vec::new();
    for document in split(text) {
        let values = yaml::documents(document)
            .map_err(|error| Error::text(format!("error parsing : error converting YAML to JSON: {error}")))?;
        for value in values {
            add(value, &mut found)?;
        }
    }
    Ok(found)
}

fn add(value: Value, found: &mut Vec<Object>) -> Result<(), Error> {
    let Some(object) = Object::from_value(value) else {
        return Err(Error::text("error parsing : a document is no object"));
    };
    if object.kind().ends_with("List")
        && let Some(Value::Array(items)) = object.at(&["items"])
    {
        return items.clone().into_iter().try_for_each(|item| add(item, found));
    }
    found.push(object);
    Ok(())
}

/// The objects of a text with their places; those without a namespace go to the cluster's own.
pub async fn items(cluster: &Cluster, text: &str) -> Result<Vec<Item>, Error> {
    place(cluster, objects(text)?).await
}

/// Objects with their places.
pub async fn place(cluster: &Cluster, objects: Vec<Object>) -> Result<Vec<Item>, Error> {
    let (mut items, mut errors) = (Vec::with_capacity(objects.len()), Vec::new());
    for mut object in objects {
        match (object.kind(), object.api_version()) {
            ("", _) => errors.push("Object 'Kind' is missing in the manifest".to_string()),
            (_, "") => errors.push("Object 'apiVersion' is missing in the manifest".to_string()),
            (kind, version) => match cluster.kind(version, kind).await? {
                None => errors.push(format!(
                    "resource mapping not found for name: {:?} namespace: {:?} from \"\": no matches for kind {kind:?} in version \
                     {version:?}\nensure CRDs are installed first",
                    object.name(),
                    object.namespace(),
                )),
                Some(found) => {
                    let namespace = match (found.namespaced, object.namespace()) {
                        (false, _) => String::new(),
                        (true, "") => cluster.namespace().to_string(),
                        (true, own) => own.to_string(),
                    };
                    if found.namespaced {
                        object.set(&["metadata", "namespace"], namespace.as_str());
                    }
                    items.push(Item { kind: found, namespace, name: object.name().to_string(), object });
                }
            },
        }
    }
    match errors.len() {
        0 => Ok(items),
        1 => Err(Error::Other(errors.remove(0))),
        _ => Err(Error::Other(format!("[{}]", errors.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_where_a_line_begins_with_dashes() {
        let text = "\n---\n# Source: a\na: 1\n--- \nb: |\n  x\n  --- y\n---\n\n---c: 3\n";
        assert_eq!(split(text), ["# Source: a\na: 1\n", "b: |\n  x\n  --- y\n", "c: 3\n"]);
        assert!(split(" \n").is_empty());
    }

    #[test]
    fn kinds_are_ordered_and_unknown_ones_come_last() {
        let mut kinds = ["Zebra", "Deployment", "Ape", "Secret", "Namespace"];
        kinds.sort_by(|a, b| compare_kinds(a, b, INSTALL_ORDER));
        assert_eq!(kinds, ["Namespace", "Secret", "Deployment", "Ape", "Zebra"]);
        kinds.sort_by(|a, b| compare_kinds(a, b, UNINSTALL_ORDER));
        assert_eq!(kinds, ["Deployment", "Secret", "Namespace", "Ape", "Zebra"]);
    }

    #[test]
    fn lists_are_opened() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n";
        let names: Vec<String> = objects(text).unwrap().iter().map(|object| object.name().to_string()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
