//! Ports of the node that pods take.

use super::{Question, Refusal, Verdict};
use crate::control::scheduler::pod::HostPort;
use crate::control::scheduler::world::NodeInfo;

const WHY: &str = "node(s) didn't have free ports for the requested pod ports";

/// Neither a pod of the node nor the node's agent has a port that the pod wants.
pub fn are_free(question: &Question<'_>, node: &NodeInfo) -> Verdict {
    let wanted = &question.info.ports;
    if wanted.is_empty() {
        return Ok(());
    }
    let meets = |taken: &HostPort| wanted.iter().any(|wanted| wanted.meets(taken));
    if agent(node).is_some_and(|port| meets(&port)) {
        return Err(Refusal::hopeless(WHY));
    }
    if node.pods.values().flat_map(|pod| &pod.ports).any(meets) {
        return Err(Refusal::curable(WHY));
    }
    Ok(())
}

/// Where the node's agent listens.
fn agent(node: &NodeInfo) -> Option<HostPort> {
    let endpoints = node.node.status.as_ref()?.daemon_endpoints.as_ref()?;
    let port = endpoints.kubelet_endpoint.as_ref()?.port;
    Some(HostPort { address: "0.0.0.0".into(), protocol: "TCP".into(), port })
}
