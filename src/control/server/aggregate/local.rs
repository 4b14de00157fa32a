//! APIServices of what this server answers itself: one for every group and version, built-in or defined.
//!
//! Source: k8s.io/kube-aggregator `pkg/controllers/autoregister`, pkg/controlplane/apiserver/aggregator.go (priorities).

use super::{SERVICES, kind};
use crate::api::kinds::GroupVersion;
use crate::api::{KINDS, Object, Status};
use crate::control::server::{Api, bootstrap, objects, write};
use crate::control::store::{self, Expected, Op};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Marks those that are made here: `onstart` for built-in ones, `true` for those of definitions.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Groups with a place of their own in discovery; all others come last.
const PRIORITIES: &[(&str, u32)] = &[
    ("", 18_000),
    ("extensions", 17_900),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("apiextensions.k8s.io", 16_700),
    ("admissionregistration.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
];

/// Makes them, and follows the definitions for as long as the server lives.
pub async fn follow(api: Weak<Api>) {
    let Some(strong) = api.upgrade() else { return };
    let mut changes = strong.custom.subscribe();
    drop(strong);
    loop {
        changes.borrow_and_update();
        let Some(strong) = api.upgrade() else { return };
        if let Err(status) = settle(&strong).await {
            tracing::warn!(%status, "APIServices are not registered");
        }
        drop(strong);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn settle(api: &Arc<Api>) -> Result<(), Status> {
    let kind = kind()?;
    let wanted = wanted(api);
    let mut ops: Vec<Op> = Vec::new();
    for (name, object) in &wanted {
        if api.store.get(&objects::key(kind, "", name)).is_none() {
            ops.push(bootstrap::first(kind, object.clone())?);
        }
    }
    let listing = api.store.list(SERVICES, None, None).map_err(Status::internal)?;
    for entry in listing.entries {
        let is_managed = entry.selection.labels.iter().any(|(key, value)| &**key == MANAGED && &**value == "true");
        if is_managed && !wanted.contains_key(&entry.key.name) {
            let mut object = objects::stored(&entry)?;
            ops.push(write::op(kind, &mut object, Expected::Revision(entry.revision), true)?);
        }
    }
    if ops.is_empty() {
        return Ok(());
    }
    match api.store.write(ops).await {
        // Somebody made or changed one meanwhile; the next change finds the rest.
        Ok(_) | Err(store::Error::Changed(_) | store::Error::Exists(_) | store::Error::Missing(_)) => Ok(()),
        Err(error) => Err(objects::failure(kind, error)),
    }
}

fn wanted(api: &Api) -> BTreeMap<String, Object> {
    let built_in = KINDS.iter().flat_map(|kind| kind.versions().cloned()).map(|version| (version, "onstart"));
    let custom = api.custom.all().into_iter().map(|(version, _)| (version, "true"));
    let mut all = BTreeMap::new();
    for (version, mark) in built_in.chain(custom) {
        let name = format!("{}.{}", version.version, version.group);
        all.entry(name).or_insert_with_key(|name| object(name, &version, mark));
    }
    all.retain(|_, object| !object.0.is_empty());
    all
}

fn object(name: &str, version: &GroupVersion, mark: &str) -> Object {
    let own = PRIORITIES.iter().find(|(group, _)| *group == version.group).map(|(_, priority)| *priority);
    let (group_priority, version_priority) = match own {
        Some(priority) => (priority, 15),
        None if mark == "onstart" => (16_000, 15),
        None => (1000, 100),
    };
    let value: Value = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": name, "labels": {MANAGED: mark}},
        "spec": {"group": version.group, "version": version.version,
            "groupPriorityMinimum": group_priority, "versionPriority": version_priority},
    });
    Object::from_value(value).unwrap_or_default()
}
