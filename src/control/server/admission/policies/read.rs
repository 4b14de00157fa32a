//! Policies and bindings, read once for all requests.

use crate::api::Object;
use crate::control::server::admission::expressions::{Conditions, POLICY};
use crate::control::server::admission::matching::Matching;
use crate::control::server::cel::Expression;
use serde_json::Value;

/// Policies that are bound to something.
#[derive(Default)]
pub struct Policies {
    pub bound: Vec<(Policy, Vec<Binding>)>,
}

/// A policy.
pub struct Policy {
    pub name: String,
    pub matching: Matching,
    /// Whether a request goes on when an expression fails.
    pub may_fail: bool,
    /// `apiVersion` and `kind` of its parameters.
    pub parameters: Option<(String, String)>,
    pub conditions: Conditions,
    pub variables: Vec<(String, Result<Expression, String>)>,
    pub validations: Vec<Validation>,
}

/// One rule of a policy.
pub struct Validation {
    pub text: String,
    pub expression: Result<Expression, String>,
    pub message: String,
    pub message_expression: Option<Expression>,
    pub reason: String,
}

/// Where a policy counts.
pub struct Binding {
    pub name: String,
    pub matching: Matching,
    pub parameters: Option<Value>,
    pub denies: bool,
    pub warns: bool,
}

impl Policies {
    pub fn read(policies: &[Object], bindings: &[Object]) -> Self {
        let bound = policies.iter().filter_map(|policy| {
            let own = bindings.iter().filter(|binding| binding.text(&["spec", "policyName"]) == policy.name());
            let own: Vec<Binding> = own.map(Binding::read).collect();
            (!own.is_empty()).then(|| (Policy::read(policy), own))
        });
        Self { bound: bound.collect() }
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().into()
}

impl Policy {
    fn read(policy: &Object) -> Self {
        let spec = policy.0.get("spec").unwrap_or(&Value::Null);
        let each = |field: &str| spec[field].as_array().into_iter().flatten();
        let compile = |value: &Value| Expression::compile(value.as_str().unwrap_or_default(), &POLICY);
        Self {
            name: policy.name().into(),
            // Selectors that cannot be read were refused when they were written.
            matching: Matching::read(&spec["matchConstraints"]).unwrap_or_default(),
            may_fail: spec["failurePolicy"] == "Ignore",
            parameters: spec["paramKind"].as_object().map(|_| {
                let kind = &spec["paramKind"];
                (text(kind, "apiVersion"), text(kind, "kind"))
            }),
            conditions: Conditions::read(&spec["matchConditions"], &POLICY),
            variables: each("variables").map(|one| (text(one, "name"), compile(&one["expression"]))).collect(),
            validations: each("validations")
                .map(|one| Validation {
                    text: text(one, "expression"),
                    expression: compile(&one["expression"]),
                    message: text(one, "message").trim().into(),
                    message_expression: compile(&one["messageExpression"]).ok(),
                    reason: text(one, "reason"),
                })
                .collect(),
        }
    }
}

impl Binding {
    fn read(binding: &Object) -> Self {
        let spec = binding.0.get("spec").unwrap_or(&Value::Null);
        let acts = |name: &str| spec["validationActions"].as_array().into_iter().flatten().any(|action| action == name);
        Self {
            name: binding.name().into(),
            matching: Matching::read(&spec["matchResources"]).unwrap_or_default(),
            parameters: spec.get("paramRef").filter(|reference| reference.is_object()).cloned(),
            denies: acts("Deny"),
            warns: acts("Warn"),
        }
    }
}
