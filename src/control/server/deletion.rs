//! What a deletion is asked with: grace, propagation, preconditions.
//!
//! Source: k8s.io/apimachinery `pkg/apis/meta/v1/validation/validation.go` (`ValidateDeleteOptions`).

use super::decode;
use super::route::Call;
use crate::api::{Cause, Kind, Object, Status};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

const POLICIES: [&str; 3] = ["Foreground", "Background", "Orphan"];

/// What a deletion is asked with.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteOptions {
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    dry_run: Option<Vec<String>>,
    preconditions: Option<Preconditions>,
}

/// What has to be true of the object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteOptions {
    /// Those of a request: its body, and what the address says beside it.
    pub fn read(call: &Call, body: &Bytes) -> Result<Self, Status> {
        let body = if body.is_empty() { json!({}) } else { decode::value(&call.headers, body)? };
        Self::of(call, body)
    }

    /// These options, and what the address of the request says beside them.
    pub fn of(call: &Call, options: Value) -> Result<Self, Status> {
        let mut options: Self = serde_json::from_value(options)
            .map_err(|error| Status::bad_request(format!("DeleteOptions cannot be read: {error}")))?;
        let text = |name: &str| Some(call.options.text(name)).filter(|text| !text.is_empty());
        if let (None, Some(grace)) = (options.grace_period_seconds, text("gracePeriodSeconds")) {
            let wrong = |_| Status::bad_request(format!("strconv.ParseInt: parsing {grace:?}: invalid syntax"));
            options.grace_period_seconds = Some(grace.parse().map_err(wrong)?);
        }
        if let Some(orphan) = text("orphanDependents").filter(|_| options.orphan_dependents.is_none()) {
            options.orphan_dependents = Some(!matches!(orphan, "false" | "0"));
        }
        options.propagation_policy = options.propagation_policy.or_else(|| text("propagationPolicy").map(String::from));
        options.dry_run.get_or_insert_default().extend(text("dryRun").map(String::from));
        let causes = options.wrong();
        if causes.is_empty() { Ok(options) } else { Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", causes)) }
    }

    fn wrong(&self) -> Vec<Cause> {
        let mut causes = Vec::new();
        if self.orphan_dependents.is_some() && self.propagation_policy.is_some() {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            causes.push(Cause::invalid("propagationPolicy", &json!(self.propagation_policy), why));
        }
        if let Some(policy) = self.propagation_policy.as_deref().filter(|policy| !POLICIES.contains(policy)) {
            let known = &["Foreground", "Background", "Orphan", "nil"];
            causes.push(Cause::not_supported("propagationPolicy", &policy.into(), known));
        }
        if let Some(word) = self.dry_run.iter().flatten().find(|word| *word != "All") {
            causes.push(Cause::not_supported("dryRun", &word.as_str().into(), &["All"]));
        }
        causes
    }

    /// Seconds of grace, if any were asked for.
    pub fn grace(&self) -> Option<i64> {
        self.grace_period_seconds
    }

    /// The finalizer that a propagation policy asks for.
    pub fn finalizer(&self) -> Option<&'static str> {
        match (self.propagation_policy.as_deref(), self.orphan_dependents) {
            (Some("Orphan"), _) | (None, Some(true)) => Some("orphan"),
            (Some("Foreground"), _) => Some("foregroundDeletion"),
            _ => None,
        }
    }

    /// Whether the object is the one that is meant.
    pub fn check(&self, kind: &Kind, object: &Object) -> Result<(), Status> {
        let Some(conditions) = &self.preconditions else { return Ok(()) };
        for (expected, name, actual) in [
            (&conditions.uid, "UID", object.uid()),
            (&conditions.resource_version, "ResourceVersion", object.resource_version()),
        ] {
            if let Some(expected) = expected.as_deref().filter(|expected| *expected != actual) {
                let why =
                    format!("Precondition failed: {name} in precondition: {expected}, {name} in object meta: {actual}");
                return Err(Status::conflict(kind.group(), &kind.plural, object.name(), &why));
            }
        }
        Ok(())
    }

    /// Whether everything is done but the writing.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.iter().flatten().any(|word| word == "All")
    }
}
