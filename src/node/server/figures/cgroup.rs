//! Figures of a cgroup of the node, version 1 or 2; of the whole machine where the node has no cgroup of its own.
//!
//! Source of the meanings: cadvisor `container/libcontainer/handler.go` (working set = usage without inactive files).

use crate::runtime::Stats;
use std::path::Path;

/// Where the hierarchies are mounted in a node.
pub const ROOT: &str = "/sys/fs/cgroup";

/// Clock ticks in a second, in `/proc/stat`.
const TICKS: u64 = 100;

/// Figures of the cgroup `path` below `root`; nothing if there is none.
pub fn read(root: &Path, path: &str) -> Option<Stats> {
    if root.join("cgroup.controllers").exists() { version2(&root.join(path)) } else { version1(root, path) }
}

fn version1(root: &Path, path: &str) -> Option<Stats> {
    let (cpu, memory) = (root.join("cpuacct").join(path), root.join("memory").join(path));
    let stat = text(&memory, "memory.stat");
    let field = |name: &str| field(&stat, name).unwrap_or(0);
    let usage = number(&memory, "memory.usage_in_bytes")?;
    Some(Stats {
        cpu_nanoseconds: number(&cpu, "cpuacct.usage")?,
        memory_usage_bytes: usage,
        memory_working_set_bytes: usage.saturating_sub(field("total_inactive_file")),
        memory_rss_bytes: field("total_rss"),
        page_faults: field("total_pgfault"),
        major_page_faults: field("total_pgmajfault"),
        processes: number(&root.join("pids").join(path), "pids.current").unwrap_or(0),
        disk_used_bytes: 0,
    })
}

fn version2(folder: &Path) -> Option<Stats> {
    let stat = text(folder, "memory.stat");
    let field_of = |name: &str| field(&stat, name).unwrap_or(0);
    let usage = number(folder, "memory.current")?;
    Some(Stats {
        cpu_nanoseconds: field(&text(folder, "cpu.stat"), "usage_usec")? * 1000,
        memory_usage_bytes: usage,
        memory_working_set_bytes: usage.saturating_sub(field_of("inactive_file")),
        memory_rss_bytes: field_of("anon"),
        page_faults: field_of("pgfault"),
        major_page_faults: field_of("pgmajfault"),
        processes: number(folder, "pids.current").unwrap_or(0),
        disk_used_bytes: 0,
    })
}

/// Figures of the whole machine.
pub fn machine() -> Stats {
    let proc = Path::new("/proc");
    let (stat, memory, faults) = (text(proc, "stat"), text(proc, "meminfo"), text(proc, "vmstat"));
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are counted as users already.
    let times: Vec<u64> =
        stat.lines().next().into_iter().flat_map(str::split_whitespace).skip(1).flat_map(str::parse).collect();
    let idle: u64 = times.iter().skip(3).take(2).sum();
    let busy = times.iter().take(8).sum::<u64>() - idle;
    let kilobytes = |name: &str| field(&memory, name).unwrap_or(0) << 10;
    let usage = kilobytes("MemTotal:").saturating_sub(kilobytes("MemFree:"));
    Stats {
        cpu_nanoseconds: busy * (1_000_000_000 / TICKS),
        memory_usage_bytes: usage,
        memory_working_set_bytes: usage.saturating_sub(kilobytes("Inactive(file):")),
        memory_rss_bytes: kilobytes("AnonPages:"),
        page_faults: field(&faults, "pgfault").unwrap_or(0),
        major_page_faults: field(&faults, "pgmajfault").unwrap_or(0),
        ..Stats::default()
    }
}

fn text(folder: &Path, file: &str) -> String {
    std::fs::read_to_string(folder.join(file)).unwrap_or_default()
}

fn number(folder: &Path, file: &str) -> Option<u64> {
    text(folder, file).trim().parse().ok()
}

/// The number after a name in lines of `NAME NUMBER`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(|blank: char| blank.is_whitespace()));
    line?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn both_versions_give_the_same_figures() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(
            one.path(),
            &[
                ("cpuacct/p/cpuacct.usage", "5000\n"),
                ("memory/p/memory.usage_in_bytes", "900\n"),
                ("memory/p/memory.stat", "inactive_file 1\ntotal_rss 300\ntotal_inactive_file 400\ntotal_pgfault 7\n"),
            ],
        );
        write(
            two.path(),
            &[
                ("cgroup.controllers", "cpu memory"),
                ("p/cpu.stat", "usage_usec 5\nuser_usec 3\n"),
                ("p/memory.current", "900\n"),
                ("p/memory.stat", "anon 300\ninactive_file 400\npgfault 7\n"),
            ],
        );
        let (first, second) = (read(one.path(), "p"), read(two.path(), "p"));
        assert_eq!(first, second);
        let stats = first.unwrap();
        assert_eq!((stats.cpu_nanoseconds, stats.memory_working_set_bytes, stats.page_faults), (5000, 500, 7));
        assert_eq!(read(one.path(), "missing"), None);
    }

    #[test]
    fn the_machine_uses_something() {
        let stats = machine();
        assert!(stats.cpu_nanoseconds > 0 && stats.memory_usage_bytes > 0, "{stats:?}");
    }
}
