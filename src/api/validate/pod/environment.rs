//! Environment variables and where their values come from.

use super::resources;
use crate::api::names;
use crate::api::validate::{At, Causes};
use serde_json::json;

/// Fields of a pod that a variable may show, in the order in which they are told of.
const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Amounts of a container that a variable may show.
const AMOUNTS: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const SOURCES: &[&str] = &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

/// A list of variables.
pub fn variables(at: &At<'_>, causes: &mut Causes) {
    for variable in at.items() {
        let name = variable.at("name");
        causes.name(&name, names::variable);
        let from = variable.at("valueFrom");
        if !from.is_missing() {
            source(&from, !variable.at("value").is_empty(), causes);
        }
    }
}

fn source(from: &At<'_>, has_value: bool, causes: &mut Causes) {
    let count = SOURCES.iter().filter(|source| !from.at(source).is_missing()).count();
    if !from.at("fieldRef").is_missing() {
        field(&from.at("fieldRef"), FIELDS, causes);
    }
    if !from.at("resourceFieldRef").is_missing() {
        amount(&from.at("resourceFieldRef"), false, causes);
    }
    for reference in ["configMapKeyRef", "secretKeyRef"] {
        let at = from.at(reference);
        if at.is_missing() {
            continue;
        }
        if at.at("name").is_empty() {
            causes.required(&at.at("name"), "");
        }
        causes.name(&at.at("key"), names::config_key);
    }
    match count {
        0 => {
            let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            causes.invalid_as(from, &json!(""), why);
        }
        _ if has_value => causes.invalid_as(from, &json!(""), "may not be specified when `value` is not empty"),
        1 => {}
        _ => causes.invalid_as(from, &json!(""), "may not have more than one field specified at a time"),
    }
}

/// A reference to a field of the pod.
pub fn field(at: &At<'_>, known: &[&str], causes: &mut Causes) {
    if at.at("apiVersion").is_empty() {
        causes.required(&at.at("apiVersion"), "");
    }
    let path = at.at("fieldPath");
    if path.is_empty() {
        causes.required(&path, "");
        return;
    }
    match path.text().split_once('[') {
        Some((map @ ("metadata.annotations" | "metadata.labels"), rest)) => {
            let key =
                rest.strip_suffix(']').and_then(|key| key.strip_prefix('\'')).and_then(|key| key.strip_suffix('\''));
            match key {
                None => causes.invalid(&path, "error converting fieldPath: invalid subscript"),
                Some(key) => {
                    let key = if map == "metadata.annotations" { key.to_lowercase() } else { key.to_string() };
                    causes.each(&path, names::qualified_name(&key));
                }
            }
        }
        Some(_) => causes.invalid(&path, "does not support subscript"),
        None if !known.contains(&path.text()) => causes.unsupported(&path, known),
        None => {}
    }
}

/// A reference to an amount of a container.
pub fn amount(at: &At<'_>, is_volume: bool, causes: &mut Causes) {
    if is_volume && at.at("containerName").is_empty() {
        causes.required(&at.at("containerName"), "");
    }
    let resource = at.at("resource");
    if resource.is_empty() {
        causes.required(&resource, "");
    } else {
        let text = resource.text();
        let is_huge = text.starts_with("limits.hugepages-") || text.starts_with("requests.hugepages-");
        if !AMOUNTS.contains(&text) && !is_huge {
            causes.unsupported(&resource, AMOUNTS);
        }
    }
    divisor(at, causes);
}

fn divisor(at: &At<'_>, causes: &mut Causes) {
    const PROCESSORS: &[&str] = &["1m", "1"];
    const BYTES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let by = at.at("divisor");
    let (Some(amount), resource) = (by.quantity(), at.at("resource").text()) else { return };
    if amount.sign() == 0 {
        return;
    }
    let (known, what) = match resource.split_once('.').map(|(_, name)| name) {
        Some("cpu") => (PROCESSORS, "cpu"),
        Some("memory") => (BYTES, "memory"),
        Some("ephemeral-storage") => (BYTES, "local ephemeral storage"),
        _ => return,
    };
    if !known.iter().any(|one| one.parse() == Ok(amount)) {
        let why = match what {
            "cpu" => "only divisor's values 1m and 1 are supported with the cpu resource".to_string(),
            _ => {
                let list = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
                format!("only divisor's values {list} are supported with the {what} resource")
            }
        };
        causes.invalid(&by, &why);
    }
    resources::amount(&by, causes);
}

/// Where many variables come from at once.
pub fn sources(at: &At<'_>, causes: &mut Causes) {
    for source in at.items() {
        let prefix = source.at("prefix");
        if !prefix.is_empty() {
            causes.each(&prefix, names::variable(prefix.text()));
        }
        let mut count = 0;
        for reference in ["configMapRef", "secretRef"] {
            let at = source.at(reference);
            if at.is_missing() {
                continue;
            }
            count += 1;
            if at.at("name").is_empty() {
                causes.required(&at.at("name"), "");
            }
        }
        match count {
            0 => causes.invalid_as(&source, &json!(""), "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => causes.invalid_as(&source, &json!(""), "may not have more than one field specified at a time"),
        }
    }
}
