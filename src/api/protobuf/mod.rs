//! Kubernetes' protobuf form of objects: between JSON values and bytes, both ways, driven by a table of fields.
//!
//! ```text
//! object = "k8s\0" Unknown{ typeMeta: {apiVersion, kind}, raw: message of that kind }
//! watch  = ( length (4 bytes, big endian)  WatchEvent{ type, object: RawExtension{ raw: object } } )*
//! ```
//!
//! A decoded object reads as Go's own JSON of it would: zero values are left out unless the Go field is a pointer or is
//! always written.
//!
//! Source of the envelope: k8s.io/apimachinery `pkg/runtime/serializer/protobuf/protobuf.go` and `pkg/runtime/types.go`.

mod decode;
mod encode;
mod table;
mod wire;

use serde_json::{Map, Value};
use wire::{Reader, Wire};

/// The media type.
pub const MEDIA: &str = "application/vnd.kubernetes.protobuf";
/// What every object begins with.
const PREFIX: &[u8] = b"k8s\0";

/// Why something is not converted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoPrefix,
    #[error("unexpected EOF")]
    Truncated,
    #[error("proto: illegal wireType {0}")]
    WireType(u8),
    #[error("proto: {0} is nested too deep")]
    TooDeep(&'static str),
    #[error("proto: a string of {0} is not UTF-8")]
    Text(&'static str),
    #[error("proto: cannot read JSON in {0}: {1}")]
    Json(&'static str, String),
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    Unknown { api_version: String, kind: String },
    #[error("{path}: expected {expected}, got {got}")]
    Mismatch { path: String, expected: &'static str, got: String },
}

/// Whether objects of a kind have a protobuf form. Custom kinds have none.
pub fn knows(api_version: &str, kind: &str) -> bool {
    table::kind(api_version, kind).is_some()
}

/// An object, list or status with its envelope.
pub fn encode(value: &Value) -> Result<Vec<u8>, Error> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let message = table::kind(api_version, kind)
        .ok_or_else(|| Error::Unknown { api_version: api_version.into(), kind: kind.into() })?;
    envelope(api_version, kind, |out| encode::object(out, message, value))
}

/// A list with its envelope; its items are asked for one by one, so that only one is in memory as a value.
pub fn encode_list(
    api_version: &str,
    list_kind: &str,
    metadata: &Value,
    items: impl Iterator<Item = Result<Value, String>>,
) -> Result<Vec<u8>, Error> {
    let unknown = || Error::Unknown { api_version: api_version.into(), kind: list_kind.into() };
    let message = table::kind(api_version, list_kind).ok_or_else(unknown)?;
    let find = |name: &str| message.fields.iter().find(|field| field.json == name).ok_or_else(unknown);
    let (head, item) = (find("metadata")?, find("items")?);
    envelope(api_version, list_kind, |out| {
        wire::nested(out, head.number, |out| encode::object(out, head.message(), metadata))?;
        for value in items {
            let value = value.map_err(|why| Error::Json(message.name, why))?;
            wire::nested(out, item.number, |out| encode::object(out, item.message(), &value))?;
        }
        Ok(())
    })
}

fn envelope(
    api_version: &str,
    kind: &str,
    content: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<Vec<u8>, Error> {
    let mut out = PREFIX.to_vec();
    wire::nested(&mut out, 1, |out| {
        wire::bytes(out, 1, api_version.as_bytes());
        wire::bytes(out, 2, kind.as_bytes());
        Ok(())
    })?;
    wire::nested(&mut out, 2, content)?;
    // Go writes these two even when they are empty, so its bytes and these are the same.
    wire::bytes(&mut out, 3, b"");
    wire::bytes(&mut out, 4, b"");
    Ok(out)
}

/// One frame of a watch; `object` is in its envelope already.
pub fn watch_frame(happened: &str, object: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.reserve(object.len() + 32);
    wire::bytes(&mut out, 1, happened.as_bytes());
    let inner = 1 + wire::varint_length(object.len() as u64) + object.len();
    wire::tag(&mut out, 2, Wire::Bytes);
    wire::varint(&mut out, inner as u64);
    wire::bytes(&mut out, 1, object);
    let length = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

/// The object in an envelope, with its `apiVersion` and `kind`.
pub fn decode(data: &[u8]) -> Result<Value, Error> {
    decode::envelope(data, 0)
}

/// What is in an envelope before its kind is looked at.
struct Envelope<'a> {
    api_version: &'a str,
    kind: &'a str,
    raw: &'a [u8],
    content_type: &'a str,
}

impl<'a> Envelope<'a> {
    fn read(data: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader(data.strip_prefix(PREFIX).ok_or(Error::NoPrefix)?);
        let mut envelope = Self { api_version: "", kind: "", raw: &[], content_type: "" };
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| Error::Text("Unknown"));
        while let Some((number, field)) = reader.field()? {
            match number {
                1 => {
                    let mut meta = Reader(field.bytes()?);
                    while let Some((number, field)) = meta.field()? {
                        match number {
                            1 => envelope.api_version = text(field.bytes()?)?,
                            2 => envelope.kind = text(field.bytes()?)?,
                            _ => {}
                        }
                    }
                }
                2 => envelope.raw = field.bytes()?,
                4 => envelope.content_type = text(field.bytes()?)?,
                _ => {}
            }
        }
        Ok(envelope)
    }
}

/// An object with its type in front of its fields.
fn typed(api_version: &str, kind: &str, mut fields: Map<String, Value>) -> Value {
    fields.insert("apiVersion".into(), api_version.into());
    fields.insert("kind".into(), kind.into());
    Value::Object(fields)
}

#[cfg(test)]
mod tests;
