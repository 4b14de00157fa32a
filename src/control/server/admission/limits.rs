//! LimitRanger: what a namespace's limit ranges give to containers and allow them.
//!
//! Source: plugin/pkg/admission/limitranger.

use super::{Api, Change, Object, Plugin, Verb, items, list, spec};
use crate::api::Status;
use crate::api::quantity::Quantity;
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
const CONTAINERS: &[&str] = &["containers", "initContainers"];

pub struct LimitRanger;

#[async_trait]
impl Plugin for LimitRanger {
    async fn mutate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if !change.is("", "pods") || change.verb != Verb::Create {
            return Ok(());
        }
        for range in ranges(api, change)? {
            fill(change.object, &range);
        }
        Ok(())
    }

    async fn validate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let is_pod = change.is("", "pods") && change.verb == Verb::Create
            || change.is_of("", "pods") && change.attributes.subresource == "resize";
        let is_claim = change.is("", "persistentvolumeclaims") && change.verb != Verb::Delete;
        if !is_pod && !is_claim {
            return Ok(());
        }
        let mut wrong = Vec::new();
        for range in ranges(api, change)? {
            for limit in items(spec(&range), "limits") {
                match limit["type"].as_str() {
                    Some("Container") if is_pod => check_containers(change.object, limit, &mut wrong),
                    Some("Pod") if is_pod => check_pod(change.object, limit, &mut wrong),
                    Some("PersistentVolumeClaim") if is_claim => check_claim(change.object, limit, &mut wrong),
                    _ => {}
                }
            }
        }
        match wrong.as_slice() {
            [] => Ok(()),
            [one] => Err(change.forbidden(one)),
            many => Err(change.forbidden(format!("[{}]", many.join(", ")))),
        }
    }
}

fn ranges(api: &Api, change: &Change<'_>) -> Result<Vec<Object>, Status> {
    list(api, "", "limitranges", Some(change.object.namespace()))
}

/// Amounts by resource.
type Amounts = BTreeMap<String, Quantity>;

fn amounts(value: &Value) -> Amounts {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(name, amount)| Some((name.clone(), Quantity::from_json(amount).ok()?))).collect()
}

/// Defaults of a range for containers, and a note of what they gave.
fn fill(pod: &mut Object, range: &Object) {
    let is_container = |limit: &&Value| limit["type"] == "Container";
    let mut notes = Vec::new();
    for limit in items(spec(range), "limits").iter().filter(is_container) {
        for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
            let containers = pod.0.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                let name = container["name"].as_str().unwrap_or_default().to_string();
                for (from, to, word) in [("defaultRequest", "requests", "request"), ("default", "limits", "limit")] {
                    let given = fill_one(container, to, &limit[from]);
                    if !given.is_empty() {
                        notes.push(format!("{} {word} for {what} {name}", given.join(", ")));
                    }
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        pod.set(&["metadata", "annotations", ANNOTATION], note);
    }
}

/// Fills amounts that are missing; returns their names.
fn fill_one(container: &mut Value, to: &str, defaults: &Value) -> Vec<String> {
    let Some(defaults) = defaults.as_object().filter(|defaults| !defaults.is_empty()) else { return Vec::new() };
    if !container["resources"].is_object() {
        container["resources"] = json!({});
    }
    let target = &mut container["resources"][to];
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let mut given = Vec::new();
    for (name, amount) in defaults {
        if target.get(name).is_none() {
            target[name] = amount.clone();
            given.push(name.clone());
        }
    }
    given
}

fn check_containers(pod: &Object, limit: &Value, wrong: &mut Vec<String>) {
    for container in CONTAINERS.iter().flat_map(|list| items(spec(pod), list)) {
        let resources = &container["resources"];
        check(limit, "Container", &amounts(&resources["requests"]), &amounts(&resources["limits"]), wrong);
    }
}

fn check_pod(pod: &Object, limit: &Value, wrong: &mut Vec<String>) {
    check(limit, "Pod", &total(pod, "requests"), &total(pod, "limits"), wrong);
}

/// What a pod's containers have together: those that run at once are added, of those that run before the greatest counts.
fn total(pod: &Object, field: &str) -> Amounts {
    let mut sum = Amounts::new();
    let add = |sum: &mut Amounts, other: Amounts| {
        for (name, amount) in other {
            let own = sum.get(&name).copied().unwrap_or(Quantity::whole(0));
            sum.insert(name, amount.plus(own));
        }
    };
    for container in items(spec(pod), "containers") {
        add(&mut sum, amounts(&container["resources"][field]));
    }
    let (sidecars, before): (Vec<&Value>, Vec<&Value>) =
        items(spec(pod), "initContainers").iter().partition(|container| container["restartPolicy"] == "Always");
    sidecars.iter().for_each(|container| add(&mut sum, amounts(&container["resources"][field])));
    for (name, amount) in before.iter().flat_map(|container| amounts(&container["resources"][field])) {
        let own = sum.entry(name).or_insert(amount);
        *own = (*own).max(amount);
    }
    sum
}

fn check(limit: &Value, what: &str, requests: &Amounts, limits: &Amounts, wrong: &mut Vec<String>) {
    for (name, least) in amounts(&limit["min"]) {
        let rule = format!("minimum {name} usage per {what} is {least}");
        match requests.get(&name) {
            None => wrong.push(format!("{rule}.  No request is specified")),
            Some(request) if *request < least => wrong.push(format!("{rule}, but request is {request}")),
            Some(_) => {
                let low = limits.get(&name).filter(|own| **own < least);
                wrong.extend(low.map(|own| format!("{rule}, but limit is {own}")));
            }
        }
    }
    for (name, most) in amounts(&limit["max"]) {
        let rule = format!("maximum {name} usage per {what} is {most}");
        match limits.get(&name) {
            None => wrong.push(format!("{rule}.  No limit is specified")),
            Some(own) if *own > most => wrong.push(format!("{rule}, but limit is {own}")),
            Some(_) => {
                let high = requests.get(&name).filter(|request| **request > most);
                wrong.extend(high.map(|request| format!("{rule}, but request is {request}")));
            }
        }
    }
    for (name, most) in amounts(&limit["maxLimitRequestRatio"]) {
        wrong.extend(check_ratio(&name, most, what, requests.get(&name), limits.get(&name)));
    }
}

fn check_ratio(
    name: &str,
    most: Quantity,
    what: &str,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let rule = format!("{name} max limit to request ratio per {what} is {most}");
    let is_some = |amount: &&Quantity| amount.sign() > 0;
    let Some(request) = request.filter(is_some) else {
        return Some(format!("{rule}, but no request is specified or request is 0"));
    };
    let Some(limit) = limit.filter(is_some) else {
        return Some(format!("{rule}, but no limit is specified or limit is 0"));
    };
    let ratio = limit.milli() as f64 / request.milli().max(1) as f64;
    let most = most.milli() as f64 / 1000.0;
    (ratio > most).then(|| format!("{rule}, but provided ratio is {ratio:.6}"))
}

fn check_claim(claim: &Object, limit: &Value, wrong: &mut Vec<String>) {
    let requests = amounts(&spec(claim)["resources"]["requests"]);
    let what = "PersistentVolumeClaim";
    for (name, least) in amounts(&limit["min"]) {
        let rule = format!("minimum {name} usage per {what} is {least}");
        match requests.get(&name) {
            None => wrong.push(format!("{rule}.  No request is specified")),
            Some(request) if *request < least => wrong.push(format!("{rule}, but request is {request}")),
            Some(_) => {}
        }
    }
    for (name, most) in amounts(&limit["max"]) {
        let rule = format!("maximum {name} usage per {what} is {most}");
        match requests.get(&name) {
            None => wrong.push(format!("{rule}.  No request is specified")),
            Some(request) if *request > most => wrong.push(format!("{rule}, but request is {request}")),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(resources: Value) -> Object {
        Object::from_value(json!({"metadata": {}, "spec": {"containers": [{"name": "c", "resources": resources}]}}))
            .unwrap()
    }

    #[test]
    fn defaults_fill_what_is_missing() {
        let range = json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1", "memory": "1Gi"},
            "defaultRequest": {"cpu": "100m"}}]}});
        let mut pod = pod(json!({"limits": {"cpu": "2"}}));
        fill(&mut pod, &Object::from_value(range).unwrap());
        let wanted = json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m"}});
        assert_eq!(items(spec(&pod), "containers")[0]["resources"], wanted);
        let note = pod.text(&["metadata", "annotations", ANNOTATION]);
        assert_eq!(note, "LimitRanger plugin set: cpu request for container c; memory limit for container c");
    }

    #[test]
    fn what_is_outside_the_range_is_said_in_upstreams_words() {
        let cases = [
            (
                json!({"min": {"cpu": "50m"}}),
                json!({"requests": {"cpu": "10m"}}),
                "minimum cpu usage per Container is 50m, but request is 10m",
            ),
            (
                json!({"max": {"cpu": "1"}}),
                json!({"requests": {"cpu": "10m"}}),
                "maximum cpu usage per Container is 1.  No limit is specified",
            ),
            (
                json!({"max": {"cpu": "1"}}),
                json!({"limits": {"cpu": "2"}}),
                "maximum cpu usage per Container is 1, but limit is 2",
            ),
            (
                json!({"maxLimitRequestRatio": {"cpu": "2"}}),
                json!({"requests": {"cpu": "1"}, "limits": {"cpu": "4"}}),
                "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
            ),
        ];
        for (limit, resources, wanted) in cases {
            let mut wrong = Vec::new();
            check_containers(&pod(resources), &limit, &mut wrong);
            assert_eq!(wrong, [wanted]);
        }
    }
}
