//! Setting the volumes of a pod up, however long that takes, and keeping what the agent writes current.

use super::atomic::{self, Payload};
use super::content::{self, Maker};
use super::tokens::Tokens;
use super::watched::Watched;
use super::{Place, Places, claims, empty_dir, host_path};
use crate::client::Level;
use crate::node::context::Node;
use crate::node::pod::parts;
use k8s_openapi::api::core::v1::{Pod, Volume};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(122);
/// How long until a pod is told that its volumes are still missing (kubelet: podAttachAndMountTimeout).
const PATIENCE: Duration = Duration::from_secs(123);
/// After content could not be written anew.
const REWRITE: Duration = Duration::from_secs(60);

/// The volumes of a pod, kept current until this is dropped.
pub struct Follower {
    places: Arc<Places>,
    pod: watch::Sender<Arc<Pod>>,
    _task: Option<AbortOnDropHandle<()>>,
}

impl Follower {
    /// Where the volumes are.
    pub fn places(&self) -> Arc<Places> {
        self.places.clone()
    }

    /// The pod's object is another one now.
    pub fn pod_changed(&self, pod: Arc<Pod>) {
        self.pod.send_replace(pod);
    }
}

/// Sets up every volume of the pod; tries until it works. Nothing when `cancel` came first.
pub async fn mount(node: Arc<Node>, pod: Arc<Pod>, cancel: CancellationToken) -> Option<Follower> {
    let watched = tokio::select! {
        watched = Watched::start(&node, &pod) => watched,
        () = cancel.cancelled() => return None,
    };
    let mut content =
        Content { node: node.clone(), pod: pod.clone(), watched, tokens: Tokens::default(), written: HashMap::new() };
    let mut places = Places::new();
    let mut pending: Vec<&Volume> = parts::spec(&pod).volumes.iter().flatten().collect();
    let (mut delay, mut began) = (FIRST_RETRY, Instant::now());
    loop {
        let failures = tokio::select! {
            failures = content.set_up(&mut pending, &mut places) => failures,
            () = cancel.cancelled() => return None,
        };
        if failures.is_empty() {
            break;
        }
        tell(&node, &pod, &failures, &mut began);
        tokio::select! {
            () = cancel.cancelled() => return None,
            () = content.watched.changed() => {}
            () = tokio::time::sleep(delay) => delay = (delay * 2).min(LAST_RETRY),
        }
    }
    let (sender, receiver) = watch::channel(pod.clone());
    let follows = !content.written.is_empty();
    let task = follows.then(|| AbortOnDropHandle::new(tokio::spawn(content.follow(receiver))));
    Some(Follower { places: Arc::new(places), pod: sender, _task: task })
}

/// The names of volumes that are not there, and why.
type Failures = Vec<(String, String)>;

fn tell(node: &Node, pod: &Pod, failures: &Failures, began: &mut Instant) {
    for (name, why) in failures {
        let message = format!("MountVolume.SetUp failed for volume \"{name}\" : {why}");
        parts::tell(node, pod, None, Level::Warning, "FailedMount", message);
    }
    if began.elapsed() >= PATIENCE {
        let names: Vec<&str> = failures.iter().map(|(name, _)| name.as_str()).collect();
        let message = format!(
            "Unable to attach or mount volumes: unmounted volumes=[{}], unattached volumes=[], failed to process volumes=[]: context deadline exceeded",
            names.join(" ")
        );
        parts::tell(node, pod, None, Level::Warning, "FailedMount", message);
        *began = Instant::now();
    }
}

/// What the agent writes for one pod.
struct Content {
    node: Arc<Node>,
    pod: Arc<Pod>,
    watched: Watched,
    tokens: Tokens,
    /// By the volume's name.
    written: HashMap<String, Payload>,
}

impl Content {
    /// Sets up what is pending; what failed stays pending.
    async fn set_up(&mut self, pending: &mut Vec<&Volume>, places: &mut Places) -> Failures {
        let mut failures = Failures::new();
        let mut left = Vec::new();
        for volume in pending.drain(..) {
            match self.place(volume).await {
                Ok(place) => drop(places.insert(volume.name.clone(), place)),
                Err(why) => {
                    failures.push((volume.name.clone(), why));
                    left.push(volume);
                }
            }
        }
        *pending = left;
        failures
    }

    async fn place(&mut self, volume: &Volume) -> Result<Place, String> {
        let pod = self.pod.clone();
        let uid = parts::uid(&pod);
        if content::is_written(volume) {
            self.write(volume).await?;
            return Ok(Place::folder(self.folder(volume), true));
        }
        if let Some(source) = &volume.empty_dir {
            let folder = super::empty_dir(&self.node, uid, &volume.name);
            return empty_dir::place(&folder, source, content::group(&pod));
        }
        if let Some(source) = &volume.host_path {
            return host_path::place(source);
        }
        if let Some(source) = &volume.persistent_volume_claim {
            return claims::place(&self.node, &pod, &source.claim_name, source.read_only == Some(true), false).await;
        }
        if volume.ephemeral.is_some() {
            let claim = format!("{}-{}", parts::name(&pod), volume.name);
            return claims::place(&self.node, &pod, &claim, false, true).await;
        }
        Err("no volume plugin matched name: this node does not know volumes of this kind".into())
    }

    fn folder(&self, volume: &Volume) -> PathBuf {
        self.node.memory_folder(parts::uid(&self.pod)).join(&volume.name)
    }

    /// Writes the content of a volume if it is not what was written last.
    async fn write(&mut self, volume: &Volume) -> Result<(), String> {
        let mut maker =
            Maker { node: &self.node, pod: &self.pod, objects: &self.watched.objects, tokens: &mut self.tokens };
        let payload = maker.payload(volume).await?;
        if self.written.get(&volume.name) == Some(&payload) {
            return Ok(());
        }
        let written = atomic::write(&self.folder(volume), &payload, content::group(&self.pod));
        written.map_err(|error| error.to_string())?;
        self.written.insert(volume.name.clone(), payload);
        Ok(())
    }

    async fn follow(mut self, mut pods: watch::Receiver<Arc<Pod>>) {
        let volumes: Vec<Volume> = parts::spec(&self.pod).volumes.clone().unwrap_or_default();
        let volumes: Vec<Volume> = volumes.into_iter().filter(content::is_written).collect();
        let follows_pod = volumes.iter().any(content::follows_pod);
        let mut retry = None;
        let mut jumps = self.node.jumps.clone();
        loop {
            let wake = self.tokens.next_renewal().into_iter().chain(retry).min();
            tokio::select! {
                () = self.watched.changed() => {}
                changed = pods.changed(), if follows_pod => match changed {
                    Ok(()) => self.pod = pods.borrow_and_update().clone(),
                    Err(_) => return,
                },
                () = sleep_until(wake) => {}
                () = jumps.next() => self.tokens.doubt(),
            }
            retry = None;
            let mut failures = Failures::new();
            for volume in &volumes {
                if let Err(why) = self.write(volume).await {
                    failures.push((volume.name.clone(), why));
                }
            }
            if !failures.is_empty() {
                tell(&self.node, &self.pod, &failures, &mut Instant::now());
                retry = Some(Instant::now() + REWRITE);
            }
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{FakeApi, FakeRuntime, node, pod};
    use serde_json::{Value, json};
    use std::path::Path;

    const PATH: &str = "/api/v1/namespaces/default/configmaps/c";

    fn config_map(text: &str) -> Value {
        json!({"metadata": {"name": "c", "namespace": "default", "uid": "c"}, "data": {"k": text}})
    }

    fn with_volumes(volumes: Value) -> Arc<Pod> {
        Arc::new(pod(json!({"containers": [], "volumes": volumes})))
    }

    /// Waits for another process's view of a file: the follower writes in its own time.
    async fn until(path: &Path, text: &str) {
        for _ in 0..1000 {
            if std::fs::read_to_string(path).is_ok_and(|found| found == text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} is {:?}", path.display(), std::fs::read_to_string(path));
    }

    #[tokio::test]
    async fn files_follow_their_object_and_their_pod() {
        let api = FakeApi::default();
        api.put(PATH, config_map("one"));
        let (node, _folder) = node(&api, &FakeRuntime::default());
        let pod = with_volumes(json!([{"name": "v", "configMap": {"name": "c"}}, {"name": "e", "emptyDir": {}},
            {"name": "d", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels['a']"}}]}}]));
        let follower = mount(Arc::new(node), pod.clone(), CancellationToken::new()).await.unwrap();
        let places = follower.places();
        let file = places["v"].path.join("k");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
        assert!(places["v"].read_only && !places["e"].read_only && places["e"].path.is_dir());
        api.put(PATH, config_map("two"));
        until(&file, "two").await;
        let mut changed = Pod::clone(&pod);
        changed.metadata.labels = Some([("a".to_string(), "b".to_string())].into());
        follower.pod_changed(Arc::new(changed));
        until(&places["d"].path.join("l"), "b").await;
    }

    #[tokio::test]
    async fn a_volume_waits_for_its_object() {
        let api = FakeApi::default();
        let (node, _folder) = node(&api, &FakeRuntime::default());
        let pod = with_volumes(json!([{"name": "v", "configMap": {"name": "c"}}]));
        let mounting = tokio::spawn(mount(Arc::new(node), pod, CancellationToken::new()));
        let told =
            |event: &Value| event["message"] == "MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found";
        while !api.below("/api/v1/namespaces/default/events/").iter().any(told) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        api.put(PATH, config_map("one"));
        let follower = mounting.await.unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(follower.places()["v"].path.join("k")).unwrap(), "one");
    }
}
