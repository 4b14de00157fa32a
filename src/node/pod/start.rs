//! Starting one container: image, specification, create, start, postStart hook.

use super::image::Pulls;
use super::sandbox;
use super::spec;
use super::status::Waiting;
use super::{hooks, image, parts};
use crate::client::Level;
use crate::node::context::Node;
use crate::node::volumes::Places;
use crate::runtime::{self, Sandbox, State};
use k8s_openapi::api::core::v1::{Container, Pod};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long until a start that failed for want of something is tried again without a change.
const RETRY: Duration = Duration::from_secs(10);

/// A container that was not started.
#[derive(Debug)]
pub struct Refused {
    pub waiting: Waiting,
    /// When to try again; nothing leaves it to the restart back-off.
    pub retry: Option<Duration>,
    /// What the runtime has of the attempt.
    pub container: Option<Box<runtime::Container>>,
}

impl Refused {
    /// Tried again after `retry`.
    pub fn later(reason: &str, message: impl Into<String>, retry: Duration) -> Self {
        let waiting = Waiting { reason: reason.into(), message: message.into() };
        Self { waiting, retry: Some(retry), container: None }
    }
}

/// What starting a container needs.
pub struct Start {
    pub node: Arc<Node>,
    pub pod: Arc<Pod>,
    pub container: Container,
    pub attempt: u32,
    pub sandbox: Sandbox,
    pub addresses: Vec<IpAddr>,
    pub pulls: Arc<Pulls>,
    pub volumes: Arc<Places>,
    /// Ends waiting for images and hooks; what the runtime does is always waited for.
    pub cancel: CancellationToken,
}

/// Starts the container; returns it as it is then.
pub async fn container(start: &Start) -> Result<runtime::Container, Refused> {
    let (node, pod, container) = (&start.node, &start.pod, &start.container);
    let tell = |level, reason, message: String| parts::tell(node, pod, Some(&container.name), level, reason, message);
    let image = tokio::select! {
        image = image::ensure(node, pod, container, &start.pulls) => image?,
        () = start.cancel.cancelled() => return Err(canceled()),
    };
    let spec = match spec::build(start, &image).await {
        Ok(spec) => spec,
        Err(why) => {
            tell(Level::Warning, "Failed", format!("Error: {why}"));
            return Err(Refused::later("CreateContainerConfigError", why, RETRY));
        }
    };
    if start.cancel.is_cancelled() {
        return Err(canceled());
    }
    let made = match node.runtime.create_container(&start.sandbox.id, spec).await {
        Ok(made) => made,
        Err(error) => {
            tell(Level::Warning, "Failed", format!("Error: {error}"));
            return Err(Refused::later("CreateContainerError", error.to_string(), RETRY));
        }
    };
    tell(Level::Normal, "Created", format!("Created container: {}", container.name));
    run(start, made).await
}

async fn run(start: &Start, made: runtime::Container) -> Result<runtime::Container, Refused> {
    let (node, pod, container) = (&start.node, &start.pod, &start.container);
    let tell = |level, reason, message: String| parts::tell(node, pod, Some(&container.name), level, reason, message);
    if let Err(error) = node.runtime.start_container(&made.id).await {
        tell(Level::Warning, "Failed", format!("Error: {error}"));
        let known = node.runtime.container(&made.id).await.unwrap_or(made);
        let waiting = Waiting { reason: "RunContainerError".into(), message: error.to_string() };
        let ended = matches!(known.state, State::Exited { .. });
        return Err(Refused { waiting, retry: (!ended).then_some(RETRY), container: Some(Box::new(known)) });
    }
    tell(Level::Normal, "Started", format!("Started container {}", container.name));
    let running = node.runtime.container(&made.id).await.unwrap_or(made);
    post_start(start, running).await
}

/// The postStart hook holds back whatever comes after this container; a hook that fails ends it.
async fn post_start(start: &Start, running: runtime::Container) -> Result<runtime::Container, Refused> {
    let Some(hook) = start.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref()) else {
        return Ok(running);
    };
    let node = &start.node;
    let result = tokio::select! {
        result = hooks::run(node, hook, &start.container, &running, start.addresses.first().copied()) => result,
        () = start.cancel.cancelled() => return Ok(running),
    };
    let Err(why) = result else { return Ok(node.runtime.container(&running.id).await.unwrap_or(running)) };
    tracing::debug!(container = start.container.name, why, "postStart hook failed");
    let name = &start.container.name;
    parts::tell(node, &start.pod, Some(name), Level::Warning, "FailedPostStartHook", "PostStartHook failed");
    let grace = Duration::from_secs(parts::grace_seconds(&start.pod) as u64);
    let message = "FailedPostStartHook".to_string();
    let ended =
        super::stop::container(node, &start.pod, &running, &message, grace, start.addresses.first().copied()).await;
    Err(Refused {
        waiting: Waiting { reason: "PostStartHookError".into(), message: why },
        retry: None,
        container: Some(Box::new(ended.unwrap_or(running))),
    })
}

fn canceled() -> Refused {
    Refused::later("ContainerCreating", "", Duration::ZERO)
}

/// The sandbox of a pod with its addresses, or why there is none.
pub async fn sandbox(node: Arc<Node>, pod: Arc<Pod>, attempt: u32) -> Result<(Sandbox, Vec<IpAddr>), String> {
    sandbox::make(&node, &pod, attempt).await
}
