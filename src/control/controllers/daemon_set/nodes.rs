//! Which nodes a DaemonSet's pods belong on, and how a pod is tied to one. Pure.

use crate::control::controllers::placement::{NAME_FIELD, fits_affinity, fits_name};
use crate::control::controllers::taints::{self, NO_EXECUTE, NO_SCHEDULE};
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, PodTemplateSpec, Toleration,
};

/// Whether a pod is to be on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is to run.
    Run,
    /// None is to start, but one that runs may stay.
    Stay,
    Leave,
}

/// Taints that a daemon's pod tolerates, with their effect.
const TOLERATED: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", NO_EXECUTE),
    ("node.kubernetes.io/unreachable", NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/unschedulable", NO_SCHEDULE),
];
const NETWORK_UNAVAILABLE: &str = "node.kubernetes.io/network-unavailable";

fn tolerate(spec: &mut PodSpec) {
    let network = (NETWORK_UNAVAILABLE, NO_SCHEDULE);
    let is_host = spec.host_network == Some(true);
    let all = TOLERATED.iter().copied().chain(is_host.then_some(network));
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in all {
        let toleration = Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some(effect.into()),
            ..Default::default()
        };
        tolerations.retain(|own| own.key.as_deref() != Some(key) || own.effect.as_deref() != Some(effect));
        tolerations.push(toleration);
    }
}

/// Whether a pod of `template` belongs on `node`.
pub fn fit(template: &PodTemplateSpec, node: &Node) -> Fit {
    let mut spec = template.spec.clone().unwrap_or_default();
    tolerate(&mut spec);
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    if !fits_name(&spec, node) || !fits_affinity(&spec, node) {
        return Fit::Leave;
    }
    let taints = taints::of(node);
    if taints::untolerated(taints, &[NO_SCHEDULE, NO_EXECUTE], tolerations).is_none() {
        Fit::Run
    } else if taints::untolerated(taints, &[NO_EXECUTE], tolerations).is_none() {
        Fit::Stay
    } else {
        Fit::Leave
    }
}

/// The template with an affinity for one node only.
pub fn pinned(template: &PodTemplateSpec, node: &str) -> PodTemplateSpec {
    let mut template = template.clone();
    let spec = template.spec.get_or_insert_default();
    tolerate(spec);
    let field =
        NodeSelectorRequirement { key: NAME_FIELD.into(), operator: "In".into(), values: Some(vec![node.into()]) };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .get_or_insert_with(|| NodeSelector { node_selector_terms: Vec::new() });
    if required.node_selector_terms.is_empty() {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    for term in &mut required.node_selector_terms {
        term.match_fields = Some(vec![field.clone()]);
    }
    template
}

/// The node that a pod is on, or that its affinity ties it to.
pub fn node_of(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty()) {
        return Some(node);
    }
    let required = crate::control::controllers::placement::required(spec)?;
    let fields = required.node_selector_terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let mut named = fields.filter(|field| field.key == NAME_FIELD && field.operator == "In");
    named.next()?.values.as_ref()?.first().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(taints: Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "one"}, "spec": {"taints": taints}})).unwrap()
    }

    fn template(spec: Value) -> PodTemplateSpec {
        let mut spec = spec;
        spec["containers"] = json!([]);
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    #[test]
    fn daemons_run_on_nodes_that_are_not_ready_but_not_where_they_are_not_wanted() {
        let template = template(json!({}));
        let not_ready = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]);
        assert_eq!(fit(&template, &node(not_ready)), Fit::Run);
        assert_eq!(fit(&template, &node(json!([{"key": "mine", "effect": "NoSchedule"}]))), Fit::Stay);
        assert_eq!(fit(&template, &node(json!([{"key": "mine", "effect": "NoExecute"}]))), Fit::Leave);
        let elsewhere = self::template(json!({"nodeSelector": {"zone": "b"}}));
        assert_eq!(fit(&elsewhere, &node(json!([]))), Fit::Leave);
    }

    #[test]
    fn a_pinned_pod_belongs_to_its_node_before_it_is_scheduled() {
        let template = pinned(&template(json!({})), "one");
        let pod = Pod { spec: template.spec, ..Default::default() };
        assert_eq!(node_of(&pod), Some("one"));
        assert_eq!(node_of(&Pod::default()), None);
    }
}
