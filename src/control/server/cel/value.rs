//! Objects as values of expressions, and back.

use super::{Expression, Scope};
use base64::Engine;
use cel::Value as Cel;
use cel::objects::{Key, Map};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Words that no field can be selected by (k8s.io/apiserver `pkg/cel/escaping.go`).
const RESERVED: [&str; 18] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
];

/// A value of which nothing is known.
pub fn from_json(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(is_true) => Cel::Bool(*is_true),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Cel::Int(integer),
            None => Cel::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(list) => Cel::List(Arc::new(list.iter().map(from_json).collect())),
        Value::Object(map) => map_of(map.iter().map(|(name, value)| (name.clone(), from_json(value)))),
    }
}

fn map_of(pairs: impl Iterator<Item = (String, Cel)>) -> Cel {
    let map: HashMap<Key, Cel> = pairs.map(|(name, value)| (Key::String(Arc::new(name)), value)).collect();
    Cel::Map(Map { map: Arc::new(map) })
}

/// A value of a custom kind: fields as the schema has them, by names that expressions can select.
pub fn from_schema(value: &Value, schema: &Value) -> Cel {
    let is_open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    match value {
        Value::Number(number) if schema["type"] == "number" => Cel::Float(number.as_f64().unwrap_or_default()),
        Value::String(text) => {
            formatted(text, schema["format"].as_str().unwrap_or_default()).unwrap_or_else(|| from_json(value))
        }
        Value::Array(list) => {
            Cel::List(Arc::new(list.iter().map(|item| from_schema(item, &schema["items"])).collect()))
        }
        Value::Object(map) if schema["additionalProperties"].is_object() => {
            let of = &schema["additionalProperties"];
            map_of(
                map.iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| (name.clone(), from_schema(value, of))),
            )
        }
        Value::Object(map) if schema["properties"].is_object() || schema["type"] == "object" => {
            let pairs = map.iter().filter(|(_, value)| !value.is_null()).filter_map(|(name, value)| {
                let of = &schema["properties"][name.as_str()];
                match (of.is_object(), name.as_str()) {
                    (_, "metadata") if of.get("properties").is_none() => Some((name.clone(), metadata(value))),
                    (true, _) => Some((escaped(name)?, from_schema(value, of))),
                    (false, "apiVersion" | "kind") => Some((name.clone(), from_json(value))),
                    (false, _) => is_open.then(|| (name.clone(), from_json(value))),
                }
            });
            map_of(pairs)
        }
        other => from_json(other),
    }
}

/// The language's own reading of texts.
static TIMESTAMP: LazyLock<Option<Expression>> =
    LazyLock::new(|| Expression::compile("timestamp(text)", &["text"]).ok());
static DURATION: LazyLock<Option<Expression>> = LazyLock::new(|| Expression::compile("duration(text)", &["text"]).ok());

/// A text whose format makes it something else, if it is so formatted.
fn formatted(text: &str, format: &str) -> Option<Cel> {
    let read = |reader: &LazyLock<Option<Expression>>, text: &str| {
        let mut scope = Scope::default();
        scope.set("text", Cel::String(Arc::new(text.into())));
        reader.as_ref()?.run(&scope).ok()
    };
    match format {
        "date-time" => read(&TIMESTAMP, text),
        "date" => read(&TIMESTAMP, &format!("{text}T00:00:00Z")),
        "duration" => read(&DURATION, text),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).ok().map(|bytes| Cel::Bytes(Arc::new(bytes))),
        _ => None,
    }
}

/// Rules may look at the name of an object, at nothing else of its metadata.
fn metadata(value: &Value) -> Cel {
    let names = ["name", "generateName"].into_iter();
    map_of(names.filter_map(|name| Some((name.to_string(), from_json(value.get(name)?)))))
}

/// The name by which a field can be selected, if there is one.
pub fn escaped(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(letter) = rest.chars().next() {
        let (word, length) = match letter {
            '_' if rest.starts_with("__") => ("__underscores__", 2),
            '.' => ("__dot__", 1),
            '-' => ("__dash__", 1),
            '/' => ("__slash__", 1),
            letter if letter == '_' || letter.is_ascii_alphanumeric() => ("", 1),
            _ => return None,
        };
        text.push_str(if word.is_empty() { &rest[..1] } else { word });
        rest = &rest[length..];
    }
    let starts_well = text.chars().next().is_some_and(|letter| !letter.is_ascii_digit());
    starts_well.then_some(text)
}
