//! Options of writes: what they may be, and who a write is noted for.
//!
//! Source: k8s.io/apimachinery `pkg/apis/meta/v1/validation/validation.go`, k8s.io/apiserver
//! `pkg/endpoints/handlers/create.go` (`managerOrUserAgent`).

use super::request::Options;
use super::route::Call;
use crate::api::fields::Writer;
use crate::api::{Cause, Kind, Status};
use http::header;

/// The longest name of a field manager, in bytes.
const LONGEST_MANAGER: usize = 128;

/// What happens to unknown and double fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    Ignore,
    Warn,
    Strict,
}

impl Validation {
    /// What a request asks for; `check` has refused other words.
    pub fn of(options: &Options) -> Self {
        match options.text("fieldValidation") {
            "Ignore" => Validation::Ignore,
            "Strict" => Validation::Strict,
            _ => Validation::Warn,
        }
    }
}

/// Refuses options that a write cannot have. `is_apply` is about server-side apply.
pub fn check(call: &Call, is_apply: bool) -> Result<(), Status> {
    let options = &call.options;
    let mut causes = Vec::new();
    let mut wrong = |reason: &str, field: &str, message: String| {
        causes.push(Cause { reason: reason.into(), message, field: field.into() });
    };
    let unsupported = |word: &str, known: &str| format!("Unsupported value: {word:?}: supported values: {known}");
    let manager = options.text("fieldManager");
    if is_apply && manager.is_empty() {
        wrong("FieldValueRequired", "fieldManager", "Required value: is required for apply patch".into());
    }
    if !is_apply && !options.text("force").is_empty() && call.attributes().verb == "patch" {
        wrong("FieldValueForbidden", "force", "Forbidden: may not be specified for non-apply patch".into());
    }
    if manager.len() > LONGEST_MANAGER {
        wrong("FieldValueTooLong", "fieldManager", format!("Too long: may not be more than {LONGEST_MANAGER} bytes"));
    }
    if let Some((at, letter)) = manager.chars().enumerate().find(|(_, letter)| letter.is_control()) {
        let message =
            format!("Invalid value: {manager:?}: should only contain printable characters (position {at}: {letter:?})");
        wrong("FieldValueInvalid", "fieldManager", message);
    }
    if !matches!(options.text("dryRun"), "" | "All") {
        wrong("FieldValueNotSupported", "dryRun", unsupported(options.text("dryRun"), "\"All\""));
    }
    if !matches!(options.text("fieldValidation"), "" | "Ignore" | "Warn" | "Strict") {
        let known = "\"Ignore\", \"Strict\", \"Warn\"";
        wrong("FieldValueNotSupported", "fieldValidation", unsupported(options.text("fieldValidation"), known));
    }
    if causes.is_empty() {
        return Ok(());
    }
    let name = match call.attributes().verb.as_str() {
        "create" => "CreateOptions",
        "patch" => "PatchOptions",
        _ => "UpdateOptions",
    };
    Err(Status::invalid("meta.k8s.io", name, "", causes))
}

/// Refuses options that a list or watch cannot have.
///
/// Source: k8s.io/apimachinery `pkg/apis/meta/internalversion/validation/validation.go`.
pub fn check_reading(call: &Call) -> Result<(), Status> {
    let [version, way, page, initial] = ["resourceVersion", "resourceVersionMatch", "continue", "sendInitialEvents"]
        .map(|name| call.options.text(name));
    let mut causes = Vec::new();
    let mut forbid = |field: &str, why: &str| causes.push(Cause::forbidden(field, why));
    let field = "resourceVersionMatch";
    match (call.attributes().verb.as_str(), way, initial) {
        ("watch", "", "") => {}
        ("watch", _, "") => {
            forbid(field, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        }
        ("watch", "NotOlderThan", _) => {}
        ("watch", _, _) => forbid(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        (_, "", "") => {}
        (_, _, initial) if !initial.is_empty() => {
            forbid("sendInitialEvents", "sendInitialEvents is forbidden for list");
        }
        (_, _, _) if version.is_empty() => {
            forbid(field, "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        (_, _, _) if !page.is_empty() => forbid(field, "resourceVersionMatch is forbidden when continue is provided"),
        (_, "Exact", _) if version == "0" => {
            forbid(field, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
        (_, "Exact" | "NotOlderThan", _) => {}
        _ => causes.push(Cause::not_supported(field, &way.into(), &["Exact", "NotOlderThan", ""])),
    }
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", "ListOptions", "", causes)) }
}

/// Whom a write is noted for: the manager that the client names, or its program's name.
pub fn writer<'a>(call: &'a Call, kind: &'a Kind) -> Writer<'a> {
    let wanted = call.attributes();
    let agent = call.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let manager = match (call.options.text("fieldManager"), agent.split('/').next().unwrap_or_default()) {
        ("", "") => call.user.name.rsplit(':').next().unwrap_or_default(),
        ("", program) => program,
        (named, _) => named,
    };
    let end =
        manager.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= LONGEST_MANAGER);
    Writer {
        kind,
        group: &wanted.group,
        version: &wanted.version,
        manager: &manager[..end.last().unwrap_or(0)],
        subresource: &wanted.subresource,
        now: crate::api::time::now(),
    }
}
