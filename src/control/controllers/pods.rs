//! What controllers that make pods share: states, pods from templates, adoption, and the order in which pods go.
//!
//! Source of the rules: kubernetes `pkg/controller/controller_utils.go` and `controller_ref_manager.go`.

use super::replica_set::{is_namespace_terminating, plain};
use super::watches::controller_of;
use super::{Context, Error, write};
use crate::client::Level;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;
use kube::core::{Selector, SelectorExt};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A label selector in the form that matches; an error if it has an operator that does not exist.
pub fn selector(selector: &LabelSelector) -> Result<Selector, Error> {
    Selector::try_from(selector.clone()).map_err(|error| Error::Invalid(format!("invalid label selector: {error}")))
}

/// Whether `selector` takes objects with these labels.
pub fn selects(selector: &Selector, labels: &Option<BTreeMap<String, String>>) -> bool {
    match labels {
        Some(labels) => selector.matches(labels),
        None => selector.matches(&BTreeMap::new()),
    }
}

/// `status.phase`, empty if there is none.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether the pod ended for good.
pub fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether deletion was asked for.
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the pod counts as a replica.
pub fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_terminating(pod)
}

/// A condition of the pod.
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// Whether the condition `Ready` is true.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Since when the pod is ready, if it is.
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    condition(pod, "Ready").filter(|ready| ready.status == "True")?.last_transition_time.as_ref().map(|time| time.0)
}

/// When a ready pod counts as available: `min_ready` seconds after it became ready.
pub fn available_from(pod: &Pod, min_ready: i32) -> Option<Timestamp> {
    if min_ready == 0 {
        return is_ready(pod).then_some(Timestamp::MIN);
    }
    ready_since(pod)?.checked_add(SignedDuration::from_secs(min_ready.into())).ok()
}

/// Whether the pod is available at `now`.
pub fn is_available(pod: &Pod, min_ready: i32, now: Timestamp) -> bool {
    available_from(pod, min_ready).is_some_and(|from| from <= now)
}

/// Restarts of all containers.
pub fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status| status.restart_count).sum()
}

/// A pod of a template, controlled by `owner`; its name is left to the server, after `prefix`.
pub fn from_template(template: &PodTemplateSpec, namespace: &str, prefix: &str, owner: OwnerReference) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(prefix.to_string()),
            namespace: Some(namespace.to_string()),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner]),
            ..Default::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// Creates pods of `owner` in batches of 1, 2, 4, …, each at once, so that a template that is refused is not tried hundreds
/// of times. Tells of each, and of the first failure.
pub async fn create_all<K: Resource<DynamicType = ()>>(
    context: &Context,
    controller: &'static str,
    owner: &K,
    pods: Vec<Pod>,
) -> Result<(), Error> {
    let (mut left, mut batch) = (pods.as_slice(), 1);
    while !left.is_empty() {
        let (some, rest) = left.split_at(left.len().min(batch));
        for made in join_all(some.iter().map(|pod| write::create(context, pod))).await {
            match made {
                Ok(pod) => {
                    let name = pod.metadata.name.as_deref().unwrap_or_default();
                    let text = format!("Created pod: {name}");
                    context.record(controller, owner, Level::Normal, "SuccessfulCreate", text);
                }
                // Nothing can be made in a namespace that goes; the owner will go as well.
                Err(error) if is_namespace_terminating(&error) => return Ok(()),
                Err(error) => {
                    let text = format!("Error creating: {}", plain(&error));
                    context.record(controller, owner, Level::Warning, "FailedCreate", text);
                    return Err(error);
                }
            }
        }
        left = rest;
        batch *= 2;
    }
    Ok(())
}

/// The prefix of generated names: `NAME-`.
pub fn prefix(name: &str) -> String {
    format!("{name}-")
}

/// Whose pods they are.
pub struct Claim<'a> {
    pub owner: &'a OwnerReference,
    pub selector: &'a Selector,
    /// A terminating owner adopts nothing.
    pub terminating: bool,
}

/// What becomes of the pods of a namespace when an owner claims its own.
#[derive(Default)]
pub struct Claimed {
    /// Its pods already.
    pub owned: Vec<Arc<Pod>>,
    /// Pods of nobody that it selects.
    pub adopt: Vec<Arc<Pod>>,
    /// Its pods that it no longer selects.
    pub release: Vec<Arc<Pod>>,
}

impl Claim<'_> {
    /// Sorts pods out.
    pub fn sort(&self, pods: Vec<Arc<Pod>>) -> Claimed {
        let mut claimed = Claimed::default();
        for pod in pods {
            let selected = selects(self.selector, &pod.metadata.labels);
            match controller_of(&*pod) {
                Some(owner) if owner.uid != self.owner.uid => {}
                Some(_) if selected => claimed.owned.push(pod),
                Some(_) if self.terminating || is_terminating(&pod) => {}
                Some(_) => claimed.release.push(pod),
                None if selected && !self.terminating && is_active(&pod) => claimed.adopt.push(pod),
                None => {}
            }
        }
        claimed
    }

    /// Adopts and releases; returns the pods that are the owner's afterwards.
    pub async fn settle(&self, context: &Context, claimed: Claimed) -> Result<Vec<Arc<Pod>>, Error> {
        let mut owned = claimed.owned;
        for pod in claimed.adopt {
            let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
            owners.push(self.owner.clone());
            // The uid makes the server refuse if another pod has the name by now.
            let patch = json!({"metadata": {"uid": pod.metadata.uid, "ownerReferences": owners}});
            match write::merge(context, &*pod, patch).await {
                Ok(pod) => owned.push(Arc::new(pod)),
                Err(error) if write::is_missing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        for pod in claimed.release {
            let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
            owners.retain(|owner| owner.uid != self.owner.uid);
            let patch = json!({"metadata": {"uid": pod.metadata.uid, "ownerReferences": owners}});
            match write::merge(context, &*pod, patch).await {
                Err(error) if !write::is_missing(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(owned)
    }
}

/// Puts the pods that are to go first first: those that cost least to lose. `related` are the pods that count when
/// doubled-up pods of a node are looked for.
pub fn rank_for_deletion(pods: &mut [Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) {
    let mut per_node: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| is_active(pod)) {
        *per_node.entry(node(pod)).or_default() += 1;
    }
    pods.sort_by_cached_key(|pod| {
        let doubled = per_node.get(node(pod)).copied().unwrap_or(0);
        let ready_time = if is_ready(pod) { age_bucket(ready_since(pod), now) } else { 0 };
        (
            !node(pod).is_empty(),
            phase_rank(pod),
            is_ready(pod),
            deletion_cost(pod),
            std::cmp::Reverse(doubled),
            ready_time,
            std::cmp::Reverse(restarts(pod)),
            age_bucket(pod.metadata.creation_timestamp.as_ref().map(|time| time.0), now),
            pod.metadata.uid.clone(),
        )
    });
}

fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

fn phase_rank(pod: &Pod) -> u8 {
    match phase(pod) {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    let annotations = pod.metadata.annotations.as_ref();
    let cost = annotations.and_then(|all| all.get("controller.kubernetes.io/pod-deletion-cost"));
    cost.and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// Ages are compared in powers of two, as upstream's log-scale rank does, so that near ages are left to the uid.
fn age_bucket(since: Option<Timestamp>, now: Timestamp) -> u32 {
    let seconds = since.map_or(0, |since| now.duration_since(since).as_secs().max(0));
    64 - (seconds as u64).leading_zeros()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{PodSpec, PodStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    /// A pod on node `one` in a phase.
    pub fn pod(name: &str, phase: &str, ready: bool) -> Pod {
        let condition = PodCondition {
            type_: "Ready".into(),
            status: if ready { "True" } else { "False" }.into(),
            last_transition_time: Some(Time(Timestamp::from_second(1000).unwrap())),
            ..Default::default()
        };
        Pod {
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some("default".into()),
                uid: Some(format!("uid-{name}")),
                labels: Some([("app".to_string(), "web".to_string())].into()),
                ..Default::default()
            },
            spec: Some(PodSpec { node_name: Some("one".into()), ..Default::default() }),
            status: Some(PodStatus {
                phase: Some(phase.into()),
                conditions: Some(vec![condition]),
                ..Default::default()
            }),
        }
    }

    #[test]
    fn pods_that_cost_least_go_first() {
        let mut unassigned = pod("unassigned", "Pending", false);
        unassigned.spec.as_mut().unwrap().node_name = None;
        let mut cheap = pod("cheap", "Running", true);
        let cost = ("controller.kubernetes.io/pod-deletion-cost".to_string(), "-5".to_string());
        cheap.metadata.annotations = Some([cost].into());
        let mut pods: Vec<Arc<Pod>> = [
            pod("ready", "Running", true),
            cheap,
            pod("unready", "Running", false),
            pod("pending", "Pending", false),
            unassigned,
        ]
        .map(Arc::new)
        .into();
        let related = pods.clone();
        rank_for_deletion(&mut pods, &related, Timestamp::from_second(2000).unwrap());
        let names: Vec<&str> = pods.iter().map(|pod| pod.metadata.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["unassigned", "pending", "unready", "cheap", "ready"]);
    }

    #[test]
    fn orphans_are_adopted_and_strangers_left_alone() {
        let owner = OwnerReference { uid: "me".into(), controller: Some(true), ..Default::default() };
        let selector = Selector::from_iter([("app".to_string(), "web".to_string())]);
        let owned_by = |mut pod: Pod, uid: &str| {
            pod.metadata.owner_references = Some(vec![OwnerReference { uid: uid.into(), ..owner.clone() }]);
            Arc::new(pod)
        };
        let mut renamed = pod("renamed", "Running", true);
        renamed.metadata.labels = None;
        let pods = vec![
            Arc::new(pod("orphan", "Running", true)),
            owned_by(pod("mine", "Running", true), "me"),
            owned_by(pod("yours", "Running", true), "you"),
            owned_by(renamed, "me"),
            Arc::new(pod("ended", "Failed", false)),
        ];
        let claimed = Claim { owner: &owner, selector: &selector, terminating: false }.sort(pods);
        let names = |pods: Vec<Arc<Pod>>| pods.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect::<Vec<_>>();
        assert_eq!(names(claimed.owned), ["mine"]);
        assert_eq!(names(claimed.adopt), ["orphan"]);
        assert_eq!(names(claimed.release), ["renamed"]);
    }

    #[test]
    fn a_pod_is_available_when_it_was_ready_long_enough() {
        let pod = pod("a", "Running", true);
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(is_available(&pod, 0, at(1000)));
        assert!(!is_available(&pod, 10, at(1009)));
        assert!(is_available(&pod, 10, at(1010)));
    }
}
