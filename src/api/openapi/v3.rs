//! OpenAPI v3: a document per group and version.

use super::documents::{self, Documents, REFERENCE};
use super::paths::{self, Item, Operation, QUERY};
use super::{Custom, custom_schema, definition, identity, list_of};
use crate::api::kinds::GroupVersion;
use crate::api::{Kind, schema};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Media types of answers that are objects.
const MEDIA: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// Media types of patches.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// The path of a group and version below `/openapi/v3/`.
pub fn place(served: &GroupVersion) -> String {
    match &*served.group {
        "" => format!("api/{}", served.version),
        group => format!("apis/{group}/{}", served.version),
    }
}

/// A mark that is another one whenever the document is.
pub fn mark(served: &GroupVersion, kinds: &[&Kind], custom: Custom) -> String {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
    let mut length = 0;
    for kind in kinds {
        hasher.update(definition(kind, served).as_bytes());
        for part in kind.subresources() {
            hasher.update(part.name.as_bytes());
        }
        if let Some(schema) = custom(kind, &served.version) {
            let text = schema.to_string();
            length += text.len();
            hasher.update(text.as_bytes());
        }
    }
    format!("{:08X}{:08X}{length:X}", documents::mark(), hasher.finalize())
}

/// The document of a group and version; `kinds` are those that are served in it.
pub fn document(served: &GroupVersion, kinds: &[&Kind], custom: Custom) -> String {
    let documents = Documents::load();
    let mut identities: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut own: BTreeMap<String, Value> = BTreeMap::new();
    let mut items = Map::new();
    let mut roots = BTreeSet::from([paths::PATCH_BODY.to_string()]);
    for kind in kinds {
        let name = definition(kind, served);
        for item in paths::of(kind, served) {
            for operation in &item.operations {
                let (group, version, about) = &operation.about;
                let schema =
                    operation.answer.as_ref().filter(|answer| **answer != name && answer.ends_with(about.as_str()));
                if let Some(schema) = schema {
                    identities.entry(schema.clone()).or_insert_with(|| vec![identity(group, version, about)]);
                }
                roots.extend(operation.answer.iter().chain(&operation.body).cloned());
            }
            items.insert(item.path.clone(), path(&item, served));
        }
        if schema::builtin(&name).is_some() {
            identities.entry(name.clone()).or_default().push(identity(&served.group, &served.version, &kind.kind));
        } else {
            own.insert(name.clone(), custom_schema(kind, served, custom, REFERENCE));
        }
        if kind.verbs.contains(&"list") {
            own.insert(name + "List", list_of(kind, served, REFERENCE));
        }
    }
    roots.extend(
        own.values()
            .flat_map(|schema| documents::references(&schema.to_string()).map(String::from).collect::<Vec<_>>()),
    );
    let types = documents.closure(roots.iter().map(String::as_str));
    let mut text = json!({"title": "Kubernetes", "version": "unversioned"}).to_string();
    text = format!(
        "{{\"openapi\":\"3.0.0\",\"info\":{text},\"paths\":{},\"components\":{{\"schemas\":{{",
        Value::Object(items)
    );
    let mut comma = "";
    for name in types {
        let schema = documents.get(name).unwrap_or("{}");
        let _ = write!(text, "{comma}\"{name}\":{}", with_identity(schema, identities.get(name)));
        comma = ",";
    }
    for (name, schema) in own {
        let _ = write!(text, "{comma}\"{name}\":{schema}");
        comma = ",";
    }
    text.push_str("}}}");
    text
}

/// A schema's text with the kinds that it is of.
fn with_identity(schema: &str, identities: Option<&Vec<Value>>) -> String {
    match identities {
        Some(all) => {
            let list = Value::Array(all.clone());
            format!("{{\"x-kubernetes-group-version-kind\":{list},{}", &schema[1..])
        }
        None => schema.to_string(),
    }
}

fn path(item: &Item, served: &GroupVersion) -> Value {
    let parameter = |name: &str, what: &str| json!({"name": name, "in": "path", "required": true, "description": what, "schema": {"type": "string", "uniqueItems": true}});
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
    json!({"name": name, "in": "query", "description": what, "schema": {"type": kind, "uniqueItems": true}})
}

fn content(media: &[&str], schema: &Value) -> Value {
    Value::Object(media.iter().map(|media| ((*media).to_string(), json!({"schema": schema}))).collect())
}

fn operation(one: &Operation, served: &GroupVersion) -> Value {
    let reference = |name: &String| json!({"$ref": format!("{REFERENCE}{name}")});
    let answer = one.answer.as_ref().map_or_else(|| json!({"type": "string"}), reference);
    let mut responses = Map::new();
    for code in one.codes {
        responses.insert((*code).to_string(), json!({"description": "OK", "content": content(MEDIA, &answer)}));
    }
    responses.insert("401".into(), json!({"description": "Unauthorized"}));
    let (group, version, kind) = &one.about;
    let mut operation = json!({
        "tags": [paths::tag(served)], "description": one.description, "operationId": one.id, "responses": responses,
        "x-kubernetes-action": one.action, "x-kubernetes-group-version-kind": identity(group, version, kind),
    });
    if !one.query.is_empty() {
        operation["parameters"] = one.query.iter().map(|name| query(name)).collect();
    }
    if one.method == "patch" {
        let patch = json!({"$ref": format!("{REFERENCE}{}", paths::PATCH_BODY)});
        operation["requestBody"] = json!({"required": true, "content": content(&paths::patches(one, PATCHES), &patch)});
    } else if let Some(body) = &one.body {
        operation["requestBody"] =
            json!({"required": one.method != "delete", "content": content(&["*/*"], &reference(body))});
    }
    operation
}
