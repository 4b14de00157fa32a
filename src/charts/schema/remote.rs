//! Schemas that a schema refers to by address: fetched when the validator asks for them, and kept for the explanation.
//!
//! Source of rules and wording: Helm `pkg/chart/common/util/jsonschema.go`. Files are not read: a chart has no business with
//! what lies outside of it.

use crate::charts::repository::http;
use crate::charts::values::Value;
use jsonschema::{Retrieve, Uri};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where a chart's own schema is said to be.
pub const OWN: &str = "file:///values.schema.json";
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(15);

/// Fetched schemas by address, without fragments.
pub type Documents = BTreeMap<String, Value>;

/// Fetches what the validator asks for. Cheap to clone: all clones keep the same.
#[derive(Clone, Default)]
pub struct Fetcher(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    documents: Documents,
    /// The first address that could not be had, and why.
    failure: Option<String>,
}

impl Fetcher {
    /// What was fetched; an error names what could not be.
    pub fn fetched(&self) -> Result<Documents, String> {
        let mut kept = self.0.lock();
        match kept.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut kept.documents)),
        }
    }
}

impl Retrieve for Fetcher {
    fn retrieve(&self, address: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let address = address.as_str().trim_end_matches('#');
        match document(address) {
            Ok(document) => {
                self.0.lock().documents.insert(address.into(), document.clone());
                Ok(document)
            }
            Err(why) => {
                let failure = format!("failing loading {address:?}: {why}");
                self.0.lock().failure.get_or_insert(failure.clone());
                Err(failure.into())
            }
        }
    }
}

fn document(address: &str) -> Result<Value, String> {
    match address.split_once(':').unwrap_or_default().0 {
        "http" | "https" => {
            let (code, reason, body) = http::get_now(address, LIMIT).map_err(|why| {
                let why = why.to_string();
                format!("HTTP request failed for {address}: {why}")
            })?;
            if code != 200 {
                return Err(format!("HTTP request to {address} returned status {code} ({reason})"));
            }
            serde_json::from_slice(&body).map_err(|error| error.to_string())
        }
        "urn" => {
            tracing::warn!(urn = address, "unresolved URN reference ignored; using permissive schema");
            Ok(Value::Bool(true))
        }
        "file" => Err("a schema may not refer to files outside of its chart".into()),
        scheme => Err(format!("no URLLoader registered for scheme {scheme:?}")),
    }
}
