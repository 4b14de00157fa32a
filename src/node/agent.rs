//! Bringing the agent up and handing every change to the worker of its pod.

use super::admit;
use super::border::{Images, Links};
use super::context::Node;
use super::error::Error;
use super::machine::Machine;
use super::objects::Objects;
use super::pod::parts;
use super::pod::sandbox::GRACE;
use super::pod::status::Ended;
use super::pod::worker::{Message, Worker};
use super::pods::{Pods, Seen};
use super::pressure::{self, Order, Pressure};
use super::{mirrors, register, server, static_pods};
use crate::base::{Jumps, Shutdown};
use crate::client::follow::Selection;
use crate::client::{Cache, Caches, Change, Client, Level, Recorder};
use crate::config::{NodePaths, Profile};
use crate::runtime::{self, Container, Event, Runtime, Sandbox};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::Api;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Grace of a container whose pod is not known any more and that kept no other.
const ORPHAN_GRACE: u64 = 30;
const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// What the agent works with.
pub struct Setup {
    /// With the identity `system:node:NAME`.
    pub client: Client,
    pub profile: Profile,
    pub paths: NodePaths,
    pub runtime: Arc<dyn Runtime>,
    pub images: Arc<dyn Images>,
    pub links: Arc<dyn Links>,
    /// Tells when the clock was set or the machine slept.
    pub jumps: Jumps,
    /// Names of those who work through clients of the server's process, for example `system:kube-scheduler`.
    pub parts: watch::Receiver<Vec<String>>,
    /// The socket of the kubelet API; without one it is not served.
    pub listener: Option<std::net::TcpListener>,
}

/// Runs the node agent until shutdown. Containers go on without it; the next agent adopts them.
pub async fn run(mut setup: Setup, shutdown: Shutdown) -> Result<(), Error> {
    let listener = setup.listener.take();
    let node = Arc::new(node(setup));
    for folder in [node.paths.pods(), node.paths.memory_volumes()] {
        private_folder(&folder).map_err(|error| Error::file(&folder, error))?;
    }
    register::register(&node).await;
    let alive = tokio::spawn(register::keep_alive(node.clone(), node.images_changed.clone(), shutdown.clone()));
    let (orders, evictions) = mpsc::unbounded_channel();
    let watching = tokio::spawn(pressure::watch(node.clone(), orders, shutdown.clone()));
    let files = tokio::spawn(static_pods::follow(node.clone(), node.pods.changes(), shutdown.clone()));
    let (tell_adopted, adopted) = oneshot::channel();
    let serving = {
        let (node, shutdown) = (node.clone(), shutdown.clone());
        async move {
            // Until then nothing true can be said of pods; clients wait in the socket. It ends only with the agent.
            adopted.await.ok();
            match listener {
                Some(listener) => server::serve(node, listener, shutdown).await,
                None => std::future::pending().await,
            }
        }
    };
    let mut agent =
        Agent { node: node.clone(), own: own_object(&node), evictions, workers: HashMap::new(), tasks: JoinSet::new() };
    let result = tokio::select! {
        () = shutdown.wait() => Ok(()),
        () = agent.follow(tell_adopted) => Ok(()),
        result = serving => result,
    };
    alive.abort();
    watching.abort();
    files.abort();
    agent.tasks.shutdown().await;
    result
}

/// What pods keep is for them and root only, although some of it is writable for every user of a pod.
fn private_folder(folder: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o750))
}

fn own_object(node: &Node) -> Arc<Cache<NodeObject>> {
    node.caches.some(Selection { labels: String::new(), fields: format!("metadata.name={}", node.name) })
}

/// What every part of the agent is given.
pub(super) fn node(setup: Setup) -> Node {
    let name = setup.profile.name.clone();
    Node {
        events: Recorder::new(setup.client.clone(), "kubelet", &name),
        caches: Caches::new(setup.client.clone()),
        objects: Objects::new(setup.client.clone()),
        pods: Pods::default(),
        pressure: Pressure::default(),
        machine: Machine::look(&setup.paths.pods()).known_in(&setup.paths.kubelet()),
        images_changed: Arc::new(Notify::new()),
        name,
        client: setup.client,
        profile: setup.profile,
        paths: setup.paths,
        runtime: setup.runtime,
        images: setup.images,
        links: setup.links,
        jumps: setup.jumps,
        parts: setup.parts,
        begun: Timestamp::now(),
    }
}

/// A worker's door.
struct Handle {
    inbox: mpsc::UnboundedSender<Message>,
}

struct Agent {
    node: Arc<Node>,
    /// The Node object.
    own: Arc<Cache<NodeObject>>,
    /// Pods that have to go.
    evictions: mpsc::UnboundedReceiver<Order>,
    /// By pod uid.
    workers: HashMap<String, Handle>,
    /// Each ends with the uid of its pod.
    tasks: JoinSet<String>,
}

impl Agent {
    /// Tells when everything that an earlier agent left has its worker.
    async fn follow(&mut self, adopted: oneshot::Sender<()>) {
        let selection = Selection { labels: String::new(), fields: format!("spec.nodeName={}", self.node.name) };
        let pods: Cache<Pod> = Cache::start(Api::all(self.node.client.clone()), selection);
        pods.ready().await;
        self.own.ready().await;
        let (mut events, sandboxes, containers) = self.runtime().await;
        self.adopt(&pods, sandboxes, containers);
        // Also where there are none.
        self.node.pods.tell();
        // Nobody waits for it when the agent ends at this moment.
        adopted.send(()).ok();
        let mut changes = pods.changes();
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(change) => self.pod_changed(change),
                    None => return,
                },
                event = events.next() => match event {
                    Some(event) => self.runtime_changed(event),
                    None => events = self.reconnect().await,
                },
                Some(order) = self.evictions.recv() => self.evict(order),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => self.ended(ended),
            }
        }
    }

    /// Subscribes to the runtime, then asks what there is, so that nothing falls between.
    async fn runtime(&self) -> (BoxStream<'static, Event>, Vec<Sandbox>, Vec<Container>) {
        let mut delay = FIRST_RETRY;
        loop {
            let tried = async {
                let events = self.node.runtime.events().await?;
                let (sandboxes, containers) = self.node.runtime.list().await?;
                Ok::<_, runtime::Error>((events, sandboxes, containers))
            };
            match tried.await {
                Ok(found) => return found,
                Err(error) => tracing::warn!(%error, "runtime does not answer"),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(LAST_RETRY);
        }
    }

    async fn reconnect(&mut self) -> BoxStream<'static, Event> {
        tracing::warn!("connection to the runtime lost");
        let (events, sandboxes, containers) = self.runtime().await;
        let mut found = by_pod(sandboxes, containers);
        for (uid, worker) in &self.workers {
            let (sandboxes, containers) = found.remove(uid).unwrap_or_default();
            // A worker that has ended is about to be forgotten.
            worker.inbox.send(Message::Relist(sandboxes, containers)).ok();
        }
        events
    }

    /// Gives what the runtime has to the workers of its pods; what has no pod any more is ended.
    fn adopt(&mut self, pods: &Cache<Pod>, sandboxes: Vec<Sandbox>, containers: Vec<Container>) {
        let mut found = by_pod(sandboxes, containers);
        for pod in pods.list() {
            let mine = found.remove(parts::uid(&pod)).unwrap_or_default();
            self.spawn(pod, mine);
        }
        for (sandboxes, containers) in found.into_values() {
            tokio::spawn(end_orphan(self.node.clone(), sandboxes, containers));
        }
        let known: HashSet<&str> = self.workers.keys().map(String::as_str).collect();
        remove_folders(&self.node, &known);
    }

    fn spawn(&mut self, pod: Arc<Pod>, found: (Vec<Sandbox>, Vec<Container>)) {
        let uid = parts::uid(&pod).to_string();
        // A pod that has containers is a pod, whatever it says of itself.
        let is_mirror = mirrors::is_part(&pod) && found.0.is_empty() && found.1.is_empty();
        let refused = if is_mirror { None } else { self.refuse(&pod, &found) };
        // The next pod is measured against this one, before its worker says anything.
        let is_over = refused.is_some();
        self.node.pods.set(Seen { pod: pod.clone(), sandbox: None, attempts: Vec::new(), is_over });
        let (inbox, receiver) = mpsc::unbounded_channel();
        let node = self.node.clone();
        let work = match is_mirror {
            true => mirrors::keep(node, pod, receiver).boxed(),
            false => {
                let worker = Worker::new(node, pod, receiver, found, refused);
                if !is_over {
                    // With the containers that were found, of which others may ask at once.
                    worker.tell_node();
                }
                worker.run().boxed()
            }
        };
        self.workers.insert(uid.clone(), Handle { inbox });
        self.tasks.spawn(work.map(|()| uid));
    }

    /// A pod that was begun before is not measured again.
    fn refuse(&self, pod: &Pod, found: &Found) -> Option<Ended> {
        let is_new = found.0.is_empty() && found.1.is_empty() && parts::status(pod).start_time.is_none();
        if !is_new || parts::is_deleted(pod) {
            return None;
        }
        let refused = admit::check(&self.node, self.own.get("", &self.node.name).as_deref(), pod)?;
        parts::tell(&self.node, pod, None, Level::Warning, &refused.reason, refused.message.clone());
        Some(Ended { message: format!("Pod was rejected: {}", refused.message), ..refused })
    }

    fn pod_changed(&mut self, change: Change<Pod>) {
        let pod = change.object().clone();
        let message = match change {
            Change::Applied { new, .. } => Message::Pod(new),
            Change::Deleted(_) => {
                // The next pod is measured before the worker hears of it.
                self.node.pods.lose(parts::uid(&pod));
                Message::Gone
            }
        };
        match self.workers.get(parts::uid(&pod)) {
            // A worker that has ended is about to be forgotten.
            Some(worker) => drop(worker.inbox.send(message)),
            None if matches!(message, Message::Pod(_)) => self.spawn(pod, Default::default()),
            None => {}
        }
    }

    fn evict(&self, order: Order) {
        if let Some(worker) = self.workers.get(&order.uid) {
            // A worker that has ended has nothing left to evict.
            worker.inbox.send(Message::Evict(order.why, order.grace)).ok();
        }
    }

    fn runtime_changed(&mut self, event: Event) {
        match event {
            Event::Container(container) => {
                let uid = pod_uid(&container);
                if let Some(worker) = self.workers.get(&uid) {
                    worker.inbox.send(Message::Container(container)).ok();
                }
            }
            Event::SandboxGone(id) => {
                for worker in self.workers.values() {
                    worker.inbox.send(Message::SandboxGone(id.clone())).ok();
                }
            }
        }
    }

    fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(uid) => {
                self.workers.remove(&uid);
                self.node.pods.forget(&uid);
            }
            Err(error) => tracing::error!(%error, "a pod worker broke"),
        }
    }
}

type Found = (Vec<Sandbox>, Vec<Container>);

fn by_pod(sandboxes: Vec<Sandbox>, containers: Vec<Container>) -> HashMap<String, Found> {
    let mut found: HashMap<String, Found> = HashMap::new();
    for sandbox in sandboxes {
        found.entry(sandbox.spec.uid.clone()).or_default().0.push(sandbox);
    }
    for container in containers {
        found.entry(pod_uid(&container)).or_default().1.push(container);
    }
    found
}

fn pod_uid(container: &Container) -> String {
    container.spec.labels.get("io.kubernetes.pod.uid").cloned().unwrap_or_default()
}

async fn end_orphan(node: Arc<Node>, sandboxes: Vec<Sandbox>, containers: Vec<Container>) {
    let asked = sandboxes.first().and_then(|sandbox| sandbox.spec.annotations.get(GRACE)?.parse().ok());
    let grace = Duration::from_secs(asked.unwrap_or(ORPHAN_GRACE));
    let stops = containers.iter().map(|container| node.runtime.stop_container(&container.id, grace));
    // Those that do not run answer with an error; the sandbox's end kills what is left.
    futures::future::join_all(stops).await;
    for sandbox in &sandboxes {
        let ended = super::pod::sandbox::end(&node, &sandbox.id).await;
        let removed = node.runtime.remove_sandbox(&sandbox.id).await;
        if ended.is_err() || removed.is_err() {
            tracing::warn!(sandbox = sandbox.id, ?ended, ?removed, "sandbox of a pod that is gone not removed");
        }
    }
}

/// Removes folders and logs of pods that are gone.
fn remove_folders(node: &Node, known: &HashSet<&str>) {
    let gone = |folder: &std::path::Path, uid: fn(&str) -> &str| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_str().is_some_and(|name| !known.contains(uid(name))))
            .map(|entry| entry.path())
            .collect()
    };
    let folders = gone(&node.paths.pods(), |name| name);
    let logs = gone(&node.paths.pod_logs(), |name| name.rsplit('_').next().unwrap_or(name));
    let memory = gone(&node.paths.memory_volumes(), |name| name);
    for folder in folders.into_iter().chain(logs).chain(memory) {
        if let Err(error) = super::volumes::remove_unmounted(&folder) {
            tracing::warn!(%error, folder = %folder.display(), "folder of a pod that is gone not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{FakeApi, FakeRuntime, pod, setup};
    use serde_json::{Value, json};

    const PATH: &str = "/api/v1/namespaces/default/pods/p";

    struct World {
        api: FakeApi,
        runtime: FakeRuntime,
        _folder: tempfile::TempDir,
        _stop: crate::base::shutdown::Trigger,
        agent: tokio::task::JoinHandle<Result<(), Error>>,
    }

    /// An agent with one pod.
    fn world(spec: Value) -> World {
        let (api, runtime) = (FakeApi::default(), FakeRuntime::default());
        api.put(PATH, serde_json::to_value(pod(spec)).unwrap());
        start(api, runtime)
    }

    fn start(api: FakeApi, runtime: FakeRuntime) -> World {
        let (setup, folder) = setup(&api, &runtime);
        let (stop, shutdown) = Shutdown::new();
        World { api, runtime, _folder: folder, _stop: stop, agent: tokio::spawn(run(setup, shutdown)) }
    }

    fn is_ready(pod: Option<&Value>) -> bool {
        pod.is_some_and(|pod| crate::client::wait::has_condition(pod, "Ready"))
    }

    fn web() -> Value {
        json!({"containers": [{"name": "web", "image": "i"}]})
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_becomes_ready_with_its_address() {
        let world = world(web());
        world.api.until(PATH, is_ready).await;
        let status = world.api.get(PATH).unwrap()["status"].clone();
        assert_eq!((&status["phase"], &status["podIP"]), (&json!("Running"), &json!("10.244.0.7")));
        assert_eq!(world.runtime.calls(), ["sandbox s0", "create web/0"]);
        world
            .api
            .until("/api/v1/nodes/coracle", |node| {
                node.is_some_and(|node| node["status"]["capacity"]["cpu"].is_string())
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_pod_ends_in_order_and_is_removed() {
        let world = world(web());
        world.api.until(PATH, is_ready).await;
        let mut pod = world.api.get(PATH).unwrap();
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-24T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(7);
        world.api.put(PATH, pod);
        world.api.until(PATH, |pod| pod.is_none()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let expected = ["sandbox s0", "create web/0", "stop web 7s", "stop sandbox s0", "remove sandbox s0"];
        assert_eq!(world.runtime.calls(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_pod_is_removed_although_the_watch_says_nothing_of_its_last_status() {
        let world = world(web());
        world.api.until(PATH, is_ready).await;
        world.api.be_quiet();
        let mut pod = world.api.get(PATH).unwrap();
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-24T00:00:00Z");
        world.api.put(PATH, pod);
        world.api.until(PATH, |pod| pod.is_none()).await;
    }

    fn has_condition_type(pod: &Value, kind: &str) -> bool {
        pod["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(|one| one["type"] == kind))
    }

    #[tokio::test(start_paused = true)]
    async fn a_resize_waits_until_another_pod_leaves() {
        const OTHER: &str = "/api/v1/namespaces/default/pods/q";
        let asking = |milli: usize| json!({"containers": [{"name": "web", "image": "i", "resources": {"requests": {"cpu": format!("{milli}m")}}}]});
        let (api, runtime) = (FakeApi::default(), FakeRuntime::default());
        let all = usize::try_from(crate::node::fake::machine().cpus).unwrap() * 1000;
        api.put(PATH, serde_json::to_value(pod(asking(50))).unwrap());
        let mut other = serde_json::to_value(pod(asking(all - 100))).unwrap();
        other["metadata"]["name"] = json!("q");
        other["metadata"]["uid"] = json!("u2");
        api.put(OTHER, other);
        let world = start(api, runtime);
        world.api.until(PATH, is_ready).await;
        world.api.until(OTHER, is_ready).await;

        let mut wanted = world.api.get(PATH).unwrap();
        wanted["spec"] = serde_json::to_value(pod(asking(200)).spec).unwrap();
        wanted["metadata"]["generation"] = json!(2);
        world.api.put(PATH, wanted);
        world.api.until(PATH, |pod| has_condition_type(pod.unwrap(), "PodResizePending")).await;
        let mut leaving = world.api.get(OTHER).unwrap();
        leaving["metadata"]["deletionTimestamp"] = json!("2026-11-24T00:00:00Z");
        leaving["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        world.api.put(OTHER, leaving);
        let given =
            |pod: Option<&Value>| pod.unwrap()["status"]["containerStatuses"][0]["allocatedResources"]["cpu"] == "200m";
        world.api.until(PATH, given).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_generation_that_changes_nothing_is_told_after_a_moment() {
        let world = world(web());
        world.api.until(PATH, is_ready).await;
        let mut newer = world.api.get(PATH).unwrap();
        newer["metadata"]["generation"] = json!(7);
        world.api.put(PATH, newer);
        let began = tokio::time::Instant::now();
        world.api.until(PATH, |pod| pod.unwrap()["status"]["observedGeneration"] == 7).await;
        assert!((200..500).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crashing_container_waits_longer_each_time() {
        let world = world(web());
        let began = tokio::time::Instant::now();
        for attempt in 0..3 {
            world
                .api
                .until(PATH, |pod| {
                    let status = &pod.unwrap()["status"]["containerStatuses"][0];
                    status["restartCount"] == attempt && status["state"]["running"].is_object()
                })
                .await;
            world.runtime.exit("web", 1);
            if attempt > 0 {
                let crashing = |pod: Option<&Value>| {
                    pod.unwrap()["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
                };
                world.api.until(PATH, crashing).await;
            }
        }
        assert!((10..12).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        let events = world.api.below("/api/v1/namespaces/default/events/");
        assert!(events.iter().any(|event| event["reason"] == "BackOff"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_does_not_fit_fails_and_makes_nothing() {
        let big = json!({"name": "web", "image": "i", "resources": {"requests": {"cpu": "4000"}}});
        let world = world(json!({"containers": [big]}));
        world.api.until(PATH, |pod| pod.unwrap()["status"]["phase"] == "Failed").await;
        let status = world.api.get(PATH).unwrap()["status"].clone();
        assert_eq!((&status["reason"], &status["containerStatuses"]), (&json!("OutOfcpu"), &Value::Null));
        let (told, events) =
            (status["message"].as_str().unwrap(), world.api.below("/api/v1/namespaces/default/events/"));
        assert!(
            events.iter().any(|event| told.strip_prefix("Pod was rejected: ") == event["message"].as_str()),
            "{told}"
        );
        assert!(world.runtime.calls().is_empty(), "{:?}", world.runtime.calls());
    }

    #[tokio::test(start_paused = true)]
    async fn a_container_that_fails_its_liveness_probe_is_restarted() {
        let probe = json!({"exec": {"command": ["false"]}, "periodSeconds": 5, "failureThreshold": 2});
        let world = world(json!({"containers": [{"name": "web", "image": "i", "livenessProbe": probe}]}));
        world.api.until(PATH, |pod| pod.unwrap()["status"]["containerStatuses"][0]["restartCount"] == 1).await;
        let calls = world.runtime.calls();
        let expected =
            ["sandbox s0", "create web/0", "exec web false", "exec web false", "stop web 30s", "create web/1"];
        assert_eq!(calls[..6], expected);
        let events = world.api.below("/api/v1/namespaces/default/events/");
        assert!(events.iter().any(|event| event["reason"] == "Unhealthy"), "{events:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_is_ready_when_its_readiness_probe_says_so() {
        let probe = json!({"exec": {"command": ["true"]}, "initialDelaySeconds": 30});
        let began = tokio::time::Instant::now();
        let world = world(json!({"containers": [{"name": "web", "image": "i", "readinessProbe": probe,
            "startupProbe": {"exec": {"command": ["true"]}, "initialDelaySeconds": 20}}]}));
        world.api.until(PATH, is_ready).await;
        assert!(began.elapsed() >= Duration::from_secs(49), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_agent_keeps_the_containers_of_the_first() {
        let world = world(web());
        world.api.until(PATH, is_ready).await;
        let id = world.runtime.newest("web").unwrap().id;
        world.agent.abort();
        let second = start(world.api.clone(), world.runtime.clone());
        tokio::time::sleep(Duration::from_secs(5)).await;
        let status = second.api.get(PATH).unwrap()["status"]["containerStatuses"][0].clone();
        assert_eq!((&status["restartCount"], &status["ready"]), (&json!(0), &json!(true)));
        assert_eq!(status["containerID"], format!("coracle://{id}"));
        assert_eq!(second.runtime.calls().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_pod_any_more_is_ended() {
        let world = world(web());
        world.api.until(PATH, is_ready).await;
        world.agent.abort();
        world.api.delete(PATH);
        let second = start(world.api.clone(), world.runtime.clone());
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(second.runtime.calls()[2..], ["stop web 30s", "stop sandbox s0", "remove sandbox s0"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_pod_succeeds_and_keeps_its_container_for_its_logs() {
        let world = world(json!({"restartPolicy": "Never", "containers": [{"name": "web", "image": "i"}]}));
        world.api.until(PATH, is_ready).await;
        world.runtime.exit("web", 0);
        world.api.until(PATH, |pod| pod.unwrap()["status"]["phase"] == "Succeeded").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(world.runtime.newest("web").is_some());
        assert_eq!(world.runtime.calls().last().unwrap(), "stop sandbox s0");
    }

    #[tokio::test(start_paused = true)]
    async fn an_image_that_cannot_be_pulled_backs_off() {
        let world = world(json!({"containers": [{"name": "web", "image": "missing:1"}]}));
        for reason in ["ErrImagePull", "ImagePullBackOff"] {
            world
                .api
                .until(PATH, |pod| {
                    pod.unwrap()["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason
                })
                .await;
        }
        assert_eq!(world.api.get(PATH).unwrap()["status"]["phase"], "Pending");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_past_its_deadline_fails() {
        let world = world(json!({"activeDeadlineSeconds": 5, "containers": [{"name": "web", "image": "i"}]}));
        world.api.until(PATH, |pod| pod.unwrap()["status"]["reason"] == "DeadlineExceeded").await;
        assert_eq!(world.api.get(PATH).unwrap()["status"]["phase"], "Failed");
    }
}
