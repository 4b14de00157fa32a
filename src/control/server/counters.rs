//! `/metrics`: what was asked of this server, how long it took, and what it keeps.
//!
//! Only requests for what is served are counted, so that nobody makes the table grow.
//!
//! Source of names, labels and bounds: k8s.io/apiserver `pkg/endpoints/metrics/metrics.go`.

use super::identity::Attributes;
use super::{Api, answer, discovery, resource};
use crate::api::{KINDS, Kind};
use crate::base::prometheus::{self, Text};
use crate::control::server::answer::Answer;
use http::header;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Upper bounds of the histogram, in seconds.
const BOUNDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// Requests of one sort.
struct Series {
    labels: Vec<(&'static str, String)>,
    is_mutating: bool,
    /// How many were answered, by code.
    codes: Mutex<BTreeMap<u16, u64>>,
    /// How many took no longer than each bound but longer than the one before; the last takes the rest.
    took: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Series {
    fn new(wanted: &Attributes, kind: &Kind) -> Self {
        let verb = match wanted.verb.as_str() {
            "create" => "POST".to_string(),
            "update" => "PUT".to_string(),
            verb => verb.to_ascii_uppercase(),
        };
        let scope = match (wanted.name.is_empty(), kind.is_namespaced()) {
            (false, _) => "resource",
            (true, true) => "namespace",
            (true, false) => "cluster",
        };
        let is_mutating = !matches!(wanted.verb.as_str(), "get" | "list" | "watch");
        let labels = [
            ("component", "apiserver"),
            ("group", &wanted.group),
            ("resource", &wanted.resource),
            ("scope", scope),
            ("subresource", &wanted.subresource),
            ("verb", &verb),
            ("version", &wanted.version),
        ];
        Self {
            labels: labels.map(|(name, value)| (name, value.to_string())).into(),
            is_mutating,
            codes: Mutex::default(),
            took: std::array::from_fn(|_| AtomicU64::new(0)),
            microseconds: AtomicU64::new(0),
        }
    }

    fn labels(&self) -> Vec<(&str, &str)> {
        self.labels.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// What this process was asked.
#[derive(Default)]
pub struct Counters {
    /// By a hash of what tells them apart: a request makes no text.
    series: RwLock<HashMap<u64, Arc<Series>>>,
    /// Requests that are being answered: those that read, those that write.
    now: [AtomicI64; 2],
}

/// A request that is being answered.
pub struct Counted<'a> {
    counters: &'a Counters,
    series: Arc<Series>,
    begun: Instant,
}

impl Counters {
    /// Counts a request for a kind from now on.
    pub fn begin(&self, wanted: &Attributes, kind: &Kind) -> Counted<'_> {
        let mut hasher = DefaultHasher::new();
        (&wanted.verb, &wanted.group, &wanted.version, &wanted.resource, &wanted.subresource).hash(&mut hasher);
        wanted.name.is_empty().hash(&mut hasher);
        let key = hasher.finish();
        let known = self.series.read().get(&key).cloned();
        let new = || self.series.write().entry(key).or_insert_with(|| Arc::new(Series::new(wanted, kind))).clone();
        let series = known.unwrap_or_else(new);
        self.now[usize::from(series.is_mutating)].fetch_add(1, Relaxed);
        Counted { counters: self, series, begun: Instant::now() }
    }
}

impl Counted<'_> {
    /// The request was answered with this code.
    pub fn end(self, code: u16) {
        let took = self.begun.elapsed();
        let bound = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        self.series.took[bound].fetch_add(1, Relaxed);
        self.series.microseconds.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        *self.series.codes.lock().entry(code).or_default() += 1;
    }
}

/// Also of one whose client went away before there was an answer.
impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counters.now[usize::from(self.series.is_mutating)].fetch_sub(1, Relaxed);
    }
}

/// The document.
pub fn document(api: &Api) -> Answer {
    let mut text = Text::default();
    build(&mut text);
    let mut all: Vec<Arc<Series>> = api.counters.series.read().values().cloned().collect();
    all.sort_by(|one, other| one.labels.cmp(&other.labels));
    requests(&mut text, &all);
    durations(&mut text, &all);
    let help = "[STABLE] Maximal number of currently used inflight request limit of this apiserver per request kind in last second.";
    text.family("apiserver_current_inflight_requests", "gauge", help);
    for (kind, now) in ["readOnly", "mutating"].iter().zip(&api.counters.now) {
        text.sample(&[("request_kind", kind)], now.load(Relaxed).max(0), None);
    }
    objects(&mut text, api);
    text.process();
    let mut answer = answer::text(text.into_text());
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(prometheus::TYPE));
    answer
}

fn build(text: &mut Text) {
    let version = discovery::version();
    let word = |name: &str| version[name].as_str().unwrap_or_default().to_string();
    let names = [("git_commit", "gitCommit"), ("git_version", "gitVersion"), ("major", "major"), ("minor", "minor")];
    let values = names.map(|(label, name)| (label, word(name)));
    let help = "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit.";
    text.family("kubernetes_build_info", "gauge", help);
    text.sample(&values.each_ref().map(|(label, value)| (*label, value.as_str())), 1, None);
}

fn requests(text: &mut Text, all: &[Arc<Series>]) {
    let help = "[STABLE] Counter of apiserver requests broken out for each verb, group, version, resource, scope, component, and HTTP response code.";
    text.family("apiserver_request_total", "counter", help);
    for series in all {
        for (code, count) in series.codes.lock().iter() {
            let code = code.to_string();
            let mut labels = vec![("code", code.as_str()), ("dry_run", "")];
            labels.extend(series.labels());
            text.sample(&labels, count, None);
        }
    }
}

fn durations(text: &mut Text, all: &[Arc<Series>]) {
    let help = "[STABLE] Response latency distribution in seconds for each verb, group, version, resource, subresource, scope and component.";
    text.family("apiserver_request_duration_seconds", "histogram", help);
    for series in all {
        let mut count = 0;
        for (index, took) in series.took.iter().enumerate() {
            count += took.load(Relaxed);
            let bound = BOUNDS.get(index).map_or("+Inf".to_string(), f64::to_string);
            let mut labels = series.labels();
            labels.push(("le", &bound));
            text.part("_bucket", &labels, count, None);
        }
        text.part("_sum", &series.labels(), series.microseconds.load(Relaxed) as f64 / 1e6, None);
        text.part("_count", &series.labels(), count, None);
    }
}

fn objects(text: &mut Text, api: &Api) {
    let help = "[STABLE] Number of stored objects at the time of last check split by kind.";
    text.family("apiserver_storage_objects", "gauge", help);
    let custom = api.custom.all();
    let all = KINDS.iter().chain(custom.iter().map(|(_, kind)| &**kind));
    let counts: BTreeMap<String, usize> =
        all.map(resource::store_name).map(|name| (name.clone(), api.store.count(&name))).collect();
    for (name, count) in &counts {
        let (group, plural) = name.split_once('/').unwrap_or(("", name));
        let resource = if group.is_empty() { plural.to_string() } else { format!("{plural}.{group}") };
        text.sample(&[("resource", &resource)], count, None);
    }
}
