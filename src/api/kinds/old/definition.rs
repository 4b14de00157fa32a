//! Definitions of custom resources before `v1`: what versions have in common stood beside them, and nothing was pruned unless
//! asked for.
//!
//! Source: k8s.io/apiextensions-apiserver `pkg/apis/apiextensions/v1beta1/{conversion,defaults}.go`.

use super::super::Object;
use super::super::edit::{Fields, child, each, object};
use serde_json::{Map, Value, json};

/// What stood beside the versions, and its name in a version.
const SHARED: [(&str, &str); 3] = [
    ("validation", "schema"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
];
const OPEN: &str = "x-kubernetes-preserve-unknown-fields";

pub fn to_stored(definition: &mut Object) {
    let Some(spec) = child(&mut definition.0, "spec") else { return };
    let single = spec.remove("version").filter(Value::is_string);
    if spec.get("versions").and_then(Value::as_array).is_none_or(Vec::is_empty)
        && let Some(name) = single
    {
        spec.insert("versions".into(), json!([{"name": name, "served": true, "storage": true}]));
    }
    let is_open = spec.remove("preserveUnknownFields") != Some(Value::Bool(false));
    for (shared, own) in SHARED {
        let Some(value) = spec.remove(shared).filter(|value| !value.is_null()) else { continue };
        for version in each(spec, "versions") {
            version.entry(own).or_insert_with(|| value.clone());
        }
    }
    for version in each(spec, "versions") {
        let schema = object(object(version, "schema"), "openAPIV3Schema");
        // A definition in today's form has been here before, and says where it is open.
        if is_open {
            open(schema);
        }
        each(version, "additionalPrinterColumns").for_each(|column| rename(column, "JSONPath", "jsonPath"));
    }
    conversion_to_stored(spec);
}

pub fn from_stored(definition: &mut Object) {
    let Some(spec) = child(&mut definition.0, "spec") else { return };
    for version in each(spec, "versions") {
        each(version, "additionalPrinterColumns").for_each(|column| rename(column, "jsonPath", "JSONPath"));
    }
    for (shared, own) in SHARED {
        if let Some(value) = common(spec, own) {
            each(spec, "versions").for_each(|version| drop(version.remove(own)));
            spec.insert(shared.into(), value);
        }
    }
    let first = spec.get("versions").and_then(|versions| versions.get(0)?.get("name")).cloned();
    spec.extend(first.map(|name| ("version".to_string(), name)));
    // Where a schema is open, it says so itself.
    spec.insert("preserveUnknownFields".into(), Value::Bool(false));
    conversion_from_stored(spec);
}

/// What all versions have alike.
fn common(spec: &Fields, field: &str) -> Option<Value> {
    let versions = spec.get("versions")?.as_array()?;
    let first = versions.first()?.get(field).filter(|value| !value.is_null())?;
    versions.iter().all(|version| version.get(field) == Some(first)).then(|| first.clone())
}

/// Lets every object of a schema keep what is not listed. Types that were left out follow from what is there.
fn open(schema: &mut Fields) {
    let has_fields = schema.contains_key("properties") || schema.contains_key("additionalProperties");
    if schema.is_empty() || (has_fields && !schema.contains_key("type")) {
        schema.insert("type".into(), json!("object"));
    }
    let is_map = schema.get("additionalProperties").is_some_and(|value| !value.is_null() && *value != false);
    if schema.get("type").is_some_and(|kind| kind == "object") && !is_map {
        schema.insert(OPEN.into(), json!(true));
    }
    for field in ["items", "additionalProperties"] {
        if let Some(below) = child(schema, field) {
            open(below);
        }
    }
    let below =
        child(schema, "properties").into_iter().flat_map(|all| all.values_mut().filter_map(Value::as_object_mut));
    below.for_each(open);
}

fn rename(fields: &mut Fields, from: &str, to: &str) {
    let value = fields.remove(from);
    fields.extend(value.map(|value| (to.to_string(), value)));
}

fn conversion_to_stored(spec: &mut Fields) {
    let Some(conversion) = child(spec, "conversion") else { return };
    let client = conversion.remove("webhookClientConfig").filter(|value| !value.is_null());
    let versions = conversion.remove("conversionReviewVersions").filter(|value| !value.is_null());
    if client.is_none() && versions.is_none() {
        return;
    }
    let mut webhook = Map::new();
    webhook.extend(client.map(|value| ("clientConfig".to_string(), value)));
    webhook.insert("conversionReviewVersions".into(), versions.unwrap_or_else(|| json!(["v1beta1"])));
    conversion.insert("webhook".into(), Value::Object(webhook));
}

fn conversion_from_stored(spec: &mut Fields) {
    let Some(conversion) = child(spec, "conversion") else { return };
    let Some(Value::Object(mut webhook)) = conversion.remove("webhook") else { return };
    let moved = [("clientConfig", "webhookClientConfig"), ("conversionReviewVersions", "conversionReviewVersions")];
    for (from, to) in moved {
        conversion.extend(webhook.remove(from).map(|value| (to.to_string(), value)));
    }
}
