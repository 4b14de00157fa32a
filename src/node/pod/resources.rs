//! Requests and limits as cgroup values, quality of service, oom score.
//!
//! Source of the figures: kubelet `pkg/kubelet/cm/helpers_linux.go`, `pkg/kubelet/qos/policy.go`, core/v1 helper/qos.

use super::parts;
use crate::node::machine::Machine;
use crate::node::quantity::{self, Amount};
use crate::runtime::Resources;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use std::collections::BTreeMap;

const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
/// Microseconds.
const PERIOD: i64 = 100_000;
const MIN_QUOTA: i64 = 1_000;
/// What a pod named system-critical may be set to.
const CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// How well a pod is kept when the node runs short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Qos {
    /// The word in the pod's status.
    pub fn word(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

fn counted(pod: &Pod) -> impl Iterator<Item = &Container> {
    parts::spec(pod).containers.iter().chain(parts::init_containers(pod))
}

/// The quality of service that requests and limits amount to.
pub fn qos(pod: &Pod) -> Qos {
    let own = parts::spec(pod).resources.as_ref().filter(|own| own.requests.is_some() || own.limits.is_some());
    let all: Vec<Option<&ResourceRequirements>> = match own {
        Some(own) => vec![Some(own)],
        None => counted(pod).map(|container| container.resources.as_ref()).collect(),
    };
    let amount = |resources: Option<&ResourceRequirements>, limit: bool, name| {
        let list = resources.and_then(|all| if limit { all.limits.as_ref() } else { all.requests.as_ref() });
        quantity::of(list, name)
    };
    let mut any = false;
    let mut guaranteed = true;
    for resources in all {
        for name in ["cpu", "memory"] {
            let (request, limit) = (amount(resources, false, name), amount(resources, true, name));
            any |= request.is_positive() || limit.is_positive();
            guaranteed &= limit.is_positive() && (!request.is_positive() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

/// The pod's cgroup below the node's.
pub fn cgroup(pod: &Pod) -> String {
    let uid = parts::uid(pod);
    match qos(pod) {
        Qos::Guaranteed => format!("kubepods/pod{uid}"),
        Qos::Burstable => format!("kubepods/burstable/pod{uid}"),
        Qos::BestEffort => format!("kubepods/besteffort/pod{uid}"),
    }
}

/// Limits of one container.
pub fn container(pod: &Pod, container: &Container, machine: &Machine) -> Resources {
    let requirements = container.resources.as_ref();
    let requests = requirements.and_then(|all| all.requests.as_ref());
    let limits = requirements.and_then(|all| all.limits.as_ref());
    let asked = |name| Some(quantity::of(requests, name)).filter(|amount| amount.is_positive());
    let limit = |name| Some(quantity::of(limits, name)).filter(|amount| amount.is_positive());
    let cpu_limit = limit("cpu");
    let memory_request = asked("memory").or(limit("memory")).unwrap_or_default();
    Resources {
        cpu_shares: Some(shares(asked("cpu").or(cpu_limit).unwrap_or_default())),
        cpu_quota: cpu_limit.map(quota),
        cpu_period: cpu_limit.map(|_| PERIOD as u64),
        memory_limit: limit("memory").map(Amount::value),
        pids_limit: None,
        oom_score_adj: oom_score(pod, memory_request, machine),
        hugepages: hugepages(limits),
    }
}

/// Limits of the pod's cgroup: sums over its containers, where every container has one.
pub fn sandbox(pod: &Pod) -> Resources {
    let own = parts::spec(pod).resources.as_ref();
    let limit = |name| {
        let stated = quantity::of(own.and_then(|own| own.limits.as_ref()), name);
        let summed = || {
            sum(pod, |container| {
                let limits = container.resources.as_ref().and_then(|all| all.limits.as_ref());
                Some(quantity::of(limits, name)).filter(|amount| amount.is_positive())
            })
        };
        if stated.is_positive() { Some(stated) } else { summed() }
    };
    let cpu_limit = limit("cpu");
    Resources {
        cpu_shares: Some(shares(request(pod, "cpu"))),
        cpu_quota: cpu_limit.map(quota),
        cpu_period: cpu_limit.map(|_| PERIOD as u64),
        memory_limit: limit("memory").map(Amount::value),
        ..Resources::default()
    }
}

/// What the pod asks for of one resource: its own figure, or what its containers ask for together.
pub fn request(pod: &Pod, name: &str) -> Amount {
    let own = parts::spec(pod).resources.as_ref().and_then(|own| own.requests.as_ref());
    let of_containers = || {
        sum(pod, |container| {
            let resources = container.resources.as_ref();
            let request = quantity::of(resources.and_then(|all| all.requests.as_ref()), name);
            let limit = quantity::of(resources.and_then(|all| all.limits.as_ref()), name);
            Some(if request.is_positive() { request } else { limit })
        })
    };
    let amount = match quantity::of(own, name) {
        amount if amount.is_positive() => amount,
        _ => of_containers().unwrap_or_default(),
    };
    amount + quantity::of(parts::spec(pod).overhead.as_ref(), name)
}

/// What the pod needs at most at once: regular containers and sidecars together, or the biggest init container.
fn sum(pod: &Pod, amount: impl Fn(&Container) -> Option<Amount>) -> Option<Amount> {
    let mut beside = Amount::default();
    let mut most = Amount::default();
    for init in parts::init_containers(pod) {
        let wanted = amount(init)?;
        match parts::is_sidecar(init) {
            true => beside = beside + wanted,
            false => most = most.max(beside + wanted),
        }
    }
    let mut together = beside;
    for container in &parts::spec(pod).containers {
        together = together + amount(container)?;
    }
    Some(together.max(most))
}

fn shares(cpu: Amount) -> u64 {
    (cpu.milli() * 1024 / 1000).clamp(MIN_SHARES, MAX_SHARES) as u64
}

fn quota(cpu: Amount) -> i64 {
    (cpu.milli() * PERIOD / 1000).max(MIN_QUOTA)
}

fn hugepages(
    limits: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>,
) -> BTreeMap<String, u64> {
    let pages = limits.into_iter().flatten().filter_map(|(name, value)| {
        let size = name.strip_prefix("hugepages-")?.replace('i', "B");
        Some((size, Amount::parse(&value.0)?.value() as u64))
    });
    pages.collect()
}

/// Whom the kernel kills first. Never below the node's own score where that needs a right the node lacks.
fn oom_score(pod: &Pod, memory_request: Amount, machine: &Machine) -> i32 {
    let critical = parts::spec(pod).priority.is_some_and(|priority| priority >= CRITICAL_PRIORITY);
    let score = match qos(pod) {
        _ if critical => -997,
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let capacity = i128::from(machine.memory.max(1));
            let used = (1000 * i128::from(memory_request.value()) / capacity) as i32;
            (1000 - used).clamp(3, 999)
        }
    };
    if machine.may_lower_oom_score { score } else { score.max(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{machine, pod};
    use serde_json::json;

    fn with(resources: serde_json::Value) -> Pod {
        pod(json!({"containers": [{"name": "web", "image": "i", "resources": resources}]}))
    }

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        assert_eq!(qos(&with(json!({}))), Qos::BestEffort);
        assert_eq!(qos(&with(json!({"requests": {"cpu": "1"}}))), Qos::Burstable);
        assert_eq!(qos(&with(json!({"limits": {"cpu": "1", "memory": "1Gi"}}))), Qos::Guaranteed);
        assert!(cgroup(&with(json!({}))).starts_with("kubepods/besteffort/pod"));
    }

    #[test]
    fn limits_become_cgroup_values() {
        let pod = with(json!({"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "memory": "64Mi"}}));
        let values = container(&pod, &parts::spec(&pod).containers[0], &machine());
        assert_eq!((values.cpu_shares, values.cpu_quota, values.cpu_period), (Some(256), Some(50_000), Some(100_000)));
        assert_eq!(values.memory_limit, Some(64 << 20));
        assert_eq!(sandbox(&pod).memory_limit, Some(64 << 20));
    }

    #[test]
    fn scores_stay_at_zero_or_above_without_the_right_to_lower_them() {
        let pod = with(json!({"limits": {"cpu": "1", "memory": "1Gi"}}));
        let mut machine = machine();
        assert_eq!(oom_score(&pod, Amount::default(), &machine), -997);
        machine.may_lower_oom_score = false;
        assert_eq!(oom_score(&pod, Amount::default(), &machine), 0);
    }
}
