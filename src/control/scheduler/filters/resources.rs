//! Whether what a pod asks for is free.

use super::{Question, Refusal, Verdict};
use crate::control::scheduler::world::NodeInfo;

/// Every resource that the pod asks for, and room for one more pod.
pub fn fit(question: &Question<'_>, node: &NodeInfo) -> Verdict {
    let mut reasons = Vec::new();
    let mut is_curable = true;
    if node.pods.len() as i64 + 1 > node.offered.get("pods") {
        reasons.push("Too many pods".into());
    }
    for (name, asked) in question.info.asked.iter().filter(|(_, asked)| *asked > 0) {
        let offered = node.offered.get(name);
        if asked > offered - node.asked.get(name) {
            reasons.push(format!("Insufficient {name}").into());
            is_curable &= asked <= offered;
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(Refusal { reasons, is_curable }) }
}
