//! How long a cluster takes to be there, to be there again, and to go.

use super::harness::Cluster;
use super::{Figure, median_and_p99, pods};
use std::time::{Duration, Instant};

const TIMES: usize = 5;
const PODS: usize = 20;

/// Stopped to ready, without and with pods, and the time to stop.
pub fn measure(cluster: &Cluster, runtime: &tokio::runtime::Runtime) -> Vec<Figure> {
    let mut stops = Vec::new();
    let mut starts = Vec::new();
    for _ in 0..TIMES {
        stops.push(timed(|| drop(cluster.coracle("stop").ok())));
        starts.push(timed(|| drop(cluster.coracle("start").ok())));
    }
    let (again, _) = median_and_p99(starts);
    let (stop, _) = median_and_p99(stops);
    vec![
        Figure::time("`start` of a stopped cluster", again, "1.0 s"),
        Figure::time("`stop`", stop, "-"),
        with_pods(cluster, runtime),
    ]
}

fn with_pods(cluster: &Cluster, runtime: &tokio::runtime::Runtime) -> Figure {
    let client = super::api::client(cluster, runtime);
    runtime.block_on(pods::deploy(&client, "again", PODS));
    runtime.block_on(pods::ready(&client, "again", PODS));
    cluster.coracle("stop").ok();
    let took = timed(|| {
        cluster.coracle("start").ok();
        let client = super::api::client(cluster, runtime);
        runtime.block_on(pods::restarted(&client, "again", PODS));
    });
    let client = super::api::client(cluster, runtime);
    runtime.block_on(pods::gone(&client, "again"));
    Figure::time(format!("stopped to ready again with {PODS} pods"), took, "2 s")
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}
