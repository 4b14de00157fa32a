//! Objects of a custom kind between the version that a request asks for and the one that is stored, where a webhook converts.
//!
//! Every version is a kind of its own then, and requests know no other: objects are converted on their way out of the store
//! and into it. For every other kind all functions give back what they were given.
//!
//! Source of rules and wording: k8s.io/apiextensions-apiserver `pkg/apiserver/conversion/webhook_converter.go`.

use crate::api::custom::{Conversion, Custom};
use crate::api::{Kind, Object, Reason, Status};
use crate::control::server::remote::Target;
use crate::control::server::route::Call;
use crate::control::server::{Api, objects};
use crate::control::store::Entry;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long a webhook may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Versions of reviews that are written here, the best first.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

/// Whether objects of a kind are converted by a webhook.
pub fn is_for(kind: &Kind) -> bool {
    kind.custom.as_ref().is_some_and(|custom| custom.conversion.is_some())
}

/// The entry of a request's object, in the version of the request.
pub async fn current(call: &Call, kind: &Kind) -> Result<Arc<Entry>, Status> {
    entry(&call.api, kind, objects::current(&call.api.store, kind, call.attributes())?).await
}

/// An entry in the version of a kind.
pub async fn entry(api: &Api, kind: &Kind, entry: Arc<Entry>) -> Result<Arc<Entry>, Status> {
    if !is_for(kind) {
        return Ok(entry);
    }
    let mut converted = entries(api, kind, vec![entry]).await?;
    converted.pop().ok_or_else(|| Status::internal("a conversion without an object"))
}

/// Entries in the version of a kind, all of them in one question.
pub async fn entries(api: &Api, kind: &Kind, entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>, Status> {
    let Some((custom, conversion)) = webhook(kind) else { return Ok(entries) };
    let wanted = kind.stored.api_version();
    let mut read = Vec::with_capacity(entries.len());
    for entry in &entries {
        read.push(objects::stored(entry)?);
    }
    let mut converted = objects(api, (custom, conversion), &wanted, &read).await?.into_iter();
    let mut all = Vec::with_capacity(entries.len());
    for (entry, before) in entries.into_iter().zip(read) {
        if before.api_version() == wanted {
            all.push(entry);
            continue;
        }
        let after = converted.next().ok_or_else(|| Status::internal("a conversion lost an object"))?;
        all.push(Arc::new(Entry {
            key: entry.key.clone(),
            revision: entry.revision,
            bytes: serde_json::to_vec(&after).map_err(Status::internal)?.into(),
            selection: entry.selection.clone(),
        }));
    }
    Ok(all)
}

/// The object as it is stored; nothing if it is so already.
pub async fn to_storage(api: &Api, kind: &Kind, object: &Object) -> Result<Option<Object>, Status> {
    let Some((custom, conversion)) = webhook(kind) else { return Ok(None) };
    let wanted = format!("{}/{}", kind.group(), custom.storage);
    let converted = objects(api, (custom, conversion), &wanted, std::slice::from_ref(object)).await?;
    let mut converted = converted.into_iter().next();
    if let Some(object) = &mut converted {
        object.remove(&["metadata", "resourceVersion"]);
    }
    Ok(converted)
}

/// What was written, in the version of the request.
pub fn written(kind: &Kind, object: &Object, entry: Arc<Entry>) -> Result<Arc<Entry>, Status> {
    if !is_for(kind) {
        return Ok(entry);
    }
    let mut object = object.clone();
    object.set(&["metadata", "resourceVersion"], entry.revision.to_string());
    let bytes = serde_json::to_vec(&object).map_err(Status::internal)?.into();
    Ok(Arc::new(Entry { key: entry.key.clone(), revision: entry.revision, bytes, selection: entry.selection.clone() }))
}

fn webhook(kind: &Kind) -> Option<(&Custom, &Conversion)> {
    let custom = kind.custom.as_deref()?;
    Some((custom, custom.conversion.as_ref()?))
}

/// Those of `all` that are of another version, converted.
pub async fn objects(
    api: &Api,
    (custom, conversion): (&Custom, &Conversion),
    wanted: &str,
    all: &[Object],
) -> Result<Vec<Object>, Status> {
    let others: Vec<&Object> = all.iter().filter(|object| object.api_version() != wanted).collect();
    let Some(first) = others.first() else { return Ok(Vec::new()) };
    let about = format!("{}, Kind={}", first.api_version(), first.kind());
    let failed =
        |why: String| Status::new(Reason::InternalError, format!("conversion webhook for {about} failed: {why}"));
    let review = REVIEWS.iter().find(|own| conversion.reviews.iter().any(|known| known == *own));
    let review = review.ok_or_else(|| failed(format!("does not recognize reviews of {REVIEWS:?}")))?;
    let uid = uuid::Uuid::new_v4().to_string();
    let question = json!({
        "kind": "ConversionReview", "apiVersion": format!("apiextensions.k8s.io/{review}"),
        "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": others},
    });
    let target = Target::read(&conversion.client).map_err(failed)?;
    let answer = api.remotes.post(&target, "timeout=30s", &question, LIMIT).await.map_err(failed)?;
    let response = &answer["response"];
    let invalid =
        |why: String| Status::new(Reason::InternalError, format!("conversion webhook for {about} failed: {why}"));
    if !response.is_object() {
        return Err(invalid("invalid response: no response provided".into()));
    }
    if response["uid"] != uid.as_str() {
        return Err(invalid(format!("invalid response: expected response.uid {uid:?}, got {}", response["uid"])));
    }
    if response["result"]["status"] != "Success" {
        let why = response["result"]["message"].as_str().unwrap_or("");
        return Err(invalid(why.to_string()));
    }
    let empty = Vec::new();
    let converted = response["convertedObjects"].as_array().unwrap_or(&empty);
    if converted.len() != others.len() {
        let why = format!("returned {} objects, expected {}", converted.len(), others.len());
        return Err(invalid(format!("invalid response: {why}")));
    }
    let pairs = others.into_iter().zip(converted).enumerate();
    pairs.map(|(index, (before, after))| checked(custom, wanted, index, before, after).map_err(invalid)).collect()
}

/// A converted object: of the right version and kind, with the metadata that it had but for labels and annotations.
fn checked(custom: &Custom, wanted: &str, index: usize, before: &Object, after: &Value) -> Result<Object, String> {
    let mut after = Object::from_value(after.clone())
        .ok_or_else(|| format!("invalid converted object at index {index}: no object"))?;
    if after.api_version() != wanted {
        let own = after.api_version();
        return Err(format!(
            "invalid converted object at index {index}: invalid apiVersion {own:?}, expected {wanted:?}"
        ));
    }
    if after.kind() != before.kind() {
        let (own, right) = (after.kind(), before.kind());
        return Err(format!("invalid converted object at index {index}: invalid kind {own:?}, expected {right:?}"));
    }
    if [after.name() != before.name(), after.namespace() != before.namespace(), after.uid() != before.uid()]
        .contains(&true)
    {
        return Err(format!(
            "invalid converted object at index {index} of {}: metadata of {:?} was changed",
            custom.name,
            before.name()
        ));
    }
    let mut metadata = before.0.get("metadata").cloned().unwrap_or_default();
    for field in ["labels", "annotations"] {
        match (after.at(&["metadata", field]), metadata.as_object_mut()) {
            (Some(value), Some(map)) if !value.is_null() => drop(map.insert(field.into(), value.clone())),
            (_, Some(map)) => drop(map.remove(field)),
            _ => {}
        }
    }
    after.0.insert("metadata".into(), metadata);
    Ok(after)
}
