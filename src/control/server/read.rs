//! Get and list. In the stored version both copy bytes.

use super::accept::Media;
use super::answer::{self, Answer};
use super::custom::convert;
use super::form::{self, Form};
use super::objects;
use super::options;
use super::pieces::Pieces;
use super::route::Call;
use crate::api::selector::{self, Selector};
use crate::api::{Kind, Object, Reason, Status, protobuf};
use crate::control::store::{Entry, Selection};
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;

/// One object.
pub async fn get(call: &Call, kind: &Kind) -> Result<Answer, Status> {
    let entry = convert::current(call, kind).await?;
    let form = call.accepted.form;
    if form == Form::Plain && objects::is_stored_version(kind, call.attributes()) {
        return Ok(answer::bytes(StatusCode::OK, entry.bytes.clone()));
    }
    let object = objects::in_version(kind, call.attributes(), objects::stored(&entry)?);
    let value = form.object(kind, object, call.options.text("includeObject"), true);
    Ok(answer::value(StatusCode::OK, &value))
}

/// The scale of one object.
pub async fn scale(call: &Call, kind: &Kind) -> Result<Answer, Status> {
    let entry = convert::current(call, kind).await?;
    Ok(answer::value(StatusCode::OK, &scale_of(kind, &objects::present(kind, &entry)?)?))
}

/// The `Scale` form of an object.
pub fn scale_of(kind: &Kind, object: &Object) -> Result<Value, Status> {
    let paths = kind.scale.as_ref().ok_or_else(super::resource::not_served)?;
    let at = |path: &str| object.at(&fields(path)).cloned().unwrap_or(Value::Null);
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": object.name(), "namespace": object.namespace(), "uid": object.uid(),
            "resourceVersion": object.resource_version(),
            "creationTimestamp": object.text(&["metadata", "creationTimestamp"]),
        },
        "spec": {"replicas": at(&paths.spec_replicas).as_i64().unwrap_or(0)},
        "status": {"replicas": at(&paths.status_replicas).as_i64().unwrap_or(0)},
    });
    let selector = if paths.selector.is_empty() { Value::Null } else { at(&paths.selector) };
    if let Some(text) = selector_text(&selector) {
        scale["status"]["selector"] = json!(text);
    }
    Ok(scale)
}

/// The fields of a path such as `.spec.replicas`.
pub fn fields(path: &str) -> Vec<&str> {
    path.trim_start_matches('.').split('.').collect()
}

/// The string form of a selector: of an object with `matchLabels`, of a plain map, or of the string itself.
fn selector_text(selector: &Value) -> Option<String> {
    if let Some(text) = selector.as_str() {
        return Some(text.into());
    }
    let map = selector.get("matchLabels").unwrap_or(selector).as_object()?;
    let pairs = map.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    Some(pairs.collect::<Vec<_>>().join(","))
}

/// The selectors of a request.
pub struct Wanted {
    labels: Selector,
    fields: Selector,
}

impl Wanted {
    /// Reads `labelSelector` and `fieldSelector`; a named watch (`…/pods/NAME?watch`) selects by name.
    pub fn of(call: &Call, kind: &Kind) -> Result<Self, Status> {
        options::check_reading(call)?;
        let refused = |error: selector::Error| Status::bad_request(error.to_string());
        let labels = Selector::parse_labels(call.options.text("labelSelector")).map_err(refused)?;
        let mut fields = Selector::parse_fields(call.options.text("fieldSelector")).map_err(refused)?;
        check_fields(kind, &fields)?;
        if !call.attributes().name.is_empty() && call.attributes().verb == "watch" {
            let name = call.attributes().name.clone();
            fields.0.push(crate::api::selector::Requirement::In("metadata.name".into(), vec![name]));
        }
        Ok(Self { labels, fields })
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Whether an entry is selected.
    pub fn takes(&self, entry: &Entry) -> bool {
        let Selection { labels, fields } = &entry.selection;
        fn find<'a>(pairs: &'a [(Box<str>, Box<str>)], key: &str) -> Option<&'a str> {
            pairs.iter().find(|(own, _)| **own == *key).map(|(_, value)| &**value)
        }
        let field = |key: &str| match key {
            "metadata.name" => Some(entry.key.name.as_str()),
            "metadata.namespace" => Some(entry.key.namespace.as_str()),
            // A field that an object lacks reads as empty.
            other => find(fields, other).or(Some("")),
        };
        self.labels.matches(|key| find(labels, key)) && self.fields.matches(field)
    }
}

/// A field that the kind does not offer cannot be selected by.
fn check_fields(kind: &Kind, selector: &Selector) -> Result<(), Status> {
    use crate::api::selector::Requirement::{Absent, Exists, Greater, In, Less, NotIn};
    let mut known: Vec<&str> = (kind.rules.fields)(&Object::default()).into_iter().map(|(name, _)| name).collect();
    known.extend(kind.custom.iter().flat_map(|custom| custom.field_names()));
    for requirement in &selector.0 {
        let (In(name, _) | NotIn(name, _) | Exists(name) | Absent(name) | Greater(name, _) | Less(name, _)) =
            requirement;
        if !matches!(name.as_str(), "metadata.name" | "metadata.namespace") && !known.contains(&name.as_str()) {
            let what = format!("field label not supported: {name}");
            return Err(Status::bad_request(format!(
                "Unable to find \"{}\" that match label selector \"\", field selector \"{name}\": {what}",
                kind.kind
            )));
        }
    }
    Ok(())
}

/// A page of a list: what was asked for, and where the next one starts.
struct Page {
    revision: u64,
    entries: Vec<Arc<Entry>>,
    next: Option<(String, usize)>,
}

/// Many objects.
pub async fn list(call: &Call, kind: &Kind) -> Result<Answer, Status> {
    let mut page = page(call, kind)?;
    page.entries = convert::entries(&call.api, kind, page.entries).await?;
    let metadata = objects::list_metadata(page.revision, page.next);
    let form = call.accepted.form;
    let wanted = call.attributes();
    if form == Form::Plain && call.accepted.media == Media::Protobuf {
        return as_protobuf(call, kind, &metadata, &page.entries);
    }
    if form == Form::Plain && objects::is_stored_version(kind, wanted) {
        return Ok(answer::json(StatusCode::OK, Body::new(copied(kind, &metadata, page.entries))));
    }
    if form == Form::Metadata && objects::is_stored_version(kind, wanted) {
        return Ok(answer::bytes(StatusCode::OK, metadata_alone(&metadata, &page.entries)?));
    }
    let read = |entry: &Arc<Entry>| objects::stored(entry).map(|object| objects::in_version(kind, wanted, object));
    let list = page.entries.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let api_version = wanted.api_version();
    let value = form.list(kind, &api_version, list, metadata, call.options.text("includeObject"));
    Ok(answer::value(StatusCode::OK, &value))
}

/// The list in protobuf, one object after the other.
fn as_protobuf(call: &Call, kind: &Kind, metadata: &Value, entries: &[Arc<Entry>]) -> Result<Answer, Status> {
    let wanted = call.attributes();
    let items = entries.iter().map(|entry| {
        let object = objects::stored(entry).map_err(|status| status.message)?;
        Ok(Value::Object(objects::in_version(kind, wanted, object).0))
    });
    let api_version = wanted.api_version();
    let bytes = protobuf::encode_list(&api_version, &kind.list_kind, metadata, items).map_err(Status::internal)?;
    let mut answer = answer::bytes(StatusCode::OK, bytes);
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(protobuf::MEDIA));
    Ok(answer)
}

/// The list as bytes: items are copied as they are stored.
fn copied(kind: &Kind, metadata: &Value, entries: Vec<Arc<Entry>>) -> Pieces {
    let (list, version) = (&kind.list_kind, kind.stored.api_version());
    let head = format!("{{\"kind\":\"{list}\",\"apiVersion\":\"{version}\",\"metadata\":{metadata},\"items\":[");
    Pieces::new(head, entries)
}

/// The list of what the items' metadata says, which is copied.
fn metadata_alone(list: &Value, entries: &[Arc<Entry>]) -> Result<Vec<u8>, Status> {
    let head = "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":";
    let mut bytes = format!("{head}{list},\"items\":[").into_bytes();
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        let item = form::metadata_of(&entry.bytes);
        bytes.extend(item.ok_or_else(|| Status::internal("an object without metadata"))?);
    }
    bytes.extend_from_slice(b"]}");
    Ok(bytes)
}

fn page(call: &Call, kind: &Kind) -> Result<Page, Status> {
    let wanted = Wanted::of(call, kind)?;
    let limit = call.options.number("limit")?.filter(|limit| *limit > 0);
    let (at, after) = match call.options.text("continue") {
        "" => (exact_revision(call)?, None),
        token => continued(token).map(|(revision, after)| (Some(revision), Some(after)))?,
    };
    let namespace = Some(call.attributes().namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let listing = call.api.store.list(&super::resource::store_name(kind), namespace, at);
    let listing = listing.map_err(|error| objects::failure(kind, error))?;
    let is_behind = |entry: &Arc<Entry>| {
        after.as_ref().is_none_or(|(namespace, name)| (&entry.key.namespace, &entry.key.name) > (namespace, name))
    };
    let mut entries: Vec<Arc<Entry>> =
        listing.entries.into_iter().filter(is_behind).filter(|entry| wanted.takes(entry)).collect();
    let mut next = None;
    if let Some(limit) = limit.map(|limit| limit as usize)
        && entries.len() > limit
    {
        let left = entries.len() - limit;
        entries.truncate(limit);
        next = entries.last().map(|last| (token(listing.revision, &last.key.namespace, &last.key.name), left));
    }
    Ok(Page { revision: listing.revision, entries, next })
}

/// `resourceVersionMatch=Exact` lists the past; other forms are content with the newest state.
fn exact_revision(call: &Call) -> Result<Option<u64>, Status> {
    let revision = call.options.number("resourceVersion")?;
    let newest = call.api.store.revision();
    match revision {
        Some(revision) if revision > newest => {
            let mut status =
                Status::new(Reason::Timeout, format!("Too large resource version: {revision}, current: {newest}"));
            status.retry_after_seconds = 1;
            Err(status)
        }
        Some(revision) if call.options.text("resourceVersionMatch") == "Exact" => Ok(Some(revision)),
        _ => Ok(None),
    }
}

fn token(revision: u64, namespace: &str, name: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({"v": 1, "rv": revision, "after": [namespace, name]}).to_string())
}

fn continued(token: &str) -> Result<(u64, (String, String)), Status> {
    let invalid = || Status::bad_request("continue key is not valid");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    let text = |index: usize| value["after"][index].as_str().map(String::from);
    match (value["rv"].as_u64(), text(0), text(1)) {
        (Some(revision), Some(namespace), Some(name)) => Ok((revision, (namespace, name))),
        _ => Err(invalid()),
    }
}
