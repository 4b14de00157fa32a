//! Pod affinity and anti-affinity.
//!
//! Source: pkg/scheduler/framework/plugins/interpodaffinity.

use super::{Question, Refusal, Verdict};
use crate::control::scheduler::labels;
use crate::control::scheduler::pod::PodInfo;
use crate::control::scheduler::world::{NodeInfo, World};
use k8s_openapi::api::core::v1::{PodAffinityTerm, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use std::collections::{HashMap, HashSet};

/// A place: topology key and value.
type Spot = (String, String);

/// Where pods lie that matter to the pod.
#[derive(Debug, Default)]
pub struct Counts {
    /// For each term of the pod's affinity: spots with a pod that it wants to be near to.
    near: Vec<HashSet<Spot>>,
    /// Whether the pod is one that all its affinity terms select, and nobody else is.
    is_first: bool,
    /// For each term of its anti-affinity: spots with a pod that it wants to be far from.
    far: Vec<HashSet<Spot>>,
    /// Spots from which pods that are there already keep it.
    kept: HashSet<Spot>,
}

/// Required terms of nearness.
fn near(info: &PodInfo) -> &[PodAffinityTerm] {
    let affinity = info.affinity().and_then(|affinity| affinity.pod_affinity.as_ref());
    affinity.and_then(|one| one.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default()
}

/// Required terms of distance.
fn far(info: &PodInfo) -> &[PodAffinityTerm] {
    let affinity = info.affinity().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    affinity.and_then(|one| one.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default()
}

/// Looks over all pods once; pods without any term on either side cost one pass over those that have terms.
pub fn count(info: &PodInfo, world: &World) -> Counts {
    let (near, far) = (near(info), far(info));
    let mut counts =
        Counts { near: vec![HashSet::new(); near.len()], far: vec![HashSet::new(); far.len()], ..Counts::default() };
    for node in world.nodes.values() {
        for pod in node.pods.values() {
            note(&mut counts.near, near, info, pod, node, world);
            note(&mut counts.far, far, info, pod, node, world);
            for term in self::far(pod).iter().filter(|term| selects(term, pod, info, world)) {
                counts.kept.extend(spot(term, node));
            }
        }
    }
    let nobody = counts.near.iter().all(HashSet::is_empty);
    counts.is_first = nobody && !near.is_empty() && near.iter().all(|term| selects(term, info, info, world));
    counts
}

fn note(
    spots: &mut [HashSet<Spot>],
    terms: &[PodAffinityTerm],
    owner: &PodInfo,
    pod: &PodInfo,
    node: &NodeInfo,
    world: &World,
) {
    for (spots, term) in spots.iter_mut().zip(terms) {
        if selects(term, owner, pod, world) {
            spots.extend(spot(term, node));
        }
    }
}

fn spot(term: &PodAffinityTerm, node: &NodeInfo) -> Option<Spot> {
    node.label(&term.topology_key).map(|value| (term.topology_key.clone(), value.to_string()))
}

/// Whether a term of `owner` selects `pod`: by namespace and labels.
fn selects(term: &PodAffinityTerm, owner: &PodInfo, pod: &PodInfo, world: &World) -> bool {
    let names = term.namespaces.as_deref().unwrap_or_default();
    let by_label = || {
        let labels = world.namespaces.get(pod.namespace());
        labels::selects(term.namespace_selector.as_ref(), labels)
    };
    let is_in = match (names.is_empty(), &term.namespace_selector) {
        (true, None) => pod.namespace() == owner.namespace(),
        _ => names.iter().any(|name| name == pod.namespace()) || by_label(),
    };
    is_in && labels::selects(narrowed(term, owner).as_ref(), pod.pod.metadata.labels.as_ref())
}

/// The selector with what `matchLabelKeys` and `mismatchLabelKeys` add from the owner's own labels.
fn narrowed(term: &PodAffinityTerm, owner: &PodInfo) -> Option<LabelSelector> {
    let mut selector = term.label_selector.clone()?;
    let own = owner.pod.metadata.labels.as_ref();
    for (keys, operator) in [(&term.match_label_keys, "In"), (&term.mismatch_label_keys, "NotIn")] {
        for key in keys.iter().flatten() {
            let Some(value) = own.and_then(|labels| labels.get(key)) else { continue };
            selector.match_expressions.get_or_insert_default().push(LabelSelectorRequirement {
                key: key.clone(),
                operator: operator.into(),
                values: Some(vec![value.clone()]),
            });
        }
    }
    Some(selector)
}

/// Placing the pod here breaks no required term, of its own or of pods that are there.
pub fn is_wanted(question: &Question<'_>, node: &NodeInfo) -> Verdict {
    let counts = &question.affinity;
    let is_near = |(term, spots): (&PodAffinityTerm, &HashSet<Spot>)| {
        spot(term, node).is_some_and(|spot| counts.is_first || spots.contains(&spot))
    };
    if !near(question.info).iter().zip(&counts.near).all(is_near) {
        return Err(Refusal::hopeless("node(s) didn't match pod affinity rules"));
    }
    let is_close =
        |(term, spots): (&PodAffinityTerm, &HashSet<Spot>)| spot(term, node).is_some_and(|spot| spots.contains(&spot));
    if far(question.info).iter().zip(&counts.far).any(is_close) {
        return Err(Refusal::curable("node(s) didn't match pod anti-affinity rules"));
    }
    if counts.kept.iter().any(|(key, value)| node.label(key) == Some(value)) {
        return Err(Refusal::curable("node(s) didn't satisfy existing pods anti-affinity rules"));
    }
    Ok(())
}

/// How much a node is liked for the pods that lie where it lies: preferred terms of the pod and of those pods.
pub fn liking(info: &PodInfo, world: &World) -> HashMap<Spot, i64> {
    let mut liking = HashMap::new();
    for node in world.nodes.values() {
        for pod in node.pods.values() {
            for (owner, other) in [(info, &**pod), (&**pod, info)] {
                for (terms, sign) in preferred(owner) {
                    for weighted in terms.iter().filter(|one| selects(&one.pod_affinity_term, owner, other, world)) {
                        if let Some(spot) = spot(&weighted.pod_affinity_term, node) {
                            *liking.entry(spot).or_default() += sign * i64::from(weighted.weight);
                        }
                    }
                }
            }
            // A pod that must be near to others likes it when they come to it.
            for term in near(pod).iter().filter(|term| selects(term, pod, info, world)) {
                if let Some(spot) = spot(term, node) {
                    *liking.entry(spot).or_default() += 1;
                }
            }
        }
    }
    liking
}

fn preferred(info: &PodInfo) -> [(&[WeightedPodAffinityTerm], i64); 2] {
    let affinity = info.affinity();
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    [
        (
            near.and_then(|one| one.preferred_during_scheduling_ignored_during_execution.as_deref())
                .unwrap_or_default(),
            1,
        ),
        (
            far.and_then(|one| one.preferred_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default(),
            -1,
        ),
    ]
}
