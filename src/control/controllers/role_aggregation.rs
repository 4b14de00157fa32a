//! ClusterRoles that gather the rules of others by label.
//!
//! Source of the rules: kubernetes `pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go`.

use super::runner::Next;
use super::watches::{Watched, changes};
use super::{Context, Controller, Error, Key, pods, write};
use crate::client::Change;
use futures::FutureExt;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use serde_json::json;
use std::sync::Arc;

pub(super) const CONTROLLER: Controller = Controller {
    name: "clusterrole-aggregation-controller",
    watches: &[gathering],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// Every role that gathers: which one takes the changed role is for their selectors to say.
fn gathering(context: &Context) -> Watched {
    let roles = context.caches.of::<ClusterRole>();
    changes::<ClusterRole>(context, move |change| {
        let parts =
            |role: &ClusterRole| (role.metadata.labels.clone(), role.rules.clone(), role.aggregation_rule.clone());
        if let Change::Applied { old: Some(old), new } = &change
            && parts(old) == parts(new)
        {
            return Vec::new();
        }
        let mut keys = Vec::new();
        roles.for_each(|role| {
            if role.aggregation_rule.is_some() {
                keys.push(Key::of(&**role));
            }
        });
        keys
    })
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let cache = context.caches.of::<ClusterRole>();
    let Some(role) = cache.get("", &key.name) else { return Ok(Next::Wait) };
    let Some(rules) = gathered(&role, &cache.list())? else { return Ok(Next::Wait) };
    if role.rules.clone().unwrap_or_default() != rules {
        let meta = json!({"uid": role.metadata.uid});
        write::merge(context, &*role, json!({"metadata": meta, "rules": rules})).await?;
    }
    Ok(Next::Wait)
}

/// The rules of all roles that a role gathers, each once; nothing for a role that does not gather.
fn gathered(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Result<Option<Vec<PolicyRule>>, Error> {
    let Some(rule) = &role.aggregation_rule else { return Ok(None) };
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in rule.cluster_role_selectors.iter().flatten() {
        let selector = pods::selector(selector)?;
        let taken = all.iter().filter(|other| {
            other.metadata.name != role.metadata.name && pods::selects(&selector, &other.metadata.labels)
        });
        for rule in taken.flat_map(|other| other.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    Ok(Some(rules))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_gathered_by_label_each_once() {
        let role = |name: &str, labels: serde_json::Value, verbs: &[&str]| -> Arc<ClusterRole> {
            let rules: Vec<_> = verbs.iter().map(|verb| json!({"verbs": [verb]})).collect();
            Arc::new(
                serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "rules": rules})).unwrap(),
            )
        };
        let mut whole = (*role("view", json!({}), &["get"])).clone();
        whole.aggregation_rule =
            serde_json::from_value(json!({"clusterRoleSelectors": [{"matchLabels": {"to-view": "true"}}]})).unwrap();
        let all = [
            role("a", json!({"to-view": "true"}), &["get", "list"]),
            role("b", json!({"to-view": "true"}), &["list", "watch"]),
            role("c", json!({}), &["delete"]),
        ];
        let verbs: Vec<String> =
            gathered(&whole, &all).unwrap().unwrap().into_iter().flat_map(|rule| rule.verbs).collect();
        assert_eq!(verbs, ["get", "list", "watch"]);
        assert_eq!(gathered(&all[0], &all).unwrap(), None);
    }
}
