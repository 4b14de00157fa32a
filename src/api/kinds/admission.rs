//! Kinds of the group `admissionregistration.k8s.io`.
//!
//! Source: pkg/apis/admissionregistration/v1/defaults.go.

use super::edit::{Fields, child, each, missing, object, zero};
use super::entry::columns::{AGE, NAME};
use super::{Column, Generation, Kind, NO_RULES, Object, Rules, old, print};
use crate::api::validate::admission as validate;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

pub(super) const MUTATING_ADMISSION_POLICY: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "MutatingAdmissionPolicy",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicy",
    served: old::MUTATING_ADMISSION_POLICY,
    categories: names!["api-extensions"],
    generation: Generation::Spec,
    columns: Cow::Borrowed(MUTATIONS),
    rules: Rules { default: default_policy, ..NO_RULES },
);

pub(super) const MUTATING_ADMISSION_POLICY_BINDING: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "MutatingAdmissionPolicyBinding",
    "mutatingadmissionpolicybindings",
    "mutatingadmissionpolicybinding",
    served: old::MUTATING_ADMISSION_POLICY_BINDING,
    categories: names!["api-extensions"],
    generation: Generation::Spec,
    columns: Cow::Borrowed(BINDINGS),
    rules: Rules { default: default_binding, ..NO_RULES },
);

pub(super) const MUTATING_WEBHOOK_CONFIGURATION: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    "mutatingwebhookconfiguration",
    served: old::MUTATING_WEBHOOK_CONFIGURATION,
    categories: names!["api-extensions"],
    generation: Generation::Body,
    columns: Cow::Borrowed(WEBHOOKS),
    rules: Rules { default: default_mutating, validate: validate::webhooks, ..NO_RULES },
);

pub(super) const VALIDATING_ADMISSION_POLICY: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "ValidatingAdmissionPolicy",
    "validatingadmissionpolicies",
    "validatingadmissionpolicy",
    served: old::VALIDATING_ADMISSION_POLICY,
    categories: names!["api-extensions"],
    status: true,
    generation: Generation::Spec,
    columns: Cow::Borrowed(VALIDATIONS),
    rules: Rules {
        default: default_policy,
        prepare_create: |policy| policy.set(&["status"], json!({"observedGeneration": 1, "typeChecking": {}})),
        ..NO_RULES
    },
);

pub(super) const VALIDATING_ADMISSION_POLICY_BINDING: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings",
    "validatingadmissionpolicybinding",
    served: old::VALIDATING_ADMISSION_POLICY_BINDING,
    categories: names!["api-extensions"],
    generation: Generation::Spec,
    columns: Cow::Borrowed(BINDINGS),
    rules: Rules { default: default_binding, ..NO_RULES },
);

pub(super) const VALIDATING_WEBHOOK_CONFIGURATION: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    "validatingwebhookconfiguration",
    served: old::VALIDATING_WEBHOOK_CONFIGURATION,
    categories: names!["api-extensions"],
    generation: Generation::Body,
    columns: Cow::Borrowed(WEBHOOKS),
    rules: Rules { default: default_validating, validate: validate::webhooks, ..NO_RULES },
);

const WEBHOOKS: &[Column] = &[
    NAME,
    print::column("Webhooks", "integer", "Number of webhooks.", |configuration, _| {
        print::count(configuration, &["webhooks"]).into()
    }),
    AGE,
];

const VALIDATIONS: &[Column] = &[
    NAME,
    print::column("Validations", "integer", "Number of conditions.", |policy, _| {
        print::count(policy, &["spec", "validations"]).into()
    }),
    print::column("ParamKind", "string", "Kind of its parameters.", |policy, _| parameter_kind(policy)),
    AGE,
];

const MUTATIONS: &[Column] = &[
    NAME,
    print::column("Mutations", "integer", "Number of changes.", |policy, _| {
        print::count(policy, &["spec", "mutations"]).into()
    }),
    print::column("ParamKind", "string", "Kind of its parameters.", |policy, _| parameter_kind(policy)),
    AGE,
];

const BINDINGS: &[Column] = &[
    NAME,
    print::column("PolicyName", "string", "The policy that is bound.", |binding, _| {
        print::text(binding, &["spec", "policyName"])
    }),
    print::column("ParamRef", "string", "Its parameters.", |binding, _| parameters(binding)),
    AGE,
];

fn default_mutating(configuration: &mut Object) {
    for webhook in each(&mut configuration.0, "webhooks") {
        missing(webhook, "reinvocationPolicy", "Never");
        default_webhook(webhook);
    }
}

fn default_validating(configuration: &mut Object) {
    each(&mut configuration.0, "webhooks").for_each(default_webhook);
}

fn default_webhook(webhook: &mut Fields) {
    missing(webhook, "failurePolicy", "Fail");
    missing(webhook, "matchPolicy", "Equivalent");
    missing(webhook, "namespaceSelector", Map::new());
    missing(webhook, "objectSelector", Map::new());
    missing(webhook, "timeoutSeconds", 10);
    each(webhook, "rules").for_each(|rule| missing(rule, "scope", "*"));
    if let Some(service) = child(webhook, "clientConfig").and_then(|config| child(config, "service")) {
        missing(service, "port", 443);
    }
}

fn default_policy(policy: &mut Object) {
    let spec = object(&mut policy.0, "spec");
    missing(spec, "failurePolicy", "Fail");
    if let Some(constraints) = child(spec, "matchConstraints") {
        default_constraints(constraints);
    }
}

fn default_binding(binding: &mut Object) {
    if let Some(resources) = child(object(&mut binding.0, "spec"), "matchResources") {
        default_constraints(resources);
    }
}

fn default_constraints(constraints: &mut Fields) {
    zero(constraints, "matchPolicy", "Equivalent");
    missing(constraints, "namespaceSelector", Map::new());
    missing(constraints, "objectSelector", Map::new());
    for list in ["resourceRules", "excludeResourceRules"] {
        each(constraints, list).for_each(|rule| missing(rule, "scope", "*"));
    }
}

fn parameter_kind(policy: &Object) -> Value {
    match policy.at(&["spec", "paramKind"]).filter(|kind| kind.is_object()) {
        Some(kind) => format!("{}/{}", print::field(kind, "apiVersion"), print::field(kind, "kind")).into(),
        None => "<unset>".into(),
    }
}

fn parameters(binding: &Object) -> Value {
    let Some(reference) = binding.at(&["spec", "paramRef"]).filter(|value| value.is_object()) else {
        return "<unset>".into();
    };
    let (namespace, name) = (print::field(reference, "namespace"), print::field(reference, "name"));
    if name.is_empty() {
        return "*".into();
    }
    if namespace.is_empty() { name.into() } else { format!("{namespace}/{name}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_fails_closed_after_ten_seconds() {
        let mut configuration = Object::from_value(json!({"webhooks": [{"rules": [{}],
            "clientConfig": {"service": {"name": "a"}}}]}))
        .unwrap();
        default_mutating(&mut configuration);
        let webhook = &print::list(&configuration, &["webhooks"])[0];
        assert_eq!(webhook["failurePolicy"], "Fail");
        assert_eq!(webhook["timeoutSeconds"], 10);
        assert_eq!(webhook["rules"][0]["scope"], "*");
        assert_eq!(webhook["clientConfig"]["service"]["port"], 443);
    }
}
