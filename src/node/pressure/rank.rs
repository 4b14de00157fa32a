//! Which pod goes first when the node is short, and what it is told.
//!
//! Source of order and wording: kubelet `pkg/kubelet/eviction/helpers.go` (rankMemoryPressure, rankDiskPressure, evictionMessage).

use super::is_critical;
use super::shortage::Met;
use crate::base::disk;
use crate::config::Signal;
use crate::node::context::Node;
use crate::node::pod::{parts, resources};
use crate::node::pods::Seen;
use crate::node::quantity;
use crate::node::server::figures::{Figures, PodFigures};
use k8s_openapi::api::core::v1::Pod;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// A pod that could go, with what it uses of what is short and what it asked for.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub pod: Arc<Pod>,
    pub usage: u64,
    pub request: u64,
    /// Name, usage and request of each container.
    pub containers: Vec<(String, u64, u64)>,
}

/// The resource that a signal is about.
pub fn resource(signal: Signal) -> &'static str {
    match signal {
        Signal::MemoryAvailable => "memory",
        Signal::NodeFsAvailable | Signal::ImageFsAvailable => "ephemeral-storage",
        Signal::NodeFsInodesFree | Signal::ImageFsInodesFree => "inodes",
        Signal::PidAvailable => "pids",
    }
}

/// Every pod that could go.
pub async fn candidates(node: &Node, signal: Signal) -> Vec<Candidate> {
    let figures = Figures::read(node).await;
    let by_uid: HashMap<&str, &PodFigures> =
        figures.pods.iter().map(|figures| (parts::uid(&figures.seen.pod), figures)).collect();
    let mut all = Vec::new();
    let living = node.pods.list().into_iter().filter(|seen| !seen.is_over && !parts::is_deleted(&seen.pod));
    for seen in living.filter(|seen| !is_critical(&seen.pod)) {
        all.push(candidate(node, &seen, by_uid.get(parts::uid(&seen.pod)).copied(), signal).await);
    }
    all
}

async fn candidate(node: &Node, seen: &Seen, figures: Option<&PodFigures>, signal: Signal) -> Candidate {
    let name = resource(signal);
    let of_container = |figures: &crate::runtime::Stats, log: &std::path::Path| match signal {
        Signal::MemoryAvailable => figures.memory_working_set_bytes,
        Signal::PidAvailable => figures.processes,
        _ => figures.disk_used_bytes + std::fs::metadata(log).map_or(0, |log| log.len()),
    };
    let mut containers = Vec::new();
    for one in figures.into_iter().flat_map(|figures| &figures.containers) {
        let spec = parts::container(&seen.pod, &one.attempt.name).map(|(_, spec)| spec.into_owned());
        let requests = spec.and_then(|spec| spec.resources).and_then(|resources| resources.requests);
        let request = whole(quantity::of(requests.as_ref(), name).value());
        containers.push((one.attempt.name.clone(), of_container(&one.stats, &one.attempt.log), request));
    }
    let summed: u64 = containers.iter().map(|(_, usage, _)| usage).sum();
    let usage = match (signal, figures) {
        (Signal::MemoryAvailable, Some(figures)) => figures.stats.memory_working_set_bytes,
        (Signal::PidAvailable, Some(figures)) => figures.stats.processes,
        (_, None) => 0,
        (_, Some(_)) => {
            let folder = node.pod_folder(parts::uid(&seen.pod));
            // A panic while files are counted would be one here; nothing else ends the work.
            summed + tokio::task::spawn_blocking(move || disk::used(&folder)).await.unwrap_or(0)
        }
    };
    Candidate { pod: seen.pod.clone(), usage, request: whole(resources::request(&seen.pod, name).value()), containers }
}

fn whole(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The pod to go: first those that take more than they asked for, then the less important, then who takes most beyond it.
pub fn worst(mut all: Vec<Candidate>, signal: Signal) -> Option<Candidate> {
    // Processes have no request that could be exceeded.
    let exceeds = |one: &Candidate| signal != Signal::PidAvailable && one.usage > one.request;
    let priority = |one: &Candidate| parts::spec(&one.pod).priority.unwrap_or(0);
    let beyond = |one: &Candidate| i128::from(one.usage) - i128::from(one.request);
    all.sort_by_key(|one| (!exceeds(one), priority(one), Reverse(beyond(one))));
    all.into_iter().next()
}

/// What the pod's status says.
pub fn message(met: &Met, worst: &Candidate) -> String {
    let name = resource(met.threshold.signal);
    let shown = |amount: u64| if matches!(name, "inodes" | "pids") { amount.to_string() } else { binary(amount) };
    let (limit, left) = (shown(met.threshold.limit.of(met.supply.capacity)), shown(met.supply.available));
    let mut message = format!("The node was low on resource: {name}. Threshold quantity: {limit}, available: {left}. ");
    if matches!(name, "memory" | "ephemeral-storage") {
        for (container, usage, request) in worst.containers.iter().filter(|(_, usage, request)| usage > request) {
            let (usage, request) = (binary(*usage), binary(*request));
            message += &format!(
                "Container {container} was using {usage}, request is {request}, has larger consumption of {name}. "
            );
        }
    }
    message
}

/// Bytes as Kubernetes writes them: in the greatest unit that leaves no fraction.
pub fn binary(bytes: u64) -> String {
    const UNITS: &[&str] = &["", "Ki", "Mi", "Gi", "Ti", "Pi"];
    let (mut number, mut unit) = (bytes, 0);
    while number != 0 && number.is_multiple_of(1024) && unit + 1 < UNITS.len() {
        (number, unit) = (number / 1024, unit + 1);
    }
    format!("{number}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limit, Threshold};
    use crate::node::fake::pod;
    use crate::node::pressure::shortage::Supply;
    use serde_json::json;

    fn candidate(name: &str, priority: i32, usage: u64, request: u64) -> Candidate {
        let mut pod = pod(json!({"priority": priority, "containers": []}));
        pod.metadata.name = Some(name.into());
        Candidate { pod: Arc::new(pod), usage, request, containers: vec![("web".into(), usage, request)] }
    }

    fn first(all: Vec<Candidate>, signal: Signal) -> String {
        parts::name(&worst(all, signal).unwrap().pod).to_string()
    }

    #[test]
    fn who_takes_more_than_asked_goes_before_who_is_less_important_and_that_before_who_takes_most() {
        let memory = Signal::MemoryAvailable;
        let modest = || candidate("modest", 0, 10, 20);
        let greedy = || candidate("greedy", 100, 30, 20);
        assert_eq!(first(vec![modest(), greedy()], memory), "greedy");
        assert_eq!(first(vec![greedy(), candidate("less", 99, 21, 20)], memory), "less");
        assert_eq!(first(vec![greedy(), candidate("greedier", 100, 50, 20)], memory), "greedier");
        assert_eq!(first(vec![modest(), greedy()], Signal::PidAvailable), "modest");
    }

    #[test]
    fn the_message_says_what_was_short_and_who_took_it() {
        let threshold = Threshold { signal: Signal::MemoryAvailable, limit: Limit::Amount(100 << 20), grace: None };
        let met = Met { threshold, supply: Supply { available: 61_440, capacity: 1 << 30 } };
        let wanted = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Ki. \
            Container web was using 3Gi, request is 0, has larger consumption of memory. ";
        assert_eq!(message(&met, &candidate("a", 0, 3 << 30, 0)), wanted);
    }
}
