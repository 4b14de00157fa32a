//! Static pods: each file in the node's folder `/etc/kubernetes/manifests` is a pod that runs for as long as the file is there.
//!
//! ```text
//! file comes ───────────────────▶ mirror pod is made ─▶ it runs as every pod of this node
//! file changes, or mirror deleted ─▶ mirror pod ends ─▶ it is made again
//! file goes ────────────────────▶ mirror pod is deleted
//! ```
//!
//! Mirror pods that stand for parts of the control plane (see `mirrors`) are made and kept in the same way, without files.
//!
//! The pod that runs is the mirror pod itself: server and agent are one process, so there is no time without an API.
//!
//! Source of names and annotations: kubelet `pkg/kubelet/config/common.go`, `pkg/kubelet/pod/mirror_client.go`.

use super::context::Node;
use super::mirrors;
use super::pod::parts;
use super::pods::Seen;
use crate::api::yaml;
use crate::base::causes::chain;
use crate::base::{FolderChanges, Shutdown};
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use rustix::fs::inotify::WatchFlags;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Marks a pod that stands for something of the node.
pub const MIRROR: &str = "kubernetes.io/config.mirror";
/// Where that comes from.
pub const SOURCE: &str = "kubernetes.io/config.source";
const HASH: &str = "kubernetes.io/config.hash";
const SEEN: &str = "kubernetes.io/config.seen";
/// After the server refused something.
const RETRY: Duration = Duration::from_secs(10);
/// No pod is larger.
const LARGEST: u64 = 3 << 20;

/// Namespace and name.
pub type Key = (String, String);

/// Follows the folder until shutdown. Begins when the agent has told for the first time which pods there are.
pub async fn follow(node: Arc<Node>, pods: watch::Receiver<()>, shutdown: Shutdown) {
    if let Err(error) = try_follow(&node, pods, &shutdown).await {
        tracing::warn!(%error, "the folder of static pods is not followed");
    }
}

async fn try_follow(node: &Node, mut pods: watch::Receiver<()>, shutdown: &Shutdown) -> io::Result<()> {
    let folder = node.paths.manifests();
    std::fs::create_dir_all(&folder)?;
    let which = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
    let changes = FolderChanges::of(&folder, which)?;
    let parts = mirrors::of_parts(&node.name, node.profile.api_port);
    // The sender is the node's own.
    pods.changed().await.ok();
    loop {
        let files = read(&folder, &node.name);
        // A file goes before.
        let retry = settle(node, &parts.iter().chain(&files).collect()).await.is_err();
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            _ = pods.changed() => {}
            changed = changes.next() => changed?,
            () = tokio::time::sleep(RETRY), if retry => {}
        }
    }
}

/// Makes and deletes mirror pods until they are those of the files, as far as that can be now.
async fn settle(node: &Node, wanted: &BTreeMap<&Key, &Value>) -> Result<(), ()> {
    let mut outcome = Ok(());
    let present: Vec<Arc<Seen>> = node.pods.list();
    for seen in present.iter().filter(|seen| annotation(&seen.pod, MIRROR).is_some()) {
        let is_wanted = wanted
            .get(&key(&seen.pod))
            .is_some_and(|pod| pod["metadata"]["annotations"][HASH] == annotation(&seen.pod, HASH).unwrap_or_default());
        if is_wanted || parts::is_deleted(&seen.pod) {
            continue;
        }
        let pods: Api<Pod> = Api::namespaced(node.client.clone(), parts::namespace(&seen.pod));
        let same = Preconditions { uid: seen.pod.metadata.uid.clone(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        match pods.delete(parts::name(&seen.pod), &parameters).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => outcome = failed(&key(&seen.pod), &error),
            Ok(_) => {}
        }
    }
    let taken: Vec<Key> = present.iter().map(|seen| key(&seen.pod)).collect();
    // At once, so that they share one write of the store.
    let missing = wanted.iter().filter(|(key, _)| !taken.contains(key));
    let making = missing.map(|(key, pod)| async move { (key, make(node, &key.0, (*pod).clone()).await) });
    for (key, made) in futures::future::join_all(making).await {
        match made {
            // Made a moment ago and not yet seen; if it is somebody else's, it may be gone later.
            Err(kube::Error::Api(status)) if status.is_already_exists() => outcome = Err(()),
            Err(error) => outcome = failed(key, &error),
            Ok(()) => {}
        }
    }
    outcome
}

fn failed(key: &Key, error: &kube::Error) -> Result<(), ()> {
    tracing::warn!(error = chain(error), pod = format!("{}/{}", key.0, key.1), "static pod not as its file says");
    Err(())
}

async fn make(node: &Node, namespace: &str, mut pod: Value) -> kube::Result<()> {
    let own = Api::<NodeObject>::all(node.client.clone()).get(&node.name).await?;
    pod["metadata"]["annotations"][SEEN] = json!(jiff::Timestamp::now().to_string());
    pod["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": own.metadata.uid, "controller": true}]);
    let pod: Pod = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
    Api::namespaced(node.client.clone(), namespace).create(&PostParams::default(), &pod).await.map(drop)
}

fn key(pod: &Pod) -> Key {
    (parts::namespace(pod).to_string(), parts::name(pod).to_string())
}

/// An annotation of a pod.
pub fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// The mirror pods of a folder's files; one that cannot be read is told in the log, and is no pod.
fn read(folder: &Path, node: &str) -> BTreeMap<Key, Value> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST);
        if is_hidden || !is_file {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        let pod = text.and_then(|text| yaml::from_text(&text).map_err(|error| error.to_string()));
        match pod.and_then(|pod| mirror(pod, "file", node)) {
            Ok((key, pod)) => _ = found.insert(key, pod),
            Err(why) => tracing::warn!(why, file = %path.display(), "a file is no static pod"),
        }
    }
    found
}

/// The mirror pod that a pod from some source has on a node.
pub fn mirror(mut pod: Value, source: &str, node: &str) -> Result<(Key, Value), String> {
    if pod["kind"] != "Pod" || !pod["metadata"].is_object() || !pod["spec"].is_object() {
        return Err("it holds no Pod".into());
    }
    let name = pod["metadata"]["name"].as_str().filter(|name| !name.is_empty()).ok_or("the pod has no name")?;
    let name = format!("{name}-{node}");
    let hash = hex::encode(&Sha256::digest(pod.to_string())[..16]);
    let namespace =
        pod["metadata"]["namespace"].as_str().filter(|one| !one.is_empty()).unwrap_or("default").to_string();
    let metadata = &mut pod["metadata"];
    metadata["name"] = json!(name);
    metadata["namespace"] = json!(namespace);
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = json!({});
    }
    for (key, value) in [(HASH, hash.as_str()), (MIRROR, hash.as_str()), (SOURCE, source)] {
        metadata["annotations"][key] = json!(value);
    }
    let spec = &mut pod["spec"];
    spec["nodeName"] = json!(node);
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    tolerations.push(json!({"operator": "Exists", "effect": "NoExecute"}));
    spec["tolerations"] = json!(tolerations);
    // Typed once, so that what is wrong is told with the file.
    serde_json::from_value::<Pod>(pod.clone()).map_err(|error| error.to_string())?;
    Ok(((namespace, name), pod))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: i}]}\n";

    fn of_file(text: &str) -> (Key, Value) {
        mirror(yaml::from_text(text).unwrap(), "file", "one").unwrap()
    }

    #[test]
    fn a_file_is_a_pod_of_this_node_and_known_by_what_it_says() {
        let ((namespace, name), pod) = of_file(WEB);
        assert_eq!((namespace.as_str(), name.as_str()), ("default", "web-one"));
        assert_eq!(pod["spec"]["nodeName"], "one");
        assert_eq!(pod["spec"]["tolerations"], json!([{"operator": "Exists", "effect": "NoExecute"}]));
        let hash = |pod: &Value| pod["metadata"]["annotations"][HASH].clone();
        assert_eq!(hash(&pod), pod["metadata"]["annotations"][MIRROR]);
        assert_eq!(hash(&pod), hash(&of_file(WEB).1));
        assert_ne!(hash(&pod), hash(&of_file(&WEB.replace("image: i", "image: j")).1));
    }

    #[test]
    fn what_is_no_pod_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("web.yaml", WEB);
        write(".web.yaml.swp", WEB);
        write("other.yaml", "kind: Service\nmetadata: {name: s}\nspec: {}\n");
        write("broken.yaml", "{");
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        assert_eq!(read(folder.path(), "one").len(), 1);
    }
}
