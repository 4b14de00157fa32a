//! How much the node has left of everything.

use super::shortage::Supply;
use crate::config::Signal;
use crate::node::context::Node;
use crate::node::server::figures;
use std::collections::BTreeMap;
use std::path::Path;

const ALL: &[Signal] = &[
    Signal::MemoryAvailable,
    Signal::NodeFsAvailable,
    Signal::NodeFsInodesFree,
    Signal::ImageFsAvailable,
    Signal::ImageFsInodesFree,
    Signal::PidAvailable,
];

/// Everything that can be measured.
pub fn all(node: &Node) -> BTreeMap<Signal, Supply> {
    ALL.iter().filter_map(|signal| Some((*signal, supply(node, *signal)?))).collect()
}

/// One figure; nothing if the kernel does not tell it.
pub fn supply(node: &Node, signal: Signal) -> Option<Supply> {
    match signal {
        Signal::MemoryAvailable => memory(node),
        Signal::NodeFsAvailable => disk(&node.paths.pods()).map(|(bytes, _)| bytes),
        Signal::NodeFsInodesFree => disk(&node.paths.pods()).map(|(_, files)| files),
        Signal::ImageFsAvailable => disk(&node.paths.images()).map(|(bytes, _)| bytes),
        Signal::ImageFsInodesFree => disk(&node.paths.images()).map(|(_, files)| files),
        Signal::PidAvailable => processes(&text("/proc/sys/kernel/pid_max"), &text("/proc/loadavg")),
    }
}

/// The machine's memory, or the node's part of it, whichever is scarcer. Of the machine the kernel's own estimate counts:
/// what other programs of it keep cached is no shortage.
fn memory(node: &Node) -> Option<Supply> {
    let told = text("/proc/meminfo");
    let bytes = |name: &str| Some(kilobytes(&told, name)? << 10);
    let machine = Supply { available: bytes("MemAvailable:")?, capacity: bytes("MemTotal:")? };
    let capacity = node.machine.memory;
    let own = (capacity < machine.capacity).then(|| figures::read(Path::new(figures::ROOT), "")).flatten();
    let own = own.map(|stats| capacity.saturating_sub(stats.memory_working_set_bytes));
    match own.filter(|available| *available < machine.available) {
        Some(available) => Some(Supply { available, capacity }),
        None => Some(machine),
    }
}

/// Bytes, and files.
fn disk(folder: &Path) -> Option<(Supply, Supply)> {
    let stat = rustix::fs::statvfs(folder.ancestors().find(|path| path.exists())?).ok()?;
    let bytes = Supply { available: stat.f_bavail * stat.f_frsize, capacity: stat.f_blocks * stat.f_frsize };
    // Some file systems have no fixed number of files: they are never short of them.
    let files = Supply { available: stat.f_favail, capacity: stat.f_files };
    let files = if files.capacity == 0 { Supply { available: u64::MAX, capacity: u64::MAX } } else { files };
    Some((bytes, files))
}

/// From the greatest process number and `/proc/loadavg`.
fn processes(most: &str, load: &str) -> Option<Supply> {
    let capacity: u64 = most.trim().parse().ok()?;
    let running: u64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    Some(Supply { available: capacity.saturating_sub(running), capacity })
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{FakeApi, FakeRuntime, node};

    #[test]
    fn processes_are_counted_by_the_kernel() {
        let found = processes("32768\n", "0.1 0.2 0.3 2/768 4711\n").unwrap();
        assert_eq!(found, Supply { available: 32_000, capacity: 32_768 });
        assert_eq!(processes("", ""), None);
    }

    #[tokio::test]
    async fn this_machine_has_something_left_of_everything() {
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        let found = all(&node);
        assert_eq!(found.len(), ALL.len());
        assert!(found.values().all(|supply| supply.available > 0 && supply.available <= supply.capacity), "{found:?}");
    }
}
