//! Patches: JSON patch, merge patch, strategic merge patch and server-side apply.
//!
//! A patch is applied to the newest version, and again if somebody else was faster.
//!
//! Source of the rules: k8s.io/apiserver `pkg/endpoints/handlers/patch.go`.

pub mod bounded;

use super::answer::Answer;
use super::custom::convert;
use super::route::{Call, forbidden};
use super::write::{self, Noted};
use super::{decode, objects, options, race};
use crate::api::fields::{self, owner};
use crate::api::schema::{self, Schema, strategic};
use crate::api::{Cause, Kind, Object, Reason, Status};
use bytes::Bytes;
use serde_json::{Map, Value};

/// The most operations in a JSON patch.
const MOST_OPERATIONS: usize = 10_000;
/// The media type of server-side apply.
const APPLY: &str = "application/apply-patch+yaml";

/// A patch of one of the types that are taken.
pub enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
    Strategic(Map<String, Value>),
}

impl Patch {
    /// Reads a patch; the media type says which it is. Strategic merge patches are for built-in kinds.
    pub fn read(call: &Call, is_builtin: bool, body: &Bytes) -> Result<Self, Status> {
        let wrong = |error: serde_json::Error| Status::bad_request(format!("error decoding patch: {error}"));
        match decode::media(&call.headers) {
            "application/merge-patch+json" => serde_json::from_slice(body).map(Patch::Merge).map_err(wrong),
            "application/json-patch+json" => {
                let patch: json_patch::Patch = serde_json::from_slice(body).map_err(wrong)?;
                if patch.0.len() > MOST_OPERATIONS {
                    let message = format!(
                        "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {}",
                        patch.0.len()
                    );
                    return Err(Status::new(Reason::RequestEntityTooLarge, message));
                }
                Ok(Patch::Json(patch))
            }
            "application/strategic-merge-patch+json" if is_builtin => {
                serde_json::from_slice(body).map(Patch::Strategic).map_err(wrong)
            }
            _ => Err(unsupported(is_builtin)),
        }
    }

    /// The value after the patch.
    pub fn apply(&self, schema: &Schema, mut value: Value) -> Result<Value, Status> {
        match self {
            Patch::Merge(patch) => json_patch::merge(&mut value, patch),
            Patch::Json(patch) => bounded::apply(&mut value, patch).map_err(|error| inapplicable(&error))?,
            Patch::Strategic(patch) => {
                let original = value.as_object_mut().map(std::mem::take).unwrap_or_default();
                value = strategic::apply(schema, original, patch.clone())
                    .map_err(|error| Status::bad_request(error.to_string()))?;
            }
        }
        Ok(value)
    }
}

/// The wording that clients know; what is wrong, which Kubernetes does not tell, is a cause.
fn inapplicable(error: &bounded::Error) -> Status {
    if let bounded::Error::TooMuch(_) | bounded::Error::TooDeep = error {
        return Status::new(Reason::RequestEntityTooLarge, error.to_string());
    }
    let mut status = Status::new(Reason::Invalid, "the server rejected our request due to an error in our request");
    let [reason, field] = ["FieldValueInvalid", "patch"].map(String::from);
    status.causes = vec![Cause { reason, message: error.to_string(), field }];
    status
}

fn unsupported(is_builtin: bool) -> Status {
    let strategic = if is_builtin { "application/strategic-merge-patch+json, " } else { "" };
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: \
         application/json-patch+json, application/merge-patch+json, {strategic}{APPLY}"
    );
    Status::new(Reason::UnsupportedMediaType, message)
}

/// Whether a kind is part of the server.
fn is_builtin(kind: &Kind) -> bool {
    schema::builtin(&kind.schema).is_some()
}

/// Patches an object, or a part of one.
pub async fn patch(call: &Call, kind: &Kind, body: Bytes) -> Result<Answer, Status> {
    if decode::media(&call.headers) == APPLY {
        return apply(call, kind, &body).await;
    }
    options::check(call, false)?;
    let patch = Patch::read(call, is_builtin(kind), &body)?;
    race::while_raced(|| patch_once(call, kind, &patch)).await
}

async fn patch_once(call: &Call, kind: &Kind, patch: &Patch) -> Result<Answer, Status> {
    let entry = convert::current(call, kind).await?;
    let before = objects::in_version(kind, call.attributes(), objects::stored(&entry)?);
    let after = patch.apply(decode::schema_of(call, kind), Value::Object(before.0))?;
    let mut sent = decode::patched(call, kind, after)?;
    objects::to_stored(kind, call.attributes(), &mut sent.object);
    write::change(call, kind, &entry, sent, Noted::Update).await
}

/// A patch of a subresource that is no part of the object as it is stored, `scale` for example.
pub fn part(call: &Call, schema: &str, body: &Bytes, before: Value) -> Result<Value, Status> {
    options::check(call, false)?;
    let schema = schema::builtin(schema).ok_or_else(|| Status::internal(format!("no schema {schema}")))?;
    Patch::read(call, true, body)?.apply(schema, before)
}

/// Server-side apply: makes the object if there is none.
async fn apply(call: &Call, kind: &Kind, body: &Bytes) -> Result<Answer, Status> {
    options::check(call, true)?;
    let (config, warnings) = configuration(call, kind, body)?;
    race::while_raced(async || {
        // Somebody makes it meanwhile: it is changed as soon as it can be seen.
        let made =
            |status: Status| Status { is_race: status.is_race || status.reason == Reason::AlreadyExists, ..status };
        apply_once(call, kind, &config, &warnings).await.map_err(made)
    })
    .await
}

/// The configuration that is applied: every field of it must be known.
fn configuration(call: &Call, kind: &Kind, body: &Bytes) -> Result<(Object, Vec<String>), Status> {
    let wanted = call.attributes();
    let schema = decode::schema_of(call, kind);
    let is_json = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let decoded = match is_json {
        true => schema::decode::text(schema, body),
        false => schema::decode::value(schema, decode::from_yaml(body)?),
    };
    let decoded = decoded.map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    let mut config = Object::from_value(decoded.value).ok_or_else(|| {
        Status::bad_request(format!("the object provided is unrecognized (must be of type {})", kind.kind))
    })?;
    if config.kind() != kind.kind || config.api_version() != wanted.api_version() {
        let (group, version) = config.api_version().split_once('/').unwrap_or(("", config.api_version()));
        let message = format!("invalid object type: {group}/{version}, Kind={}", config.kind());
        return Err(Status::bad_request(message));
    }
    if config.at(&["metadata", "managedFields"]).is_some() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let (mut unknown, mut double) = (Vec::new(), Vec::new());
    for problem in decoded.problems {
        match problem {
            schema::decode::Problem::Unknown(path) => unknown.push(format!(".{path}: field not declared in schema")),
            twice => double.push(twice),
        }
    }
    if !unknown.is_empty() {
        let text = match unknown.as_slice() {
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        return Err(Status::bad_request(format!(
            "failed to create typed patch object ({}): {text}",
            described(call, kind)
        )));
    }
    let warnings = decode::judged(call, kind, &double)?;
    if config.name().is_empty() {
        config.set(&["metadata", "name"], wanted.name.as_str());
    }
    if kind.is_namespaced() && config.namespace().is_empty() {
        config.set(&["metadata", "namespace"], wanted.namespace.as_str());
    }
    Ok((config, warnings))
}

/// `namespace/name; group/version, Kind=Kind`
fn described(call: &Call, kind: &Kind) -> String {
    let wanted = call.attributes();
    format!("{}/{}; {}/{}, Kind={}", wanted.namespace, wanted.name, wanted.group, wanted.version, kind.kind)
}

async fn apply_once(call: &Call, kind: &Kind, config: &Object, warnings: &[String]) -> Result<Answer, Status> {
    let wanted = call.attributes();
    let writer = options::writer(call, kind);
    let config_value = Value::Object(config.0.clone());
    let found = match call.api.store.get(&objects::key(kind, &wanted.namespace, &wanted.name)) {
        Some(entry) => Some(convert::entry(&call.api, kind, entry).await?),
        None => None,
    };
    let live = found.as_ref().map(|entry| objects::present(kind, entry)).transpose()?;
    let force = call.options.is_true("force");
    let mut object = fields::owner::apply(&writer, live.as_ref(), &config_value, force)
        .map_err(|error| refused(call, kind, error))?;
    let managers = object.remove(&["metadata", "managedFields"]).unwrap_or(Value::Null);
    let sent = decode::Sent { object, warnings: warnings.to_vec() };
    let Some(entry) = found else {
        check_new(call, kind, config)?;
        return write::make(call, kind, sent, Noted::Applied(managers)).await;
    };
    write::change(call, kind, &entry, sent, Noted::Applied(managers)).await
}

/// An apply that makes an object needs the right to, and may not mean a particular one.
fn check_new(call: &Call, kind: &Kind, config: &Object) -> Result<(), Status> {
    let wanted = call.attributes();
    if !wanted.subresource.is_empty() {
        return Err(Status::not_found(kind.group(), &kind.plural, &wanted.name));
    }
    if !config.uid().is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {}, and no existing object was found",
            config.uid()
        );
        return Err(Status::conflict(kind.group(), &kind.plural, &wanted.name, &why));
    }
    let create = super::Attributes { verb: "create".into(), ..wanted.clone() };
    if call.api.authorizer.allows(&call.user, &create) { Ok(()) } else { Err(forbidden(&call.user, &create)) }
}

fn refused(call: &Call, kind: &Kind, error: owner::Error) -> Status {
    match error {
        owner::Error::Conflicts(conflicts) => {
            let mut status = Status::new(Reason::Conflict, conflicts.to_string());
            status.causes = conflicts
                .0
                .iter()
                .map(|conflict| Cause {
                    reason: "FieldManagerConflict".into(),
                    message: format!("conflict with {}", conflict.manager.printed()),
                    field: conflict.path.clone(),
                })
                .collect();
            status
        }
        owner::Error::Merge(what) => {
            Status::bad_request(format!("failed to create typed patch object ({}): {what}", described(call, kind)))
        }
        error @ owner::Error::NoSchema => Status::internal(error),
    }
}

#[cfg(test)]
mod tests;
