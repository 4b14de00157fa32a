//! Volumes: claims that a pod uses, and where the volumes behind them can be reached.
//!
//! Source: pkg/scheduler/framework/plugins/{volumebinding,volumerestrictions,volumezone}.

use super::{Question, Refusal, Verdict};
use crate::control::scheduler::labels;
use crate::control::scheduler::pod::PodInfo;
use crate::control::scheduler::resources::Resources;
use crate::control::scheduler::world::{NodeInfo, Place, World};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, Volume};
use kube::ResourceExt;
use std::sync::Arc;

/// Marks a claim as bound for good.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The node that a claim's volume is to be made for.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Labels of a volume that its node must share.
const ZONES: &[&str] = &[
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// What is to be done for a claim before its pod can be bound.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A volume that is there is given to the claim.
    Give { claim: Place, volume: String },
    /// A volume is made for the claim, for the chosen node.
    Make { claim: Place },
}

/// The claims of a pod, by name, with the ones that stand for generic ephemeral volumes.
fn claims(info: &PodInfo) -> impl Iterator<Item = String> {
    let volumes = info.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let pod = info.name();
    volumes.filter_map(move |volume| claim_name(&pod, volume))
}

fn claim_name(pod: &str, volume: &Volume) -> Option<String> {
    match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some(source.claim_name.clone()),
        (None, Some(_)) => Some(format!("{pod}-{}", volume.name)),
        (None, None) => None,
    }
}

/// Why a claim is not there: that of an ephemeral volume is made by a controller.
fn missing(info: &PodInfo, claim: &str) -> String {
    let volumes = info.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let own = volumes.filter(|volume| volume.ephemeral.is_some());
    match own.filter_map(|volume| claim_name(&info.name(), volume)).any(|name| name == claim) {
        true => format!("waiting for ephemeral volume controller to create the persistentvolumeclaim \"{claim}\""),
        false => format!("persistentvolumeclaim \"{claim}\" not found"),
    }
}

fn claim<'a>(world: &'a World, info: &PodInfo, name: &str) -> Option<&'a Arc<PersistentVolumeClaim>> {
    world.claims.get(&(info.namespace().to_string(), name.to_string()))
}

fn spec(claim: &PersistentVolumeClaim) -> PersistentVolumeClaimSpec {
    claim.spec.clone().unwrap_or_default()
}

/// The volume that a claim is bound to for good.
fn bound(claim: &PersistentVolumeClaim) -> Option<String> {
    let is_bound = claim.annotations().contains_key(BIND_COMPLETED);
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|name| !name.is_empty());
    name.filter(|_| is_bound)
}

/// Whether a claim's class waits until somebody uses it.
fn waits(world: &World, claim: &PersistentVolumeClaim) -> bool {
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
    let mode = world.classes.get(class).and_then(|class| class.volume_binding_mode.as_deref());
    mode == Some("WaitForFirstConsumer")
}

/// Every claim is there, lives, and is bound or waits for its first pod.
pub fn exist(question: &Question<'_>) -> Verdict {
    let mut has_unbound = false;
    for name in claims(question.info) {
        let Some(claim) = claim(question.world, question.info, &name) else {
            return Err(Refusal::hopeless(missing(question.info, &name)));
        };
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        if phase == Some("Lost") {
            let volume = spec(claim).volume_name.unwrap_or_default();
            let why = format!("persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\"");
            return Err(Refusal::hopeless(why));
        }
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(Refusal::hopeless(format!("persistentvolumeclaim \"{name}\" is being deleted")));
        }
        has_unbound |= bound(claim).is_none() && !waits(question.world, claim);
    }
    if has_unbound { Err(Refusal::hopeless("pod has unbound immediate PersistentVolumeClaims")) } else { Ok(()) }
}

/// Volumes that are there can be reached from the node; for claims that wait, one can be found or made for it.
pub fn are_reachable(question: &Question<'_>, node: &NodeInfo) -> Verdict {
    steps(question.info, question.world, node).map(drop)
}

/// What binding the pod to the node takes, claim by claim.
pub fn steps(info: &PodInfo, world: &World, node: &NodeInfo) -> Result<Vec<Step>, Refusal> {
    let mut steps: Vec<Step> = Vec::new();
    for name in claims(info) {
        let Some(claim) = claim(world, info, &name) else { continue };
        match bound(claim) {
            Some(volume) => {
                let Some(volume) = world.volumes.get(&volume) else {
                    return Err(Refusal::hopeless(
                        "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
                    ));
                };
                if !is_near(volume, node) {
                    return Err(Refusal::hopeless("node(s) didn't match PersistentVolume's node affinity"));
                }
            }
            None => steps.push(find(info, world, node, claim, &name, &steps)?),
        }
    }
    Ok(steps)
}

fn find(
    info: &PodInfo,
    world: &World,
    node: &NodeInfo,
    claim: &PersistentVolumeClaim,
    name: &str,
    earlier: &[Step],
) -> Result<Step, Refusal> {
    let place = (info.namespace().to_string(), name.to_string());
    let conflict = || Refusal::hopeless("node(s) didn't find available persistent volumes to bind");
    let selected = claim.annotations().get(SELECTED_NODE).map(String::as_str);
    if selected.is_some_and(|selected| selected != node.name()) {
        return Err(conflict());
    }
    let is_given =
        |volume: &str| earlier.iter().any(|step| matches!(step, Step::Give { volume: given, .. } if given == volume));
    let is_free = |volume: &PersistentVolume| !is_given(&volume.name_any()) && fits(world, volume, claim, &place);
    let mut candidates: Vec<_> =
        world.volumes.values().filter(|volume| is_free(volume) && is_near(volume, node)).collect();
    candidates.sort_by_key(|volume| (!is_promised(volume, &place), capacity(volume)));
    if let Some(volume) = candidates.first() {
        return Ok(Step::Give { claim: place, volume: volume.name_any() });
    }
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
    let class = world.classes.get(class);
    let can_make = class.is_some_and(|class| class.provisioner != "kubernetes.io/no-provisioner");
    let takes_node = class.and_then(|class| class.allowed_topologies.as_ref()).is_none_or(|terms| {
        terms.is_empty()
            || terms.iter().any(|term| {
                let expressions = term.match_label_expressions.iter().flatten();
                expressions
                    .into_iter()
                    .all(|one| node.label(&one.key).is_some_and(|label| one.values.iter().any(|value| value == label)))
            })
    });
    if can_make && takes_node { Ok(Step::Make { claim: place }) } else { Err(conflict()) }
}

fn capacity(volume: &PersistentVolume) -> i64 {
    Resources::read(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref())).get("storage")
}

/// Whether a volume is kept for a claim already.
fn is_promised(volume: &PersistentVolume, place: &Place) -> bool {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    reference.is_some_and(|one| {
        one.namespace.as_deref() == Some(place.0.as_str()) && one.name.as_deref() == Some(place.1.as_str())
    })
}

/// Whether a volume is free and is what a claim asks for.
fn fits(world: &World, volume: &PersistentVolume, claim: &PersistentVolumeClaim, place: &Place) -> bool {
    let (Some(offer), wanted) = (volume.spec.as_ref(), spec(claim)) else { return false };
    let is_taken = (offer.claim_ref.is_some() && !is_promised(volume, place))
        || world.reserved.get(&volume.name_any()).is_some_and(|other| other != place)
        || volume.metadata.deletion_timestamp.is_some();
    let asked = Resources::read(wanted.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    let class = |name: &Option<String>| name.clone().unwrap_or_default();
    let mode = |name: &Option<String>| name.clone().unwrap_or_else(|| "Filesystem".into());
    let offered_modes = offer.access_modes.as_deref().unwrap_or_default();
    let named = wanted.volume_name.as_deref().filter(|name| !name.is_empty());
    !is_taken
        && named.is_none_or(|name| volume.name_any() == name)
        && class(&offer.storage_class_name) == class(&wanted.storage_class_name)
        && mode(&offer.volume_mode) == mode(&wanted.volume_mode)
        && wanted.access_modes.iter().flatten().all(|wanted| offered_modes.contains(wanted))
        && wanted.selector.as_ref().is_none_or(|one| labels::selects(Some(one), volume.metadata.labels.as_ref()))
        && capacity(volume) >= asked.get("storage")
}

/// Whether a volume can be reached from a node.
fn is_near(volume: &PersistentVolume, node: &NodeInfo) -> bool {
    let required = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
    let required = required.and_then(|affinity| affinity.required.as_ref());
    required.is_none_or(|selector| labels::takes_node(selector, &node.node))
}

/// A volume that lies in a zone is for nodes of it. A label may name several, joined by `__`.
pub fn are_in_zone(question: &Question<'_>, node: &NodeInfo) -> Verdict {
    for name in claims(question.info) {
        let volume = claim(question.world, question.info, &name).and_then(|claim| bound(claim));
        let Some(volume) = volume.and_then(|name| question.world.volumes.get(&name)) else { continue };
        for key in ZONES {
            let (Some(zones), Some(own)) = (volume.labels().get(*key), node.label(key)) else { continue };
            if !zones.split("__").any(|zone| zone == own) {
                return Err(Refusal::hopeless("node(s) had no available volume zone"));
            }
        }
    }
    Ok(())
}

/// Claims of the pod that only one pod may use.
fn exclusive_claims(question: &Question<'_>) -> Vec<String> {
    let is_exclusive = |name: &String| {
        let claim = claim(question.world, question.info, name);
        let modes = claim.and_then(|claim| claim.spec.as_ref()).and_then(|spec| spec.access_modes.as_ref());
        modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod"))
    };
    claims(question.info).filter(is_exclusive).collect()
}

/// Nobody uses a claim that only one pod may use.
pub fn is_alone(question: &Question<'_>, _: &NodeInfo) -> Verdict {
    let own = exclusive_claims(question);
    if own.is_empty() {
        return Ok(());
    }
    let mut pods = question.world.nodes.values().flat_map(|node| node.pods.values());
    let uses_one = |pod: &Arc<PodInfo>| {
        pod.namespace() == question.info.namespace() && claims(pod).any(|name| own.contains(&name))
    };
    if pods.any(uses_one) {
        return Err(Refusal::curable(
            "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
        ));
    }
    Ok(())
}
