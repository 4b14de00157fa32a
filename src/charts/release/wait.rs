//! Waiting until objects are as somebody wants them: one watch per kind and namespace, for those only that are not yet so.

use super::cluster::{Cluster, Item, Kind};
use super::error::Error;
use super::observer::{Node, Observer, Reason};
use super::readiness::{State, Until, Verdict, judge};
use super::reasons;
use crate::client::Selection;
use crate::client::follow::{Seen, Whole, follow};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Kinds whose pods say why they are not ready.
const WORKLOADS: &[&str] =
    &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "Pod"];
/// What Helm takes where no time is given.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a watch tells.
enum Told {
    /// The state of the object at this place of the list.
    Object(usize, Option<Value>),
    /// A pod, by namespace and name.
    Pod((String, String), Option<Value>),
    /// A warning about an object, by the object's uid.
    Warning(String, Reason),
}

/// What may say why objects are not ready.
#[derive(Default)]
struct Beside {
    pods: BTreeMap<(String, String), Value>,
    warnings: HashMap<String, Reason>,
}

struct Tracked<'a> {
    item: &'a Item,
    live: Option<Value>,
    verdict: Verdict,
}

/// Waits until all `items` are as `until` says. An object that has failed for good is not waited for, but makes it an
/// error, as does the end of `timeout`.
pub async fn wait(
    cluster: &Cluster,
    items: &[Item],
    until: Until,
    timeout: Duration,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let timeout = if timeout.is_zero() { DEFAULT_TIMEOUT } else { timeout };
    let deadline = Instant::now().checked_add(timeout);
    let mut tracked: Vec<Tracked> =
        items.iter().filter(|item| !is_paused(item)).map(|item| start(item, until)).collect();
    if is_over(&tracked, until) {
        return conclude(&tracked, until, false);
    }
    let (sender, mut told) = unbounded_channel();
    let mut watches = JoinSet::new();
    watch_objects(cluster, &tracked, until, &sender, &mut watches);
    watch_pods(cluster, &tracked, until, &sender, &mut watches);
    watch_warnings(cluster, &tracked, until, &sender, &mut watches);
    let mut beside = Beside::default();
    loop {
        observer.tree(&nodes(&tracked, &beside));
        if is_over(&tracked, until) {
            return conclude(&tracked, until, false);
        }
        let next = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, told.recv()).await,
            None => Ok(told.recv().await),
        };
        // The sender is held above: the channel cannot end before this function does.
        let Ok(Some(first)) = next else { return conclude(&tracked, until, true) };
        let mut next = Some(first);
        while let Some(one) = next {
            match one {
                Told::Object(place, live) => {
                    tracked[place].verdict = judge(live.as_ref(), until);
                    tracked[place].live = live;
                }
                Told::Pod(key, Some(pod)) => drop(beside.pods.insert(key, pod)),
                Told::Pod(key, None) => drop(beside.pods.remove(&key)),
                Told::Warning(uid, reason) => drop(beside.warnings.insert(uid, reason)),
            }
            next = told.try_recv().ok();
        }
    }
}

fn is_paused(item: &Item) -> bool {
    item.kind.kind == "Deployment" && item.object.at(&["spec", "paused"]).and_then(Value::as_bool) == Some(true)
}

/// An object that the server answered with is judged as it was answered; one of a manifest must be asked for.
fn start(item: &Item, until: Until) -> Tracked<'_> {
    let is_live = !item.object.uid().is_empty() && until != Until::Gone;
    let live = is_live.then(|| Value::Object(item.object.0.clone()));
    let verdict = match &live {
        Some(live) => judge(Some(live), until),
        None => Verdict { state: State::InProgress, message: "not looked at yet".into() },
    };
    Tracked { item, live, verdict }
}

fn wanted(until: Until) -> State {
    if until == Until::Gone { State::NotFound } else { State::Current }
}

fn is_over(tracked: &[Tracked], until: Until) -> bool {
    let is_done = |state: State| state == wanted(until) || (until != Until::Gone && state == State::Failed);
    tracked.iter().all(|one| is_done(one.verdict.state))
}

fn conclude(tracked: &[Tracked], until: Until, timed_out: bool) -> Result<(), Error> {
    let wanted = wanted(until);
    let what = if until == Until::Gone { "still exists" } else { "not ready" };
    let left = tracked.iter().filter(|one| one.verdict.state != wanted);
    let mut lines: Vec<String> = left
        .map(|one| {
            let (item, verdict) = (one.item, &one.verdict);
            let name = format!("{}/{}/{}", item.kind.kind, item.namespace, item.name);
            format!("resource {name} {what}. status: {}, message: {}", verdict.state.word(), verdict.message)
        })
        .collect();
    if timed_out {
        lines.push("context deadline exceeded".into());
    }
    if lines.is_empty() { Ok(()) } else { Err(Error::Other(lines.join("\n"))) }
}

fn watch_objects(
    cluster: &Cluster,
    tracked: &[Tracked],
    until: Until,
    sender: &UnboundedSender<Told>,
    watches: &mut JoinSet<()>,
) {
    let mut groups: BTreeMap<_, (&Kind, &str, HashMap<String, usize>)> = BTreeMap::new();
    for (place, one) in tracked.iter().enumerate().filter(|(_, one)| one.verdict.state != wanted(until)) {
        let (kind, namespace) = (&one.item.kind, one.item.namespace.as_str());
        let group = groups
            .entry((&kind.api_version, &kind.plural, namespace))
            .or_insert_with(|| (kind, namespace, HashMap::new()));
        group.2.insert(one.item.name.clone(), place);
    }
    for (kind, namespace, names) in groups.into_values() {
        let only = names.keys().next().filter(|_| names.len() == 1);
        let selection = only.map(|name| format!("metadata.name={name}")).unwrap_or_default();
        let selection = Selection { labels: String::new(), fields: selection };
        let source = Whole(kind.door(cluster.client(), namespace));
        let sender = sender.clone();
        let mut present = HashSet::new();
        let tell = move |seen: Seen<DynamicObject>| {
            let send = |place: usize, live: Option<Value>| drop(sender.send(Told::Object(place, live)));
            match seen {
                Seen::Listing => present.clear(),
                Seen::Present(object) | Seen::Applied(object) => {
                    if let Some(place) = names.get(&object.name_any()) {
                        present.insert(*place);
                        send(*place, serde_json::to_value(object).ok());
                    }
                }
                Seen::Listed(_) => {
                    names.values().filter(|place| !present.contains(place)).for_each(|place| send(*place, None));
                }
                Seen::Deleted(object) => {
                    if let Some(place) = names.get(&object.name_any()) {
                        send(*place, None);
                    }
                }
            }
        };
        watches.spawn(async move { follow(&source, &selection, tell).await });
    }
}

/// The namespaces in which there is to be told why objects are not ready: of those that are not, and of interest.
fn namespaces<'t>(tracked: &'t [Tracked], until: Until, is_of_interest: impl Fn(&Item) -> bool) -> HashSet<&'t str> {
    let waiting = tracked.iter().filter(|one| until != Until::Gone && one.verdict.state != wanted(until));
    waiting.filter(|one| is_of_interest(one.item)).map(|one| one.item.namespace.as_str()).collect()
}

/// Pods are watched only to tell why workloads are not ready.
fn watch_pods(
    cluster: &Cluster,
    tracked: &[Tracked],
    until: Until,
    sender: &UnboundedSender<Told>,
    watches: &mut JoinSet<()>,
) {
    let has_pods = |item: &Item| WORKLOADS.contains(&item.kind.kind.as_str());
    for namespace in namespaces(tracked, until, has_pods) {
        let source = Whole(Kind::pods().door(cluster.client(), namespace));
        let (sender, namespace) = (sender.clone(), namespace.to_string());
        let tell = move |seen: Seen<DynamicObject>| {
            let (object, is_there) = match seen {
                Seen::Present(object) | Seen::Applied(object) => (object, true),
                Seen::Deleted(object) => (object, false),
                Seen::Listing | Seen::Listed(_) => return,
            };
            let key = (namespace.clone(), object.name_any());
            let live = if is_there { serde_json::to_value(object).ok() } else { None };
            // The receiver lives as long as the waiting.
            sender.send(Told::Pod(key, live)).ok();
        };
        watches.spawn(async move { follow(&source, &Selection::default(), tell).await });
    }
}

/// Warnings are watched only to tell why objects are not ready that have no pods to tell it.
fn watch_warnings(
    cluster: &Cluster,
    tracked: &[Tracked],
    until: Until,
    sender: &UnboundedSender<Told>,
    watches: &mut JoinSet<()>,
) {
    let selection = Selection { labels: String::new(), fields: "type=Warning".into() };
    for namespace in namespaces(tracked, until, |item| !item.namespace.is_empty()) {
        let source = Whole(Kind::core("Event", "events").door(cluster.client(), namespace));
        let (sender, selection) = (sender.clone(), selection.clone());
        let tell = move |seen: Seen<DynamicObject>| {
            let (event, is_new) = match seen {
                Seen::Applied(event) => (event, true),
                Seen::Present(event) => (event, false),
                Seen::Listing | Seen::Listed(_) | Seen::Deleted(_) => return,
            };
            if let Some((uid, reason)) = reasons::of_event(&event.data, is_new) {
                // The receiver lives as long as the waiting.
                sender.send(Told::Warning(uid, reason)).ok();
            }
        };
        watches.spawn(async move { follow(&source, &selection, tell).await });
    }
}

/// What keeps an object: what its pods say, or else itself, or else a warning about it.
fn reasons_of(live: &Value, beside: &Beside) -> Vec<Reason> {
    let own = beside.pods.values().filter(|pod| reasons::owns(live, pod));
    let mut found: Vec<Reason> = own.flat_map(reasons::of_pod).collect();
    if found.is_empty() {
        let warning = || beside.warnings.get(live["metadata"]["uid"].as_str()?).cloned();
        found.extend(reasons::of_workload(live).or_else(warning));
    }
    found
}

fn nodes(tracked: &[Tracked], beside: &Beside) -> Vec<Node> {
    let node = |one: &Tracked| {
        let waits = matches!(one.verdict.state, State::InProgress | State::Failed);
        let live = one.live.as_ref().filter(|_| waits);
        Node {
            what: format!("{}/{}", one.item.kind.kind, one.item.name),
            namespace: one.item.namespace.clone(),
            state: one.verdict.state,
            message: one.verdict.message.clone(),
            reasons: live.map(|live| reasons_of(live, beside)).unwrap_or_default(),
        }
    };
    tracked.iter().map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::super::observer::Silent;
    use super::*;
    use crate::api::Object;
    use crate::client::mock::Mock;
    use parking_lot::Mutex;
    use serde_json::json;

    fn job(version: &str, status: Value) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "one", "namespace": "sea", "uid": "u", "resourceVersion": version}, "status": status})
    }

    fn item(value: Value) -> Item {
        let kind = Kind { api_version: "batch/v1".into(), kind: "Job".into(), plural: "jobs".into(), namespaced: true };
        Item { kind, namespace: "sea".into(), name: "one".into(), object: Object::from_value(value).unwrap() }
    }

    fn list(items: Value) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items})
    }

    #[derive(Default)]
    struct Seen(Mutex<Vec<Vec<Node>>>);

    impl Observer for Seen {
        fn tree(&self, nodes: &[Node]) {
            self.0.lock().push(nodes.to_vec());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_by_watch_until_the_job_is_complete() {
        let mock = Mock::default();
        mock.list(list(json!([job("1", json!({}))])));
        mock.list(list(json!([])));
        mock.list(list(json!([])));
        mock.watch(&[json!({"type": "MODIFIED", "object": job("2", json!({"conditions": [{"type": "Complete", "status": "True"}]}))})]);
        let cluster = Cluster::new(mock.client(), "sea");
        let seen = Seen::default();
        wait(&cluster, &[item(job("1", json!({})))], Until::Completed, Duration::from_secs(60), &seen).await.unwrap();
        let last = seen.0.lock().last().unwrap()[0].clone();
        assert_eq!((last.what.as_str(), last.state), ("Job/one", State::Current));
    }

    #[tokio::test]
    async fn what_is_ready_already_needs_no_request() {
        let cluster = Cluster::new(Mock::default().client(), "sea");
        let done = item(job("1", json!({"startTime": "2026-01-01T00:00:00Z"})));
        wait(&cluster, &[done], Until::Ready, Duration::from_secs(1), &Silent).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_patience_says_what_is_missing() {
        let mock = Mock::default();
        (0..3).for_each(|_| mock.list(list(json!([]))));
        let cluster = Cluster::new(mock.client(), "sea");
        let error =
            wait(&cluster, &[item(json!({}))], Until::JobsDone, Duration::from_secs(5), &Silent).await.unwrap_err();
        let wanted =
            "resource Job/sea/one not ready. status: NotFound, message: Resource not found\ncontext deadline exceeded";
        assert_eq!(error.to_string(), wanted);
    }

    #[tokio::test]
    async fn what_has_failed_for_good_is_not_waited_for() {
        let cluster = Cluster::new(Mock::default().client(), "sea");
        let dead = item(job("1", json!({"failed": 1, "conditions": [{"type": "Failed", "status": "True"}]})));
        let error = wait(&cluster, &[dead], Until::Completed, Duration::ZERO, &Silent).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "resource Job/sea/one not ready. status: Failed, message: Job Failed. failed: 1/1"
        );
    }

    #[test]
    fn an_object_without_pods_says_itself_or_a_warning_says_why_it_is_not_ready() {
        let mut beside = Beside::default();
        let warning = Reason { what: "FailedCreate:".into(), why: "exceeded quota".into() };
        beside.warnings.insert("u".into(), warning.clone());
        assert_eq!(reasons_of(&job("1", json!({})), &beside), [warning]);
        let refused = json!({"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "no account"}]});
        let own = Reason { what: "FailedCreate:".into(), why: "no account".into() };
        assert_eq!(reasons_of(&job("1", refused), &beside), [own]);
    }

    #[tokio::test(start_paused = true)]
    async fn deletion_is_waited_for() {
        let mock = Mock::default();
        mock.list(list(json!([job("1", json!({}))])));
        mock.watch(&[json!({"type": "DELETED", "object": job("2", json!({}))})]);
        let cluster = Cluster::new(mock.client(), "sea");
        wait(&cluster, &[item(json!({}))], Until::Gone, Duration::from_secs(60), &Silent).await.unwrap();
    }
}
