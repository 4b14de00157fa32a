//! ResourceQuota: counts what a namespace uses. That nothing goes beyond it is the server's business.
//!
//! Source of the rules: kubernetes `pkg/controller/resourcequota/resource_quota_controller.go`.

mod usage;

use super::runner::Next;
use super::watches::{Watched, changes};
use super::{Context, Controller, Error, Key, pods, write};
use crate::api::quantity::Quantity;
use crate::client::{Cache, Cached, Change};
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, Pod, ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus, Service,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::BTreeMap;
use std::time::Duration;
use usage::{Usage, sum};

pub(super) const CONTROLLER: Controller = Controller {
    name: "resourcequota-controller",
    watches: &[of_quotas, of_pods, of_services, of_claims, of_others],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// From one count to the next when nothing is known to have changed (upstream: resource-quota-sync-period).
const RECOUNT: Duration = Duration::from_secs(5 * 60);

/// The quotas of a namespace.
fn quotas_in(quotas: &Cache<ResourceQuota>, namespace: Option<&str>) -> Vec<Key> {
    quotas.list_in(namespace.unwrap_or_default()).iter().map(|quota| Key::of(&**quota)).collect()
}

/// Whether a quota itself has to be looked at: what its status says is used is mostly the server's own doing.
fn asks(old: Option<&ResourceQuota>, new: &ResourceQuota) -> bool {
    let hard = |quota: &ResourceQuota| quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    let shown = new.status.as_ref().and_then(|status| status.hard.clone()).unwrap_or_default();
    old.is_none_or(|old| old.spec != new.spec) || shown != hard(new)
}

fn of_quotas(context: &Context) -> Watched {
    changes::<ResourceQuota>(context, |change| match &change {
        Change::Applied { old, new } if asks(old.as_deref(), new) => vec![Key::of(&**new)],
        _ => Vec::new(),
    })
}

/// The namespace of an object that uses less (or other things) than before. What a new object uses, the server counted
/// when it let it in; to count it here as well could undo what it counted for the next one.
fn freed<K: Cached>(change: &Change<K>, usage: impl Fn(&K) -> Usage) -> Option<String> {
    let is_freed = match change {
        Change::Deleted(_) => true,
        Change::Applied { old: None, .. } => false,
        Change::Applied { old: Some(old), new } => usage(old) != usage(new),
    };
    change.object().meta().namespace.clone().filter(|_| is_freed)
}

fn of_pods(context: &Context) -> Watched {
    let quotas = context.caches.of::<ResourceQuota>();
    changes::<Pod>(context, move |change| {
        let matter = |pod: &Pod| (pods::is_finished(pod), pod.spec.as_ref().map(|spec| spec.containers.clone()));
        match &change {
            Change::Applied { old: Some(old), new } if matter(old) == matter(new) => Vec::new(),
            other => {
                let freed = freed(other, |pod| usage::of_pod(pod, Timestamp::MIN));
                freed.map(|namespace| quotas_in(&quotas, Some(&namespace))).unwrap_or_default()
            }
        }
    })
}

fn of_services(context: &Context) -> Watched {
    let quotas = context.caches.of::<ResourceQuota>();
    changes::<Service>(context, move |change| {
        let freed = freed(&change, usage::of_service);
        freed.map(|namespace| quotas_in(&quotas, Some(&namespace))).unwrap_or_default()
    })
}

fn of_claims(context: &Context) -> Watched {
    let quotas = context.caches.of::<ResourceQuota>();
    changes::<PersistentVolumeClaim>(context, move |change| {
        let freed = freed(&change, usage::of_claim);
        freed.map(|namespace| quotas_in(&quotas, Some(&namespace))).unwrap_or_default()
    })
}

/// Objects of every other kind: the garbage collector sees them go.
fn of_others(context: &Context) -> Watched {
    let quotas = context.caches.of::<ResourceQuota>();
    let (ready, namespaces) = context.garbage.goings();
    let keys = namespaces.map(move |namespace| quotas_in(&quotas, Some(&*namespace)));
    Watched { ready, keys: keys.filter(|keys| std::future::ready(!keys.is_empty())).boxed() }
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(quota) = context.caches.of::<ResourceQuota>().get(&key.namespace, &key.name) else {
        return Ok(Next::Wait);
    };
    if quota.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    let spec = quota.spec.clone().unwrap_or_default();
    let hard = spec.hard.clone().unwrap_or_default();
    let usage = measure(context, &key.namespace, &spec);
    let amount = |name: &String| usage.get(name).copied().unwrap_or(Quantity::whole(0));
    let used: BTreeMap<String, Text> = hard.keys().map(|name| (name.clone(), Text(amount(name).to_string()))).collect();
    let status = ResourceQuotaStatus { hard: Some(hard), used: Some(used) };
    // Only if nobody counted meanwhile: the server may have let something in.
    write::merge_status_unchanged(context, &*quota, status).await?;
    // What was made between the quota and its first count is in no cache of ours for sure: counted again, as upstream does.
    Ok(Next::After(RECOUNT))
}

/// What the namespace uses of all that the quota limits.
fn measure(context: &Context, namespace: &str, spec: &ResourceQuotaSpec) -> Usage {
    let limits = |name: &str| spec.hard.iter().flatten().any(|(own, _)| own.contains(name));
    let now = Timestamp::now();
    let pods = context.caches.of::<Pod>().list_in(namespace);
    let taken = pods.iter().filter(|pod| usage::takes(spec, pod)).map(|pod| usage::of_pod(pod, now));
    let mut all = taken.fold(Usage::new(), sum);
    let has_scopes = spec.scopes.is_some() || spec.scope_selector.is_some();
    if has_scopes {
        return all;
    }
    if limits("services") {
        let services = context.caches.of::<Service>().list_in(namespace);
        all = services.iter().map(|service| usage::of_service(service)).fold(all, sum);
    }
    if limits("storage") || limits("persistentvolumeclaims") {
        let claims = context.caches.of::<PersistentVolumeClaim>().list_in(namespace);
        all = claims.iter().map(|claim| usage::of_claim(claim)).fold(all, sum);
    }
    for (name, resource, group) in spec.hard.iter().flatten().filter_map(|(name, _)| counted(name)) {
        let count = match (group, resource) {
            // The collector may not have heard yet of the very quota that is looked at.
            ("", "resourcequotas") => context.caches.of::<ResourceQuota>().list_in(namespace).len(),
            _ => context.garbage.count(group, resource, namespace),
        };
        all.insert(name, Quantity::whole(count as i64));
    }
    all
}

/// The resource and group of a limit on a number of objects: `count/RESOURCE.GROUP`, or one of the old names.
fn counted(name: &str) -> Option<(String, &str, &str)> {
    const PLAIN: &[&str] = &["configmaps", "secrets", "replicationcontrollers", "resourcequotas"];
    if PLAIN.contains(&name) {
        return Some((name.to_string(), name, ""));
    }
    let rest = name.strip_prefix("count/").filter(|rest| *rest != "pods")?;
    let (resource, group) = rest.split_once('.').unwrap_or((rest, ""));
    Some((name.to_string(), resource, group))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::controllers::testing::{eventually, world};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::DeleteParams;
    use serde_json::json;

    #[test]
    fn limits_on_numbers_name_a_resource_and_its_group() {
        assert_eq!(counted("count/deployments.apps"), Some(("count/deployments.apps".into(), "deployments", "apps")));
        assert_eq!(counted("secrets"), Some(("secrets".into(), "secrets", "")));
        assert_eq!(counted("pods"), None);
        assert_eq!(counted("count/pods"), None);
    }

    #[tokio::test]
    async fn usage_follows_what_comes_and_goes() {
        let world = world().await;
        let hard = json!({"pods": "5", "requests.cpu": "2", "configmaps": "10", "count/jobs.batch": "1"});
        world.make::<ResourceQuota>(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).await;
        let uses = |name: &'static str, amount: &'static str| {
            move |quota: Option<&ResourceQuota>| {
                let used = quota.and_then(|quota| quota.status.as_ref()?.used.as_ref()?.get(name).cloned());
                used.is_some_and(|used| used.0 == amount)
            }
        };
        let door = || world.door::<ResourceQuota>();
        // The authority that every namespace gets.
        eventually(door(), "q", uses("configmaps", "1")).await;
        world.make::<ConfigMap>(json!({"metadata": {"name": "m"}})).await;
        eventually(door(), "q", uses("configmaps", "2")).await;
        let container = json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": "500m"}}});
        world.make::<Pod>(json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}})).await;
        eventually(door(), "q", uses("requests.cpu", "500m")).await;
        world.door::<Pod>().delete("p", &DeleteParams::default()).await.unwrap();
        eventually(door(), "q", uses("pods", "0")).await;
        world.door::<ConfigMap>().delete("m", &DeleteParams::default()).await.unwrap();
        eventually(door(), "q", uses("configmaps", "1")).await;
    }
}
