//! Scores: which of the nodes that can take a pod is best. One entry each in a table; each rates every node from 0 to 100,
//! and the sum by weight decides.
//!
//! Source of rules and weights: pkg/scheduler/apis/config/v1/default_plugins.go and the plugins it names.

use super::filters::{self, Question};
use super::labels;
use super::pod::PodInfo;
use super::world::NodeInfo;
use k8s_openapi::api::core::v1::Taint;
use std::collections::HashMap;

const BEST: i64 = 100;
const MEGABYTE: i64 = 1024 * 1024;

/// How raw ratings become ratings from 0 to 100.
#[derive(Clone, Copy)]
enum Scale {
    /// They are so already.
    Ready,
    /// The greatest becomes 100.
    Greatest,
    /// The least becomes 100, the greatest 0.
    Least,
    /// The greatest becomes 100, the least 0.
    Span,
}

/// Rates nodes, all at once where what they share is counted once.
type Rate = fn(&Question<'_>, &[&NodeInfo]) -> Vec<i64>;

/// One score.
struct Score {
    weight: i64,
    scale: Scale,
    rate: Rate,
}

/// Every score.
static SCORES: &[Score] = &[
    // TaintToleration: few soft taints that the pod does not tolerate.
    Score { weight: 3, scale: Scale::Least, rate: |question, nodes| each(nodes, |node| soft_taints(question, node)) },
    // NodeAffinity: many preferred terms met.
    Score {
        weight: 2,
        scale: Scale::Greatest,
        rate: |question, nodes| each(nodes, |node| preferred(question.info, node)),
    },
    // PodTopologySpread: few pods that are alike.
    Score {
        weight: 2,
        scale: Scale::Least,
        rate: |question, nodes| each(nodes, |node| filters::crowd(question.info, question.world, node)),
    },
    // InterPodAffinity: liked neighbours.
    Score { weight: 2, scale: Scale::Span, rate: neighbours },
    // NodeResourcesFit, LeastAllocated: much left.
    Score { weight: 1, scale: Scale::Ready, rate: |question, nodes| each(nodes, |node| left(question.info, node)) },
    // NodeResourcesBalancedAllocation: processors and memory used alike.
    Score { weight: 1, scale: Scale::Ready, rate: |question, nodes| each(nodes, |node| balance(question.info, node)) },
    // ImageLocality: images that are there already.
    Score { weight: 1, scale: Scale::Ready, rate: images },
];

/// The sum of all scores for each node.
pub fn rate(question: &Question<'_>, nodes: &[&NodeInfo]) -> Vec<i64> {
    let mut sums = vec![0; nodes.len()];
    for score in SCORES {
        let scaled = scaled((score.rate)(question, nodes), score.scale);
        sums.iter_mut().zip(scaled).for_each(|(sum, rating)| *sum += rating * score.weight);
    }
    sums
}

fn each(nodes: &[&NodeInfo], rate: impl Fn(&NodeInfo) -> i64) -> Vec<i64> {
    nodes.iter().map(|node| rate(node)).collect()
}

fn scaled(ratings: Vec<i64>, scale: Scale) -> Vec<i64> {
    let (least, greatest) = (ratings.iter().min().copied().unwrap_or(0), ratings.iter().max().copied().unwrap_or(0));
    let scale_one = |rating: i64| match scale {
        Scale::Ready => rating,
        Scale::Greatest if greatest == 0 => 0,
        Scale::Greatest => rating * BEST / greatest,
        Scale::Least if greatest == 0 => BEST,
        Scale::Least => BEST - rating * BEST / greatest,
        Scale::Span if greatest == least => 0,
        Scale::Span => (rating - least) * BEST / (greatest - least),
    };
    ratings.into_iter().map(scale_one).collect()
}

fn soft_taints(question: &Question<'_>, node: &NodeInfo) -> i64 {
    let soft = |taint: &Taint| taint.effect == "PreferNoSchedule";
    filters::untolerated(question, node, soft).count() as i64
}

fn preferred(info: &PodInfo, node: &NodeInfo) -> i64 {
    let affinity = info.affinity().and_then(|affinity| affinity.node_affinity.as_ref());
    let terms = affinity.and_then(|one| one.preferred_during_scheduling_ignored_during_execution.as_deref());
    let met = terms.unwrap_or_default().iter().filter(|term| labels::term_takes(&term.preference, &node.node));
    met.map(|term| i64::from(term.weight)).sum()
}

fn neighbours(question: &Question<'_>, nodes: &[&NodeInfo]) -> Vec<i64> {
    let liking = filters::liking(question.info, question.world);
    each(nodes, |node| {
        let here = liking.iter().filter(|((key, value), _)| node.label(key) == Some(value));
        here.map(|(_, amount)| amount).sum()
    })
}

fn left(info: &PodInfo, node: &NodeInfo) -> i64 {
    let ratings: Vec<i64> = ["cpu", "memory"]
        .iter()
        .filter(|name| node.offered.get(name) > 0)
        .map(|name| {
            let offered = node.offered.get(name);
            let used = node.weight.get(name) + info.weight.get(name);
            if used > offered { 0 } else { (offered - used) * BEST / offered }
        })
        .collect();
    if ratings.is_empty() { 0 } else { ratings.iter().sum::<i64>() / ratings.len() as i64 }
}

fn balance(info: &PodInfo, node: &NodeInfo) -> i64 {
    let share = |name: &str| {
        let offered = node.offered.get(name).max(1) as f64;
        ((node.asked.get(name) + info.asked.get(name)) as f64 / offered).min(1.0)
    };
    let deviation = (share("cpu") - share("memory")).abs() / 2.0;
    ((1.0 - deviation) * BEST as f64) as i64
}

fn images(question: &Question<'_>, nodes: &[&NodeInfo]) -> Vec<i64> {
    let Some(spec) = question.info.pod.spec.as_ref() else { return vec![0; nodes.len()] };
    let names: Vec<String> = spec.containers.iter().filter_map(|one| one.image.as_deref()).map(tagged).collect();
    let mut holders: HashMap<&str, i64> = HashMap::new();
    let total = question.world.nodes.len().max(1) as i64;
    for node in question.world.nodes.values() {
        names.iter().filter(|name| size(node, name).is_some()).for_each(|name| *holders.entry(name).or_default() += 1);
    }
    each(nodes, |node| {
        let weigh = |name: &String| Some(size(node, name)? * holders.get(name.as_str())? / total);
        let sum: i64 = names.iter().filter_map(weigh).sum();
        let (least, most) = (23 * MEGABYTE, 1000 * MEGABYTE * names.len().max(1) as i64);
        (sum.clamp(least, most) - least) * BEST / (most - least)
    })
}

fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { image.into() } else { format!("{image}:latest") }
}

fn size(node: &NodeInfo, name: &str) -> Option<i64> {
    let images = node.node.status.as_ref()?.images.as_ref()?;
    let is_named = |names: &Option<Vec<String>>| names.iter().flatten().any(|own| own == name);
    images.iter().find(|image| is_named(&image.names))?.size_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_are_scaled_to_a_hundred() {
        assert_eq!(scaled(vec![1, 4], Scale::Greatest), [25, 100]);
        assert_eq!(scaled(vec![0, 4], Scale::Least), [100, 0]);
        assert_eq!(scaled(vec![0, 0], Scale::Least), [100, 100]);
        assert_eq!(scaled(vec![-5, 5], Scale::Span), [0, 100]);
    }
}
