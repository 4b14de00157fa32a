//! Topology spread: how unevenly pods that are alike may lie over zones or nodes.
//!
//! Source: pkg/scheduler/framework/plugins/podtopologyspread.

use super::{Question, Refusal, Verdict, node};
use crate::control::scheduler::labels::{self, Labels};
use crate::control::scheduler::pod::PodInfo;
use crate::control::scheduler::world::{NodeInfo, World};
use k8s_openapi::api::core::v1::{Taint, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// Pods that count for one constraint, by the value of its topology key.
#[derive(Debug)]
pub struct Counted {
    constraint: TopologySpreadConstraint,
    selector: Option<LabelSelector>,
    by_value: BTreeMap<String, i32>,
}

/// All hard constraints of a pod.
pub type Counts = Vec<Counted>;

/// Counts for the hard constraints of a pod.
pub fn count(info: &PodInfo, world: &World) -> Counts {
    constraints(info, "DoNotSchedule").map(|constraint| count_one(info, world, constraint)).collect()
}

/// The pod's constraints of one strength.
pub fn constraints<'a>(info: &'a PodInfo, strength: &'a str) -> impl Iterator<Item = &'a TopologySpreadConstraint> {
    let all = info.pod.spec.iter().flat_map(|spec| spec.topology_spread_constraints.iter().flatten());
    all.filter(move |constraint| constraint.when_unsatisfiable == strength)
}

/// Counts for one constraint over all nodes that it looks at.
fn count_one(info: &PodInfo, world: &World, constraint: &TopologySpreadConstraint) -> Counted {
    let selector = narrowed(constraint, info.pod.metadata.labels.as_ref());
    let mut by_value = BTreeMap::new();
    for node in world.nodes.values() {
        let Some(value) = node.label(&constraint.topology_key) else { continue };
        if counts_node(info, constraint, node) {
            *by_value.entry(value.to_string()).or_default() += alike(info, selector.as_ref(), node);
        }
    }
    Counted { constraint: constraint.clone(), selector, by_value }
}

/// How many pods of a node are selected.
fn alike(info: &PodInfo, selector: Option<&LabelSelector>, node: &NodeInfo) -> i32 {
    let pods = node.pods.values().filter(|pod| {
        pod.namespace() == info.namespace()
            && pod.pod.metadata.deletion_timestamp.is_none()
            && labels::selects(selector, pod.pod.metadata.labels.as_ref())
    });
    pods.count() as i32
}

/// The selector with the values of `matchLabelKeys` that the pod itself has.
fn narrowed(constraint: &TopologySpreadConstraint, own: Option<&Labels>) -> Option<LabelSelector> {
    let mut selector = constraint.label_selector.clone();
    for key in constraint.match_label_keys.iter().flatten() {
        if let Some(value) = own.and_then(|labels| labels.get(key)) {
            let selector = selector.get_or_insert_default();
            selector.match_labels.get_or_insert_default().insert(key.clone(), value.clone());
        }
    }
    selector
}

/// Whether a constraint looks at a node: by default at those that the pod's node selector takes, tainted or not.
fn counts_node(info: &PodInfo, constraint: &TopologySpreadConstraint, node: &NodeInfo) -> bool {
    let question = Question { info, world: &World::default(), spread: Vec::new(), affinity: Default::default() };
    let hard = |taint: &Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    let by_affinity = constraint.node_affinity_policy.as_deref().unwrap_or("Honor") == "Honor";
    let by_taints = constraint.node_taints_policy.as_deref() == Some("Honor");
    (!by_affinity || node::is_selected(&question, node).is_ok())
        && (!by_taints || node::untolerated(&question, node, hard).next().is_none())
}

/// Placing the pod here keeps every constraint.
pub fn is_even(question: &Question<'_>, node: &NodeInfo) -> Verdict {
    for counted in &question.spread {
        let Some(value) = node.label(&counted.constraint.topology_key) else {
            return Err(Refusal::hopeless(
                "node(s) didn't match pod topology spread constraints (missing required label)",
            ));
        };
        let domains = counted.by_value.len() as i32;
        let is_scarce = counted.constraint.min_domains.is_some_and(|least| domains < least);
        let fewest = if is_scarce { 0 } else { counted.by_value.values().min().copied().unwrap_or(0) };
        let own = labels::selects(counted.selector.as_ref(), question.info.pod.metadata.labels.as_ref());
        let here = counted.by_value.get(value).copied().unwrap_or(0) + i32::from(own);
        if here - fewest > counted.constraint.max_skew {
            return Err(Refusal::curable("node(s) didn't match pod topology spread constraints"));
        }
    }
    Ok(())
}

/// How many pods that are alike lie where a node lies, over all soft constraints: fewer is better.
pub fn crowd(info: &PodInfo, world: &World, node: &NodeInfo) -> i64 {
    let of = |constraint: &TopologySpreadConstraint| {
        let counted = count_one(info, world, constraint);
        let value = node.label(&constraint.topology_key)?;
        Some(i64::from(counted.by_value.get(value).copied().unwrap_or(0)))
    };
    constraints(info, "ScheduleAnyway").filter_map(of).sum()
}
