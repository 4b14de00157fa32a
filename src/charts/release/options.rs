//! What an action is asked for, and how a chart comes in.

use super::cluster::Cluster;
use super::error::Error;
use super::record::{Chart, Hook, Release};
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What is waited for after objects were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Hooks only.
    #[default]
    HookOnly,
    /// Every object, by watch.
    Watcher,
    /// Helm 3's way: here the same as `Watcher`.
    Legacy,
}

/// Whether anything is done at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DryRun {
    #[default]
    None,
    /// Nothing is asked of the cluster.
    Client,
    /// The cluster is asked what there is, and nothing is changed.
    Server,
}

/// Which values of the last revision an upgrade goes on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// Those of the last revision if none are given now, else those that are given.
    #[default]
    IfNoneGiven,
    /// None.
    Reset,
    /// All of them, the old chart's own among them, with those that are given over them.
    Reuse,
    /// Those that the user gave, over the new chart's own, with those that are given over them.
    ResetThenReuse,
}

/// What an install, upgrade, rollback, uninstall or test is asked for. Each takes what it knows.
#[derive(Clone, Debug)]
pub struct Options {
    pub wait: Strategy,
    pub wait_for_jobs: bool,
    /// For each thing that is waited for.
    pub timeout: Duration,
    pub no_hooks: bool,
    pub dry_run: DryRun,
    /// Server-side apply; nothing keeps what the last revision did.
    pub server_side: Option<bool>,
    pub force_conflicts: bool,
    pub force_replace: bool,
    pub take_ownership: bool,
    pub create_namespace: bool,
    pub skip_crds: bool,
    /// A deleted release of the same name may be replaced.
    pub replace: bool,
    pub rollback_on_failure: bool,
    pub cleanup_on_fail: bool,
    pub reuse: Reuse,
    /// Empty for Helm's own.
    pub description: String,
    pub labels: BTreeMap<String, String>,
    /// Revisions to keep; 0 keeps all.
    pub history_max: usize,
    /// Unknown fields are let through.
    pub no_validation: bool,
    pub keep_history: bool,
    /// `background`, `foreground` or `orphan`.
    pub cascade: String,
    pub ignore_not_found: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait: Strategy::default(),
            wait_for_jobs: false,
            timeout: Duration::from_secs(300),
            no_hooks: false,
            dry_run: DryRun::default(),
            server_side: None,
            force_conflicts: false,
            force_replace: false,
            take_ownership: false,
            create_namespace: false,
            skip_crds: false,
            replace: false,
            rollback_on_failure: false,
            cleanup_on_fail: false,
            reuse: Reuse::default(),
            description: String::new(),
            labels: BTreeMap::new(),
            history_max: 10,
            no_validation: false,
            keep_history: false,
            cascade: "background".into(),
            ignore_not_found: false,
        }
    }
}

impl Options {
    /// Whether objects of the release are waited for, not only hooks.
    pub fn waits(&self) -> bool {
        self.wait != Strategy::HookOnly || self.rollback_on_failure
    }

    /// The description, or Helm's own.
    pub fn description_or(&self, otherwise: &str) -> String {
        if self.description.is_empty() { otherwise.into() } else { self.description.clone() }
    }

    /// Labels that Helm keeps for itself are refused.
    pub fn check_labels(&self) -> Result<(), Error> {
        let system = super::record::SYSTEM_LABELS;
        match self.labels.keys().any(|key| system.contains(&key.as_str())) {
            false => Ok(()),
            true => Err(Error::text(format!(
                "user supplied labels contains system reserved label name. System labels: [{}]",
                system.join(" ")
            ))),
        }
    }
}

/// What a chart is rendered for.
pub struct Request {
    pub name: String,
    pub namespace: String,
    pub revision: i64,
    pub is_upgrade: bool,
    /// Where kinds and objects are looked up; nothing for a dry run of the client.
    pub cluster: Option<Arc<Cluster>>,
}

/// What a chart was rendered to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// Documents in the order in which they are made, each with its `# Source:`.
    pub manifest: String,
    pub hooks: Vec<Hook>,
    pub notes: String,
}

/// A chart with the values that the user gave: what releases are made of.
#[async_trait]
pub trait Source: Send + Sync {
    /// What is stored of the chart.
    fn chart(&self) -> Chart;
    /// What is stored of the values.
    fn config(&self) -> Map<String, Value>;
    /// Files of `crds/`: name and text.
    fn crds(&self) -> Vec<(String, String)>;
    /// Goes on with values of an earlier revision.
    fn reuse(&mut self, from: &Release, how: Reuse) -> Result<(), Error>;
    /// Renders the chart.
    async fn render(&mut self, request: Request) -> Result<Rendered, Error>;
}
