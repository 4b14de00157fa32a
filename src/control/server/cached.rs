//! What is made of all objects of some resources, made anew when one of them changes.
//!
//! Nothing runs beside the requests: whoever asks first after a change takes the change in, so a change counts as soon as it
//! was answered, and who asks while nothing changes pays a look at a flag.

use super::objects;
use crate::api::Object;
use crate::control::store::{Store, Watch};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;

/// Makes a value of the objects of each resource.
type Make<T> = Box<dyn Fn(&[Vec<Object>]) -> T + Send + Sync>;

/// A value and what it is made of.
pub struct Cached<T> {
    store: Store,
    /// Names of resources in the store.
    resources: &'static [&'static str],
    make: Make<T>,
    /// None before the first question.
    watches: Mutex<Option<Vec<Watch>>>,
    made: ArcSwap<T>,
}

impl<T: Default> Cached<T> {
    /// `make` is given the objects of each resource, by name.
    pub fn new(
        store: &Store,
        resources: &'static [&'static str],
        make: impl Fn(&[Vec<Object>]) -> T + Send + Sync + 'static,
    ) -> Self {
        let (watches, made) = (Mutex::new(None), ArcSwap::from_pointee(T::default()));
        Self { store: store.clone(), resources, make: Box::new(make), watches, made }
    }

    /// The value as it is now.
    pub fn now(&self) -> Arc<T> {
        let mut watches = self.watches.lock();
        let is_current = match watches.as_mut() {
            Some(all) => !all.iter().any(Watch::is_behind),
            None => false,
        };
        if !is_current {
            // A resource that cannot be watched is asked again with the next request.
            *watches = self.resources.iter().map(|one| self.store.watch(one, self.store.revision()).ok()).collect();
            let objects: Vec<Vec<Object>> = self.resources.iter().map(|resource| self.all(resource)).collect();
            self.made.store(Arc::new((self.make)(&objects)));
        }
        self.made.load_full()
    }

    fn all(&self, resource: &str) -> Vec<Object> {
        let listing = self.store.list(resource, None, None).map(|listing| listing.entries).unwrap_or_default();
        listing.iter().filter_map(|entry| objects::stored(entry).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::server::tests::server;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{Api, PostParams};
    use serde_json::json;

    #[tokio::test]
    async fn a_change_counts_as_soon_as_it_was_answered() {
        let test = server().await;
        let maps: Api<ConfigMap> = Api::namespaced(test.admin(), "default");
        let cached = Cached::new(test.server.store(), &["configmaps"], |all| all[0].len());
        let before = *cached.now();
        let map = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
        maps.create(&PostParams::default(), &map).await.unwrap();
        assert_eq!(*cached.now(), before + 1);
        assert!(Arc::ptr_eq(&cached.now(), &cached.now()), "nothing is made twice");
        maps.delete("a", &Default::default()).await.unwrap();
        assert_eq!(*cached.now(), before);
    }
}
