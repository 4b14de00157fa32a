//! Stopping containers: hook first, then the signal, then SIGKILL when the grace is over.

use super::{hooks, parts};
use crate::client::Level;
use crate::node::context::Node;
use crate::runtime::{self, Container};
use k8s_openapi::api::core::v1::Pod;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// A container is never given less, however long its hook took (kubelet: minimumGracePeriodInSeconds).
const LEAST: Duration = Duration::from_secs(2);

/// Stops one container; returns when it has ended.
pub async fn container(
    node: &Node,
    pod: &Pod,
    container: &Container,
    message: &str,
    grace: Duration,
    address: Option<IpAddr>,
) -> Result<Container, runtime::Error> {
    let name = &container.spec.name;
    parts::tell(node, pod, Some(name), Level::Normal, "Killing", message);
    let began = Instant::now();
    if let Some((_, spec)) = parts::container(pod, name)
        && let Some(hook) = spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref())
    {
        let running = hooks::run(node, hook, &spec, container, address);
        let failure = match tokio::time::timeout(grace, running).await {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some("the hook did not end within the grace period".to_string()),
        };
        if let Some(why) = failure {
            tracing::debug!(container = name, why, "preStop hook failed");
            parts::tell(node, pod, Some(name), Level::Warning, "FailedPreStopHook", "PreStopHook failed");
        }
    }
    let spent = began.elapsed();
    let left = if spent.is_zero() { grace } else { grace.saturating_sub(spent).max(LEAST.min(grace)) };
    match node.runtime.stop_container(&container.id, left).await {
        Ok(()) | Err(runtime::Error::NotRunning(_)) => {}
        Err(error) => return Err(error),
    }
    node.runtime.container(&container.id).await
}

/// Stops everything of a pod that runs: first all but the sidecars, then the sidecars, last one first.
pub async fn all(
    node: &Node,
    pod: &Pod,
    running: Vec<Container>,
    grace: Duration,
    address: Option<IpAddr>,
) -> Vec<Container> {
    let position = |container: &Container| {
        let inits = parts::init_containers(pod);
        inits.iter().position(|init| init.name == container.spec.name && parts::is_sidecar(init))
    };
    let (mut sidecars, others): (Vec<_>, Vec<_>) = running.into_iter().partition(|one| position(one).is_some());
    sidecars.sort_by_key(|one| std::cmp::Reverse(position(one)));
    let began = Instant::now();
    let stopping = others.iter().map(|one| stop_one(node, pod, one, grace, address));
    let mut ended: Vec<Container> = futures::future::join_all(stopping).await.into_iter().flatten().collect();
    for sidecar in &sidecars {
        let left = grace.saturating_sub(began.elapsed()).max(LEAST.min(grace));
        ended.extend(stop_one(node, pod, sidecar, left, address).await);
    }
    ended
}

async fn stop_one(
    node: &Node,
    pod: &Pod,
    one: &Container,
    grace: Duration,
    address: Option<IpAddr>,
) -> Option<Container> {
    let message = format!("Stopping container {}", one.spec.name);
    match container(node, pod, one, &message, grace, address).await {
        Ok(ended) => Some(ended),
        Err(error) => {
            // Stopping the sandbox, which comes next, kills what is left.
            tracing::warn!(%error, container = one.id, "container not stopped");
            None
        }
    }
}
