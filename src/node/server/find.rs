//! From the names in a path to pods and to what the runtime has of them.

use super::answer::{self, Answer};
use crate::node::context::Node;
use crate::node::mirrors;
use crate::node::pod::parts;
use crate::node::pods::{Attempt, Seen};
use crate::runtime::{self, State};
use http::StatusCode;
use std::sync::Arc;

/// The pod of this name on this node, if it is one in which something can run; with a uid, only if it is that one.
pub fn pod(node: &Node, namespace: &str, name: &str, uid: &str) -> Result<Arc<Seen>, Answer> {
    let found = node.pods.get(namespace, name).filter(|seen| uid.is_empty() || parts::uid(&seen.pod) == uid);
    let found = found.ok_or_else(|| answer::text(StatusCode::NOT_FOUND, "pod does not exist"))?;
    if mirrors::is_part(&found.pod) && found.sandbox.is_none() {
        // Without a colon: clients take a text that looks like YAML for an object, and print nothing of it.
        let why = format!(
            "pod \"{name}\" stands for a part of the coracle server and has no container; nothing can be run in it, \
             attached to or forwarded to it (its log can be read)"
        );
        return Err(answer::text(StatusCode::BAD_REQUEST, why));
    }
    Ok(found)
}

/// The running attempt of a container.
pub fn running(node: &Node, place: [&str; 4]) -> Result<Attempt, Answer> {
    let [namespace, name, uid, container] = place;
    let seen = pod(node, namespace, name, uid)?;
    let latest = seen.latest(container).filter(|attempt| matches!(attempt.state, State::Running { .. }));
    let missing = || {
        let why = format!("container not found (\"{container}\")");
        answer::text(StatusCode::INTERNAL_SERVER_ERROR, why)
    };
    latest.cloned().ok_or_else(missing)
}

/// The runtime does not answer.
pub fn failed(error: runtime::Error) -> Answer {
    answer::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
