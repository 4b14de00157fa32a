//! NodeRestriction: a node changes itself and the pods on it, nothing else.
//!
//! Source: plugin/pkg/admission/noderestriction.

use super::{Api, Change, Object, Plugin, Verb};
use crate::api::Status;
use async_trait::async_trait;
use std::collections::BTreeSet;

/// Labels under this prefix say where a node may not put itself.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Marks a pod that stands for a file of the node.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Where nodes keep their leases.
const LEASES: &str = "kube-node-lease";

pub struct NodeRestriction;

#[async_trait]
impl Plugin for NodeRestriction {
    async fn validate(&self, _: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if !change.user.is_in("system:nodes") {
            return Ok(());
        }
        let Some(node) = change.user.name.strip_prefix("system:node:") else { return Ok(()) };
        match (change.kind.group(), change.kind.plural.as_ref()) {
            ("", "pods") => check_pod(change, node),
            ("", "nodes") => check_node(change, node),
            ("coordination.k8s.io", "leases") => check_lease(change, node),
            _ => Ok(()),
        }
    }
}

fn check_pod(change: &Change<'_>, node: &str) -> Result<(), Status> {
    let own = change.old.unwrap_or(change.object).text(&["spec", "nodeName"]);
    match change.verb {
        Verb::Create => {
            if !change.object.annotations().any(|(key, _)| key == MIRROR) {
                let why =
                    format!("pod does not have \"{MIRROR}\" annotation, node \"{node}\" can only create mirror pods");
                return Err(change.forbidden(why));
            }
            if own != node {
                let why = format!("node \"{node}\" can only create pods with spec.nodeName set to itself");
                return Err(change.forbidden(why));
            }
            Ok(())
        }
        _ if own == node => Ok(()),
        Verb::Update => {
            let why = format!("node \"{node}\" can only update pod status for pods with spec.nodeName set to itself");
            Err(change.forbidden(why))
        }
        Verb::Delete => {
            Err(change.forbidden(format!("node \"{node}\" can only delete pods with spec.nodeName set to itself")))
        }
    }
}

fn check_node(change: &Change<'_>, node: &str) -> Result<(), Status> {
    let name = change.object.name();
    if name != node {
        return Err(change.forbidden(format!("node \"{node}\" is not allowed to modify node \"{name}\"")));
    }
    let forbidden = changed_labels(change.object, change.old);
    if change.verb != Verb::Delete && !forbidden.is_empty() {
        let list = forbidden.into_iter().collect::<Vec<_>>().join(", ");
        let why = match change.verb {
            Verb::Create => format!("node \"{node}\" is not allowed to set the following labels: {list}"),
            _ => format!("is not allowed to modify labels: {list}"),
        };
        return Err(change.forbidden(why));
    }
    let taints = |object: &Object| object.at(&["spec", "taints"]).cloned();
    if change.verb == Verb::Update && change.old.is_some_and(|old| taints(old) != taints(change.object)) {
        return Err(change.forbidden(format!("node \"{node}\" is not allowed to modify taints")));
    }
    Ok(())
}

/// Restricted labels that were set, changed or taken away.
fn changed_labels(new: &Object, old: Option<&Object>) -> BTreeSet<String> {
    let restricted = |object: &Object| -> BTreeSet<(String, String)> {
        let is_restricted = |key: &str| {
            key.split_once('/')
                .is_some_and(|(domain, _)| domain == RESTRICTED || domain.ends_with(&format!(".{RESTRICTED}")))
        };
        let labels = object.labels().filter(|(key, _)| is_restricted(key));
        labels.map(|(key, value)| (key.to_string(), value.to_string())).collect()
    };
    let (new, old) = (restricted(new), old.map(restricted).unwrap_or_default());
    new.symmetric_difference(&old).map(|(key, _)| key.clone()).collect()
}

fn check_lease(change: &Change<'_>, node: &str) -> Result<(), Status> {
    if change.object.namespace() != LEASES {
        return Err(change.forbidden(format!("can only access leases in the \"{LEASES}\" system namespace")));
    }
    if change.object.name() != node {
        return Err(change.forbidden("can only access node lease with the same name as the requesting node"));
    }
    Ok(())
}
