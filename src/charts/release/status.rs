//! `status` and `get metadata`: a revision with its live objects, and what is known of it in short.
//!
//! Source: helm/helm `pkg/action/status.go`, `get_metadata.go`, `pkg/kube/client.go`.

use super::Actions;
use super::cluster::{AT_ONCE, Item, Kind, query};
use super::error::Error;
use super::manifest;
use super::record::Release;
use futures::StreamExt;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What `get metadata` tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub name: String,
    pub chart: String,
    pub version: String,
    pub app_version: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Value>,
    pub namespace: String,
    pub revision: i64,
    pub status: String,
    pub deployed_at: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub apply_method: String,
}

impl Metadata {
    /// What is known of a release.
    pub fn of(release: &Release) -> Self {
        let chart = release.chart.clone().unwrap_or_default();
        let annotations = chart.metadata["annotations"].as_object();
        let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_string()));
        Self {
            name: release.name.clone(),
            chart: chart.name().into(),
            version: chart.version().into(),
            app_version: chart.app_version().into(),
            annotations: annotations.into_iter().flatten().filter_map(text).collect(),
            labels: release.labels.clone(),
            dependencies: chart.metadata["dependencies"].as_array().cloned().unwrap_or_default(),
            namespace: release.namespace.clone(),
            revision: release.version,
            status: release.info.status.word().into(),
            deployed_at: release.deployed_at().map_or("0001-01-01T00:00:00Z".into(), |at| at.rfc3339()),
            apply_method: release.apply_method.clone(),
        }
    }

    /// The dependencies' names, in their order, with commas between.
    pub fn dependency_names(&self) -> String {
        let mut names: Vec<&str> = self.dependencies.iter().filter_map(|one| one["name"].as_str()).collect();
        names.sort_unstable();
        names.join(",")
    }
}

impl Actions {
    /// A revision with its live objects (as tables for people, or as they are) and the pods of its workloads.
    pub async fn status(&self, name: &str, revision: i64, as_tables: bool) -> Result<Release, Error> {
        let mut release = self.find(name, revision).await?;
        let items = manifest::items(&self.cluster, &release.manifest).await?;
        let found = futures::stream::iter(&items).map(|item| async move {
            let path = item.path()?;
            if as_tables { self.cluster.table(&path).await } else { self.cluster.get_json(&path).await }
        });
        let found: Vec<Result<Value, Error>> = found.buffered(AT_ONCE).collect().await;
        let mut resources: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut selectors = BTreeSet::new();
        for (item, live) in items.iter().zip(found) {
            // What is gone is not shown, as by Helm.
            let Ok(live) = live else { continue };
            resources.entry(key(item)).or_default().push(live);
            selectors.extend(pods_of(item));
        }
        for (namespace, selector) in selectors {
            let path = format!("{}?{}", Kind::pods().all(&namespace)?, query(&[("labelSelector", &selector)]));
            let list = if as_tables { self.cluster.table(&path).await } else { self.cluster.get_json(&path).await };
            if let Ok(list) = list {
                resources.entry("v1/Pod(related)".into()).or_default().push(list);
            }
        }
        release.info.resources = resources;
        Ok(release)
    }
}

/// `version/Kind`.
fn key(item: &Item) -> String {
    let version = item.kind.api_version.rsplit('/').next().unwrap_or_default();
    format!("{version}/{}", item.kind.kind)
}

/// Namespace and labels of the pods of a workload.
fn pods_of(item: &Item) -> Option<(String, String)> {
    let labels = match item.kind.kind.as_str() {
        "ReplicationController" => item.object.at(&["spec", "selector"]),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => {
            item.object.at(&["spec", "selector", "matchLabels"])
        }
        _ => None,
    }?;
    let pairs = labels.as_object()?.iter().map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    let pairs: Vec<String> = pairs.collect::<Option<_>>()?;
    (!pairs.is_empty()).then(|| (item.namespace.clone(), pairs.join(",")))
}
