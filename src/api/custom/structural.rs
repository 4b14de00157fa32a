//! Whether the schema of a custom kind is structural: every field has a type outside of what only validates, and what only
//! validates says nothing but that.
//!
//! Source of rules and wording: k8s.io/apiextensions-apiserver `pkg/apiserver/schema/validation.go` and
//! `pkg/apis/apiextensions/validation/validation.go`.

use super::{list, text};
use crate::api::Cause;
use serde_json::{Map, Value, json};

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// What is in OpenAPI and not in definitions.
const UNSUPPORTED: [&str; 5] = ["id", "additionalItems", "patternProperties", "definitions", "dependencies"];

/// What is wrong with the schema of a version, which is at `path`.
pub fn faults(schema: &Value, path: &str, has_status: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    if schema["nullable"] == true {
        causes.push(Cause::forbidden(format!("{path}.nullable"), "nullable cannot be true at the root"));
    }
    if has_status {
        root_with_status(&mut causes, schema, path);
    }
    supported(&mut causes, schema, path);
    let mut structure = Vec::new();
    node(&mut structure, schema, path, Level::Root);
    complete(&mut structure, schema, schema, path, path);
    structure.sort_by(|a, b| (&a.field, &a.message).cmp(&(&b.field, &b.message)));
    structure.dedup();
    causes.extend(structure);
    causes
}

/// The status is validated apart, so nothing of its rules may be at the root.
fn root_with_status(causes: &mut Vec<Cause>, schema: &Value, path: &str) {
    const WRONG: [&str; 8] =
        ["allOf", "anyOf", "oneOf", "not", "enum", "additionalProperties", "maxProperties", "minProperties"];
    if !text(schema, "type").is_empty() && text(schema, "type") != "object" {
        let why =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        causes.push(Cause::invalid(format!("{path}.type"), &schema["type"], why));
    }
    if WRONG.iter().any(|name| !schema[*name].is_null()) {
        let why = "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength \
                   Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example \
                   XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status \
                   subresource is enabled";
        causes.push(Cause::invalid(path, schema, why));
    }
}

/// Calls `each` for every schema directly in another one, with its path and whether it only validates.
fn children(schema: &Value, path: &str, mut each: impl FnMut(&Value, String, bool)) {
    for name in ["properties", "patternProperties", "definitions"] {
        for (key, value) in schema[name].as_object().into_iter().flatten() {
            each(value, format!("{path}.{name}[{key}]"), false);
        }
    }
    for name in ["items", "additionalProperties"] {
        if schema[name].is_object() {
            each(&schema[name], format!("{path}.{name}"), false);
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, value) in list(schema.get(name)).iter().enumerate() {
            each(value, format!("{path}.{name}[{index}]"), true);
        }
    }
    if schema["not"].is_object() {
        each(&schema["not"], format!("{path}.not"), true);
    }
}

/// What a definition may not say anywhere, and what goes together in lists and maps.
fn supported(causes: &mut Vec<Cause>, schema: &Value, path: &str) {
    let is_there = |name: &str| !schema[name].is_null();
    let kind = text(schema, "type");
    if kind == "null" {
        let why = "type cannot be set to null, use nullable as an alternative";
        causes.push(Cause::forbidden(format!("{path}.type"), why));
    } else if !kind.is_empty() && !TYPES.contains(&kind) {
        causes.push(Cause::not_supported(format!("{path}.type"), &schema["type"], &TYPES));
    }
    for name in UNSUPPORTED.into_iter().filter(|name| is_there(name)) {
        causes.push(Cause::forbidden(format!("{path}.{name}"), &format!("{name} is not supported")));
    }
    if is_there("$ref") {
        causes.push(Cause::forbidden(format!("{path}.$ref"), "$ref is not supported"));
    }
    if schema["items"].is_array() {
        causes.push(Cause::forbidden(format!("{path}.items"), "items must be a schema object and not an array"));
    }
    if schema["uniqueItems"] == true {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        causes.push(Cause::forbidden(format!("{path}.uniqueItems"), why));
    }
    if schema["properties"].is_object() && schema["additionalProperties"].is_object() {
        let why = "additionalProperties and properties are mutual exclusive";
        causes.push(Cause::forbidden(format!("{path}.additionalProperties"), why));
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        let at = format!("{path}.x-kubernetes-preserve-unknown-fields");
        causes.push(Cause::invalid(at, &json!(false), "must be true or undefined"));
    }
    map_type(causes, schema, path);
    list_type(causes, schema, path);
    children(schema, path, |child, path, _| supported(causes, child, &path));
}

fn map_type(causes: &mut Vec<Cause>, schema: &Value, path: &str) {
    let Some(own) = schema["x-kubernetes-map-type"].as_str() else { return };
    wants_type(causes, schema, path, "object", "x-kubernetes-map-type");
    if !matches!(own, "atomic" | "granular") {
        causes.push(Cause::not_supported(
            format!("{path}.x-kubernetes-map-type"),
            &json!(own),
            &["atomic", "granular"],
        ));
    }
}

fn wants_type(causes: &mut Vec<Cause>, schema: &Value, path: &str, wanted: &str, by: &str) {
    let why = format!("must be {wanted} if {by} is specified");
    match text(schema, "type") {
        own if own == wanted => {}
        "" => causes.push(Cause::required(format!("{path}.type"), &why)),
        own => causes.push(Cause::invalid(format!("{path}.type"), &json!(own), &why)),
    }
}

fn list_type(causes: &mut Vec<Cause>, schema: &Value, path: &str) {
    let own = schema["x-kubernetes-list-type"].as_str();
    let keys = list(schema.get("x-kubernetes-list-map-keys"));
    let at = format!("{path}.x-kubernetes-list-type");
    let items = &schema["items"];
    match own {
        None if !keys.is_empty() => {
            causes.push(Cause::required(at, "must be map if x-kubernetes-list-map-keys is non-empty"));
            return;
        }
        None => return,
        Some("atomic" | "set") if !keys.is_empty() => {
            causes.push(Cause::invalid(at, &json!(own), "must be map if x-kubernetes-list-map-keys is non-empty"));
        }
        Some("atomic" | "set" | "map") => {}
        Some(other) => causes.push(Cause::not_supported(at, &json!(other), &["atomic", "set", "map"])),
    }
    wants_type(causes, schema, path, "array", "x-kubernetes-list-type");
    if own == Some("set") {
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let is_wrong = |name: &str, needs: &str| text(items, "type") == needs && items[name] != "atomic";
        for (name, needs) in [("x-kubernetes-map-type", "object"), ("x-kubernetes-list-type", "array")] {
            if is_wrong(name, needs) {
                causes.push(Cause::invalid(format!("{path}.items.{name}"), &items[name], why));
            }
        }
    }
    if own == Some("map") {
        list_keys(causes, schema, keys, path);
    }
}

fn list_keys(causes: &mut Vec<Cause>, schema: &Value, keys: &[Value], path: &str) {
    let at = format!("{path}.x-kubernetes-list-map-keys");
    let items = &schema["items"];
    if keys.is_empty() {
        causes.push(Cause::required(at.clone(), "must not be empty if x-kubernetes-list-type is map"));
    }
    if !items.is_object() {
        causes.push(Cause::required(format!("{path}.items"), "must have a schema if x-kubernetes-list-type is map"));
        return;
    }
    if text(items, "type") != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        causes.push(Cause::invalid(format!("{path}.items.type"), &items["type"], why));
    }
    for (index, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        let property = &items["properties"][name];
        if property.is_null() {
            causes.push(Cause::invalid(at.clone(), &json!(keys), "entries must all be names of item properties"));
        } else if matches!(text(property, "type"), "array" | "object") {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            causes.push(Cause::invalid(format!("{path}.items.properties[{name}].type"), &property["type"], why));
        } else if property.get("default").is_none() && !list(items.get("required")).contains(key) {
            let why =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            causes.push(Cause::required(format!("{path}.items.properties[{name}].default"), why));
        }
        if keys[..index].contains(key) {
            causes.push(Cause::invalid(at.clone(), &json!(keys), "must not contain duplicate entries"));
        }
    }
}

/// The rules of a schema that says what is there.
fn node(causes: &mut Vec<Cause>, schema: &Value, path: &str, level: Level) {
    let is = |name: &str| schema[name] == true;
    let kind = text(schema, "type");
    let (embedded, open, either) = (
        is("x-kubernetes-embedded-resource"),
        is("x-kubernetes-preserve-unknown-fields"),
        is("x-kubernetes-int-or-string"),
    );
    if kind == "array" && schema["items"].is_null() {
        causes.push(Cause::required(format!("{path}.items"), "must be specified"));
    }
    if level == Level::Root && !schema["additionalProperties"].is_null() {
        causes.push(Cause::forbidden(format!("{path}.additionalProperties"), "must not be used at the root"));
    }
    if either && (open || embedded) {
        let name = if open { "x-kubernetes-preserve-unknown-fields" } else { "x-kubernetes-embedded-resource" };
        let why = "must be false if x-kubernetes-int-or-string is true";
        causes.push(Cause::invalid(format!("{path}.{name}"), &json!(true), why));
    }
    let at = format!("{path}.type");
    match (kind, level) {
        ("object", _) => {}
        ("", _) if embedded => {
            causes.push(Cause::required(at, "must be object if x-kubernetes-embedded-resource is true"))
        }
        (_, _) if embedded => {
            causes.push(Cause::invalid(at, &json!(kind), "must be object if x-kubernetes-embedded-resource is true"));
        }
        ("", _) if either || open => {}
        ("", Level::Root) => causes.push(Cause::required(at, "must not be empty at the root")),
        ("", Level::Item) => causes.push(Cause::required(at, "must not be empty for specified array items")),
        ("", Level::Field) => causes.push(Cause::required(at, "must not be empty for specified object fields")),
        (_, Level::Root) => causes.push(Cause::invalid(at, &json!(kind), "must be object at the root")),
        _ => {}
    }
    if embedded && !schema["additionalProperties"].is_null() {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        causes.push(Cause::forbidden(format!("{path}.additionalProperties"), why));
    }
    if embedded && !open && schema["properties"].as_object().is_none_or(Map::is_empty) {
        let why =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        causes.push(Cause::required(format!("{path}.properties"), why));
    }
    if level == Level::Root || embedded {
        object_fields(causes, schema, path, level);
    }
    pattern(causes, schema, path);
    children(schema, path, |child, below, validates| {
        let level = if below.ends_with(".items") { Level::Item } else { Level::Field };
        match validates {
            true => validation(causes, child, &below, may_name_types(schema, child)),
            false => node(causes, child, &below, level),
        }
    });
}

/// What every object has may be described, not changed.
fn object_fields(causes: &mut Vec<Cause>, schema: &Value, path: &str, level: Level) {
    let properties = &schema["properties"];
    for name in ["kind", "apiVersion"] {
        if properties[name].is_object() && text(&properties[name], "type") != "string" {
            let at = format!("{path}.properties[{name}].type");
            causes.push(Cause::invalid(at, &json!(text(&properties[name], "type")), "must be string"));
        }
    }
    let Some(metadata) = properties["metadata"].as_object() else { return };
    let at = format!("{path}.properties[metadata]");
    if metadata.get("type").is_some_and(|kind| kind != "object") {
        causes.push(Cause::invalid(format!("{at}.type"), &metadata["type"], "must be object"));
    }
    let allowed = ["type", "properties", "description", "default"];
    let names = metadata.get("properties").and_then(Value::as_object);
    let only_names =
        names.is_none_or(|names| names.keys().all(|name| matches!(name.as_str(), "name" | "generateName")));
    if level == Level::Root && (!only_names || metadata.keys().any(|key| !allowed.contains(&key.as_str()))) {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        causes.push(Cause::forbidden(at, why));
    }
}

fn pattern(causes: &mut Vec<Cause>, schema: &Value, path: &str) {
    if let Some(Err(error)) = schema["pattern"].as_str().map(super::check::pattern) {
        let why = format!("must be a valid regular expression, but isn't: {error}");
        causes.push(Cause::invalid(format!("{path}.pattern"), &schema["pattern"], &why));
    }
}

/// `anyOf: [{type: integer}, {type: string}]` of an int-or-string, at its top or in its first `allOf`.
fn may_name_types(parent: &Value, child: &Value) -> bool {
    let both = json!([{"type": "integer"}, {"type": "string"}]);
    parent["x-kubernetes-int-or-string"] == true && (parent["anyOf"] == both || child["anyOf"] == both)
}

/// The rules of a schema that only validates.
fn validation(causes: &mut Vec<Cause>, schema: &Value, path: &str, may_name_types: bool) {
    const EMPTY: [&str; 4] = ["type", "title", "description", "x-kubernetes-list-map-keys"];
    const UNDEFINED: [&str; 4] = ["additionalProperties", "default", "x-kubernetes-list-type", "x-kubernetes-map-type"];
    const FALSE: [&str; 4] = [
        "nullable",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
    ];
    for (names, word) in [(EMPTY, "empty"), (UNDEFINED, "undefined"), (FALSE, "false")] {
        for name in names.iter().filter(|name| !schema[**name].is_null() && schema[**name] != false) {
            if !(may_name_types && *name == "type") {
                causes.push(Cause::forbidden(format!("{path}.{name}"), &format!("must be {word} to be structural")));
            }
        }
    }
    if !list(schema.get("x-kubernetes-validations")).is_empty() {
        let at = format!("{path}.x-kubernetes-validations");
        causes.push(Cause::forbidden(at, "must be empty to be structural"));
    }
    if !schema["properties"]["metadata"].is_null() {
        let at = format!("{path}.properties[metadata]");
        causes.push(Cause::forbidden(at, "must not be specified in a nested context"));
    }
    pattern(causes, schema, path);
    children(schema, path, |child, path, _| validation(causes, child, &path, may_name_types));
}

/// What a part that only validates speaks of must be there outside of it.
fn complete(causes: &mut Vec<Cause>, whole: &Value, schema: &Value, path: &str, whole_path: &str) {
    children(schema, path, |child, path, validates| {
        let (below, below_path) = match validates {
            true => (whole, whole_path.to_string()),
            false => {
                let step = path.rsplit_once('.').map_or("", |(_, step)| step);
                let (below, step) = step_into(whole, step, &path);
                (below, format!("{whole_path}.{step}"))
            }
        };
        if below.is_null() {
            let why = format!("because it is defined in {path}");
            if !causes.iter().any(|cause| cause.field == below_path) {
                causes.push(Cause::required(below_path, &why));
            }
            return;
        }
        complete(causes, below, child, &path, &below_path);
    });
}

/// The child of a schema that the last step of a path names.
fn step_into<'a>(whole: &'a Value, last: &str, path: &str) -> (&'a Value, String) {
    if let Some(at) = path.rfind(".properties[")
        && path.ends_with(']')
    {
        let name = &path[at + ".properties[".len()..path.len() - 1];
        return (&whole["properties"][name], format!("properties[{name}]"));
    }
    (&whole[last], last.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(schema: Value) -> Vec<String> {
        faults(&schema, "s", false).into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    fn with(property: Value) -> Value {
        json!({"type": "object", "properties": {"x": property}})
    }

    #[test]
    fn a_structural_schema_is_taken() {
        let schema = json!({"type": "object", "required": ["spec"], "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
            "spec": {"type": "object", "oneOf": [{"required": ["a"]}, {"properties": {"b": {"minimum": 1}}}], "properties": {
                "a": {"type": "string"}, "b": {"type": "integer"},
                "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "cpu": {"x-kubernetes-int-or-string": true, "pattern": "^a", "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "any": {"x-kubernetes-preserve-unknown-fields": true},
                "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
                    "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}}}},
            }},
        }});
        assert_eq!(said(schema), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_structural_is_named_with_its_place() {
        let cases = [
            (json!({}), "s.type: Required value: must not be empty at the root"),
            (json!({"type": "string"}), "s.type: Invalid value: \"string\": must be object at the root"),
            (with(json!({})), "s.properties[x].type: Required value: must not be empty for specified object fields"),
            (with(json!({"type": "array"})), "s.properties[x].items: Required value: must be specified"),
            (
                with(json!({"type": "array", "items": {}})),
                "s.properties[x].items.type: Required value: must not be empty for specified array items",
            ),
            (
                with(json!({"type": "text"})),
                "s.properties[x].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            ),
            (with(json!({"type": "string", "$ref": "#/a"})), "s.properties[x].$ref: Forbidden: $ref is not supported"),
            (
                with(json!({"type": "integer", "anyOf": [{"type": "integer"}]})),
                "s.properties[x].anyOf[0].type: Forbidden: must be empty to be structural",
            ),
            (
                with(json!({"type": "object", "allOf": [{"properties": {"y": {"minimum": 1}}}]})),
                "s.properties[x].properties[y]: Required value: because it is defined in s.properties[x].allOf[0].properties[y]",
            ),
            (
                with(json!({"type": "string", "x-kubernetes-list-type": "set"})),
                "s.properties[x].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified",
            ),
        ];
        for (schema, words) in cases {
            assert_eq!(said(schema), [words]);
        }
    }
}
