//! Ports of the node that pods take.

use super::{Question, Refusal, Verdict};
use crate::control::scheduler::world::NodeInfo;

/// No pod of the node has a port that the pod wants.
pub fn are_free(question: &Question<'_>, node: &NodeInfo) -> Verdict {
    let wanted = &question.info.ports;
    if wanted.is_empty() {
        return Ok(());
    }
    let mut taken = node.pods.values().flat_map(|pod| &pod.ports);
    if taken.any(|taken| wanted.iter().any(|wanted| wanted.meets(taken))) {
        return Err(Refusal::curable("node(s) didn't have free ports for the requested pod ports"));
    }
    Ok(())
}
