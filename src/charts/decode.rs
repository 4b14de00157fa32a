//! From YAML and JSON to what Go would have: case-blind fields, numbers as text, floats.
//!
//! Helm reads YAML by turning it into JSON and that into Go structs; the words of its errors come from there.

use super::chart::number_text;
use super::values::{Map, Value};
use super::yaml as engine_yaml;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// One YAML document as JSON; whole numbers stay whole. The error has Helm's words.
pub fn yaml(text: &str) -> Result<Value, String> {
    engine_yaml::to_json(text).map_err(|problem| format!("error converting YAML to JSON: {problem}"))
}

/// The same, of a table only the entries under some keys, in whatever letter case.
pub fn yaml_of(text: &str, keys: &[&str]) -> Result<Value, String> {
    engine_yaml::to_json_of(text, keys).map_err(|problem| format!("error converting YAML to JSON: {problem}"))
}

/// The text of a YAML stream: UTF-8, or UTF-16 if it begins with that one's mark, as editors and shells of Windows write it.
pub fn text(data: &[u8]) -> Result<Cow<'_, str>, String> {
    let problem = |what: &str| format!("error converting YAML to JSON: yaml: {what}");
    let wide = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.as_chunks().0.iter().map(|pair| unit(*pair)).collect();
        String::from_utf16(&units).map(Cow::Owned).map_err(|_| problem("incomplete UTF-16 surrogate pair"))
    };
    match data {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => match std::str::from_utf8(data) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) => Err(problem(engine_yaml::octets_problem(data))),
        },
    }
}

/// A value as YAML, as Helm writes it: keys sorted, lists not indented.
pub fn to_yaml(value: &Value) -> String {
    engine_yaml::encode(&super::template::Value::from_json(value))
}

/// A value as JSON in one line with the escapes of Go's `encoding/json`.
pub fn to_json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(|text| go_escapes(&text))
}

/// The same with two blanks of indent.
pub fn to_json_pretty(value: &impl serde::Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(|text| go_escapes(&text))
}

fn go_escapes(json: &str) -> String {
    let text = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// One YAML document that must be a table, or nothing; every number is a float.
pub fn yaml_table(text: &str) -> Result<Map, String> {
    match engine_yaml::decode(text)?.to_json() {
        Value::Object(table) => Ok(table),
        Value::Null => Ok(Map::new()),
        other => Err(format!("{CANNOT} {} into Go value of type map[string]interface {{}}", json_type(&other))),
    }
}

const CANNOT: &str = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal";

/// JSON's name of a value's type, as Go's errors have it.
pub fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A float as Go's `strconv.FormatFloat(x, 'g', -1, 64)` writes it.
pub fn go_float(number: f64) -> String {
    super::template::format_float(number, 'g', None)
}

/// Fields of a table, taken one by one.
pub struct Decoder<'a> {
    table: Option<&'a Map>,
    owner: &'static str,
    /// The field of another struct that this table is, which Go names in front of the field's own name.
    inside: Option<&'static str>,
}

/// A field of a struct, of which something else is a part.
#[derive(Clone, Copy)]
pub struct Place {
    /// The struct.
    pub owner: &'static str,
    /// The field.
    pub field: &'static str,
}

impl<'a> Decoder<'a> {
    /// A decoder of a table; nothing at all is an empty one.
    pub fn new(document: &'a Value, owner: &'static str) -> Result<Self, String> {
        match document {
            Value::Object(table) => Ok(Self { table: Some(table), owner, inside: None }),
            Value::Null => Ok(Self { table: None, owner, inside: None }),
            other => Err(format!("{CANNOT} {} into Go value of type {}", json_type(other), owner_type(owner))),
        }
    }

    /// The same of a table that is a field of another struct, or one of a list there. `kind` is its Go type; a struct
    /// without a name has no `owner`.
    pub fn part(document: &'a Value, place: Place, owner: &'static str, kind: &str) -> Result<Self, String> {
        let inside = Some(place.field);
        match document {
            Value::Object(table) => Ok(Self { table: Some(table), owner, inside }),
            Value::Null => Ok(Self { table: None, owner, inside }),
            other => {
                let Place { owner, field } = place;
                Err(format!("{CANNOT} {} into Go struct field {owner}.{field} of type {kind}", json_type(other)))
            }
        }
    }

    /// A field by its name or, if that is missing, by its name in other letter case.
    pub fn field(&self, name: &str) -> Option<&'a Value> {
        let table = self.table?;
        let found = table.get(name);
        let found =
            found.or_else(|| table.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value));
        found.filter(|value| !value.is_null())
    }

    fn wrong<T>(&self, name: &str, value: &Value, wanted: &str) -> Result<T, String> {
        let owner = self.owner;
        let way = self.inside.map(|field| format!("{field}.")).unwrap_or_default();
        Err(format!("{CANNOT} {} into Go struct field {owner}.{way}{name} of type {wanted}", json_type(value)))
    }

    /// A text; numbers and booleans become one.
    pub fn text(&mut self, name: &str, into: &mut String) -> Result<(), String> {
        let Some(value) = self.field(name) else { return Ok(()) };
        match scalar_text(value) {
            Some(text) => *into = text,
            None => return self.wrong(name, value, "string"),
        }
        Ok(())
    }

    /// A boolean.
    pub fn flag(&mut self, name: &str, into: &mut bool) -> Result<(), String> {
        let Some(value) = self.field(name) else { return Ok(()) };
        match value {
            Value::Bool(value) => *into = *value,
            other => return self.wrong(name, other, "bool"),
        }
        Ok(())
    }

    /// A list of texts.
    pub fn texts(&mut self, name: &str, into: &mut Vec<String>) -> Result<(), String> {
        let Some(value) = self.field(name) else { return Ok(()) };
        let Value::Array(items) = value else { return self.wrong(name, value, "[]string") };
        *into = Vec::new();
        for item in items {
            match scalar_text(item) {
                Some(text) => into.push(text),
                None if item.is_null() => into.push(String::new()),
                None => return self.wrong(name, item, "string"),
            }
        }
        Ok(())
    }

    /// A table of texts; whether there is one.
    pub fn text_map(&mut self, name: &str, into: &mut BTreeMap<String, String>) -> Result<bool, String> {
        let Some(value) = self.field(name) else { return Ok(false) };
        let Value::Object(table) = value else { return self.wrong(name, value, "map[string]string") };
        for (key, item) in table {
            match scalar_text(item) {
                Some(text) => into.insert(key.clone(), text),
                None if item.is_null() => into.insert(key.clone(), String::new()),
                None => return self.wrong(name, item, "string"),
            };
        }
        Ok(true)
    }

    /// A list of anything, with the Go type of the list; whether there is one.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        kind: &str,
        into: &mut Vec<T>,
        read: impl Fn(&Value, Place) -> Result<T, String>,
    ) -> Result<bool, String> {
        let Some(value) = self.field(name) else { return Ok(false) };
        let Value::Array(items) = value else { return self.wrong(name, value, kind) };
        let place = Place { owner: self.owner, field: name };
        *into = items.iter().map(|item| read(item, place)).collect::<Result<_, _>>()?;
        Ok(true)
    }

    /// A time (RFC 3339), kept as the text that it is.
    pub fn time(&mut self, name: &str, into: &mut String) -> Result<(), String> {
        const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
        let problem = match self.field(name) {
            None => return Ok(()),
            Some(Value::String(text)) => match super::template::parse_time(RFC3339, text) {
                Ok(_) => {
                    *into = text.clone();
                    return Ok(());
                }
                Err(problem) => problem,
            },
            Some(_) => "Time.UnmarshalJSON: input is not a JSON string".into(),
        };
        Err(format!("error unmarshaling JSON: while decoding JSON: {problem}"))
    }
}

fn owner_type(owner: &str) -> String {
    let package = match owner {
        "SimpleHead" => "util",
        "k8sYamlStruct" => "rules",
        "Entry" | "File" => "repo",
        _ => "v2",
    };
    format!("{package}.{owner}")
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number_text(number)),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Bytes in JSON, as Go writes them: base64, and nothing is null.
pub mod base64_data {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::sync::Arc;

    /// Writes base64.
    pub fn serialize<S: Serializer>(data: &Arc<[u8]>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(data))
    }

    /// Reads base64 or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[u8]>, D::Error> {
        let text = Option::<String>::deserialize(from)?.unwrap_or_default();
        STANDARD.decode(text).map(Arc::from).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod text_tests {
    use super::text;

    #[test]
    fn a_text_is_utf_8_or_marked_as_utf_16() {
        assert_eq!(text("a: é".as_bytes()).unwrap(), "a: é");
        assert_eq!(text(b"\xff\xfea\0:\0 \0\xe9\0").unwrap(), "a: é");
        assert_eq!(text(b"\xfe\xff\0a\0:").unwrap(), "a:");
        let latin = text(b"a: \xe9t\xe9\n").unwrap_err();
        assert_eq!(latin, "error converting YAML to JSON: yaml: invalid trailing UTF-8 octet");
        assert!(text(b"\xff\xfe\0\xd8").is_err());
    }
}
