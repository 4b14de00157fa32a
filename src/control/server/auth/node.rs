//! What nodes may do: what the node agent needs, and where it changes something, only what is its own.
//!
//! Source: plugin/pkg/auth/authorizer/node/node_authorizer.go and plugin/pkg/admission/noderestriction.

use super::defaults::{self, roles};
use super::lookup;
use super::rbac::rule::Rule;
use crate::control::server::{Attributes, Identity};
use crate::control::store::Store;
use std::sync::LazyLock;

/// What every node may do, before it is asked whose object it is.
static RULES: LazyLock<Vec<Rule>> =
    LazyLock::new(|| roles::NODE.iter().chain(roles::NODE_READS).map(|text| defaults::rule(text)).collect());

/// The name of the node that a user is, if it is one.
pub fn name(user: &Identity) -> Option<&str> {
    user.name.strip_prefix("system:node:").filter(|_| user.is_in("system:nodes"))
}

/// Whether the user is a node that may do this.
pub fn allows(store: &Store, user: &Identity, wanted: &Attributes) -> bool {
    let Some(node) = name(user) else { return false };
    RULES.iter().any(|rule| rule.allows(wanted)) && is_own(store, node, wanted)
}

/// Whether a change is of the node's own objects. Reading is free, and the name of a new object is not in the request.
fn is_own(store: &Store, node: &str, wanted: &Attributes) -> bool {
    if matches!(wanted.verb.as_str(), "get" | "list" | "watch") || wanted.name.is_empty() {
        return true;
    }
    match (wanted.group.as_str(), wanted.resource.as_str()) {
        ("", "nodes") | ("storage.k8s.io", "csinodes") => wanted.name == node,
        ("coordination.k8s.io", "leases") => wanted.namespace == "kube-node-lease" && wanted.name == node,
        ("", "pods") => match lookup::object(store, "pods", &wanted.namespace, &wanted.name) {
            Some(pod) => pod.text(&["spec", "nodeName"]) == node,
            // The answer will be that there is no such pod.
            None => true,
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(verb: &str, resource: &str, part: &str, name: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let user = Identity::new("system:node:one", &["system:nodes"]);
        let wanted = Attributes {
            verb: verb.into(),
            resource: resource.into(),
            subresource: part.into(),
            name: name.into(),
            ..Attributes::default()
        };
        allows(&store, &user, &wanted)
    }

    #[test]
    fn a_node_writes_its_own_status_only() {
        assert!(may("patch", "nodes", "status", "one"));
        assert!(!may("patch", "nodes", "status", "two"));
        assert!(may("get", "nodes", "", "two"));
    }

    #[test]
    fn a_node_writes_no_configuration() {
        assert!(may("list", "configmaps", "", ""));
        assert!(!may("create", "configmaps", "", ""));
        assert!(!may("delete", "nodes", "", "one"));
    }
}
