//! ConfigMaps and Secrets that pods of this node refer to: one watch per object in use, shared, and none without a user.
//! A node may not list all secrets of a cluster, and need not.

use crate::client::follow::Selection;
use crate::client::{Cache, Cached, Client};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// The watches in use, by namespace and name.
type InUse<K> = Mutex<HashMap<(String, String), Weak<Cache<K>>>>;

/// A door to single objects.
pub struct Objects {
    client: Client,
    config_maps: InUse<ConfigMap>,
    secrets: InUse<Secret>,
}

/// What [`Objects`] watches.
pub trait Referable: Cached + kube::Resource<Scope = NamespaceResourceScope> {
    #[doc(hidden)]
    fn in_use(objects: &Objects) -> &InUse<Self>;
}

impl Referable for ConfigMap {
    fn in_use(objects: &Objects) -> &InUse<Self> {
        &objects.config_maps
    }
}

impl Referable for Secret {
    fn in_use(objects: &Objects) -> &InUse<Self> {
        &objects.secrets
    }
}

impl Objects {
    /// No watch yet.
    pub fn new(client: Client) -> Self {
        Self { client, config_maps: Mutex::default(), secrets: Mutex::default() }
    }

    /// The watch of one object; it lives as long as somebody holds it.
    pub fn watch<K: Referable>(&self, namespace: &str, name: &str) -> Arc<Cache<K>> {
        let mut in_use = K::in_use(self).lock();
        let key = (namespace.to_string(), name.to_string());
        if let Some(cache) = in_use.get(&key).and_then(Weak::upgrade) {
            return cache;
        }
        in_use.retain(|_, cache| cache.strong_count() > 0);
        let selection = Selection { labels: String::new(), fields: format!("metadata.name={name}") };
        let cache = Arc::new(Cache::start(Api::namespaced(self.client.clone(), namespace), selection));
        in_use.insert(key, Arc::downgrade(&cache));
        cache
    }
}
