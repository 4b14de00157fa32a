//! The objects of one resource in memory, and its bounded log of changes.

use super::{Entry, Error, Event, Happened};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Changes that a resource remembers: a watch may be this far behind.
const REMEMBERED: usize = 1024;

/// One resource.
pub struct Table {
    objects: BTreeMap<(Box<str>, Box<str>), Arc<Entry>>,
    log: VecDeque<Arc<Event>>,
    /// Changes up to this revision are forgotten.
    forgotten: u64,
    changed: watch::Sender<u64>,
}

impl Table {
    /// An empty table of a store at revision `loaded`: what was before is forgotten.
    pub fn new(loaded: u64) -> Self {
        let (changed, _) = watch::channel(loaded);
        Self { objects: BTreeMap::new(), log: VecDeque::new(), forgotten: loaded, changed }
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        // The map's key owns its strings, so a look-up by reference needs a pair of the same type.
        self.objects.get(&(namespace.into(), name.into())).cloned()
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.objects.values()
    }

    pub fn list(&self, namespace: Option<&str>) -> Vec<Arc<Entry>> {
        match namespace {
            None => self.objects.values().cloned().collect(),
            Some(namespace) => {
                let start = (Box::<str>::from(namespace), Box::<str>::from(""));
                let same = |(key, _): &(&(Box<str>, Box<str>), &Arc<Entry>)| &*key.0 == namespace;
                self.objects.range(start..).take_while(same).map(|(_, entry)| entry.clone()).collect()
            }
        }
    }

    /// The objects as they were: what happened since is undone in a copy.
    pub fn list_at(&self, namespace: Option<&str>, revision: u64) -> Result<Vec<Arc<Entry>>, Error> {
        self.check(revision)?;
        let mut then = self.objects.clone();
        for event in self.log.iter().rev().take_while(|event| event.entry.revision > revision) {
            let key = (event.entry.key.namespace.as_str().into(), event.entry.key.name.as_str().into());
            match &event.before {
                Some(before) => then.insert(key, before.clone()),
                None => then.remove(&key),
            };
        }
        let is_wanted = |entry: &Arc<Entry>| namespace.is_none_or(|namespace| entry.key.namespace == namespace);
        Ok(then.into_values().filter(is_wanted).collect())
    }

    /// Puts an object in while the store is read from disk: nobody watches yet.
    pub fn load(&mut self, entry: Arc<Entry>) {
        self.objects.insert((entry.key.namespace.as_str().into(), entry.key.name.as_str().into()), entry);
    }

    /// Takes an object out while the store is read from disk.
    pub fn unload(&mut self, namespace: &str, name: &str) {
        self.objects.remove(&(namespace.into(), name.into()));
    }

    /// The last thing that happens to a table while the store is read from disk.
    pub fn loaded(&mut self, revision: u64) {
        self.forgotten = revision;
    }

    /// Makes a durable change visible. Watchers are told by [`Table::tell`] when the whole batch is in.
    pub fn apply(&mut self, entry: Arc<Entry>, is_delete: bool) {
        let key = (entry.key.namespace.as_str().into(), entry.key.name.as_str().into());
        let before = if is_delete { self.objects.remove(&key) } else { self.objects.insert(key, entry.clone()) };
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
