//! Which schemas are so plain that values can be held against them as they are, without making them ready.
//!
//! Making one ready takes longer than rendering a chart. A schema is plain when every rule in it means the same in all drafts
//! since 7, is shaped as the drafts want it, and is followed by [`fits`]. Where values do not fit, the whole way tells why.

use super::check::{same, twice};
use super::draft;
use super::words::kind;
use crate::charts::functions::expression;
use crate::charts::values::{Map, Value};

/// How many references may lead to each other without going down in the value.
const DEEPEST: usize = 100;

/// Drafts whose plain rules agree; the first is the name of the newest.
const DRAFTS: &[&str] = &[
    "json-schema.org/schema",
    "json-schema.org/draft-07/schema",
    "json-schema.org/draft/2019-09/schema",
    "json-schema.org/draft/2020-12/schema",
];
/// Rules that are not followed here, or that drafts see differently.
const HARD: &[&str] = &[
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$schema",
    "$vocabulary",
    "additionalItems",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "id",
    "maxContains",
    "minContains",
    "multipleOf",
    "prefixItems",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const TYPES: &[&str] = &["array", "boolean", "integer", "null", "number", "object", "string"];

/// Whether the schema is plain; the rest is for a validator.
pub fn is_plain(schema: &Value) -> bool {
    let Value::Object(rules) = schema else { return false };
    let is_known = |uri: &str| DRAFTS.iter().any(|draft| uri.trim_end_matches('#').ends_with(draft));
    rules.iter().all(|(word, rule)| match word.as_str() {
        "$schema" => rule.as_str().is_some_and(is_known),
        // An address of the whole document moves nothing: references are taken only if they stay inside.
        "$id" => rule.as_str().is_some_and(is_plain_address),
        word => is_plain_rule(word, rule, schema),
    })
}

fn is_plain_schema(schema: &Value, root: &Value) -> bool {
    match schema {
        Value::Bool(_) => true,
        Value::Object(rules) => rules.iter().all(|(word, rule)| is_plain_rule(word, rule, root)),
        _ => false,
    }
}

fn is_plain_rule(word: &str, rule: &Value, root: &Value) -> bool {
    let plain = |schema: &Value| is_plain_schema(schema, root);
    let texts = |list: &[Value]| list.iter().all(Value::is_string);
    match word {
        "type" => is_type(rule),
        "properties" | "$defs" | "definitions" => rule.as_object().is_some_and(|all| all.values().all(plain)),
        "patternProperties" => {
            rule.as_object().is_some_and(|all| all.iter().all(|(name, one)| is_plain_pattern(name) && plain(one)))
        }
        "items" | "additionalProperties" | "not" | "if" | "then" | "else" => plain(rule),
        "allOf" | "anyOf" | "oneOf" => rule.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(plain)),
        "required" => rule.as_array().is_some_and(|all| texts(all)),
        "enum" => rule.is_array(),
        "minimum" | "maximum" => rule.is_number(),
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => rule.is_u64(),
        "uniqueItems" => rule.is_boolean(),
        "pattern" => rule.as_str().is_some_and(is_plain_pattern),
        "$ref" => rule.as_str().is_some_and(|target| is_inside(target, root)),
        "title" | "description" | "$comment" => rule.is_string(),
        "deprecated" | "readOnly" | "writeOnly" => rule.is_boolean(),
        "examples" => rule.is_array(),
        word => !HARD.contains(&word),
    }
}

/// Letters that mean the same in every reading of an address.
fn is_plain_address(address: &str) -> bool {
    let address = address.strip_suffix('#').unwrap_or(address);
    address.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte))
        && super::documents::split(address).is_ok()
        && crate::charts::functions::checked_url(address).is_ok()
}

fn is_type(rule: &Value) -> bool {
    let known = |one: &Value| one.as_str().is_some_and(|word| TYPES.contains(&word));
    match rule {
        Value::Array(all) => !all.is_empty() && all.iter().all(known),
        one => known(one),
    }
}

/// Classes and looks around differ between the languages of patterns; all of them begin with a backslash or `(?`.
fn is_plain_pattern(pattern: &str) -> bool {
    !pattern.contains('\\') && !pattern.contains("(?") && regex_syntax::parse(pattern).is_ok()
}

/// Whether a pattern is found in a text. The most common one is found in all.
fn is_found(pattern: &str, text: &str) -> bool {
    pattern == ".*" || expression(pattern).is_ok_and(|regex| regex.is_match(text))
}

fn is_inside(target: &str, root: &Value) -> bool {
    let pointer = target.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
    pointer.is_some_and(|pointer| pointer.starts_with('/') && root.pointer(pointer).is_some())
}

/// Whether a value fits a plain schema; whole numbers may be floats.
pub fn fits(schema: &Value, value: &Value) -> bool {
    let uri = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    let is_old = draft::named(uri).is_some_and(|draft| draft.version < 2019);
    Plain { root: schema, is_old }.fits(schema, value, 0)
}

#[derive(Clone, Copy)]
struct Plain<'s> {
    root: &'s Value,
    /// Before 2019 `$ref` hides its neighbours.
    is_old: bool,
}

impl Plain<'_> {
    fn fits(self, schema: &Value, value: &Value, depth: usize) -> bool {
        let rules = match schema {
            Value::Object(rules) if depth < DEEPEST => rules,
            other => return *other == Value::Bool(true),
        };
        if let Some(target) = rules.get("$ref").and_then(Value::as_str) {
            let target = self.root.pointer(target.trim_start_matches('#'));
            if !target.is_some_and(|target| self.fits(target, value, depth + 1)) {
                return false;
            }
            if self.is_old {
                return true;
            }
        }
        let count = |rule: &str| rules.get(rule).and_then(Value::as_u64);
        let within = |found: usize, least: &str, most: &str| {
            count(least).is_none_or(|least| found as u64 >= least)
                && count(most).is_none_or(|most| found as u64 <= most)
        };
        let fits_kind = match value {
            Value::Object(table) => within(table.len(), "minProperties", "maxProperties") && self.table(rules, table),
            Value::Array(items) => within(items.len(), "minItems", "maxItems") && self.items(rules, items),
            Value::String(text) => {
                let pattern = rules.get("pattern").and_then(Value::as_str);
                within(text.chars().count(), "minLength", "maxLength")
                    && pattern.is_none_or(|pattern| is_found(pattern, text))
            }
            Value::Number(number) => {
                let bound = |rule: &str| rules.get(rule).and_then(Value::as_f64);
                let number = number.as_f64().unwrap_or_default();
                bound("minimum").is_none_or(|least| number >= least)
                    && bound("maximum").is_none_or(|most| number <= most)
            }
            _ => true,
        };
        fits_kind && fits_first(rules, value) && self.conditions(rules, value, depth + 1)
    }

    fn table(self, rules: &Map, table: &Map) -> bool {
        let is_there = |name: &Value| name.as_str().is_none_or(|name| table.contains_key(name));
        if !rules.get("required").and_then(Value::as_array).is_none_or(|names| names.iter().all(is_there)) {
            return false;
        }
        let known = rules.get("properties").and_then(Value::as_object);
        let patterns = rules.get("patternProperties").and_then(Value::as_object);
        let rest = rules.get("additionalProperties");
        table.iter().all(|(name, value)| {
            let mut seen = false;
            let mut inner = |schema| {
                seen = true;
                self.fits(schema, value, 0)
            };
            if !known.and_then(|known| known.get(name)).is_none_or(&mut inner) {
                return false;
            }
            for (pattern, schema) in patterns.into_iter().flatten() {
                if is_found(pattern, name) && !inner(schema) {
                    return false;
                }
            }
            seen || rest.is_none_or(|rest| self.fits(rest, value, 0))
        })
    }

    fn items(self, rules: &Map, items: &[Value]) -> bool {
        let schema = rules.get("items");
        items.iter().all(|item| schema.is_none_or(|schema| self.fits(schema, item, 0)))
            && (rules.get("uniqueItems") != Some(&Value::Bool(true)) || twice(items).is_none())
    }

    fn conditions(self, rules: &Map, value: &Value, depth: usize) -> bool {
        let here = |schema: &Value| self.fits(schema, value, depth);
        let all = |rule: &str| rules.get(rule).and_then(Value::as_array);
        if rules.get("not").is_some_and(here)
            || !all("allOf").is_none_or(|all| all.iter().all(here))
            || !all("anyOf").is_none_or(|all| all.iter().any(here))
            || all("oneOf").is_some_and(|all| all.iter().filter(|one| here(one)).count() != 1)
        {
            return false;
        }
        let Some(condition) = rules.get("if") else { return true };
        rules.get(if here(condition) { "then" } else { "else" }).is_none_or(here)
    }
}

fn fits_first(rules: &Map, value: &Value) -> bool {
    let fits = |name: &Value| {
        let (name, found) = (name.as_str().unwrap_or_default(), kind(value));
        let is_whole = || value.as_f64().is_some_and(|number| number.fract() == 0.0);
        name == found || name == "integer" && found == "number" && is_whole()
    };
    let fits_type = match rules.get("type") {
        None => true,
        Some(Value::Array(names)) => names.iter().any(fits),
        Some(name) => fits(name),
    };
    fits_type
        && rules.get("const").is_none_or(|wanted| same(wanted, value))
        && rules.get("enum").and_then(Value::as_array).is_none_or(|all| all.iter().any(|one| same(one, value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn common_rules_are_plain_and_odd_ones_are_not() {
        let plain = [
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "title": "x", "type": "object", "enabled": 1}),
            json!({"$schema": "http://json-schema.org/schema#", "type": "object"}),
            json!({"properties": {"a": {"type": ["string", "null"], "minLength": 1, "pattern": "^[a-z]+$"}}, "required": ["a"]}),
            json!({"$defs": {"a": {"items": {"enum": [1]}}}, "additionalProperties": {"$ref": "#/$defs/a"}}),
            json!({"patternProperties": {"^x-": {"oneOf": [{"minimum": 1}, {"not": {"maxItems": 2}}]}}}),
        ];
        for schema in plain {
            assert!(is_plain(&schema), "{schema}");
        }
        let others = [
            json!(true),
            json!({"$schema": "http://json-schema.org/draft-04/schema#"}),
            json!({"type": 3}),
            json!({"properties": {"a": {"format": "ipv4"}}}),
            json!({"properties": {"a": {"$id": "b"}}}),
            json!({"properties": {"a": {"pattern": "\\d"}}}),
            json!({"items": {"$ref": "https://example.com/schema.json"}}),
            json!({"items": {"$ref": "#/$defs/missing"}}),
            json!({"anyOf": []}),
            json!({"allOf": [{"unevaluatedProperties": false}]}),
        ];
        for schema in others {
            assert!(!is_plain(&schema), "{schema}");
        }
    }
}
