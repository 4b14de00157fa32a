//! Preemption: whom to push out so that a pod of higher priority finds a node. Pure.
//!
//! Source: pkg/scheduler/framework/preemption, plugins/defaultpreemption.

use super::choose::NoNode;
use super::filters::Question;
use super::labels;
use super::message;
use super::pod::PodInfo;
use super::world::World;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use std::cmp::Reverse;
use std::sync::Arc;

/// A node and the pods on it that have to go, the most important last.
#[derive(Debug)]
pub struct Plan {
    pub node: String,
    pub victims: Vec<Arc<PodInfo>>,
    /// How many of them a disruption budget would have kept.
    violations: usize,
}

/// Finds the node on which least is lost; an error is what users read after `preemption: `.
pub fn plan(info: &PodInfo, world: &World, none: &NoNode) -> Result<Plan, String> {
    if info.pod.spec.as_ref().and_then(|spec| spec.preemption_policy.as_deref()) == Some("Never") {
        return Err("not eligible due to preemptionPolicy=Never.".into());
    }
    if room_is_being_made(info, world) {
        return Err("not eligible due to a terminating pod on the nominated node.".into());
    }
    let mut plans = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    for (node, refusal) in &none.refusals {
        if !refusal.is_curable {
            reasons.push(message::NOT_HELPFUL.into());
            continue;
        }
        match plan_on(info, world, node) {
            Ok(plan) => plans.push(plan),
            Err(why) => reasons.extend(why),
        }
    }
    let unasked = none.total - none.refusals.len();
    reasons.extend(std::iter::repeat_n(message::NOT_HELPFUL.to_string(), unasked));
    plans.sort_by_key(loss);
    let total = none.total;
    plans.into_iter().next().ok_or_else(|| message::counted(total, reasons.iter().map(String::as_str)))
}

/// Whether a pod that was pushed out for this one is still ending.
fn room_is_being_made(info: &PodInfo, world: &World) -> bool {
    let Some(node) = world.nodes.get(info.nominated()) else { return false };
    node.pods.values().any(|pod| pod.priority < info.priority && pod.pod.metadata.deletion_timestamp.is_some())
}

/// What a plan costs, in the order in which it counts.
fn loss(plan: &Plan) -> (usize, i32, i64, usize, Reverse<Option<jiff::Timestamp>>) {
    let highest = plan.victims.iter().map(|victim| victim.priority).max().unwrap_or(i32::MIN);
    // Shifted so that many pods of negative priority do not look cheaper than few.
    let sum = plan.victims.iter().map(|victim| i64::from(victim.priority) + i64::from(i32::MAX) + 1).sum();
    let earliest = plan.victims.iter().filter(|one| one.priority == highest).filter_map(|one| started(one)).min();
    (plan.violations, highest, sum, plan.victims.len(), Reverse(earliest))
}

fn started(info: &PodInfo) -> Option<jiff::Timestamp> {
    info.pod.status.as_ref()?.start_time.as_ref().map(|time| time.0)
}

/// The most important first: priority, then who has run longer.
fn importance(info: &PodInfo) -> (Reverse<i32>, Option<jiff::Timestamp>) {
    (Reverse(info.priority), started(info).or(Some(jiff::Timestamp::MAX)))
}

/// Takes all lower pods from the node, then lets them back one by one while the pod still fits.
fn plan_on(info: &PodInfo, world: &World, node: &str) -> Result<Plan, Vec<String>> {
    let mut world = world.clone();
    let lower: Vec<Arc<PodInfo>> = match world.nodes.get(node) {
        Some(known) => known.pods.values().filter(|pod| pod.priority < info.priority).cloned().collect(),
        None => Vec::new(),
    };
    if lower.is_empty() {
        return Err(vec![message::NO_VICTIMS.into()]);
    }
    lower.iter().for_each(|pod| drop(world.take_away(pod.uid())));
    fits(info, &world, node)?;
    let mut ordered = lower;
    ordered.sort_by_key(|pod| importance(pod));
    let (kept, free) = by_budget(&ordered, world.budgets.values());
    let mut victims = Vec::new();
    let mut violations = 0;
    for (pod, is_kept) in kept.iter().map(|pod| (pod, true)).chain(free.iter().map(|pod| (pod, false))) {
        world.place(pod.clone(), node);
        if fits(info, &world, node).is_err() {
            world.take_away(pod.uid());
            victims.push(pod.clone());
            violations += usize::from(is_kept);
        }
    }
    victims.sort_by_key(|pod| Reverse(importance(pod)));
    Ok(Plan { node: node.to_string(), victims, violations })
}

fn fits(info: &PodInfo, world: &World, node: &str) -> Result<(), Vec<String>> {
    let Some(known) = world.nodes.get(node) else { return Err(Vec::new()) };
    let answer = Question::new(info, world).ask(known);
    answer.map_err(|(_, refusal)| refusal.reasons.into_iter().map(Into::into).collect())
}

/// Splits pods into those whose loss a budget would not allow and the rest.
fn by_budget<'a>(
    pods: &[Arc<PodInfo>],
    budgets: impl Iterator<Item = &'a Arc<PodDisruptionBudget>>,
) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut left: Vec<(&PodDisruptionBudget, i32)> = budgets
        .map(|budget| (&**budget, budget.status.as_ref().and_then(|status| status.disruptions_allowed).unwrap_or(0)))
        .collect();
    pods.iter().cloned().partition(|pod| {
        let mut is_kept = false;
        for (budget, left) in left.iter_mut().filter(|(budget, _)| covers(budget, pod)) {
            let disrupted = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
            if disrupted.is_some_and(|all| all.contains_key(&pod.name())) {
                continue;
            }
            *left -= 1;
            is_kept |= *left < 0;
        }
        is_kept
    })
}

fn covers(budget: &PodDisruptionBudget, pod: &PodInfo) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    budget.metadata.namespace.as_deref() == Some(pod.namespace())
        && pod.pod.metadata.labels.as_ref().is_some_and(|labels| !labels.is_empty())
        && labels::selects(selector, pod.pod.metadata.labels.as_ref())
}
