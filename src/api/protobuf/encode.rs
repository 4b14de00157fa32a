//! From JSON values to bytes.

use super::Error;
use super::table::{Field, Kind, Label, Message};
use super::wire::{self, Wire, nested};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// The fields of an object, as a message of its type.
pub fn object(out: &mut Vec<u8>, message: &'static Message, value: &Value) -> Result<(), Error> {
    match value {
        Value::Object(map) => fields(out, message, map),
        Value::Null => Ok(()),
        other => Err(mismatch(message.name, "an object", other)),
    }
}

fn fields(out: &mut Vec<u8>, message: &'static Message, map: &Map<String, Value>) -> Result<(), Error> {
    for field in &message.fields {
        if field.json.is_empty() {
            nested(out, field.number, |out| fields(out, field.message(), map))?;
            continue;
        }
        match map.get(field.json) {
            None | Some(Value::Null) => {}
            Some(value) => labelled(out, field, value).map_err(|error| below(error, field.json))?,
        }
    }
    Ok(())
}

fn labelled(out: &mut Vec<u8>, field: &Field, value: &Value) -> Result<(), Error> {
    match (field.label, value) {
        (Label::One, value) => one(out, field, field.number, value),
        (Label::List, Value::Array(items)) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| {
                one(out, field, field.number, item).map_err(|error| below(error, &format!("[{index}]")))
            })
        }
        (Label::Map, Value::Object(map)) => map.iter().try_for_each(|(key, value)| {
            let entry = nested(out, field.number, |out| {
                wire::bytes(out, 1, key.as_bytes());
                if value.is_null() { Ok(()) } else { one(out, field, 2, value) }
            });
            entry.map_err(|error| below(error, key))
        }),
        (Label::List, other) => Err(mismatch("", "an array", other)),
        (Label::Map, other) => Err(mismatch("", "an object", other)),
    }
}

/// One value under a number, which is not the field's own in a map.
fn one(out: &mut Vec<u8>, field: &Field, number: u32, value: &Value) -> Result<(), Error> {
    match field.kind {
        Kind::Text => wire::bytes(out, number, text(value)?.as_bytes()),
        Kind::Bytes => {
            let bytes = STANDARD.decode(text(value)?).map_err(|_| mismatch("", "base64", value))?;
            wire::bytes(out, number, &bytes);
        }
        Kind::Bool => {
            wire::tag(out, number, Wire::Varint);
            out.push(u8::from(value.as_bool().ok_or_else(|| mismatch("", "a boolean", value))?));
        }
        Kind::Integer => {
            wire::tag(out, number, Wire::Varint);
            wire::varint(out, integer(value)? as u64);
        }
        Kind::Double => {
            wire::tag(out, number, Wire::Fixed64);
            let double = value.as_f64().ok_or_else(|| mismatch("", "a number", value))?;
            out.extend_from_slice(&double.to_le_bytes());
        }
        Kind::Message => return nested(out, number, |out| object(out, field.message(), value)),
        _ => return nested(out, number, |out| special(out, field, value)),
    }
    Ok(())
}

/// The content of messages that JSON does not write as objects.
fn special(out: &mut Vec<u8>, field: &Field, value: &Value) -> Result<(), Error> {
    match field.kind {
        Kind::Time | Kind::MicroTime => {
            time(out, text(value)?, field.kind).ok_or_else(|| mismatch("", "a time", value))
        }
        Kind::Quantity => {
            match value {
                Value::Number(number) => wire::bytes(out, 1, number.to_string().as_bytes()),
                other => wire::bytes(out, 1, text(other)?.as_bytes()),
            }
            Ok(())
        }
        Kind::IntOrString => int_or_string(out, value),
        Kind::Strings => {
            let items = value.as_array().ok_or_else(|| mismatch("", "an array", value))?;
            items.iter().try_for_each(|item| {
                wire::bytes(out, 1, text(item)?.as_bytes());
                Ok(())
            })
        }
        Kind::SchemaOrList | Kind::SchemaOrBool | Kind::SchemaOrStrings => schema_or(out, field, value),
        _ => {
            wire::bytes(out, 1, value.to_string().as_bytes());
            Ok(())
        }
    }
}

fn schema_or(out: &mut Vec<u8>, field: &Field, value: &Value) -> Result<(), Error> {
    let schema = |out: &mut Vec<u8>, number, value| nested(out, number, |out| object(out, field.message(), value));
    match (field.kind, value) {
        (Kind::SchemaOrList, Value::Array(items)) => items.iter().try_for_each(|item| schema(out, 2, item)),
        (Kind::SchemaOrStrings, Value::Array(items)) => items.iter().try_for_each(|item| {
            wire::bytes(out, 2, text(item)?.as_bytes());
            Ok(())
        }),
        (Kind::SchemaOrBool, Value::Bool(allows)) => {
            out.extend_from_slice(&[1 << 3, u8::from(*allows)]);
            Ok(())
        }
        (Kind::SchemaOrBool, value) => {
            out.extend_from_slice(&[1 << 3, 1]);
            schema(out, 2, value)
        }
        (_, value) => schema(out, 1, value),
    }
}

fn int_or_string(out: &mut Vec<u8>, value: &Value) -> Result<(), Error> {
    let (kind, number, string) = match value {
        Value::String(string) => (1, 0, string.as_str()),
        other => (0, integer(other)?, ""),
    };
    out.extend_from_slice(&[1 << 3, kind, 2 << 3]);
    wire::varint(out, number as u64);
    wire::bytes(out, 3, string.as_bytes());
    Ok(())
}

/// Seconds and nanoseconds since 1970; a plain time has whole seconds.
fn time(out: &mut Vec<u8>, text: &str, kind: Kind) -> Option<()> {
    if text.is_empty() {
        return Some(());
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    let nanoseconds = if kind == Kind::MicroTime { time.subsec_nanosecond() } else { 0 };
    out.push(1 << 3);
    wire::varint(out, time.as_second() as u64);
    out.push(2 << 3);
    wire::varint(out, i64::from(nanoseconds) as u64);
    Some(())
}

fn text(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| mismatch("", "a string", value))
}

/// An integer; JSON does not tell `3` and `3.0` apart.
fn integer(value: &Value) -> Result<i64, Error> {
    let whole = |float: f64| (float.fract() == 0.0 && float.abs() < 9.0e15).then_some(float as i64);
    let number = value.as_i64().or_else(|| value.as_f64().and_then(whole));
    number.ok_or_else(|| mismatch("", "an integer", value))
}

fn mismatch(path: &str, expected: &'static str, value: &Value) -> Error {
    let got: String = value.to_string().chars().take(40).collect();
    Error::Mismatch { path: path.into(), expected, got }
}

/// Puts the name of a field in front of where something is wrong.
fn below(error: Error, name: &str) -> Error {
    match error {
        Error::Mismatch { path, expected, got } => {
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            Error::Mismatch { path: format!("{name}{dot}{path}"), expected, got }
        }
        other => other,
    }
}
