//! `cargo bench`: the table of figures, measured on a real cluster of the release executable.
//!
//! `cargo bench -- start objects` measures only those sections. Every figure is printed beside its goal; nothing here fails
//! because a machine is slow.

mod api;
mod charts;
#[path = "../cluster/harness.rs"]
#[allow(dead_code)]
mod harness;
mod life;
mod machine;
mod objects;
mod pods;
mod start;

use harness::Cluster;
use std::time::{Duration, Instant};

/// One measured thing.
pub struct Figure {
    what: String,
    value: String,
    goal: &'static str,
}

impl Figure {
    fn new(what: impl Into<String>, value: impl Into<String>, goal: &'static str) -> Self {
        Self { what: what.into(), value: value.into(), goal }
    }

    fn time(what: impl Into<String>, value: Duration, goal: &'static str) -> Self {
        let millis = value.as_secs_f64() * 1000.0;
        let text = if millis < 10.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") };
        Self::new(what, text, goal)
    }

    fn rate(what: impl Into<String>, count: usize, took: Duration, goal: &'static str) -> Self {
        Self::new(what, format!("{:.0}/s", count as f64 / took.as_secs_f64()), goal)
    }
}

type Section = fn(&Cluster, &tokio::runtime::Runtime) -> Vec<Figure>;

/// What can be measured, in the order in which it is.
const SECTIONS: &[(&str, Section)] = &[
    ("start", start::measure),
    ("idle", machine::measure),
    ("charts", charts::measure),
    ("pods", pods::measure),
    ("objects", objects::measure),
    ("many", pods::measure_many),
];

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let Some(cluster) = Cluster::new("bench") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    coracle::base::crypto::install();
    let begun = Instant::now();
    cluster.coracle("start").ok();
    let mut figures =
        vec![Figure::time("`start` of a new cluster: node Ready, DNS, service account", begun.elapsed(), "1.0 s")];
    for (name, measure) in SECTIONS {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            figures.extend(measure(&cluster, &runtime));
        }
    }
    if named.is_empty() || named.iter().any(|wanted| wanted == "life") {
        figures.extend(life::measure());
    }
    figures.push(Figure::new("executable", format!("{:.1} MB", executable_size() as f64 / 1e6), "40 MB"));
    print(&figures);
}

fn executable_size() -> u64 {
    std::fs::metadata(env!("CARGO_BIN_EXE_coracle")).map_or(0, |metadata| metadata.len())
}

fn print(figures: &[Figure]) {
    println!("| figure | measured | goal |\n|---|--:|--:|");
    for figure in figures {
        println!("| {} | {} | {} |", figure.what, figure.value, figure.goal);
    }
}

/// The value in the middle, and the one that 99 of 100 do not exceed.
pub fn median_and_p99(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[(times.len() * 99 / 100).min(times.len() - 1)])
}
