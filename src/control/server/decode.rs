//! Bodies: JSON, YAML or protobuf into objects of a kind, with what is unknown, double or of a wrong type.
//!
//! Source of the wording: k8s.io/apiserver `pkg/endpoints/handlers/{create,rest}.go`.

use super::accept;
use super::options::Validation;
use super::route::Call;
use crate::api::schema::decode::{self, Decoded, Problem};
use crate::api::schema::{self, Schema};
use crate::api::{Kind, Object, Reason, Status, protobuf, yaml};
use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

/// The media type of a body, without parameters.
pub fn media(headers: &HeaderMap) -> &str {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// A body as a JSON value.
pub fn value(headers: &HeaderMap, body: &Bytes) -> Result<Value, Status> {
    match media(headers) {
        "" | "application/json" | "*/*" => serde_json::from_slice(body)
            .map_err(|error| Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"))),
        "application/yaml" => from_yaml(body),
        protobuf::MEDIA => protobuf::decode(body).map_err(|error| Status::bad_request(error.to_string())),
        _ => Err(unsupported(true)),
    }
}

/// YAML text as a JSON value.
pub fn from_yaml(body: &Bytes) -> Result<Value, Status> {
    let text = std::str::from_utf8(body).map_err(|_| Status::bad_request("the body is no UTF-8 text"))?;
    yaml::from_text(text).map_err(|error| Status::bad_request(format!("error converting YAML to JSON: {error}")))
}

fn unsupported(has_protobuf: bool) -> Status {
    let protobuf = if has_protobuf { ", application/vnd.kubernetes.protobuf" } else { "" };
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: \
         application/json, application/yaml{protobuf}"
    );
    Status::new(Reason::UnsupportedMediaType, message)
}

/// An object that a client sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub object: Object,
    /// What the client is warned of.
    pub warnings: Vec<String>,
}

/// The object of a body, which must be of the kind and version of the path if it says which it is.
pub fn body(call: &Call, kind: &Kind, body: &Bytes) -> Result<Sent, Status> {
    let media = media(&call.headers);
    if media == protobuf::MEDIA && !accept::has_protobuf(kind, call.attributes()) {
        return Err(unsupported(false));
    }
    let schema = schema_of(call, kind);
    let decoded = match media {
        "" | "application/json" | "*/*" => match decode::text(schema, body) {
            Err(decode::Error::Syntax(error)) => {
                return Err(Status::bad_request(format!("couldn't get version/kind; json parse error: {error}")));
            }
            other => other,
        },
        _ => decode::value(schema, value(&call.headers, body)?),
    };
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(error) => {
            // Fields of another kind are seldom of the right type: the kind is what is wrong then.
            if let Some(mut object) = value(&call.headers, body).ok().and_then(Object::from_value) {
                check_kind(call, kind, &mut object)?;
            }
            return Err(Status::bad_request(unhandled(call, kind, &error.to_string())));
        }
    };
    checked(call, kind, decoded)
}

/// An object of a patched value.
pub fn patched(call: &Call, kind: &Kind, value: Value) -> Result<Sent, Status> {
    let decoded = decode::value(schema_of(call, kind), value);
    let decoded = decoded.map_err(|error| Status::bad_request(unhandled(call, kind, &error.to_string())))?;
    checked(call, kind, decoded)
}

/// The schema of what a request sends; a kind without one takes everything.
pub fn schema_of<'a>(call: &Call, kind: &'a Kind) -> &'a Schema {
    static UNTYPED: std::sync::LazyLock<Schema> = std::sync::LazyLock::new(schema::structural::untyped);
    let wanted = call.attributes();
    kind.schema_at(&wanted.group, &wanted.version).unwrap_or(&UNTYPED)
}

/// What a decoded body is worth: the right kind, and as little unknown as the client wants.
fn checked(call: &Call, kind: &Kind, decoded: Decoded) -> Result<Sent, Status> {
    let mut object = Object::from_value(decoded.value).ok_or_else(|| {
        Status::bad_request(format!("the object provided is unrecognized (must be of type {})", kind.kind))
    })?;
    check_kind(call, kind, &mut object)?;
    Ok(Sent { object, warnings: judged(call, kind, &decoded.problems)? })
}

fn check_kind(call: &Call, kind: &Kind, object: &mut Object) -> Result<(), Status> {
    let version = call.attributes().api_version();
    for (field, right) in [("kind", kind.kind.as_ref()), ("apiVersion", version.as_str())] {
        match object.text(&[field]) {
            "" => object.set(&[field], right),
            own if own == right => {}
            own => {
                let message = format!("the {field} in the data ({own}) does not match the expected {field} ({right})");
                return Err(Status::bad_request(message));
            }
        }
    }
    Ok(())
}

/// Problems as the client wants them: as warnings, as a refusal, or not at all.
pub fn judged(call: &Call, kind: &Kind, problems: &[Problem]) -> Result<Vec<String>, Status> {
    if problems.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    match Validation::of(&call.options) {
        Validation::Ignore => Ok(Vec::new()),
        Validation::Warn => Ok(lines),
        Validation::Strict => {
            let error = format!("strict decoding error: {}", lines.join(", "));
            Err(Status::bad_request(unhandled(call, kind, &error)))
        }
    }
}

fn unhandled(call: &Call, kind: &Kind, error: &str) -> String {
    let (name, version) = (&kind.kind, &call.attributes().version);
    format!("{name} in version \"{version}\" cannot be handled as a {name}: {error}")
}
