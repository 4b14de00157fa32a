//! OpenAPI v2: one document of everything, one definition at a time, so that the whole is never in memory as values.

use super::documents::{Documents, REFERENCE};
use super::gnostic;
use super::paths::{self, Item, Operation, QUERY};
use super::{Custom, custom_schema, definition, identity, list_of};
use crate::api::kinds::GroupVersion;
use crate::api::{Kind, schema};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const DEFINITIONS: &str = "#/definitions/";
const MEDIA: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// What takes the parts of a document.
trait Sink {
    fn path(&mut self, path: &str, item: &Value);
    fn definition(&mut self, name: &str, schema: &Value);
}

/// The document as JSON. `others` are documents of other servers, whose groups are added.
pub fn json_text(kinds: &[&Kind], custom: Custom, others: &[&Value]) -> String {
    let mut sink = Text { paths: String::new(), definitions: String::new() };
    write(kinds, custom, others, &mut sink);
    format!(
        "{{\"swagger\":\"2.0\",\"info\":{{\"title\":\"Kubernetes\",\"version\":\"unversioned\"}},\"paths\":{{{}}},\"definitions\":{{{}}}}}",
        sink.paths, sink.definitions
    )
}

/// The document as gnostic's protobuf message.
pub fn protobuf(kinds: &[&Kind], custom: Custom, others: &[&Value]) -> Vec<u8> {
    let mut sink = gnostic::Document::default();
    write(kinds, custom, others, &mut sink);
    sink.finish()
}

struct Text {
    paths: String,
    definitions: String,
}

fn entry(out: &mut String, name: &str, value: &Value) {
    let comma = if out.is_empty() { "" } else { "," };
    // Writing to a string does not fail.
    let _ = write!(out, "{comma}{}:{value}", Value::from(name));
}

impl Sink for Text {
    fn path(&mut self, path: &str, item: &Value) {
        entry(&mut self.paths, path, item);
    }

    fn definition(&mut self, name: &str, schema: &Value) {
        entry(&mut self.definitions, name, schema);
    }
}

impl Sink for gnostic::Document {
    fn path(&mut self, path: &str, item: &Value) {
        self.add_path(path, item);
    }

    fn definition(&mut self, name: &str, schema: &Value) {
        self.add_definition(name, schema);
    }
}

fn write(kinds: &[&Kind], custom: Custom, others: &[&Value], sink: &mut dyn Sink) {
    let documents = Documents::load();
    let mut identities: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut roots: BTreeSet<String> = BTreeSet::new();
    roots.extend([paths::OBJECT_META, paths::LIST_META, paths::PATCH_BODY].map(String::from));
    for (kind, served) in kinds.iter().flat_map(|kind| kind.versions().map(move |served| (*kind, served))) {
        let name = definition(kind, served);
        for item in paths::of(kind, served) {
            for operation in &item.operations {
                roots.extend(operation.answer.iter().chain(&operation.body).cloned());
                let (group, version, about) = &operation.about;
                if let Some(schema) =
                    operation.answer.as_ref().filter(|answer| **answer != name && answer.ends_with(about.as_str()))
                {
                    identities.entry(schema.clone()).or_insert_with(|| vec![identity(group, version, about)]);
                }
            }
            sink.path(&item.path, &path(&item, served));
        }
        if schema::builtin(&name).is_some() {
            identities.entry(name.clone()).or_default().push(identity(&served.group, &served.version, &kind.kind));
            roots.insert(name.clone());
        } else {
            let mut schema = custom_schema(kind, served, custom, DEFINITIONS);
            if schema["x-kubernetes-preserve-unknown-fields"] == true {
                // kubectl would take fields that are not listed for wrong: so nothing is.
                let identity = schema["x-kubernetes-group-version-kind"].take();
                schema = json!({"type": "object", "x-kubernetes-group-version-kind": identity});
            }
            to_v2(&mut schema);
            sink.definition(&name, &schema);
        }
        if kind.verbs.contains(&"list") {
            sink.definition(&format!("{name}List"), &list_of(kind, served, DEFINITIONS));
        }
    }
    let types = documents.closure(roots.iter().map(String::as_str));
    let known: BTreeSet<String> = types.iter().map(|name| name.to_string()).collect();
    add(others, known, sink);
    for name in types {
        let text = documents.get(name).unwrap_or("{}");
        let mut schema: Value = serde_json::from_str(text).unwrap_or_default();
        to_v2(&mut schema);
        match name.rsplit('.').next() {
            Some("IntOrString") => schema["type"] = json!("string"),
            Some("Quantity") => schema["type"] = json!("string"),
            _ => {}
        }
        if let Some(all) = identities.get(name) {
            schema["x-kubernetes-group-version-kind"] = Value::Array(all.clone());
        }
        sink.definition(name, &schema);
    }
}

/// Adds what other servers serve: paths of groups, and definitions that are not there yet.
fn add(others: &[&Value], mut known: BTreeSet<String>, sink: &mut dyn Sink) {
    for document in others {
        let entries = |field: &str| document[field].as_object().into_iter().flatten();
        for (path, item) in entries("paths").filter(|(path, _)| path.starts_with("/apis/") && path.len() > 6) {
            sink.path(path, item);
        }
        for (name, schema) in entries("definitions") {
            if known.insert(name.clone()) {
                sink.definition(name, schema);
            }
        }
    }
}

/// Turns a schema of v3 into one of v2, which has no choices, no `null` and no free form beside fields.
fn to_v2(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::Array(all)) = map.remove("allOf") {
        let reference = all.iter().find_map(|one| one["$ref"].as_str());
        map.extend(reference.map(|reference| ("$ref".to_string(), json!(reference))));
    }
    if let Some(Value::String(reference)) = map.get_mut("$ref") {
        *reference = reference.replace(REFERENCE, DEFINITIONS);
    }
    for name in ["oneOf", "anyOf", "not", "default", "enum", "x-kubernetes-validations", "example"] {
        map.remove(name);
    }
    let is_open = map.remove("nullable") == Some(json!(true))
        || map.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true))
        || map.get("x-kubernetes-int-or-string") == Some(&json!(true));
    if is_open {
        for name in ["type", "items", "properties", "additionalProperties", "required"] {
            map.remove(name);
        }
    }
    if map.get("additionalProperties").is_some_and(Value::is_boolean) {
        map.remove("additionalProperties");
    }
    for name in ["items", "additionalProperties"] {
        map.get_mut(name).into_iter().for_each(to_v2);
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(to_v2);
    }
}

fn path(item: &Item, served: &GroupVersion) -> Value {
    let parameter = |name: &str, what: &str| json!({"name": name, "in": "path", "required": true, "description": what, "type": "string", "uniqueItems": true});
    let mut parameters = Vec::new();
    if item.is_named {
        parameters.push(parameter("name", "The name of the object."));
    }
    if item.is_namespaced {
        parameters.push(parameter("namespace", "The namespace of the object."));
    }
    parameters.push(query("pretty"));
    let mut path = json!({"parameters": parameters});
    for one in &item.operations {
        path[one.method] = operation(one, served);
    }
    path
}

fn query(name: &str) -> Value {
    let (_, kind, what) = QUERY.iter().find(|(own, ..)| *own == name).copied().unwrap_or((name, "string", ""));
    json!({"name": name, "in": "query", "description": what, "type": kind, "uniqueItems": true})
}

fn operation(one: &Operation, served: &GroupVersion) -> Value {
    let reference = |name: &String| json!({"$ref": format!("{DEFINITIONS}{name}")});
    let answer = one.answer.as_ref().map_or_else(|| json!({"type": "string"}), reference);
    let mut responses = Map::new();
    for code in one.codes {
        responses.insert((*code).to_string(), json!({"description": "OK", "schema": answer}));
    }
    responses.insert("401".into(), json!({"description": "Unauthorized"}));
    let (group, version, kind) = &one.about;
    let is_patch = one.method == "patch";
    let mut parameters: Vec<Value> = one.query.iter().map(|name| query(name)).collect();
    let patch = || json!({"$ref": format!("{DEFINITIONS}{}", paths::PATCH_BODY)});
    let body = if is_patch { Some(patch()) } else { one.body.as_ref().map(reference) };
    if let Some(schema) = body {
        parameters.push(json!({"name": "body", "in": "body", "required": one.method != "delete", "schema": schema}));
    }
    json!({
        "tags": [paths::tag(served)], "description": one.description, "operationId": one.id, "schemes": ["https"],
        "consumes": if is_patch { paths::patches(one, PATCHES) } else { vec!["*/*"] }, "produces": MEDIA,
        "parameters": parameters, "responses": responses,
        "x-kubernetes-action": one.action, "x-kubernetes-group-version-kind": identity(group, version, kind),
    })
}
