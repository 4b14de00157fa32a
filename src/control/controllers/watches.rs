//! What a controller watches: streams of keys made from the changes of shared caches.

use super::{Context, Key};
use crate::client::{Cache, Cached, Change};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use std::sync::Arc;

/// One source of keys.
pub struct Watched {
    /// Done when the cache holds its first list.
    pub ready: BoxFuture<'static, ()>,
    /// Keys to reconcile.
    pub keys: BoxStream<'static, Vec<Key>>,
}

/// Starts a source.
pub type Watch = fn(&Context) -> Watched;

/// The changes of `K`, each turned into keys by `keys`.
pub fn changes<K: Cached>(context: &Context, keys: impl FnMut(Change<K>) -> Vec<Key> + Send + 'static) -> Watched {
    changes_of(context.caches.of::<K>(), keys)
}

/// The changes of a cache, each turned into keys by `keys`.
pub fn changes_of<K: Cached>(
    cache: Arc<Cache<K>>,
    keys: impl FnMut(Change<K>) -> Vec<Key> + Send + 'static,
) -> Watched {
    let changes = cache.changes();
    Watched {
        ready: Box::pin(async move { cache.ready().await }),
        keys: changes.map(keys).filter(|keys| std::future::ready(!keys.is_empty())).boxed(),
    }
}

/// The key of every `K` that changes.
pub fn own<K: Cached>(context: &Context) -> Watched {
    changes::<K>(context, |change| vec![Key::of(&**change.object())])
}

/// The key of the `Owner` that controls the `K` that changes.
pub fn controlled<K: Cached, Owner: Resource<DynamicType = ()>>(context: &Context) -> Watched {
    changes::<K>(context, |change| {
        let states = match &change {
            Change::Applied { old, new } => [old.as_ref(), Some(new)],
            Change::Deleted(last) => [None, Some(last)],
        };
        let mut keys: Vec<Key> =
            states.into_iter().flatten().filter_map(|object| owner_key::<Owner>(&**object)).collect();
        keys.dedup();
        keys
    })
}

/// Nothing: the cache is only read, but must be there first.
pub fn read<K: Cached>(context: &Context) -> Watched {
    let cache = context.caches.of::<K>();
    Watched { ready: Box::pin(async move { cache.ready().await }), keys: futures::stream::pending().boxed() }
}

/// The owner reference of the controller of an object.
pub fn controller_of(object: &impl Resource) -> Option<&OwnerReference> {
    object.meta().owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// The key of the controller of an object if it is an `Owner`.
fn owner_key<Owner: Resource<DynamicType = ()>>(object: &impl Resource) -> Option<Key> {
    let owner = controller_of(object)?;
    let is_kind = owner.kind == Owner::kind(&()) && owner.api_version == Owner::api_version(&());
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    is_kind.then(|| Key::new(namespace, &owner.name))
}

/// Keys of all cached objects of `K`.
pub fn all_keys<K: Cached>(cache: &Arc<Cache<K>>) -> Vec<Key> {
    let mut keys = Vec::new();
    cache.for_each(|object| keys.push(Key::of(&**object)));
    keys
}
