//! PodDisruptionBudget: how many pods may be evicted now. The server's eviction reads it.
//!
//! Source of the rules and wording: kubernetes `pkg/controller/disruption/disruption.go`.

use super::deployment::portion;
use super::pods;
use super::runner::Next;
use super::watches::{Watched, changes, controller_of, own, read};
use super::{Context, Controller, Error, Key, write};
use crate::client::{Cache, Change, Level};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, DynamicObject};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(super) const CONTROLLER: Controller = Controller {
    name: "controllermanager",
    watches: &[
        own::<PodDisruptionBudget>,
        of_pods,
        |context| of_scaled::<Deployment>(context, |one| one.spec.as_ref().and_then(|spec| spec.replicas)),
        |context| of_scaled::<StatefulSet>(context, |one| one.spec.as_ref().and_then(|spec| spec.replicas)),
        |context| of_scaled::<ReplicationController>(context, |one| one.spec.as_ref().and_then(|spec| spec.replicas)),
        |context| of_scaled::<ReplicaSet>(context, |one| one.spec.as_ref().and_then(|spec| spec.replicas)),
        read::<Pod>,
    ],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// How long an evicted pod may take until it counts again.
const DELETION: SignedDuration = SignedDuration::from_secs(120);
const CONDITION: &str = "DisruptionAllowed";

fn selecting(budgets: &Cache<PodDisruptionBudget>, pod: &Pod) -> Vec<Key> {
    let selects = |budget: &Arc<PodDisruptionBudget>| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let selector = selector.and_then(|selector| pods::selector(selector).ok());
        selector.is_some_and(|selector| pods::selects(&selector, &pod.metadata.labels))
    };
    let all = budgets.list_in(pod.metadata.namespace.as_deref().unwrap_or_default());
    all.into_iter().filter(selects).map(|budget| Key::of(&*budget)).collect()
}

fn of_pods(context: &Context) -> Watched {
    let budgets = context.caches.of::<PodDisruptionBudget>();
    changes::<Pod>(context, move |change| {
        let matter = |pod: &Pod| (pods::is_ready(pod), pods::is_active(pod), pod.metadata.labels.clone());
        match &change {
            Change::Applied { old: Some(old), new } if matter(old) == matter(new) => Vec::new(),
            Change::Applied { old: Some(old), new } => {
                let mut keys = selecting(&budgets, old);
                keys.extend(selecting(&budgets, new));
                keys
            }
            other => selecting(&budgets, other.object()),
        }
    })
}

fn of_scaled<K: crate::client::Cached>(context: &Context, size: fn(&K) -> Option<i32>) -> Watched {
    let budgets = context.caches.of::<PodDisruptionBudget>();
    changes::<K>(context, move |change| match &change {
        Change::Applied { old: Some(old), new } if size(old) == size(new) => Vec::new(),
        other => {
            let namespace = other.object().meta().namespace.as_deref().unwrap_or_default();
            budgets.list_in(namespace).iter().map(|budget| Key::of(&**budget)).collect()
        }
    })
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(budget) = context.caches.of::<PodDisruptionBudget>().get(&key.namespace, &key.name) else {
        return Ok(Next::Wait);
    };
    let spec = budget.spec.clone().unwrap_or_default();
    let Some(selector) = &spec.selector else { return Ok(Next::Wait) };
    let now = Timestamp::now();
    let selector = pods::selector(selector)?;
    let mut pods = context.caches.of::<Pod>().list_in(&key.namespace);
    pods.retain(|pod| pods::selects(&selector, &pod.metadata.labels));
    if pods.is_empty() {
        context.record(CONTROLLER.name, &*budget, Level::Normal, "NoPods", "No matching pods found");
    }
    let scale = match scale(context, &key.namespace, &spec, &pods).await {
        Ok(scale) => scale,
        Err(error) => {
            let text = format!("Failed to calculate the number of expected pods: {error}");
            context.record(CONTROLLER.name, &*budget, Level::Warning, "CalculateExpectedPodCountFailed", text.clone());
            fail(context, &budget, &text, now).await?;
            return Err(error);
        }
    };
    let (status, next) = status(&budget, &spec, &pods, scale, now);
    write::merge_status(context, &*budget, status).await?;
    Ok(next)
}

/// Allows nothing while nothing is known.
async fn fail(context: &Context, budget: &PodDisruptionBudget, text: &str, now: Timestamp) -> Result<(), Error> {
    let mut status = budget.status.clone().unwrap_or_default();
    status.disruptions_allowed = Some(0);
    let condition = ("False", "SyncFailed", text);
    status.conditions = Some(conditions(budget, status.conditions, condition, now));
    write::merge_status(context, budget, status).await.map(drop)
}

/// How many pods the owners of these pods want, where the budget needs to know.
async fn scale(
    context: &Context,
    namespace: &str,
    spec: &PodDisruptionBudgetSpec,
    pods: &[Arc<Pod>],
) -> Result<i32, Error> {
    let is_number = spec.max_unavailable.is_none() && matches!(spec.min_available, None | Some(IntOrString::Int(_)));
    if is_number {
        return Ok(pods.len() as i32);
    }
    let owners: BTreeMap<&str, &OwnerReference> =
        pods.iter().filter_map(|pod| controller_of(&**pod)).map(|owner| (owner.uid.as_str(), owner)).collect();
    let mut roots: BTreeSet<String> = BTreeSet::new();
    let mut total = 0;
    for owner in owners.into_values() {
        let (root, size) = size(context, namespace, owner).await?;
        if roots.insert(root) {
            total += size;
        }
    }
    Ok(total)
}

/// The uid of whoever wants pods in the end, and how many.
async fn size(context: &Context, namespace: &str, owner: &OwnerReference) -> Result<(String, i32), Error> {
    let size = |uid: &Option<String>, replicas: Option<i32>| (uid.clone().unwrap_or_default(), replicas.unwrap_or(1));
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let Some(set) = context.caches.of::<ReplicaSet>().get(namespace, &owner.name) else {
                return Ok((owner.uid.clone(), 0));
            };
            let above = controller_of(&*set).filter(|above| above.kind == "Deployment");
            let deployment = above.and_then(|above| context.caches.of::<Deployment>().get(namespace, &above.name));
            Ok(match deployment {
                Some(one) => size(&one.metadata.uid, one.spec.as_ref().and_then(|spec| spec.replicas)),
                None => size(&set.metadata.uid, set.spec.as_ref().and_then(|spec| spec.replicas)),
            })
        }
        "StatefulSet" => {
            let set = context.caches.of::<StatefulSet>().get(namespace, &owner.name);
            let replicas = set.map_or(Some(0), |set| set.spec.as_ref().and_then(|spec| spec.replicas));
            Ok(size(&Some(owner.uid.clone()), replicas))
        }
        "ReplicationController" => {
            let one = context.caches.of::<ReplicationController>().get(namespace, &owner.name);
            let replicas = one.map_or(Some(0), |one| one.spec.as_ref().and_then(|spec| spec.replicas));
            Ok(size(&Some(owner.uid.clone()), replicas))
        }
        _ => {
            let kind = super::garbage::kind_of(context, owner).await?;
            let door: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &kind.resource);
            let scale = door.get_subresource("scale", &owner.name).await?;
            let replicas = scale.data.pointer("/spec/replicas").and_then(serde_json::Value::as_i64);
            Ok((owner.uid.clone(), replicas.unwrap_or(0) as i32))
        }
    }
}

fn status(
    budget: &PodDisruptionBudget,
    spec: &PodDisruptionBudgetSpec,
    pods: &[Arc<Pod>],
    scale: i32,
    now: Timestamp,
) -> (PodDisruptionBudgetStatus, Next) {
    let (expected, desired) = match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => (scale, (scale - portion(most, scale, true)).max(0)),
        (None, Some(least @ IntOrString::String(_))) => (scale, portion(least, scale, true)),
        (None, Some(IntOrString::Int(least))) => (pods.len() as i32, *least),
        (None, None) => (0, 0),
    };
    let old = budget.status.clone().unwrap_or_default();
    let (disrupted, next) = disrupted(&old, pods, now);
    let is_healthy = |pod: &&Arc<Pod>| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        !pods::is_terminating(pod) && pods::is_ready(pod) && !disrupted.contains_key(name)
    };
    let healthy = pods.iter().filter(is_healthy).count() as i32;
    let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
    let condition = if allowed > 0 { ("True", "SufficientPods", "") } else { ("False", "InsufficientPods", "") };
    let status = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: Some(disrupted).filter(|all| !all.is_empty()),
        observed_generation: budget.metadata.generation,
        conditions: Some(conditions(budget, old.conditions, condition, now)),
    };
    (status, next)
}

/// Pods that were evicted and are still there, but not for too long; and when to look again.
fn disrupted(old: &PodDisruptionBudgetStatus, pods: &[Arc<Pod>], now: Timestamp) -> (BTreeMap<String, Time>, Next) {
    let mut kept = BTreeMap::new();
    let mut next: Option<SignedDuration> = None;
    for (name, time) in old.disrupted_pods.iter().flatten() {
        let pod = pods.iter().find(|pod| pod.metadata.name.as_ref() == Some(name));
        if pod.is_none_or(|pod| pods::is_terminating(pod)) {
            continue;
        }
        let left = DELETION - now.duration_since(time.0);
        if left.is_positive() {
            kept.insert(name.clone(), time.clone());
            next = Some(next.map_or(left, |other| other.min(left)));
        }
    }
    let after = |left: SignedDuration| Next::After(Duration::try_from(left).unwrap_or_default());
    (kept, next.map_or(Next::Wait, after))
}

fn conditions(
    budget: &PodDisruptionBudget,
    old: Option<Vec<Condition>>,
    (status, reason, message): (&str, &str, &str),
    now: Timestamp,
) -> Vec<Condition> {
    let mut all = old.unwrap_or_default();
    let before = all.iter().find(|condition| condition.type_ == CONDITION && condition.status == status);
    let since = before.map_or(Time(now), |condition| condition.last_transition_time.clone());
    all.retain(|condition| condition.type_ != CONDITION);
    all.push(Condition {
        type_: CONDITION.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: since,
        observed_generation: budget.metadata.generation,
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn budget(spec: Value) -> PodDisruptionBudget {
        serde_json::from_value(json!({"metadata": {"name": "b", "generation": 2}, "spec": spec})).unwrap()
    }

    fn pods(ready: [bool; 4]) -> Vec<Arc<Pod>> {
        let pod = |(index, ready): (usize, bool)| Arc::new(pods::tests::pod(&format!("p{index}"), "Running", ready));
        ready.into_iter().enumerate().map(pod).collect()
    }

    fn numbers(budget: &PodDisruptionBudget, pods: &[Arc<Pod>]) -> [i32; 4] {
        let spec = budget.spec.clone().unwrap();
        let (status, _) = status(budget, &spec, pods, 4, Timestamp::UNIX_EPOCH);
        [status.current_healthy, status.desired_healthy, status.expected_pods, status.disruptions_allowed]
            .map(Option::unwrap)
    }

    #[test]
    fn as_many_may_go_as_are_healthy_beyond_the_desired_number() {
        let pods = pods([true, true, true, false]);
        assert_eq!(numbers(&budget(json!({"minAvailable": 2})), &pods), [3, 2, 4, 1]);
        assert_eq!(numbers(&budget(json!({"minAvailable": "60%"})), &pods), [3, 3, 4, 0]);
        assert_eq!(numbers(&budget(json!({"maxUnavailable": 2})), &pods), [3, 2, 4, 1]);
        assert_eq!(numbers(&budget(json!({"minAvailable": 9})), &pods), [3, 9, 4, 0]);
    }

    #[test]
    fn an_evicted_pod_counts_no_more_until_it_took_too_long() {
        let mut budget = budget(json!({"minAvailable": 2}));
        let at = |second| Timestamp::from_second(second).unwrap();
        let disrupted = BTreeMap::from([("p0".to_string(), Time(at(1000)))]);
        budget.status = Some(PodDisruptionBudgetStatus { disrupted_pods: Some(disrupted), ..Default::default() });
        let pods = pods([true; 4]);
        let spec = budget.spec.clone().unwrap();
        let (early, next) = status(&budget, &spec, &pods, 4, at(1010));
        assert_eq!((early.current_healthy, next), (Some(3), Next::After(Duration::from_secs(110))));
        let (late, _) = status(&budget, &spec, &pods, 4, at(1120));
        assert_eq!((late.current_healthy, late.disrupted_pods), (Some(4), None));
    }
}
