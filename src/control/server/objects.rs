//! Between objects and the store: keys, serialized forms with a gap for the revision, versions.

use super::admission::expressions;
use super::cel::rules;
use super::identity::Attributes;
use super::resource;
use crate::api::{Cause, Kind, Object, Status};
use crate::control::store::{self, Draft, Entry, Key, Selection};
use memchr::memmem;
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

/// Stands where the revision will be. Made anew by every process, so that no object can hold it by design.
static GAP: LazyLock<String> = LazyLock::new(|| format!("\"resourceVersion\":\"{}", uuid::Uuid::new_v4()));
static FIND_GAP: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(GAP.as_str()));

/// Bytes that most objects fit into, serialized.
const USUAL: usize = 2048;

/// Where an object is kept.
pub fn key(kind: &Kind, namespace: &str, name: &str) -> Key {
    let namespace = if kind.is_namespaced() { namespace } else { "" };
    Key { resource: resource::store_name(kind).into(), namespace: namespace.into(), name: name.into() }
}

/// The serialized form with a gap for the revision.
pub fn draft(object: &mut Object) -> Result<Draft, Status> {
    let marker = &GAP["\"resourceVersion\":\"".len()..];
    object.set(&["metadata", "resourceVersion"], marker);
    let mut bytes = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut bytes, object).map_err(Status::internal)?;
    object.remove(&["metadata", "resourceVersion"]);
    let at = FIND_GAP.find(&bytes).ok_or_else(|| Status::internal("an object without a version"))?;
    let gap = at + GAP.len() - marker.len();
    bytes.drain(gap..gap + marker.len());
    Ok(Draft { bytes, gap })
}

/// What selectors see.
pub fn selection(kind: &Kind, object: &Object) -> Selection {
    let labels = object.labels().map(|(key, value)| (key.into(), value.into())).collect();
    let fields = (kind.rules.fields)(object).into_iter().map(|(key, value)| (key.into(), value.into()));
    let custom = kind.custom.iter().flat_map(|custom| custom.fields(object));
    let fields = fields.chain(custom.map(|(key, value)| (key.into(), value.into()))).collect();
    Selection { labels, fields }
}

/// The object in an entry, in the stored version.
pub fn stored(entry: &Entry) -> Result<Object, Status> {
    serde_json::from_slice(&entry.bytes).map_err(Status::internal)
}

/// The object in an entry as it is to be compared with what a client sends: of a custom kind, by its newest schema.
pub fn present(kind: &Kind, entry: &Entry) -> Result<Object, Status> {
    let mut object = stored(entry)?;
    if let Some(custom) = kind.custom.as_ref().filter(|custom| !custom.is_original) {
        custom.renew(&kind.stored.version, &mut object);
        object.set(&["apiVersion"], kind.stored.api_version());
    }
    Ok(object)
}

/// Whether a request asks for the version that is stored, so that bytes can be copied.
pub fn is_stored_version(kind: &Kind, wanted: &Attributes) -> bool {
    let is_copied = kind.custom.as_ref().is_none_or(|custom| custom.is_original);
    is_copied && kind.stored.group == wanted.group && kind.stored.version == wanted.version
}

/// The object in the version that a request asks for.
pub fn in_version(kind: &Kind, wanted: &Attributes, mut object: Object) -> Object {
    if let Some(custom) = &kind.custom {
        custom.renew(&wanted.version, &mut object);
        object.set(&["apiVersion"], wanted.api_version());
    }
    if let Some(served) = kind.served_as(&wanted.group, &wanted.version) {
        (served.from_stored)(&mut object);
        object.set(&["apiVersion"], served.version.api_version());
    }
    object
}

/// The object in the stored version.
pub fn to_stored(kind: &Kind, wanted: &Attributes, object: &mut Object) {
    if let Some(served) = kind.served_as(&wanted.group, &wanted.version) {
        (served.to_stored)(object);
    }
    object.set(&["apiVersion"], kind.stored.api_version());
    object.set(&["kind"], kind.kind.as_ref());
}

/// Fills in defaults.
pub fn default(kind: &Kind, wanted: &Attributes, object: &mut Object) {
    (kind.rules.default)(object);
    if let Some(custom) = &kind.custom {
        custom.renew(&wanted.version, object);
    }
}

/// Mistakes in view of which the rules of a custom kind are not run (apiextensions `strategy.go`, `hasBlockingErr`).
const BLOCKING: &[&str] = &[
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
];

/// What is wrong with an object that is made, or changed from `old`.
pub fn faults(kind: &Kind, wanted: &Attributes, object: &mut Object, old: Option<&Object>) -> Vec<Cause> {
    if let Some(custom) = &kind.custom {
        let mut causes = custom.faults(&wanted.version, object, old, &wanted.subresource);
        // Rules may rely on what the schema says of types and sizes.
        match causes.iter().any(|cause| BLOCKING.contains(&cause.reason.as_str())) {
            true => causes.extend(rules::unchecked(custom, &wanted.version)),
            false => causes.extend(rules::faults(custom, &wanted.version, object, old)),
        }
        return causes;
    }
    let mut causes = (kind.rules.validate)(object);
    if let Some(allows) = kind.served_as(&wanted.group, &wanted.version).and_then(|served| served.allows) {
        causes.retain(|cause| !allows(cause));
    }
    causes.extend(expressions::faults(kind, object));
    causes.extend(match old {
        Some(old) => (kind.rules.validate_update)(object, old, &wanted.subresource),
        None => (kind.rules.validate_new)(object),
    });
    causes
}

/// The entry of a request's object.
pub fn current(store: &store::Store, kind: &Kind, wanted: &Attributes) -> Result<Arc<Entry>, Status> {
    let missing = || Status::not_found(kind.group(), &kind.plural, &wanted.name);
    store.get(&key(kind, &wanted.namespace, &wanted.name)).ok_or_else(missing)
}

/// The client read another version than the one that there is.
pub fn stale(kind: &Kind, name: &str) -> Status {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    Status::conflict(kind.group(), &kind.plural, name, why)
}

/// A failure of the store in the words of the API.
pub fn failure(kind: &Kind, error: store::Error) -> Status {
    use crate::api::Reason;
    match error {
        store::Error::Exists(key) => Status::already_exists(kind.group(), &kind.plural, &key.name),
        store::Error::Missing(key) => Status::not_found(kind.group(), &kind.plural, &key.name),
        store::Error::Changed(key) => Status { is_race: true, ..stale(kind, &key.name) },
        expired @ store::Error::Expired { .. } => Status::new(Reason::Expired, expired.to_string()),
        store::Error::Full(source) => {
            Status::new(Reason::InsufficientStorage, format!("the object was not written: {source}"))
        }
        other => Status::internal(other),
    }
}

/// `metadata` of a list.
pub fn list_metadata(revision: u64, next: Option<(String, usize)>) -> Value {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if let Some((token, left)) = next {
        metadata["continue"] = json!(token);
        metadata["remainingItemCount"] = json!(left);
    }
    metadata
}
