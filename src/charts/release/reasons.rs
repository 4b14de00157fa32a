//! Why a workload is not ready: what its pods and their containers say.

use super::observer::Reason;
use crate::api::selector::Selector;
use serde_json::Value;

/// Which pods are those of a workload.
pub fn owns(workload: &Value, pod: &Value) -> bool {
    if workload["metadata"]["namespace"] != pod["metadata"]["namespace"] {
        return false;
    }
    if workload["kind"] == "Pod" {
        return workload["metadata"]["name"] == pod["metadata"]["name"];
    }
    let selector = match &workload["spec"]["selector"] {
        Value::Null => return false,
        plain if workload["kind"] == "ReplicationController" => Selector::from_map(plain),
        selector => match Selector::from_object(selector) {
            Ok(selector) => selector,
            Err(_) => return false,
        },
    };
    let labels = &pod["metadata"]["labels"];
    !selector.is_everything() && selector.matches(|key| labels[key].as_str())
}

/// Why a workload could not make its pods, as it says itself.
pub fn of_workload(workload: &Value) -> Option<Reason> {
    let refused = condition(&workload["status"], "ReplicaFailure").filter(|one| one["status"] == "True")?;
    let why = text(&refused["message"]).to_string();
    (!why.is_empty()).then(|| Reason { what: format!("{}:", text(&refused["reason"])), why })
}

/// How old a warning may be that was there before anybody waited.
const RECENT: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// The object that a warning is about, by its uid, and what it says; nothing if it is of long ago.
pub fn of_event(event: &Value, is_new: bool) -> Option<(String, Reason)> {
    let times = ["lastTimestamp", "eventTime", "firstTimestamp"].iter();
    let at = times.filter_map(|field| event[*field].as_str()?.parse::<jiff::Timestamp>().ok()).next();
    let is_recent = at.is_some_and(|at| jiff::Timestamp::now().duration_since(at) < RECENT);
    if !is_new && !is_recent {
        return None;
    }
    let why = text(&event["message"]).to_string();
    let reason = Reason { what: format!("{}:", text(&event["reason"])), why };
    Some((event["involvedObject"]["uid"].as_str()?.to_string(), reason))
}

/// What keeps a pod from being ready; nothing if it is.
pub fn of_pod(pod: &Value) -> Vec<Reason> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let status = &pod["status"];
    let reason = |why: String| Reason { what: format!("pod {name}"), why };
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return vec![reason("is being deleted".into())];
    }
    if let Some(message) = condition(status, "PodScheduled").filter(|condition| condition["status"] == "False") {
        return vec![reason(format!("cannot be scheduled: {}", text(&message["message"])))];
    }
    if matches!(text(&status["phase"]), "Succeeded")
        || condition(status, "Ready").is_some_and(|one| one["status"] == "True")
    {
        return Vec::new();
    }
    let lists = [("init container", "initContainerStatuses"), ("container", "containerStatuses")];
    let mut found = Vec::new();
    for (word, field) in lists {
        for container in status[field].as_array().into_iter().flatten() {
            if let Some(why) = of_container(pod, container) {
                found.push(reason(format!("{word} {}: {why}", text(&container["name"]))));
            }
        }
    }
    if found.is_empty() {
        let message = text(&status["message"]);
        let phase = text(&status["phase"]);
        found.push(reason(if message.is_empty() { phase.to_string() } else { format!("{phase}: {message}") }));
    }
    found
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn of_container(pod: &Value, container: &Value) -> Option<String> {
    let state = &container["state"];
    if let Some(waiting) = state.get("waiting") {
        let (why, message) = (text(&waiting["reason"]), text(&waiting["message"]));
        let last = &container["lastState"]["terminated"];
        let before = match last["exitCode"].as_i64() {
            Some(code) if why == "CrashLoopBackOff" => format!(" (exit code {code})"),
            _ => String::new(),
        };
        let why = if why.is_empty() { "waiting" } else { why };
        return Some(if message.is_empty() { format!("{why}{before}") } else { format!("{why}{before}: {message}") });
    }
    if let Some(ended) = state.get("terminated") {
        let code = ended["exitCode"].as_i64().unwrap_or_default();
        return (code != 0).then(|| format!("ended with exit code {code} ({})", text(&ended["reason"])));
    }
    if state.get("running").is_some() && container["ready"] != true {
        let spec =
            pod["spec"]["containers"].as_array().into_iter().flatten().find(|one| one["name"] == container["name"]);
        let has = |probe: &str| spec.is_some_and(|spec| spec.get(probe).is_some());
        let why = match (container["started"] == false && has("startupProbe"), has("readinessProbe")) {
            (true, _) => "running, its startup probe has not succeeded yet",
            (false, true) => "running, its readiness probe does not succeed",
            (false, false) => "running, not ready",
        };
        return Some(why.to_string());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn why(pod: Value) -> Vec<String> {
        of_pod(&pod).into_iter().map(|reason| format!("{} {}", reason.what, reason.why)).collect()
    }

    fn pod(status: Value) -> Value {
        let spec = json!({"containers": [{"name": "app", "readinessProbe": {}, "startupProbe": {}}]});
        json!({"metadata": {"name": "web-1", "namespace": "one", "labels": {"app": "web"}}, "spec": spec, "status": status})
    }

    #[test]
    fn pods_say_what_they_wait_for() {
        let state = |state: Value| {
            pod(
                json!({"phase": "Pending", "containerStatuses": [{"name": "app", "state": state, "ready": false, "started": true}]}),
            )
        };
        let pulling = state(json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}));
        assert_eq!(why(pulling), ["pod web-1 container app: ImagePullBackOff: no such image"]);
        assert_eq!(
            why(state(json!({"running": {}}))),
            ["pod web-1 container app: running, its readiness probe does not succeed"]
        );
        let scheduled = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "unbound claim"}]});
        assert_eq!(why(pod(scheduled)), ["pod web-1 cannot be scheduled: unbound claim"]);
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        assert!(why(pod(ready)).is_empty());
    }

    #[test]
    fn a_warning_of_long_ago_says_nothing_unless_it_comes_again() {
        let event = |at: &str| json!({"reason": "ProvisioningFailed", "message": "no such class", "lastTimestamp": at, "involvedObject": {"uid": "u"}});
        let reason = Reason { what: "ProvisioningFailed:".into(), why: "no such class".into() };
        let now = jiff::Timestamp::now().to_string();
        assert_eq!(of_event(&event(&now), false), Some(("u".into(), reason.clone())));
        assert_eq!(of_event(&event("2020-01-01T00:00:00Z"), false), None);
        assert_eq!(of_event(&event("2020-01-01T00:00:00Z"), true), Some(("u".into(), reason)));
    }

    #[test]
    fn a_pod_belongs_to_the_workload_whose_selector_it_matches() {
        let workload = |labels: Value| json!({"kind": "Deployment", "metadata": {"namespace": "one"}, "spec": {"selector": {"matchLabels": labels}}});
        assert!(owns(&workload(json!({"app": "web"})), &pod(json!({}))));
        assert!(!owns(&workload(json!({"app": "other"})), &pod(json!({}))));
        assert!(!owns(&json!({"kind": "Service", "metadata": {"namespace": "one"}, "spec": {}}), &pod(json!({}))));
    }
}
