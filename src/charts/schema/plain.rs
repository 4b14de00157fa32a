//! Which schemas are so plain that their explanation decides alone, and no validator has to be compiled for them.
//!
//! Compiling one takes longer than rendering a chart. A schema is plain when every rule in it means the same in all drafts
//! since 7, is shaped as the drafts want it, and is followed exactly by [`super::explain`].

use crate::charts::values::Value;

/// Drafts whose plain rules agree; the first is the name of the newest.
const DRAFTS: &[&str] = &[
    "json-schema.org/schema",
    "json-schema.org/draft-07/schema",
    "json-schema.org/draft/2019-09/schema",
    "json-schema.org/draft/2020-12/schema",
];
/// Rules that the explanation only comes close to, or that drafts see differently.
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
        "$id" => rule.is_string(),
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
        word => !HARD.contains(&word),
    }
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
    !pattern.contains('\\') && !pattern.contains("(?") && regex::Regex::new(pattern).is_ok()
}

fn is_inside(target: &str, root: &Value) -> bool {
    let pointer = target.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
    pointer.is_some_and(|pointer| pointer.starts_with('/') && root.pointer(pointer).is_some())
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
