//! `/pods` and `/runningpods`: the pods of this node as the API has them, and as the runtime has them.

use super::answer::{self, Answer};
use super::find;
use crate::node::context::Node;
use crate::runtime::State;
use serde_json::{Value, json};

/// Every pod that is bound to this node.
pub fn all(node: &Node) -> Answer {
    list(node.pods.list().iter().map(|seen| json!(*seen.pod)).collect())
}

/// Every pod that has something running.
pub async fn running(node: &Node) -> Answer {
    let (sandboxes, containers) = match node.runtime.list().await {
        Ok(found) => found,
        Err(error) => return find::failed(error),
    };
    let mut items = Vec::new();
    for sandbox in &sandboxes {
        let running: Vec<Value> = containers
            .iter()
            .filter(|one| one.sandbox == sandbox.id && matches!(one.state, State::Running { .. }))
            .map(|one| json!({"name": one.spec.name, "image": one.spec.image, "resources": {}}))
            .collect();
        if !running.is_empty() {
            let spec = &sandbox.spec;
            items.push(json!({
                "metadata": {"name": spec.name, "namespace": spec.namespace, "uid": spec.uid},
                "spec": {"containers": running}, "status": {},
            }));
        }
    }
    list(items)
}

fn list(items: Vec<Value>) -> Answer {
    answer::json(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
}
