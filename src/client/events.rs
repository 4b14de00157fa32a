//! Recording Events, with upstream's aggregation: an event that repeats is counted, many similar ones are combined, and
//! a source that talks too much is cut off.
//!
//! Source of the rules: client-go `tools/record/events_cache.go` (dedupe by content, aggregation of more than 10 similar
//! events within 10 minutes, a token bucket of 25 with one more every 5 minutes per source and object).

use super::Client;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Events waiting to be written; more are dropped, as upstream does.
const QUEUE: usize = 1000;
/// Entries of the caches; beyond it the caches start anew.
const ENTRIES: usize = 4096;
const SIMILAR: usize = 10;
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
const BURST: f64 = 25.0;
const REFILL_SECONDS: f64 = 300.0;

/// Whether an event tells of something good or bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    Normal,
    Warning,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Normal => "Normal",
            Level::Warning => "Warning",
        }
    }
}

/// What is to be told.
#[derive(Clone, Debug)]
struct Told {
    about: ObjectReference,
    level: Level,
    reason: String,
    message: String,
}

/// Writes events in the background. Cheap to clone; writing ends with the last clone.
#[derive(Clone)]
pub struct Recorder(mpsc::Sender<Told>);

impl Recorder {
    /// A recorder for `component` (for example `kubelet`) on `host` (empty where it is of no node).
    pub fn new(client: Client, component: &str, host: &str) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Writer {
            client,
            source: EventSource {
                component: Some(component.to_string()),
                host: Some(host.to_string()).filter(|host| !host.is_empty()),
            },
            correlator: Correlator::default(),
        };
        tokio::spawn(writer.run(receiver));
        Self(sender)
    }

    /// Records that something happened to `about`. Never waits; under a flood events are dropped.
    pub fn record(&self, about: ObjectReference, level: Level, reason: &str, message: impl Into<String>) {
        let told = Told { about, level, reason: reason.to_string(), message: message.into() };
        if self.0.try_send(told).is_err() {
            tracing::debug!(reason, "event dropped");
        }
    }
}

struct Writer {
    client: Client,
    source: EventSource,
    correlator: Correlator,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<Told>) {
        while let Some(told) = receiver.recv().await {
            let Some(verdict) = self.correlator.judge(told, Instant::now()) else { continue };
            if let Err(error) = self.write(verdict).await {
                tracing::debug!(%error, "event not written");
            }
        }
    }

    async fn write(&mut self, verdict: Verdict) -> kube::Result<()> {
        let namespace = verdict.told.about.namespace.clone().unwrap_or_else(|| "default".to_string());
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let now = Timestamp::now();
        if let Some(name) = &verdict.earlier {
            let patch = json!({"count": verdict.count, "lastTimestamp": Time(now), "message": verdict.told.message});
            match events.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                // It expired: write it again.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => return other.map(drop),
            }
        }
        let about = verdict.told.about.name.clone().unwrap_or_default();
        let name = format!("{about}.{:x}", now.as_nanosecond());
        let event = Event {
            metadata: ObjectMeta { name: Some(name.clone()), namespace: Some(namespace), ..Default::default() },
            involved_object: verdict.told.about,
            reason: Some(verdict.told.reason),
            message: Some(verdict.told.message),
            type_: Some(verdict.told.level.word().to_string()),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(verdict.count),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone().or_else(|| Some(String::new())),
            source: Some(self.source.clone()),
            ..Default::default()
        };
        events.create(&PostParams::default(), &event).await?;
        self.correlator.written(verdict.content, name);
        Ok(())
    }
}

/// What makes two events the same.
type Content = (String, Level, String, String);

/// An event that is to be written.
struct Verdict {
    told: Told,
    count: i32,
    /// The name under which an equal event was written.
    earlier: Option<String>,
    content: Content,
}

#[derive(Default)]
struct Correlator {
    /// Equal events: how many, and the name of the object.
    equal: HashMap<Content, (i32, Option<String>)>,
    /// Events that differ in the message only: the messages, and when the last came.
    similar: HashMap<(String, Level, String), (BTreeSet<String>, Instant)>,
    /// Tokens left per object, and when they were counted.
    tokens: HashMap<String, (f64, Instant)>,
}

impl Correlator {
    /// What to write for an event, or nothing if its object is talked about too much.
    fn judge(&mut self, mut told: Told, now: Instant) -> Option<Verdict> {
        if self.equal.len().max(self.tokens.len()) > ENTRIES {
            *self = Self::default();
        }
        let about = identity(&told.about);
        let similar_key = (about.clone(), told.level, told.reason.clone());
        let (messages, last) = self.similar.entry(similar_key).or_insert_with(|| (BTreeSet::new(), now));
        if now.duration_since(*last) > SIMILAR_WITHIN {
            messages.clear();
        }
        *last = now;
        messages.insert(told.message.clone());
        let mut key_message = told.message.clone();
        if messages.len() > SIMILAR {
            messages.pop_first();
            told.message = format!("(combined from similar events): {}", told.message);
            key_message = "(combined from similar events)".to_string();
        }
        let content = (about.clone(), told.level, told.reason.clone(), key_message);
        let (count, earlier) = self.equal.entry(content.clone()).or_insert((0, None));
        *count += 1;
        let (count, earlier) = (*count, earlier.clone());
        self.may_speak(about, now).then_some(Verdict { told, count, earlier, content })
    }

    fn may_speak(&mut self, about: String, now: Instant) -> bool {
        let (tokens, counted) = self.tokens.entry(about).or_insert((BURST, now));
        let refill = now.duration_since(*counted).as_secs_f64() / REFILL_SECONDS;
        *tokens = (*tokens + refill).min(BURST);
        *counted = now;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }

    fn written(&mut self, content: Content, name: String) {
        if let Some((_, earlier)) = self.equal.get_mut(&content) {
            *earlier = Some(name);
        }
    }
}

fn identity(about: &ObjectReference) -> String {
    let part = |field: &Option<String>| field.clone().unwrap_or_default();
    [&about.kind, &about.namespace, &about.name, &about.uid, &about.field_path].map(part).join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(message: &str) -> Told {
        let about = ObjectReference { name: Some("web".into()), ..Default::default() };
        Told { about, level: Level::Normal, reason: "Pulled".into(), message: message.into() }
    }

    #[tokio::test]
    async fn an_event_that_repeats_is_counted() {
        let mut correlator = Correlator::default();
        let now = Instant::now();
        let first = correlator.judge(told("a"), now).unwrap();
        assert_eq!((first.count, first.earlier), (1, None));
        correlator.written(first.content, "web.1".into());
        let second = correlator.judge(told("a"), now).unwrap();
        assert_eq!((second.count, second.earlier), (2, Some("web.1".into())));
    }

    #[tokio::test]
    async fn more_than_ten_similar_events_are_combined() {
        let mut correlator = Correlator::default();
        let now = Instant::now();
        let verdicts: Vec<Verdict> = (0..12).map(|i| correlator.judge(told(&format!("m{i}")), now).unwrap()).collect();
        assert_eq!(verdicts[9].told.message, "m9");
        assert_eq!(verdicts[10].told.message, "(combined from similar events): m10");
        assert_eq!(verdicts[11].count, 2);
    }

    #[tokio::test]
    async fn who_talks_too_much_is_cut_off_and_may_speak_again_later() {
        let mut correlator = Correlator::default();
        let now = Instant::now();
        let written = (0..40).filter(|_| correlator.judge(told("a"), now).is_some()).count();
        assert_eq!(written, 25);
        assert!(correlator.judge(told("a"), now + Duration::from_secs(301)).is_some());
    }
}
