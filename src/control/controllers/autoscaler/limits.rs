//! How fast replicas may change: the policies and windows of `spec.behavior`. Pure.
//!
//! Source of the rules: kubernetes `pkg/controller/podautoscaler/horizontal.go` (`normalizeDesiredReplicasWithBehaviors`).

use k8s_openapi::api::autoscaling::v2::{
    HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec,
};
use std::time::Duration;
use tokio::time::Instant;

/// What happened to a target lately.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Numbers that were asked for.
    pub wanted: Vec<(Instant, i32)>,
    /// Changes that were made.
    pub changes: Vec<(Instant, i32)>,
}

fn policy(kind: &str, value: i32, period_seconds: i32) -> HPAScalingPolicy {
    HPAScalingPolicy { type_: kind.into(), value, period_seconds }
}

/// The rules of one direction, with the defaults.
fn rules(behavior: Option<&HorizontalPodAutoscalerBehavior>, up: bool) -> HPAScalingRules {
    let own = behavior.and_then(|one| if up { one.scale_up.clone() } else { one.scale_down.clone() });
    let mut rules = own.unwrap_or_default();
    if rules.policies.as_ref().is_none_or(Vec::is_empty) {
        let mut policies = vec![policy("Percent", 100, 15)];
        if up {
            policies.push(policy("Pods", 4, 15));
        }
        rules.policies = Some(policies);
    }
    rules.stabilization_window_seconds.get_or_insert(if up { 0 } else { 300 });
    rules
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(seconds.max(0) as u64)
}

impl Past {
    /// That of a target with so many replicas, of which nothing else is known.
    pub fn of(now: Instant, replicas: i32) -> Self {
        Self { wanted: vec![(now, replicas)], changes: Vec::new() }
    }

    /// Notes what is asked for now and forgets what no window looks at.
    pub fn note(&mut self, now: Instant, wanted: i32) {
        const LONGEST: Duration = Duration::from_secs(3600);
        self.wanted.retain(|(when, _)| now.duration_since(*when) < LONGEST);
        self.changes.retain(|(when, _)| now.duration_since(*when) < LONGEST);
        self.wanted.push((now, wanted));
    }

    /// By how much replicas grew (or shrank) within a period.
    fn changed(&self, now: Instant, period: i32, up: bool) -> i32 {
        let recent = self.changes.iter().filter(|(when, _)| now.duration_since(*when) < seconds(period));
        recent.map(|(_, change)| if up { (*change).max(0) } else { (-*change).max(0) }).sum()
    }
}

/// The number of replicas after windows, policies and bounds, and the reason if it is not what was wanted.
pub fn limited(
    spec: &HorizontalPodAutoscalerSpec,
    current: i32,
    wanted: i32,
    past: &Past,
    now: Instant,
) -> (i32, &'static str) {
    let behavior = spec.behavior.as_ref();
    let (up, down) = (rules(behavior, true), rules(behavior, false));
    let within = |rules: &HPAScalingRules| {
        let window = seconds(rules.stabilization_window_seconds.unwrap_or(0));
        let recent = past.wanted.iter().filter(move |(when, _)| now.duration_since(*when) < window);
        recent.map(|(_, wanted)| *wanted).collect::<Vec<_>>()
    };
    let floor = within(&up).into_iter().fold(wanted, i32::min);
    let ceiling = within(&down).into_iter().fold(wanted, i32::max);
    let stable = current.max(floor).min(ceiling);
    let least = spec.min_replicas.unwrap_or(1);
    if stable > current {
        let most = allowed(&up, current, past, now, true);
        let bound = most.max(current).min(spec.max_replicas);
        let reason = if stable <= bound {
            "DesiredWithinRange"
        } else if bound == spec.max_replicas {
            "TooManyReplicas"
        } else {
            "ScaleUpLimit"
        };
        return (stable.min(bound), reason);
    }
    if stable < current {
        let fewest = allowed(&down, current, past, now, false);
        let bound = fewest.min(current).max(least);
        let reason = if stable >= bound {
            "DesiredWithinRange"
        } else if bound == least {
            "TooFewReplicas"
        } else {
            "ScaleDownLimit"
        };
        return (stable.max(bound), reason);
    }
    let bounded = stable.clamp(least, spec.max_replicas.max(least));
    (bounded, if wanted == stable { "DesiredWithinRange" } else { "ScaleDownStabilized" })
}

/// How far replicas may go in one direction by the policies.
fn allowed(rules: &HPAScalingRules, current: i32, past: &Past, now: Instant, up: bool) -> i32 {
    let reach = |policy: &HPAScalingPolicy| {
        let done = past.changed(now, policy.period_seconds, up);
        let start = if up { current - done } else { current + done };
        let step = match policy.type_.as_str() {
            "Pods" => policy.value,
            _ if up => (f64::from(start) * f64::from(policy.value) / 100.0).ceil() as i32,
            _ => (f64::from(start) * f64::from(policy.value) / 100.0).ceil() as i32,
        };
        if up { start + step } else { start - step }
    };
    let all = rules.policies.iter().flatten().map(reach);
    let widest = match rules.select_policy.as_deref() {
        Some("Disabled") => return current,
        Some("Min") if up => all.min(),
        Some("Min") => all.max(),
        _ if up => all.max(),
        _ => all.min(),
    };
    widest.unwrap_or(current)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(behavior: Value) -> HorizontalPodAutoscalerSpec {
        let target = json!({"kind": "Deployment", "name": "web"});
        serde_json::from_value(
            json!({"maxReplicas": 20, "minReplicas": 2, "scaleTargetRef": target, "behavior": behavior}),
        )
        .unwrap()
    }

    #[tokio::test]
    async fn growth_is_bounded_by_policies_and_the_maximum() {
        let now = Instant::now();
        let past = Past::default();
        assert_eq!(limited(&spec(json!(null)), 2, 50, &past, now), (6, "ScaleUpLimit"));
        assert_eq!(limited(&spec(json!(null)), 12, 50, &past, now), (20, "TooManyReplicas"));
        let slow = json!({"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}});
        let changed = Past { changes: vec![(now, 1)], ..Past::default() };
        assert_eq!(limited(&spec(slow), 3, 9, &changed, now), (3, "ScaleUpLimit"));
    }

    #[tokio::test]
    async fn shrinking_waits_until_the_window_is_over() {
        let began = Instant::now();
        let past = Past { wanted: vec![(began, 8)], ..Past::default() };
        let early = began + Duration::from_secs(100);
        assert_eq!(limited(&spec(json!(null)), 8, 3, &past, early), (8, "ScaleDownStabilized"));
        let late = began + Duration::from_secs(301);
        assert_eq!(limited(&spec(json!(null)), 8, 3, &past, late).0, 3);
        let disabled = spec(json!({"scaleDown": {"selectPolicy": "Disabled"}}));
        assert_eq!(limited(&disabled, 8, 3, &Past::default(), late).0, 8);
    }
}
