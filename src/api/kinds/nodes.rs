//! Nodes and runtime classes.

use super::edit::{fill, object};
use super::entry::columns::{AGE, NAME};
use super::pod::PROXY;
use super::{Column, Kind, NO_RULES, Object, Rules, old, print};
use crate::api::validate;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(super) const NODE: Kind = kind!(
    Cluster,
    "" / "v1",
    "io.k8s.api.core",
    "Node",
    "nodes",
    "node",
    short: names!["no"],
    status: true,
    others: subresources!["proxy": "NodeProxyOptions" PROXY],
    columns: Cow::Borrowed(NODE_COLUMNS),
    rules: Rules {
        validate: validate::misc::node,
        validate_update: validate::misc::update_node,
        default: default_node,
        fields: |node| vec![("spec.unschedulable", print::flag(node, &["spec", "unschedulable"]).to_string())],
        ..NO_RULES
    },
);

pub(super) const RUNTIME_CLASS: Kind = kind!(
    Cluster,
    "node.k8s.io" / "v1",
    "io.k8s.api.node",
    "RuntimeClass",
    "runtimeclasses",
    "runtimeclass",
    served: old::RUNTIME_CLASS,
    columns: Cow::Borrowed(RUNTIME_CLASS_COLUMNS),
    rules: Rules {
        validate: validate::misc::runtime_class,
        validate_update: validate::misc::update_runtime_class,
        ..NO_RULES
    },
);

const NODE_COLUMNS: &[Column] = &[
    NAME,
    print::column("Status", "string", "Whether it is ready, and whether pods may come.", |node, _| status(node).into()),
    print::column("Roles", "string", "What it is for.", |node, _| roles(node)),
    AGE,
    print::column("Version", "string", "Version of its agent.", |node, _| {
        print::text(node, &["status", "nodeInfo", "kubeletVersion"])
    }),
    print::wide("Internal-IP", "string", "Address inside the cluster.", |node, _| address(node, "InternalIP")),
    print::wide("External-IP", "string", "Address from outside.", |node, _| address(node, "ExternalIP")),
    print::wide("OS-Image", "string", "Operating system.", |node, _| info(node, "osImage")),
    print::wide("Kernel-Version", "string", "Kernel.", |node, _| info(node, "kernelVersion")),
    print::wide("Container-Runtime", "string", "What runs its containers.", |node, _| {
        info(node, "containerRuntimeVersion")
    }),
];

const RUNTIME_CLASS_COLUMNS: &[Column] = &[
    NAME,
    print::column("Handler", "string", "What runs containers of this class.", |class, _| {
        print::text(class, &["handler"])
    }),
    AGE,
];

/// What a node can give is what it has, unless it says less.
fn default_node(node: &mut Object) {
    let Some(status) = node.0.get_mut("status").and_then(Value::as_object_mut) else { return };
    if let (Some(Value::Object(capacity)), None) = (status.get("capacity").cloned(), status.get("allocatable")) {
        fill(status, "allocatable", &capacity);
    }
    object(&mut node.0, "spec");
}

fn status(node: &Object) -> String {
    let ready = print::condition(node, "Ready").map(|condition| print::field(condition, "status") == "True");
    let mut words = vec![match ready {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    }];
    if print::flag(node, &["spec", "unschedulable"]) {
        words.push("SchedulingDisabled");
    }
    words.join(",")
}

fn roles(node: &Object) -> Value {
    let mut roles = BTreeSet::new();
    for (key, value) in node.labels() {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => _ = roles.insert(role),
            _ if key == "kubernetes.io/role" && !value.is_empty() => _ = roles.insert(value),
            _ => {}
        }
    }
    print::or_none(roles.into_iter().collect::<Vec<_>>().join(","))
}

fn address(node: &Object, kind: &str) -> Value {
    let found = print::list(node, &["status", "addresses"]).iter().find(|address| address["type"] == kind);
    print::or_none(found.map_or("", |address| print::field(address, "address")))
}

fn info(node: &Object, name: &str) -> Value {
    match node.text(&["status", "nodeInfo", name]) {
        "" => "<unknown>".into(),
        text => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_shows_its_state_and_roles() {
        let node = Object::from_value(json!({
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "a"}},
            "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}))
        .unwrap();
        assert_eq!(status(&node), "Ready,SchedulingDisabled");
        assert_eq!(roles(&node), "a,control-plane");
    }
}
