//! Roles and their bindings.
//!
//! Source: pkg/apis/rbac/v1/defaults.go.

use super::edit::{each, object, text, zero};
use super::entry::columns::{AGE, NAME};
use super::{Column, Kind, NO_RULES, Object, Rules, old, print};
use crate::api::validate;
use serde_json::Value;
use std::borrow::Cow;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) const CLUSTER_ROLE: Kind = kind!(
    Cluster,
    "rbac.authorization.k8s.io" / "v1",
    "io.k8s.api.rbac",
    "ClusterRole",
    "clusterroles",
    "clusterrole",
    served: old::CLUSTER_ROLE,
    columns: Cow::Borrowed(ROLE_COLUMNS),
    rules: Rules { validate: validate::rbac::cluster_role, ..ROLE_RULES },
);

pub(super) const CLUSTER_ROLE_BINDING: Kind = kind!(
    Cluster,
    "rbac.authorization.k8s.io" / "v1",
    "io.k8s.api.rbac",
    "ClusterRoleBinding",
    "clusterrolebindings",
    "clusterrolebinding",
    served: old::CLUSTER_ROLE_BINDING,
    columns: Cow::Borrowed(BINDING_COLUMNS),
    rules: Rules {
        validate: validate::rbac::cluster_role_binding,
        validate_update: validate::rbac::update_binding,
        ..BINDING_RULES
    },
);

pub(super) const ROLE: Kind = kind!(
    Namespaced,
    "rbac.authorization.k8s.io" / "v1",
    "io.k8s.api.rbac",
    "Role",
    "roles",
    "role",
    served: old::ROLE,
    columns: Cow::Borrowed(ROLE_COLUMNS),
    rules: Rules { validate: validate::rbac::role, ..ROLE_RULES },
);

pub(super) const ROLE_BINDING: Kind = kind!(
    Namespaced,
    "rbac.authorization.k8s.io" / "v1",
    "io.k8s.api.rbac",
    "RoleBinding",
    "rolebindings",
    "rolebinding",
    served: old::ROLE_BINDING,
    columns: Cow::Borrowed(BINDING_COLUMNS),
    rules: Rules {
        validate: validate::rbac::role_binding,
        validate_update: validate::rbac::update_binding,
        ..BINDING_RULES
    },
);

const ROLE_RULES: Rules = Rules { default: default_role, ..NO_RULES };
const BINDING_RULES: Rules = Rules { default: default_binding, ..NO_RULES };

const ROLE_COLUMNS: &[Column] = &[
    NAME,
    print::column("Created At", "date", "When it was made.", |role, _| {
        print::text(role, &["metadata", "creationTimestamp"])
    }),
];

const BINDING_COLUMNS: &[Column] = &[
    NAME,
    print::column("Role", "string", "The role that is granted.", |binding, _| {
        format!("{}/{}", binding.text(&["roleRef", "kind"]), binding.text(&["roleRef", "name"])).into()
    }),
    AGE,
    print::wide("Users", "string", "Users that have it.", |binding, _| subjects(binding, "User")),
    print::wide("Groups", "string", "Groups that have it.", |binding, _| subjects(binding, "Group")),
    print::wide("ServiceAccounts", "string", "Service accounts that have it.", |binding, _| {
        subjects(binding, "ServiceAccount")
    }),
];

/// A role without rules says so.
fn default_role(role: &mut Object) {
    role.0.entry("rules").or_insert(Value::Null);
}

fn default_binding(binding: &mut Object) {
    zero(object(&mut binding.0, "roleRef"), "apiGroup", GROUP);
    for subject in each(&mut binding.0, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            zero(subject, "apiGroup", GROUP);
        }
    }
}

fn subjects(binding: &Object, kind: &str) -> Value {
    let all = print::list(binding, &["subjects"]).iter().filter(|subject| subject["kind"] == kind);
    let names = all.map(|subject| match kind {
        "ServiceAccount" => format!("{}/{}", print::field(subject, "namespace"), print::field(subject, "name")),
        _ => print::field(subject, "name").to_string(),
    });
    names.collect::<Vec<_>>().join(", ").into()
}
