//! A DaemonSet's rolling update: which old pods go next, and where new ones come beside them. Pure.
//!
//! Source of the rules: kubernetes `pkg/controller/daemon/update.go`.

use super::nodes::{Fit, fit};
use super::{Look, Plan};
use crate::control::controllers::deployment::portion;
use crate::control::controllers::pods;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;
use std::sync::Arc;

fn limits(look: &Look) -> (Option<IntOrString>, Option<IntOrString>) {
    let rolling = look.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.clone());
    let rolling = rolling.unwrap_or_default();
    (rolling.max_surge, rolling.max_unavailable)
}

fn desired(look: &Look) -> i32 {
    look.nodes.iter().filter(|node| fit(&look.spec.template, node) == Fit::Run).count() as i32
}

/// How many nodes may have two pods.
pub fn max_surge(look: &Look) -> i32 {
    limits(look).0.map_or(0, |surge| portion(&surge, desired(look), true))
}

/// How many nodes may be without a pod that is available; 1 where neither that nor a surge is allowed.
fn max_unavailable(look: &Look) -> i32 {
    let unavailable = limits(look).1.unwrap_or(IntOrString::Int(1));
    let most = portion(&unavailable, desired(look), true);
    if most == 0 && max_surge(look) == 0 { 1 } else { most }
}

/// The old and the new pod of a node, oldest first.
fn pair<'a>(look: &Look, pods: &'a [Arc<Pod>]) -> (Option<&'a Arc<Pod>>, Option<&'a Arc<Pod>>) {
    let mut all: Vec<&Arc<Pod>> = pods.iter().filter(|pod| !pods::is_terminating(pod)).collect();
    all.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let find = |updated: bool| all.iter().find(|pod| look.is_updated(pod) == updated).copied();
    (find(false), find(true))
}

/// The next step of the update.
pub fn plan(look: &Look, by_node: &BTreeMap<String, Vec<Arc<Pod>>>) -> Plan {
    let surge = max_surge(look);
    if surge > 0 { surging(look, by_node, surge) } else { replacing(look, by_node) }
}

/// Old pods go first; those that are of no use go at once.
fn replacing(look: &Look, by_node: &BTreeMap<String, Vec<Arc<Pod>>>) -> Plan {
    let (mut unavailable, mut useless, mut useful) = (0, Vec::new(), Vec::new());
    for node in look.nodes.iter().filter(|node| fit(&look.spec.template, node) == Fit::Run) {
        let own = by_node.get(node.metadata.name.as_deref().unwrap_or_default());
        match pair(look, own.map(Vec::as_slice).unwrap_or_default()) {
            (_, Some(new)) => unavailable += i32::from(!look.is_available(new)),
            (Some(old), None) if look.is_available(old) => useful.push(old.clone()),
            (Some(old), None) => {
                unavailable += 1;
                useless.push(old.clone());
            }
            (None, None) => unavailable += 1,
        }
    }
    let room = (max_unavailable(look) - unavailable).max(0) as usize;
    let delete = useless.into_iter().chain(useful.into_iter().take(room)).collect();
    Plan { delete, ..Plan::default() }
}

/// New pods come first; old ones go when their successor is available.
fn surging(look: &Look, by_node: &BTreeMap<String, Vec<Arc<Pod>>>, surge: i32) -> Plan {
    let (mut surging, mut plan, mut candidates) = (0, Plan::default(), Vec::new());
    for node in look.nodes.iter().filter(|node| fit(&look.spec.template, node) == Fit::Run) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let own = by_node.get(&name);
        match pair(look, own.map(Vec::as_slice).unwrap_or_default()) {
            (Some(old), Some(new)) if look.is_available(new) => plan.delete.push(old.clone()),
            (Some(_), Some(_)) => surging += 1,
            (Some(old), None) if look.is_available(old) => candidates.push(name),
            (Some(_), None) => plan.create.push(name),
            _ => {}
        }
    }
    let room = (surge - surging).max(0) as usize;
    plan.create.extend(candidates.into_iter().take(room));
    plan
}
