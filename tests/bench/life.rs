//! Making, stopping, starting again and deleting an empty cluster, with each driver that can be used here.

use super::harness::Cluster;
use super::{Figure, median_and_p99};
use std::time::{Duration, Instant};

const TIMES: usize = 5;
/// Driver, the profile for it, and the goal of a start.
const DRIVERS: &[(&str, &str, &str)] =
    &[("native", "bench-native", "1.0 s"), ("docker", "bench-docker", "2.5 s, 6 s with its image")];

/// The rows of every driver; one that cannot be used is a row that says why.
pub fn measure() -> Vec<Figure> {
    DRIVERS.iter().flat_map(|(driver, profile, goal)| measure_driver(driver, profile, goal)).collect()
}

fn measure_driver(driver: &str, profile: &str, goal: &'static str) -> Vec<Figure> {
    let Some(cluster) = Cluster::new(profile) else { return Vec::new() };
    if let Some(why) = trouble(&cluster, driver) {
        return vec![Figure::new(format!("{driver} driver"), format!("skipped: {why}"), goal)];
    }
    let create = format!("start --driver={driver}");
    let mut rows = Vec::new();
    // The first start makes what all clusters of a driver share.
    rows.push(Figure::time(format!("{driver}: the first `start`"), timed(&cluster, &create), goal));
    timed(&cluster, "delete");
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..TIMES {
        for (index, words) in [create.as_str(), "stop", "start", "delete"].into_iter().enumerate() {
            times[index].push(timed(&cluster, words));
        }
    }
    let names = ["`start` of a new cluster", "`stop`", "`start` of a stopped cluster", "`delete`"];
    let goals = [goal, "-", goal, "-"];
    for ((name, goal), times) in names.iter().zip(goals).zip(times) {
        rows.push(Figure::time(format!("{driver}: {name}"), median_and_p99(times).0, goal));
    }
    rows
}

/// Why a driver cannot be used here.
fn trouble(cluster: &Cluster, driver: &str) -> Option<String> {
    let findings: Vec<serde_json::Value> = serde_json::from_str(&cluster.coracle("doctor -o json").out).ok()?;
    let name = format!("driver {driver}");
    let finding = findings.iter().find(|finding| finding["Name"] == name.as_str())?;
    (finding["Grade"] != "ok").then(|| finding["Detail"].as_str().unwrap_or_default().to_string())
}

fn timed(cluster: &Cluster, words: &str) -> Duration {
    let begun = Instant::now();
    cluster.coracle(words).ok();
    begun.elapsed()
}
