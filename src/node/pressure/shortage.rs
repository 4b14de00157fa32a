//! Which thresholds are met, since when, and what the node's conditions say of it. Pure: time and figures come in.

use crate::config::{Signal, Threshold};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long a condition stays after its shortage was seen last, so that it does not flutter
/// (upstream: eviction-pressure-transition-period).
const TRANSITION: Duration = Duration::from_secs(5 * 60);

/// How much there is of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    pub available: u64,
    pub capacity: u64,
}

/// What the Node object says of shortages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    Memory,
    Disk,
    Pid,
}

impl Condition {
    /// The condition that a signal belongs to.
    pub fn of(signal: Signal) -> Self {
        match signal {
            Signal::MemoryAvailable => Condition::Memory,
            Signal::PidAvailable => Condition::Pid,
            _ => Condition::Disk,
        }
    }

    /// Its type in the Node's status.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Memory => "MemoryPressure",
            Condition::Disk => "DiskPressure",
            Condition::Pid => "PIDPressure",
        }
    }

    /// Reason and message while it holds, and while it does not.
    pub fn words(self) -> ((&'static str, &'static str), (&'static str, &'static str)) {
        match self {
            Condition::Memory => (
                ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
                ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ),
            Condition::Disk => (
                ("KubeletHasDiskPressure", "kubelet has disk pressure"),
                ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ),
            Condition::Pid => (
                ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
                ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ),
        }
    }
}

/// A threshold that is met and whose grace is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Met {
    pub threshold: Threshold,
    pub supply: Supply,
}

/// Whether there is too little.
pub fn is_met(threshold: &Threshold, supply: &Supply) -> bool {
    supply.available < threshold.limit.of(supply.capacity)
}

/// What is watched, and what was seen.
pub struct Shortages {
    thresholds: Vec<Threshold>,
    /// By the position of the threshold: since when it is met without a break.
    since: BTreeMap<usize, Instant>,
    /// When a condition's shortage was seen last.
    seen: BTreeMap<Condition, Instant>,
}

impl Shortages {
    pub fn new(thresholds: Vec<Threshold>) -> Self {
        Self { thresholds, since: BTreeMap::new(), seen: BTreeMap::new() }
    }

    /// Takes figures; returns what asks for action now, what matters most first.
    pub fn observe(&mut self, supplies: &BTreeMap<Signal, Supply>, now: Instant) -> Vec<Met> {
        let mut due = Vec::new();
        for (position, threshold) in self.thresholds.iter().enumerate() {
            let supply = supplies.get(&threshold.signal).filter(|supply| is_met(threshold, supply));
            let Some(supply) = supply else {
                self.since.remove(&position);
                continue;
            };
            let since = *self.since.entry(position).or_insert(now);
            self.seen.insert(Condition::of(threshold.signal), now);
            if now.duration_since(since) >= threshold.grace.unwrap_or_default() {
                due.push(Met { threshold: *threshold, supply: *supply });
            }
        }
        due.sort_by_key(|met| (met.threshold.signal, met.threshold.grace));
        due
    }

    /// The conditions that hold.
    pub fn conditions(&self, now: Instant) -> BTreeSet<Condition> {
        let holds = self.seen.iter().filter(|(_, at)| now.duration_since(**at) < TRANSITION);
        holds.map(|(condition, _)| *condition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limit;

    fn threshold(signal: Signal, amount: u64, grace: Option<u64>) -> Threshold {
        Threshold { signal, limit: Limit::Amount(amount), grace: grace.map(Duration::from_secs) }
    }

    fn memory(available: u64) -> BTreeMap<Signal, Supply> {
        BTreeMap::from([(Signal::MemoryAvailable, Supply { available, capacity: 1000 })])
    }

    #[tokio::test(start_paused = true)]
    async fn a_hard_threshold_asks_at_once_and_a_soft_one_after_its_grace_without_a_break() {
        let soft = threshold(Signal::MemoryAvailable, 200, Some(60));
        let mut shortages = Shortages::new(vec![soft, threshold(Signal::MemoryAvailable, 100, None)]);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut due = |available, seconds| {
            let met = shortages.observe(&memory(available), at(seconds));
            met.iter().map(|met| met.threshold.grace.is_none()).collect::<Vec<_>>()
        };
        let nothing = Vec::<bool>::new();
        assert_eq!(due(200, 0), nothing, "as much as the limit is enough");
        assert_eq!(due(150, 10), nothing);
        assert_eq!(due(250, 60), nothing);
        assert_eq!(due(150, 70), nothing, "the grace begins anew");
        assert_eq!(due(150, 130), [false]);
        assert_eq!(due(50, 140), [true, false], "the hard one first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_holds_from_the_first_sight_and_outlasts_the_shortage() {
        let mut shortages = Shortages::new(vec![threshold(Signal::MemoryAvailable, 100, Some(600))]);
        let start = Instant::now();
        shortages.observe(&memory(50), start);
        let now = start + Duration::from_secs(10);
        shortages.observe(&memory(500), now);
        assert_eq!(shortages.conditions(now), [Condition::Memory].into());
        assert!(shortages.conditions(start + TRANSITION).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_comes_before_the_disk_and_what_cannot_be_measured_is_not_short() {
        let all = vec![threshold(Signal::NodeFsAvailable, 9, None), threshold(Signal::MemoryAvailable, 9, None)];
        let mut shortages = Shortages::new(all);
        let none = Supply { available: 0, capacity: 10 };
        let supplies = BTreeMap::from([(Signal::NodeFsAvailable, none), (Signal::MemoryAvailable, none)]);
        let met = shortages.observe(&supplies, Instant::now());
        assert_eq!(met[0].threshold.signal, Signal::MemoryAvailable);
        assert!(shortages.observe(&BTreeMap::new(), Instant::now()).is_empty());
    }
}
