//! YAML as Helm reads and writes it: `sigs.k8s.io/yaml` on `go-yaml` v2, and v3 for `toYamlPretty`.
//!
//! Texts become JSON on the way (keys are texts, numbers are floats); what is written was JSON before (a whole float is
//! written as an integer). Errors have go-yaml's words.

mod emitter;
mod reader;
mod resolve;
mod scalars;
mod scanner;

use crate::charts::functions::json;
use crate::charts::template::Value;

/// A value as YAML; nothing if it has no JSON form (a not-a-number, a map that holds itself).
pub fn encode(value: &Value) -> String {
    try_encode(value).unwrap_or_default()
}

/// A value as YAML, with the newline at the end.
pub fn try_encode(value: &Value) -> Result<String, String> {
    let (text, is_odd) = emitter::emit(value, emitter::Dialect::V2)
        .map_err(|problem| format!("error marshaling into JSON: {problem}"))?;
    if is_odd {
        // On its way the value was JSON, which is read as YAML: what cannot be read then is not written.
        reader::read(&json::encode(value, JSON)?, reader::Numbers::Floats)?;
    }
    Ok(text)
}

const JSON: json::Style = json::Style { html: true, pretty: false };

/// A value as go-yaml v3 writes it with two spaces of indentation: lists are indented, floats stay floats.
pub fn encode_pretty(value: &Value) -> String {
    emitter::emit(value, emitter::Dialect::V3).map(|(text, _)| text).unwrap_or_default()
}

/// The first document of a text; every number is a `float64`.
pub fn decode(text: &str) -> Result<Value, String> {
    reader::read(text, reader::Numbers::Floats).map_err(|problem| format!("error converting YAML to JSON: {problem}"))
}

/// The first document of a text as JSON; whole numbers stay whole. The error has go-yaml's words.
pub fn to_json(text: &str) -> Result<serde_json::Value, String> {
    reader::read(text, reader::Numbers::AsWritten).map(|value| value.to_json())
}

/// The same, of a table only the entries under some keys, in whatever letter case.
pub fn to_json_of(text: &str, keys: &[&str]) -> Result<serde_json::Value, String> {
    let value = reader::read(text, reader::Numbers::AsWritten)?;
    let Value::Map(table) = &value else { return Ok(value.to_json()) };
    let wanted = |key: &str| keys.iter().any(|one| one.eq_ignore_ascii_case(key));
    let table = table.view();
    let kept = table.iter().filter(|(key, _)| wanted(key));
    Ok(serde_json::Value::Object(kept.map(|(key, value)| (key.to_string(), value.to_json())).collect()))
}

/// What a reader of YAML says of bytes that are no UTF-8: the first of its rules that they break.
pub fn octets_problem(bytes: &[u8]) -> &'static str {
    let start = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let rest = &bytes[start..];
    let width = match rest.first() {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        _ => return "invalid leading UTF-8 octet",
    };
    let Some(letter) = rest.get(..width) else { return "incomplete UTF-8 octet sequence" };
    if letter[1..].iter().any(|octet| octet & 0xc0 != 0x80) {
        return "invalid trailing UTF-8 octet";
    }
    let first = u32::from(letter[0]) & (0x7f >> width);
    let number = letter[1..].iter().fold(first, |number, octet| number << 6 | u32::from(octet & 0x3f));
    let is_short = [0x80, 0x800, 0x10000].get(width - 2).is_some_and(|least| number < *least);
    if is_short { "invalid length of a UTF-8 sequence" } else { "invalid Unicode character" }
}
