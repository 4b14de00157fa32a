//! Shared caches: one list and watch per kind and process, however many read it.
//!
//! ```text
//!           list                     watch
//! (empty) --------> filling --> ready ------> ready, one change at a time
//!                                 ^  410: list again; what is missing is deleted
//!                                 +------------------------------------------+
//! ```

use super::Client;
use super::follow::{Seen, Selection, Whole, follow};
use futures::Stream;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use kube::{Api, Resource};
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What a cached kind must be: every kind of `k8s-openapi` is.
pub trait Cached: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {}
impl<K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static> Cached for K {}

/// The caches of one process (or one identity in it). Cheap to clone; the last clone ends the watches.
#[derive(Clone)]
pub struct Caches {
    client: Client,
    /// `Arc<Cache<K>>` by the type `K` and the selection.
    kinds: Arc<Mutex<HashMap<(TypeId, Selection), Box<dyn Any + Send + Sync>>>>,
}

impl Caches {
    /// No cache yet: each starts when it is first asked for.
    pub fn new(client: Client) -> Self {
        Self { client, kinds: Arc::default() }
    }

    /// The client that the caches read with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The cache of a kind, in all namespaces. Must be called inside a tokio runtime.
    pub fn of<K: Cached>(&self) -> Arc<Cache<K>> {
        self.some(Selection::default())
    }

    /// The cache of some objects of a kind, in all namespaces; shared by all who ask for the same selection.
    pub fn some<K: Cached>(&self, selection: Selection) -> Arc<Cache<K>> {
        let mut kinds = self.kinds.lock();
        let start = || Cache::start(Api::<K>::all(self.client.clone()), selection.clone());
        let entry = kinds.entry((TypeId::of::<K>(), selection.clone())).or_insert_with(|| Box::new(Arc::new(start())));
        entry.downcast_ref::<Arc<Cache<K>>>().expect("the entry of a type holds its cache").clone()
    }
}

/// What happened to an object.
#[derive(Debug)]
pub enum Change<K> {
    /// Made (`old` is nothing) or changed.
    Applied { old: Option<Arc<K>>, new: Arc<K> },
    /// Gone; the last state.
    Deleted(Arc<K>),
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        match self {
            Change::Applied { old, new } => Change::Applied { old: old.clone(), new: new.clone() },
            Change::Deleted(last) => Change::Deleted(last.clone()),
        }
    }
}

impl<K> Change<K> {
    /// The state to look at: the new one, or the last one of an object that is gone.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Change::Applied { new, .. } => new,
            Change::Deleted(last) => last,
        }
    }
}

/// All objects of one kind, kept current by one watch. Dropping it ends the watch.
pub struct Cache<K> {
    objects: Arc<RwLock<Objects<K>>>,
    ready: watch::Receiver<bool>,
    task: AbortHandle,
}

struct Objects<K> {
    /// By namespace (empty for objects of the cluster), then by name.
    by_namespace: BTreeMap<String, BTreeMap<String, Arc<K>>>,
    /// Who is told; told under the write lock, so that everybody sees the same order.
    listeners: Vec<UnboundedSender<Change<K>>>,
    /// During a list: the uids seen so far.
    relisted: Option<HashSet<String>>,
    /// The newest version that the server told of by list or watch.
    told: u64,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self { by_namespace: BTreeMap::new(), listeners: Vec::new(), relisted: None, told: 0 }
    }
}

impl<K: Cached> Cache<K> {
    /// Starts a cache of what `api` and `selection` reach. Most callers want the shared one of [`Caches::of`].
    pub fn start(api: Api<K>, selection: Selection) -> Self {
        let objects = Arc::new(RwLock::new(Objects::default()));
        let (listed, ready) = watch::channel(false);
        let kept = objects.clone();
        let task = tokio::spawn(async move {
            let tell = move |seen| {
                let complete = matches!(seen, Seen::Listed(_));
                kept.write().take(seen);
                if complete {
                    listed.send_replace(true);
                }
            };
            follow(&Whole(api), &selection, tell).await;
        });
        Self { objects, ready, task: task.abort_handle() }
    }

    /// Waits until the first list is complete.
    pub async fn ready(&self) {
        // The sender lives as long as the task, and the task as long as the cache: an error cannot happen before Drop.
        self.ready.clone().wait_for(|ready| *ready).await.ok();
    }

    /// Whether the first list is complete.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// The object, or nothing. `namespace` is empty for objects of the cluster.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.objects.read().by_namespace.get(namespace)?.get(name).cloned()
    }

    /// All objects, ordered by namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.objects.read().by_namespace.values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// The objects of a namespace, ordered by name.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        let objects = self.objects.read();
        objects.by_namespace.get(namespace).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Looks at every object without copying the list.
    pub fn for_each(&self, mut look: impl FnMut(&Arc<K>)) {
        self.objects.read().by_namespace.values().flat_map(BTreeMap::values).for_each(&mut look);
    }

    /// Takes the server's answer to a write in before the watch tells of it, so that the writer reads what it wrote. An
    /// answer that is older than what the watch told already is ignored.
    pub fn note(&self, object: K) {
        let mut objects = self.objects.write();
        if version(&object) > objects.told {
            objects.apply(object);
        }
    }

    /// Takes in that `object` is gone, as the server answered to its deletion, before the watch tells of it.
    pub fn forget(&self, object: &K) {
        self.objects.write().delete(object.clone());
    }

    /// Every change from now on, beginning with the present objects as `Applied`. Ends with the cache.
    pub fn changes(&self) -> impl Stream<Item = Change<K>> + Send + Unpin + use<K> {
        let (sender, receiver) = unbounded();
        let mut objects = self.objects.write();
        for object in objects.by_namespace.values().flat_map(BTreeMap::values) {
            // The receiver is held above: it cannot be gone.
            sender.unbounded_send(Change::Applied { old: None, new: object.clone() }).ok();
        }
        objects.listeners.push(sender);
        receiver
    }
}

impl<K> Drop for Cache<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K: Cached> Objects<K> {
    fn take(&mut self, seen: Seen<K>) {
        match seen {
            Seen::Listing => self.relisted = Some(HashSet::new()),
            Seen::Present(object) => {
                if let Some(uids) = &mut self.relisted {
                    uids.extend(object.meta().uid.clone());
                }
                self.apply(object);
            }
            Seen::Listed(version) => {
                self.told = version.parse().unwrap_or(0);
                self.drop_unlisted();
            }
            Seen::Applied(object) => {
                self.told = self.told.max(version(&object));
                self.apply(object);
            }
            Seen::Deleted(object) => {
                self.told = self.told.max(version(&object));
                self.delete(object);
            }
        }
    }

    fn apply(&mut self, mut object: K) {
        let meta = object.meta_mut();
        // Bigger than the object itself, and nobody who reads a cache asks for it.
        meta.managed_fields = None;
        let namespace = meta.namespace.clone().unwrap_or_default();
        let name = meta.name.clone().unwrap_or_default();
        let objects = self.by_namespace.entry(namespace).or_default();
        let old = objects.get(&name).cloned();
        let is_known = |old: &Arc<K>| {
            old.meta().resource_version == object.meta().resource_version || version(&**old) > version(&object)
        };
        if old.as_ref().is_some_and(is_known) {
            return;
        }
        let new = Arc::new(object);
        objects.insert(name, new.clone());
        // The same name with another uid is another object: the deletion fell into a gap of the watch.
        let (replaced, old) = match old {
            Some(old) if old.meta().uid != new.meta().uid => (Some(old), None),
            old => (None, old),
        };
        if let Some(replaced) = replaced {
            self.tell(Change::Deleted(replaced));
        }
        self.tell(Change::Applied { old, new });
    }

    fn delete(&mut self, mut object: K) {
        object.meta_mut().managed_fields = None;
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        let name = object.meta().name.clone().unwrap_or_default();
        let Some(objects) = self.by_namespace.get_mut(&namespace) else { return };
        // A later object of the same name may have been noted already.
        if objects.get(&name).is_none_or(|cached| cached.meta().uid != object.meta().uid) {
            return;
        }
        objects.remove(&name);
        if objects.is_empty() {
            self.by_namespace.remove(&namespace);
        }
        self.tell(Change::Deleted(Arc::new(object)));
    }

    /// After a list: what is cached and was not listed is gone.
    fn drop_unlisted(&mut self) {
        let Some(listed) = self.relisted.take() else { return };
        let told = self.told;
        let mut gone = Vec::new();
        self.by_namespace.retain(|_, objects| {
            objects.retain(|_, object| {
                // What was noted after the list was made cannot be in it.
                let keep =
                    version(&**object) > told || object.meta().uid.as_ref().is_some_and(|uid| listed.contains(uid));
                if !keep {
                    gone.push(object.clone());
                }
                keep
            });
            !objects.is_empty()
        });
        gone.into_iter().for_each(|object| self.tell(Change::Deleted(object)));
    }

    fn tell(&mut self, change: Change<K>) {
        self.listeners.retain(|listener| listener.unbounded_send(change.clone()).is_ok());
    }
}

/// An object's version as a number; 0 where the server has other versions, for which `note` then does nothing.
fn version<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock::Mock;
    use futures::StreamExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::{Value, json};

    fn config_map(name: &str, version: u32) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "namespace": "one", "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
            "managedFields": [{"manager": "me"}]}})
    }

    fn list(version: u32, items: &[Value]) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMapList",
            "metadata": {"resourceVersion": version.to_string()}, "items": items})
    }

    fn name(change: &Change<ConfigMap>) -> (bool, String) {
        (matches!(change, Change::Applied { .. }), change.object().metadata.name.clone().unwrap())
    }

    #[tokio::test]
    async fn the_cache_follows_the_list_and_the_watch() {
        let mock = Mock::default();
        mock.list(list(1, &[config_map("a", 1)]));
        mock.watch(&[json!({"type": "ADDED", "object": config_map("b", 2)})]);
        let caches = Caches::new(mock.client());
        let cache = caches.of::<ConfigMap>();
        cache.ready().await;
        let mut changes = cache.changes();
        assert_eq!(name(&changes.next().await.unwrap()), (true, "a".into()));
        assert_eq!(name(&changes.next().await.unwrap()), (true, "b".into()));
        assert!(cache.get("one", "b").unwrap().metadata.managed_fields.is_none());
        assert_eq!(cache.list_in("one").len(), 2);
        assert!(cache.list_in("two").is_empty());
    }

    #[tokio::test]
    async fn after_410_the_kind_is_listed_again_and_what_is_missing_is_deleted() {
        let mock = Mock::default();
        mock.list(list(1, &[config_map("a", 1), config_map("b", 1)]));
        mock.watch(&[json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": "too old", "reason": "Expired", "code": 410}})]);
        mock.list(list(9, &[config_map("b", 1), config_map("c", 9)]));
        let cache = Caches::new(mock.client()).of::<ConfigMap>();
        let changes: Vec<_> = cache.changes().take(4).collect().await;
        let names: Vec<_> = changes.iter().map(name).collect();
        assert_eq!(names, [(true, "a".into()), (true, "b".into()), (true, "c".into()), (false, "a".into())]);
    }

    #[tokio::test]
    async fn what_was_written_is_read_at_once_and_old_answers_are_ignored() {
        let mock = Mock::default();
        mock.list(list(5, &[config_map("a", 1)]));
        let cache = Caches::new(mock.client()).of::<ConfigMap>();
        cache.ready().await;
        cache.note(serde_json::from_value(config_map("old", 4)).unwrap());
        cache.note(serde_json::from_value(config_map("new", 6)).unwrap());
        assert!(cache.get("one", "old").is_none());
        assert!(cache.get("one", "new").is_some());
    }

    #[tokio::test]
    async fn dropping_the_last_holder_ends_the_watch() {
        let mock = Mock::default();
        mock.list(list(1, &[config_map("a", 1)]));
        let cache = Caches::new(mock.client()).of::<ConfigMap>();
        cache.ready().await;
        let mut changes = cache.changes();
        assert!(changes.next().await.is_some());
        drop(cache);
        assert!(changes.next().await.is_none());
    }
}
