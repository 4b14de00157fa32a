//! The ConfigMaps and Secrets that the volumes of one pod show, watched for as long as the pod is there.

use crate::client::{Cache, Change};
use crate::node::context::Node;
use crate::node::pod::parts;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Volume};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The objects as they are now.
pub struct Referred {
    namespace: String,
    config_maps: BTreeMap<String, Arc<Cache<ConfigMap>>>,
    secrets: BTreeMap<String, Arc<Cache<Secret>>>,
}

/// The objects, and their changes.
pub struct Watched {
    pub objects: Referred,
    changes: SelectAll<BoxStream<'static, ()>>,
}

impl Watched {
    /// Starts watching what the volumes of `pod` refer to, and waits until it is known.
    pub async fn start(node: &Node, pod: &Pod) -> Self {
        let namespace = parts::namespace(pod).to_string();
        let (mut config_maps, mut secrets) = (BTreeMap::new(), BTreeMap::new());
        for volume in parts::spec(pod).volumes.iter().flatten() {
            for name in config_map_names(volume) {
                config_maps.entry(name.clone()).or_insert_with(|| node.objects.watch::<ConfigMap>(&namespace, &name));
            }
            for name in secret_names(volume) {
                secrets.entry(name.clone()).or_insert_with(|| node.objects.watch::<Secret>(&namespace, &name));
            }
        }
        let mut changes: SelectAll<BoxStream<'static, ()>> = SelectAll::new();
        for cache in config_maps.values() {
            cache.ready().await;
            changes.push(cache.changes().map(|_: Change<ConfigMap>| ()).boxed());
        }
        for cache in secrets.values() {
            cache.ready().await;
            changes.push(cache.changes().map(|_: Change<Secret>| ()).boxed());
        }
        let mut watched = Self { objects: Referred { namespace, config_maps, secrets }, changes };
        watched.drain();
        watched
    }

    /// What is there now is about to be read.
    fn drain(&mut self) {
        while let Some(Some(())) = self.changes.next().now_or_never() {}
    }

    /// Waits until an object changed; for ever if there is none.
    pub async fn changed(&mut self) {
        match self.changes.next().await {
            Some(()) => self.drain(),
            None => std::future::pending().await,
        }
    }
}

impl Referred {
    /// The ConfigMap as it is now.
    pub fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>> {
        self.config_maps.get(name)?.get(&self.namespace, name)
    }

    /// The Secret as it is now.
    pub fn secret(&self, name: &str) -> Option<Arc<Secret>> {
        self.secrets.get(name)?.get(&self.namespace, name)
    }
}

fn config_map_names(volume: &Volume) -> Vec<String> {
    let own = volume.config_map.as_ref().map(|source| source.name.clone());
    let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref()).into_iter().flatten();
    own.into_iter().chain(sources.filter_map(|source| Some(source.config_map.as_ref()?.name.clone()))).collect()
}

fn secret_names(volume: &Volume) -> Vec<String> {
    let own = volume.secret.as_ref().and_then(|source| source.secret_name.clone());
    let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref()).into_iter().flatten();
    own.into_iter().chain(sources.filter_map(|source| Some(source.secret.as_ref()?.name.clone()))).collect()
}
