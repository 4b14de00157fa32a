//! One worker per pod: everything that happens to the pod comes in here, one thing after the other.
//!
//! ```text
//!            ┌──────────────── Running ────────────────┐
//!  new ─────▶│ plan ▶ sandbox ▶ init ▶ containers ▶ …  │ one start at a time, kills beside it
//!            └───┬─────────────────────────────────────┘
//!   deletion, completion, deadline, eviction, object gone
//!                ▼
//!             Ending     preStop hooks, signals, grace; sidecars last
//!                ▼
//!             Cleaning   links, sandboxes, volumes
//!                ▼
//!             Over       final status; waits here for a deletion
//!                ▼  deletionTimestamp
//!             Deleting   DELETE with grace 0 and the pod's uid
//!                ▼  object gone
//!             Removing   containers, logs, folder ──▶ worker ends
//! ```

use super::backoff::Backoffs;
use super::history::{History, is_running};
use super::image::Pulls;
use super::parts;
use super::plan::{Failed, Health, Healths};
use super::resize::{self, Resize};
use super::start::Refused;
use super::status::{self, Ended, Facts, Waiting};
use super::{messages, publish};
use crate::node::context::Node;
use crate::node::pods::{Attempt, Seen};
use crate::node::probes::{self, Probed, Probes, Subject};
use crate::node::volumes::Follower;
use crate::runtime::{self, Container, Sandbox, State};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two writes of a status that the server refused.
const WRITE_RETRY: Duration = Duration::from_secs(1);
/// How long what comes of a newer generation may take before it is told as it is then.
const NOTICE: Duration = Duration::from_millis(250);

/// What a worker is told.
#[derive(Debug)]
pub enum Message {
    /// The object as it is now.
    Pod(Arc<Pod>),
    /// The object is gone.
    Gone,
    /// A container changed.
    Container(Container),
    /// A sandbox lost its namespaces.
    SandboxGone(String),
    /// Everything that the runtime has of the pod, after a gap in its events.
    Relist(Vec<Sandbox>, Vec<Container>),
    /// The node is short of something: the pod ends, with so many seconds of grace at most.
    Evict(Ended, i64),
}

/// How far the pod is.
pub(super) enum Stage {
    Running,
    Ending {
        grace: i64,
        stopping: BoxFuture<'static, Vec<Container>>,
    },
    Cleaning {
        cleaning: BoxFuture<'static, Result<Vec<Container>, String>>,
    },
    Over,
    Deleting {
        deleting: BoxFuture<'static, kube::Result<()>>,
    },
    /// The deletion was accepted; finalizers may hold the object.
    Deleted,
    Removing {
        removing: BoxFuture<'static, ()>,
    },
    Removed,
}

/// What a start came to.
pub(super) enum Outcome {
    /// Nothing when the wait for them was given up.
    Volumes(Option<Follower>),
    Sandbox(Result<(Sandbox, Vec<IpAddr>), String>),
    Container(String, Result<Container, Refused>),
}

/// The one start that is under way.
pub(super) struct Starting {
    pub cancel: CancellationToken,
    pub outcome: BoxFuture<'static, Outcome>,
}

type Stopped = (String, Result<Container, runtime::Error>);

/// The state of one pod on this node.
pub struct Worker {
    pub(super) node: Arc<Node>,
    pub(super) pod: Arc<Pod>,
    inbox: mpsc::UnboundedReceiver<Message>,
    pub(super) history: History,
    pub(super) healths: Healths,
    /// By container id.
    probes: HashMap<String, Probes>,
    probed: (mpsc::UnboundedSender<Probed>, mpsc::UnboundedReceiver<Probed>),
    pub(super) addresses: Vec<IpAddr>,
    pub(super) waiting: BTreeMap<String, Waiting>,
    /// Not before: containers by name, the sandbox and the deletion under names no container can have.
    pub(super) not_before: BTreeMap<String, Instant>,
    pub(super) backoffs: Backoffs,
    /// When the newest attempt of a container ended, by container name.
    pub(super) exited: HashMap<String, Instant>,
    pub(super) pulls: Arc<Pulls>,
    /// The volumes, once all of them are set up.
    pub(super) volumes: Option<Follower>,
    messages: HashMap<String, String>,
    start_time: Time,
    /// `start_time` by the process's clock.
    started: Instant,
    /// The next measuring of what the pod takes on disk, if that is limited.
    pub(super) measuring: Option<BoxFuture<'static, Option<String>>>,
    /// The writing of new limits, if they changed.
    pub(super) resizing: Option<BoxFuture<'static, Result<Vec<Container>, String>>>,
    /// How far that is, and the containers by name that wait for it.
    pub(super) resize: (Resize, Vec<String>),
    /// Told when other pods have something else of the node, which one that waits for room looks at.
    pub(super) room: watch::Receiver<()>,
    pub(super) ended: Option<Ended>,
    /// Seconds that an eviction leaves at most.
    pub(super) last_grace: Option<i64>,
    pub(super) stage: Stage,
    /// The object is gone: nothing is written any more.
    pub(super) api_gone: bool,
    pub(super) starting: Option<Starting>,
    pub(super) stopping: FuturesUnordered<BoxFuture<'static, Stopped>>,
    pub(super) stopping_ids: HashSet<String>,
    writing: Option<BoxFuture<'static, kube::Result<Pod>>>,
    write_not_before: Option<Instant>,
    /// When what comes of a newer generation is told.
    notice: Option<Instant>,
    /// The status that was computed last is the one that the server has, but for a notice.
    pub(super) is_published: bool,
}

impl Worker {
    /// A worker for `pod`, of which the runtime has what was `found`; one that was `refused` only tells why.
    pub fn new(
        node: Arc<Node>,
        pod: Arc<Pod>,
        inbox: mpsc::UnboundedReceiver<Message>,
        found: (Vec<Sandbox>, Vec<Container>),
        refused: Option<Ended>,
    ) -> Self {
        let start_time = parts::status(&pod).start_time.clone().unwrap_or_else(super::now);
        let mut worker = Self {
            room: node.pods.changes(),
            node,
            pod,
            inbox,
            history: History::default(),
            healths: Healths::new(),
            probes: HashMap::new(),
            probed: mpsc::unbounded_channel(),
            addresses: Vec::new(),
            waiting: BTreeMap::new(),
            not_before: BTreeMap::new(),
            backoffs: Backoffs::default(),
            exited: HashMap::new(),
            pulls: Arc::default(),
            volumes: None,
            messages: HashMap::new(),
            started: earlier(start_time.0),
            start_time,
            measuring: None,
            resizing: None,
            resize: (Resize::Done, Vec::new()),
            ended: refused,
            last_grace: None,
            stage: Stage::Running,
            api_gone: false,
            starting: None,
            stopping: FuturesUnordered::new(),
            stopping_ids: HashSet::new(),
            writing: None,
            write_not_before: None,
            notice: None,
            is_published: false,
        };
        worker.adopt(found);
        worker
    }

    /// Runs until the pod is gone or nobody sends messages any more.
    pub async fn run(mut self) {
        loop {
            self.advance();
            if matches!(self.stage, Stage::Removed) {
                return;
            }
            self.tell_node();
            let was_published = self.is_published;
            self.publish();
            if self.is_published && !was_published {
                // What waits for it may begin, and nobody else may ever say so: the watch can be ahead of the write's answer.
                continue;
            }
            if !self.wait().await {
                return;
            }
        }
    }

    /// Takes over what an earlier agent left: running containers go on, with the readiness that the API knows.
    fn adopt(&mut self, (sandboxes, containers): (Vec<Sandbox>, Vec<Container>)) {
        sandboxes.into_iter().for_each(|sandbox| self.history.take_sandbox(sandbox));
        for container in containers {
            let running = is_running(&container);
            let (id, name) = (container.id.clone(), container.spec.name.clone());
            self.observe(container);
            if running {
                let health = self.adopted_health(&id, &name);
                self.healths.insert(id, health);
            }
        }
        if self.history.ready_sandbox().is_some() {
            let known = parts::status(&self.pod).pod_ips.iter().flatten();
            self.addresses = known.filter_map(|address| address.ip.parse().ok()).collect();
        }
        let running: Vec<Container> = self.history.all().filter(|one| is_running(one)).cloned().collect();
        running.iter().for_each(|container| self.probe(container));
    }

    /// Starts the probes of a container that runs.
    pub(super) fn probe(&mut self, container: &Container) {
        let Some((_, spec)) = parts::container(&self.pod, &container.spec.name) else { return };
        if !probes::has_any(&spec) || matches!(self.stage, Stage::Ending { .. }) {
            return;
        }
        let started = self.healths.get(&container.id).is_some_and(|health| health.started);
        let subject = Subject {
            node: self.node.clone(),
            pod: self.pod.clone(),
            spec: spec.into_owned(),
            container: container.clone(),
            address: self.addresses.first().copied(),
        };
        self.probes.insert(container.id.clone(), Probes::start(subject, started, &self.probed.0));
    }

    fn take_probed(&mut self, probed: &Probed) {
        let Some(health) = self.healths.get_mut(&probed.id) else { return };
        match (probed.kind, probed.success) {
            (probes::Kind::Startup, true) => health.started = true,
            (probes::Kind::Startup, false) => health.failed = Some(Failed::Startup),
            (probes::Kind::Readiness, ready) => health.ready = ready,
            (probes::Kind::Liveness, true) => {}
            (probes::Kind::Liveness, false) => health.failed = Some(Failed::Liveness),
        }
    }

    /// The pod ends: from now on only readiness is asked for.
    pub(super) fn probe_less(&mut self) {
        self.probes.values_mut().for_each(Probes::only_readiness);
    }

    fn adopted_health(&self, id: &str, name: &str) -> Health {
        let Some((kind, spec)) = parts::container(&self.pod, name) else { return Health::default() };
        let known = parts::known_status(&self.pod, kind, name)
            .filter(|known| known.container_id.as_deref() == Some(&format!("coracle://{id}")));
        Health {
            started: spec.startup_probe.is_none() || known.is_some_and(|known| known.started == Some(true)),
            ready: spec.readiness_probe.is_none() || known.is_some_and(|known| known.ready),
            failed: None,
        }
    }

    /// Waits for one thing and takes it. `false` when there will be nothing more.
    async fn wait(&mut self) -> bool {
        let wake = self.next_wake();
        tokio::select! {
            message = self.inbox.recv() => match message {
                Some(message) => self.take(message),
                None => return false,
            },
            Some(probed) = self.probed.1.recv() => self.take_probed(&probed),
            outcome = outcome(&mut self.starting) => {
                self.starting = None;
                self.take_outcome(outcome);
            }
            Some((id, result)) = self.stopping.next(), if !self.stopping.is_empty() => self.take_stopped(id, result),
            written = written(&mut self.writing) => {
                self.writing = None;
                self.take_written(written);
            }
            exceeded = measured(&mut self.measuring) => {
                self.measuring = None;
                self.take_measured(exceeded);
            }
            resized = resized(&mut self.resizing) => {
                self.resizing = None;
                self.take_resized(resized);
            }
            // Told once more for the one who looks.
            Ok(()) = self.room.changed(), if self.resize.0.waits_for_room() => self.room.mark_changed(),
            next = next_stage(&mut self.stage) => self.enter(next),
            () = sleep_until(wake) => {}
        }
        true
    }

    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let waits = self.not_before.values().copied().filter(|at| *at > now);
        let deadline = matches!(self.stage, Stage::Running).then(|| self.deadline()).flatten();
        waits.chain(deadline).chain(self.write_not_before).chain(self.notice).min()
    }

    /// When `activeDeadlineSeconds` is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let seconds = parts::spec(&self.pod).active_deadline_seconds?;
        self.started.checked_add(Duration::from_secs(seconds.max(0) as u64))
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Pod(pod) => self.take_pod(pod),
            Message::Gone => self.api_gone = true,
            Message::Container(container) => self.observe(container),
            Message::SandboxGone(id) => self.history.sandbox_gone(&id),
            Message::Relist(sandboxes, containers) => self.relist(sandboxes, containers),
            Message::Evict(why, grace) => self.evict(why, grace),
        }
    }

    /// The answer to a write may be newer than what the watch brings next.
    fn take_pod(&mut self, pod: Arc<Pod>) {
        let version =
            |pod: &Pod| pod.metadata.resource_version.as_deref().and_then(|version| version.parse::<u64>().ok());
        if let (Some(known), Some(new)) = (version(&self.pod), version(&pod))
            && new < known
        {
            return;
        }
        if pod.metadata.annotations != self.pod.metadata.annotations || pod.metadata.labels != self.pod.metadata.labels
        {
            self.retry_configuration();
        }
        if let Some(volumes) = &self.volumes {
            volumes.pod_changed(pod.clone());
        }
        if pod.metadata.generation != self.pod.metadata.generation {
            self.not_before.remove(super::drive::RESIZE);
            self.room.mark_changed();
        }
        self.pod = pod;
    }

    /// What a container's configuration lacked may be there now.
    fn retry_configuration(&mut self) {
        let lacking = self.waiting.iter().filter(|(_, waiting)| waiting.reason == "CreateContainerConfigError");
        for (name, _) in lacking {
            self.not_before.remove(name);
        }
    }

    fn relist(&mut self, sandboxes: Vec<Sandbox>, containers: Vec<Container>) {
        let alive: HashSet<&String> = sandboxes.iter().map(|sandbox| &sandbox.id).collect();
        let lost: Vec<String> =
            self.history.sandboxes.iter().map(|known| known.id.clone()).filter(|id| !alive.contains(id)).collect();
        lost.iter().for_each(|id| self.history.sandbox_gone(id));
        let there: HashSet<String> = containers.iter().map(|container| container.id.clone()).collect();
        let missing: Vec<String> =
            self.history.all().map(|known| known.id.clone()).filter(|id| !there.contains(id)).collect();
        missing.iter().for_each(|id| self.history.forget(id));
        sandboxes.into_iter().for_each(|sandbox| self.history.take_sandbox(sandbox));
        containers.into_iter().for_each(|container| self.observe(container));
    }

    /// Takes what is known of a container now.
    pub(super) fn observe(&mut self, container: Container) {
        let (id, name) = (container.id.clone(), container.spec.name.clone());
        let was_over = self.history.by_id(&id).is_some_and(|known| matches!(known.state, State::Exited { .. }));
        if let State::Exited { finished_at, .. } = container.state
            && !was_over
        {
            let message = messages::of(&self.node, &self.pod, &container);
            self.messages.insert(id.clone(), message);
            self.exited.insert(name, earlier(finished_at));
            self.healths.remove(&id);
            self.probes.remove(&id);
        }
        self.history.take(container);
        for old in self.history.expire() {
            self.messages.remove(&old.id);
            tokio::spawn(messages::remove_container(self.node.clone(), self.pod.clone(), old));
        }
    }

    fn take_stopped(&mut self, id: String, result: Result<Container, runtime::Error>) {
        self.stopping_ids.remove(&id);
        match result {
            Ok(container) => self.observe(container),
            Err(runtime::Error::NotFound(_)) => self.history.forget(&id),
            Err(error) => tracing::warn!(%error, container = id, "container not stopped"),
        }
    }

    fn take_written(&mut self, written: kube::Result<Pod>) {
        match written {
            Ok(mut pod) => {
                pod.metadata.managed_fields = None;
                self.take_pod(Arc::new(pod));
            }
            // The watch tells that it is gone.
            Err(kube::Error::Api(status)) if status.code == 404 => {
                self.write_not_before = Some(Instant::now() + WRITE_RETRY);
            }
            Err(error) => {
                tracing::warn!(%error, pod = parts::title(&self.pod), "pod status not written");
                self.write_not_before = Some(Instant::now() + WRITE_RETRY);
            }
        }
    }

    /// Starts writing the status if it differs from what the server has.
    fn publish(&mut self) {
        let (now, notice) = (Instant::now(), self.notice.take());
        self.write_not_before = self.write_not_before.filter(|at| *at > now);
        if self.api_gone || self.writing.is_some() || self.write_not_before.is_some() {
            return;
        }
        let status = status::of(&self.facts());
        let Some(patch) = publish::patch(&self.pod, &status) else {
            self.is_published = true;
            return;
        };
        self.is_published = publish::is_notice(&self.pod, &status);
        let at = if self.settles() { notice.unwrap_or(now + NOTICE) } else { now };
        if at > now {
            self.notice = Some(at);
            return;
        }
        let pods: Api<Pod> = Api::namespaced(self.node.client.clone(), parts::namespace(&self.pod));
        let name = parts::name(&self.pod).to_string();
        self.writing = Some(async move { publish::write(&pods, &name, patch).await }.boxed());
    }

    /// Whether a newer generation has just come, of which nothing was told yet: what it changes is told when it is done, a
    /// container that is made anew as running again and not as gone. A deletion does not wait.
    fn settles(&self) -> bool {
        let told = parts::status(&self.pod).observed_generation;
        told.is_some() && told != self.pod.metadata.generation && !parts::is_deleted(&self.pod)
    }

    /// What others of this node may know of the pod.
    pub fn tell_node(&self) {
        let folder = messages::log_folder(&self.node, &self.pod);
        let attempt = |one: &Container| Attempt {
            id: one.id.clone(),
            name: one.spec.name.clone(),
            state: one.state.clone(),
            log: folder.join(&one.spec.log_path),
        };
        self.node.pods.set(Seen {
            pod: match &self.resize {
                (Resize::Pending(..), names) => Arc::new(resize::without(&self.pod, names)),
                _ => self.pod.clone(),
            },
            sandbox: self.history.ready_sandbox().map(|sandbox| sandbox.id.clone()),
            attempts: self.history.all().map(attempt).collect(),
            is_over: self.is_over(),
        });
    }

    fn is_over(&self) -> bool {
        !matches!(self.stage, Stage::Running | Stage::Ending { .. } | Stage::Cleaning { .. })
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            pod: &self.pod,
            history: &self.history,
            healths: &self.healths,
            waiting: &self.waiting,
            messages: &self.messages,
            node_address: self.node.profile.network.node_address,
            addresses: &self.addresses,
            sandbox_ready: self.history.ready_sandbox().is_some() && !self.addresses.is_empty(),
            start_time: self.start_time.clone(),
            ended: self.ended.as_ref(),
            resize: &self.resize.0,
            not_resized: &self.resize.1,
            is_over: self.is_over(),
        }
    }
}

/// The moment of the process's clock at a moment of the calendar that is past.
fn earlier(at: Timestamp) -> Instant {
    let ago = Timestamp::now().duration_since(at).as_secs_f64().max(0.0);
    let now = Instant::now();
    now.checked_sub(Duration::from_secs_f64(ago)).unwrap_or(now)
}

async fn outcome(starting: &mut Option<Starting>) -> Outcome {
    match starting {
        Some(starting) => (&mut starting.outcome).await,
        None => std::future::pending().await,
    }
}

async fn written(writing: &mut Option<BoxFuture<'static, kube::Result<Pod>>>) -> kube::Result<Pod> {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}

async fn measured(measuring: &mut Option<BoxFuture<'static, Option<String>>>) -> Option<String> {
    match measuring {
        Some(measuring) => measuring.await,
        None => std::future::pending().await,
    }
}

async fn resized(
    resizing: &mut Option<BoxFuture<'static, Result<Vec<Container>, String>>>,
) -> Result<Vec<Container>, String> {
    match resizing {
        Some(resizing) => resizing.await,
        None => std::future::pending().await,
    }
}

/// What the stage's own work came to.
pub(super) enum Step {
    Stopped(Vec<Container>),
    Cleaned(Result<Vec<Container>, String>),
    Deleted(kube::Result<()>),
    Removed,
}

async fn next_stage(stage: &mut Stage) -> Step {
    match stage {
        Stage::Ending { stopping, .. } => Step::Stopped(stopping.await),
        Stage::Cleaning { cleaning } => Step::Cleaned(cleaning.await),
        Stage::Deleting { deleting } => Step::Deleted(deleting.await),
        Stage::Removing { removing } => {
            removing.await;
            Step::Removed
        }
        Stage::Running | Stage::Over | Stage::Deleted | Stage::Removed => std::future::pending().await,
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
