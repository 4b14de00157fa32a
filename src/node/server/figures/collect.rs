//! Reading all figures at once.

use super::cgroup;
use super::network::{self, Link};
use crate::node::context::Node;
use crate::node::pod::resources;
use crate::node::pods::{Attempt, Seen};
use crate::runtime::{State, Stats};
use futures::StreamExt;
use jiff::Timestamp;
use std::path::Path;
use std::sync::Arc;

/// Containers whose figures are asked for at the same time.
const AT_ONCE: usize = 8;

/// Everything at one moment.
pub struct Figures {
    pub now: Timestamp,
    pub node: Stats,
    pub links: Vec<Link>,
    pub pods: Vec<PodFigures>,
}

/// One pod with something running.
pub struct PodFigures {
    pub seen: Arc<Seen>,
    /// Its cgroup below the node's.
    pub cgroup: String,
    pub stats: Stats,
    pub links: Vec<Link>,
    pub containers: Vec<ContainerFigures>,
}

/// One running container.
pub struct ContainerFigures {
    pub attempt: Attempt,
    pub started_at: Timestamp,
    pub stats: Stats,
}

impl Figures {
    /// Reads them.
    pub async fn read(node: &Node) -> Self {
        let pods = futures::stream::iter(node.pods.list()).map(|seen| pod(node, seen)).buffered(AT_ONCE);
        let pods = pods.filter_map(std::future::ready).collect().await;
        let own = cgroup::read(Path::new(cgroup::ROOT), "");
        Self { now: Timestamp::now(), node: own.unwrap_or_else(cgroup::machine), links: network::of_node(), pods }
    }
}

async fn pod(node: &Node, seen: Arc<Seen>) -> Option<PodFigures> {
    let mut containers = Vec::new();
    let mut links = Vec::new();
    for attempt in &seen.attempts {
        let State::Running { started_at, pid } = attempt.state else { continue };
        // One that has ended in the meantime is left out.
        let Ok(stats) = node.runtime.stats(&attempt.id).await else { continue };
        if links.is_empty() && seen.pod.spec.as_ref().is_none_or(|spec| spec.host_network != Some(true)) {
            links = network::of_process(pid);
        }
        containers.push(ContainerFigures { attempt: attempt.clone(), started_at, stats });
    }
    if containers.is_empty() {
        return None;
    }
    let cgroup = resources::cgroup(&seen.pod);
    let stats = cgroup::read(Path::new(cgroup::ROOT), &cgroup).unwrap_or_else(|| sum(&containers));
    Some(PodFigures { seen, cgroup, stats, links, containers })
}

/// What a pod uses, by its containers.
fn sum(containers: &[ContainerFigures]) -> Stats {
    containers.iter().fold(Stats::default(), |sum, ContainerFigures { stats, .. }| Stats {
        cpu_nanoseconds: sum.cpu_nanoseconds + stats.cpu_nanoseconds,
        memory_usage_bytes: sum.memory_usage_bytes + stats.memory_usage_bytes,
        memory_working_set_bytes: sum.memory_working_set_bytes + stats.memory_working_set_bytes,
        memory_rss_bytes: sum.memory_rss_bytes + stats.memory_rss_bytes,
        page_faults: sum.page_faults + stats.page_faults,
        major_page_faults: sum.major_page_faults + stats.major_page_faults,
        processes: sum.processes + stats.processes,
        disk_used_bytes: sum.disk_used_bytes + stats.disk_used_bytes,
    })
}
