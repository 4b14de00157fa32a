//! ServiceAccount: every pod runs as an account of its namespace, and finds its token where clients look for it.
//!
//! Source: plugin/pkg/admission/serviceaccount.

use super::{Api, Change, Object, Plugin, Verb, find, items, list_at, spec};
use crate::api::Status;
use crate::control::server::write;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::time::Duration;

/// The account of pods that name none.
const DEFAULT: &str = "default";
/// Where clients look for their token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Names of the volumes that tokens are in begin so.
const VOLUME: &str = "kube-api-access";
/// The kubelet makes these for pods that are files of its own; the server leaves them as they are.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Lifetime of a token, in seconds: an hour and a bit, so that it is told apart from one that was asked for.
const LIFETIME: i64 = 3607;
/// How long the default account of a new namespace may take until it is there.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct ServiceAccount;

#[async_trait]
impl Plugin for ServiceAccount {
    async fn mutate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if !change.is("", "pods") || change.verb != Verb::Create {
            return Ok(());
        }
        if change.object.annotations().any(|(key, _)| key == MIRROR) {
            return check_mirror(change);
        }
        if change.object.text(&["spec", "serviceAccountName"]).is_empty() {
            change.object.set(&["spec", "serviceAccountName"], DEFAULT);
        }
        let name = change.object.text(&["spec", "serviceAccountName"]).to_string();
        change.object.set(&["spec", "serviceAccount"], name.as_str());
        let namespace = change.object.namespace().to_string();
        let Some(account) = account(api, &namespace, &name).await? else {
            let why =
                format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
            return Err(change.forbidden(why));
        };
        if wants_token(change.object, &account) {
            mount_token(change.object);
        }
        let secrets = account.0.get("imagePullSecrets").and_then(Value::as_array).filter(|list| !list.is_empty());
        if let (Some(secrets), true) = (secrets, items(spec(change.object), "imagePullSecrets").is_empty()) {
            change.object.set(&["spec", "imagePullSecrets"], secrets.clone());
        }
        Ok(())
    }
}

fn check_mirror(change: &Change<'_>) -> Result<(), Status> {
    let spec = spec(change.object);
    if !change.object.text(&["spec", "serviceAccountName"]).is_empty() {
        return Err(change.forbidden("a mirror pod may not reference service accounts"));
    }
    let uses = |field: &str| items(spec, "volumes").iter().any(|volume| !volume[field].is_null());
    for (field, what) in
        [("secret", "secrets"), ("configMap", "configmaps"), ("persistentVolumeClaim", "persistentvolumeclaims")]
    {
        if uses(field) {
            return Err(change.forbidden(format!("a mirror pod may not reference {what}")));
        }
    }
    let projects_token = items(spec, "volumes")
        .iter()
        .any(|volume| items(&volume["projected"], "sources").iter().any(|one| !one["serviceAccountToken"].is_null()));
    if projects_token {
        return Err(change.forbidden("a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

/// The account. The default one is made by a controller, so a new namespace may have to be waited for.
async fn account(api: &Api, namespace: &str, name: &str) -> Result<Option<Object>, Status> {
    let revision = api.store.revision();
    let found = find(api, "", "serviceaccounts", namespace, name)?;
    if found.is_some() || name != DEFAULT {
        return Ok(found);
    }
    let mut watch = api.store.watch("serviceaccounts", revision).map_err(Status::internal)?;
    let appears = async {
        loop {
            if let Some(found) = find(api, "", "serviceaccounts", namespace, name)? {
                return Ok(Some(found));
            }
            watch.next().await.map_err(Status::internal)?;
        }
    };
    tokio::time::timeout(PATIENCE, appears).await.unwrap_or(Ok(None))
}

/// The pod decides, else the account, else yes.
fn wants_token(pod: &Object, account: &Object) -> bool {
    let own = pod.at(&["spec", "automountServiceAccountToken"]).and_then(Value::as_bool);
    own.or(account.0.get("automountServiceAccountToken").and_then(Value::as_bool)).unwrap_or(true)
}

fn mount_token(pod: &mut Object) {
    let volumes = items(spec(pod), "volumes");
    let prefix = format!("{VOLUME}-");
    let existing = volumes.iter().filter_map(|volume| volume["name"].as_str()).find(|name| name.starts_with(&prefix));
    let has_volume = existing.is_some();
    let name = existing.map_or_else(|| format!("{prefix}{}", write::random_letters()), String::from);
    let mut is_needed = false;
    for containers in ["initContainers", "containers"] {
        let list = pod.entry(&["spec", containers]);
        for container in list.as_array_mut().into_iter().flatten() {
            let is_mounted = items(container, "volumeMounts").iter().any(|mount| mount["mountPath"] == MOUNT_PATH);
            if is_mounted {
                continue;
            }
            is_needed = true;
            let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
            match container["volumeMounts"].as_array_mut() {
                Some(mounts) => mounts.push(mount),
                None => container["volumeMounts"] = json!([mount]),
            }
        }
        if pod.at(&["spec", containers]).is_some_and(Value::is_null) {
            pod.remove(&["spec", containers]);
        }
    }
    if is_needed && !has_volume {
        list_at(pod, &["spec", "volumes"]).push(volume(&name));
    }
}

/// Token, authority and namespace in one folder.
fn volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": LIFETIME, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_container_that_has_nothing_there_gets_the_token() {
        let mut pod = Object::from_value(json!({"spec": {"containers": [
            {"name": "a"}, {"name": "b", "volumeMounts": [{"name": "own", "mountPath": MOUNT_PATH}]}]}}))
        .unwrap();
        mount_token(&mut pod);
        let containers = items(spec(&pod), "containers");
        assert_eq!(containers[0]["volumeMounts"][0]["mountPath"], MOUNT_PATH);
        assert_eq!(containers[1]["volumeMounts"][0]["name"], "own");
        assert_eq!(items(spec(&pod), "volumes").len(), 1);
        assert!(pod.at(&["spec", "initContainers"]).is_none());
    }

    #[test]
    fn the_pod_decides_before_its_account_whether_it_gets_a_token() {
        let object = |value: Value| Object::from_value(value).unwrap();
        let (yes, no) = (json!({"automountServiceAccountToken": true}), json!({"automountServiceAccountToken": false}));
        assert!(wants_token(&object(json!({"spec": yes})), &object(no.clone())));
        assert!(!wants_token(&object(json!({"spec": {}})), &object(no)));
        assert!(wants_token(&object(json!({"spec": {}})), &object(json!({}))));
    }
}
