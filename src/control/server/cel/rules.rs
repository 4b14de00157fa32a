//! `x-kubernetes-validations`: rules of custom kinds.
//!
//! A rule is run on the value that it stands at, and on what that was before if it speaks of `oldSelf`. What an update leaves
//! as it was is not judged again.
//!
//! Source of rules and wording: k8s.io/apiextensions-apiserver `pkg/apiserver/schema/cel/validation.go` and
//! `pkg/apis/apiextensions/validation/validation.go`.

use super::{Expression, Scope, from_schema, shape};
use crate::api::custom::Custom;
use crate::api::{Cause, Object};
use cel::objects::OptionalValue;
use serde_json::{Value, json};
use std::any::Any;
use std::sync::Arc;

const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// Rules that fail in one object and are told.
const MOST: usize = 100;

/// A place in a schema with rules at it or below it.
#[derive(Debug, Default)]
struct Node {
    schema: Value,
    rules: Vec<Rule>,
    properties: Vec<(String, Node)>,
    additional: Option<Box<Node>>,
    items: Option<Box<Node>>,
    /// The fields by which items are told apart; nothing where they are not.
    keys: Option<Vec<String>>,
}

#[derive(Debug)]
struct Rule {
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
    /// Below the value, with a dot at its start.
    path: String,
    is_transition: bool,
    has_optional_old: bool,
}

/// What is wrong with an object by the rules of its version.
pub fn faults(custom: &Custom, version: &str, object: &Object, old: Option<&Object>) -> Vec<Cause> {
    let made = read(custom, version);
    let Some(Some(node)) = made.as_ref().and_then(|made| made.downcast_ref::<Option<Node>>()) else {
        return Vec::new();
    };
    let value = Value::Object(object.0.clone());
    let old = old.map(|old| Value::Object(old.0.clone()));
    let mut causes = Vec::new();
    node.check(&mut causes, &value, old.as_ref(), "");
    causes
}

/// What is said in place of the rules of a kind when an object is too wrong for them; nothing if there are none.
pub fn unchecked(custom: &Custom, version: &str) -> Option<Cause> {
    let made = read(custom, version)?;
    made.downcast_ref::<Option<Node>>()?.as_ref()?;
    let why = "some validation rules were not checked because the object was invalid; correct the existing errors to \
               complete validation";
    Some(Cause::invalid("<nil>", &Value::Null, why))
}

fn read(custom: &Custom, version: &str) -> Option<Arc<dyn Any + Send + Sync>> {
    custom.rules(version, |schema| -> Arc<dyn Any + Send + Sync> { Arc::new(Node::read(schema)) })
}

impl Node {
    fn read(schema: &Value) -> Option<Self> {
        let all = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
        // Rules that cannot be read were refused when the definition was written.
        let rules: Vec<Rule> = all.filter_map(Rule::read).collect();
        let below = |name: &str| schema[name].is_object().then(|| Self::read(&schema[name])).flatten().map(Box::new);
        let properties = schema["properties"].as_object().into_iter().flatten();
        let properties: Vec<(String, Node)> =
            properties.filter_map(|(name, schema)| Some((name.clone(), Self::read(schema)?))).collect();
        let (additional, items) = (below("additionalProperties"), below("items"));
        if rules.is_empty() && properties.is_empty() && additional.is_none() && items.is_none() {
            return None;
        }
        let keys = (schema["x-kubernetes-list-type"] == "map").then(|| {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            keys.filter_map(Value::as_str).map(String::from).collect()
        });
        let schema = if rules.is_empty() { Value::Null } else { schema.clone() };
        Some(Self { schema, rules, properties, additional, items, keys })
    }

    fn check(&self, causes: &mut Vec<Cause>, value: &Value, old: Option<&Value>, path: &str) {
        if value.is_null() || old == Some(value) || causes.len() >= MOST {
            return;
        }
        self.run(causes, value, old, path);
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    let before = old.and_then(|old| old.get(name));
                    match self.properties.iter().find(|(own, _)| own == name) {
                        Some((_, node)) if path.is_empty() => node.check(causes, value, before, name),
                        Some((_, node)) => node.check(causes, value, before, &format!("{path}.{name}")),
                        None => {
                            if let Some(node) = &self.additional {
                                node.check(causes, value, before, &format!("{path}[{name}]"));
                            }
                        }
                    }
                }
            }
            Value::Array(list) => {
                let Some(node) = &self.items else { return };
                for (index, item) in list.iter().enumerate() {
                    node.check(causes, item, self.before(item, old), &format!("{path}[{index}]"));
                }
            }
            _ => {}
        }
    }

    /// What an item of a list was before, if it can be told.
    fn before<'a>(&self, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
        let keys = self.keys.as_ref()?;
        old?.as_array()?.iter().find(|other| keys.iter().all(|key| other[key] == item[key]))
    }

    fn run(&self, causes: &mut Vec<Cause>, value: &Value, old: Option<&Value>, path: &str) {
        if self.rules.is_empty() {
            return;
        }
        let mut scope = Scope::default();
        scope.set("self", from_schema(value, &self.schema));
        let before = old.filter(|old| !old.is_null()).map(|old| from_schema(old, &self.schema));
        let kind = self.schema["type"].as_str().unwrap_or("object");
        for rule in &self.rules {
            if rule.has_optional_old {
                let optional = before.clone().map_or_else(OptionalValue::none, OptionalValue::of);
                scope.set("oldSelf", cel::Value::Opaque(Arc::new(optional)));
            } else if rule.is_transition {
                let Some(before) = before.clone() else { continue };
                scope.set("oldSelf", before);
            }
            causes.extend(rule.fault(&scope, kind, path));
        }
    }
}

impl Rule {
    fn read(rule: &Value) -> Option<Self> {
        let text = |field: &str| rule[field].as_str().unwrap_or_default().to_string();
        let expression = Expression::compile(&text("rule"), &["self", "oldSelf"]).ok()?;
        let message_expression = match text("messageExpression") {
            own if own.is_empty() => None,
            own => Expression::compile(&own, &["self", "oldSelf"]).ok(),
        };
        let is_transition = expression.uses("oldSelf");
        Some(Self {
            expression,
            message: text("message").trim().to_string(),
            message_expression,
            reason: text("reason"),
            path: text("fieldPath"),
            is_transition,
            has_optional_old: rule["optionalOldSelf"] == true,
        })
    }

    fn fault(&self, scope: &Scope, kind: &str, path: &str) -> Option<Cause> {
        let named = if self.message.is_empty() { &self.expression.text } else { &self.message };
        match self.expression.is_true(scope) {
            Ok(true) => None,
            Ok(false) => {
                let own = self.message_expression.as_ref().and_then(|expression| expression.as_text(scope));
                let detail = match own {
                    Some(text) => text,
                    None if self.message.is_empty() => format!("failed rule: {}", self.expression.text.trim()),
                    None => self.message.clone(),
                };
                let at = match path {
                    "" => self.path.trim_start_matches('.').to_string(),
                    path => format!("{path}{}", self.path),
                };
                let value = json!(kind);
                Some(match self.reason.as_str() {
                    "FieldValueRequired" => Cause::required(at, &detail),
                    "FieldValueForbidden" => Cause::forbidden(at, &detail),
                    "FieldValueDuplicate" => Cause::duplicate(at, &value),
                    _ => Cause::invalid(at, &value, &detail),
                })
            }
            Err(why) => Some(Cause::invalid(path, &json!(kind), &format!("rule: {named}: {why}"))),
        }
    }
}

/// What is wrong with the rules in a definition.
pub fn definition_faults(definition: &Object) -> Vec<Cause> {
    let mut causes = Vec::new();
    let versions = definition.at(&["spec", "versions"]).and_then(Value::as_array);
    for (index, version) in versions.into_iter().flatten().enumerate() {
        let at = format!("spec.versions[{index}].schema.openAPIV3Schema");
        schema_faults(&mut causes, &version["schema"]["openAPIV3Schema"], &at);
    }
    causes
}

fn schema_faults(causes: &mut Vec<Cause>, schema: &Value, path: &str) {
    let rules = schema["x-kubernetes-validations"].as_array();
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        rule_faults(causes, schema, rule, &format!("{path}.x-kubernetes-validations[{index}]"));
    }
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        schema_faults(causes, child, &format!("{path}.properties[{name}]"));
    }
    for name in ["items", "additionalProperties"].into_iter().filter(|name| schema[*name].is_object()) {
        schema_faults(causes, &schema[name], &format!("{path}.{name}"));
    }
}

fn rule_faults(causes: &mut Vec<Cause>, schema: &Value, rule: &Value, path: &str) {
    let text = |field: &str| rule[field].as_str().unwrap_or_default();
    let own = text("rule");
    if own.trim().is_empty() {
        causes.push(Cause::required(format!("{path}.rule"), "rule is not specified"));
        return;
    }
    let names = ["self", "oldSelf"];
    match Expression::compile(own, &names) {
        Err(why) => causes.push(Cause::invalid(format!("{path}.rule"), &rule["rule"], &why)),
        Ok(expression) => {
            let unknown = match rule["optionalOldSelf"] == true {
                true => None,
                false => shape::unknown_field(expression.parsed(), schema),
            };
            if let Some(why) = unknown {
                let why = format!("compilation failed: {why}");
                causes.push(Cause::invalid(format!("{path}.rule"), &rule["rule"], &why));
            }
            if rule["optionalOldSelf"] == true && !expression.uses("oldSelf") {
                let why = "may not be set if oldSelf is not used in rule";
                causes.push(Cause::invalid(format!("{path}.optionalOldSelf"), &json!(true), why));
            }
        }
    }
    let message = text("messageExpression");
    if !message.is_empty()
        && let Err(why) = Expression::compile(message, &names)
    {
        let why = format!("messageExpression {why}");
        causes.push(Cause::invalid(format!("{path}.messageExpression"), &rule["messageExpression"], &why));
    }
    if text("message").contains('\n') && text("message").trim().contains('\n') {
        causes.push(Cause::invalid(
            format!("{path}.message"),
            &rule["message"],
            "message must not contain line breaks",
        ));
    }
    let reason = text("reason");
    if !reason.is_empty() && !REASONS.contains(&reason) {
        causes.push(Cause::not_supported(format!("{path}.reason"), &rule["reason"], &REASONS));
    }
}
