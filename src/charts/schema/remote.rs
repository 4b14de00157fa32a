//! Schemas that a schema refers to by address: fetched, and put into it under their `$id`, where every validator finds them.
//!
//! Source of rules and wording: Helm `pkg/chart/common/util/jsonschema.go`. Files are not read: a chart has no business with
//! what lies outside of it.

use crate::charts::repository::http;
use crate::charts::values::Value;
use serde_json::{Map, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Where a chart's own schema is said to be.
pub const OWN: &str = "file:///values.schema.json";
/// Schemas of schemas, which the validator has.
const DRAFTS: &str = "://json-schema.org/";
/// How long a schema of another server may take.
const LIMIT: Duration = Duration::from_secs(15);
/// The most bytes of one, and how many there may be: each may name more.
const LARGEST: u64 = 4 << 20;
const MOST: usize = 64;

/// The schema with everything that it refers to; an error names what cannot be had. `words` are those of its draft: for the
/// address of a schema, and for the schemas in a schema.
pub fn complete(mut schema: Value, (id, definitions): (&str, &str)) -> Result<Value, String> {
    let mut known = BTreeSet::from([OWN.to_string()]);
    let (mut wanted, mut fetched) = (BTreeSet::new(), 0);
    collect(&schema, OWN, &mut known, &mut wanted);
    while let Some(address) = wanted.pop_first() {
        if !known.insert(address.clone()) {
            continue;
        }
        fetched += 1;
        if fetched > MOST {
            return Err(format!("a schema may refer to {MOST} others at most"));
        }
        let mut document = document(&address).map_err(|why| format!("failing loading {address:?}: {why}"))?;
        document.remove("$id");
        document.insert(id.into(), json!(address));
        let document = Value::Object(document);
        collect(&document, &address, &mut known, &mut wanted);
        schema[definitions][&address] = document;
    }
    Ok(schema)
}

/// Finds the addresses that schemas have, and those that they refer to. `base` is where the document is.
fn collect(schema: &Value, base: &str, known: &mut BTreeSet<String>, wanted: &mut BTreeSet<String>) {
    let join = |address: &str| http::join_url(base, address).map(|(address, _)| address);
    match schema {
        Value::Object(rules) => {
            let own = ["$id", "id"].iter().find_map(|word| join(rules.get(*word)?.as_str()?));
            known.extend(own.clone().filter(|_| base != own.as_deref().unwrap_or_default()));
            let base = own.as_deref().unwrap_or(base);
            let target = rules.get("$ref").and_then(Value::as_str).and_then(|target| http::join_url(base, target));
            wanted.extend(
                target
                    .map(|(address, _)| address)
                    .filter(|address| !known.contains(address) && !address.contains(DRAFTS)),
            );
            rules.values().for_each(|inner| collect(inner, base, known, wanted));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, base, known, wanted)),
        _ => {}
    }
}

fn document(address: &str) -> Result<Map<String, Value>, String> {
    match address.split_once(':').unwrap_or_default().0 {
        "http" | "https" => {
            let (code, reason, body) = http::get_now(address, LIMIT, LARGEST)
                .map_err(|why| format!("HTTP request failed for {address}: {why}"))?;
            if code != 200 {
                return Err(format!("HTTP request to {address} returned status {code} ({reason})"));
            }
            match serde_json::from_slice(&body).map_err(|error| error.to_string())? {
                Value::Object(rules) => Ok(rules),
                Value::Bool(true) => Ok(Map::new()),
                _ => Ok(Map::from_iter([("not".to_string(), json!({}))])),
            }
        }
        "urn" => {
            tracing::warn!(urn = address, "unresolved URN reference ignored; using permissive schema");
            Ok(Map::new())
        }
        "file" => Err("a schema may not refer to files outside of its chart".into()),
        scheme => Err(format!("no URLLoader registered for scheme {scheme:?}")),
    }
}
