//! Kubernetes `Status`: what every failed request answers with.
//!
//! Source of reasons, codes and wording: k8s.io/apimachinery `pkg/api/errors/errors.go` and `pkg/apis/meta/v1/types.go`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// Why a request failed, in the word that clients match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    AlreadyExists,
    Conflict,
    Gone,
    Expired,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    Invalid,
    TooManyRequests,
    InternalError,
    NotImplemented,
    ServiceUnavailable,
    Timeout,
    InsufficientStorage,
}

impl Reason {
    /// The HTTP code that goes with the reason.
    pub fn code(self) -> u16 {
        match self {
            Reason::BadRequest => 400,
            Reason::Unauthorized => 401,
            Reason::Forbidden => 403,
            Reason::NotFound => 404,
            Reason::MethodNotAllowed => 405,
            Reason::NotAcceptable => 406,
            Reason::AlreadyExists | Reason::Conflict => 409,
            Reason::Gone | Reason::Expired => 410,
            Reason::RequestEntityTooLarge => 413,
            Reason::UnsupportedMediaType => 415,
            Reason::Invalid => 422,
            Reason::TooManyRequests => 429,
            Reason::InternalError => 500,
            Reason::NotImplemented => 501,
            Reason::ServiceUnavailable => 503,
            Reason::Timeout => 504,
            Reason::InsufficientStorage => 507,
        }
    }
}

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `FieldValueRequired`, `FieldValueInvalid`, `FieldValueNotSupported`, `FieldValueDuplicate`, …
    pub reason: String,
    /// What is wrong, for example `Required value: must be set`.
    pub message: String,
    /// The path of the field, for example `spec.containers[0].name`.
    pub field: String,
}

/// Source of the wording: k8s.io/apimachinery `pkg/util/validation/field/errors.go`.
impl Cause {
    fn of(reason: &str, field: impl Into<String>, what: String, detail: &str) -> Self {
        let message = if detail.is_empty() { what } else { format!("{what}: {detail}") };
        Self { reason: reason.into(), message, field: field.into() }
    }

    /// `Required value: DETAIL`
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::of("FieldValueRequired", field, "Required value".into(), detail)
    }

    /// `Invalid value: VALUE: DETAIL`
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::of("FieldValueInvalid", field, format!("Invalid value: {value}"), detail)
    }

    /// `Invalid value: VALUE: DETAIL`, for a value of the wrong type.
    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::of("FieldValueTypeInvalid", field, format!("Invalid value: {value}"), detail)
    }

    /// `Unsupported value: VALUE: supported values: "A", "B"`
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let names: Vec<String> = supported.iter().map(|name| format!("{name:?}")).collect();
        let detail = format!("supported values: {}", names.join(", "));
        Self::of("FieldValueNotSupported", field, format!("Unsupported value: {value}"), &detail)
    }

    /// `Forbidden: DETAIL`
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::of("FieldValueForbidden", field, "Forbidden".into(), detail)
    }

    /// `Duplicate value: VALUE`
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::of("FieldValueDuplicate", field, format!("Duplicate value: {value}"), "")
    }

    /// `Too long: may not be more than N bytes`
    pub fn too_long(field: impl Into<String>, most: u64) -> Self {
        let unit = if most == 1 { "byte" } else { "bytes" };
        Self::of("FieldValueTooLong", field, "Too long".into(), &format!("may not be more than {most} {unit}"))
    }

    /// `Too many: N: must have at most M items`
    pub fn too_many(field: impl Into<String>, actual: u64, most: u64) -> Self {
        let unit = if most == 1 { "item" } else { "items" };
        let detail = format!("must have at most {most} {unit}");
        Self::of("FieldValueTooMany", field, format!("Too many: {actual}"), &detail)
    }
}

/// A failed request.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub reason: Reason,
    pub message: String,
    /// The object it is about: name, group, kind (the plural resource for most reasons, as upstream has it).
    pub name: String,
    pub group: String,
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    /// Seconds after which the client may try again; 0 leaves it out.
    pub retry_after_seconds: u32,
    /// Another write came between reading and writing; the same may succeed when it is done again. Clients are not told.
    pub is_race: bool,
    /// Code, reason and details that somebody else gave it, where they are not those of `reason`.
    pub given: Option<Box<Given>>,
}

/// What a webhook says of its refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    pub code: u16,
    pub reason: String,
    pub details: Value,
}

impl Status {
    /// A failure with a message and nothing else to say.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
            is_race: false,
            given: None,
        }
    }

    /// A failure as somebody else reports it: with any code and any reason.
    pub fn of_somebody(code: u16, reason: &str, message: impl Into<String>, details: &Value) -> Self {
        let mut status = Self::new(Reason::BadRequest, message);
        status.given = Some(Box::new(Given { code, reason: reason.into(), details: details.clone() }));
        status
    }

    /// The HTTP code.
    pub fn code(&self) -> u16 {
        self.given.as_ref().map_or(self.reason.code(), |given| given.code)
    }

    /// Says which object it is about.
    pub fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        self.group = group.into();
        self.kind = kind.into();
        self.name = name.into();
        self
    }

    /// A request that cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// `RESOURCE.GROUP "NAME" not found`.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        Self::new(Reason::NotFound, format!("{} \"{name}\" not found", qualified(group, resource)))
            .about(group, resource, name)
    }

    /// `RESOURCE.GROUP "NAME" already exists`.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        Self::new(Reason::AlreadyExists, format!("{} \"{name}\" already exists", qualified(group, resource)))
            .about(group, resource, name)
    }

    /// `Operation cannot be fulfilled on RESOURCE.GROUP "NAME": WHY`.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let resource_name = qualified(group, resource);
        Self::new(Reason::Conflict, format!("Operation cannot be fulfilled on {resource_name} \"{name}\": {why}"))
            .about(group, resource, name)
    }

    /// `KIND.GROUP "NAME" is invalid: FIELD: WHAT`, with one cause per field.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let lines: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let detail = match lines.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut status =
            Self::new(Reason::Invalid, format!("{} \"{name}\" is invalid: {detail}", qualified(group, kind)))
                .about(group, kind, name);
        status.causes = causes;
        status
    }

    /// Something went wrong that the client did not cause.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(Reason::InternalError, format!("Internal error occurred: {message}"))
    }

    /// The wire form: a `Status` object of `v1`.
    pub fn to_value(&self) -> Value {
        let mut details = serde_json::Map::new();
        for (field, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)] {
            if !text.is_empty() {
                details.insert(field.into(), json!(text));
            }
        }
        if !self.causes.is_empty() {
            details.insert("causes".into(), json!(self.causes));
        }
        if self.retry_after_seconds > 0 {
            details.insert("retryAfterSeconds".into(), json!(self.retry_after_seconds));
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.reason.code(),
        });
        if !details.is_empty() {
            status["details"] = Value::Object(details);
        }
        if let Some(given) = &self.given {
            status["code"] = json!(given.code);
            status["reason"] = json!(given.reason);
            if given.details.is_object() {
                status["details"] = given.details.clone();
            }
        }
        status
    }
}

/// `resource.group`, or the bare resource in the core group.
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_string() } else { format!("{resource}.{group}") }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wording_and_code_are_those_that_clients_match_on() {
        let status = Status::not_found("apps", "deployments", "web");
        assert_eq!(status.message, "deployments.apps \"web\" not found");
        assert_eq!(status.to_value()["code"], 404);
        assert_eq!(status.to_value()["details"]["kind"], "deployments");
    }

    #[test]
    fn several_causes_are_listed_in_brackets() {
        let cause = |field: &str| Cause {
            reason: "FieldValueRequired".into(),
            message: "Required value".into(),
            field: field.into(),
        };
        let status = Status::invalid("", "Pod", "p", vec![cause("a"), cause("b")]);
        assert_eq!(status.message, "Pod \"p\" is invalid: [a: Required value, b: Required value]");
        assert_eq!(status.to_value()["details"]["causes"].as_array().unwrap().len(), 2);
    }
}
