//! When a node is short of something: eviction thresholds as text (`memory.available<100Mi,nodefs.available<10%`) and the
//! budget of images.
//!
//! Source of the syntax and names: kubelet `pkg/kubelet/eviction/helpers.go` (ParseThresholdConfig), api/types.go.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    MemoryAvailable,
    NodeFsAvailable,
    NodeFsInodesFree,
    ImageFsAvailable,
    ImageFsInodesFree,
    PidAvailable,
}

/// Every signal with its name. The order is that in which shortages are dealt with: memory first.
const SIGNALS: &[(Signal, &str)] = &[
    (Signal::MemoryAvailable, "memory.available"),
    (Signal::NodeFsAvailable, "nodefs.available"),
    (Signal::NodeFsInodesFree, "nodefs.inodesFree"),
    (Signal::ImageFsAvailable, "imagefs.available"),
    (Signal::ImageFsInodesFree, "imagefs.inodesFree"),
    (Signal::PidAvailable, "pid.available"),
];

impl Signal {
    /// Its name in thresholds.
    pub fn name(self) -> &'static str {
        SIGNALS.iter().find(|(signal, _)| *signal == self).map_or("", |(_, name)| name)
    }
}

/// How little is too little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Bytes, or a number.
    Amount(u64),
    /// Of what there is.
    Percent(f64),
}

impl Limit {
    /// The amount that it means where there is so much in all.
    pub fn of(self, capacity: u64) -> u64 {
        match self {
            Limit::Amount(amount) => amount,
            Limit::Percent(percent) => (capacity as f64 * percent / 100.0) as u64,
        }
    }
}

/// Less of a signal than this, for so long, and pods have to go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    pub signal: Signal,
    pub limit: Limit,
    /// None: pods go at once, with a second to end. Some: after so long, with their own grace.
    pub grace: Option<Duration>,
}

/// What the user wants of it; what is left out is as [`thresholds`] and [`Shortage::images`] say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Thresholds without grace.
    #[serde(default)]
    pub hard: Option<String>,
    /// Thresholds with grace.
    #[serde(default)]
    pub soft: Option<String>,
    /// Their grace: `memory.available=1m30s,…`.
    #[serde(default)]
    pub soft_grace: Option<String>,
    /// Percent of the disk that is used when unused images begin to be removed.
    #[serde(default)]
    pub images_high: Option<u8>,
    /// Percent that is used when that is enough.
    #[serde(default)]
    pub images_low: Option<u8>,
}

/// A machine of one's own is often nearly full: percentages of its disk, as upstream has them, would evict pods from most
/// laptops. So it is amounts that really are too little for a node.
const HARD: &str = "memory.available<100Mi,nodefs.available<256Mi,nodefs.inodesFree<1000,imagefs.available<256Mi";
/// Images of a developer may be nowhere else: none goes unless the disk is short, or the user says so.
const IMAGES: (u8, u8) = (100, 80);

impl Shortage {
    /// Every threshold.
    pub fn thresholds(&self) -> Result<Vec<Threshold>, String> {
        let mut all = parse(self.hard.as_deref().unwrap_or(HARD))?;
        let grace = graces(self.soft_grace.as_deref().unwrap_or_default())?;
        for mut soft in parse(self.soft.as_deref().unwrap_or_default())? {
            let name = soft.signal.name();
            let own = grace.iter().find(|(signal, _)| *signal == soft.signal);
            soft.grace = Some(own.ok_or_else(|| format!("soft threshold `{name}` has no grace period"))?.1);
            all.push(soft);
        }
        Ok(all)
    }

    /// Percent of the disk used at which unused images go, and at which no more go.
    pub fn images(&self) -> (u8, u8) {
        let high = self.images_high.unwrap_or(IMAGES.0);
        (high, self.images_low.unwrap_or(IMAGES.1).min(high))
    }
}

fn signal(name: &str) -> Result<Signal, String> {
    let known = SIGNALS.iter().find(|(_, known)| *known == name);
    known.map(|(signal, _)| *signal).ok_or_else(|| format!("`{name}` is no eviction signal"))
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

fn parse(text: &str) -> Result<Vec<Threshold>, String> {
    let mut all: Vec<Threshold> = Vec::new();
    for entry in entries(text) {
        let (name, value) = entry.split_once('<').ok_or_else(|| format!("`{entry}` is no threshold: SIGNAL<AMOUNT"))?;
        let signal = signal(name)?;
        if all.iter().any(|other| other.signal == signal) {
            return Err(format!("`{name}` has two thresholds"));
        }
        // Nothing, or all, means that it is not watched, as upstream.
        if let Some(limit) = limit(value).ok_or_else(|| format!("`{value}` is neither an amount nor a percentage"))? {
            all.push(Threshold { signal, limit, grace: None });
        }
    }
    Ok(all)
}

/// `10%`, `100Mi`; nothing for the percentages that switch a signal off.
fn limit(text: &str) -> Option<Option<Limit>> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))?;
        return Some((percent > 0.0 && percent < 100.0).then_some(Limit::Percent(percent)));
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = |power: u32| 1024f64.powi(power as i32);
    let factor = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => shift(1),
        "Mi" => shift(2),
        "Gi" => shift(3),
        "Ti" => shift(4),
        _ => return None,
    };
    let amount = number.parse::<f64>().ok()? * factor;
    Some(Some(Limit::Amount(amount as u64)))
}

fn graces(text: &str) -> Result<Vec<(Signal, Duration)>, String> {
    let one = |entry: &str| {
        let wrong = || format!("`{entry}` is no grace period: SIGNAL=DURATION");
        let (name, value) = entry.split_once('=').ok_or_else(wrong)?;
        Ok((signal(name)?, super::values::duration(value).map_err(|_| wrong())?))
    };
    entries(text).map(one).collect()
}

/// A percentage of a whole number.
pub fn percent(text: &str) -> Result<u8, String> {
    let number = text.parse().ok().filter(|number| *number <= 100);
    number.ok_or_else(|| format!("`{text}` is no percentage from 0 to 100"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_amounts_or_percentages_and_soft_ones_have_a_grace() {
        let shortage = Shortage {
            hard: Some("memory.available<1.5Gi,nodefs.available<10%,imagefs.available<0%".into()),
            soft: Some("memory.available<2G".into()),
            soft_grace: Some("memory.available=90s".into()),
            ..Shortage::default()
        };
        let of = |signal, limit, grace| Threshold { signal, limit, grace };
        let wanted = [
            of(Signal::MemoryAvailable, Limit::Amount(3 << 29), None),
            of(Signal::NodeFsAvailable, Limit::Percent(10.0), None),
            of(Signal::MemoryAvailable, Limit::Amount(2_000_000_000), Some(Duration::from_secs(90))),
        ];
        assert_eq!(shortage.thresholds().unwrap(), wanted);
        assert_eq!(Limit::Percent(10.0).of(500), 50);
    }

    #[test]
    fn what_is_no_threshold_is_refused() {
        for text in [
            "memory<1Mi",
            "memory.available>1Mi",
            "memory.available<x",
            "memory.available<101%",
            "memory.available<1Mi,memory.available<2Mi",
        ] {
            let shortage = Shortage { hard: Some(text.into()), ..Shortage::default() };
            assert!(shortage.thresholds().is_err(), "{text}");
        }
        let soft = Shortage { soft: Some("memory.available<1Mi".into()), ..Shortage::default() };
        assert_eq!(soft.thresholds().unwrap_err(), "soft threshold `memory.available` has no grace period");
    }

    #[test]
    fn what_nobody_asked_for_is_as_usual() {
        assert!(Shortage::default().thresholds().unwrap().iter().all(|one| one.grace.is_none()));
        assert_eq!(Shortage::default().images(), (100, 80));
        assert_eq!(Shortage { images_high: Some(50), ..Shortage::default() }.images(), (50, 50));
    }
}
