//! The loop: takes in what happens, chooses, and starts what is to be written.

use super::bind::{self, Error};
use super::choose::{self, NoNode};
use super::filters::volumes::Step;
use super::pod::{self, PodInfo};
use super::preempt::{self, Plan};
use super::queue::{Queue, Waiting};
use super::world::{Place, World};
use super::{Happened, NAME};
use crate::base::Shutdown;
use crate::client::{Cache, Cached, Caches, Change, Client, Level, Recorder};
use futures::stream::{BoxStream, select_all};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Resource, ResourceExt};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// One thing that a watch told.
enum Told {
    Node(Change<Node>),
    Pod(Box<Change<Pod>>),
    Claim(Change<PersistentVolumeClaim>),
    Volume(Change<PersistentVolume>),
    Class(Change<StorageClass>),
    Namespace(Change<Namespace>),
    Budget(Change<PodDisruptionBudget>),
}

/// How a binding ended.
struct Done {
    waiting: Waiting,
    steps: Vec<Step>,
    result: Result<(), Error>,
}

/// Schedules until shutdown.
pub async fn run(client: Client, shutdown: Shutdown) {
    let caches = Caches::new(client.clone());
    let mut told = tokio::select! {
        told = watch_all(&caches) => told,
        () = shutdown.wait() => return,
    };
    let (done, mut ended) = mpsc::unbounded_channel();
    let recorder = Recorder::new(client.clone(), NAME, "");
    let mut scheduler = Scheduler {
        client,
        recorder,
        pods: caches.of::<Pod>(),
        world: World::default(),
        queue: Queue::default(),
        done,
    };
    loop {
        // All that is known counts before a choice is made.
        while let Some(Some(change)) = told.next().now_or_never() {
            scheduler.take(change);
        }
        while let Ok(done) = ended.try_recv() {
            scheduler.finish(done);
        }
        if let Some(waiting) = scheduler.queue.next(Instant::now()) {
            scheduler.schedule(waiting);
            // What was just started may write while the next choice is made.
            tokio::task::yield_now().await;
            continue;
        }
        let due = scheduler.queue.due();
        tokio::select! {
            Some(change) = told.next() => scheduler.take(change),
            Some(done) = ended.recv() => scheduler.finish(done),
            () = sleep_until(due) => {}
            () = shutdown.wait() => return,
        }
    }
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Starts every cache and waits until each holds its first list.
async fn watch_all(caches: &Caches) -> impl futures::Stream<Item = Told> + Unpin + use<> {
    let streams = vec![
        changes(caches.of::<Node>(), Told::Node),
        changes(caches.of::<Pod>(), |change| Told::Pod(Box::new(change))),
        changes(caches.of::<PersistentVolumeClaim>(), Told::Claim),
        changes(caches.of::<PersistentVolume>(), Told::Volume),
        changes(caches.of::<StorageClass>(), Told::Class),
        changes(caches.of::<Namespace>(), Told::Namespace),
        changes(caches.of::<PodDisruptionBudget>(), Told::Budget),
    ];
    let mut started = Vec::new();
    for stream in streams {
        started.push(stream.await);
    }
    select_all(started)
}

/// The changes of a cache, once it is ready. The stream keeps the cache.
fn changes<K: Cached>(
    cache: Arc<Cache<K>>,
    name: fn(Change<K>) -> Told,
) -> futures::future::BoxFuture<'static, BoxStream<'static, Told>> {
    let listener = cache.changes();
    async move {
        cache.ready().await;
        let kept = cache;
        listener
            .map(move |change| {
                let _ = &kept;
                name(change)
            })
            .boxed()
    }
    .boxed()
}

struct Scheduler {
    client: Client,
    recorder: Recorder,
    pods: Arc<Cache<Pod>>,
    world: World,
    queue: Queue,
    done: mpsc::UnboundedSender<Done>,
}

impl Scheduler {
    fn take(&mut self, told: Told) {
        let happened = match told {
            Told::Pod(change) => self.take_pod(*change),
            Told::Node(Change::Applied { new, .. }) => self.world.take_node(new),
            Told::Node(Change::Deleted(node)) => {
                self.world.drop_node(&node.name_any());
                Happened::NOTHING
            }
            Told::Claim(change) => put(&mut self.world.claims, change),
            Told::Class(Change::Applied { new, .. }) => {
                self.world.classes.insert(new.name_any(), new);
                Happened::STORAGE
            }
            Told::Class(Change::Deleted(class)) => {
                self.world.classes.remove(&class.name_any());
                Happened::NOTHING
            }
            Told::Volume(Change::Applied { new, .. }) => {
                self.world.volumes.insert(new.name_any(), new);
                Happened::STORAGE
            }
            Told::Volume(Change::Deleted(volume)) => {
                self.world.volumes.remove(&volume.name_any());
                Happened::STORAGE
            }
            Told::Namespace(Change::Applied { new, .. }) => {
                self.world.namespaces.insert(new.name_any(), new.labels().clone());
                Happened::NAMESPACE
            }
            Told::Namespace(Change::Deleted(namespace)) => {
                self.world.namespaces.remove(&namespace.name_any());
                Happened::NOTHING
            }
            Told::Budget(Change::Applied { new, .. }) => {
                self.world.budgets.insert(place(&*new), new);
                Happened::NOTHING
            }
            Told::Budget(Change::Deleted(budget)) => {
                self.world.budgets.remove(&place(&*budget));
                Happened::NOTHING
            }
        };
        self.queue.tell(happened, Instant::now());
    }

    fn take_pod(&mut self, change: Change<Pod>) -> Happened {
        let (old, pod) = match change {
            Change::Applied { old, new } => (old, new),
            Change::Deleted(pod) => {
                let uid = pod.uid().unwrap_or_default();
                self.queue.remove(&uid);
                self.world.nominated.remove(&uid);
                return if self.world.take_away(&uid).is_some() { Happened::POD_GONE } else { Happened::NOTHING };
            }
        };
        let uid = pod.uid().unwrap_or_default();
        if !pod::node_of(&pod).is_empty() {
            self.queue.remove(&uid);
            return self.world.take_placed(pod);
        }
        if self.world.is_placed(&uid) {
            // It is assumed on a node and being bound; the binding decides.
            return Happened::NOTHING;
        }
        let is_ours = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref()) == Some(NAME);
        if !is_ours || pod::is_over(&pod) || pod.metadata.deletion_timestamp.is_some() {
            self.queue.remove(&uid);
            return Happened::NOTHING;
        }
        let helps = old.is_some_and(|old| old.spec != pod.spec || old.metadata.labels != pod.metadata.labels);
        let is_gated = pod::is_gated(&pod);
        let info = Arc::new(PodInfo::new(pod));
        self.note_nomination(&info);
        self.queue.take(info, is_gated, helps, Instant::now());
        Happened::NOTHING
    }

    fn note_nomination(&mut self, info: &Arc<PodInfo>) {
        match info.nominated() {
            // The watch may not have told yet of what preemption wrote.
            "" => {
                if let Some((_, known)) = self.world.nominated.get_mut(info.uid()) {
                    *known = info.clone();
                }
            }
            node => drop(self.world.nominated.insert(info.uid().to_string(), (node.to_string(), info.clone()))),
        }
    }

    /// One pod's turn.
    fn schedule(&mut self, waiting: Waiting) {
        match choose::choose(&waiting.info, &self.world) {
            Ok(choice) => self.assume(waiting, choice.node, choice.steps),
            Err(none) => self.refuse(waiting, none),
        }
    }

    /// The pod counts as placed at once; the binding is written beside what follows.
    fn assume(&mut self, waiting: Waiting, node: String, steps: Vec<Step>) {
        self.world.place(waiting.info.clone(), &node);
        for step in &steps {
            if let Step::Give { claim, volume } = step {
                self.world.reserved.insert(volume.clone(), claim.clone());
            }
        }
        let (client, recorder, done) = (self.client.clone(), self.recorder.clone(), self.done.clone());
        tokio::spawn(async move {
            let result = bind::bind(&client, &waiting.info, &node, &steps).await;
            if result.is_ok() {
                let (namespace, name) = (waiting.info.namespace(), waiting.info.name());
                let message = format!("Successfully assigned {namespace}/{name} to {node}");
                recorder.record(reference(&waiting.info.pod), Level::Normal, "Scheduled", message);
            }
            // The receiver goes away only at shutdown.
            done.send(Done { waiting, steps, result }).ok();
        });
    }

    fn finish(&mut self, done: Done) {
        for step in &done.steps {
            if let Step::Give { volume, .. } = step {
                self.world.reserved.remove(volume);
            }
        }
        let Err(error) = done.result else { return };
        let (mut waiting, info) = (done.waiting.clone(), done.waiting.info.clone());
        let newest = self.pods.get(info.namespace(), &info.name());
        let newest = newest.filter(|pod| pod.uid().as_deref() == Some(info.uid()));
        if newest.as_ref().is_some_and(|pod| !pod::node_of(pod).is_empty()) {
            // Somebody else bound it: the watch has told, or will tell, where it is.
            return;
        }
        self.world.take_away(info.uid());
        let now = Instant::now();
        self.queue.tell(Happened::POD_GONE, now);
        let Some(pod) = newest.filter(|pod| pod.metadata.deletion_timestamp.is_none()) else { return };
        tracing::debug!(pod = %info.name(), %error, "binding failed");
        let message = format!("binding rejected: {error}");
        self.recorder.record(reference(&pod), Level::Warning, "FailedScheduling", message.clone());
        self.write_refusal(pod.clone(), "SchedulerError", message, None);
        waiting.info = Arc::new(PodInfo::new(pod));
        self.queue.pause(waiting, now);
    }

    /// No node: whom could it push out? Says why it waits.
    fn refuse(&mut self, mut waiting: Waiting, none: NoNode) {
        if none.total == 0 {
            // Nobody was asked: that was no try.
            waiting.attempts = 0;
        }
        let info = waiting.info.clone();
        let mut message = none.message.clone();
        let mut nominated = None;
        match none.total {
            0 => {}
            _ => match preempt::plan(&info, &self.world, &none) {
                Ok(plan) => nominated = Some(self.preempt(&info, plan)),
                Err(why) => {
                    message += &format!(" preemption: {why}");
                    nominated = self.lost_nomination(&info, &none);
                }
            },
        }
        self.recorder.record(reference(&info.pod), Level::Warning, "FailedScheduling", message.clone());
        self.write_refusal(info.pod.clone(), "Unschedulable", message, nominated);
        let helped_by = none.helped_by.or(Happened::POD_GONE);
        self.queue.stick(waiting, helped_by, Instant::now());
    }

    /// A node that was kept for the pod and where nothing can help any more is given up.
    fn lost_nomination(&mut self, info: &PodInfo, none: &NoNode) -> Option<String> {
        let node = info.nominated();
        let is_hopeless = none.refusals.get(node).is_none_or(|refusal| !refusal.is_curable);
        if node.is_empty() || !is_hopeless {
            return None;
        }
        self.world.nominated.remove(info.uid());
        Some(String::new())
    }

    /// Pushes the victims out, and keeps the node for the pod.
    fn preempt(&mut self, info: &Arc<PodInfo>, plan: Plan) -> String {
        let displaced: Vec<Arc<PodInfo>> = self
            .world
            .nominated
            .values()
            .filter(|(node, other)| *node == plan.node && other.priority < info.priority)
            .map(|(_, other)| other.clone())
            .collect();
        displaced.iter().for_each(|other| drop(self.world.nominated.remove(other.uid())));
        self.world.nominated.insert(info.uid().to_string(), (plan.node.clone(), info.clone()));
        let (client, recorder, node, uid) =
            (self.client.clone(), self.recorder.clone(), plan.node.clone(), info.uid().to_string());
        tokio::spawn(async move {
            for victim in plan.victims {
                match bind::evict(&client, &victim.pod).await {
                    Ok(()) => {
                        let message = format!("Preempted by pod {uid} on node {node}");
                        recorder.record(reference(&victim.pod), Level::Normal, "Preempted", message);
                    }
                    // Gone already: there is room.
                    Err(error) if bind::is_gone(&error) => {}
                    // The pod is tried again and plans anew.
                    Err(error) => tracing::warn!(pod = %victim.name(), %error, "cannot push out"),
                }
            }
            for other in displaced {
                if let Err(error) = bind::take_nomination(&client, &other.pod).await {
                    tracing::debug!(pod = %other.name(), %error, "cannot take its nomination");
                }
            }
        });
        plan.node
    }

    fn write_refusal(&self, pod: Arc<Pod>, reason: &'static str, message: String, nominated: Option<String>) {
        let client = self.client.clone();
        tokio::spawn(async move {
            let written = bind::refuse(&client, &pod, reason, &message, nominated.as_deref()).await;
            if let Err(error) = written.or_else(|error| if bind::is_gone(&error) { Ok(()) } else { Err(error) }) {
                tracing::debug!(pod = %pod.name_any(), %error, "cannot say why it waits");
            }
        });
    }
}

fn place(object: &impl ResourceExt) -> Place {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn put<K: Resource>(map: &mut std::collections::HashMap<Place, Arc<K>>, change: Change<K>) -> Happened {
    match change {
        Change::Applied { new, .. } => {
            map.insert(place(&*new), new);
            Happened::STORAGE
        }
        Change::Deleted(last) => {
            map.remove(&place(&*last));
            Happened::STORAGE
        }
    }
}

/// A pod as events refer to it.
fn reference(pod: &Pod) -> ObjectReference {
    let mut about = pod.object_ref(&());
    about.resource_version = pod.resource_version();
    about
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::shutdown::Trigger;
    use crate::client::wait;
    use crate::control::server::{Identity, tests};
    use k8s_openapi::api::core::v1::{Event, ServiceAccount};
    use kube::Api;
    use kube::api::{Patch, PatchParams, PostParams};
    use serde_json::{Value, json};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(60);

    struct Cluster {
        _folder: tempfile::TempDir,
        _trigger: Trigger,
        client: Client,
    }

    /// A server with a scheduler and one node, and nobody who runs pods.
    async fn cluster(cpu: &str) -> Cluster {
        let (server, _, folder) = tests::whole().await;
        let (trigger, shutdown) = Shutdown::new();
        tokio::spawn(run(server.client(Identity::new("system:kube-scheduler", &[])), shutdown));
        let client = server.client(Identity::new("admin", &["system:masters"]));
        let cluster = Cluster { _folder: folder, _trigger: trigger, client };
        let account = json!({"metadata": {"name": "default"}});
        let accounts = Api::<ServiceAccount>::namespaced(cluster.client.clone(), "default");
        accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
        let nodes = Api::<Node>::all(cluster.client.clone());
        let node = serde_json::from_value(json!({"metadata": {"name": "coracle"}})).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let status =
            json!({"spec": {"taints": null}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}});
        nodes.patch_status("coracle", &PatchParams::default(), &Patch::Merge(status.clone())).await.unwrap();
        nodes.patch("coracle", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        cluster
    }

    impl Cluster {
        fn pods(&self) -> Api<Pod> {
            Api::namespaced(self.client.clone(), "default")
        }

        async fn pod(&self, name: &str, spec: Value) {
            let mut spec = spec;
            if spec["containers"].is_null() {
                spec["containers"] = json!([{"name": "c", "image": "i"}]);
            }
            let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
            self.pods().create(&PostParams::default(), &pod).await.unwrap();
        }

        async fn eventually(&self, name: &str, is_met: impl FnMut(Option<&Pod>) -> bool) -> Option<Pod> {
            let waiting = wait::until(self.pods(), name, is_met);
            match tokio::time::timeout(PATIENCE, waiting).await {
                Ok(pod) => pod,
                Err(_) => panic!("{name} is not as wanted: {:?}", self.pods().get_opt(name).await),
            }
        }

        async fn message(&self, name: &str) -> String {
            let pod = self.eventually(name, |pod| refused(pod).is_some()).await;
            refused(pod.as_ref()).unwrap()
        }
    }

    fn refused(pod: Option<&Pod>) -> Option<String> {
        let conditions = pod?.status.as_ref()?.conditions.as_ref()?;
        let condition = conditions.iter().find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
        condition.message.clone()
    }

    fn is_bound(pod: Option<&Pod>) -> bool {
        pod.is_some_and(|pod| pod::node_of(pod) == "coracle")
    }

    #[tokio::test]
    async fn a_burst_is_bound_at_once_and_told_of() {
        let cluster = cluster("4").await;
        let began = std::time::Instant::now();
        for number in 0..30 {
            cluster.pod(&format!("p{number}"), json!({})).await;
        }
        for number in 0..30 {
            cluster.eventually(&format!("p{number}"), is_bound).await;
        }
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        let events: Api<Event> = Api::namespaced(cluster.client.clone(), "default");
        let told = wait::any(events, "", |event| {
            event.message.as_deref() == Some("Successfully assigned default/p0 to coracle")
        });
        tokio::time::timeout(PATIENCE, told).await.unwrap();
    }

    #[tokio::test]
    async fn a_pod_that_does_not_fit_says_why_and_is_placed_when_another_goes() {
        let cluster = cluster("1").await;
        let one = json!({"terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]});
        cluster.pod("first", one.clone()).await;
        cluster.eventually("first", is_bound).await;
        cluster.pod("second", one).await;
        let wanted = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
            1 No preemption victims found for incoming pod.";
        assert_eq!(cluster.message("second").await, wanted);
        cluster.pods().delete("first", &kube::api::DeleteParams::default().grace_period(0)).await.unwrap();
        cluster.eventually("second", is_bound).await;
    }

    #[tokio::test]
    async fn a_pod_of_higher_priority_pushes_another_out() {
        let cluster = cluster("1").await;
        let classes: Api<k8s_openapi::api::scheduling::v1::PriorityClass> = Api::all(cluster.client.clone());
        let high = json!({"metadata": {"name": "high"}, "value": 1000});
        classes.create(&PostParams::default(), &serde_json::from_value(high).unwrap()).await.unwrap();
        let containers = json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]);
        cluster.pod("low", json!({"containers": containers})).await;
        cluster.eventually("low", is_bound).await;
        cluster.pod("high", json!({"containers": containers, "priorityClassName": "high"})).await;
        let going = cluster.eventually("low", |pod| pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some()));
        let conditions = going.await.unwrap().status.unwrap().conditions.unwrap();
        let target = conditions.iter().find(|one| one.type_ == "DisruptionTarget").unwrap();
        assert_eq!(target.reason.as_deref(), Some("PreemptionByScheduler"));
        let nominated =
            |pod: Option<&Pod>| pod.is_some_and(|pod| PodInfo::new(Arc::new(pod.clone())).nominated() == "coracle");
        cluster.eventually("high", nominated).await;
        cluster.pods().delete("low", &kube::api::DeleteParams::default().grace_period(0)).await.unwrap();
        cluster.eventually("high", is_bound).await;
    }

    #[tokio::test]
    async fn a_gated_pod_is_placed_when_its_gates_are_gone() {
        let cluster = cluster("1").await;
        cluster.pod("gated", json!({"schedulingGates": [{"name": "wait"}]})).await;
        cluster.pod("free", json!({})).await;
        cluster.eventually("free", is_bound).await;
        assert!(!is_bound(cluster.pods().get_opt("gated").await.unwrap().as_ref()));
        let patch = Patch::Merge(json!({"spec": {"schedulingGates": []}}));
        cluster.pods().patch("gated", &PatchParams::default(), &patch).await.unwrap();
        cluster.eventually("gated", is_bound).await;
    }
}
