//! Expressions of policies and webhooks: what they can look at, conditions that they make, and what is wrong with them when they
//! are written.
//!
//! Source of rules and wording: k8s.io/apiserver `pkg/admission/plugin/cel`,
//! pkg/apis/admissionregistration/validation/validation.go.

use super::matching::Asked;
use super::review::{self, Shown};
use crate::api::{Cause, Kind, Object, names};
use crate::control::server::auth::lookup;
use crate::control::server::cel::{Expression, Scope, authorizer, from_json, rules};
use crate::control::server::identity::Attributes;
use crate::control::server::{Api, Identity};
use serde_json::{Value, json};

/// What conditions can look at.
const REQUEST: [&str; 5] = ["object", "oldObject", "request", "namespaceObject", "authorizer"];
/// What policies can look at.
pub const POLICY: [&str; 7] =
    ["object", "oldObject", "request", "namespaceObject", "authorizer", "params", "variables"];

/// `matchConditions`: all must hold.
#[derive(Debug, Default)]
pub struct Conditions(Vec<(String, Result<Expression, String>)>);

impl Conditions {
    /// Reads the list of a webhook or policy; `names` are the variables that there are.
    pub fn read(list: &Value, names: &[&str]) -> Self {
        let read = |one: &Value| {
            let text = |field: &str| one[field].as_str().unwrap_or_default();
            (text("name").to_string(), Expression::compile(text("expression"), names))
        };
        Self(list.as_array().into_iter().flatten().map(read).collect())
    }

    /// Those of a webhook.
    pub fn of_webhook(list: &Value) -> Self {
        Self::read(list, &REQUEST)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all hold. One that does not hold counts more than one that fails.
    pub fn hold(&self, scope: &Scope) -> Result<bool, String> {
        let mut failed = None;
        for (name, expression) in &self.0 {
            match expression.as_ref().map_err(String::clone).and_then(|expression| expression.is_true(scope)) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) => failed = Some(format!("match condition {name:?}: {why}")),
            }
        }
        failed.map_or(Ok(true), Err)
    }
}

/// The variables of a request.
pub fn scope(api: &Api, asked: &Asked, shown: &Shown, user: &Identity, is_dry_run: bool) -> Scope {
    let mut scope = Scope::default();
    scope.set("object", from_json(&shown.object));
    scope.set("oldObject", from_json(&shown.old));
    let mut request = review::request(asked, shown, user, is_dry_run, "");
    if let Some(fields) = request.as_object_mut() {
        ["object", "oldObject", "uid"].iter().for_each(|field| drop(fields.remove(*field)));
        // Texts that are not given are empty, as in the type that upstream declares.
        for field in ["name", "namespace", "subResource", "requestSubResource"] {
            fields.entry(field).or_insert_with(|| json!(""));
        }
    }
    scope.set("request", from_json(&request));
    scope.set("authorizer", authorizer(&api.authorizer, user, &requested(&request)));
    let namespace = match (asked.resource, &*asked.namespace) {
        (_, "") => None,
        (_, name) => lookup::object(&api.store, "namespaces", "", name),
    };
    scope.set("namespaceObject", namespace.map_or(cel::Value::Null, |one| from_json(&Value::Object(one.0))));
    scope
}

/// What a request is for, as rules see it.
fn requested(request: &Value) -> Attributes {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let resource = &request["resource"];
    Attributes {
        group: text(&resource["group"]),
        version: text(&resource["version"]),
        resource: text(&resource["resource"]),
        subresource: text(&request["subResource"]),
        namespace: text(&request["namespace"]),
        name: text(&request["name"]),
        ..Attributes::default()
    }
}

/// What is wrong with the expressions of an object, for kinds that have some.
pub fn faults(kind: &Kind, object: &Object) -> Vec<Cause> {
    match (kind.group(), &*kind.plural) {
        ("apiextensions.k8s.io", "customresourcedefinitions") => rules::definition_faults(object),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            let hooks = object.at(&["webhooks"]).and_then(Value::as_array);
            let each = hooks.into_iter().flatten().enumerate();
            each.flat_map(|(index, hook)| {
                conditions(&hook["matchConditions"], &format!("webhooks[{index}].matchConditions"), &REQUEST)
            })
            .collect()
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => policy(object),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => binding(object),
        _ => Vec::new(),
    }
}

fn conditions(list: &Value, path: &str, names: &[&str]) -> Vec<Cause> {
    let mut causes = Vec::new();
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    if list.len() > 64 {
        causes.push(Cause::too_many(path, list.len() as u64, 64));
    }
    for (index, one) in list.iter().enumerate() {
        let at = format!("{path}[{index}]");
        let name = one["name"].as_str().unwrap_or_default();
        match names::qualified_name(name) {
            _ if name.is_empty() => causes.push(Cause::required(format!("{at}.name"), "")),
            wrong if !wrong.is_empty() => {
                causes.push(Cause::invalid(format!("{at}.name"), &one["name"], &wrong.join(",")));
            }
            _ => {}
        }
        if list[..index].iter().any(|other| other["name"] == one["name"]) {
            causes.push(Cause::duplicate(format!("{at}.name"), &one["name"]));
        }
        expression(&mut causes, &one["expression"], &format!("{at}.expression"), names);
    }
    causes
}

fn expression(causes: &mut Vec<Cause>, value: &Value, path: &str, names: &[&str]) {
    match value.as_str().unwrap_or_default() {
        text if text.trim().is_empty() => causes.push(Cause::required(path, "")),
        text => {
            if let Err(why) = Expression::compile(text, names) {
                causes.push(Cause::invalid(path, value, &why));
            }
        }
    }
}

fn policy(policy: &Object) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = policy.0.get("spec").unwrap_or(&Value::Null);
    let list = |field: &str| spec[field].as_array().map(Vec::as_slice).unwrap_or_default();
    if list("validations").is_empty() && list("auditAnnotations").is_empty() {
        let why = "validations or auditAnnotations must be non-empty";
        causes.push(Cause::required("spec.validations", &format!("{why}: at least one must be specified")));
    }
    if spec["matchConstraints"]["resourceRules"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required("spec.matchConstraints.resourceRules", ""));
    }
    if spec["paramKind"].is_object() {
        for field in ["apiVersion", "kind"] {
            if spec["paramKind"][field].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::required(format!("spec.paramKind.{field}"), ""));
            }
        }
    }
    // Without a kind there are no parameters to look at.
    let names: Vec<&str> =
        POLICY.into_iter().filter(|name| *name != "params" || spec["paramKind"].is_object()).collect();
    causes.extend(conditions(&spec["matchConditions"], "spec.matchConditions", &names));
    for (index, one) in list("variables").iter().enumerate() {
        let at = format!("spec.variables[{index}]");
        let name = one["name"].as_str().unwrap_or_default();
        if !names::c_identifier(name).is_empty() {
            causes.push(Cause::invalid(format!("{at}.name"), &one["name"], "name is not a valid CEL identifier"));
        }
        if list("variables")[..index].iter().any(|other| other["name"] == one["name"]) {
            causes.push(Cause::duplicate(format!("{at}.name"), &one["name"]));
        }
        expression(&mut causes, &one["expression"], &format!("{at}.expression"), &names);
    }
    for (index, one) in list("validations").iter().enumerate() {
        let at = format!("spec.validations[{index}]");
        expression(&mut causes, &one["expression"], &format!("{at}.expression"), &names);
        if one["messageExpression"].as_str().is_some_and(|text| !text.is_empty()) {
            expression(&mut causes, &one["messageExpression"], &format!("{at}.messageExpression"), &names);
        }
        const REASONS: [&str; 4] = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
        if let Some(reason) = one["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
            causes.push(Cause::not_supported(format!("{at}.reason"), &json!(reason), &REASONS));
        }
    }
    for (index, one) in list("auditAnnotations").iter().enumerate() {
        let at = format!("spec.auditAnnotations[{index}].valueExpression");
        expression(&mut causes, &one["valueExpression"], &at, &names);
    }
    causes
}

fn binding(binding: &Object) -> Vec<Cause> {
    const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
    let mut causes = Vec::new();
    if binding.text(&["spec", "policyName"]).is_empty() {
        causes.push(Cause::required("spec.policyName", ""));
    }
    let actions = binding.at(&["spec", "validationActions"]).and_then(Value::as_array);
    let actions = actions.map(Vec::as_slice).unwrap_or_default();
    if actions.is_empty() {
        causes.push(Cause::required("spec.validationActions", "at least one validation action is required"));
    }
    for (index, action) in actions.iter().enumerate() {
        let at = format!("spec.validationActions[{index}]");
        if !ACTIONS.iter().any(|known| action == known) {
            causes.push(Cause::not_supported(at.clone(), action, &ACTIONS));
        }
        if actions[..index].contains(action) {
            causes.push(Cause::duplicate(at, action));
        }
    }
    if ["Deny", "Warn"].iter().all(|name| actions.iter().any(|action| action == name)) {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                   response and headers serves no purpose)";
        causes.push(Cause::invalid("spec.validationActions", &json!(actions), why));
    }
    if let Some(reference) = binding.at(&["spec", "paramRef"]).filter(|reference| reference.is_object()) {
        let has_name = reference["name"].as_str().is_some_and(|name| !name.is_empty());
        if has_name == reference["selector"].is_object() {
            let why = if has_name {
                "name and selector are mutually exclusive"
            } else {
                "one of name or selector must be specified"
            };
            causes.push(Cause::required("spec.paramRef", why));
        }
        if reference["parameterNotFoundAction"].is_null() {
            causes.push(Cause::required("spec.paramRef.parameterNotFoundAction", ""));
        }
    }
    causes
}
