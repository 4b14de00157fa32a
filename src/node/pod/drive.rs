//! What a worker does next: the transitions of its stages, and the operations that it begins.

use super::history::is_running;
use super::plan::{self, Health, Kill};
use super::resize::{self, Resize};
use super::start::{self, Start};
use super::status::{Ended, Waiting};
use super::worker::{Outcome, Stage, Starting, Step, Worker};
use super::{messages, parts, room, sandbox, stop};
use crate::client::Level;
use crate::node::context::Node;
use crate::node::volumes::{self, Follower};
use crate::runtime::{Container, State};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Names of waits that no container can have.
const SANDBOX: &str = "<sandbox>";
const DELETION: &str = "<deletion>";
pub(super) const RESIZE: &str = "<resize>";
/// After new limits could not be written.
const RESIZE_RETRY: Duration = Duration::from_secs(10);
/// After a sandbox, a cleaning or a deletion failed.
const RETRY: Duration = Duration::from_secs(2);

impl Worker {
    /// Begins whatever can be begun now.
    pub(super) fn advance(&mut self) {
        self.check_deadline();
        match self.stage {
            Stage::Running => self.advance_running(),
            Stage::Ending { grace, .. } => self.shorten(grace),
            Stage::Cleaning { .. } | Stage::Deleting { .. } | Stage::Removing { .. } | Stage::Removed => {}
            Stage::Over => self.advance_over(),
            Stage::Deleted if self.api_gone => self.remove(),
            Stage::Deleted => {}
        }
    }

    fn check_deadline(&mut self) {
        let over = self.deadline().is_some_and(|deadline| deadline <= Instant::now());
        if !over || self.ended.is_some() || parts::is_terminal(&self.pod) || !matches!(self.stage, Stage::Running) {
            return;
        }
        let message = "Pod was active on the node longer than the specified deadline".to_string();
        parts::tell(&self.node, &self.pod, None, Level::Normal, "DeadlineExceeded", message.clone());
        self.ended = Some(Ended { reason: "DeadlineExceeded".into(), message });
    }

    fn advance_running(&mut self) {
        let must_end =
            parts::is_deleted(&self.pod) || parts::is_terminal(&self.pod) || self.api_gone || self.ended.is_some();
        if must_end {
            return self.end();
        }
        self.measure();
        self.resize();
        let plan = plan::next(&self.pod, &self.history, &self.healths);
        plan.kill.into_iter().for_each(|kill| self.kill(kill));
        if self.starting.is_some() {
            return;
        }
        if plan.finished {
            return self.end();
        }
        if self.volumes.is_none() {
            self.mount_volumes();
        } else if plan.make_sandbox {
            self.make_sandbox();
        } else if self.addresses.is_empty() {
            self.link();
        } else if let Some(name) = plan.start.into_iter().find(|name| self.may_start(name)) {
            self.start(&name);
        }
    }

    /// Brings running containers to what they ask for now.
    fn resize(&mut self) {
        let waits = self.resize.0.waits_for_room() && !self.room.has_changed().unwrap_or(true);
        if self.resizing.is_some() || self.is_held(RESIZE) || waits {
            return;
        }
        self.room.mark_unchanged();
        let changes = resize::changes(&self.node, &self.pod, &self.history);
        let names: Vec<String> = changes.iter().map(|change| change.name.clone()).collect();
        if changes.is_empty() {
            self.resize = (Resize::Done, names);
            return;
        }
        if let Some(pending) = resize::pending(&self.node, &self.pod) {
            self.resize = (pending, names);
            return;
        }
        let error = match std::mem::take(&mut self.resize.0) {
            Resize::InProgress(error) => error,
            _ => None,
        };
        self.resize = (Resize::InProgress(error), names);
        let (restarts, changes): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.restarts);
        restarts.iter().for_each(|change| self.kill(change.kill()));
        let Some(sandbox) = self.history.ready_sandbox().map(|sandbox| sandbox.id.clone()) else { return };
        let (node, pod) = (self.node.clone(), self.pod.clone());
        self.resizing = Some(resize::apply(node, pod, sandbox, changes).boxed());
    }

    pub(super) fn take_resized(&mut self, resized: Result<Vec<Container>, String>) {
        match resized {
            Ok(containers) => {
                containers.into_iter().for_each(|container| self.observe(container));
                self.resize = (Resize::InProgress(None), std::mem::take(&mut self.resize.1));
                // One that is being restarted is looked at again when it has ended.
                if !self.stopping_ids.is_empty() {
                    self.hold(RESIZE, RETRY);
                }
            }
            Err(why) => {
                self.resize.0 = Resize::InProgress(Some(why));
                self.hold(RESIZE, RESIZE_RETRY);
            }
        }
    }

    /// Measures after a while what the pod takes on disk.
    fn measure(&mut self) {
        if self.measuring.is_some() || !room::is_limited(&self.pod) {
            return;
        }
        let running: Vec<Container> = self.history.all().filter(|one| is_running(one)).cloned().collect();
        if running.is_empty() {
            return;
        }
        let (node, pod) = (self.node.clone(), self.pod.clone());
        let measuring = async move {
            tokio::time::sleep(room::PERIOD).await;
            room::exceeded(node, pod, running).await
        };
        self.measuring = Some(measuring.boxed());
    }

    pub(super) fn take_measured(&mut self, exceeded: Option<String>) {
        let Some(message) = exceeded else { return };
        self.evict(Ended { reason: "Evicted".into(), message }, parts::grace_seconds(&self.pod));
    }

    /// Ends the pod for the node's sake, unless it ends already.
    pub(super) fn evict(&mut self, why: Ended, grace: i64) {
        if self.ended.is_some() || parts::is_terminal(&self.pod) || !matches!(self.stage, Stage::Running) {
            return;
        }
        parts::tell(&self.node, &self.pod, None, Level::Warning, &why.reason, why.message.clone());
        self.ended = Some(why);
        self.last_grace = Some(grace);
    }

    fn is_held(&self, name: &str) -> bool {
        self.not_before.get(name).is_some_and(|at| *at > Instant::now())
    }

    fn hold(&mut self, name: &str, duration: Duration) {
        self.not_before.insert(name.to_string(), Instant::now() + duration);
    }

    fn mount_volumes(&mut self) {
        let cancel = CancellationToken::new();
        let mounting = volumes::mount(self.node.clone(), self.pod.clone(), cancel.clone());
        let outcome = async move { Outcome::Volumes(mounting.await) };
        self.starting = Some(Starting { cancel, outcome: outcome.boxed() });
    }

    fn make_sandbox(&mut self) {
        if self.is_held(SANDBOX) {
            return;
        }
        let old: Vec<String> = self.history.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        if !old.is_empty() {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            parts::tell(&self.node, &self.pod, None, Level::Normal, "SandboxChanged", message);
        }
        self.addresses.clear();
        let (node, pod, attempt) = (self.node.clone(), self.pod.clone(), self.history.next_sandbox_attempt());
        let outcome = async move {
            for id in &old {
                if let Err(why) = sandbox::end(&node, id).await {
                    return Outcome::Sandbox(Err(why));
                }
            }
            Outcome::Sandbox(start::sandbox(node, pod, attempt).await)
        };
        self.starting = Some(Starting { cancel: CancellationToken::new(), outcome: outcome.boxed() });
    }

    /// An adopted sandbox whose addresses are not known.
    fn link(&mut self) {
        let Some(sandbox) = self.history.ready_sandbox().cloned() else { return };
        if self.is_held(SANDBOX) {
            return;
        }
        let node = self.node.clone();
        let outcome = async move {
            let linked = sandbox::link(&node, &sandbox).await;
            Outcome::Sandbox(linked.map(|addresses| (sandbox, addresses)))
        };
        self.starting = Some(Starting { cancel: CancellationToken::new(), outcome: outcome.boxed() });
    }

    /// Whether a container may be started now; if not, its status says why.
    fn may_start(&mut self, name: &str) -> bool {
        if self.is_held(name) || self.history.latest(name).is_some_and(|latest| self.stopping_ids.contains(&latest.id))
        {
            return false;
        }
        let exited = self.history.latest(name).is_some_and(|latest| matches!(latest.state, State::Exited { .. }));
        let Some(failed) = self.exited.get(name).copied().filter(|_| exited) else { return true };
        let now = Instant::now();
        let Some((delay, left)) = self.backoffs.wait(name, failed, now) else {
            self.backoffs.next(name, failed, now);
            // A start that is refused is no new failure of the container.
            self.exited.remove(name);
            return true;
        };
        let title = parts::title(&self.pod);
        let message = format!("back-off {} restarting failed container={name} pod={title}", go_duration(delay));
        self.waiting.insert(name.to_string(), Waiting { reason: "CrashLoopBackOff".into(), message });
        self.hold(name, left);
        let told = format!("Back-off restarting failed container {name} in pod {title}");
        parts::tell(&self.node, &self.pod, Some(name), Level::Warning, "BackOff", told);
        false
    }

    fn start(&mut self, name: &str) {
        let Some((kind, container)) = parts::container(&self.pod, name) else { return };
        let Some(sandbox) = self.history.ready_sandbox().cloned() else { return };
        let known = parts::known_status(&self.pod, kind, name).filter(|known| known.container_id.is_some());
        let attempt = match self.history.latest(name) {
            // It never ran: the attempt is used again.
            Some(latest) if latest.state == State::Created => latest.spec.attempt,
            Some(latest) => latest.spec.attempt + 1,
            None => known.map_or(0, |known| known.restart_count as u32 + 1),
        };
        let never_ran: Vec<String> = self.never_ran(name);
        never_ran.iter().for_each(|id| self.history.forget(id));
        let cancel = CancellationToken::new();
        let start = Start {
            node: self.node.clone(),
            pod: self.pod.clone(),
            container: container.into_owned(),
            attempt,
            sandbox,
            addresses: self.addresses.clone(),
            pulls: self.pulls.clone(),
            volumes: self.volumes.as_ref().map(Follower::places).unwrap_or_default(),
            cancel: cancel.clone(),
        };
        let outcome = async move {
            for id in &never_ran {
                // If it cannot be removed, the creation under the same name says why.
                start.node.runtime.remove_container(id).await.ok();
            }
            let started = start::container(&start).await;
            Outcome::Container(start.container.name, started)
        };
        self.starting = Some(Starting { cancel, outcome: outcome.boxed() });
    }

    fn never_ran(&self, name: &str) -> Vec<String> {
        let attempts = self.history.containers.get(name).into_iter().flatten();
        attempts.filter(|one| one.state == State::Created).map(|one| one.id.clone()).collect()
    }

    pub(super) fn take_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Volumes(volumes) => {
                if let Some(volumes) = &volumes {
                    volumes.pod_changed(self.pod.clone());
                }
                self.volumes = volumes;
            }
            Outcome::Sandbox(Ok((sandbox, addresses))) => {
                self.history.take_sandbox(sandbox);
                self.addresses = addresses;
            }
            Outcome::Sandbox(Err(why)) => {
                let message = format!("Failed to create pod sandbox: {why}");
                parts::tell(&self.node, &self.pod, None, Level::Warning, "FailedCreatePodSandBox", message);
                self.hold(SANDBOX, RETRY);
            }
            Outcome::Container(name, Ok(container)) => {
                self.waiting.remove(&name);
                self.not_before.remove(&name);
                self.started(&name, container);
            }
            Outcome::Container(name, Err(refused)) => {
                if let Some(retry) = refused.retry {
                    self.hold(&name, retry);
                }
                self.waiting.insert(name, refused.waiting);
                if let Some(container) = refused.container {
                    self.observe(*container);
                }
            }
        }
    }

    fn started(&mut self, name: &str, container: Container) {
        let id = container.id.clone();
        self.observe(container);
        let alive = self.history.by_id(&id).is_some_and(is_running);
        if let (true, Some((_, spec))) = (alive, parts::container(&self.pod, name)) {
            let health =
                Health { started: spec.startup_probe.is_none(), ready: spec.readiness_probe.is_none(), failed: None };
            self.healths.insert(id.clone(), health);
            if let Some(container) = self.history.by_id(&id).cloned() {
                self.probe(&container);
            }
        }
    }

    fn kill(&mut self, kill: Kill) {
        if !self.stopping_ids.insert(kill.id.clone()) {
            return;
        }
        let Some(container) = self.history.by_id(&kill.id).cloned() else { return };
        let grace = Duration::from_secs(kill.grace.unwrap_or_else(|| parts::grace_seconds(&self.pod)).max(0) as u64);
        let (node, pod, address) = (self.node.clone(), self.pod.clone(), self.addresses.first().copied());
        let stopping = async move {
            let ended = stop::container(&node, &pod, &container, &kill.message, grace, address).await;
            (kill.id, ended)
        };
        self.stopping.push(stopping.boxed());
    }

    /// Ends everything that runs, once nothing is being started any more.
    fn end(&mut self) {
        if let Some(starting) = &self.starting {
            starting.cancel.cancel();
            return;
        }
        self.probe_less();
        self.measuring = None;
        let grace = parts::grace_seconds(&self.pod);
        let grace = self.last_grace.map_or(grace, |last| grace.min(last));
        let running = self.history.all().filter(|one| is_running(one) && !self.stopping_ids.contains(&one.id));
        let running: Vec<Container> = running.cloned().collect();
        self.stage = self.ending(running, grace);
    }

    fn ending(&mut self, running: Vec<Container>, grace: i64) -> Stage {
        let (node, pod, address) = (self.node.clone(), self.pod.clone(), self.addresses.first().copied());
        let period = Duration::from_secs(grace as u64);
        let kills = std::mem::take(&mut self.stopping);
        self.stopping_ids.clear();
        let stopping = async move {
            let (mut ended, killed) =
                tokio::join!(stop::all(&node, &pod, running, period, address), kills.collect::<Vec<_>>());
            ended.extend(killed.into_iter().filter_map(|(_, result)| result.ok()));
            ended
        };
        Stage::Ending { grace, stopping: stopping.boxed() }
    }

    /// A second deletion may leave less time than the first.
    fn shorten(&mut self, grace: i64) {
        let wanted = if self.api_gone { 1 } else { parts::grace_seconds(&self.pod) };
        if wanted < grace && parts::is_deleted(&self.pod) {
            let running: Vec<Container> = self.history.all().filter(|one| is_running(one)).cloned().collect();
            self.stage = self.ending(running, wanted);
        }
    }

    /// Goes on after the stage's own work is done.
    pub(super) fn enter(&mut self, step: Step) {
        match step {
            Step::Stopped(containers) => {
                containers.into_iter().for_each(|container| self.observe(container));
                self.clean(Duration::ZERO);
            }
            Step::Cleaned(Ok(containers)) => {
                containers.into_iter().for_each(|container| self.observe(container));
                let ids: Vec<String> = self.history.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
                ids.iter().for_each(|id| self.history.sandbox_gone(id));
                self.stage = Stage::Over;
                self.is_published = false;
            }
            Step::Cleaned(Err(why)) => {
                tracing::warn!(why, pod = parts::title(&self.pod), "pod not cleaned up yet");
                self.clean(RETRY);
            }
            Step::Deleted(result) => self.deleted(result),
            Step::Removed => self.stage = Stage::Removed,
        }
    }

    fn clean(&mut self, after: Duration) {
        let ids: Vec<String> = self.history.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        self.volumes = None;
        let (node, uid) = (self.node.clone(), parts::uid(&self.pod).to_string());
        let alive = self.history.all().filter(|one| !matches!(one.state, State::Exited { .. }));
        let alive: Vec<String> = alive.map(|one| one.id.clone()).collect();
        let cleaning = async move {
            tokio::time::sleep(after).await;
            for id in &ids {
                sandbox::end(&node, id).await?;
            }
            tear_down(node.clone(), uid).await?;
            let mut ended = Vec::new();
            for id in &alive {
                // One that is gone has nothing more to tell.
                ended.extend(node.runtime.container(id).await.ok());
            }
            Ok(ended)
        };
        self.stage = Stage::Cleaning { cleaning: cleaning.boxed() };
    }

    fn advance_over(&mut self) {
        if self.api_gone {
            return self.remove();
        }
        if !parts::is_deleted(&self.pod) || !self.is_published || self.is_held(DELETION) {
            return;
        }
        let pods: Api<Pod> = Api::namespaced(self.node.client.clone(), parts::namespace(&self.pod));
        let (name, uid) = (parts::name(&self.pod).to_string(), parts::uid(&self.pod).to_string());
        let deleting = async move {
            let only_this = Preconditions { uid: Some(uid), resource_version: None };
            let params = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(only_this),
                ..DeleteParams::default()
            };
            pods.delete(&name, &params).await.map(drop)
        };
        self.stage = Stage::Deleting { deleting: deleting.boxed() };
    }

    fn deleted(&mut self, result: kube::Result<()>) {
        self.stage = match result {
            Ok(()) => Stage::Deleted,
            // Gone, or another pod has its name: the watch tells so as well.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Stage::Deleted,
            Err(error) => {
                tracing::warn!(%error, pod = parts::title(&self.pod), "pod not deleted yet");
                self.hold(DELETION, RETRY);
                Stage::Over
            }
        };
    }

    fn remove(&mut self) {
        let ids: Vec<String> = self.history.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        let removing = messages::remove_pod(self.node.clone(), Arc::clone(&self.pod), ids);
        self.stage = Stage::Removing { removing: removing.boxed() };
    }
}

/// There may be many files.
async fn tear_down(node: Arc<Node>, uid: String) -> Result<(), String> {
    let torn = tokio::task::spawn_blocking(move || volumes::tear_down(&node, &uid)).await;
    torn.map_err(|error| error.to_string())?.map_err(|error| format!("volumes not taken down: {error}"))
}

/// Whole seconds as Go prints them: `10s`, `1m20s`, `5m0s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
