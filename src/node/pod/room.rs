//! Room on disk that a pod may take: size limits of emptyDir volumes, limits of ephemeral storage. What a pod takes cannot be
//! watched, so it is measured in turns, of pods that have a limit alone.
//!
//! Source of rules and wording: kubelet `pkg/kubelet/eviction/eviction_manager.go` (localStorageEviction).

use super::parts;
use crate::base::disk;
use crate::node::context::Node;
use crate::node::quantity::{self, Amount};
use crate::runtime::Container;
use k8s_openapi::api::core::v1::{Container as Spec, Pod, Volume};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// From one measuring to the next, as upstream.
pub const PERIOD: Duration = Duration::from_secs(10);

/// The resource that limits a container's own files and its log.
const RESOURCE: &str = "ephemeral-storage";

/// A volume on disk: its name, its folder, its limit and how that is written.
struct Folder {
    name: String,
    path: PathBuf,
    limit: Option<(Amount, String)>,
}

/// Whether anything limits what a pod takes.
pub fn is_limited(pod: &Pod) -> bool {
    parts::spec(pod).volumes.iter().flatten().any(|volume| limit_of(volume).is_some())
        || parts::containers(pod).any(|(_, container)| storage(&container).is_positive())
}

/// Why a pod has to go: what it takes too much of. Its running containers come with it.
pub async fn exceeded(node: Arc<Node>, pod: Arc<Pod>, running: Vec<Container>) -> Option<String> {
    let folders: Vec<Folder> =
        parts::spec(&pod).volumes.iter().flatten().filter_map(|one| folder(&node, &pod, one)).collect();
    // There may be many files. Beside its volumes a pod writes to its hosts file and its termination messages.
    let whole = node.pod_folder(parts::uid(&pod));
    let measured = tokio::task::spawn_blocking(move || {
        let measured = folders.into_iter().map(|folder| (disk::used(&folder.path), folder)).collect::<Vec<_>>();
        (measured, disk::used(&whole))
    });
    let (measured, mut total) = measured.await.ok()?;
    if let Some(why) = measured.iter().find_map(|(used, folder)| too_large(*used, folder)) {
        return Some(why);
    }
    let logs = super::messages::log_folder(&node, &pod);
    for container in running {
        // One that has ended meanwhile takes no more.
        let own = node.runtime.stats(&container.id).await.map_or(0, |stats| stats.disk_used_bytes);
        // With those that were rotated away.
        let log = logs.join(&container.spec.log_path).parent().map_or(0, disk::used);
        let Some((_, spec)) = parts::container(&pod, &container.spec.name) else { continue };
        let limit = storage(&spec);
        if limit.is_positive() && is_above(own + log, limit) {
            let (name, limit) = (&spec.name, written(&spec));
            return Some(format!("Container {name} exceeded its local ephemeral storage limit \"{limit}\". "));
        }
        total += own + log;
    }
    let limits: Vec<Amount> = parts::spec(&pod).containers.iter().map(storage).collect();
    let sum = limits.iter().map(|limit| limit.value()).sum();
    let is_whole = limits.iter().all(|limit| limit.is_positive());
    (is_whole && is_above(total, Amount::units(sum)))
        .then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {sum}. "))
}

fn too_large(used: u64, folder: &Folder) -> Option<String> {
    let (limit, text) = folder.limit.as_ref()?;
    let name = &folder.name;
    is_above(used, *limit).then(|| format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{text}\". "))
}

fn is_above(used: u64, limit: Amount) -> bool {
    i64::try_from(used).is_ok_and(|used| used > limit.value())
}

/// An emptyDir on disk: one in memory is no larger than its file system.
fn folder(node: &Node, pod: &Pod, volume: &Volume) -> Option<Folder> {
    let source = volume.empty_dir.as_ref().filter(|source| source.medium.as_deref().unwrap_or_default().is_empty())?;
    let path = crate::node::volumes::empty_dir(node, parts::uid(pod), &volume.name);
    let text = source.size_limit.as_ref().map(|limit| limit.0.clone());
    let limit = limit_of(volume).map(|limit| (limit, text.unwrap_or_default()));
    Some(Folder { name: volume.name.clone(), path, limit })
}

fn limit_of(volume: &Volume) -> Option<Amount> {
    let source = volume.empty_dir.as_ref().filter(|source| source.medium.as_deref().unwrap_or_default().is_empty())?;
    Amount::parse(&source.size_limit.as_ref()?.0).filter(|limit| limit.is_positive())
}

fn storage(container: &Spec) -> Amount {
    quantity::of(container.resources.as_ref().and_then(|resources| resources.limits.as_ref()), RESOURCE)
}

fn written(container: &Spec) -> String {
    let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    limits.and_then(|limits| limits.get(RESOURCE)).map(|limit| limit.0.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake;
    use serde_json::{Value, json};

    fn pod(container: Value, volume: Value) -> Pod {
        let mut container = container;
        container["name"] = json!("c");
        fake::pod(json!({"containers": [container], "volumes": [{"name": "v", "emptyDir": volume}]}))
    }

    #[test]
    fn only_pods_with_a_limit_are_measured() {
        assert!(!is_limited(&pod(json!({}), json!({}))));
        assert!(
            !is_limited(&pod(json!({}), json!({"medium": "Memory", "sizeLimit": "1Mi"}))),
            "its file system has a size"
        );
        assert!(is_limited(&pod(json!({}), json!({"sizeLimit": "1Mi"}))));
        assert!(is_limited(&pod(json!({"resources": {"limits": {"ephemeral-storage": "1Gi"}}}), json!({}))));
    }

    #[test]
    fn a_volume_may_take_its_limit_and_no_more() {
        let limit = || Some((Amount::parse("1Ki").unwrap(), "1Ki".to_string()));
        let folder = Folder { name: "v".into(), path: PathBuf::new(), limit: limit() };
        assert_eq!(too_large(1024, &folder), None);
        let why = "Usage of EmptyDir volume \"v\" exceeds the limit \"1Ki\". ";
        assert_eq!(too_large(1025, &folder).as_deref(), Some(why));
        assert_eq!(too_large(1 << 40, &Folder { limit: None, ..folder }), None);
    }
}
