//! Filters: whether a node can take a pod. One entry each in a table, in upstream's order; the first that refuses a node
//! speaks for it.

mod affinity;
mod node;
mod ports;
mod resources;
mod spread;
pub mod volumes;

use super::Happened;
use super::pod::PodInfo;
use super::world::{NodeInfo, World};
use std::borrow::Cow;

pub use affinity::liking;
pub use node::untolerated;
pub use spread::crowd;

/// Why a node cannot take a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What users read, one for each thing that lacks.
    pub reasons: Vec<Cow<'static, str>>,
    /// Whether it can help to push other pods out.
    pub is_curable: bool,
}

impl Refusal {
    /// Pushing other pods out can help.
    pub fn curable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reasons: vec![reason.into()], is_curable: true }
    }

    /// Whatever other pods do does not matter.
    pub fn hopeless(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reasons: vec![reason.into()], is_curable: false }
    }
}

/// The answer of a filter.
pub type Verdict = Result<(), Refusal>;

/// Which pod is to be placed in which world, with what several nodes' answers share.
pub struct Question<'a> {
    pub info: &'a PodInfo,
    pub world: &'a World,
    spread: spread::Counts,
    affinity: affinity::Counts,
}

impl<'a> Question<'a> {
    /// Counts what has to be counted over all nodes.
    pub fn new(info: &'a PodInfo, world: &'a World) -> Self {
        Self { spread: spread::count(info, world), affinity: affinity::count(info, world), info, world }
    }

    /// Whether every filter takes a node; else what the first that does not says, and which it is.
    pub fn ask(&self, node: &NodeInfo) -> Result<(), (&'static Filter, Refusal)> {
        for filter in FILTERS {
            (filter.check)(self, node).map_err(|refusal| (filter, refusal))?;
        }
        Ok(())
    }

    /// What keeps the pod from every node, whatever nodes are like.
    pub fn ask_at_all(&self) -> Result<(), (&'static Filter, Refusal)> {
        for filter in FILTERS {
            (filter.before)(self).map_err(|refusal| (filter, refusal))?;
        }
        Ok(())
    }
}

/// One filter.
pub struct Filter {
    /// Upstream's name of it.
    pub name: &'static str,
    /// What keeps the pod from every node.
    before: fn(&Question<'_>) -> Verdict,
    /// Whether a node can take the pod.
    check: fn(&Question<'_>, &NodeInfo) -> Verdict,
    /// What can change its answer.
    pub helped_by: Happened,
}

const PODS: Happened = Happened::POD_GONE.or(Happened::NODE);
const SHAPE: Happened = Happened::POD_GONE.or(Happened::POD_PLACED).or(Happened::NODE).or(Happened::NAMESPACE);
const STORAGE: Happened = Happened::STORAGE.or(Happened::NODE);

const fn filter(name: &'static str, helped_by: Happened, check: fn(&Question<'_>, &NodeInfo) -> Verdict) -> Filter {
    Filter { name, before: |_| Ok(()), check, helped_by }
}

/// Every filter.
pub static FILTERS: &[Filter] = &[
    filter("NodeUnschedulable", Happened::NODE, node::is_open),
    filter("NodeName", Happened::NODE, node::is_named),
    filter("TaintToleration", Happened::NODE, node::is_tolerated),
    filter("NodeAffinity", Happened::NODE, node::is_selected),
    filter("NodePorts", PODS, ports::are_free),
    filter("NodeResourcesFit", PODS, resources::fit),
    filter("VolumeRestrictions", PODS.or(STORAGE), volumes::is_alone),
    Filter { before: volumes::exist, ..filter("VolumeBinding", STORAGE, volumes::are_reachable) },
    filter("VolumeZone", STORAGE, volumes::are_in_zone),
    filter("PodTopologySpread", SHAPE, spread::is_even),
    filter("InterPodAffinity", SHAPE, affinity::is_wanted),
];
