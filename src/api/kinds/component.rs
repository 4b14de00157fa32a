//! `ComponentStatus`: whether the parts of the control plane live. They are asked when somebody wants to know, and never stored.
//!
//! Source: pkg/registry/core/componentstatus, pkg/printers/internalversion/printers.go.

use super::entry::columns::NAME;
use super::{Column, Kind, Object, READ_ONLY, print};
use serde_json::Value;
use std::borrow::Cow;

pub(super) const COMPONENT_STATUS: Kind = kind!(
    Cluster,
    "" / "v1",
    "io.k8s.api.core",
    "ComponentStatus",
    "componentstatuses",
    "componentstatus",
    short: names!["cs"],
    verbs: READ_ONLY,
    columns: Cow::Borrowed(COLUMNS),
);

const COLUMNS: &[Column] = &[
    NAME,
    print::column("Status", "string", "Whether it lives.", |component, _| {
        match print::field(healthy(component), "status") {
            "True" => "Healthy".into(),
            "False" => "Unhealthy".into(),
            _ => "Unknown".into(),
        }
    }),
    print::column("Message", "string", "What it says.", |component, _| {
        print::field(healthy(component), "message").into()
    }),
    print::column("Error", "string", "What is wrong with it.", |component, _| {
        print::field(healthy(component), "error").into()
    }),
];

fn healthy(component: &Object) -> &Value {
    let mut conditions = print::list(component, &["conditions"]).iter();
    conditions.find(|condition| condition["type"] == "Healthy").unwrap_or(&Value::Null)
}
