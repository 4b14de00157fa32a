//! The roles and bindings that every cluster has from its first moment.

pub mod controllers;
pub mod roles;

use super::rbac::index::GROUP;
use super::rbac::rule::Rule;
use controllers::CONTROLLERS;
use roles::{AGGREGATED, CLUSTER, NAMESPACED, Role};
use serde_json::{Value, json};

/// Marks what came with the cluster.
const LABEL: &str = "kubernetes.io/bootstrapping";
/// Says that the server may bring the object up to date.
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// The identity that the controllers of this server share.
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// Somebody to whom a role is bound.
enum To {
    User(&'static str),
    Group(&'static str),
    Account(&'static str),
}

/// Role, and who has it in the whole cluster.
const CLUSTER_BINDINGS: &[(&str, &[To])] = &[
    ("coracle:network", &[To::User("system:kube-proxy")]),
    ("cluster-admin", &[To::Group("system:masters")]),
    ("system:basic-user", &[To::Group("system:authenticated")]),
    ("system:discovery", &[To::Group("system:authenticated")]),
    ("system:kube-controller-manager", &[To::User(CONTROLLER_MANAGER)]),
    ("system:kube-dns", &[To::Account("kube-dns")]),
    ("system:kube-scheduler", &[To::User("system:kube-scheduler")]),
    ("system:monitoring", &[To::Group("system:monitoring")]),
    // Nodes have their own authorizer.
    ("system:node", &[]),
    ("system:node-proxier", &[To::User("system:kube-proxy")]),
    ("system:public-info-viewer", &[To::Group("system:authenticated"), To::Group("system:unauthenticated")]),
    ("system:service-account-issuer-discovery", &[To::Group("system:serviceaccounts")]),
    ("system:volume-scheduler", &[To::User("system:kube-scheduler")]),
];

/// Namespace, name of the binding, role, and who has it there.
const BINDINGS: &[(&str, &str, &str, &[To])] = &[
    (
        "kube-system",
        "system::extension-apiserver-authentication-reader",
        "extension-apiserver-authentication-reader",
        &[To::User(CONTROLLER_MANAGER), To::User("system:kube-scheduler")],
    ),
    (
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        "system::leader-locking-kube-controller-manager",
        &[To::User(CONTROLLER_MANAGER), To::Account("kube-controller-manager")],
    ),
    (
        "kube-system",
        "system::leader-locking-kube-scheduler",
        "system::leader-locking-kube-scheduler",
        &[To::User("system:kube-scheduler"), To::Account("kube-scheduler")],
    ),
    (
        "kube-system",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        &[To::Account("bootstrap-signer")],
    ),
    (
        "kube-system",
        "system:controller:cloud-provider",
        "system:controller:cloud-provider",
        &[To::Account("cloud-provider")],
    ),
    (
        "kube-system",
        "system:controller:token-cleaner",
        "system:controller:token-cleaner",
        &[To::Account("token-cleaner")],
    ),
    (
        "kube-public",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        &[To::Account("bootstrap-signer")],
    ),
];

/// Every role and binding, in the stored version.
pub fn objects() -> Vec<Value> {
    let mut all: Vec<Value> = AGGREGATED.iter().map(|(name, part_of)| aggregated(name, part_of)).collect();
    all.extend(CLUSTER.iter().map(|role| role_value("ClusterRole", "", role.name, role.part_of, role.rules)));
    all.extend(NAMESPACED.iter().map(|(namespace, role)| role_value("Role", namespace, role.name, "", role.rules)));
    all.extend(CLUSTER_BINDINGS.iter().map(|(role, to)| binding("", role, role, to)));
    all.extend(BINDINGS.iter().map(|(namespace, name, role, to)| binding(namespace, name, role, to)));
    for (name, rules) in CONTROLLERS {
        let role = format!("system:controller:{name}");
        all.push(role_value("ClusterRole", "", &role, "", rules));
        all.push(binding("", &role, &role, &[To::Account(name), To::User(CONTROLLER_MANAGER)]));
    }
    all
}

/// A rule in the table's form.
pub fn rule(text: &str) -> Rule {
    let words: Vec<&str> = text.split_whitespace().collect();
    let list = |at: usize| -> Vec<String> {
        words.get(at).into_iter().flat_map(|list| list.split(',')).map(String::from).collect()
    };
    let mut verbs: Vec<String> = list(0)
        .into_iter()
        .flat_map(|verb| match verb.as_str() {
            "read" => vec!["get".into(), "list".into(), "watch".into()],
            "write" => ["create", "delete", "deletecollection", "patch", "update"].map(String::from).into(),
            _ => vec![verb],
        })
        .collect();
    verbs.sort();
    if words.get(1) == Some(&"url") {
        return Rule { verbs, non_resource_urls: list(2), ..Rule::default() };
    }
    let api_groups = list(1).into_iter().map(|group| if group == "core" { String::new() } else { group }).collect();
    Rule { verbs, api_groups, resources: list(2), resource_names: list(3), ..Rule::default() }
}

/// The rules of a role that is made of others, in the order of those others' names, without repetitions.
fn aggregated_rules(name: &str) -> Vec<Rule> {
    let mut parts: Vec<(&str, Vec<Rule>)> = CLUSTER
        .iter()
        .filter(|role| role.part_of == name)
        .map(|Role { name, rules, .. }| (*name, rules.iter().map(|text| rule(text)).collect()))
        .collect();
    parts.extend(
        AGGREGATED.iter().filter(|(_, part_of)| *part_of == name).map(|(inner, _)| (*inner, aggregated_rules(inner))),
    );
    parts.sort_by_key(|(name, _)| *name);
    let mut rules: Vec<Rule> = Vec::new();
    for rule in parts.into_iter().flat_map(|(_, rules)| rules) {
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    rules
}

fn aggregated(name: &str, part_of: &str) -> Value {
    let mut value = role_value("ClusterRole", "", name, part_of, &[]);
    let label = format!("{GROUP}/aggregate-to-{name}");
    value["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
    value["rules"] = json!(aggregated_rules(name));
    value
}

fn role_value(kind: &str, namespace: &str, name: &str, part_of: &str, rules: &[&str]) -> Value {
    let rules: Vec<Rule> = rules.iter().map(|text| rule(text)).collect();
    let mut metadata = metadata(namespace, name);
    if !part_of.is_empty() {
        metadata["labels"][format!("{GROUP}/aggregate-to-{part_of}")] = json!("true");
    }
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata, "rules": rules})
}

fn binding(namespace: &str, name: &str, role: &str, to: &[To]) -> Value {
    let (kind, role_kind) =
        if namespace.is_empty() { ("ClusterRoleBinding", "ClusterRole") } else { ("RoleBinding", "Role") };
    let subjects: Vec<Value> = to
        .iter()
        .map(|to| match to {
            To::User(name) => json!({"kind": "User", "apiGroup": GROUP, "name": name}),
            To::Group(name) => json!({"kind": "Group", "apiGroup": GROUP, "name": name}),
            To::Account(name) => json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}),
        })
        .collect();
    let mut value = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata(namespace, name),
        "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role},
    });
    if !subjects.is_empty() {
        value["subjects"] = json!(subjects);
    }
    value
}

fn metadata(namespace: &str, name: &str) -> Value {
    let mut metadata = json!({"name": name, "labels": {LABEL: "rbac-defaults"}, "annotations": {AUTO_UPDATE: "true"}});
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_rule_of_the_tables_reads() {
        let controllers = CONTROLLERS.iter().flat_map(|(_, rules)| rules.iter());
        let others = CLUSTER.iter().chain(NAMESPACED.iter().map(|(_, role)| role)).flat_map(|role| role.rules.iter());
        for text in controllers.chain(others).chain(roles::NODE_READS) {
            let words = text.split_whitespace().count();
            assert!((3..=4).contains(&words), "{text}");
            let rule = rule(text);
            assert!(rule.broken_down().iter().all(|part| rule.covers(part)), "{text}");
        }
    }

    #[test]
    fn every_binding_names_a_role_that_is_there_and_no_name_is_there_twice() {
        let mut seen = HashSet::new();
        let key = |value: &Value| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
            (text(&value["kind"]), text(&value["metadata"]["namespace"]), text(&value["metadata"]["name"]))
        };
        let all = objects();
        assert!(all.iter().all(|value| seen.insert(key(value))));
        for value in all.iter().filter(|value| value["roleRef"].is_object()) {
            let (_, namespace, _) = key(value);
            let role = |part: &str| value["roleRef"][part].as_str().unwrap().to_string();
            assert!(seen.contains(&(role("kind"), namespace, role("name"))), "{value}");
        }
    }

    #[test]
    fn an_editor_may_do_what_a_viewer_may_and_an_admin_what_an_editor_may() {
        let [admin, edit, view] = ["admin", "edit", "view"].map(aggregated_rules);
        assert!(view.iter().all(|rule| edit.contains(rule)) && edit.iter().all(|rule| admin.contains(rule)));
        assert!(edit.len() > view.len() && admin.len() > edit.len());
    }
}
