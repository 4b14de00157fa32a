//! The objects of one resource in memory, and its bounded log of changes.

use super::{Entry, Error, Event, Happened, log};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Changes that a resource remembers: a watch may be this far behind.
const REMEMBERED: usize = 1024;

/// Objects by namespace and name.
#[derive(Clone, Default)]
struct Objects {
    by_namespace: BTreeMap<Box<str>, BTreeMap<Box<str>, Arc<Entry>>>,
    count: usize,
    /// What they take in the file, in bytes.
    size: u64,
}

impl Objects {
    fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Entry>> {
        self.by_namespace.get(namespace)?.get(name)
    }

    fn put(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let (namespace, name) = (entry.key.namespace.as_str(), entry.key.name.as_str().into());
        let names = match self.by_namespace.get_mut(namespace) {
            Some(names) => names,
            None => self.by_namespace.entry(namespace.into()).or_default(),
        };
        self.size += log::size(&entry);
        let before = names.insert(name, entry);
        self.count += usize::from(before.is_none());
        self.size -= before.as_deref().map_or(0, log::size);
        before
    }

    fn take(&mut self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        let names = self.by_namespace.get_mut(namespace)?;
        let before = names.remove(name)?;
        if names.is_empty() {
            self.by_namespace.remove(namespace);
        }
        self.count -= 1;
        self.size -= log::size(&before);
        Some(before)
    }

    /// In the order of namespace and name; of one namespace, or all.
    fn list(&self, namespace: Option<&str>) -> Vec<Arc<Entry>> {
        match namespace {
            None => self.all().cloned().collect(),
            Some(namespace) => {
                self.by_namespace.get(namespace).into_iter().flat_map(BTreeMap::values).cloned().collect()
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_namespace.values().flat_map(BTreeMap::values)
    }
}

/// One resource.
pub struct Table {
    objects: Objects,
    log: VecDeque<Arc<Event>>,
    /// Changes up to this revision are forgotten.
    forgotten: u64,
    changed: watch::Sender<u64>,
}

impl Table {
    /// An empty table of a store at revision `loaded`: what was before is forgotten.
    pub fn new(loaded: u64) -> Self {
        let (changed, _) = watch::channel(loaded);
        Self { objects: Objects::default(), log: VecDeque::new(), forgotten: loaded, changed }
    }

    pub fn len(&self) -> usize {
        self.objects.count
    }

    /// What the objects take in the file, in bytes.
    pub fn size(&self) -> u64 {
        self.objects.size
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        self.objects.get(namespace, name).cloned()
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.objects.all()
    }

    pub fn list(&self, namespace: Option<&str>) -> Vec<Arc<Entry>> {
        self.objects.list(namespace)
    }

    /// The objects as they were: what happened since is undone in a copy.
    pub fn list_at(&self, namespace: Option<&str>, revision: u64) -> Result<Vec<Arc<Entry>>, Error> {
        self.check(revision)?;
        let mut then = self.objects.clone();
        for event in self.log.iter().rev().take_while(|event| event.entry.revision > revision) {
            match &event.before {
                Some(before) => then.put(before.clone()),
                None => then.take(&event.entry.key.namespace, &event.entry.key.name),
            };
        }
        Ok(then.list(namespace))
    }

    /// Puts an object in while the store is read from disk: nobody watches yet.
    pub fn load(&mut self, entry: Arc<Entry>) {
        self.objects.put(entry);
    }

    /// Takes an object out while the store is read from disk.
    pub fn unload(&mut self, namespace: &str, name: &str) {
        self.objects.take(namespace, name);
    }

    /// The last thing that happens to a table while the store is read from disk.
    pub fn loaded(&mut self, revision: u64) {
        self.forgotten = revision;
    }

    /// Makes a durable change visible. Watchers are told by [`Table::tell`] when the whole batch is in.
    pub fn apply(&mut self, entry: Arc<Entry>, is_delete: bool) {
        let before = match is_delete {
            true => self.objects.take(&entry.key.namespace, &entry.key.name),
            false => self.objects.put(entry.clone()),
        };
        let happened = match (&before, is_delete) {
            (_, true) => Happened::Deleted,
            (Some(_), false) => Happened::Modified,
            (None, false) => Happened::Added,
        };
        if self.log.len() == REMEMBERED
            && let Some(oldest) = self.log.pop_front()
        {
            self.forgotten = oldest.entry.revision;
        }
        self.log.push_back(Arc::new(Event { happened, entry, before, wire: OnceLock::new(), frame: OnceLock::new() }));
    }

    /// Wakes everybody who watches.
    pub fn tell(&self) {
        self.changed.send_replace(self.last());
    }

    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The revision of the newest change.
    pub fn last(&self) -> u64 {
        self.log.back().map_or(self.forgotten, |event| event.entry.revision)
    }

    /// Whether everything after `revision` is still remembered.
    pub fn check(&self, revision: u64) -> Result<(), Error> {
        if revision < self.forgotten {
            return Err(Error::Expired { asked: revision, oldest: self.forgotten });
        }
        Ok(())
    }

    /// The changes after `revision`.
    pub fn since(&self, revision: u64) -> Result<Vec<Arc<Event>>, Error> {
        self.check(revision)?;
        let start = self.log.partition_point(|event| event.entry.revision <= revision);
        Ok(self.log.range(start..).cloned().collect())
    }
}
