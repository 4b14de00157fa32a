//! What a Job's `podFailurePolicy` makes of a pod that failed. Pure.
//!
//! Source of the rules and wording: kubernetes `pkg/controller/job/pod_failure_policy.go`.

use k8s_openapi::api::batch::v1::{PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// What the policy says.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// Why the whole Job fails, if it does.
    pub fail_job: Option<String>,
    /// Whether the index of the pod fails for good.
    pub fail_index: bool,
    /// Whether the failure counts.
    pub counts: bool,
}

/// Asks the policy; the first rule that matches decides, and without one the failure counts.
pub fn ask(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Verdict {
    let counted = Verdict { counts: true, ..Default::default() };
    for (number, rule) in policy.iter().flat_map(|policy| policy.rules.iter().enumerate()) {
        let Some(message) = matches(rule, number, pod) else { continue };
        return match rule.action.as_str() {
            "FailJob" => Verdict { fail_job: Some(message), counts: true, ..Default::default() },
            "FailIndex" => Verdict { fail_index: true, counts: true, ..Default::default() },
            "Ignore" => Verdict::default(),
            _ => counted,
        };
    }
    counted
}

/// Why a rule matches, if it does.
fn matches(rule: &PodFailurePolicyRule, number: usize, pod: &Pod) -> Option<String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    if let Some(codes) = &rule.on_exit_codes {
        let (container, code) = exited(pod, codes)?;
        return Some(format!(
            "Container {container} for pod {namespace}/{name} failed with exit code {code} matching {} rule at index {number}",
            rule.action
        ));
    }
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let patterns: Vec<_> = rule.on_pod_conditions.iter().flatten().collect();
    let mut conditions = conditions.filter(|condition| {
        patterns.iter().any(|pattern| {
            pattern.type_ == condition.type_ && pattern.status.as_deref().unwrap_or("True") == condition.status
        })
    });
    let condition = conditions.next()?;
    Some(format!(
        "Pod {namespace}/{name} has condition {} matching {} rule at index {number}",
        condition.type_, rule.action
    ))
}

/// The first container whose exit code the requirement takes.
fn exited<'a>(pod: &'a Pod, wanted: &PodFailurePolicyOnExitCodesRequirement) -> Option<(&'a str, i32)> {
    let status = pod.status.as_ref()?;
    let all = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    let code = |status: &'a ContainerStatus| {
        let ended = status.state.as_ref()?.terminated.as_ref()?;
        Some((status.name.as_str(), ended.exit_code)).filter(|(_, code)| *code != 0)
    };
    let is_meant = |name: &str| wanted.container_name.as_deref().is_none_or(|wanted| wanted == name);
    let is_taken = |code: i32| wanted.values.contains(&code) == (wanted.operator == "In");
    all.filter_map(code).find(|(name, code)| is_meant(name) && is_taken(*code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(code: i32) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "one"}, "status": {"phase": "Failed",
            "conditions": [{"type": "DisruptionTarget", "status": "True"}],
            "containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": code}}}]}}))
        .unwrap()
    }

    fn policy(rules: Value) -> PodFailurePolicy {
        serde_json::from_value(json!({"rules": rules})).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = policy(json!([
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]));
        let failed = ask(Some(&policy), &pod(3));
        assert_eq!(
            failed.fail_job.as_deref(),
            Some("Container main for pod one/a failed with exit code 3 matching FailJob rule at index 0")
        );
        assert!(!ask(Some(&policy), &pod(4)).counts);
        assert!(ask(None, &pod(4)).counts);
    }

    #[test]
    fn not_in_takes_every_other_failure() {
        let policy = policy(json!([{"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [3]}}]));
        assert!(ask(Some(&policy), &pod(4)).fail_index);
        assert!(!ask(Some(&policy), &pod(3)).fail_index);
        assert!(!ask(Some(&policy), &pod(0)).fail_index);
    }
}
