//! Namespaces.
//!
//! Source: pkg/registry/core/namespace/strategy.go.

use super::edit::{missing, object};
use super::entry::columns::{AGE, NAME};
use super::{Column, Kind, NO_RULES, Object, Rules, print};
use crate::api::validate;
use serde_json::json;
use std::borrow::Cow;

/// Namespaces have no `deletecollection`.
const VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

pub(super) const NAMESPACE: Kind = kind!(
    Cluster,
    "" / "v1",
    "io.k8s.api.core",
    "Namespace",
    "namespaces",
    "namespace",
    short: names!["ns"],
    verbs: VERBS,
    status: true,
    others: subresources!["finalize": "Namespace" &["update"]],
    columns: Cow::Borrowed(COLUMNS),
    rules: Rules {
        validate: validate::misc::namespace,
        default,
        prepare_create,
        prepare_update,
        fields: |namespace| vec![
            ("name", namespace.name().into()),
            ("status.phase", namespace.text(&["status", "phase"]).into()),
        ],
        ..NO_RULES
    },
);

const COLUMNS: &[Column] = &[
    NAME,
    print::column("Status", "string", "Whether it is in use or on its way out.", |namespace, _| {
        print::text(namespace, &["status", "phase"])
    }),
    AGE,
];

/// Every namespace can be selected by its name.
fn default(namespace: &mut Object) {
    let name = namespace.name().to_string();
    if !name.is_empty() {
        let labels = object(object(&mut namespace.0, "metadata"), "labels");
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
    missing(object(&mut namespace.0, "status"), "phase", "Active");
}

/// `spec.finalizers` holds a namespace until its contents are gone.
fn prepare_create(namespace: &mut Object) {
    namespace.set(&["status"], json!({"phase": "Active"}));
    let finalizers = namespace.entry(&["spec", "finalizers"]);
    let is_held = finalizers.as_array().is_some_and(|list| list.iter().any(|name| name == "kubernetes"));
    match finalizers.as_array_mut() {
        Some(_) if is_held => {}
        Some(list) => list.push("kubernetes".into()),
        None => *finalizers = json!(["kubernetes"]),
    }
}

/// Only the `finalize` subresource changes `spec.finalizers`; the server puts it there itself.
fn prepare_update(namespace: &mut Object, old: &Object) {
    if namespace.at(&["spec", "finalizers"]).is_none()
        && !old.is_terminating()
        && let Some(finalizers) = old.at(&["spec", "finalizers"])
    {
        namespace.set(&["spec", "finalizers"], finalizers.clone());
    }
}
