//! `/stats/summary`: the figures in the form of k8s.io/kubelet `pkg/apis/stats/v1alpha1`.

use super::collect::{ContainerFigures, Figures, PodFigures};
use super::network::Link;
use super::rates::Rates;
use crate::node::context::Node;
use crate::node::pod::{parts, resources};
use crate::node::quantity;
use crate::node::server::answer::{self, Answer};
use crate::runtime::Stats;
use jiff::Timestamp;
use rustix::fs::StatVfs;
use serde_json::{Value, json};
use std::path::Path;

/// Answers with all figures; with `only_cpu_and_memory` with those alone.
pub async fn answer(node: &Node, rates: &Rates, query: &str) -> Answer {
    let brief = form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "only_cpu_and_memory" && matches!(&*value, "true" | "1"));
    let figures = Figures::read(node).await;
    let pods: Vec<Value> = figures.pods.iter().map(|one| pod(node, &figures, one, rates, brief)).collect();
    let mut whole = json!({
        "nodeName": node.name, "startTime": boot_time(),
        "cpu": cpu(&figures.node, rates.of("", figures.node.cpu_nanoseconds, figures.now, boot_time()), figures.now),
        "memory": memory(&figures.node, Some(node.machine.memory), figures.now),
    });
    if !brief {
        whole["network"] = network(&figures.links, figures.now);
        whole["fs"] = file_system(&node.paths.pods(), figures.now);
        whole["runtime"] = json!({"imageFs": file_system(&node.paths.images(), figures.now)});
    }
    rates.keep(figures.now);
    answer::json(&json!({"node": whole, "pods": pods}))
}

fn pod(node: &Node, figures: &Figures, one: &PodFigures, rates: &Rates, brief: bool) -> Value {
    let pod = &one.seen.pod;
    let began = parts::status(pod).start_time.as_ref().map(|time| time.0);
    let containers: Vec<Value> =
        one.containers.iter().map(|container| container_value(node, figures, one, container, rates, brief)).collect();
    let rate = rates.of(parts::uid(pod), one.stats.cpu_nanoseconds, figures.now, began);
    let limit = resources::sandbox(pod).memory_limit.and_then(|limit| u64::try_from(limit).ok());
    let mut value = json!({
        "podRef": {"name": parts::name(pod), "namespace": parts::namespace(pod), "uid": parts::uid(pod)},
        "startTime": began, "containers": containers,
        "cpu": cpu(&one.stats, rate, figures.now), "memory": memory(&one.stats, limit, figures.now),
    });
    if !brief {
        value["network"] = network(&one.links, figures.now);
        value["process_stats"] = json!({"process_count": one.stats.processes});
        let used: u64 = one.containers.iter().map(|container| container.stats.disk_used_bytes).sum();
        value["ephemeral-storage"] = used_of(&node.paths.pods(), used, figures.now);
    }
    value
}

fn container_value(
    node: &Node,
    figures: &Figures,
    pod: &PodFigures,
    one: &ContainerFigures,
    rates: &Rates,
    brief: bool,
) -> Value {
    let rate = rates.of(&one.attempt.id, one.stats.cpu_nanoseconds, figures.now, Some(one.started_at));
    let spec = parts::container(&pod.seen.pod, &one.attempt.name).map(|(_, spec)| spec.into_owned());
    let limits = spec.and_then(|spec| spec.resources).and_then(|all| all.limits);
    let limit = u64::try_from(quantity::of(limits.as_ref(), "memory").value()).ok().filter(|limit| *limit > 0);
    let mut value = json!({
        "name": one.attempt.name, "startTime": one.started_at,
        "cpu": cpu(&one.stats, rate, figures.now), "memory": memory(&one.stats, limit, figures.now),
    });
    if !brief {
        value["rootfs"] = used_of(&node.paths.containers(), one.stats.disk_used_bytes, figures.now);
        let log = std::fs::metadata(&one.attempt.log).map_or(0, |metadata| metadata.len());
        value["logs"] = used_of(&node.paths.pod_logs(), log, figures.now);
    }
    value
}

fn cpu(stats: &Stats, rate: u64, now: Timestamp) -> Value {
    json!({"time": seconds(now), "usageNanoCores": rate, "usageCoreNanoSeconds": stats.cpu_nanoseconds})
}

fn memory(stats: &Stats, limit: Option<u64>, now: Timestamp) -> Value {
    let mut value = json!({
        "time": seconds(now), "usageBytes": stats.memory_usage_bytes,
        "workingSetBytes": stats.memory_working_set_bytes, "rssBytes": stats.memory_rss_bytes,
        "pageFaults": stats.page_faults, "majorPageFaults": stats.major_page_faults,
    });
    if let Some(limit) = limit {
        value["availableBytes"] = json!(limit.saturating_sub(stats.memory_working_set_bytes));
    }
    value
}

fn network(links: &[Link], now: Timestamp) -> Value {
    let one = |link: &Link| {
        json!({
            "name": link.name, "rxBytes": link.received_bytes, "rxErrors": link.received_errors,
            "txBytes": link.sent_bytes, "txErrors": link.sent_errors,
        })
    };
    let main = links.iter().find(|link| link.name == "eth0").or(links.first());
    let mut value = main.map_or_else(|| json!({}), one);
    value["time"] = json!(seconds(now));
    value["interfaces"] = links.iter().map(one).collect();
    value
}

fn file_system(path: &Path, now: Timestamp) -> Value {
    let Some(stat) = stat(path) else { return json!({"time": seconds(now)}) };
    let used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize;
    file_system_value(&stat, used, now)
}

/// A part of a file system.
fn used_of(path: &Path, used: u64, now: Timestamp) -> Value {
    match stat(path) {
        Some(stat) => file_system_value(&stat, used, now),
        None => json!({"time": seconds(now), "usedBytes": used}),
    }
}

fn file_system_value(stat: &StatVfs, used: u64, now: Timestamp) -> Value {
    json!({
        "time": seconds(now), "availableBytes": stat.f_bavail * stat.f_frsize,
        "capacityBytes": stat.f_blocks * stat.f_frsize, "usedBytes": used,
        "inodesFree": stat.f_ffree, "inodes": stat.f_files, "inodesUsed": stat.f_files.saturating_sub(stat.f_ffree),
    })
}

fn stat(path: &Path) -> Option<StatVfs> {
    rustix::fs::statvfs(path.ancestors().find(|path| path.exists())?).ok()
}

/// When the node's clock of processor time began: the start of PID 1.
pub fn boot_time() -> Option<Timestamp> {
    let started = std::fs::metadata("/proc/1").ok()?.modified().ok()?;
    Timestamp::try_from(started).ok().map(seconds)
}

fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
