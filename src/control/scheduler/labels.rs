//! Selectors of nodes and pods over labels.

use k8s_openapi::api::core::v1::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Whether a label selector selects. Nothing (no selector) selects nothing; an empty one everything.
pub fn selects(selector: Option<&LabelSelector>, labels: Option<&Labels>) -> bool {
    let Some(selector) = selector else { return false };
    let get = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
    let has_all = selector.match_labels.iter().flatten().all(|(key, value)| get(key) == Some(value));
    let fits = |operator: &str, key: &str, values: &Option<Vec<String>>| {
        holds(operator, get(key), values.as_deref().unwrap_or_default())
    };
    has_all && selector.match_expressions.iter().flatten().all(|one| fits(&one.operator, &one.key, &one.values))
}

/// Whether a plain map of labels, as `nodeSelector` has it, is met.
pub fn has_all(wanted: Option<&Labels>, labels: Option<&Labels>) -> bool {
    wanted.into_iter().flatten().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// Whether any term of a node selector takes a node. Terms are alternatives; an empty term takes none.
pub fn takes_node(selector: &NodeSelector, node: &Node) -> bool {
    selector.node_selector_terms.iter().any(|term| term_takes(term, node))
}

/// Whether one term takes a node.
pub fn term_takes(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let label = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let field = |key: &str| (key == "metadata.name").then_some(node.metadata.name.as_deref()).flatten();
    let meets = |one: &NodeSelectorRequirement, value: Option<&str>| {
        holds(&one.operator, value, one.values.as_deref().unwrap_or_default())
    };
    expressions.iter().all(|one| meets(one, label(&one.key))) && fields.iter().all(|one| meets(one, field(&one.key)))
}

fn holds(operator: &str, value: Option<&str>, values: &[String]) -> bool {
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = || values.first().and_then(|bound| number(bound));
    match operator {
        "In" => value.is_some_and(|value| values.iter().any(|one| one == value)),
        "NotIn" => value.is_none_or(|value| values.iter().all(|one| one != value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => value.and_then(number).zip(bound()).is_some_and(|(value, bound)| value > bound),
        "Lt" => value.and_then(number).zip(bound()).is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn terms_are_alternatives_and_their_parts_are_not() {
        let node: Node =
            serde_json::from_value(json!({"metadata": {"name": "one", "labels": {"a": "1", "b": "x"}}})).unwrap();
        let takes = |terms: serde_json::Value| {
            let selector: NodeSelector = serde_json::from_value(json!({"nodeSelectorTerms": terms})).unwrap();
            takes_node(&selector, &node)
        };
        assert!(takes(json!([{"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["0"]}]}])));
        assert!(takes(json!([{}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["one"]}]}])));
        assert!(!takes(json!([{}])));
        assert!(!takes(
            json!([{"matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "DoesNotExist"}]}])
        ));
        assert!(takes(json!([{"matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["1"]}]}])));
    }
}
