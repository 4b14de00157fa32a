//! `/metrics`, `/metrics/resource`, `/metrics/cadvisor`, `/metrics/probes`: figures for collectors.
//!
//! Source of names and help: pkg/kubelet/metrics/collectors/resource_metrics.go, cadvisor `metrics/prometheus.go`.

use super::collect::{ContainerFigures, Figures, PodFigures};
use super::network::Link;
use super::summary::boot_time;
use crate::base::prometheus::{self, Text};
use crate::node::context::Node;
use crate::node::pod::parts;
use crate::node::register::KUBELET_VERSION;
use crate::node::server::answer::{self, Answer};
use crate::runtime::{State, Stats};
use http::StatusCode;
use std::fmt::Display;

fn answered(text: Text) -> Answer {
    answer::of_type(StatusCode::OK, prometheus::TYPE, text.into_text().into())
}

fn in_seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn since_epoch(at: jiff::Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

/// `/metrics/resource`: what the metrics server scrapes.
pub async fn resource(node: &Node) -> Answer {
    let figures = Figures::read(node).await;
    let mut text = Text::default();
    let now = Some(figures.now);
    let cpu: fn(&Stats) -> f64 = |stats| in_seconds(stats.cpu_nanoseconds);
    let memory: fn(&Stats) -> f64 = |stats| stats.memory_working_set_bytes as f64;
    for (name, kind, help, of) in [
        (
            "container_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the container in core-seconds",
            cpu,
        ),
        ("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes", memory),
    ] {
        text.family(name, kind, &format!("[STABLE] {help}"));
        each_container(&figures, |labels, one| text.sample(labels, of(&one.stats), now));
    }
    text.family(
        "container_start_time_seconds",
        "gauge",
        "[STABLE] Start time of the container since unix epoch in seconds",
    );
    each_container(&figures, |labels, one| text.sample(labels, since_epoch(one.started_at), now));
    for (name, kind, help, of) in [
        ("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds", cpu),
        ("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes", memory),
    ] {
        text.family(name, kind, &format!("[STABLE] {help}"));
        text.sample(&[], of(&figures.node), now);
    }
    for (name, kind, help, of) in [
        ("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds", cpu),
        ("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes", memory),
    ] {
        text.family(name, kind, &format!("[STABLE] {help}"));
        for pod in &figures.pods {
            let (namespace, name) = (parts::namespace(&pod.seen.pod), parts::name(&pod.seen.pod));
            text.sample(&[("namespace", namespace), ("pod", name)], of(&pod.stats), now);
        }
    }
    text.family(
        "resource_scrape_error",
        "gauge",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    );
    text.sample(&[], 0, None);
    answered(text)
}

fn each_container(figures: &Figures, mut tell: impl FnMut(&[(&str, &str)], &ContainerFigures)) {
    for pod in &figures.pods {
        let (namespace, name) = (parts::namespace(&pod.seen.pod), parts::name(&pod.seen.pod));
        for one in &pod.containers {
            tell(&[("container", &one.attempt.name), ("namespace", namespace), ("pod", name)], one);
        }
    }
}

/// Figures that cadvisor has of every cgroup: name, type, help, value.
type Family = (&'static str, &'static str, &'static str, fn(&Stats) -> f64);
const OF_CGROUPS: &[Family] = &[
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", |stats| {
        in_seconds(stats.cpu_nanoseconds)
    }),
    (
        "container_memory_usage_bytes",
        "gauge",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        |stats| stats.memory_usage_bytes as f64,
    ),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", |stats| {
        stats.memory_working_set_bytes as f64
    }),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", |stats| stats.memory_rss_bytes as f64),
    ("container_processes", "gauge", "Number of processes running inside the container.", |stats| {
        stats.processes as f64
    }),
    (
        "container_fs_usage_bytes",
        "gauge",
        "Number of bytes that are consumed by the container on this filesystem.",
        |stats| stats.disk_used_bytes as f64,
    ),
];

/// Figures of links: name, help, value.
type LinkFamily = (&'static str, &'static str, fn(&Link) -> u64);
const OF_LINKS: &[LinkFamily] = &[
    ("container_network_receive_bytes_total", "Cumulative count of bytes received", |link| link.received_bytes),
    ("container_network_receive_packets_total", "Cumulative count of packets received", |link| link.received_packets),
    ("container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", |link| {
        link.received_errors
    }),
    (
        "container_network_receive_packets_dropped_total",
        "Cumulative count of packets dropped while receiving",
        |link| link.received_dropped,
    ),
    ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", |link| link.sent_bytes),
    ("container_network_transmit_packets_total", "Cumulative count of packets transmitted", |link| link.sent_packets),
    ("container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting", |link| {
        link.sent_errors
    }),
    (
        "container_network_transmit_packets_dropped_total",
        "Cumulative count of packets dropped while transmitting",
        |link| link.sent_dropped,
    ),
];

/// What identifies a cgroup to cadvisor's users.
#[derive(Default)]
struct Labels<'a> {
    container: &'a str,
    id: String,
    image: &'a str,
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
}

impl<'a> Labels<'a> {
    fn of_pod(pod: &'a PodFigures) -> Self {
        let (namespace, name) = (parts::namespace(&pod.seen.pod), parts::name(&pod.seen.pod));
        Self { id: format!("/{}", pod.cgroup), namespace, pod: name, ..Self::default() }
    }

    fn of_container(pod: &'a PodFigures, one: &'a ContainerFigures) -> Self {
        let spec = parts::spec(&pod.seen.pod).containers.iter().find(|spec| spec.name == one.attempt.name);
        let image = spec.and_then(|spec| spec.image.as_deref()).unwrap_or_default();
        let whole = Self::of_pod(pod);
        let id = format!("{}/{}", whole.id, one.attempt.id);
        Self { container: &one.attempt.name, id, image, name: &one.attempt.id, ..whole }
    }

    fn pairs(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut pairs = vec![
            ("container", self.container),
            ("id", self.id.as_str()),
            ("image", self.image),
            ("name", self.name),
            ("namespace", self.namespace),
            ("pod", self.pod),
        ];
        pairs.extend_from_slice(more);
        pairs.sort_unstable();
        pairs
    }
}

/// `/metrics/cadvisor`: containers, pods and the node as cgroups.
pub async fn cadvisor(node: &Node) -> Answer {
    let figures = Figures::read(node).await;
    let mut cgroups = vec![(Labels { id: "/".into(), ..Labels::default() }, &figures.node, boot_time())];
    let mut links = vec![(Labels { id: "/".into(), ..Labels::default() }, &figures.links)];
    for pod in &figures.pods {
        let began = parts::status(&pod.seen.pod).start_time.as_ref().map(|time| time.0);
        cgroups.push((Labels::of_pod(pod), &pod.stats, began));
        links.push((Labels::of_pod(pod), &pod.links));
        for one in &pod.containers {
            cgroups.push((Labels::of_container(pod, one), &one.stats, Some(one.started_at)));
        }
    }
    let mut text = Text::default();
    text.family("cadvisor_version_info", "gauge", "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.");
    let machine = &node.machine;
    text.sample(&[("kernelVersion", &machine.kernel), ("osVersion", &machine.os_image)], 1, None);
    for (name, kind, help, of) in OF_CGROUPS {
        text.family(name, kind, help);
        let total: &[(&str, &str)] = if *name == OF_CGROUPS[0].0 { &[("cpu", "total")] } else { &[] };
        for (labels, stats, _) in &cgroups {
            text.sample(&labels.pairs(total), of(stats), Some(figures.now));
        }
    }
    text.family("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds.");
    for (labels, _, began) in &cgroups {
        if let Some(began) = began {
            text.sample(&labels.pairs(&[]), since_epoch(*began), Some(figures.now));
        }
    }
    for (name, help, of) in OF_LINKS {
        text.family(name, "counter", help);
        for (labels, links) in &links {
            for link in *links {
                text.sample(&labels.pairs(&[("interface", &link.name)]), of(link), Some(figures.now));
            }
        }
    }
    let mut whole = |name: &'static str, help: &str, value: u64| {
        text.family(name, "gauge", help);
        text.sample(
            &[
                ("boot_id", &machine.boot_id),
                ("machine_id", &machine.machine_id),
                ("system_uuid", &machine.system_uuid),
            ],
            value,
            None,
        );
    };
    whole("machine_cpu_cores", "Number of logical CPU cores.", machine.cpus);
    whole("machine_memory_bytes", "Amount of memory installed on the machine.", machine.memory);
    answered(text)
}

/// `/metrics`: the agent itself.
pub async fn own(node: &Node) -> Answer {
    let mut text = Text::default();
    let mut one = |name: &'static str, kind: &str, help: &str, labels: &[(&str, &str)], value: &dyn Display| {
        text.family(name, kind, help);
        text.sample(labels, value, None);
    };
    let (major, minor) = ("1", KUBELET_VERSION.split('.').nth(1).unwrap_or_default());
    let labels = [("git_version", KUBELET_VERSION), ("major", major), ("minor", minor)];
    one(
        "kubernetes_build_info",
        "gauge",
        "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version.",
        &labels,
        &1,
    );
    one("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.", &[("node", &node.name)], &1);
    let seen = node.pods.list();
    let states =
        |wanted: fn(&State) -> bool| seen.iter().flat_map(|pod| &pod.attempts).filter(|one| wanted(&one.state)).count();
    let running =
        seen.iter().filter(|pod| pod.attempts.iter().any(|one| matches!(one.state, State::Running { .. }))).count();
    one("kubelet_running_pods", "gauge", "[ALPHA] Number of pods that have a running pod sandbox", &[], &running);
    text.family("kubelet_running_containers", "gauge", "[ALPHA] Number of containers currently running");
    for (state, count) in [
        ("created", states(|state| *state == State::Created)),
        ("exited", states(|state| matches!(state, State::Exited { .. }))),
        ("running", states(|state| matches!(state, State::Running { .. }))),
    ] {
        text.sample(&[("container_state", state)], count, None);
    }
    text.process();
    answered(text)
}

/// `/metrics/probes`: the agent counts no probes.
pub fn probes() -> Answer {
    answered(Text::default())
}
