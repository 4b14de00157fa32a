//! What the node, its pods and its containers use: read when somebody asks, shown as `/stats/summary` and as metrics.
//!
//! ```text
//! runtime (containers) ┐
//! cgroups (node, pods) ┼─▶ Figures ─┬─▶ summary   JSON; rates since whoever asked before
//! /proc (networks)     ┘            └─▶ metrics   Prometheus' text; counters only
//! ```

mod cgroup;
mod collect;
mod metrics;
mod network;
mod rates;
mod summary;

pub use cgroup::{ROOT, read};
pub use collect::{Figures, PodFigures};
pub use metrics::{cadvisor, own, probes, resource};
pub use rates::Rates;
pub use summary::answer as summary;
