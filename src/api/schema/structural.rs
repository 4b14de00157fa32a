//! The schema of a custom kind, from the structural schema of its definition; and its defaults.
//!
//! Source: k8s.io/apiextensions-apiserver `pkg/apiserver/schema`.

use super::{Builtin, Field, List, ListKind, Map, Name, Schema, Shape, Struct};
use serde_json::Value;

/// The schema of a kind: `schema` is `openAPIV3Schema` of a version. `apiVersion`, `kind` and `metadata` are those that every
/// object has, whatever `schema` says.
pub fn kind(schema: &Value) -> Schema {
    let mut own = match read(schema).shape {
        Shape::Struct(own) => *own,
        _ => Struct { open: true, ..Struct::default() },
    };
    object_fields(&mut own);
    Shape::Struct(Box::new(own)).into()
}

/// The schema of a kind whose definition has none: everything is kept.
pub fn untyped() -> Schema {
    let mut own = Struct { open: true, ..Struct::default() };
    object_fields(&mut own);
    Shape::Struct(Box::new(own)).into()
}

/// Puts in what every object has.
fn object_fields(own: &mut Struct) {
    let metadata = Builtin::find("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").map_or(Shape::Any, Shape::Builtin);
    let fields = [("apiVersion", Shape::Text), ("kind", Shape::Text), ("metadata", metadata)];
    let mut all: Vec<Field> = std::mem::take(&mut own.fields).into_vec();
    all.retain(|field| !fields.iter().any(|(name, _)| *name == field.name));
    all.extend(fields.into_iter().map(|(name, shape)| Field::plain(name, shape.into())));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    own.fields = all.into();
}

/// The schema of a value.
pub fn read(schema: &Value) -> Schema {
    let is = |name: &str| schema[name] == true;
    let shape = if is("x-kubernetes-int-or-string") {
        Shape::IntOrText
    } else {
        match schema["type"].as_str().unwrap_or_default() {
            "object" => object(schema),
            "array" => list(schema),
            "string" => Shape::Text,
            "integer" if schema["format"] == "int32" => Shape::Int32,
            "integer" => Shape::Int64,
            "number" => Shape::Float,
            "boolean" => Shape::Boolean,
            _ => Shape::Any,
        }
    };
    Schema {
        shape,
        nullable: is("nullable"),
        default: schema.get("default").filter(|value| !value.is_null()).cloned().map(Box::new),
        allowed: schema["enum"].as_array().map(|allowed| allowed.clone().into()),
    }
}

fn object(schema: &Value) -> Shape {
    let atomic = schema["x-kubernetes-map-type"] == "atomic";
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let embedded = schema["x-kubernetes-embedded-resource"] == true;
    let properties = schema["properties"].as_object();
    if properties.is_none() && !open && !embedded {
        match &schema["additionalProperties"] {
            Value::Bool(true) => return Shape::Map(Box::new(Map { values: Shape::Any.into(), atomic })),
            values @ Value::Object(_) => return Shape::Map(Box::new(Map { values: read(values), atomic })),
            _ => {}
        }
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = properties.into_iter().flatten().map(|(name, schema)| Field {
        required: required.contains(&name.as_str()),
        ..Field::plain(name.clone(), read(schema))
    });
    let mut own = Struct { atomic, open, embedded, ..Struct::of(fields.collect()) };
    if embedded {
        object_fields(&mut own);
    }
    Shape::Struct(Box::new(own))
}

fn list(schema: &Value) -> Shape {
    let kind = match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => ListKind::Set,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            ListKind::Map(keys.filter_map(|key| key.as_str().map(|key| Name::Owned(key.into()))).collect())
        }
        _ => ListKind::Atomic,
    };
    Shape::List(Box::new(List { items: read(&schema["items"]), kind }))
}

/// Fills in what is missing, and drops a `null` that its field does not take.
pub fn fill_defaults(schema: &Schema, value: &mut Value) {
    match (&schema.shape, value) {
        (Shape::Struct(own), Value::Object(map)) => {
            for field in &own.fields {
                let given = map.get(field.name.as_ref());
                if given.is_none_or(|value| value.is_null() && !field.schema.nullable) {
                    match &field.schema.default {
                        Some(default) => drop(map.insert(field.name.to_string(), (**default).clone())),
                        None => drop(map.remove(field.name.as_ref())),
                    }
                }
                if let Some(value) = map.get_mut(field.name.as_ref()) {
                    fill_defaults(&field.schema, value);
                }
            }
        }
        (Shape::Map(own), Value::Object(map)) => map.values_mut().for_each(|value| {
            if let (true, false, Some(default)) = (value.is_null(), own.values.nullable, &own.values.default) {
                *value = (**default).clone();
            }
            fill_defaults(&own.values, value);
        }),
        (Shape::List(own), Value::Array(list)) => list.iter_mut().for_each(|value| {
            if let (true, false, Some(default)) = (value.is_null(), own.items.nullable, &own.items.default) {
                *value = (**default).clone();
            }
            fill_defaults(&own.items, value);
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::*;
    use serde_json::json;

    fn widget() -> Schema {
        kind(&json!({"type": "object", "required": ["spec"], "properties": {
            "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": {
                "size": {"type": "integer", "default": 1},
                "note": {"type": "string", "nullable": true, "default": "x"},
                "port": {"x-kubernetes-int-or-string": true},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
                "labels": {"type": "object", "additionalProperties": {"type": "object", "properties": {"b": {"type": "integer", "default": 2}}}},
                "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "properties": {"name": {"type": "string"}, "on": {"type": "boolean", "default": true}}}},
                "template": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}}
            }},
        }}))
    }

    #[test]
    fn unknown_fields_go_unless_they_are_to_stay() {
        let body = json!({"kind": "Widget", "metadata": {"name": "a", "x": 1},
            "spec": {"size": "big", "y": 1, "free": {"z": {"deep": 1}, "known": {"a": "b", "c": 1}},
                "template": {"kind": "Pod", "metadata": {"name": "p", "w": 1}, "spec": {"v": 1}, "u": 1}}});
        let decoded = decode::value(&widget(), body).unwrap();
        let wanted = json!({"kind": "Widget", "metadata": {"name": "a"},
            "spec": {"size": "big", "free": {"z": {"deep": 1}, "known": {"a": "b"}},
                "template": {"kind": "Pod", "metadata": {"name": "p"}, "spec": {}}}});
        assert_eq!(decoded.value, wanted, "a wrong type is for validation to refuse");
        assert_eq!(decoded.problems.len(), 6, "{:?}", decoded.problems);
        let metadata = decode::value(&widget(), json!({"metadata": {"labels": []}}));
        assert!(metadata.is_err(), "metadata is a built-in type");
    }

    #[test]
    fn defaults_reach_every_depth_and_null_counts_where_it_may() {
        let mut body =
            json!({"spec": {"note": null, "size": null, "port": null, "labels": {"a": {}}, "parts": [{"name": "n"}]}});
        fill_defaults(&widget(), &mut body);
        let wanted =
            json!({"spec": {"note": null, "size": 1, "labels": {"a": {"b": 2}}, "parts": [{"name": "n", "on": true}]}});
        assert_eq!(body, wanted);
    }

    #[test]
    fn a_kind_without_a_schema_keeps_everything() {
        let body = json!({"metadata": {"name": "a"}, "spec": {"a": [1, {"b": null}]}});
        assert_eq!(decode::value(&untyped(), body.clone()).unwrap().value, body);
    }
}
