//! `pods/eviction`: a deletion that disruption budgets may refuse.
//!
//! Source: pkg/registry/core/pod/storage/eviction.go.

use super::answer::{self, Answer};
use super::deletion::DeleteOptions;
use super::route::Call;
use super::{decode, objects, write};
use crate::api::selector::Selector;
use crate::api::{Cause, Kind, Object, Reason, Status, kinds};
use crate::control::store::{Error, Expected};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

/// How often a budget is read again that others change at the same time.
const TRIES: usize = 20;
/// More disrupted pods than this are not counted in one budget.
const MOST_DISRUPTED: usize = 2000;

/// Evicts the pod of the request.
pub async fn create(call: &Call, kind: &Kind, body: Bytes) -> Result<Answer, Status> {
    let eviction = decode::value(&call.headers, &body)?;
    let name = eviction["metadata"]["name"].as_str().unwrap_or_default();
    if !name.is_empty() && name != call.attributes().name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let options = Some(&eviction["deleteOptions"]).filter(|options| !options.is_null()).cloned();
    let options = DeleteOptions::of(call, options.unwrap_or_else(|| json!({})))?;
    let entry = objects::current(&call.api.store, kind, call.attributes())?;
    let pod = objects::stored(&entry)?;
    let is_dry_run = options.is_dry_run();
    if !counts_nowhere(&pod) {
        pay(call, &pod, is_dry_run).await?;
    }
    let mut condition_patched = pod.clone();
    if !is_dry_run && !pod.is_terminating() {
        mark(&mut condition_patched);
        let op = write::op(kind, &mut condition_patched, Expected::Revision(entry.revision), false)?;
        match call.api.store.write(vec![op]).await {
            // Whoever was faster changed a pod that goes anyway.
            Ok(_) | Err(Error::Changed(_) | Error::Missing(_)) => {}
            Err(error) => return Err(objects::failure(kind, error)),
        }
    }
    write::delete_with(call, kind, &options).await?;
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(answer::value(StatusCode::CREATED, &success))
}

/// A pod that is over, never ran or is going already is nobody's loss.
fn counts_nowhere(pod: &Object) -> bool {
    matches!(pod.text(&["status", "phase"]), "Succeeded" | "Failed" | "Pending") || pod.is_terminating()
}

fn mark(pod: &mut Object) {
    let now = crate::api::time::now();
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now});
    let conditions = pod.entry(&["status", "conditions"]);
    let mut list = conditions.as_array().cloned().unwrap_or_default();
    list.retain(|condition| condition["type"] != "DisruptionTarget");
    list.push(condition);
    *conditions = Value::Array(list);
}

fn is_ready(pod: &Object) -> bool {
    let conditions = pod.at(&["status", "conditions"]).and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// Takes one disruption from the pod's budget, if it has one.
async fn pay(call: &Call, pod: &Object, is_dry_run: bool) -> Result<(), Status> {
    let kind = kinds::find("policy", "v1", "poddisruptionbudgets").ok_or_else(|| Status::internal("no budgets"))?;
    for _ in 0..TRIES {
        let listing = call.api.store.list("policy/poddisruptionbudgets", Some(pod.namespace()), None);
        let entries = listing.map_err(|error| objects::failure(kind, error))?.entries;
        let mut covering = Vec::new();
        for entry in entries {
            let budget = objects::stored(&entry)?;
            if covers(&budget, pod) {
                covering.push((entry, budget));
            }
        }
        if covering.len() > 1 {
            let message =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::internal(message));
        }
        let Some((entry, mut budget)) = covering.pop() else { return Ok(()) };
        if !is_ready(pod) && may_go_unready(&budget) {
            return Ok(());
        }
        take_one(&mut budget, pod)?;
        if is_dry_run {
            return Ok(());
        }
        let op = write::op(kind, &mut budget, Expected::Revision(entry.revision), false)?;
        match call.api.store.write(vec![op]).await {
            Ok(_) => return Ok(()),
            Err(Error::Changed(_) | Error::Missing(_)) => {}
            Err(error) => return Err(objects::failure(kind, error)),
        }
    }
    Err(Status::new(Reason::TooManyRequests, "couldn't update PodDisruptionBudget due to conflicts"))
}

/// Pods that are not ready may go: always, or while the budget is met without them.
fn may_go_unready(budget: &Object) -> bool {
    let number = |field: &str| budget.at(&["status", field]).and_then(Value::as_i64).unwrap_or(0);
    let always = budget.text(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
    always || (number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0)
}

fn covers(budget: &Object, pod: &Object) -> bool {
    let labels: Vec<(&str, &str)> = pod.labels().collect();
    let selector = budget.at(&["spec", "selector"]).filter(|selector| selector.is_object());
    let selector = selector.and_then(|selector| Selector::from_object(selector).ok());
    selector.is_some_and(|one| one.matches(|key| labels.iter().find(|(own, _)| *own == key).map(|(_, value)| *value)))
}

/// Lowers the budget by one and notes the pod, or refuses.
fn take_one(budget: &mut Object, pod: &Object) -> Result<(), Status> {
    let number = |path: &[&str]| budget.at(path).and_then(Value::as_i64).unwrap_or(0);
    let name = budget.name().to_string();
    let refuse = |cause: String, seconds: u32| {
        let mut status =
            Status::new(Reason::TooManyRequests, "Cannot evict pod as it would violate the pod's disruption budget.");
        status.causes.push(Cause { reason: "DisruptionBudget".into(), message: cause, field: String::new() });
        status.retry_after_seconds = seconds;
        status
    };
    if number(&["status", "observedGeneration"]) < number(&["metadata", "generation"]) {
        return Err(refuse(format!("The disruption budget {name} is still being processed by the server."), 10));
    }
    let allowed = number(&["status", "disruptionsAllowed"]);
    if allowed < 0 {
        let why = "pdb disruptions allowed is negative";
        return Err(Status::new(Reason::Forbidden, why).about("policy", "poddisruptionbudgets", &name));
    }
    let noted = budget.at(&["status", "disruptedPods"]).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    if noted > MOST_DISRUPTED {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(Status::new(Reason::Forbidden, why).about("policy", "poddisruptionbudgets", &name));
    }
    if allowed == 0 {
        let (needs, has) = (number(&["status", "desiredHealthy"]), number(&["status", "currentHealthy"]));
        let why = format!("The disruption budget {name} needs {needs} healthy pods and has {has} currently");
        return Err(refuse(why, 0));
    }
    budget.set(&["status", "disruptionsAllowed"], allowed - 1);
    let now = crate::api::time::now();
    budget.set(&["status", "disruptedPods", pod.name()], now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(status: Value) -> Object {
        Object::from_value(json!({"metadata": {"name": "b", "generation": 1}, "status": status})).unwrap()
    }

    #[test]
    fn a_budget_pays_until_it_is_used_up() {
        let pod = Object::from_value(json!({"metadata": {"name": "p"}})).unwrap();
        let mut own =
            budget(json!({"observedGeneration": 1, "disruptionsAllowed": 1, "desiredHealthy": 2, "currentHealthy": 3}));
        take_one(&mut own, &pod).unwrap();
        assert!(own.at(&["status", "disruptedPods", "p"]).is_some());
        let refused = take_one(&mut own, &pod).unwrap_err();
        assert_eq!(refused.to_value()["code"], 429);
        assert_eq!(refused.causes[0].message, "The disruption budget b needs 2 healthy pods and has 3 currently");
        let fresh = take_one(&mut budget(json!({"observedGeneration": 0})), &pod).unwrap_err();
        assert_eq!(fresh.retry_after_seconds, 10);
    }
}
