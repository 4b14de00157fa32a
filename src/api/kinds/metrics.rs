//! Kinds of the group `metrics.k8s.io`: what nodes and pods use. They are measured when asked for and never stored.
//!
//! Source of names and columns: k8s.io/metrics `pkg/apis/metrics` and sigs.k8s.io/metrics-server `pkg/api`.

use super::entry::columns::NAME;
use super::{Column, Kind, Object, READ_ONLY, print};
use crate::api::quantity::Quantity;
use serde_json::Value;
use std::borrow::Cow;

pub(super) const NODE_METRICS: Kind = kind!(
    Cluster,
    "metrics.k8s.io" / "v1beta1",
    "io.k8s.metrics.pkg.apis.metrics",
    "NodeMetrics",
    "nodes",
    "node",
    verbs: READ_ONLY,
    columns: Cow::Borrowed(NODE_COLUMNS),
);

pub(super) const POD_METRICS: Kind = kind!(
    Namespaced,
    "metrics.k8s.io" / "v1beta1",
    "io.k8s.metrics.pkg.apis.metrics",
    "PodMetrics",
    "pods",
    "pod",
    verbs: READ_ONLY,
    columns: Cow::Borrowed(POD_COLUMNS),
);

const NODE_COLUMNS: &[Column] = &[
    NAME,
    print::column("cpu", "string", "Processor time used per second.", |node, _| print::text(node, &["usage", "cpu"])),
    print::column("memory", "string", "Memory that cannot be given back.", |node, _| {
        print::text(node, &["usage", "memory"])
    }),
    WINDOW,
];

const POD_COLUMNS: &[Column] = &[
    NAME,
    print::column("cpu", "string", "Processor time used per second.", |pod, _| match used(pod, "cpu") {
        Some(cpu) => format!("{}m", cpu.milli()).into(),
        None => Value::Null,
    }),
    print::column("memory", "string", "Memory that cannot be given back.", |pod, _| match used(pod, "memory") {
        Some(memory) => format!("{}Ki", memory.units() / 1024).into(),
        None => Value::Null,
    }),
    WINDOW,
];

const WINDOW: Column = print::column("Window", "string", "Time that processor use is an average of.", |object, _| {
    print::text(object, &["window"])
});

/// What all containers of a pod use together.
fn used(pod: &Object, resource: &str) -> Option<Quantity> {
    let amounts = print::list(pod, &["containers"]).iter().map(|one| print::field(&one["usage"], resource).parse());
    amounts.collect::<Result<Vec<Quantity>, _>>().ok()?.into_iter().reduce(Quantity::plus)
}
