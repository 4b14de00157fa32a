//! OpenAPI documents of everything that is served, made from the kinds table when they are asked for.
//!
//! ```text
//! kinds ─▶ paths ──┬─▶ v3: one document per group and version, JSON
//! documents ───────┴─▶ v2: one document, JSON or the protobuf form of gnostic
//! ```
//!
//! Nothing is kept here: the schemas' text lies compressed in the executable and is inflated for each document.

mod documents;
mod gnostic;
mod paths;
pub mod v2;
pub mod v3;

use super::Kind;
use super::kinds::GroupVersion;
use super::schema;
use serde_json::{Value, json};

/// Gives the `openAPIV3Schema` of a custom kind in a version.
pub type Custom<'a> = &'a dyn Fn(&Kind, &str) -> Option<Value>;

/// Group, version and kind, as documents mention them.
fn identity(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "kind": kind, "version": version})
}

/// The name under which a kind's schema is listed: of the built-in type, or the group backwards.
fn definition(kind: &Kind, served: &GroupVersion) -> String {
    let name = kind.schema_in(&served.group, &served.version);
    if schema::builtin(name).is_some() {
        return name.to_string();
    }
    let group: Vec<&str> = served.group.rsplit('.').collect();
    format!("{}.{}.{}", group.join("."), served.version, kind.kind)
}

/// The schema of a list of a kind.
fn list_of(kind: &Kind, served: &GroupVersion, prefix: &str) -> Value {
    let reference = |name: &str| json!({"$ref": format!("{prefix}{name}")});
    json!({
        "description": format!("{} is a list of {}.", kind.list_kind, kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": "The version of this representation of the list."},
            "kind": {"type": "string", "description": "The kind of the list."},
            "metadata": reference(paths::LIST_META),
            "items": {"type": "array", "description": "The objects.", "items": reference(&definition(kind, served))},
        },
        "x-kubernetes-group-version-kind": [identity(&served.group, &served.version, &kind.list_kind)],
    })
}

/// The schema of a custom kind as documents list it: with what every object has.
fn custom_schema(kind: &Kind, served: &GroupVersion, custom: Custom, prefix: &str) -> Value {
    let mut schema = custom(kind, &served.version).unwrap_or_else(|| json!({"type": "object"}));
    if !schema.is_object() {
        schema = json!({"type": "object"});
    }
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    schema["properties"]["apiVersion"] = json!({"type": "string", "description": "APIVersion defines the version of this representation of the object."});
    schema["properties"]["kind"] = json!({"type": "string", "description": "The kind of the object."});
    // What `kubectl explain` shows, and its tests look for.
    schema["properties"]["metadata"] = json!({
        "description": "Standard object's metadata. More info: \
            https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
        "allOf": [{"$ref": format!("{prefix}{}", paths::OBJECT_META)}],
    });
    schema["x-kubernetes-group-version-kind"] = json!([identity(&served.group, &served.version, &kind.kind)]);
    schema
}

#[cfg(test)]
mod tests;
