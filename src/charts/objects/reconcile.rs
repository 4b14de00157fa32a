//! One chart object -> its release.

use super::access::Access;
use super::wanted::{self, Policy, SecretValues, Wanted};
use super::{Context, Done, FINALIZER, Key};
use crate::charts::Chart;
use crate::charts::release::apart::Limits;
use crate::charts::release::cluster::{Kind, Write};
use crate::charts::release::source::ChartSource;
use crate::charts::release::{Actions, Cluster, Error, Options, Release, Silent, Status, Strategy, check_name};
use crate::charts::repository::{self, Settings, Trust};
use crate::client::Level;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::{Value, json};
use std::sync::Arc;

/// Objects with this annotation are left alone (k3s).
const UNMANAGED: &str = "helmcharts.helm.cattle.io/unmanaged";
/// Objects with this annotation are another controller's, unless it names this one (k3s).
const MANAGED_BY: &str = "helmcharts.cattle.io/managed-by";

fn kind(name: &str, plural: &str) -> Kind {
    Kind { api_version: super::API_VERSION.into(), kind: name.into(), plural: plural.into(), namespaced: true }
}

/// Brings one chart object nearer to what it asks for, unless that is what was `tried` already. Never fails: what went wrong
/// is in the object's status and an event.
pub async fn one(context: &Context, key: &Key, tried: Option<&str>) -> Done {
    let (namespace, name) = (key.0.as_str(), key.1.as_str());
    let cluster = Cluster::new(context.client.clone(), namespace);
    let Ok(path) = kind("HelmChart", "helmcharts").object(namespace, name) else { return Done::Settled };
    let chart = match cluster.find(&path).await {
        Ok(Some(chart)) => chart,
        Ok(None) => return Done::Settled,
        Err(_) => return Done::Again(String::new()),
    };
    let annotations = &chart["metadata"]["annotations"];
    let is_others = annotations[MANAGED_BY].as_str().is_some_and(|manager| manager != super::COMPONENT);
    if is_others || annotations.get(UNMANAGED).is_some() {
        return Done::Settled;
    }
    let work = Work { context, cluster, path, key };
    let mut hash = String::new();
    let done = match chart["metadata"]["deletionTimestamp"].is_null() {
        true => match work.wanted(&chart).await {
            Ok(wanted) if tried == Some(wanted.hash.as_str()) => return Done::Waiting,
            Ok(wanted) => {
                hash.clone_from(&wanted.hash);
                work.install(&chart, &wanted).await
            }
            Err(error) => Err(error),
        },
        false => work.remove(&chart).await,
    };
    match done {
        Ok(()) => Done::Settled,
        Err(error) => {
            tracing::warn!(namespace, name, %error, "a chart could not be brought to what its object asks for");
            work.say_failed(&chart, &error).await;
            Done::Again(hash)
        }
    }
}

/// Work on one chart object.
pub struct Work<'a> {
    context: &'a Context,
    cluster: Cluster,
    path: String,
    key: &'a Key,
}

/// A Secret that a chart object names.
pub struct Secret {
    pub name: String,
    data: Value,
}

impl Secret {
    pub fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        STANDARD.decode(self.data[key].as_str()?).ok()
    }

    pub fn text(&self, key: &str) -> Option<String> {
        String::from_utf8(self.bytes(key)?).ok()
    }
}

impl Work<'_> {
    fn actions(&self, namespace: &str, driver: &str) -> Result<Actions, Error> {
        let cluster = Cluster::new(self.context.client.clone(), namespace);
        Actions::new(cluster, driver, Arc::new(Silent))
    }

    /// A Secret of the chart object's namespace; `field` names it.
    pub async fn secret(&self, field: &str, name: &str) -> Result<Secret, Error> {
        let mut found = self.found(field, "Secret", "secrets", name).await?;
        Ok(Secret { name: name.into(), data: found["data"].take() })
    }

    /// A ConfigMap of the chart object's namespace; `field` names it.
    pub async fn config_map(&self, field: &str, name: &str) -> Result<Value, Error> {
        self.found(field, "ConfigMap", "configmaps", name).await
    }

    async fn found(&self, field: &str, kind: &str, plural: &str, name: &str) -> Result<Value, Error> {
        let found = self.cluster.find(&Kind::core(kind, plural).object(&self.key.0, name)?).await?;
        found.ok_or_else(|| Error::text(format!("{field} names {kind} `{name}`, which does not exist")))
    }

    async fn wanted(&self, chart: &Value) -> Result<Wanted, Error> {
        let path = kind("HelmChartConfig", "helmchartconfigs").object(&self.key.0, &self.key.1)?;
        let config = self.cluster.find(&path).await?;
        let of_chart = self.secret_values(&chart["spec"]).await?;
        let of_config = match &config {
            Some(config) => self.secret_values(&config["spec"]).await?,
            None => Vec::new(),
        };
        wanted::read(chart, config.as_ref(), &SecretValues { of_chart, of_config })
    }

    /// Texts of values under the keys of Secrets that a spec names. A Secret whose updates are of no interest may be missing.
    async fn secret_values(&self, spec: &Value) -> Result<Vec<String>, Error> {
        let mut texts = Vec::new();
        for one in spec["valuesSecrets"].as_array().into_iter().flatten() {
            let name = one["name"].as_str().unwrap_or_default();
            let is_optional = one["ignoreUpdates"] == true;
            let keys: Vec<&str> = one["keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if keys.is_empty() {
                continue;
            }
            if !is_optional {
                self.context.referrers.add(name, self.key);
            }
            let secret = match self.secret("spec.valuesSecrets", name).await {
                Err(_) if is_optional => continue,
                secret => secret?,
            };
            for key in keys {
                match secret.text(key) {
                    Some(text) => texts.push(text),
                    None if is_optional => {}
                    None => {
                        let what = format!("spec.valuesSecrets: Secret `{name}` has no text under `{key}`");
                        return Err(Error::text(what));
                    }
                }
            }
        }
        Ok(texts)
    }

    async fn install(&self, object: &Value, wanted: &Wanted) -> Result<(), Error> {
        let done = &object["status"];
        let is_done = done["observedHash"] == wanted.hash.as_str() && is_true(done, "Ready");
        if is_done && has_finalizer(object) && self.is_deployed(wanted).await? {
            return Ok(());
        }
        self.hold(object).await?;
        // Where the release was before, if it moves.
        let before = done["releaseNamespace"].as_str().unwrap_or_default();
        if !before.is_empty() && before != wanted.namespace {
            let options = Options { ignore_not_found: true, ..Options::default() };
            self.actions(before, &wanted.driver)?.uninstall(&self.key.1, &options).await?;
        }
        let access = Access::of(self, &object["spec"]).await?;
        let release = self.deploy(wanted, load(wanted, &access).await?).await?;
        let text = &release.info.description;
        let condition = |kind: &str, is: &str, reason: &str| json!({"type": kind, "status": is, "reason": reason, "message": text, "lastTransitionTime": now()});
        let status = json!({"status": {"observedHash": wanted.hash, "releaseNamespace": wanted.namespace,
            "revision": release.version, "chart": release.chart_label(),
            "conditions": [condition("Ready", "True", "Deployed"), condition("Failed", "False", "Deployed")]}});
        let (label, place, version) = (release.chart_label(), &wanted.namespace, release.version);
        self.tell(object, Level::Normal, "Applied", format!("{text}: {label} in {place}, revision {version}"));
        self.cluster.write(Write::MergePatch, &format!("{}/status", self.path), "", &status).await.map(drop)
    }

    /// Whether the release that was installed is still there.
    async fn is_deployed(&self, wanted: &Wanted) -> Result<bool, Error> {
        match self.actions(&wanted.namespace, &wanted.driver)?.find(&self.key.1, 0).await {
            Ok(release) => Ok(release.info.status == Status::Deployed),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn deploy(&self, wanted: &Wanted, chart: Chart) -> Result<Release, Error> {
        let (actions, name) = (self.actions(&wanted.namespace, &wanted.driver)?, self.key.1.as_str());
        let mut source = ChartSource::new(chart, wanted.given()?);
        source.apart = Some(Limits::default());
        let last = match actions.history(name).await {
            Err(Error::NotFound) => None,
            history => history?.pop(),
        };
        let options = wanted.options(last.as_ref().map(Release::is_server_side));
        match last.map(|last| last.info.status) {
            None | Some(Status::Uninstalled) => actions.install(name, &mut source, &options).await,
            Some(status @ (Status::Failed | Status::Uninstalling | Status::Unknown)) => match wanted.policy {
                Policy::Abort => {
                    let what = "and the failure policy is `abort`: waiting for somebody to look at it";
                    Err(Error::text(format!("the release's status is `{}` {what}", status.word())))
                }
                Policy::Retry if status != Status::Uninstalling => actions.upgrade(name, &mut source, &options).await,
                Policy::Retry | Policy::Reinstall => {
                    let gone = Options { ignore_not_found: true, wait: Strategy::Watcher, ..options.clone() };
                    actions.uninstall(name, &gone).await?;
                    actions.install(name, &mut source, &wanted.options(None)).await
                }
            },
            // Also what another process left half done.
            Some(_) => actions.upgrade(name, &mut source, &options).await,
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
        let namespace = done.or(spec).unwrap_or(&self.key.0);
        let driver = object["spec"]["driver"].as_str().unwrap_or_default();
        let options = Options { ignore_not_found: true, ..Options::default() };
        if let Some(actions) = self.installer(namespace, driver)
            && actions.uninstall(&self.key.1, &options).await?.is_some()
        {
            self.tell(object, Level::Normal, "Removed", format!("Uninstalled from {namespace}"));
        }
        let finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let left: Vec<Value> = finalizers.into_iter().filter(|one| one != FINALIZER).collect();
        let patch = json!({"metadata": {"finalizers": left}});
        match self.cluster.write(Write::MergePatch, &self.path, "", &patch).await {
            Err(error) if error.is_not_found() => Ok(()),
            done => done.map(drop),
        }
    }

    /// What a release could have been installed with; nothing if there can be none of the name, in the namespace or by the
    /// driver: an object that asks for that can leave all the same.
    fn installer(&self, namespace: &str, driver: &str) -> Option<Actions> {
        check_name(&self.key.1).ok()?;
        Kind::pods().all(namespace).ok()?;
        self.actions(namespace, driver).ok()
    }

    fn tell(&self, object: &Value, level: Level, reason: &str, message: String) {
        let text = |value: &Value| value.as_str().map(String::from);
        let about = ObjectReference {
            api_version: Some(super::API_VERSION.into()),
            kind: Some("HelmChart".into()),
            namespace: Some(self.key.0.clone()),
            name: Some(self.key.1.clone()),
            uid: text(&object["metadata"]["uid"]),
            resource_version: text(&object["metadata"]["resourceVersion"]),
            ..ObjectReference::default()
        };
        self.context.recorder.record(about, level, reason, message);
    }

    async fn say_failed(&self, object: &Value, error: &Error) {
        let message = error.to_string();
        self.tell(object, Level::Warning, "Failed", message.clone());
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
async fn load(wanted: &Wanted, access: &Access) -> Result<Chart, Error> {
    let problem = |error: crate::charts::Error| Error::text(error.to_string());
    if !wanted.content.is_empty() {
        let bytes = STANDARD.decode(wanted.content.split_whitespace().collect::<String>());
        let bytes = bytes.map_err(|error| Error::text(format!("spec.chartContent is no base64: {error}")))?;
        let wrong = |error: crate::charts::Error| Error::text(format!("spec.chartContent is no chart: {error}"));
        return Chart::load_archive(&bytes[..]).map_err(wrong);
    }
    let place = repository::Wanted {
        name: wanted.chart.clone(),
        version: wanted.version.clone(),
        repository: wanted.repo.clone(),
    };
    let path = repository::locate(&place, &access.download, &Settings::from_environment(), &Trust::Any)
        .await
        .map_err(problem)?
        .path;
    Chart::load(&path).map_err(problem)
}

#[cfg(test)]
pub mod testing {
    use super::super::referrers::Referrers;
    use super::*;
    use crate::client::Recorder;
    use crate::client::mock::Mock;

    /// Does work on a chart object while the API server answers with these objects, one after another.
    pub async fn on<T>(answers: &[Value], work: impl AsyncFnOnce(Work) -> T) -> T {
        let mock = Mock::default();
        answers.iter().for_each(|answer| mock.answer(200, answer.clone()));
        let client = mock.client();
        let recorder = Recorder::new(client.clone(), super::super::COMPONENT, "");
        let context = Context { client: client.clone(), recorder, referrers: Referrers::default() };
        let key = ("sea".to_string(), "web".to_string());
        let cluster = Cluster::new(client, "sea");
        let path = "/apis/helm.cattle.io/v1/namespaces/sea/helmcharts/web".to_string();
        work(Work { context: &context, cluster, path, key: &key }).await
    }
}

#[cfg(test)]
mod tests {
    use super::testing::on;
    use super::*;

    #[tokio::test]
    async fn an_object_whose_release_cannot_be_leaves_without_uninstalling() {
        for (namespace, driver) in [("a/b", ""), ("sea", "sql")] {
            let object = json!({"metadata": {"name": "web", "finalizers": [FINALIZER]},
                "spec": {"targetNamespace": namespace, "driver": driver}});
            // One answer: that to the finalizer's going.
            on(&[json!({})], async |work| work.remove(&object).await).await.unwrap();
        }
    }
}
