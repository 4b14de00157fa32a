//! Asking running containers how they are: startup, liveness and readiness probes, one task each.
//!
//! ```text
//! container runs ─▶ startup probe ──succeeded──▶ liveness and readiness probes
//!                        │ too many failures            │ results that passed their threshold
//!                        └──────────────▶ Probed ◀──────┘   ──▶ the pod's worker
//! ```
//!
//! Source of the rules: kubelet `pkg/kubelet/prober` (worker.go, prober.go).

mod ask;
mod cycle;
mod grpc;

use super::context::Node;
use super::pod::parts;
use crate::runtime;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    /// The word in events.
    fn word(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }

    fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Kind::Startup => container.startup_probe.as_ref(),
            Kind::Liveness => container.liveness_probe.as_ref(),
            Kind::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// A result that passed its threshold and differs from the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The container's id.
    pub id: String,
    pub kind: Kind,
    pub success: bool,
}

/// What the probes of one container are about.
pub struct Subject {
    pub node: Arc<Node>,
    pub pod: Arc<Pod>,
    pub spec: Container,
    pub container: runtime::Container,
    pub address: Option<IpAddr>,
}

/// The probes of one running container; dropping it ends them.
pub struct Probes {
    tasks: Vec<(Kind, AbortOnDropHandle<()>)>,
}

impl Probes {
    /// Starts the probes that the container asks for. `started` says that its startup probe has succeeded already.
    pub fn start(subject: Subject, started: bool, results: &mpsc::UnboundedSender<Probed>) -> Self {
        let (starter, waits) = watch::channel(started || subject.spec.startup_probe.is_none());
        let (subject, starter) = (Arc::new(subject), Arc::new(starter));
        let mut tasks = Vec::new();
        for kind in [Kind::Startup, Kind::Liveness, Kind::Readiness] {
            let Some(probe) = kind.of(&subject.spec).cloned() else { continue };
            if kind == Kind::Startup && started {
                continue;
            }
            let cycle = cycle::Cycle::new(subject.clone(), kind, probe, results.clone());
            let (starter, mut waits) = (starter.clone(), waits.clone());
            let task = tokio::spawn(async move {
                if kind == Kind::Startup {
                    if cycle.run().await {
                        starter.send_replace(true);
                    }
                } else if waits.wait_for(|started| *started).await.is_ok() {
                    cycle.run().await;
                }
            });
            tasks.push((kind, AbortOnDropHandle::new(task)));
        }
        Self { tasks }
    }

    /// The pod ends: a container that does not answer any more is no reason to kill it.
    pub fn only_readiness(&mut self) {
        self.tasks.retain(|(kind, _)| *kind == Kind::Readiness);
    }
}

/// Whether a container asks for any probe.
pub fn has_any(container: &Container) -> bool {
    [Kind::Startup, Kind::Liveness, Kind::Readiness].iter().any(|kind| kind.of(container).is_some())
}

/// `NAME` of the container, for messages.
fn title(subject: &Subject) -> String {
    format!("{} of {}", subject.spec.name, parts::title(&subject.pod))
}
