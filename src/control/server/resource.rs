//! From the words of a path to a kind.

use super::Api;
use super::identity::Attributes;
use crate::api::kinds::KindRef;
use crate::api::{Kind, Reason, Status, kinds};

/// The kind that a request is about.
pub fn find(api: &Api, wanted: &Attributes) -> Result<KindRef, Status> {
    let built_in = kinds::find(&wanted.group, &wanted.version, &wanted.resource).map(KindRef::BuiltIn);
    let custom = || api.custom.find(&wanted.group, &wanted.version, &wanted.resource).map(KindRef::Custom);
    built_in.or_else(custom).ok_or_else(not_served)
}

/// A path that leads nowhere.
pub fn not_served() -> Status {
    Status::new(Reason::NotFound, "the server could not find the requested resource")
}

/// Objects of a namespace are changed in their namespace; objects of the cluster are in none.
pub fn check_scope(kind: &Kind, wanted: &Attributes) -> Result<(), Status> {
    let is_namespace = kind.plural == "namespaces" && kind.group().is_empty();
    match (kind.is_namespaced(), wanted.namespace.is_empty()) {
        (true, true) if !matches!(wanted.verb.as_str(), "list" | "watch") => Err(not_served()),
        (false, false) if !is_namespace => Err(not_served()),
        _ => Ok(()),
    }
}

/// What cannot be asked of a custom kind: a subresource that its version lacks.
pub fn check_custom(kind: &Kind, wanted: &Attributes) -> Result<(), Status> {
    if kind.custom.is_none() {
        return Ok(());
    }
    if !wanted.subresource.is_empty() && !kind.subresources().iter().any(|own| own.name == wanted.subresource) {
        return Err(not_served());
    }
    Ok(())
}

/// A subresource that the kind lacks, or one that this server does not have yet: the answer says which.
pub fn no_subresource(kind: &Kind, subresource: &str) -> Status {
    if kind.subresources().iter().any(|own| own.name == subresource) {
        let message = format!("{}/{subresource} is not built into this server yet", kind.plural);
        return Status::new(Reason::NotImplemented, message);
    }
    not_served()
}

/// The resource's name in the store.
pub fn store_name(kind: &Kind) -> String {
    if kind.group().is_empty() { kind.plural.to_string() } else { format!("{}/{}", kind.group(), kind.plural) }
}
