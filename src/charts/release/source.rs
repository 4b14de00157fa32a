//! A chart on disk with the values that a user gave, as what releases are made of.

use super::apart::{self, Job, Limits};
use super::cluster::Cluster;
use super::error::Error;
use super::options::{Rendered, Request, Reuse, Source};
use super::record::{self, Hook, Release};
use crate::charts::{self, Capabilities, Chart, KubeVersion, ReleaseOptions, template, values};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Something that changes rendered manifests before they are applied: text in, text out.
pub type PostRenderer = Arc<dyn Fn(String) -> Result<String, String> + Send + Sync>;

/// A chart and what it is filled with.
#[derive(Clone)]
pub struct ChartSource {
    chart: Chart,
    given: Map<String, Value>,
    /// The notes of subcharts are part of the notes.
    pub subchart_notes: bool,
    /// Values are not held against the chart's schema.
    pub skip_schema: bool,
    /// Templates may look up addresses of names.
    pub enable_dns: bool,
    /// Secrets are left out of the manifest.
    pub hide_secret: bool,
    pub post_renderer: Option<PostRenderer>,
    /// Templates are executed in a process of their own, which may take that much.
    pub apart: Option<Limits>,
    /// Is told what is odd about the values.
    pub warn: fn(&str),
}

impl ChartSource {
    /// A chart with the values that were given.
    pub fn new(chart: Chart, given: Map<String, Value>) -> Self {
        Self {
            chart,
            given,
            subchart_notes: false,
            skip_schema: false,
            enable_dns: false,
            hide_secret: false,
            post_renderer: None,
            apart: None,
            warn: |text| tracing::info!("{text}"),
        }
    }
}

#[async_trait]
impl Source for ChartSource {
    fn chart(&self) -> record::Chart {
        record_of(&self.chart)
    }

    fn config(&self) -> Map<String, Value> {
        match values::plain(&Value::Object(self.given.clone())) {
            Value::Object(plain) => plain,
            _ => Map::new(),
        }
    }

    fn crds(&self) -> Vec<(String, String)> {
        self.chart.crds().into_iter().map(|crd| (crd.name, String::from_utf8_lossy(&crd.data).into_owned())).collect()
    }

    fn reuse(&mut self, from: &Release, how: Reuse) -> Result<(), Error> {
        let mut warnings = values::Warnings::new();
        let config = floats(&from.config);
        match how {
            Reuse::Reset => {}
            Reuse::Reuse => {
                let mut old = config.clone();
                let chart = from.chart.as_ref().and_then(|chart| chart.values.as_object());
                if let Some(chart) = chart {
                    values::tables(&mut old, &floats(chart), false, &mut warnings);
                }
                values::tables(&mut self.given, &config, false, &mut warnings);
                self.chart.values = old;
            }
            Reuse::ResetThenReuse => values::tables(&mut self.given, &config, false, &mut warnings),
            Reuse::IfNoneGiven => {
                if self.given.is_empty() {
                    self.given = config;
                }
            }
        }
        Ok(())
    }

    async fn render(&mut self, request: Request) -> Result<Rendered, Error> {
        let rendered = self.fill(request).await?;
        let mut manifest = String::new();
        for one in &rendered.manifests {
            let hidden = self.hide_secret && one.kind == "Secret" && one.api_version == "v1";
            match hidden {
                true => {
                    manifest +=
                        &format!("---\n# Source: {}\n# HIDDEN: The Secret output has been suppressed\n", one.source)
                }
                false => charts::push_document(&mut manifest, &one.source, &one.text),
            }
        }
        let hooks = rendered.hooks.into_iter().map(hook).collect();
        Ok(Rendered { manifest, hooks, notes: rendered.notes })
    }
}

impl ChartSource {
    /// Renders for a cluster, or without one, and sends the result through the post-renderer.
    pub async fn fill(&mut self, request: Request) -> Result<charts::Rendered, Error> {
        let capabilities = match &request.cluster {
            Some(cluster) => capabilities(cluster).await?,
            None => Capabilities::default(),
        };
        let (cluster, handle) = (request.cluster.clone(), Handle::current());
        let host = Live { cluster, handle, enable_dns: self.enable_dns, warn: self.warn };
        let options = ReleaseOptions {
            name: request.name,
            namespace: request.namespace,
            revision: request.revision,
            is_upgrade: request.is_upgrade,
            is_install: !request.is_upgrade,
            skip_schema: self.skip_schema,
            subchart_notes: self.subchart_notes,
        };
        if let Some(limits) = self.apart.clone() {
            let job = Job::new(&self.chart, &self.given, options, capabilities, self.enable_dns);
            let outcome = apart::render(&limits, &job, request.cluster.as_deref()).await?;
            return self.filled(outcome);
        }
        // Templates look objects up while they are executed: that waits, so it has a thread of its own.
        let mut own = self.clone();
        let rendering = tokio::task::spawn_blocking(move || {
            let rendered = own.render_now(&options, &capabilities, &host);
            (own, rendered)
        });
        let (own, rendered) = rendering.await.map_err(|error| Error::text(format!("rendering broke off: {error}")))?;
        *self = own;
        rendered
    }

    /// What was rendered somewhere else, as if it had been here.
    fn filled(&mut self, outcome: apart::Outcome) -> Result<charts::Rendered, Error> {
        charts::dependencies::process(&mut self.chart, &self.given, &mut values::Warnings::new())
            .map_err(|error| Error::text(error.to_string()))?;
        outcome.warnings.iter().for_each(|warning| (self.warn)(warning));
        let apart::Outcome { manifests, hooks, notes, .. } = outcome;
        self.sent(charts::Rendered { manifests, hooks, notes, crds: self.chart.crds(), warnings: Vec::new() })
    }

    fn render_now(
        &mut self,
        options: &ReleaseOptions,
        capabilities: &Capabilities,
        host: &Live,
    ) -> Result<charts::Rendered, Error> {
        let (chart, given) = (&mut self.chart, &self.given);
        let rendered = template::on_stack(|| charts::render(chart, given, options, capabilities, host));
        let rendered = rendered.map_err(|error| Error::text(error.to_string()))?;
        let rendered = rendered.map_err(|error| Error::text(error.to_string()))?;
        for warning in &rendered.warnings {
            (self.warn)(&warning.to_string());
        }
        self.sent(rendered)
    }

    /// The same after the post-renderer.
    fn sent(&self, mut rendered: charts::Rendered) -> Result<charts::Rendered, Error> {
        if let Some(post) = &self.post_renderer {
            (rendered.manifests, rendered.hooks) = post_render(&rendered, post)?;
        }
        Ok(rendered)
    }
}

/// The annotation that carries a document's template through a post-renderer.
const FILE: &str = "postrenderer.helm.sh/postrender-filename";

/// Sends hooks and manifests through a post-renderer together, and sorts what comes back.
pub fn post_render(
    rendered: &charts::Rendered,
    post: &PostRenderer,
) -> Result<(Vec<charts::Manifest>, Vec<charts::Hook>), Error> {
    let manifests = rendered.manifests.iter().map(|one| (&one.source, &one.text));
    let hooks = rendered.hooks.iter().map(|one| (&one.path, &one.manifest));
    let mut sent = String::new();
    for (file, text) in manifests.chain(hooks) {
        for mut object in super::manifest::objects(text)? {
            object.set(&["metadata", "annotations", FILE], file.as_str());
            sent += &format!("---\n{}", charts::decode::to_yaml(&Value::Object(object.0)));
        }
    }
    let received =
        post(sent).map_err(|error| Error::text(format!("error while running post render on files: {error}")))?;
    let mut printed = charts::manifests::Printed::default();
    for (place, mut object) in super::manifest::objects(&received)?.into_iter().enumerate() {
        let file = object.remove(&["metadata", "annotations", FILE]);
        let file = file.and_then(|file| Some(file.as_str()?.to_string()));
        let file = file.unwrap_or_else(|| format!("generated-by-postrender-{place}.yaml"));
        if object.at(&["metadata", "annotations"]).and_then(Value::as_object).is_some_and(Map::is_empty) {
            object.remove(&["metadata", "annotations"]);
        }
        *printed.files.entry(file).or_default() +=
            &format!("---\n{}", charts::decode::to_yaml(&Value::Object(object.0)));
    }
    charts::manifests::sort(&mut printed, &mut values::Warnings::new()).map_err(Error::text)
}

/// Numbers of a record as templates see those of files.
fn floats(table: &Map<String, Value>) -> Map<String, Value> {
    match values::go_json(Value::Object(table.clone())) {
        Value::Object(table) => table,
        _ => Map::new(),
    }
}

fn hook(hook: charts::Hook) -> Hook {
    Hook {
        name: hook.name,
        kind: hook.kind,
        path: hook.path,
        manifest: hook.manifest,
        events: hook.events,
        last_run: record::Run::default(),
        weight: hook.weight,
        delete_policies: hook.delete_policies,
        output_log_policies: hook.output_log_policies,
    }
}

/// What a release remembers of a chart.
fn record_of(chart: &Chart) -> record::Chart {
    let files = |files: &[charts::File]| {
        let files: Vec<_> = files.iter().map(|file| record::File::new(file.name.clone(), &file.data)).collect();
        (!files.is_empty()).then_some(files)
    };
    record::Chart {
        // Texts, numbers and lists of a chart's own file are always JSON.
        metadata: serde_json::to_value(&chart.metadata).unwrap_or_default(),
        lock: chart.lock.as_ref().and_then(|lock| serde_json::to_value(lock).ok()).unwrap_or_default(),
        templates: files(&chart.templates),
        values: values::plain(&Value::Object(chart.values.clone())),
        schema: chart.schema.as_ref().map(|schema| STANDARD.encode(schema.text())),
        schemamodtime: "0001-01-01T00:00:00Z".into(),
        files: files(&chart.files),
    }
}

/// What the templates are told of a cluster.
async fn capabilities(cluster: &Cluster) -> Result<Capabilities, Error> {
    let (version, kinds) = futures::try_join!(cluster.version(), cluster.kinds())?;
    let text = version["gitVersion"].as_str().unwrap_or_default();
    let mut kube_version = KubeVersion::parse(text).map_err(Error::text)?;
    for (field, into) in [("major", &mut kube_version.major), ("minor", &mut kube_version.minor)] {
        if let Some(own) = version[field].as_str().filter(|own| !own.is_empty()) {
            *into = own.to_string();
        }
    }
    Ok(Capabilities { kube_version, api_versions: kinds.api_versions().into_iter().collect() })
}

/// What templates reach: objects of the cluster, if there is one.
struct Live {
    cluster: Option<Arc<Cluster>>,
    handle: Handle,
    enable_dns: bool,
    warn: fn(&str),
}

impl charts::Host for Live {
    fn warn(&self, warning: &values::Warning) {
        (self.warn)(&warning.to_string());
    }

    fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<template::Value, String> {
        let found = match &self.cluster {
            None => Value::Null,
            Some(cluster) => self
                .handle
                .block_on(cluster.lookup(api_version, kind, namespace, name))
                .map_err(|error| error.to_string())?,
        };
        Ok(template::Value::from_json(&self::found(found)))
    }

    fn resolve(&self, name: &str) -> String {
        if self.enable_dns { address(name) } else { String::new() }
    }
}

/// What templates see of what was looked up: of nothing an empty map.
pub(super) fn found(found: Value) -> Value {
    if found.is_null() { Value::Object(Map::new()) } else { found }
}

/// `getHostByName`: an address of a name, or nothing.
pub fn address(name: &str) -> String {
    use std::net::ToSocketAddrs;
    let found = (name, 0).to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.map(|address| address.ip().to_string()).unwrap_or_default()
}
