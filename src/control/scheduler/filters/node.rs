//! What a pod says of nodes and nodes of pods: name, labels, taints, whether a node takes pods at all.

use super::{Question, Refusal, Verdict};
use crate::control::scheduler::labels;
use crate::control::scheduler::pod;
use crate::control::scheduler::world::NodeInfo;
use k8s_openapi::api::core::v1::{Taint, Toleration};

/// The taint that `spec.unschedulable` stands for.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// A node that was cordoned takes only pods that tolerate that.
pub fn is_open(question: &Question<'_>, node: &NodeInfo) -> Verdict {
    let is_closed = node.node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    let taint = Taint { key: UNSCHEDULABLE.into(), effect: "NoSchedule".into(), ..Taint::default() };
    if is_closed && !tolerations(question).any(|toleration| tolerates(toleration, &taint)) {
        return Err(Refusal::hopeless("node(s) were unschedulable"));
    }
    Ok(())
}

/// A pod that names its node is for that node.
pub fn is_named(question: &Question<'_>, node: &NodeInfo) -> Verdict {
    match pod::node_of(&question.info.pod) {
        "" => Ok(()),
        wanted if wanted == node.name() => Ok(()),
        _ => Err(Refusal::hopeless("node(s) didn't match the requested node name")),
    }
}

/// Every taint that keeps pods away is tolerated.
pub fn is_tolerated(question: &Question<'_>, node: &NodeInfo) -> Verdict {
    let hard = |taint: &Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    match untolerated(question, node, hard).next() {
        None => Ok(()),
        Some(taint) => {
            let value = taint.value.as_deref().unwrap_or_default();
            Err(Refusal::hopeless(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key)))
        }
    }
}

/// Node selector and required node affinity.
pub fn is_selected(question: &Question<'_>, node: &NodeInfo) -> Verdict {
    let Some(spec) = question.info.pod.spec.as_ref() else { return Ok(()) };
    let required = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = required.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let fits = labels::has_all(spec.node_selector.as_ref(), node.node.metadata.labels.as_ref())
        && required.is_none_or(|selector| labels::takes_node(selector, &node.node));
    if fits { Ok(()) } else { Err(Refusal::hopeless("node(s) didn't match Pod's node affinity/selector")) }
}

fn tolerations<'a>(question: &'a Question<'_>) -> impl Iterator<Item = &'a Toleration> {
    question.info.pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten())
}

/// Taints of a node, of those that `counts` picks, that the pod does not tolerate.
pub fn untolerated<'a>(
    question: &'a Question<'_>,
    node: &'a NodeInfo,
    counts: impl Fn(&Taint) -> bool + 'a,
) -> impl Iterator<Item = &'a Taint> {
    let taints = node.node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.filter(move |taint| counts(taint) && !tolerations(question).any(|one| tolerates(one, taint)))
}

/// Whether a toleration is about a taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let same_or_any =
        |own: &Option<String>, other: &str| own.as_deref().is_none_or(|own| own.is_empty() || own == other);
    if !same_or_any(&toleration.effect, &taint.effect) || !same_or_any(&toleration.key, &taint.key) {
        return false;
    }
    let (own, other) = (toleration.value.as_deref().unwrap_or_default(), taint.value.as_deref().unwrap_or_default());
    let number = |text: &str| text.parse::<i64>().ok();
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => own == other,
        "Exists" => true,
        "Lt" => number(own).zip(number(other)).is_some_and(|(own, other)| other < own),
        "Gt" => number(own).zip(number(other)).is_some_and(|(own, other)| other > own),
        _ => false,
    }
}
