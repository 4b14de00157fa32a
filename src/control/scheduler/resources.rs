//! Amounts of resources, and what a pod asks for.
//!
//! Source of the arithmetic: k8s.io/component-helpers `resource/helpers.go`.

use crate::api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use std::collections::BTreeMap;

/// Resources that are counted in thousandths; all others in whole units.
const MILLI: &str = "cpu";
/// What a container without requests is counted as when nodes are compared: processors in thousandths, bytes.
/// Source: pkg/scheduler/util/pod_resources.go.
const UNSAID: &[(&str, i64)] = &[("cpu", 100), ("memory", 200 * 1024 * 1024)];

/// Amounts by the name of the resource: `cpu` in thousandths, the rest in units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources(BTreeMap<String, i64>);

impl Resources {
    /// Reads what an object says. What is no quantity cannot come from the server and counts as nothing.
    pub fn read(written: Option<&BTreeMap<String, Written>>) -> Self {
        let amount = |name: &str, written: &Written| {
            let quantity: Quantity = written.0.parse().ok()?;
            Some(if name == MILLI { quantity.milli() } else { quantity.units() })
        };
        let all = written.into_iter().flatten();
        Self(all.filter_map(|(name, written)| Some((name.clone(), amount(name, written)?))).collect())
    }

    /// How much there is of a resource.
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Names and amounts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Adds other amounts.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() += amount;
        }
    }

    /// Takes other amounts away.
    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() -= amount;
        }
    }

    /// Raises every amount to at least the other one.
    fn raise(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_default();
            *own = (*own).max(*amount);
        }
    }

    fn set(&mut self, name: &str, amount: i64) {
        self.0.insert(name.into(), amount);
    }
}

/// How requests of one container are read.
type Read<'a> = &'a dyn Fn(&Container) -> Resources;

/// What a pod asks for: what its node must have free for it. A container that was resized in place counts with what it has
/// until the node has made it smaller, and where the node never can give it what it asks for.
pub fn asked(pod: &Pod) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let is_infeasible = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "PodResizePending" && condition.reason.as_deref() == Some("Infeasible"));
    total(spec, &|container| {
        if is_infeasible {
            return allocated(pod, &container.name);
        }
        let mut asked = requests(container.resources.as_ref());
        asked.raise(&allocated(pod, &container.name));
        asked
    })
}

/// The same for comparing nodes: a container that asks for nothing counts as a small one.
pub fn weight(pod: &Pod) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    total(spec, &|container| {
        let mut asked = requests(container.resources.as_ref());
        for (name, amount) in UNSAID {
            if !asked.0.contains_key(*name) {
                asked.set(name, *amount);
            }
        }
        asked
    })
}

fn requests(resources: Option<&ResourceRequirements>) -> Resources {
    Resources::read(resources.and_then(|resources| resources.requests.as_ref()))
}

/// What the node has given to a container by its status.
fn allocated(pod: &Pod, container: &str) -> Resources {
    let status = pod.status.as_ref();
    let lists = status.map(|status| [&status.container_statuses, &status.init_container_statuses]);
    let mut statuses = lists.into_iter().flatten().flatten().flatten();
    let Some(status) = statuses.find(|status| status.name == container) else { return Resources::default() };
    let mut given = Resources::read(status.allocated_resources.as_ref());
    given.raise(&requests(status.resources.as_ref()));
    given
}

/// Containers run together; init containers one after the other, beside the sidecars that were started before them.
fn total(spec: &PodSpec, read: Read) -> Resources {
    let mut sum = Resources::default();
    spec.containers.iter().for_each(|container| sum.add(&read(container)));
    let mut sidecars = Resources::default();
    let mut peak = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut own = read(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sum.add(&own);
            sidecars.add(&own);
            own = sidecars.clone();
        } else {
            own.add(&sidecars);
        }
        peak.raise(&own);
    }
    sum.raise(&peak);
    for (name, amount) in requests(spec.resources.as_ref()).iter() {
        sum.set(name, amount);
    }
    sum.add(&Resources::read(spec.overhead.as_ref()));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn asks(spec: Value) -> Vec<(String, i64)> {
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        asked(&pod).iter().map(|(name, amount)| (name.to_string(), amount)).collect()
    }

    fn container(cpu: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu}}})
    }

    fn sidecar(cpu: &str) -> Value {
        let mut own = container(cpu);
        own["restartPolicy"] = json!("Always");
        own
    }

    #[test]
    fn requests_are_added_as_containers_run() {
        let cases = [
            (json!({"containers": [container("1"), container("500m")]}), 1500),
            (json!({"containers": [container("1")], "initContainers": [container("2"), container("3")]}), 3000),
            (json!({"containers": [container("1")], "initContainers": [sidecar("2"), container("3")]}), 5000),
            (json!({"containers": [container("1")], "initContainers": [container("3"), sidecar("2")]}), 3000),
            (json!({"containers": [container("1")], "overhead": {"cpu": "250m"}}), 1250),
            (json!({"containers": [container("1")], "resources": {"requests": {"cpu": "4"}}}), 4000),
        ];
        for (spec, wanted) in cases {
            assert_eq!(asks(spec.clone()), [("cpu".to_string(), wanted)], "{spec}");
        }
    }

    #[test]
    fn a_container_that_is_being_made_smaller_counts_with_what_it_has() {
        let pod = json!({"spec": {"containers": [container("1")]},
            "status": {"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "resources": {"requests": {"cpu": "2"}}}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(asked(&pod).get("cpu"), 2000);
    }

    #[test]
    fn what_a_node_can_never_give_is_not_counted() {
        let pod = json!({"spec": {"containers": [container("90000")]},
            "status": {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}],
                "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "allocatedResources": {"cpu": "2"}}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(asked(&pod).get("cpu"), 2000);
    }

    #[test]
    fn who_asks_for_nothing_is_a_small_one() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [{"name": "c"}]}})).unwrap();
        assert_eq!(weight(&pod).get("cpu"), 100);
        assert_eq!(asked(&pod), Resources::default());
    }
}
