//! Having a container's image, by its pull policy, with back-off.
//!
//! Source of the rules and wording: kubelet `pkg/kubelet/images/image_manager.go`.

use super::backoff::Backoffs;
use super::parts;
use super::start::Refused;
use crate::client::Level;
use crate::node::border::{Credentials, Image, ImageError};
use crate::node::context::Node;
use k8s_openapi::api::core::v1::{Container, Pod};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// After a failed pull: how long until the status says that it waits for the next one.
const TELL_BACKOFF: Duration = Duration::from_secs(2);

/// Pulls of one pod that failed.
#[derive(Default)]
pub struct Pulls {
    backoffs: Mutex<Backoffs>,
    /// When and why, by image.
    failed: Mutex<HashMap<String, (Instant, String)>>,
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Always,
    IfNotPresent,
    Never,
}

fn policy(container: &Container, reference: &str) -> Policy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => Policy::Always,
        Some("Never") => Policy::Never,
        Some("IfNotPresent") => Policy::IfNotPresent,
        _ if is_latest(reference) => Policy::Always,
        _ => Policy::IfNotPresent,
    }
}

fn is_latest(reference: &str) -> bool {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

/// The image of `container`, fetched if the policy says so.
pub async fn ensure(node: &Node, pod: &Pod, container: &Container, pulls: &Pulls) -> Result<Image, Refused> {
    let reference = container.image.as_deref().unwrap_or_default();
    let tell = |level, reason, message: String| parts::tell(node, pod, Some(&container.name), level, reason, message);
    let present = match node.images.resolve(reference).await {
        Ok(present) => present,
        Err(ImageError::InvalidName(why)) => {
            let message = format!("Failed to apply default image tag \"{reference}\": {why}");
            tell(Level::Warning, "InspectFailed", message.clone());
            tell(Level::Warning, "Failed", "Error: InvalidImageName".into());
            return Err(Refused::later("InvalidImageName", message, Duration::from_secs(30)));
        }
        Err(ImageError::Failed(why)) => {
            let message = format!("Failed to inspect image \"{reference}\": {why}");
            tell(Level::Warning, "InspectFailed", message.clone());
            return Err(Refused::later("ImageInspectError", message, Duration::from_secs(10)));
        }
    };
    match (policy(container, reference), present) {
        (Policy::Never, None) => {
            let message = format!("Container image \"{reference}\" is not present with pull policy of Never");
            tell(Level::Warning, "ErrImageNeverPull", message.clone());
            tell(Level::Warning, "Failed", "Error: ErrImageNeverPull".into());
            Err(Refused::later("ErrImageNeverPull", message, Duration::from_secs(10)))
        }
        (Policy::Never | Policy::IfNotPresent, Some(image)) if may_use(node, pod, reference).await => {
            tell(Level::Normal, "Pulled", format!("Container image \"{reference}\" already present on machine"));
            Ok(image)
        }
        (Policy::Never, Some(_)) => {
            let message = format!(
                "Container image \"{reference}\" is present, but with pull policy of Never the pod cannot show that it may use it"
            );
            tell(Level::Warning, "ErrImageNeverPull", message.clone());
            tell(Level::Warning, "Failed", "Error: ErrImageNeverPull".into());
            Err(Refused::later("ErrImageNeverPull", message, Duration::from_secs(10)))
        }
        _ => pull(node, pod, container, reference, pulls).await,
    }
}

/// Whether the pod, or everybody, has shown to the image's registry that it may be pulled: what one pulled with a secret is no
/// gift to all. Where that cannot be found out, the registry is asked.
async fn may_use(node: &Node, pod: &Pod, reference: &str) -> bool {
    // Most images are everybody's: secrets are only looked at for others.
    if node.images.may_use(reference, &[]).await.unwrap_or(false) {
        return true;
    }
    let credentials = super::secrets::for_image(node, pod, reference).await;
    !credentials.is_empty() && node.images.may_use(reference, &credentials).await.unwrap_or(false)
}

async fn pull(node: &Node, pod: &Pod, container: &Container, reference: &str, pulls: &Pulls) -> Result<Image, Refused> {
    let tell = |level, reason, message: String| parts::tell(node, pod, Some(&container.name), level, reason, message);
    let key = reference.to_string();
    let earlier = pulls.failed.lock().get(&key).cloned();
    if let Some((failed, why)) = earlier
        && let Some((_, left)) = pulls.backoffs.lock().wait(&key, failed, Instant::now())
    {
        tell(Level::Normal, "BackOff", format!("Back-off pulling image \"{reference}\""));
        tell(Level::Warning, "Failed", "Error: ImagePullBackOff".into());
        let message = format!("Back-off pulling image \"{reference}\": ErrImagePull: {why}");
        return Err(Refused::later("ImagePullBackOff", message, left));
    }
    tell(Level::Normal, "Pulling", format!("Pulling image \"{reference}\""));
    let began = Instant::now();
    let credentials = super::secrets::for_image(node, pod, reference).await;
    match fetch(node, reference, &credentials).await {
        Ok(image) => {
            pulls.backoffs.lock().reset(&key);
            pulls.failed.lock().remove(&key);
            let took = began.elapsed();
            let took = format!("{:.3}s", took.as_secs_f64());
            let size = image.size;
            let message = format!(
                "Successfully pulled image \"{reference}\" in {took} ({took} including waiting). Image size: {size} bytes."
            );
            tell(Level::Normal, "Pulled", message);
            node.images_changed.notify_one();
            Ok(image)
        }
        Err(error) => {
            let now = Instant::now();
            let why = error.to_string();
            pulls.backoffs.lock().next(&key, now, now);
            pulls.failed.lock().insert(key, (now, why.clone()));
            tell(Level::Warning, "Failed", format!("Failed to pull image \"{reference}\": {why}"));
            tell(Level::Warning, "Failed", "Error: ErrImagePull".into());
            Err(Refused::later("ErrImagePull", why, TELL_BACKOFF))
        }
    }
}

async fn fetch(node: &Node, reference: &str, credentials: &[Credentials]) -> Result<Image, ImageError> {
    node.images.pull(reference, credentials).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_policy_the_tag_decides() {
        for (reference, latest) in [
            ("a", true),
            ("a:latest", true),
            ("a:1", false),
            ("r:5000/a", true),
            ("r:5000/a:1", false),
            ("a@sha256:0", false),
        ] {
            assert_eq!(is_latest(reference), latest, "{reference}");
        }
    }

    #[tokio::test]
    async fn a_present_image_that_a_login_was_needed_for_is_not_everybodys() {
        use crate::node::fake::{FakeApi, FakeRuntime, node, pod};
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        let ensure = async |image: &str, policy: &str| {
            let spec = serde_json::json!({"containers": [{"name": "c", "image": image, "imagePullPolicy": policy}]});
            let pod = pod(spec);
            let container = parts::spec(&pod).containers[0].clone();
            let ensured = super::ensure(&node, &pod, &container, &Pulls::default()).await;
            ensured.map(drop).map_err(|refused| refused.waiting.message)
        };
        assert!(ensure("public:1", "Never").await.is_ok());
        assert!(ensure("private:1", "Never").await.unwrap_err().contains("cannot show that it may use it"));
        assert!(ensure("private:1", "IfNotPresent").await.is_ok(), "the registry was asked");
    }
}
