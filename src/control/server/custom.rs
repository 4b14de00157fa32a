//! The kinds that CustomResourceDefinitions add: which are served, the conditions of definitions, and what goes with one.
//!
//! ```text
//! definition written ─▶ names accepted ─▶ kinds served ─▶ status written (Established)
//! definition deleted ─▶ its objects deleted ─▶ last one gone ─▶ finalizer taken away ─▶ kinds no longer served
//! ```
//!
//! One task follows the definitions. A kind is made only when the specification or the accepted names of a definition change,
//! what it needs beyond names is made when it is first used, and it goes with the last request that uses it.

pub mod convert;

use super::identity::{Attributes, Identity};
use super::route::Call;
use super::{Api, objects, resource, write};
use crate::api::custom::definition::{self, FINALIZER, Taken};
use crate::api::kinds::{GroupVersion, KindRef};
use crate::api::{Kind, Object, Reason, Status, custom, kinds};
use crate::control::store::{self, Entry, Event, Expected, Happened, Key, Store};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use tokio::sync::watch;

/// Where definitions are in the store.
const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";

/// Every definition that is known.
pub struct Registry {
    known: ArcSwap<Vec<Arc<Definition>>>,
    changed: watch::Sender<()>,
    /// Definitions whose objects are being deleted.
    ending: Mutex<HashSet<String>>,
}

/// A definition.
struct Definition {
    name: String,
    group: String,
    /// Changes with everything that kinds are made of.
    made_of: (String, u64, Value),
    /// By version; none before its names are accepted.
    kinds: Vec<(String, Arc<Kind>)>,
    is_established: bool,
    is_terminating: bool,
}

impl Definition {
    /// The kind of the version that objects are stored in, or of another one if that is not served.
    fn stored_kind(&self) -> Option<Arc<Kind>> {
        let is_stored = |(version, kind): &&(String, Arc<Kind>)| {
            kind.custom.as_ref().is_some_and(|custom| custom.storage == *version)
        };
        self.kinds.iter().find(is_stored).or(self.kinds.first()).map(|(_, kind)| kind.clone())
    }
}

impl Registry {
    fn new() -> Self {
        Self { known: ArcSwap::default(), changed: watch::Sender::new(()), ending: Mutex::default() }
    }

    /// The custom kind that a path names.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let known = self.known.load();
        let mut kinds = known.iter().filter(|known| known.group == group).flat_map(|known| &known.kinds);
        kinds.find(|(own, kind)| own == version && kind.plural == plural).map(|(_, kind)| kind.clone())
    }

    /// Every custom kind with its group and the version that it is made for.
    pub fn all(&self) -> Vec<(GroupVersion, Arc<Kind>)> {
        let known = self.known.load();
        let named = known.iter().flat_map(|known| {
            known.kinds.iter().map(|(version, kind)| {
                (GroupVersion { group: known.group.clone().into(), version: version.clone().into() }, kind.clone())
            })
        });
        named.collect()
    }

    /// Waits until something changes; marks what is there now as seen.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until a kind is served no longer, or another one in its place.
    pub async fn until_gone(self: Arc<Self>, kind: KindRef, wanted: Attributes) {
        let mut changes = self.changed.subscribe();
        loop {
            let now = self.find(&wanted.group, &wanted.version, &wanted.resource);
            if now.is_none_or(|now| !kind.is_same(&now)) || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Objects of a kind that is ending are not made any more.
    pub fn refuse_new(&self, kind: &Kind, name: &str) -> Result<(), Status> {
        let Some(custom) = &kind.custom else { return Ok(()) };
        let is_ending = |known: &Arc<Definition>| known.name == custom.name && known.is_terminating;
        if !self.known.load().iter().any(is_ending) {
            return Ok(());
        }
        let why = "create not allowed while custom resource definition is terminating";
        let message = format!("{}.{} \"{name}\" is forbidden: {why}", kind.plural, kind.group());
        Err(Status::new(Reason::Forbidden, message).about(kind.group(), &kind.plural, name))
    }

    /// Serves a definition as it is now.
    fn serve(&self, store: &Store, object: &Object) {
        let names = object.at(&["status", "acceptedNames"]).cloned().unwrap_or_default();
        let is_established = definition::is_true(object, "Established");
        let made_of = (object.uid().to_string(), mark(object), names);
        let mut known = Vec::clone(&self.known.load());
        let at = known.iter().position(|known| known.name == object.name());
        let kinds = match at.map(|at| &known[at]) {
            _ if !is_established => Vec::new(),
            Some(old) if old.made_of == made_of && old.is_established => old.kinds.clone(),
            _ => kinds_of(store, object),
        };
        let own = Arc::new(Definition {
            name: object.name().into(),
            group: object.text(&["spec", "group"]).into(),
            made_of,
            kinds,
            is_established,
            is_terminating: object.is_terminating(),
        });
        match at {
            Some(at) => known[at] = own,
            None => known.push(own),
        }
        self.known.store(known.into());
        self.changed.send_replace(());
    }

    fn forget(&self, name: &str) {
        let mut known = Vec::clone(&self.known.load());
        known.retain(|known| known.name != name);
        self.known.store(known.into());
        self.changed.send_replace(());
    }

    /// The names that other definitions of a group have.
    fn taken(&self, object: &Object) -> Taken {
        let mut taken = Taken::default();
        let group = object.text(&["spec", "group"]);
        for other in self.known.load().iter().filter(|known| known.group == group && known.name != object.name()) {
            taken.add(&other.made_of.2);
        }
        taken
    }

    /// Definitions of a group that wait for names.
    fn waiting(&self, group: &str) -> Vec<String> {
        let known = self.known.load();
        let waits = known.iter().filter(|known| known.group == group && !known.is_established);
        waits.map(|known| known.name.clone()).collect()
    }

    fn group_of(&self, name: &str) -> Option<String> {
        self.known.load().iter().find(|known| known.name == name).map(|known| known.group.clone())
    }
}

/// Made anew only when a definition changes.
fn kinds_of(store: &Store, object: &Object) -> Vec<(String, Arc<Kind>)> {
    let (store, key) = (store.clone(), key(object.name()));
    let source = Arc::new(move || store.get(&key).map(|entry| entry.bytes.clone()));
    let kinds = custom::kinds(object, source).into_iter();
    kinds.map(|(version, kind)| (version, Arc::new(kind))).collect()
}

/// Changes with the specification. The generation does not do: a deletion raises it too.
fn mark(object: &Object) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.0.get("spec").map(Value::to_string).hash(&mut hasher);
    hasher.finish()
}

fn key(name: &str) -> Key {
    Key { resource: DEFINITIONS.into(), namespace: String::new(), name: name.into() }
}

/// An empty registry, to be filled by [`start`].
pub fn registry() -> Arc<Registry> {
    Arc::new(Registry::new())
}

/// Serves what is defined, and follows what will be.
pub async fn start(api: &Arc<Api>) -> Result<(), Status> {
    let from = load(api).await?;
    let watch = api.store.watch(DEFINITIONS, from).map_err(Status::internal)?;
    tokio::spawn(follow(Arc::downgrade(api), watch));
    Ok(())
}

/// Serves every definition; returns the revision at which they were read.
async fn load(api: &Arc<Api>) -> Result<u64, Status> {
    let listing = api.store.list(DEFINITIONS, None, None).map_err(Status::internal)?;
    // All names are known before any is given away.
    for entry in &listing.entries {
        api.custom.serve(&api.store, &objects::stored(entry)?);
    }
    for entry in &listing.entries {
        settle(api, entry).await?;
    }
    Ok(listing.revision)
}

async fn follow(api: Weak<Api>, mut watch: store::Watch) {
    loop {
        let events = watch.next().await;
        let Some(api) = api.upgrade() else { return };
        match events {
            Ok(events) => {
                for event in &events {
                    happened(&api, event).await;
                }
            }
            // Too far behind: everything is looked at anew.
            Err(store::Error::Expired { .. }) => {
                match load(&api).await.map(|from| api.store.watch(DEFINITIONS, from)) {
                    Ok(Ok(fresh)) => watch = fresh,
                    _ => return,
                }
            }
            Err(_) => return,
        }
    }
}

async fn happened(api: &Arc<Api>, event: &Event) {
    let name = &event.entry.key.name;
    let result = match event.happened {
        Happened::Deleted => {
            let group = api.custom.group_of(name).unwrap_or_default();
            api.custom.forget(name);
            // The names that it had may be what others wait for.
            let mut result = Ok(());
            for waiting in api.custom.waiting(&group) {
                if let Some(entry) = api.store.get(&key(&waiting)) {
                    result = result.and(settle(api, &entry).await);
                }
            }
            result
        }
        _ => settle(api, &event.entry).await,
    };
    if let Err(status) = result {
        tracing::warn!(definition = %name, %status, "a custom resource definition is not settled");
    }
}

/// Makes the world as a definition has it: names, kinds, status, end.
async fn settle(api: &Arc<Api>, entry: &Entry) -> Result<(), Status> {
    let mut object = objects::stored(entry)?;
    let before = object.0.get("status").cloned();
    if !object.is_terminating() {
        let taken = api.custom.taken(&object);
        definition::accept_names(&mut object, &taken);
    }
    api.custom.serve(&api.store, &object);
    if object.0.get("status") != before.as_ref() {
        put(api, &mut object, entry.revision, false).await?;
    }
    if object.is_terminating() && api.custom.ending.lock().insert(object.name().into()) {
        tokio::spawn(end(Arc::downgrade(api), object.name().into()));
    }
    Ok(())
}

/// Writes a definition; one that was changed meanwhile comes again by the watch.
async fn put(api: &Api, object: &mut Object, revision: u64, is_delete: bool) -> Result<(), Status> {
    let kind = definitions()?;
    let op = write::op(kind, object, Expected::Revision(revision), is_delete)?;
    match api.store.write(vec![op]).await {
        Ok(_) | Err(store::Error::Changed(_) | store::Error::Missing(_)) => Ok(()),
        Err(error) => Err(objects::failure(kind, error)),
    }
}

fn definitions() -> Result<&'static Kind, Status> {
    let kind = kinds::find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    kind.ok_or_else(|| Status::internal("no kind of definitions"))
}

/// Deletes the objects of a definition, waits until the last is gone, and lets the definition go.
async fn end(api: Weak<Api>, name: String) {
    loop {
        let Some(api) = api.upgrade() else { return };
        let watch = match end_once(&api, &name).await {
            Ok(watch) => watch,
            Err(status) => {
                tracing::warn!(definition = %name, %status, "objects of a custom resource definition are not deleted");
                None
            }
        };
        let Some(mut watch) = watch else {
            api.custom.ending.lock().remove(&name);
            return;
        };
        drop(api);
        if watch.next().await.is_err() {
            // The log ran ahead, or the store closed: the next round finds out which.
            tokio::task::yield_now().await;
        }
    }
}

/// One round; a watch on what is left, or nothing at the end.
async fn end_once(api: &Arc<Api>, name: &str) -> Result<Option<store::Watch>, Status> {
    let Some(entry) = api.store.get(&key(name)) else { return Ok(None) };
    let mut object = objects::stored(&entry)?;
    let kind = {
        let known = api.custom.known.load();
        known.iter().find(|known| known.name == name).and_then(|known| known.stored_kind())
    };
    if let Some(kind) = kind {
        let resource = resource::store_name(&kind);
        let revision = api.store.revision();
        delete_all(api, &kind).await?;
        if api.store.count(&resource) > 0 {
            return api.store.watch(&resource, revision).map(Some).map_err(Status::internal);
        }
    }
    let mut finalizers: Vec<Value> = object.finalizers().map(Value::from).collect();
    finalizers.retain(|own| own != FINALIZER);
    let is_free = finalizers.is_empty();
    object.set(&["metadata", "finalizers"], finalizers);
    definition::set_condition(
        &mut object,
        "Terminating",
        "False",
        "InstanceDeletionCompleted",
        "removed all instances",
    );
    put(api, &mut object, entry.revision, is_free).await?;
    // Somebody may have been faster: then this is to be done again.
    let is_done = api
        .store
        .get(&key(name))
        .is_none_or(|now| objects::stored(&now).is_ok_and(|now| !now.finalizers().any(|own| own == FINALIZER)));
    if is_done {
        return Ok(None);
    }
    api.store.watch(DEFINITIONS, entry.revision).map(Some).map_err(Status::internal)
}

/// Deletes all objects of a kind as anybody could: with admission, and finalizers hold.
async fn delete_all(api: &Arc<Api>, kind: &Kind) -> Result<(), Status> {
    let attributes = Attributes {
        verb: "deletecollection".into(),
        group: kind.group().into(),
        version: kind.stored.version.to_string(),
        resource: kind.plural.to_string(),
        ..Attributes::default()
    };
    let call = Call::own(api.clone(), Identity::new("system:apiserver", &["system:masters"]), attributes);
    write::delete_collection(&call, kind, bytes::Bytes::new()).await.map(drop)
}

#[cfg(test)]
mod tests;
