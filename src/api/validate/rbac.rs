//! Roles and their bindings.
//!
//! Source: pkg/apis/rbac/validation/validation.go.

use super::causes::{At, Causes, collect, same};
use super::labels;
use crate::api::{Cause, Object, names};

const GROUP: &str = "rbac.authorization.k8s.io";

/// What is wrong with a Role.
pub fn role(role: &Object) -> Vec<Cause> {
    collect(|causes| rules(&At::top(role, "rules"), true, causes))
}

/// What is wrong with a ClusterRole.
pub fn cluster_role(role: &Object) -> Vec<Cause> {
    collect(|causes| {
        rules(&At::top(role, "rules"), false, causes);
        let aggregation = At::top(role, "aggregationRule");
        if aggregation.is_missing() {
            return;
        }
        let selectors = aggregation.at("clusterRoleSelectors");
        if selectors.is_empty() {
            causes.required(&selectors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for selector in selectors.items() {
            labels::selector(&selector, causes);
        }
    })
}

fn rules(at: &At<'_>, is_namespaced: bool, causes: &mut Causes) {
    for rule in at.items() {
        let (urls, groups, resources) = (rule.at("nonResourceURLs"), rule.at("apiGroups"), rule.at("resources"));
        if rule.at("verbs").is_empty() {
            causes.required(&rule.at("verbs"), "verbs must contain at least one value");
        }
        if !urls.is_empty() {
            if is_namespaced {
                causes.invalid(&urls, "namespaced rules cannot apply to non-resource URLs");
            }
            if !groups.is_empty() || !resources.is_empty() || !rule.at("resourceNames").is_empty() {
                causes.invalid(&urls, "rules cannot apply to both regular resources and non-resource URLs");
            }
            continue;
        }
        if groups.is_empty() {
            causes.required(&groups, "resource rules must supply at least one api group");
        }
        if resources.is_empty() {
            causes.required(&resources, "resource rules must supply at least one resource");
        }
    }
}

/// What is wrong with a RoleBinding.
pub fn role_binding(binding: &Object) -> Vec<Cause> {
    collect(|causes| bind(binding, &["Role", "ClusterRole"], true, causes))
}

/// What is wrong with a ClusterRoleBinding.
pub fn cluster_role_binding(binding: &Object) -> Vec<Cause> {
    collect(|causes| bind(binding, &["ClusterRole"], false, causes))
}

fn bind(binding: &Object, kinds: &[&str], is_namespaced: bool, causes: &mut Causes) {
    let role = At::top(binding, "roleRef");
    if role.at("apiGroup").text() != GROUP {
        causes.unsupported(&role.at("apiGroup"), &[GROUP]);
    }
    if !kinds.contains(&role.at("kind").text()) {
        causes.unsupported(&role.at("kind"), kinds);
    }
    causes.name(&role.at("name"), names::path_segment);
    for subject in At::top(binding, "subjects").items() {
        self::subject(&subject, is_namespaced, causes);
    }
}

/// An account without a namespace is one of the binding's, if that has one.
fn subject(at: &At<'_>, is_namespaced: bool, causes: &mut Causes) {
    let (name, group) = (at.at("name"), at.at("apiGroup"));
    if name.is_empty() {
        causes.required(&name, "");
    }
    match at.at("kind").text() {
        "ServiceAccount" => {
            if !name.is_empty() {
                causes.each(&name, names::dns_subdomain(name.text()));
            }
            if !group.is_empty() {
                causes.unsupported(&group, &[""]);
            }
            if !is_namespaced && at.at("namespace").is_empty() {
                causes.required(&at.at("namespace"), "");
            }
        }
        "User" | "Group" => {
            if group.text() != GROUP {
                causes.unsupported(&group, &[GROUP]);
            }
        }
        _ => causes.unsupported(&at.at("kind"), &["ServiceAccount", "User", "Group"]),
    }
}

/// The role of a binding stays.
pub fn update_binding(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        let (role, before) = (At::top(new, "roleRef"), At::top(old, "roleRef"));
        if !same(role.value(), before.value()) {
            causes.invalid(&role, "cannot change roleRef");
        }
    })
}
