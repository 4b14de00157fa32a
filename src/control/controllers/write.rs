//! Writing through the client, with the answer noted in the shared cache so that the next reconcile reads it.

use super::{Context, Error};
use crate::client::Cached;
use k8s_openapi::{NamespaceResourceScope, Resource as Typed};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::ClusterResourceScope;
use serde::Serialize;
use serde_json::Value;

/// The field manager under which controllers write, upstream's name.
pub const MANAGER: &str = "kube-controller-manager";

/// The door to a kind in a namespace, or to one of the cluster where the namespace is empty.
pub trait Door: Cached + Serialize {
    /// Opens it.
    fn door(context: &Context, namespace: &str) -> Api<Self>;
}

/// Maps the scope of a kind to the way its door is opened.
pub trait Scoped<K> {
    /// Opens the door.
    fn open(context: &Context, namespace: &str) -> Api<K>;
}

impl<K: Cached + kube::Resource<Scope = NamespaceResourceScope>> Scoped<K> for NamespaceResourceScope {
    fn open(context: &Context, namespace: &str) -> Api<K> {
        Api::namespaced(context.client.clone(), namespace)
    }
}

impl<K: Cached + kube::Resource<Scope = ClusterResourceScope>> Scoped<K> for ClusterResourceScope {
    fn open(context: &Context, _: &str) -> Api<K> {
        Api::all(context.client.clone())
    }
}

impl<K> Door for K
where
    K: Cached + Serialize + Typed,
    <K as Typed>::Scope: Scoped<K>,
{
    fn door(context: &Context, namespace: &str) -> Api<K> {
        <<K as Typed>::Scope as Scoped<K>>::open(context, namespace)
    }
}

fn namespace<K: Cached>(object: &K) -> String {
    object.meta().namespace.clone().unwrap_or_default()
}

fn name<K: Cached>(object: &K) -> String {
    object.meta().name.clone().unwrap_or_default()
}

fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.into()), ..Default::default() }
}

fn post_params() -> PostParams {
    PostParams { field_manager: Some(MANAGER.into()), ..Default::default() }
}

/// Creates `object` in the namespace that its metadata names.
pub async fn create<K: Door>(context: &Context, object: &K) -> Result<K, Error> {
    let made = create_unnoted(context, object).await?;
    context.caches.of::<K>().note(made.clone());
    Ok(made)
}

/// [`create`] of a kind that is not cached as a whole.
pub async fn create_unnoted<K: Door>(context: &Context, object: &K) -> Result<K, Error> {
    Ok(K::door(context, &namespace(object)).create(&post_params(), object).await?)
}

/// Replaces `object`; fails with a conflict if it changed meanwhile.
pub async fn replace<K: Door>(context: &Context, object: &K) -> Result<K, Error> {
    let made = K::door(context, &namespace(object)).replace(&name(object), &post_params(), object).await?;
    context.caches.of::<K>().note(made.clone());
    Ok(made)
}

/// Merges `patch` into `object`.
pub async fn merge<K: Door>(context: &Context, object: &K, patch: Value) -> Result<K, Error> {
    let made = merge_unnoted(context, object, patch).await?;
    context.caches.of::<K>().note(made.clone());
    Ok(made)
}

/// [`merge`] of a kind that is not cached as a whole.
pub async fn merge_unnoted<K: Door>(context: &Context, object: &K, patch: Value) -> Result<K, Error> {
    let door = K::door(context, &namespace(object));
    Ok(door.patch(&name(object), &patch_params(), &Patch::Merge(patch)).await?)
}

/// Makes `status` the status of `object` through its subresource, if it is another one. Whether something was written.
pub async fn merge_status<K: Door>(context: &Context, object: &K, status: impl Serialize) -> Result<bool, Error> {
    write_status(context, object, status, serde_json::json!({"uid": object.meta().uid})).await
}

/// [`merge_status`] that fails with a conflict if the object changed meanwhile.
pub async fn merge_status_unchanged<K: Door>(
    context: &Context,
    object: &K,
    status: impl Serialize,
) -> Result<bool, Error> {
    let meta = object.meta();
    let same = serde_json::json!({"uid": meta.uid, "resourceVersion": meta.resource_version});
    write_status(context, object, status, same).await
}

async fn write_status<K: Door>(
    context: &Context,
    object: &K,
    status: impl Serialize,
    same: Value,
) -> Result<bool, Error> {
    let new = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
    let old = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
    let Some(difference) = difference(old.get("status").unwrap_or(&Value::Null), &new) else { return Ok(false) };
    let patch = serde_json::json!({"metadata": same, "status": difference});
    let door = K::door(context, &namespace(object));
    match door.patch_status(&name(object), &patch_params(), &Patch::Merge(patch)).await {
        Ok(made) => context.caches.of::<K>().note(made),
        // Gone, or another object by now: its status is nobody's business any more.
        Err(error) if code(&error) == 404 => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}

/// The merge patch that makes `old` into `new`, or nothing if they are equal.
fn difference(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch = serde_json::Map::new();
    for (field, value) in after {
        let change = match before.get(field) {
            Some(earlier) => difference(earlier, value),
            None => Some(value.clone()),
        };
        patch.extend(change.map(|change| (field.clone(), change)));
    }
    let gone = before.keys().filter(|field| !after.contains_key(*field));
    patch.extend(gone.map(|field| (field.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Deletes `object` if it is still the same one; that it is gone already is no error. Returns whether it was there.
pub async fn delete<K: Door>(context: &Context, object: &K) -> Result<bool, Error> {
    delete_with(context, object, None, None).await
}

/// Parameters that delete only the very same object.
fn same<K: Cached>(object: &K) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions { uid: object.meta().uid.clone(), resource_version: None }),
        ..Default::default()
    }
}

/// [`delete`] of a kind that is not cached as a whole.
pub async fn delete_unnoted<K: Door>(context: &Context, object: &K) -> Result<(), Error> {
    match K::door(context, &namespace(object)).delete(&name(object), &same(object)).await {
        Err(error) if code(&error) != 404 && code(&error) != 409 => Err(error.into()),
        _ => Ok(()),
    }
}

/// [`delete`] with a propagation policy and a grace period in seconds.
pub async fn delete_with<K: Door>(
    context: &Context,
    object: &K,
    propagation: Option<PropagationPolicy>,
    grace: Option<u32>,
) -> Result<bool, Error> {
    let params = DeleteParams { propagation_policy: propagation, grace_period_seconds: grace, ..same(object) };
    match K::door(context, &namespace(object)).delete(&name(object), &params).await {
        Ok(either) => {
            let cache = context.caches.of::<K>();
            match either.left().filter(|left| left.meta().deletion_timestamp.is_some()) {
                Some(terminating) => cache.note(terminating),
                None => cache.forget(object),
            }
            Ok(true)
        }
        Err(error) if code(&error) == 404 || code(&error) == 409 => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The HTTP code of a failure that the server answered with, else 0.
pub fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

/// Whether a failure says that the object is not there.
pub fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Request(error) if code(error) == 404)
}

/// Whether a failure says that the object is there already, or changed meanwhile.
pub fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Request(error) if code(error) == 409)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_holds_what_changed_and_nulls_what_went() {
        let old = json!({"replicas": 3, "ready": 2, "same": {"a": 1}, "list": [1]});
        let new = json!({"replicas": 3, "same": {"a": 1, "b": 2}, "list": [1, 2]});
        let expected = json!({"ready": null, "same": {"b": 2}, "list": [1, 2]});
        assert_eq!(difference(&old, &new), Some(expected));
        assert_eq!(difference(&new, &new), None);
    }
}
