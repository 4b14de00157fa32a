//! Whether an object is what it is meant to become: kstatus' rules, as a table by kind.
//!
//! Source of rules and wording: kubernetes-sigs/cli-utils `pkg/kstatus/status`; of Jobs and Pods that hooks wait for:
//! helm/helm `internal/statusreaders`.

use serde_json::Value;

/// How far an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    InProgress,
    Failed,
    Current,
    Terminating,
    NotFound,
}

impl State {
    /// kstatus' word.
    pub fn word(self) -> &'static str {
        match self {
            State::InProgress => "InProgress",
            State::Failed => "Failed",
            State::Current => "Current",
            State::Terminating => "Terminating",
            State::NotFound => "NotFound",
        }
    }
}

/// How far an object is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub state: State,
    pub message: String,
}

fn verdict(state: State, message: impl Into<String>) -> Verdict {
    Verdict { state, message: message.into() }
}

fn progress(message: impl Into<String>) -> Verdict {
    verdict(State::InProgress, message)
}

fn current(message: impl Into<String>) -> Verdict {
    verdict(State::Current, message)
}

fn failed(message: impl Into<String>) -> Verdict {
    verdict(State::Failed, message)
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Objects work; Jobs need only have begun.
    Ready,
    /// Objects work, and Jobs are complete.
    JobsDone,
    /// Jobs and Pods have ended well; everything else need only exist (hooks).
    Completed,
    /// Objects are gone.
    Gone,
}

/// Judges an object that may not exist.
pub fn judge(object: Option<&Value>, until: Until) -> Verdict {
    let Some(object) = object else { return verdict(State::NotFound, "Resource not found") };
    let kind = kind(object);
    match (until, kind.as_str()) {
        (Until::JobsDone | Until::Completed, "batch/Job") => generic(object).unwrap_or_else(|| job_done(object)),
        (Until::Completed, "Pod") => generic(object).unwrap_or_else(|| pod_done(object)),
        (Until::Completed, _) => current("Resource is current"),
        _ => ready(object, &kind),
    }
}

fn ready(object: &Value, kind: &str) -> Verdict {
    if let Some(verdict) = generic(object) {
        return verdict;
    }
    match RULES.iter().find(|(kinds, _)| kinds.contains(&kind)) {
        Some((_, rule)) => rule(object),
        None => by_condition(object),
    }
}

type Rule = fn(&Value) -> Verdict;

/// Rules by `group/Kind`.
const RULES: &[(&[&str], Rule)] = &[
    (&["Service"], service),
    (&["Pod"], pod),
    (&["Secret", "ConfigMap", "batch/CronJob"], |_| current("Resource is always ready")),
    (&["PersistentVolumeClaim"], claim),
    (&["apps/StatefulSet"], stateful_set),
    (&["apps/DaemonSet", "extensions/DaemonSet"], daemon_set),
    (&["apps/Deployment", "extensions/Deployment"], deployment),
    (&["apps/ReplicaSet", "extensions/ReplicaSet"], replica_set),
    (&["policy/PodDisruptionBudget"], |_| current("AllowedDisruptions has been computed.")),
    (&["batch/Job"], job),
    (&["apiextensions.k8s.io/CustomResourceDefinition"], definition),
];

/// `group/Kind`, or the bare kind in the core group.
fn kind(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    match object["apiVersion"].as_str().unwrap_or_default().split_once('/') {
        Some((group, _)) => format!("{group}/{kind}"),
        None => kind.to_string(),
    }
}

fn number(object: &Value, path: &str, otherwise: i64) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or(otherwise)
}

fn word<'a>(object: &'a Value, path: &str, otherwise: &'a str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or(otherwise)
}

fn conditions(object: &Value) -> impl Iterator<Item = (&str, &str, &str, &str)> {
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter().flatten().map(|condition| {
        let field = |name: &str| condition[name].as_str().unwrap_or_default();
        (field("type"), field("status"), field("reason"), field("message"))
    })
}

/// What every kind has in common: deletion, generations, and kstatus' own conditions.
fn generic(object: &Value) -> Option<Verdict> {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Some(verdict(State::Terminating, "Resource scheduled for deletion"));
    }
    let generation = object["metadata"]["generation"].as_i64();
    let observed = object["status"]["observedGeneration"].as_i64();
    if let (Some(generation), Some(observed)) = (generation, observed)
        && generation != observed
    {
        let kind = word(object, "/kind", "");
        return Some(progress(format!(
            "{kind} generation is {generation}, but latest observed generation is {observed}"
        )));
    }
    conditions(object).find_map(|(kind, status, _, message)| match (kind, status) {
        ("Reconciling", "True") => Some(progress(message)),
        ("Stalled", "True") => Some(failed(message)),
        _ => None,
    })
}

/// Kinds that nobody knows: a `Ready` condition decides where there is one.
fn by_condition(object: &Value) -> Verdict {
    let found = conditions(object).find(|(kind, ..)| *kind == "Ready");
    match found {
        None => current("Resource is current"),
        Some((_, "True", ..)) => current("Resource is Ready"),
        Some((.., message)) => progress(message),
    }
}

fn service(object: &Value) -> Verdict {
    if word(object, "/spec/type", "ClusterIP") == "LoadBalancer" && word(object, "/spec/clusterIP", "").is_empty() {
        return progress("ClusterIP not set. Service type: LoadBalancer");
    }
    current("Service is ready")
}

fn claim(object: &Value) -> Verdict {
    match word(object, "/status/phase", "unknown") {
        "Bound" => current("PVC is Bound"),
        phase => progress(format!("PVC is not Bound. phase: {phase}")),
    }
}

fn pod(object: &Value) -> Verdict {
    match word(object, "/status/phase", "") {
        "Succeeded" => current("Pod has completed successfully"),
        "Failed" => current("Pod has completed, but not successfully"),
        "Running" => {
            if conditions(object).any(|(kind, status, ..)| kind == "Ready" && status == "True") {
                return current("Pod is Ready");
            }
            let looping = crash_looping(object);
            if looping.is_empty() {
                return progress("Pod is running but is not Ready");
            }
            failed(format!("Containers in CrashLoop state: {}", looping.join(",")))
        }
        // A pod that cannot be placed may find its place later: kstatus gives it 15 seconds, here the deadline decides.
        "Pending" if unschedulable(object) => progress("Pod has not been scheduled"),
        "Pending" => progress("Pod is in the Pending phase"),
        "" => progress("Pod phase not available"),
        phase => progress(format!("unknown phase {phase}")),
    }
}

fn unschedulable(object: &Value) -> bool {
    conditions(object)
        .any(|(kind, status, reason, _)| (kind, status, reason) == ("PodScheduled", "False", "Unschedulable"))
}

fn crash_looping(object: &Value) -> Vec<&str> {
    let statuses = object.pointer("/status/containerStatuses").and_then(Value::as_array);
    let looping = statuses.into_iter().flatten().filter(|one| one["state"]["waiting"]["reason"] == "CrashLoopBackOff");
    looping.filter_map(|one| one["name"].as_str()).collect()
}

fn pod_done(object: &Value) -> Verdict {
    let name = word(object, "/metadata/name", "");
    match word(object, "/status/phase", "") {
        "Succeeded" => current(format!("pod {name} succeeded")),
        "Failed" => failed(format!("pod {name} failed")),
        _ => progress("Pod in progress"),
    }
}

fn job_ended(object: &Value) -> Option<Verdict> {
    let completions = number(object, "/spec/completions", number(object, "/spec/parallelism", 1));
    let (succeeded, failures) = (number(object, "/status/succeeded", 0), number(object, "/status/failed", 0));
    conditions(object).find_map(|(kind, status, ..)| match (kind, status) {
        ("Complete", "True") => Some(current(format!("Job Completed. succeeded: {succeeded}/{completions}"))),
        ("Failed", "True") => Some(failed(format!("Job Failed. failed: {failures}/{completions}"))),
        _ => None,
    })
}

fn job_done(object: &Value) -> Verdict {
    job_ended(object).unwrap_or_else(|| progress("Job in progress"))
}

fn job(object: &Value) -> Verdict {
    if let Some(verdict) = job_ended(object) {
        return verdict;
    }
    if conditions(object).any(|(kind, status, ..)| kind == "Suspended" && status == "True") {
        return current("Job is suspended");
    }
    if word(object, "/status/startTime", "").is_empty() {
        return progress("Job not started");
    }
    let count = |path: &str| number(object, path, 0);
    current(format!(
        "Job in progress. success:{}, active: {}, failed: {}",
        count("/status/succeeded"),
        count("/status/active"),
        count("/status/failed")
    ))
}

fn definition(object: &Value) -> Verdict {
    for (kind, status, reason, message) in conditions(object) {
        match (kind, status) {
            ("NamesAccepted", "False") => return failed(message),
            ("Established", "False") if reason != "Installing" => return failed(message),
            ("Established", "True") => return current("CRD is established"),
            _ => {}
        }
    }
    progress("Install in progress")
}

/// The first pair in which less is there than wanted, as `WORD: HAVE/WANT`.
fn short(pairs: &[(&str, i64, i64)]) -> Option<Verdict> {
    let (word, have, want) = pairs.iter().find(|(_, have, want)| have < want)?;
    Some(progress(format!("{word}: {have}/{want}")))
}

fn surplus(have: i64, want: i64) -> Option<Verdict> {
    (have > want).then(|| progress(format!("Pending termination: {}", have - want)))
}

fn deployment(object: &Value) -> Verdict {
    // Without a deadline the controller sets no condition that tells of progress.
    let mut progressing = number(object, "/spec/progressDeadlineSeconds", i64::from(i32::MAX)) == i64::from(i32::MAX);
    let mut available = false;
    for (kind, status, reason, _) in conditions(object) {
        match kind {
            "Progressing" if reason == "ProgressDeadlineExceeded" => return failed("Progress deadline exceeded"),
            "Progressing" => progressing |= status == "True" && reason == "NewReplicaSetAvailable",
            "Available" => available |= status == "True",
            _ => {}
        }
    }
    let count = |name: &str| number(object, &format!("/status/{name}"), 0);
    let wanted = number(object, "/spec/replicas", 1);
    let (all, updated) = (count("replicas"), count("updatedReplicas"));
    short(&[("Replicas", all, wanted), ("Updated", updated, wanted)])
        .or_else(|| surplus(all, wanted))
        .or_else(|| {
            short(&[("Available", count("availableReplicas"), updated), ("Ready", count("readyReplicas"), wanted)])
        })
        .unwrap_or_else(|| match (progressing, available) {
            (false, _) => progress("ReplicaSet not Available"),
            (true, false) => progress("Deployment not Available"),
            (true, true) => current(format!("Deployment is available. Replicas: {all}")),
        })
}

fn replica_set(object: &Value) -> Verdict {
    if conditions(object).any(|(kind, status, ..)| kind == "ReplicaFailure" && status == "True") {
        return progress("Replica Failure condition. Check Pods");
    }
    let count = |name: &str| number(object, &format!("/status/{name}"), 0);
    let (wanted, all) = (number(object, "/spec/replicas", 1), count("replicas"));
    let wants = [
        ("Labelled", count("fullyLabeledReplicas"), wanted),
        ("Available", count("availableReplicas"), wanted),
        ("Ready", count("readyReplicas"), wanted),
    ];
    let left = short(&wants).or_else(|| surplus(all, wanted));
    left.unwrap_or_else(|| current(format!("ReplicaSet is available. Replicas: {all}")))
}

fn stateful_set(object: &Value) -> Verdict {
    if word(object, "/spec/updateStrategy/type", "") == "OnDelete" {
        return current("StatefulSet is using the ondelete update strategy");
    }
    let count = |name: &str| number(object, &format!("/status/{name}"), 0);
    let (wanted, all) = (number(object, "/spec/replicas", 1), count("replicas"));
    let first = short(&[("Replicas", all, wanted), ("Ready", count("readyReplicas"), wanted)]);
    if let Some(verdict) = first.or_else(|| surplus(all, wanted)) {
        return verdict;
    }
    let updated = count("updatedReplicas");
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition", -1);
    if partition != -1 {
        let left = short(&[("updated", updated, wanted - partition)]);
        return left.unwrap_or_else(|| current(format!("Partition rollout complete. updated: {updated}")));
    }
    if let Some(verdict) = short(&[("current", count("currentReplicas"), wanted)]) {
        return verdict;
    }
    if word(object, "/status/currentRevision", "") != word(object, "/status/updateRevision", "") {
        return progress("Waiting for updated revision to match current");
    }
    current(format!("All replicas scheduled as expected. Replicas: {all}"))
}

fn daemon_set(object: &Value) -> Verdict {
    for (place, field) in [("metadata", "generation"), ("status", "observedGeneration")] {
        if object[place][field].as_i64().is_none() {
            return progress(format!("{} {place}.{field} not found", word(object, "/kind", "")));
        }
    }
    let count = |name: &str| number(object, &format!("/status/{name}"), 0);
    let wanted = number(object, "/status/desiredNumberScheduled", -1);
    if wanted == -1 {
        return progress("Missing .status.desiredNumberScheduled");
    }
    let wants = [
        ("Current", count("currentNumberScheduled"), wanted),
        ("Updated", count("updatedNumberScheduled"), wanted),
        ("Available", count("numberAvailable"), wanted),
        ("Ready", count("numberReady"), wanted),
    ];
    short(&wants).unwrap_or_else(|| current(format!("All replicas scheduled as expected. Replicas: {wanted}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(api_version: &str, kind: &str, spec: Value, status: Value) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "generation": 1}, "spec": spec, "status": status})
    }

    #[track_caller]
    fn says(object: &Value, state: State, message: &str) {
        assert_eq!(judge(Some(object), Until::Ready), verdict(state, message));
    }

    #[test]
    fn a_deployment_is_ready_when_its_new_pods_are_available() {
        let deployment = |status: Value| {
            object("apps/v1", "Deployment", json!({"replicas": 2, "progressDeadlineSeconds": 600}), status)
        };
        let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason});
        let good = json!([condition("Progressing", "NewReplicaSetAvailable"), condition("Available", "")]);
        let cases = [
            (json!({}), State::InProgress, "Replicas: 0/2"),
            (
                json!({"observedGeneration": 0}),
                State::InProgress,
                "Deployment generation is 1, but latest observed generation is 0",
            ),
            (json!({"replicas": 2, "updatedReplicas": 1}), State::InProgress, "Updated: 1/2"),
            (json!({"replicas": 3, "updatedReplicas": 2}), State::InProgress, "Pending termination: 1"),
            (json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}), State::InProgress, "Available: 1/2"),
            (json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}), State::InProgress, "Ready: 0/2"),
            (
                json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}),
                State::InProgress,
                "ReplicaSet not Available",
            ),
            (
                json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2, "conditions": good}),
                State::Current,
                "Deployment is available. Replicas: 2",
            ),
            (
                json!({"conditions": [condition("Progressing", "ProgressDeadlineExceeded")]}),
                State::Failed,
                "Progress deadline exceeded",
            ),
        ];
        for (status, state, message) in cases {
            says(&deployment(status), state, message);
        }
    }

    #[test]
    fn other_workloads_have_rules_of_their_own() {
        let set = object(
            "apps/v1",
            "StatefulSet",
            json!({"replicas": 1}),
            json!({"replicas": 1, "readyReplicas": 1, "currentReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
        );
        says(&set, State::InProgress, "Waiting for updated revision to match current");
        let daemons = object("apps/v1", "DaemonSet", json!({}), json!({}));
        says(&daemons, State::InProgress, "DaemonSet status.observedGeneration not found");
        let daemons =
            object("apps/v1", "DaemonSet", json!({}), json!({"observedGeneration": 1, "desiredNumberScheduled": 0}));
        says(&daemons, State::Current, "All replicas scheduled as expected. Replicas: 0");
        let replicas = object("apps/v1", "ReplicaSet", json!({"replicas": 1}), json!({"fullyLabeledReplicas": 1}));
        says(&replicas, State::InProgress, "Available: 0/1");
    }

    #[test]
    fn a_job_need_only_begin_unless_its_end_is_waited_for() {
        let running = object("batch/v1", "Job", json!({}), json!({"startTime": "2026-01-01T00:00:00Z", "active": 1}));
        says(&running, State::Current, "Job in progress. success:0, active: 1, failed: 0");
        assert_eq!(judge(Some(&running), Until::JobsDone), progress("Job in progress"));
        let failed_job = object(
            "batch/v1",
            "Job",
            json!({}),
            json!({"failed": 2, "conditions": [{"type": "Failed", "status": "True"}]}),
        );
        assert_eq!(judge(Some(&failed_job), Until::Completed), failed("Job Failed. failed: 2/1"));
    }

    #[test]
    fn a_pod_of_a_hook_must_succeed_and_any_other_hook_need_only_exist() {
        let pod = |phase: &str| object("v1", "Pod", json!({}), json!({"phase": phase}));
        assert_eq!(judge(Some(&pod("Running")), Until::Completed), progress("Pod in progress"));
        assert_eq!(judge(Some(&pod("Failed")), Until::Completed), failed("pod x failed"));
        assert_eq!(judge(Some(&pod("Succeeded")), Until::Completed), current("pod x succeeded"));
        let claim = object("v1", "PersistentVolumeClaim", json!({}), json!({}));
        assert_eq!(judge(Some(&claim), Until::Completed).state, State::Current);
        assert_eq!(judge(None, Until::Completed).state, State::NotFound);
    }

    #[test]
    fn a_pod_that_crashes_again_and_again_has_failed() {
        let status = json!({"phase": "Running", "containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]});
        says(&object("v1", "Pod", json!({}), status), State::Failed, "Containers in CrashLoop state: a");
    }

    #[test]
    fn kinds_of_others_are_judged_by_their_conditions() {
        let boat = |status: &str| {
            object(
                "sea.io/v1",
                "Boat",
                json!({}),
                json!({"conditions": [{"type": "Ready", "status": status, "message": "leaks"}]}),
            )
        };
        says(&boat("False"), State::InProgress, "leaks");
        says(&boat("True"), State::Current, "Resource is Ready");
        says(&object("sea.io/v1", "Boat", json!({}), json!({})), State::Current, "Resource is current");
        let mut dying = boat("True");
        dying["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        says(&dying, State::Terminating, "Resource scheduled for deletion");
    }

    #[test]
    fn claims_services_and_definitions_have_simple_rules() {
        says(
            &object("v1", "PersistentVolumeClaim", json!({}), json!({"phase": "Pending"})),
            State::InProgress,
            "PVC is not Bound. phase: Pending",
        );
        says(
            &object("v1", "Service", json!({"type": "LoadBalancer"}), json!({})),
            State::InProgress,
            "ClusterIP not set. Service type: LoadBalancer",
        );
        says(&object("v1", "Service", json!({}), json!({})), State::Current, "Service is ready");
        let definition = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({}), json!({}));
        says(&definition, State::InProgress, "Install in progress");
    }
}
