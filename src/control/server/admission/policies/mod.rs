//! ValidatingAdmissionPolicies: rules as expressions, bound to what they are about and to their parameters.
//!
//! ```text
//! change ─▶ policy: rules ▸ selectors ─▶ each binding: rules ▸ selectors ▸ parameters ─▶ conditions ▸ validations
//!                                                                                        └▶ refused, warned of
//! ```
//!
//! Audit annotations are checked and not kept: this server has no audit log to keep them in.
//!
//! Source of rules and wording: k8s.io/apiserver `pkg/admission/plugin/policy/validating`.

mod read;

use super::expressions;
use super::matching::Asked;
use super::review::{self, Shown};
use super::{Change, Plugin, Verb};
use crate::api::kinds::KindRef;
use crate::api::selector::Selector;
use crate::api::{Object, Status, kinds};
use crate::control::server::cached::Cached;
use crate::control::server::cel::{Scope, from_json};
use crate::control::server::{Api, objects, resource};
use crate::control::store::Store;
use async_trait::async_trait;
use read::{Binding, Policies, Policy};
use serde_json::{Value, json};

const RESOURCES: &[&str] = &[
    "admissionregistration.k8s.io/validatingadmissionpolicies",
    "admissionregistration.k8s.io/validatingadmissionpolicybindings",
];

/// The plugin.
pub struct ValidatingPolicies(Cached<Policies>);

/// A validation that failed.
struct Failure {
    message: String,
    reason: String,
}

impl ValidatingPolicies {
    pub fn new(store: &Store) -> Self {
        Self(Cached::new(store, RESOURCES, |all| Policies::read(&all[0], &all[1])))
    }
}

#[async_trait]
impl Plugin for ValidatingPolicies {
    async fn validate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let policies = self.0.now();
        match policies.bound.is_empty() {
            true => Ok(()),
            // Large, and nearly always for nothing.
            false => Box::pin(validate_by_all(api, change, &policies)).await,
        }
    }
}

async fn validate_by_all(api: &Api, change: &mut Change<'_>, policies: &Policies) -> Result<(), Status> {
    let asked = Asked::of(change);
    if asked.is_exempt() {
        return Ok(());
    }
    for (policy, bindings) in &policies.bound {
        let Some(version) = policy.matching.version(&asked) else { continue };
        let new = (change.verb != Verb::Delete).then_some(&*change.object);
        if !policy.matching.selects(api, &asked, [new, change.old])? {
            continue;
        }
        let shown = review::shown(api, change, &version).await?;
        for binding in bindings {
            let matching = &binding.matching;
            if !matching.has_no_rules() && matching.version(&asked).is_none() {
                continue;
            }
            let new = (change.verb != Verb::Delete).then_some(&*change.object);
            if !matching.selects(api, &asked, [new, change.old])? {
                continue;
            }
            judge(api, change, &asked, &shown, (policy, binding))?;
        }
    }
    Ok(())
}

/// Asks a policy with all parameters of a binding.
fn judge(
    api: &Api,
    change: &mut Change<'_>,
    asked: &Asked,
    shown: &Shown,
    (policy, binding): (&Policy, &Binding),
) -> Result<(), Status> {
    let mut failures = Vec::new();
    match parameters(api, asked, policy, binding) {
        Ok(all) => {
            for parameter in all {
                let mut scope = expressions::scope(api, asked, shown, change.user, change.is_dry_run);
                scope.set("params", parameter.as_ref().map_or(cel::Value::Null, from_json));
                failures.extend(failures_of(policy, &mut scope));
            }
        }
        Err(_) if policy.may_fail => {}
        Err(message) => failures.push(Failure { message, reason: String::new() }),
    }
    let who = format!("ValidatingAdmissionPolicy '{}' with binding '{}'", policy.name, binding.name);
    if binding.warns {
        let lines = failures.iter().map(|failure| format!("Validation failed for {who}: {}", failure.message));
        change.warnings.extend(lines);
    }
    match failures.first().filter(|_| binding.denies) {
        Some(failure) => Err(refused(change, &who, failure)),
        None => Ok(()),
    }
}

fn refused(change: &Change<'_>, who: &str, failure: &Failure) -> Status {
    let message = format!("{who} denied request: {}", failure.message);
    let (code, reason) = match failure.reason.as_str() {
        "Forbidden" => (403, "Forbidden"),
        "Unauthorized" => (401, "Unauthorized"),
        "RequestEntityTooLarge" => (413, "RequestEntityTooLarge"),
        _ => (422, "Invalid"),
    };
    let details = json!({
        "name": change.object.name(), "group": change.kind.group(), "kind": change.kind.plural,
        "causes": [{"message": message}],
    });
    Status::of_somebody(code, reason, change.forbidden(message).message, &details)
}

/// The validations that fail; none if the policy's conditions do not hold.
fn failures_of(policy: &Policy, scope: &mut Scope) -> Vec<Failure> {
    let failed = |message: String| match policy.may_fail {
        true => Vec::new(),
        false => vec![Failure { message, reason: String::new() }],
    };
    let broken = variables(policy, scope);
    match policy.conditions.hold(scope) {
        Ok(true) => {}
        Ok(false) => return Vec::new(),
        Err(why) => return failed(why),
    }
    let mut failures = Vec::new();
    for validation in &policy.validations {
        let result = validation.expression.as_ref().map_err(String::clone);
        match result.and_then(|expression| expression.is_true(scope)) {
            Ok(true) => {}
            Ok(false) => {
                let own = validation.message_expression.as_ref().and_then(|expression| expression.as_text(scope));
                let message = own.unwrap_or_else(|| match validation.message.as_str() {
                    "" => format!("failed expression: {}", validation.text),
                    message => message.to_string(),
                });
                failures.push(Failure { message, reason: validation.reason.clone() });
            }
            Err(why) => {
                // A variable that could not be had is missing: why it is says more than that it is.
                let cause = broken.iter().find(|(name, _)| why == format!("no such key: {name}")).map(|(_, why)| why);
                let why = cause.unwrap_or(&why);
                failures.extend(failed(format!("expression '{}' resulted in error: {why}", validation.text)));
            }
        }
    }
    failures
}

/// Gives the policy's variables their values; returns those that have none, with the reason.
fn variables(policy: &Policy, scope: &mut Scope) -> Vec<(String, String)> {
    let mut values = std::collections::HashMap::new();
    let mut broken = Vec::new();
    let map = |values: &std::collections::HashMap<cel::objects::Key, cel::Value>| {
        cel::Value::Map(cel::objects::Map { map: std::sync::Arc::new(values.clone()) })
    };
    scope.set("variables", map(&values));
    for (name, expression) in &policy.variables {
        match expression.as_ref().map_err(String::clone).and_then(|expression| expression.run(scope)) {
            Ok(value) => {
                values.insert(cel::objects::Key::String(std::sync::Arc::new(name.clone())), value);
                scope.set("variables", map(&values));
            }
            Err(why) => broken.push((name.clone(), why)),
        }
    }
    broken
}

/// The parameters of a binding, one run of the policy for each; one run without any for a policy that takes none.
fn parameters(api: &Api, asked: &Asked, policy: &Policy, binding: &Binding) -> Result<Vec<Option<Value>>, String> {
    let Some((api_version, name)) = &policy.parameters else { return Ok(vec![None]) };
    let Some(reference) = &binding.parameters else { return Ok(vec![None]) };
    let kind = kind_of(api, api_version, name).ok_or_else(|| {
        format!("failed to configure policy: failed to find resource for param kind {api_version}/{name}")
    })?;
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let namespace = match (kind.is_namespaced(), text("namespace")) {
        (false, _) => "",
        (true, "") if asked.namespace.is_empty() => {
            return Err("failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".into());
        }
        (true, "") => &asked.namespace,
        (true, own) => own,
    };
    let found = match text("name") {
        "" => {
            let selector = Selector::from_object(&reference["selector"]).map_err(|error| error.to_string())?;
            let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
            let listing = api.store.list(&resource::store_name(&kind), namespace, None);
            let entries = listing.map_err(|error| error.to_string())?.entries;
            let objects = entries.iter().filter_map(|entry| objects::stored(entry).ok());
            objects
                .filter(|object| {
                    selector.matches(|key| object.labels().find(|(own, _)| *own == key).map(|(_, value)| value))
                })
                .collect::<Vec<Object>>()
        }
        name => {
            let entry = api.store.get(&objects::key(&kind, namespace, name));
            entry.iter().filter_map(|entry| objects::stored(entry).ok()).collect()
        }
    };
    match (found.is_empty(), text("parameterNotFoundAction")) {
        (true, "Allow") => Ok(Vec::new()),
        (true, _) => {
            Err("failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
                .into())
        }
        (false, _) => Ok(found.into_iter().map(|object| Some(Value::Object(object.0))).collect()),
    }
}

fn kind_of(api: &Api, api_version: &str, name: &str) -> Option<KindRef> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let custom = || {
        let mut all = api.custom.all().into_iter();
        let found = all.find(|(own, kind)| own.group == group && own.version == version && kind.kind == name);
        found.map(|(_, kind)| KindRef::Custom(kind))
    };
    kinds::find_kind(group, version, name).map(KindRef::BuiltIn).or_else(custom)
}

#[cfg(test)]
mod tests;
