//! Limit ranges and resource quotas.

use super::edit::{child, each, fill, object, text};
use super::entry::columns::{AGE, NAME};
use super::{Column, Kind, NO_RULES, Object, Rules, print};
use crate::api::validate;
use serde_json::{Value, json};
use std::borrow::Cow;

pub(super) const LIMIT_RANGE: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "LimitRange",
    "limitranges",
    "limitrange",
    short: names!["limits"],
    columns: Cow::Borrowed(RANGE_COLUMNS),
    rules: Rules { validate: validate::misc::limit_range, default: default_range, ..NO_RULES },
);

pub(super) const RESOURCE_QUOTA: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "ResourceQuota",
    "resourcequotas",
    "resourcequota",
    short: names!["quota"],
    status: true,
    columns: Cow::Borrowed(QUOTA_COLUMNS),
    rules: Rules {
        validate: validate::misc::quota,
        validate_update: validate::misc::update_quota,
        prepare_create: |quota| quota.set(&["status"], json!({})),
        ..NO_RULES
    },
);

const RANGE_COLUMNS: &[Column] = &[
    NAME,
    print::column("Created At", "date", "When it was made.", |range, _| {
        print::text(range, &["metadata", "creationTimestamp"])
    }),
];

const QUOTA_COLUMNS: &[Column] = &[
    NAME,
    print::column("Request", "string", "Used and allowed requests.", |quota, _| used(quota, false)),
    print::column("Limit", "string", "Used and allowed limits.", |quota, _| used(quota, true)),
    AGE,
];

/// What a container range leaves open follows from its narrower bounds.
/// Source: pkg/apis/core/v1/defaults.go `SetDefaults_LimitRangeItem`.
fn default_range(range: &mut Object) {
    for item in each(object(&mut range.0, "spec"), "limits") {
        if text(item, "type") != "Container" {
            continue;
        }
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let known = child(item, from).cloned().unwrap_or_default();
            fill(item, to, &known);
        }
    }
}

fn used(quota: &Object, of_limits: bool) -> Value {
    let hard = quota.at(&["status", "hard"]).and_then(Value::as_object);
    let mut parts = Vec::new();
    for (name, allowed) in hard.into_iter().flatten() {
        if name.starts_with("limits.") == of_limits {
            let used = quota.text(&["status", "used", name]);
            let used = if used.is_empty() { "0" } else { used };
            parts.push(format!("{name}: {used}/{}", allowed.as_str().unwrap_or_default()));
        }
    }
    parts.sort();
    parts.join(", ").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upper_bound_is_the_default_limit_and_request() {
        let mut range = Object::from_value(json!({"spec": {"limits": [
            {"type": "Container", "max": {"cpu": "1"}, "min": {"memory": "1Mi"}}]}}))
        .unwrap();
        default_range(&mut range);
        let item = &print::list(&range, &["spec", "limits"])[0];
        assert_eq!(item["default"], json!({"cpu": "1"}));
        assert_eq!(item["defaultRequest"], json!({"cpu": "1", "memory": "1Mi"}));
    }
}
