//! What the node's processes take: memory shared out fairly (PSS) and processor time.

use super::Figure;
use super::harness::Cluster;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long an idle cluster is watched.
const IDLE: Duration = Duration::from_secs(60);

/// Memory and processor of a cluster that nobody uses.
pub fn measure(cluster: &Cluster, _: &tokio::runtime::Runtime) -> Vec<Figure> {
    let before = processor_ticks(cluster);
    std::thread::sleep(IDLE);
    let ticks = processor_ticks(cluster) - before;
    let percent = ticks as f64 / rustix::param::clock_ticks_per_second() as f64 / IDLE.as_secs_f64() * 100.0;
    vec![
        Figure::new("idle CPU over 60 s, of one core", format!("{percent:.2} %"), "0.5 %"),
        Figure::new("idle memory, PSS of all processes, DNS included", format!("{:.1} MiB", memory(cluster)), "60 MiB"),
    ]
}

/// PSS of every process of the node, MiB; the largest are printed to stderr.
pub fn memory(cluster: &Cluster) -> f64 {
    let mut sizes: Vec<(u64, String)> = processes(cluster).into_iter().map(|pid| (pss(pid), command(pid))).collect();
    sizes.sort();
    for (kib, command) in sizes.iter().rev().take(8) {
        eprintln!("  {:>8} KiB  {command}", kib);
    }
    sizes.iter().map(|(kib, _)| kib).sum::<u64>() as f64 / 1024.0
}

fn processor_ticks(cluster: &Cluster) -> u64 {
    processes(cluster)
        .into_iter()
        .filter_map(|pid| times(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .sum()
}

/// `utime` and `stime` of a line of `/proc/PID/stat` (proc(5)); the name may hold blanks.
fn times(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// PID 1 of the node and everything below it.
fn processes(cluster: &Cluster) -> BTreeSet<u32> {
    let status: serde_json::Value = serde_json::from_str(&cluster.coracle("status -o json").out).unwrap();
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(pid);
    }
    let mut found = BTreeSet::new();
    let mut next = vec![status["Pid"].as_u64().unwrap() as u32];
    while let Some(pid) = next.pop() {
        if found.insert(pid) {
            next.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}

fn pss(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Pss:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn command(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
}
