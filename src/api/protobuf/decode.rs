//! From bytes to JSON values.

use super::table::{self, Field, Kind, Label, Message};
use super::wire::{Field as Content, Reader};
use super::{Envelope, Error, PREFIX, typed};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// Messages in messages: schemas are the only ones that nest without bound.
const DEEPEST: usize = 128;

/// The object in an envelope.
pub fn envelope(data: &[u8], depth: usize) -> Result<Value, Error> {
    let Envelope { api_version, kind, raw, content_type } = Envelope::read(data)?;
    if content_type == "application/json" {
        return json("Unknown", raw);
    }
    let message = table::kind(api_version, kind)
        .ok_or_else(|| Error::Unknown { api_version: api_version.into(), kind: kind.into() })?;
    let mut map = Map::new();
    fields(&mut map, message, raw, depth)?;
    Ok(typed(api_version, kind, map))
}

fn fields(map: &mut Map<String, Value>, message: &'static Message, data: &[u8], depth: usize) -> Result<(), Error> {
    if depth > DEEPEST {
        return Err(Error::TooDeep(message.name));
    }
    let mut reader = Reader(data);
    while let Some((number, content)) = reader.field()? {
        // A field that is not known is one of a newer client.
        let Some(field) = message.fields.iter().find(|field| field.number == number) else { continue };
        match field.label {
            _ if field.json.is_empty() => fields(map, field.message(), content.bytes()?, depth + 1)?,
            Label::One => {
                let value = one(message, field, content, depth)?;
                if field.keeps_zero && !value.is_null() || !is_zero(&value) {
                    map.insert(field.json.into(), value);
                }
            }
            Label::List => {
                let list = map.entry(field.json).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    push(list, message, field, content, depth)?;
                }
            }
            Label::Map => {
                let (key, value) = entry(message, field, content.bytes()?, depth)?;
                let inner = map.entry(field.json).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(inner) = inner {
                    inner.insert(key, value);
                }
            }
        }
    }
    Ok(())
}

/// An item of a list. Numbers may come packed.
fn push(
    list: &mut Vec<Value>,
    message: &'static Message,
    field: &Field,
    content: Content,
    depth: usize,
) -> Result<(), Error> {
    if let (Kind::Integer | Kind::Bool, Content::Bytes(packed)) = (field.kind, content) {
        let mut reader = Reader(packed);
        while !reader.0.is_empty() {
            let content = Content::Varint(reader.varint()?);
            list.push(one(message, field, content, depth)?);
        }
        return Ok(());
    }
    list.push(one(message, field, content, depth)?);
    Ok(())
}

fn entry(message: &'static Message, field: &Field, data: &[u8], depth: usize) -> Result<(String, Value), Error> {
    let mut reader = Reader(data);
    let (mut key, mut value) = (String::new(), None);
    while let Some((number, content)) = reader.field()? {
        match number {
            1 => key = text(message, content)?.into(),
            2 => value = Some(one(message, field, content, depth)?),
            _ => {}
        }
    }
    let empty = || match field.kind {
        Kind::Text | Kind::Bytes => Ok("".into()),
        Kind::Integer => Ok(0.into()),
        Kind::Bool => Ok(false.into()),
        _ => one(message, field, Content::Bytes(&[]), depth),
    };
    Ok((key, value.map_or_else(empty, Ok)?))
}

fn one(message: &'static Message, field: &Field, content: Content, depth: usize) -> Result<Value, Error> {
    Ok(match field.kind {
        Kind::Text => text(message, content)?.into(),
        Kind::Bytes => STANDARD.encode(content.bytes()?).into(),
        Kind::Bool => (content.number()? != 0).into(),
        Kind::Integer => (content.number()? as i64).into(),
        Kind::Double => double(content.double()?),
        Kind::Message => {
            let mut map = Map::new();
            fields(&mut map, field.message(), content.bytes()?, depth + 1)?;
            Value::Object(map)
        }
        _ => special(message, field, content.bytes()?, depth + 1)?,
    })
}

/// A number as Go writes it: without a fraction if it has none.
fn double(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9.0e15 { Value::from(number as i64) } else { Value::from(number) }
}

/// Messages that JSON does not write as objects.
fn special(message: &'static Message, field: &Field, data: &[u8], depth: usize) -> Result<Value, Error> {
    let (mut number, mut third, mut bytes, mut last): (i64, &str, &[u8], &[u8]) = (0, "", &[], &[]);
    let (mut first, mut many, mut has_second) = (0, Vec::new(), false);
    let mut reader = Reader(data);
    while let Some((tag, content)) = reader.field()? {
        match (tag, content) {
            (1, Content::Varint(value)) => first = value as i64,
            (2, Content::Varint(value)) => number = value as i64,
            (1, Content::Bytes(content)) => {
                bytes = content;
                many.push(content);
            }
            (2, Content::Bytes(content)) => {
                has_second = true;
                last = content;
            }
            (3, content) => third = text(message, content)?,
            _ => {}
        }
    }
    let schema = |data: &[u8]| {
        let mut map = Map::new();
        fields(&mut map, field.message(), data, depth)?;
        Ok::<_, Error>(Value::Object(map))
    };
    Ok(match field.kind {
        Kind::Time | Kind::MicroTime => time(field.kind, data.is_empty(), first, number),
        Kind::Quantity if bytes.is_empty() => "0".into(),
        Kind::Quantity => text(message, Content::Bytes(bytes))?.into(),
        Kind::IntOrString if first == 1 => third.into(),
        Kind::IntOrString => number.into(),
        Kind::Strings => many
            .into_iter()
            .map(|item| text(message, Content::Bytes(item)).map(Value::from))
            .collect::<Result<_, _>>()?,
        Kind::SchemaOrBool if has_second => schema(last)?,
        Kind::SchemaOrBool => (first != 0).into(),
        Kind::SchemaOrList if has_second => repeated(data, |item| schema(item))?,
        Kind::SchemaOrStrings if has_second => {
            repeated(data, |item| text(message, Content::Bytes(item)).map(Value::from))?
        }
        Kind::SchemaOrList | Kind::SchemaOrStrings => schema(bytes)?,
        _ if bytes.is_empty() => Value::Null,
        _ if bytes.starts_with(PREFIX) => envelope(bytes, depth)?,
        _ => json(message.name, bytes)?,
    })
}

/// Every field with number 2.
fn repeated(data: &[u8], read: impl Fn(&[u8]) -> Result<Value, Error>) -> Result<Value, Error> {
    let (mut reader, mut list) = (Reader(data), Vec::new());
    while let Some((number, content)) = reader.field()? {
        if number == 2 {
            list.push(read(content.bytes()?)?);
        }
    }
    Ok(Value::Array(list))
}

fn time(kind: Kind, is_empty: bool, seconds: i64, nanoseconds: i64) -> Value {
    let time = i32::try_from(nanoseconds).ok().and_then(|nanoseconds| jiff::Timestamp::new(seconds, nanoseconds).ok());
    match time {
        Some(time) if !is_empty => {
            let form = if kind == Kind::MicroTime { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
            time.strftime(form).to_string().into()
        }
        _ => Value::Null,
    }
}

fn json(place: &'static str, data: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(data).map_err(|error| Error::Json(place, error.to_string()))
}

fn text<'a>(message: &'static Message, content: Content<'a>) -> Result<&'a str, Error> {
    std::str::from_utf8(content.bytes()?).map_err(|_| Error::Text(message.name))
}

/// What `omitempty` leaves out, and structs that nobody filled in.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}
