//! One chart object -> its release.

use super::wanted::{self, Wanted};
use super::{Done, FINALIZER};
use crate::charts::Chart;
use crate::charts::release::apart::Limits;
use crate::charts::release::cluster::{Kind, Write};
use crate::charts::release::source::ChartSource;
use crate::charts::release::{Actions, Cluster, Error, Options, Release, Silent, Status};
use crate::charts::repository::{self, Download, Settings, Trust};
use crate::client::Client;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;

/// Objects with this annotation are left alone (k3s).
const UNMANAGED: &str = "helmcharts.helm.cattle.io/unmanaged";

fn kind(name: &str, plural: &str) -> Kind {
    Kind { api_version: super::API_VERSION.into(), kind: name.into(), plural: plural.into(), namespaced: true }
}

/// Brings one chart object nearer to what it asks for. Never fails: what went wrong is in the object's status.
pub async fn one(client: &Client, namespace: &str, name: &str) -> Done {
    let cluster = Cluster::new(client.clone(), namespace);
    let Ok(path) = kind("HelmChart", "helmcharts").object(namespace, name) else { return Done::Settled };
    let chart = match cluster.find(&path).await {
        Ok(Some(chart)) => chart,
        Ok(None) => return Done::Settled,
        Err(_) => return Done::Again,
    };
    if chart["metadata"]["annotations"].get(UNMANAGED).is_some() {
        return Done::Settled;
    }
    let work = Work { client, cluster, path, namespace, name };
    let done = match chart["metadata"]["deletionTimestamp"].is_null() {
        true => work.install(&chart).await,
        false => work.remove(&chart).await,
    };
    match done {
        Ok(()) => Done::Settled,
        Err(error) => {
            tracing::warn!(namespace, name, %error, "a chart could not be brought to what its object asks for");
            work.say_failed(&chart, &error).await;
            Done::Again
        }
    }
}

struct Work<'a> {
    client: &'a Client,
    cluster: Cluster,
    path: String,
    namespace: &'a str,
    name: &'a str,
}

impl Work<'_> {
    fn actions(&self, namespace: &str) -> Result<Actions, Error> {
        Actions::new(Cluster::new(self.client.clone(), namespace), "secret", Arc::new(Silent))
    }

    async fn wanted(&self, chart: &Value) -> Result<Wanted, Error> {
        let path = kind("HelmChartConfig", "helmchartconfigs").object(self.namespace, self.name)?;
        let config = self.cluster.find(&path).await?;
        let mut secrets = Vec::new();
        for spec in [Some(&chart["spec"]), config.as_ref().map(|config| &config["spec"])].into_iter().flatten() {
            for one in spec["valuesSecrets"].as_array().into_iter().flatten() {
                secrets.extend(self.secret_values(one).await?);
            }
        }
        wanted::read(chart, config.as_ref(), &secrets)
    }

    /// Texts of values in a Secret: of the keys that are named, or of all.
    async fn secret_values(&self, one: &Value) -> Result<Vec<String>, Error> {
        let name = one["name"].as_str().unwrap_or_default();
        let found = self.cluster.find(&format!("/api/v1/namespaces/{}/secrets/{name}", self.namespace)).await?;
        let secret = found
            .ok_or_else(|| Error::text(format!("spec.valuesSecrets names Secret `{name}`, which does not exist")))?;
        let data = secret["data"].as_object().cloned().unwrap_or_default();
        let keys: Vec<String> = match one["keys"].as_array() {
            Some(keys) => keys.iter().filter_map(|key| Some(key.as_str()?.to_string())).collect(),
            None => data.keys().cloned().collect(),
        };
        let text = |key: &String| {
            let bytes = STANDARD.decode(data.get(key)?.as_str()?).ok()?;
            String::from_utf8(bytes).ok()
        };
        Ok(keys.iter().filter_map(text).collect())
    }

    async fn install(&self, object: &Value) -> Result<(), Error> {
        let wanted = self.wanted(object).await?;
        let done = &object["status"];
        let is_done = done["observedHash"] == wanted.hash.as_str() && is_true(done, "Ready");
        if is_done && has_finalizer(object) {
            return Ok(());
        }
        self.hold(object).await?;
        // Where the release was before, if it moves.
        let before = done["releaseNamespace"].as_str().unwrap_or_default();
        if !before.is_empty() && before != wanted.namespace {
            let options = Options { ignore_not_found: true, ..Options::default() };
            self.actions(before)?.uninstall(self.name, &options).await?;
        }
        let release = self.deploy(&wanted).await?;
        let condition = |kind: &str, is: &str, reason: &str| {
            json!({"type": kind, "status": is, "reason": reason, "message": release.info.description,
                "lastTransitionTime": now()})
        };
        let status = json!({"status": {"observedHash": wanted.hash, "releaseNamespace": wanted.namespace,
            "revision": release.version, "chart": release.chart_label(),
            "conditions": [condition("Ready", "True", "Deployed"), condition("Failed", "False", "Deployed")]}});
        self.cluster.write(Write::MergePatch, &format!("{}/status", self.path), "", &status).await.map(drop)
    }

    async fn deploy(&self, wanted: &Wanted) -> Result<Release, Error> {
        let actions = self.actions(&wanted.namespace)?;
        let mut source = ChartSource::new(load(wanted).await?, wanted.given()?);
        source.apart = Some(Limits::default());
        let options = wanted.options();
        let last = match actions.history(self.name).await {
            Err(Error::NotFound) => None,
            history => history?.pop(),
        };
        let has_failed = last.as_ref().is_some_and(|last| last.info.status == Status::Failed && last.version == 1);
        match last.map(|last| last.info.status) {
            None | Some(Status::Uninstalled) => actions.install(self.name, &mut source, &options).await,
            // k3s' policy `reinstall`: what failed at once goes before it is tried again.
            Some(_) if has_failed && !wanted.keeps_failed => {
                actions.uninstall(self.name, &Options { ignore_not_found: true, ..Options::default() }).await?;
                actions.install(self.name, &mut source, &options).await
            }
            Some(_) => actions.upgrade(self.name, &mut source, &options).await,
        }
    }

    /// Keeps the object from going before its release.
    async fn hold(&self, object: &Value) -> Result<(), Error> {
        if has_finalizer(object) {
            return Ok(());
        }
        let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.push(FINALIZER.into());
        let version = object["metadata"]["resourceVersion"].clone();
        let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}});
        self.cluster.write(Write::MergePatch, &self.path, "", &patch).await.map(drop)
    }

    async fn remove(&self, object: &Value) -> Result<(), Error> {
        if !has_finalizer(object) {
            return Ok(());
        }
        let spec = object["spec"]["targetNamespace"].as_str().filter(|name| !name.is_empty());
        let done = object["status"]["releaseNamespace"].as_str().filter(|name| !name.is_empty());
        let namespace = done.or(spec).unwrap_or(self.namespace);
        let options = Options { ignore_not_found: true, ..Options::default() };
        self.actions(namespace)?.uninstall(self.name, &options).await?;
        let finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let left: Vec<Value> = finalizers.into_iter().filter(|one| one != FINALIZER).collect();
        let patch = json!({"metadata": {"finalizers": left}});
        match self.cluster.write(Write::MergePatch, &self.path, "", &patch).await {
            Err(error) if error.is_not_found() => Ok(()),
            done => done.map(drop),
        }
    }

    async fn say_failed(&self, object: &Value, error: &Error) {
        let message = error.to_string();
        let is_said = object["status"]["conditions"].as_array().into_iter().flatten();
        if is_said
            .clone()
            .any(|one| one["type"] == "Failed" && one["status"] == "True" && one["message"] == message.as_str())
        {
            return;
        }
        let condition = |kind: &str, is: &str| json!({"type": kind, "status": is, "reason": "Error", "message": message, "lastTransitionTime": now()});
        let status = json!({"status": {"conditions": [condition("Ready", "False"), condition("Failed", "True")]}});
        let path = format!("{}/status", self.path);
        if let Err(error) = self.cluster.write(Write::MergePatch, &path, "", &status).await {
            tracing::debug!(%error, "a chart's status was not written");
        }
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn has_finalizer(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().any(|one| one == FINALIZER)
}

fn is_true(status: &Value, kind: &str) -> bool {
    let conditions = status["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == kind && one["status"] == "True")
}

/// The chart: what is in the object itself, or downloaded.
async fn load(wanted: &Wanted) -> Result<Chart, Error> {
    let problem = |error: crate::charts::Error| Error::text(error.to_string());
    if !wanted.content.is_empty() {
        let bytes = STANDARD.decode(wanted.content.split_whitespace().collect::<String>());
        let bytes = bytes.map_err(|error| Error::text(format!("spec.chartContent is no base64: {error}")))?;
        return Chart::load_archive(&bytes[..]).map_err(problem);
    }
    let place = repository::Wanted {
        name: wanted.chart.clone(),
        version: wanted.version.clone(),
        repository: wanted.repo.clone(),
    };
    let path = repository::locate(&place, &Download::default(), &Settings::from_environment(), &Trust::Any)
        .await
        .map_err(problem)?
        .path;
    Chart::load(&path).map_err(problem)
}
