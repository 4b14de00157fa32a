//! Kinds of the group `scheduling.k8s.io`.

use super::Kind;

pub(super) const PRIORITY_CLASS: Kind = kind!(
    Cluster,
    "scheduling.k8s.io" / "v1",
    "io.k8s.api.scheduling",
    "PriorityClass",
    "priorityclasses",
    "priorityclass",
    short: names!["pc"],
);
