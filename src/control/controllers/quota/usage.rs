//! What objects use of a quota. Pure.
//!
//! Source of the rules: kubernetes `pkg/quota/v1/evaluator/core/{pods,services,persistent_volume_claims}.go`.

use crate::api::quantity::Quantity;
use crate::control::controllers::pods;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, Pod, PodSpec, ResourceQuotaSpec, ScopedResourceSelectorRequirement, Service,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::BTreeMap;

/// Amounts by the name of their resource.
pub type Usage = BTreeMap<String, Quantity>;

fn add(usage: &mut Usage, name: String, amount: Quantity) {
    let sum = usage.get(&name).map_or(amount, |before| before.plus(amount));
    usage.insert(name, sum);
}

/// The sum of two usages.
pub fn sum(mut one: Usage, other: Usage) -> Usage {
    other.into_iter().for_each(|(name, amount)| add(&mut one, name, amount));
    one
}

fn amounts(list: Option<&BTreeMap<String, Text>>) -> Usage {
    let parse = |(name, text): (&String, &Text)| Some((name.clone(), text.0.parse().ok()?));
    list.into_iter().flatten().filter_map(parse).collect()
}

fn greater(mut one: Usage, other: Usage) -> Usage {
    for (name, amount) in other {
        let most = one.get(&name).map_or(amount, |before| (*before).max(amount));
        one.insert(name, most);
    }
    one
}

/// What a pod asks for: containers and sidecars together, or one init container beside the sidecars before it.
fn effective(spec: &PodSpec, limits: bool) -> Usage {
    let of = |container: &k8s_openapi::api::core::v1::Container| {
        let resources = container.resources.as_ref();
        amounts(resources.and_then(|one| if limits { one.limits.as_ref() } else { one.requests.as_ref() }))
    };
    let mut running = Usage::new();
    let mut starting = Usage::new();
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            running = sum(running, of(container));
            starting = greater(starting, running.clone());
        } else {
            starting = greater(starting, sum(running.clone(), of(container)));
        }
    }
    let all = spec.containers.iter().map(of).fold(running, sum);
    let whole = greater(all, starting);
    let own = spec.resources.as_ref();
    let own = amounts(own.and_then(|one| if limits { one.limits.as_ref() } else { one.requests.as_ref() }));
    let mut whole = whole;
    whole.extend(own);
    sum(whole, amounts(spec.overhead.as_ref()))
}

/// What a pod uses. One that ended uses no resources, but is still an object.
pub fn of_pod(pod: &Pod, now: Timestamp) -> Usage {
    let mut usage = Usage::from([("count/pods".to_string(), Quantity::whole(1))]);
    if pods::is_finished(pod) || is_overdue(pod, now) {
        return usage;
    }
    let spec = pod.spec.clone().unwrap_or_default();
    usage.insert("pods".into(), Quantity::whole(1));
    for (name, amount) in effective(&spec, false) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
            usage.insert(name.clone(), amount);
        }
        usage.insert(format!("requests.{name}"), amount);
    }
    for (name, amount) in effective(&spec, true) {
        usage.insert(format!("limits.{name}"), amount);
    }
    usage
}

/// Whether a pod should have been gone already.
fn is_overdue(pod: &Pod, now: Timestamp) -> bool {
    // The time stamp of a deletion is when the grace ends.
    pod.metadata.deletion_timestamp.as_ref().is_some_and(|time| time.0 < now)
}

/// What a Service uses.
pub fn of_service(service: &Service) -> Usage {
    let spec = service.spec.clone().unwrap_or_default();
    let mut usage = Usage::from([("services".to_string(), Quantity::whole(1))]);
    let ports = spec.ports.as_ref().map_or(0, Vec::len) as i64;
    match spec.type_.as_deref() {
        Some("NodePort") => {
            usage.insert("services.nodeports".into(), Quantity::whole(ports));
        }
        Some("LoadBalancer") => {
            usage.insert("services.loadbalancers".into(), Quantity::whole(1));
            let with_ports = spec.ports.iter().flatten().filter(|port| port.node_port.is_some_and(|node| node != 0));
            let own = match spec.allocate_load_balancer_node_ports {
                Some(false) => with_ports.count() as i64,
                _ => ports,
            };
            usage.insert("services.nodeports".into(), Quantity::whole(own));
        }
        _ => {}
    }
    usage
}

/// What a claim uses.
pub fn of_claim(claim: &PersistentVolumeClaim) -> Usage {
    let spec = claim.spec.clone().unwrap_or_default();
    let requested = amounts(spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    let storage = requested.get("storage").copied();
    let mut usage = Usage::from([("persistentvolumeclaims".to_string(), Quantity::whole(1))]);
    let class = spec.storage_class_name.unwrap_or_default();
    let prefixes = std::iter::once(String::new())
        .chain((!class.is_empty()).then(|| format!("{class}.storageclass.storage.k8s.io/")));
    for prefix in prefixes {
        usage.insert(format!("{prefix}persistentvolumeclaims"), Quantity::whole(1));
        if let Some(storage) = storage {
            usage.insert(format!("{prefix}requests.storage"), storage);
        }
    }
    usage
}

/// Whether a quota's scopes take a pod.
pub fn takes(spec: &ResourceQuotaSpec, pod: &Pod) -> bool {
    let plain = spec.scopes.iter().flatten().all(|scope| in_scope(scope, pod));
    let selected = spec.scope_selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten());
    plain && selected.into_iter().all(|requirement| is_selected(requirement, pod))
}

fn is_selected(requirement: &ScopedResourceSelectorRequirement, pod: &Pod) -> bool {
    if requirement.scope_name != "PriorityClass" {
        return in_scope(&requirement.scope_name, pod);
    }
    let class = pod.spec.as_ref().and_then(|spec| spec.priority_class_name.as_deref()).unwrap_or_default();
    let is_listed = requirement.values.iter().flatten().any(|value| value == class);
    match requirement.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => !class.is_empty(),
        "DoesNotExist" => class.is_empty(),
        _ => false,
    }
}

fn in_scope(scope: &str, pod: &Pod) -> bool {
    let spec = pod.spec.clone().unwrap_or_default();
    let terminates = spec.active_deadline_seconds.is_some_and(|seconds| seconds >= 0);
    match scope {
        "Terminating" => terminates,
        "NotTerminating" => !terminates,
        "BestEffort" => is_best_effort(&spec),
        "NotBestEffort" => !is_best_effort(&spec),
        "PriorityClass" => spec.priority_class_name.is_some_and(|class| !class.is_empty()),
        "CrossNamespacePodAffinity" => crosses_namespaces(&spec),
        _ => false,
    }
}

/// Whether a pod asks for neither processors nor memory.
fn is_best_effort(spec: &PodSpec) -> bool {
    let asks = |usage: Usage| ["cpu", "memory"].iter().any(|name| usage.get(*name).is_some_and(|one| one.sign() > 0));
    !asks(effective(spec, false)) && !asks(effective(spec, true))
}

fn crosses_namespaces(spec: &PodSpec) -> bool {
    let Some(affinity) = &spec.affinity else { return false };
    let near = affinity.pod_affinity.iter().flat_map(|one| {
        let required = one.required_during_scheduling_ignored_during_execution.iter().flatten();
        let preferred = one.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        required.chain(preferred.map(|weighted| &weighted.pod_affinity_term))
    });
    let far = affinity.pod_anti_affinity.iter().flat_map(|one| {
        let required = one.required_during_scheduling_ignored_during_execution.iter().flatten();
        let preferred = one.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        required.chain(preferred.map(|weighted| &weighted.pod_affinity_term))
    });
    near.chain(far)
        .any(|term| term.namespaces.as_ref().is_some_and(|all| !all.is_empty()) || term.namespace_selector.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap()
    }

    fn container(cpu: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": "2"}}})
    }

    #[test]
    fn a_pod_uses_what_its_containers_ask_for_or_its_largest_init_container() {
        let usage = of_pod(&pod(json!({"containers": [container("300m"), container("200m")]})), Timestamp::UNIX_EPOCH);
        assert_eq!(usage["requests.cpu"].to_string(), "500m");
        assert_eq!(usage["cpu"].to_string(), "500m");
        assert_eq!(usage["limits.cpu"].to_string(), "4");
        let init = pod(json!({"initContainers": [container("1")], "containers": [container("300m")]}));
        assert_eq!(of_pod(&init, Timestamp::UNIX_EPOCH)["cpu"].to_string(), "1");
    }

    #[test]
    fn a_pod_that_ended_uses_nothing_but_its_place() {
        let mut ended = pod(json!({"containers": [container("1")]}));
        ended.status = serde_json::from_value(json!({"phase": "Succeeded"})).unwrap();
        assert_eq!(of_pod(&ended, Timestamp::UNIX_EPOCH).len(), 1);
    }

    #[test]
    fn scopes_choose_pods() {
        let spec = |scope: &str| -> ResourceQuotaSpec { serde_json::from_value(json!({"scopes": [scope]})).unwrap() };
        let best_effort = pod(json!({"containers": [{"name": "c"}]}));
        let deadline = pod(json!({"activeDeadlineSeconds": 5, "containers": [container("1")]}));
        assert!(takes(&spec("BestEffort"), &best_effort) && !takes(&spec("BestEffort"), &deadline));
        assert!(takes(&spec("Terminating"), &deadline) && !takes(&spec("NotTerminating"), &deadline));
        let class: ResourceQuotaSpec = serde_json::from_value(json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}))
        .unwrap();
        assert!(!takes(&class, &best_effort));
        assert!(takes(&class, &pod(json!({"priorityClassName": "high", "containers": []}))));
    }

    #[test]
    fn services_and_claims_use_ports_and_storage() {
        let service = |value| of_service(&serde_json::from_value(value).unwrap());
        let usage = service(json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80}, {"port": 81}]}}));
        assert_eq!(usage["services.nodeports"].to_string(), "2");
        let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
        let usage = of_claim(&serde_json::from_value(claim).unwrap());
        assert_eq!(usage["gold.storageclass.storage.k8s.io/requests.storage"].to_string(), "1Gi");
    }
}
