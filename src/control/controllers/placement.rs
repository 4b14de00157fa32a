//! Whether a pod may be on a node: node name, node selector, required node affinity.
//!
//! Source of the rules: k8s.io/component-helpers `scheduling/corev1/nodeaffinity`.

use k8s_openapi::api::core::v1::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

/// The field that names a node.
pub const NAME_FIELD: &str = "metadata.name";

fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

/// Whether the pod names this node, or none.
pub fn fits_name(spec: &PodSpec, node: &Node) -> bool {
    spec.node_name.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == name(node))
}

/// Whether the node selector and the required affinity take the node.
pub fn fits_affinity(spec: &PodSpec, node: &Node) -> bool {
    let labels = node.metadata.labels.as_ref();
    let label = |key: &str| labels.and_then(|labels| labels.get(key));
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| label(key) == Some(value));
    selected && required(spec).is_none_or(|required| takes(required, node))
}

/// The required node affinity of a pod.
pub fn required(spec: &PodSpec) -> Option<&NodeSelector> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    affinity.required_during_scheduling_ignored_during_execution.as_ref()
}

/// Whether any term takes the node.
pub fn takes(selector: &NodeSelector, node: &Node) -> bool {
    selector.node_selector_terms.iter().any(|term| term_takes(term, node))
}

fn term_takes(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    // An empty term takes nothing.
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let labels = node.metadata.labels.as_ref();
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
    expressions.iter().all(|one| holds(one, label(&one.key)))
        && fields.iter().all(|one| one.key == NAME_FIELD && holds(one, Some(name(node))))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let is_listed = value.is_some_and(|value| values.iter().any(|one| one == value));
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let (own, bound) = (number(value), number(values.first().map(String::as_str)));
    let compare = |is: fn(i64, i64) -> bool| own.zip(bound).is_some_and(|(own, bound)| is(own, bound));
    match requirement.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|own, bound| own > bound),
        "Lt" => compare(|own, bound| own < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn fits(spec: Value) -> bool {
        let node = json!({"metadata": {"name": "one", "labels": {"zone": "a", "size": "7"}}});
        let mut spec = spec;
        spec["containers"] = json!([]);
        let (spec, node) = (serde_json::from_value(spec).unwrap(), serde_json::from_value(node).unwrap());
        fits_name(&spec, &node) && fits_affinity(&spec, &node)
    }

    fn affinity(terms: Value) -> Value {
        let required = json!({"nodeSelectorTerms": terms});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}})
    }

    #[test]
    fn selectors_and_affinity_choose_nodes() {
        assert!(fits(json!({})));
        assert!(!fits(json!({"nodeName": "two"})));
        assert!(!fits(json!({"nodeSelector": {"zone": "b"}})));
        let term = |key: &str, operator: &str, values: Value| {
            affinity(json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]))
        };
        assert!(fits(term("zone", "In", json!(["a", "b"]))));
        assert!(!fits(term("zone", "NotIn", json!(["a"]))));
        assert!(fits(term("size", "Gt", json!(["6"]))));
        assert!(fits(term("none", "DoesNotExist", json!(null))));
        assert!(!fits(affinity(json!([{}]))));
        let field = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["one"]}]}]);
        assert!(fits(affinity(field)));
    }
}
