//! What users read when no node takes a pod.
//!
//! Source of the wording: pkg/scheduler/framework/types.go (`FitError`), preemption/preemption.go.

use super::filters::Refusal;
use std::collections::BTreeMap;

/// Why a node was passed over by preemption, when pushing pods out cannot help there.
pub const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
/// Why a node was passed over by preemption, when nobody on it may be pushed out.
pub const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// `0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.`
pub fn refused<'a>(total: usize, refusals: impl IntoIterator<Item = &'a Refusal>) -> String {
    let reasons = refusals.into_iter().flat_map(|refusal| refusal.reasons.iter().map(AsRef::as_ref));
    counted(total, reasons)
}

/// `0/2 nodes are available: 1 reason, 1 other reason.`
pub fn counted<'a>(total: usize, reasons: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    reasons.for_each(|reason| *counts.entry(reason).or_default() += 1);
    // Upstream sorts the texts with their numbers in front.
    let mut parts: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    match parts.is_empty() {
        true => format!("0/{total} nodes are available:"),
        false => format!("0/{total} nodes are available: {}.", parts.join(", ")),
    }
}

/// `0/2 nodes are available: persistentvolumeclaim "x" not found.`
pub fn refused_everywhere(total: usize, why: &Refusal) -> String {
    let reasons: Vec<&str> = why.reasons.iter().map(AsRef::as_ref).collect();
    format!("0/{total} nodes are available: {}.", reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_and_sorted() {
        let cpu = Refusal::curable("Insufficient cpu");
        let both = Refusal { reasons: vec!["Insufficient memory".into(), "Insufficient cpu".into()], is_curable: true };
        let text = refused(2, [&cpu, &both]);
        assert_eq!(text, "0/2 nodes are available: 1 Insufficient memory, 2 Insufficient cpu.");
    }
}
