//! What a deletion is asked with: grace, propagation, preconditions.

use super::decode;
use super::route::Call;
use crate::api::{Cause, Kind, Object, Status};
use bytes::Bytes;
use serde_json::{Value, json};

/// What a deletion is asked with.
pub struct DeleteOptions(Value);

impl DeleteOptions {
    pub fn read(call: &Call, body: &Bytes) -> Result<Self, Status> {
        let mut options = if body.is_empty() { json!({}) } else { decode::value(&call.headers, body)? };
        for name in ["propagationPolicy", "gracePeriodSeconds"] {
            let text = call.options.text(name);
            if options[name].is_null() && !text.is_empty() {
                options[name] = text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
            }
        }
        Ok(Self(options))
    }

    pub fn grace(&self) -> Option<i64> {
        self.0["gracePeriodSeconds"].as_i64()
    }

    /// The finalizer that a propagation policy asks for.
    pub fn finalizer(&self) -> Result<Option<&'static str>, Status> {
        let orphans = self.0["orphanDependents"].as_bool();
        match (self.0["propagationPolicy"].as_str(), orphans) {
            (Some("Orphan"), _) | (None, Some(true)) => Ok(Some("orphan")),
            (Some("Foreground"), _) => Ok(Some("foregroundDeletion")),
            (Some("Background") | None, _) => Ok(None),
            (Some(_), _) => {
                let known = &["Foreground", "Background", "Orphan", "nil"];
                let cause = Cause::not_supported("propagationPolicy", &self.0["propagationPolicy"], known);
                Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", vec![cause]))
            }
        }
    }

    pub fn check(&self, kind: &Kind, object: &Object) -> Result<(), Status> {
        let conditions = &self.0["preconditions"];
        for (field, name, actual) in
            [("uid", "UID", object.uid()), ("resourceVersion", "ResourceVersion", object.resource_version())]
        {
            if let Some(expected) = conditions[field].as_str().filter(|expected| *expected != actual) {
                let why =
                    format!("Precondition failed: {name} in precondition: {expected}, {name} in object meta: {actual}");
                return Err(Status::conflict(kind.group(), &kind.plural, object.name(), &why));
            }
        }
        Ok(())
    }

    pub fn is_dry_run(&self, call: &Call) -> bool {
        call.options.is_dry_run() || self.0["dryRun"].as_array().is_some_and(|all| all.iter().any(|one| one == "All"))
    }
}
