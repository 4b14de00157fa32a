//! `metrics.k8s.io`: what nodes and pods use, asked of the node agents (`/stats/summary`) when somebody wants to know.
//!
//! ```text
//! request ─▶ nodes that it is about ─▶ a look at each, and one from before ─▶ rate over the time between ─▶ objects
//! ```
//!
//! Nothing is sampled in the background. A look is kept for the next request; without one that is young enough, a second
//! look is taken a second after the first.
//!
//! Source of the rules: sigs.k8s.io/metrics-server `pkg/api`.

use super::answer::{self, Answer};
use super::objects;
use super::proxy::Agents;
use super::read::Wanted;
use super::route::Call;
use crate::api::{Kind, Object, Reason, Status};
use futures::future::join_all;
use http::StatusCode;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The time between two looks that makes a rate, at least.
const SHORTEST: Duration = Duration::from_secs(1);
/// The time that a rate is rather taken over.
const GOOD: Duration = Duration::from_secs(10);
/// A look older than this says nothing about now.
const LONGEST: Duration = Duration::from_secs(60);

/// Looks of the last minute, by node. One per server.
#[derive(Default)]
pub struct Looks(Mutex<HashMap<String, Vec<Arc<Look>>>>);

/// What a node said at one moment.
struct Look {
    at: Instant,
    summary: Summary,
    /// Processor time of the node (named by nothing) and of every container, in nanoseconds.
    counters: HashMap<String, u64>,
}

#[derive(Deserialize)]
struct Summary {
    node: Figures,
    pods: Vec<PodFigures>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodFigures {
    pod_ref: PodReference,
    containers: Vec<Figures>,
}

#[derive(Deserialize)]
struct PodReference {
    uid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    #[serde(default)]
    name: String,
    start_time: Option<Timestamp>,
    cpu: Cpu,
    memory: Memory,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    usage_core_nano_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    working_set_bytes: u64,
}

/// Two looks at a node.
struct Measured {
    before: Arc<Look>,
    after: Arc<Look>,
    now: Timestamp,
}

/// Whether objects of a kind are measured.
pub fn is_for(kind: &Kind) -> bool {
    kind.group() == "metrics.k8s.io" && kind.custom.is_none()
}

/// Answers get and list.
pub async fn answer(call: &Call, kind: &Kind) -> Result<Answer, Status> {
    let subjects = subjects(call, kind)?;
    let nodes: BTreeSet<&str> = subjects.iter().map(|one| node_of(kind, one)).filter(|name| !name.is_empty()).collect();
    let looks = nodes.into_iter().map(async |node| (node, call.api.looks.measure(call, node).await));
    let mut measured = HashMap::new();
    for (node, outcome) in join_all(looks).await {
        match outcome {
            Ok(found) => _ = measured.insert(node, found),
            // Others may still be measured; who lacks figures is left out.
            Err(status) => tracing::warn!(node, error = status.message, "a node was not measured"),
        }
    }
    let mut found: Vec<Object> = Vec::new();
    for subject in &subjects {
        let figures = measured.get(node_of(kind, subject)).and_then(|measured| measured.figures(kind, subject));
        found.extend(figures.and_then(|figures| object(call, kind, subject, figures)));
    }
    let (form, include) = (call.accepted.form, call.options.text("includeObject"));
    let api_version = call.attributes().api_version();
    let value = match (call.attributes().verb.as_str(), found.pop()) {
        ("get", Some(one)) => form.object(kind, one, include, true),
        ("get", None) => return Err(unknown(call, kind)),
        (_, last) => {
            found.extend(last);
            form.list(kind, &api_version, found, json!({}), include)
        }
    };
    Ok(answer::value(StatusCode::OK, &value))
}

fn unknown(call: &Call, kind: &Kind) -> Status {
    let wanted = call.attributes();
    let name = match wanted.namespace.as_str() {
        "" => wanted.name.clone(),
        namespace => format!("{namespace}/{}", wanted.name),
    };
    Status::not_found(kind.group(), &kind.kind.to_lowercase(), &name)
}

/// The nodes or pods that a request is about.
fn subjects(call: &Call, kind: &Kind) -> Result<Vec<Object>, Status> {
    let wanted = call.attributes();
    if wanted.verb == "get" {
        let namespace = if kind.is_namespaced() { &wanted.namespace } else { "" };
        let found = super::auth::lookup::object(&call.api.store, &kind.plural, namespace, &wanted.name);
        return found.map(|one| vec![one]).ok_or_else(|| unknown(call, kind));
    }
    let selected = Wanted::of(call, kind)?;
    let namespace = Some(wanted.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let listing = call.api.store.list(&kind.plural, namespace, None).map_err(|error| objects::failure(kind, error))?;
    listing.entries.iter().filter(|entry| selected.takes(entry)).map(|entry| objects::stored(entry)).collect()
}

fn node_of<'a>(kind: &Kind, subject: &'a Object) -> &'a str {
    if kind.is_namespaced() { subject.text(&["spec", "nodeName"]) } else { subject.name() }
}

/// The measured form of a node or pod.
fn object(call: &Call, kind: &Kind, subject: &Object, figures: Value) -> Option<Object> {
    let mut value = json!({
        "kind": kind.kind, "apiVersion": call.attributes().api_version(),
        "metadata": {"name": subject.name(), "creationTimestamp": figures["timestamp"]},
    });
    if kind.is_namespaced() {
        value["metadata"]["namespace"] = subject.namespace().into();
    }
    if let Some(labels) = subject.at(&["metadata", "labels"]) {
        value["metadata"]["labels"] = labels.clone();
    }
    let mut object = Object::from_value(value)?;
    if let Value::Object(figures) = figures {
        object.0.extend(figures);
    }
    Some(object)
}

impl Looks {
    /// Looks at a node, and finds or takes a look from before.
    async fn measure(&self, call: &Call, node: &str) -> Result<Measured, Status> {
        let before = match self.before(node) {
            Some(before) => before,
            None => {
                let first = Arc::new(Look::take(call, node).await?);
                // Use is a change over time: the second look has to be some time after the first.
                tokio::time::sleep(SHORTEST).await;
                first
            }
        };
        let after = Arc::new(Look::take(call, node).await?);
        self.keep(node, [&before, &after]);
        Ok(Measured { before, after, now: Timestamp::now() })
    }

    /// The look to compare with: the youngest that is good, else the oldest that will do.
    fn before(&self, node: &str) -> Option<Arc<Look>> {
        let all = self.0.lock();
        let mut fit = all.get(node)?.iter().filter(|look| (SHORTEST..LONGEST).contains(&look.at.elapsed()));
        let oldest = fit.next()?;
        Some(fit.rfind(|look| look.at.elapsed() >= GOOD).unwrap_or(oldest).clone())
    }

    /// Remembers looks, few of them and none that is too old.
    fn keep(&self, node: &str, new: [&Arc<Look>; 2]) {
        let mut all = self.0.lock();
        let own = all.entry(node.into()).or_default();
        for look in new {
            if own.last().is_none_or(|last| look.at.saturating_duration_since(last.at) >= GOOD) {
                own.push(look.clone());
            }
        }
        all.values_mut().for_each(|looks| looks.retain(|look| look.at.elapsed() < LONGEST));
        all.retain(|_, looks| !looks.is_empty());
    }
}

impl Look {
    async fn take(call: &Call, node: &str) -> Result<Self, Status> {
        let body = Agents::read(call, node, "/stats/summary?only_cpu_and_memory=true").await?;
        let summary: Summary = serde_json::from_slice(&body).map_err(|error| {
            Status::new(Reason::ServiceUnavailable, format!("node {node} said what is no summary: {error}"))
        })?;
        Ok(Self::new(summary, Instant::now()))
    }

    fn new(summary: Summary, at: Instant) -> Self {
        let mut counters = HashMap::from([(String::new(), summary.node.cpu.usage_core_nano_seconds)]);
        for pod in &summary.pods {
            let own = |one: &Figures| (id(pod, one), one.cpu.usage_core_nano_seconds);
            counters.extend(pod.containers.iter().map(own));
        }
        Self { at, summary, counters }
    }
}

fn id(pod: &PodFigures, container: &Figures) -> String {
    format!("{}/{}", pod.pod_ref.uid, container.name)
}

impl Measured {
    /// What a node or pod uses; nothing where its node says nothing of it.
    fn figures(&self, kind: &Kind, subject: &Object) -> Option<Value> {
        let mut value = json!({"timestamp": crate::api::time::text(self.now), "window": self.window()});
        if !kind.is_namespaced() {
            value["usage"] = self.usage("", &self.after.summary.node);
            return Some(value);
        }
        let pod = self.after.summary.pods.iter().find(|pod| pod.pod_ref.uid == subject.uid())?;
        let one =
            |container: &Figures| json!({"name": container.name, "usage": self.usage(&id(pod, container), container)});
        value["containers"] = pod.containers.iter().map(one).collect();
        Some(value)
    }

    fn window(&self) -> String {
        format!("{:.3}s", self.between().as_secs_f64())
    }

    fn between(&self) -> Duration {
        self.after.at.saturating_duration_since(self.before.at).max(Duration::from_millis(1))
    }

    fn usage(&self, id: &str, figures: &Figures) -> Value {
        let counter = figures.cpu.usage_core_nano_seconds;
        let (used, over) = match self.before.counters.get(id) {
            Some(before) if *before <= counter => (counter - before, self.between()),
            // It began in the meantime.
            _ => (counter, self.age(figures)),
        };
        let per_second = u128::from(used) * 1_000_000_000 / over.as_nanos().max(1);
        json!({"cpu": format!("{per_second}n"), "memory": format!("{}Ki", figures.memory.working_set_bytes / 1024)})
    }

    /// How long something has been running; what began just now counts as a second old.
    fn age(&self, figures: &Figures) -> Duration {
        let age = figures.start_time.map(|start| self.now.duration_since(start));
        age.and_then(|age| Duration::try_from(age).ok()).unwrap_or(SHORTEST).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds;

    fn figures(cpu: u64) -> Value {
        json!({"name": "c", "startTime": "2026-01-01T00:00:00Z",
            "cpu": {"usageCoreNanoSeconds": cpu}, "memory": {"workingSetBytes": 4096}})
    }

    fn look(at: Instant, node: u64, container: u64) -> Arc<Look> {
        let summary = json!({"node": figures(node), "pods": [
            {"podRef": {"uid": "u", "name": "p", "namespace": "n"}, "containers": [figures(container)]}]});
        Arc::new(Look::new(serde_json::from_value(summary).unwrap(), at))
    }

    fn subject() -> Object {
        Object::from_value(json!({"metadata": {"name": "p", "uid": "u"}})).unwrap()
    }

    fn measured(before: Arc<Look>, after: Arc<Look>) -> Measured {
        Measured { before, after, now: "2026-01-01T00:00:10Z".parse().unwrap() }
    }

    #[tokio::test(start_paused = true)]
    async fn use_is_what_was_added_between_two_looks() {
        let start = Instant::now();
        let two = measured(look(start, 0, 1_000), look(start + Duration::from_secs(2), 3_000_000_000, 501_000));
        let kind = |plural| kinds::find("metrics.k8s.io", "v1beta1", plural).unwrap();
        let node = two.figures(kind("nodes"), &Object::default()).unwrap();
        assert_eq!(node["usage"], json!({"cpu": "1500000000n", "memory": "4Ki"}));
        assert_eq!((&node["window"], &node["timestamp"]), (&json!("2.000s"), &json!("2026-01-01T00:00:10Z")));
        let pod = two.figures(kind("pods"), &subject()).unwrap();
        assert_eq!(pod["containers"], json!([{"name": "c", "usage": {"cpu": "250000n", "memory": "4Ki"}}]));
        assert!(two.figures(kind("pods"), &Object::default()).is_none(), "a pod that the node does not know");
    }

    #[tokio::test(start_paused = true)]
    async fn what_began_in_between_is_measured_over_its_life() {
        let start = Instant::now();
        let two = measured(look(start, 0, 9_000), look(start + Duration::from_secs(2), 0, 5_000));
        let kind = kinds::find("metrics.k8s.io", "v1beta1", "pods").unwrap();
        let pod = two.figures(kind, &subject()).unwrap();
        assert_eq!(pod["containers"][0]["usage"]["cpu"], "500n", "ten seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn looks_are_compared_with_one_of_ten_seconds_before_rather_than_of_one() {
        let looks = Looks::default();
        let wait = |seconds| tokio::time::advance(Duration::from_secs(seconds));
        let note = || {
            let now = look(Instant::now(), 0, 0);
            looks.keep("n", [&now, &now]);
            now
        };
        let first = note();
        assert!(looks.before("n").is_none(), "too young");
        wait(2).await;
        note();
        assert!(Arc::ptr_eq(&looks.before("n").unwrap(), &first));
        wait(10).await;
        let second = note();
        wait(3).await;
        assert!(Arc::ptr_eq(&looks.before("n").unwrap(), &first));
        wait(9).await;
        assert!(Arc::ptr_eq(&looks.before("n").unwrap(), &second));
        wait(60).await;
        assert!(looks.before("n").is_none(), "too old");
        note();
        assert_eq!(looks.0.lock()["n"].len(), 1);
    }
}
