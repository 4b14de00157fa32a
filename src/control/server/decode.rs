//! Bodies: JSON, YAML or protobuf into objects, and patches.

use super::accept;
use super::route::Call;
use crate::api::{Kind, Object, Reason, Status, protobuf, yaml};
use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

/// The media type of a body, without parameters.
fn media(headers: &HeaderMap) -> &str {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// A body as a JSON value.
pub fn value(headers: &HeaderMap, body: &Bytes) -> Result<Value, Status> {
    match media(headers) {
        "" | "application/json" | "*/*" => serde_json::from_slice(body)
            .map_err(|error| Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"))),
        "application/yaml" => {
            let text = std::str::from_utf8(body).map_err(|_| Status::bad_request("the body is no UTF-8 text"))?;
            yaml::from_text(text)
                .map_err(|error| Status::bad_request(format!("error converting YAML to JSON: {error}")))
        }
        protobuf::MEDIA => protobuf::decode(body).map_err(|error| Status::bad_request(error.to_string())),
        _ => Err(unsupported(true)),
    }
}

fn unsupported(has_protobuf: bool) -> Status {
    let protobuf = if has_protobuf { ", application/vnd.kubernetes.protobuf" } else { "" };
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: \
         application/json, application/yaml{protobuf}"
    );
    Status::new(Reason::UnsupportedMediaType, message)
}

/// The object of a body, which must be of the kind and version of the path if it says which it is.
pub fn body(call: &Call, kind: &Kind, body: &Bytes) -> Result<Object, Status> {
    let wanted = call.attributes();
    if media(&call.headers) == protobuf::MEDIA && !accept::has_protobuf(kind) {
        return Err(unsupported(false));
    }
    let mut object = Object::from_value(value(&call.headers, body)?).ok_or_else(|| {
        Status::bad_request(format!("the object provided is unrecognized (must be of type {})", kind.kind))
    })?;
    let version = wanted.api_version();
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
    Ok(object)
}

/// A patch of one of the types that are taken.
pub enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
}

impl Patch {
    /// Reads a patch; the media type says which it is.
    pub fn read(call: &Call, body: &Bytes) -> Result<Self, Status> {
        let wrong = |error: serde_json::Error| Status::bad_request(format!("error decoding patch: {error}"));
        match media(&call.headers) {
            "application/merge-patch+json" => serde_json::from_slice(body).map(Patch::Merge).map_err(wrong),
            "application/json-patch+json" => serde_json::from_slice(body).map(Patch::Json).map_err(wrong),
            other => {
                let message = format!(
                    "the body of the request was in an unknown format - accepted media types include: \
                     application/json-patch+json, application/merge-patch+json (got {other})"
                );
                Err(Status::new(Reason::UnsupportedMediaType, message))
            }
        }
    }

    /// Whether the patch says which version it is of: then a conflict is the client's to solve.
    pub fn names_version(&self) -> bool {
        match self {
            Patch::Merge(patch) => patch["metadata"]["resourceVersion"].is_string(),
            Patch::Json(_) => false,
        }
    }

    /// The object after the patch.
    pub fn apply(&self, kind: &Kind, object: Object) -> Result<Object, Status> {
        let patched = self.apply_value(Value::Object(object.0))?;
        Object::from_value(patched).ok_or_else(|| Status::bad_request(format!("the patch leaves no {}", kind.kind)))
    }

    /// The value after the patch.
    pub fn apply_value(&self, mut value: Value) -> Result<Value, Status> {
        match self {
            Patch::Merge(patch) => json_patch::merge(&mut value, patch),
            Patch::Json(patch) => json_patch::patch(&mut value, patch).map_err(|error| {
                Status::new(
                    Reason::Invalid,
                    format!("the server rejected our request due to an error in our request: {error}"),
                )
            })?,
        }
        Ok(value)
    }
}
