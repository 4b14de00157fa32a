//! How many replicas measured use asks for. Pure.
//!
//! Source of the rules: kubernetes `pkg/controller/podautoscaler/replica_calculator.go`.

use crate::api::quantity::Quantity;
use crate::control::controllers::pods;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use std::collections::HashMap;
use std::sync::Arc;

/// A deviation that is not worth a change (`--horizontal-pod-autoscaler-tolerance`).
const TOLERANCE: f64 = 0.1;
/// How long after its start a pod's processor use does not count, and how long its readiness is in doubt.
const WARM_UP: SignedDuration = SignedDuration::from_secs(300);
const READINESS_DELAY: SignedDuration = SignedDuration::from_secs(30);

/// What is aimed at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Per cent of what pods ask for.
    Utilization(i32),
    /// Thousandths per pod.
    Average(i64),
}

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub replicas: i32,
    /// Per cent of what pods ask for, where that is aimed at.
    pub utilization: Option<i32>,
    /// Thousandths per pod.
    pub average: i64,
}

/// The pods of a target and what each uses, in thousandths, by name.
pub struct Measured<'a> {
    pub pods: &'a [Arc<Pod>],
    pub usage: &'a HashMap<String, i64>,
    /// `cpu` or `memory`.
    pub resource: &'a str,
    /// One container's only.
    pub container: Option<&'a str>,
    pub current: i32,
    pub now: Timestamp,
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

impl Measured<'_> {
    /// What a pod asks for, in thousandths; an error names the container that asks for nothing.
    fn request(&self, pod: &Pod) -> Result<i64, String> {
        let spec = pod.spec.as_ref();
        let all = spec.iter().flat_map(|spec| {
            let sidecars = spec.init_containers.iter().flatten();
            spec.containers.iter().chain(sidecars.filter(|one| one.restart_policy.as_deref() == Some("Always")))
        });
        let mut sum = 0;
        for container in all.filter(|container| self.container.is_none_or(|wanted| wanted == container.name)) {
            let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
            let text = requests.and_then(|requests| requests.get(self.resource));
            let amount = text.and_then(|text| text.0.parse::<Quantity>().ok()).ok_or_else(|| {
                format!("missing request for {} in container {} of Pod {}", self.resource, container.name, name(pod))
            })?;
            sum += amount.milli();
        }
        Ok(sum)
    }

    /// Whether the use of a pod says nothing yet: it just started, or is not ready.
    fn is_unready(&self, pod: &Pod) -> bool {
        if pods::phase(pod) == "Pending" {
            return true;
        }
        if self.resource != "cpu" {
            return false;
        }
        let Some(started) = pod.status.as_ref().and_then(|status| status.start_time.as_ref()) else { return true };
        let Some(ready) = pods::condition(pod, "Ready") else { return true };
        let since = ready.last_transition_time.as_ref().map_or(started.0, |time| time.0);
        if self.now < started.0.checked_add(WARM_UP).unwrap_or(Timestamp::MAX) {
            ready.status == "False"
        } else {
            let first = started.0.checked_add(READINESS_DELAY).unwrap_or(Timestamp::MAX);
            ready.status == "False" && since < first
        }
    }

    /// The number of replicas that brings the use to the target.
    pub fn replicas(&self, target: Target) -> Result<Outcome, String> {
        let counted: Vec<&Arc<Pod>> =
            self.pods.iter().filter(|pod| pods::phase(pod) != "Failed" && !pods::is_terminating(pod)).collect();
        let (unready, rest): (Vec<_>, Vec<_>) = counted.into_iter().partition(|pod| self.is_unready(pod));
        let (measured, missing): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|pod| self.usage.contains_key(name(pod)));
        if measured.is_empty() {
            return Err("did not receive metrics for targeted pods (pods might be unready)".into());
        }
        let mut entries = Vec::new();
        for pod in &measured {
            entries.push((self.usage[name(pod)], self.weight(target, pod)?));
        }
        let ratio = ratio(&entries);
        let outcome = |replicas| Outcome {
            replicas,
            utilization: matches!(target, Target::Utilization(_)).then(|| (ratio * target.percent()).floor() as i32),
            average: entries.iter().map(|(used, _)| used).sum::<i64>() / entries.len() as i64,
        };
        let is_close = |ratio: f64| (ratio - 1.0).abs() <= TOLERANCE;
        let ignores_unready = unready.is_empty() || ratio <= 1.0;
        if ignores_unready && missing.is_empty() {
            return Ok(outcome(if is_close(ratio) { self.current } else { ceil(ratio * entries.len() as f64) }));
        }
        // Be careful with what is not known: it uses all that it may when few are wanted, and nothing when many are.
        let mut careful = entries.clone();
        for pod in &missing {
            let weight = self.weight(target, pod)?;
            careful.push((if ratio < 1.0 { weight } else { 0 }, weight));
        }
        if ratio > 1.0 {
            for pod in &unready {
                careful.push((0, self.weight(target, pod)?));
            }
        }
        let careful_ratio = self::ratio(&careful);
        let turned = (ratio < 1.0 && careful_ratio > 1.0) || (ratio > 1.0 && careful_ratio < 1.0);
        if is_close(careful_ratio) || turned {
            return Ok(outcome(self.current));
        }
        let replicas = ceil(careful_ratio * careful.len() as f64);
        let overshoots =
            (careful_ratio < 1.0 && replicas > self.current) || (careful_ratio > 1.0 && replicas < self.current);
        Ok(outcome(if overshoots { self.current } else { replicas }))
    }

    /// What a pod may use to be at the target, in thousandths.
    fn weight(&self, target: Target, pod: &Pod) -> Result<i64, String> {
        match target {
            Target::Average(average) => Ok(average),
            Target::Utilization(percent) => Ok(self.request(pod)? * i64::from(percent) / 100),
        }
    }
}

impl Target {
    fn percent(self) -> f64 {
        match self {
            Target::Utilization(percent) => f64::from(percent),
            Target::Average(_) => 100.0,
        }
    }
}

fn ratio(entries: &[(i64, i64)]) -> f64 {
    let (used, allowed) = entries.iter().fold((0, 0), |(used, allowed), (one, other)| (used + one, allowed + other));
    if allowed == 0 { 1.0 } else { used as f64 / allowed as f64 }
}

fn ceil(value: f64) -> i32 {
    value.ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    fn pod(name: &str, ready: bool) -> Arc<Pod> {
        let mut pod = pods::tests::pod(name, "Running", ready);
        let container = json!({"name": "c", "resources": {"requests": {"cpu": "100m"}}});
        pod.spec = serde_json::from_value(json!({"containers": [container]})).unwrap();
        pod.status.as_mut().unwrap().start_time = Some(Time(Timestamp::from_second(1000).unwrap()));
        Arc::new(pod)
    }

    fn replicas(usage: &[i64], ready: &[bool], target: Target) -> Result<Outcome, String> {
        let pods: Vec<_> = ready.iter().enumerate().map(|(i, ready)| pod(&format!("p{i}"), *ready)).collect();
        let usage = usage.iter().enumerate().map(|(i, used)| (format!("p{i}"), *used)).collect();
        let now = Timestamp::from_second(1100).unwrap();
        let current = pods.len() as i32;
        Measured { pods: &pods, usage: &usage, resource: "cpu", container: None, current, now }.replicas(target)
    }

    #[test]
    fn replicas_grow_and_shrink_with_use() {
        let half = Target::Utilization(50);
        let up = replicas(&[100, 100], &[true, true], half).unwrap();
        assert_eq!((up.replicas, up.utilization), (4, Some(100)));
        assert_eq!(replicas(&[10, 10], &[true, true], half).unwrap().replicas, 1);
        assert_eq!(replicas(&[52, 52], &[true, true], half).unwrap().replicas, 2);
        assert_eq!(replicas(&[300, 300], &[true, true], Target::Average(200)).unwrap().replicas, 3);
    }

    #[test]
    fn pods_of_which_nothing_is_known_dampen_the_change() {
        let half = Target::Utilization(50);
        assert_eq!(replicas(&[100, 100], &[true, true, true], half).unwrap().replicas, 4);
        assert_eq!(replicas(&[10], &[true, true], half).unwrap().replicas, 2);
        assert_eq!(replicas(&[100, 100], &[true, false], half).unwrap().replicas, 2);
        assert!(replicas(&[], &[true], half).is_err());
    }
}
