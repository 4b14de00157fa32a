//! ResourceQuota: what is made in a namespace stays within its quotas. Usage is raised before the object is written, by
//! compare and swap, so that objects made at once cannot pass together; a controller lowers it again.
//!
//! Source: pkg/quota, plugin/pkg/admission/resourcequota.

use super::{Api, Change, Object, Plugin, Verb, items, spec};
use crate::api::quantity::Quantity;
use crate::api::{Status, kinds};
use crate::control::server::{objects, write};
use crate::control::store::{Entry, Error, Expected};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often a quota is read again that others change at the same time.
const TRIES: usize = 100;

pub struct ResourceQuota;

/// Amounts by resource.
type Usage = BTreeMap<String, Quantity>;

#[async_trait]
impl Plugin for ResourceQuota {
    async fn validate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let resized = change.attributes.subresource == "resize";
        let counts = change.verb != Verb::Delete && (change.attributes.subresource.is_empty() || resized);
        if !counts || !change.kind.is_namespaced() || change.is_of("", "resourcequotas") && change.verb == Verb::Update
        {
            return Ok(());
        }
        for quota in quotas(api, change.object.namespace())? {
            charge(api, change, &quota).await?;
        }
        Ok(())
    }
}

fn quotas(api: &Api, namespace: &str) -> Result<Vec<Arc<Entry>>, Status> {
    Ok(api.store.list("resourcequotas", Some(namespace), None).map_err(Status::internal)?.entries)
}

/// Raises the usage of one quota by what the change takes.
async fn charge(api: &Api, change: &Change<'_>, entry: &Arc<Entry>) -> Result<(), Status> {
    let kind = kinds::find("", "v1", "resourcequotas").ok_or_else(|| Status::internal("no kind of resourcequotas"))?;
    let mut entry = entry.clone();
    for _ in 0..TRIES {
        let mut quota = objects::stored(&entry)?;
        let Some(used) = raised(change, &quota)? else { return Ok(()) };
        if change.is_dry_run {
            return Ok(());
        }
        for (name, amount) in used {
            quota.set(&["status", "used", &name], amount.to_string());
        }
        let op = write::op(kind, &mut quota, Expected::Revision(entry.revision), false)?;
        match api.store.write(vec![op]).await {
            Ok(_) => return Ok(()),
            Err(Error::Missing(_)) => return Ok(()),
            Err(Error::Changed(key)) => match api.store.get(&key) {
                Some(newest) => entry = newest,
                None => return Ok(()),
            },
            Err(error) => return Err(objects::failure(kind, error)),
        }
    }
    Err(Status::internal(format!("quota {} changes too fast", entry.key.name)))
}

/// The new usage of what changes; nothing if the quota does not care.
fn raised(change: &Change<'_>, quota: &Object) -> Result<Option<Usage>, Status> {
    let is_of_scope = |object: &Object| scopes_match(change, quota, object);
    if !is_of_scope(change.object) {
        return Ok(None);
    }
    let hard = usage_of(quota.at(&["status", "hard"]).unwrap_or(&Value::Null));
    let mut taken = usage(change, change.object);
    must_specify(change, quota, &hard)?;
    if let Some(old) = change.old.filter(|old| is_of_scope(old)) {
        for (name, before) in usage(change, old) {
            let now = taken.get(&name).copied().unwrap_or(Quantity::whole(0));
            taken.insert(name, now.minus(before));
        }
    }
    taken.retain(|name, amount| hard.contains_key(name) && amount.sign() > 0);
    if taken.is_empty() {
        return Ok(None);
    }
    let used = usage_of(quota.at(&["status", "used"]).unwrap_or(&Value::Null));
    let unknown: Vec<&str> = taken.keys().filter(|name| !used.contains_key(*name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        let why = format!("status unknown for quota: {}, resources: {}", quota.name(), unknown.join(","));
        return Err(change.forbidden(why));
    }
    let sums: Usage = taken.iter().map(|(name, amount)| (name.clone(), used[name].plus(*amount))).collect();
    let over: Vec<&String> = sums.iter().filter(|(name, sum)| **sum > hard[*name]).map(|(name, _)| name).collect();
    if over.is_empty() {
        return Ok(Some(sums));
    }
    let show = |all: &Usage| over.iter().map(|name| format!("{name}={}", all[*name])).collect::<Vec<_>>().join(",");
    let (requested, used, limited) = (show(&taken), show(&used), show(&hard));
    let name = quota.name();
    Err(change.forbidden(format!("exceeded quota: {name}, requested: {requested}, used: {used}, limited: {limited}")))
}

fn usage_of(value: &Value) -> Usage {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(name, amount)| Some((name.clone(), Quantity::from_json(amount).ok()?))).collect()
}

/// What an object takes of every resource that quotas know.
fn usage(change: &Change<'_>, object: &Object) -> Usage {
    let mut usage = Usage::new();
    let (group, plural) = (change.kind.group(), change.kind.plural.as_ref());
    let counted = if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") };
    let mut count = |name: &str| {
        usage.insert(name.to_string(), Quantity::whole(1));
    };
    count(&counted);
    match (group, plural) {
        ("", "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas") => count(plural),
        ("", "services") => service_usage(object, &mut usage),
        ("", "persistentvolumeclaims") => claim_usage(object, &mut usage),
        ("", "pods") => pod_usage(object, &mut usage),
        _ => {}
    }
    usage
}

fn service_usage(service: &Object, usage: &mut Usage) {
    let ports = Quantity::whole(items(spec(service), "ports").len() as i64);
    usage.insert("services".into(), Quantity::whole(1));
    let has_ports = service.at(&["spec", "allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false));
    let (balancers, node_ports) = match service.text(&["spec", "type"]) {
        "NodePort" => (0, ports),
        "LoadBalancer" if has_ports => (1, ports),
        "LoadBalancer" => (1, Quantity::whole(0)),
        _ => (0, Quantity::whole(0)),
    };
    usage.insert("services.loadbalancers".into(), Quantity::whole(balancers));
    usage.insert("services.nodeports".into(), node_ports);
}

fn claim_usage(claim: &Object, usage: &mut Usage) {
    usage.insert("persistentvolumeclaims".into(), Quantity::whole(1));
    let asked = claim.at(&["spec", "resources", "requests", "storage"]).and_then(|one| Quantity::from_json(one).ok());
    usage.extend(asked.map(|asked| ("requests.storage".to_string(), asked)));
    let class = claim.text(&["spec", "storageClassName"]);
    if !class.is_empty() {
        let prefix = format!("{class}.storageclass.storage.k8s.io");
        usage.insert(format!("{prefix}/persistentvolumeclaims"), Quantity::whole(1));
        usage.extend(asked.map(|asked| (format!("{prefix}/requests.storage"), asked)));
    }
}

/// Whether a pod holds nothing any more.
fn is_over(pod: &Object) -> bool {
    matches!(pod.text(&["status", "phase"]), "Succeeded" | "Failed")
}

fn pod_usage(pod: &Object, usage: &mut Usage) {
    if is_over(pod) {
        return;
    }
    usage.insert("pods".into(), Quantity::whole(1));
    for (name, amount) in total(pod, "requests") {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
            usage.insert(name.clone(), amount);
        }
        usage.insert(format!("requests.{name}"), amount);
    }
    for (name, amount) in total(pod, "limits") {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            usage.insert(format!("limits.{name}"), amount);
        }
    }
}

/// Containers and sidecars added; of what runs before them the greatest counts, beside the sidecars started earlier.
fn total(pod: &Object, field: &str) -> Usage {
    let add = |sum: &mut Usage, other: &Usage| {
        for (name, amount) in other {
            let own = sum.get(name).copied().unwrap_or(Quantity::whole(0));
            sum.insert(name.clone(), amount.plus(own));
        }
    };
    let (mut sum, mut sidecars, mut peak) = (Usage::new(), Usage::new(), Usage::new());
    for container in items(spec(pod), "containers") {
        add(&mut sum, &usage_of(&container["resources"][field]));
    }
    for container in items(spec(pod), "initContainers") {
        let mut own = usage_of(&container["resources"][field]);
        if container["restartPolicy"] == "Always" {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            own = sidecars.clone();
        } else {
            add(&mut own, &sidecars);
        }
        for (name, amount) in own {
            let greatest = peak.entry(name).or_insert(amount);
            *greatest = (*greatest).max(amount);
        }
    }
    for (name, amount) in peak {
        let own = sum.entry(name).or_insert(amount);
        *own = (*own).max(amount);
    }
    for (name, amount) in usage_of(&spec(pod)["resources"][field]) {
        sum.insert(name, amount);
    }
    add(&mut sum, &usage_of(&spec(pod)["overhead"]));
    sum
}

/// A quota of processors or memory wants every container to say what it takes.
fn must_specify(change: &Change<'_>, quota: &Object, hard: &Usage) -> Result<(), Status> {
    if !change.is_of("", "pods") || change.verb != Verb::Create || is_over(change.object) {
        return Ok(());
    }
    let has_own = |field: &str, name: &str| !spec(change.object)["resources"][field][name].is_null();
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for constraint in hard.keys() {
        let (field, name) = match constraint.as_str() {
            "cpu" | "requests.cpu" => ("requests", "cpu"),
            "memory" | "requests.memory" => ("requests", "memory"),
            "limits.cpu" => ("limits", "cpu"),
            "limits.memory" => ("limits", "memory"),
            _ => continue,
        };
        if has_own(field, name) {
            continue;
        }
        for container in ["containers", "initContainers"].iter().flat_map(|list| items(spec(change.object), list)) {
            if container["resources"][field][name].is_null() {
                missing.entry(constraint).or_default().insert(container["name"].as_str().unwrap_or_default());
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let parts: Vec<String> = missing
        .into_iter()
        .map(|(name, of)| format!("{name} for: {}", of.into_iter().collect::<Vec<_>>().join(",")))
        .collect();
    Err(change.forbidden(format!("failed quota: {}: must specify {}", quota.name(), parts.join("; "))))
}

/// Whether a quota is about an object: only pods (and claims by class) have scopes.
fn scopes_match(change: &Change<'_>, quota: &Object, object: &Object) -> bool {
    let plain = items(spec(quota), "scopes").iter().map(|scope| json!({"scopeName": scope, "operator": "Exists"}));
    let selector = items(&spec(quota)["scopeSelector"], "matchExpressions").iter().cloned();
    let mut all = plain.chain(selector).peekable();
    if all.peek().is_none() {
        return true;
    }
    change.is_of("", "pods") && all.all(|requirement| scope_matches(&requirement, object))
}

fn scope_matches(requirement: &Value, pod: &Object) -> bool {
    let has_deadline = pod.at(&["spec", "activeDeadlineSeconds"]).and_then(Value::as_i64).is_some_and(|one| one >= 0);
    let is_best_effort = pod.text(&["status", "qosClass"]) == "BestEffort";
    match requirement["scopeName"].as_str().unwrap_or_default() {
        "Terminating" => has_deadline,
        "NotTerminating" => !has_deadline,
        "BestEffort" => is_best_effort,
        "NotBestEffort" => !is_best_effort,
        "PriorityClass" => {
            let class = pod.text(&["spec", "priorityClassName"]);
            let is_named = items(requirement, "values").iter().any(|value| value == class);
            match requirement["operator"].as_str().unwrap_or_default() {
                "In" => is_named,
                "NotIn" => !is_named,
                "Exists" => !class.is_empty(),
                "DoesNotExist" => class.is_empty(),
                _ => false,
            }
        }
        "CrossNamespacePodAffinity" => ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
            let affinity = &spec(pod)["affinity"][kind];
            let required = items(affinity, "requiredDuringSchedulingIgnoredDuringExecution").iter();
            let preferred = items(affinity, "preferredDuringSchedulingIgnoredDuringExecution").iter();
            let terms = required.chain(preferred.map(|one| &one["podAffinityTerm"]));
            terms.into_iter().any(|term| !items(term, "namespaces").is_empty() || !term["namespaceSelector"].is_null())
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::server::{Attributes, Identity};

    fn check(object: Value, hard: Value, used: Value) -> Result<Option<Vec<String>>, String> {
        let mut object = Object::from_value(object).unwrap();
        let kind = kinds::find("", "v1", "pods").unwrap();
        let (user, attributes) = (Identity::anonymous(), Attributes::default());
        let change = Change {
            verb: Verb::Create,
            kind,
            object: &mut object,
            old: None,
            user: &user,
            attributes: &attributes,
            is_dry_run: false,
            warnings: Vec::new(),
            round: Default::default(),
        };
        let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}});
        let raised = raised(&change, &Object::from_value(quota).unwrap()).map_err(|status| status.message)?;
        Ok(raised.map(|used| used.iter().map(|(name, amount)| format!("{name}={amount}")).collect()))
    }

    fn pod(cpu: &str) -> Value {
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
    }

    #[test]
    fn what_a_pod_takes_is_added() {
        let raised =
            check(pod("500m"), json!({"pods": "2", "requests.cpu": "1"}), json!({"pods": "1", "requests.cpu": "500m"}));
        assert_eq!(raised, Ok(Some(vec!["pods=2".into(), "requests.cpu=1".into()])));
    }

    #[test]
    fn what_is_too_much_is_said_in_upstreams_words() {
        let wanted = "pods \"p\" is forbidden: exceeded quota: q, requested: cpu=600m, used: cpu=500m, limited: cpu=1";
        assert_eq!(check(pod("600m"), json!({"cpu": "1"}), json!({"cpu": "500m"})), Err(wanted.into()));
        let wanted = "pods \"p\" is forbidden: failed quota: q: must specify memory for: c";
        assert_eq!(check(pod("1"), json!({"memory": "1Gi"}), json!({"memory": "0"})), Err(wanted.into()));
        let wanted = "pods \"p\" is forbidden: status unknown for quota: q, resources: pods";
        assert_eq!(check(pod("1"), json!({"pods": "1"}), json!({})), Err(wanted.into()));
    }
}
