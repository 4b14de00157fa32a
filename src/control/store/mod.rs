//! The store: revisions, watch log, durability; the only writer of object data.
//!
//! Objects are bytes (serialized JSON) beside what selection needs. All reads are from memory; writes are made one batch after
//! the other: checked, appended to the log file, synced once for all that wait, and only then shown to readers and
//! watchers and answered. So nobody sees, or is told of, a write that a power cut could take back.
//!
//! ```text
//! write(ops) ──queue──▶ writer: check ▸ number ▸ append ▸ fdatasync (once per batch) ▸ tables ▸ watchers ▸ answer
//! get, list, watch ◀── tables
//! ```

mod log;
mod table;
mod writer;

use crate::api::protobuf;
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use table::Table;
use tokio::sync::watch;
use writer::Writer;

/// Where an object is: resource (`pods`, `apps/deployments`), namespace (empty for the cluster's), name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub resource: Arc<str>,
    pub namespace: String,
    pub name: String,
}

/// Pairs that selectors compare.
pub type Pairs = Box<[(Box<str>, Box<str>)]>;

/// What selectors see of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub labels: Pairs,
    pub fields: Pairs,
}

/// An object as it was at a revision.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    pub revision: u64,
    /// Serialized JSON, `metadata.resourceVersion` included.
    pub bytes: Bytes,
    pub selection: Selection,
}

/// A serialized object with a gap where its revision goes: the revision is known only when it is written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The bytes without the revision.
    pub bytes: Vec<u8>,
    /// Where it goes.
    pub gap: usize,
}

impl Draft {
    fn at(&self, revision: u64) -> Bytes {
        let (head, tail) = self.bytes.split_at(self.gap);
        let number = revision.to_string();
        let mut bytes = Vec::with_capacity(self.bytes.len() + number.len());
        for part in [head, number.as_bytes(), tail] {
            bytes.extend_from_slice(part);
        }
        bytes.into()
    }
}

/// What must be there for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Absent,
    Revision(u64),
}

/// One change. A deletion carries the object's last form, for those who watch.
#[derive(Clone, Debug)]
pub struct Op {
    pub key: Key,
    pub expected: Expected,
    pub draft: Draft,
    pub selection: Selection,
    pub is_delete: bool,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    Added,
    Modified,
    Deleted,
}

impl Happened {
    /// The word of a watch event.
    pub fn word(self) -> &'static str {
        match self {
            Happened::Added => "ADDED",
            Happened::Modified => "MODIFIED",
            Happened::Deleted => "DELETED",
        }
    }
}

/// One change as watchers see it.
#[derive(Debug)]
pub struct Event {
    pub happened: Happened,
    pub entry: Arc<Entry>,
    /// The object before, for selectors that it matched then and does not now.
    pub before: Option<Arc<Entry>>,
    wire: OnceLock<Bytes>,
    frame: OnceLock<Option<Bytes>>,
}

impl Event {
    /// The line of a JSON watch, encoded once for all who watch.
    pub fn wire(&self) -> &Bytes {
        self.wire.get_or_init(|| wire(self.happened, &self.entry.bytes))
    }

    /// The frame of a protobuf watch, encoded once for all who watch; nothing where the object has no such form.
    pub fn frame(&self) -> Option<&Bytes> {
        let encode = || {
            let object = serde_json::from_slice(&self.entry.bytes).ok()?;
            let bytes = protobuf::encode(&object).ok()?;
            Some(protobuf::watch_frame(self.happened.word(), &bytes).into())
        };
        self.frame.get_or_init(encode).as_ref()
    }
}

/// `{"type":"ADDED","object":…}` and a newline.
pub fn wire(happened: Happened, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 32);
    for part in [b"{\"type\":\"".as_slice(), happened.word().as_bytes(), b"\",\"object\":", object, b"}\n"] {
        line.extend_from_slice(part);
    }
    line.into()
}

/// Objects of one resource at one revision, in the order of namespace and name.
#[derive(Debug)]
pub struct Listing {
    pub revision: u64,
    pub entries: Vec<Arc<Entry>>,
}

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object of that name is there already.
    #[error("`{}` exists already", .0.name)]
    Exists(Key),
    /// The object is not there.
    #[error("`{}` is not there", .0.name)]
    Missing(Key),
    /// The object was changed since it was read: read it again.
    #[error("`{}` was changed", .0.name)]
    Changed(Key),
    /// The revision is too old: list again.
    #[error("too old resource version: {asked} ({oldest})")]
    Expired { asked: u64, oldest: u64 },
    /// The write did not reach the disk and did not happen.
    #[error("cannot write to the store")]
    Full(#[source] Arc<std::io::Error>),
    /// The writer is gone after an error that it could not undo; the server must be started again.
    #[error("the store is closed")]
    Closed,
    /// The file cannot be read.
    #[error("cannot read {}", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// The file is damaged somewhere else than at its very end, so it is no torn last write.
    #[error("{} is damaged at byte {offset}", path.display())]
    Damaged { path: PathBuf, offset: u64 },
}

/// Everything that readers see.
#[derive(Default)]
struct Shared {
    tables: RwLock<Tables>,
}

#[derive(Default)]
struct Tables {
    revision: u64,
    by_resource: HashMap<Arc<str>, Table>,
}

impl Tables {
    /// What all objects take in the file, in bytes.
    fn size(&self) -> u64 {
        self.by_resource.values().map(Table::size).sum()
    }
}

/// The embedded store: cheap to clone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    writer: Arc<Writer>,
}

impl Store {
    /// Opens the store in `folder`, which is made if it is not there.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (file, tables) = log::File::open(folder)?;
        let shared = Arc::new(Shared { tables: RwLock::new(tables) });
        let writer = Arc::new(Writer::start(file, shared.clone()));
        Ok(Self { shared, writer })
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.shared.tables.read().revision
    }

    /// How many objects of a resource there are.
    pub fn count(&self, resource: &str) -> usize {
        self.shared.tables.read().by_resource.get(resource).map_or(0, Table::len)
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.shared.tables.read().by_resource.get(&key.resource)?.get(&key.namespace, &key.name)
    }

    /// All objects of a resource, or of one namespace; as they were at revision `at`, or as they are.
    pub fn list(&self, resource: &str, namespace: Option<&str>, at: Option<u64>) -> Result<Listing, Error> {
        let tables = self.shared.tables.read();
        let revision = at.unwrap_or(tables.revision);
        let Some(table) = tables.by_resource.get(resource) else {
            return Ok(Listing { revision, entries: Vec::new() });
        };
        let entries = match at {
            Some(revision) if revision < tables.revision => table.list_at(namespace, revision)?,
            _ => table.list(namespace),
        };
        Ok(Listing { revision, entries })
    }

    /// Writes all of `ops` or none; returns the new entries when they are on disk.
    pub async fn write(&self, ops: Vec<Op>) -> Result<Vec<Arc<Entry>>, Error> {
        let mut answered = self.writer.submit(ops);
        if let Ok(answer) = answered.try_recv() {
            // Made here, so those who watch are to run on this thread: they go before the answer.
            tokio::task::yield_now().await;
            return answer;
        }
        answered.await.map_err(|_| Error::Closed)?
    }

    /// The changes of a resource after revision `from`.
    pub fn watch(&self, resource: &str, from: u64) -> Result<Watch, Error> {
        let mut tables = self.shared.tables.write();
        let loaded = tables.revision;
        let table = tables.by_resource.entry(resource.into()).or_insert_with(|| Table::new(loaded));
        table.check(from)?;
        Ok(Watch { resource: resource.into(), from, shared: self.shared.clone(), changed: table.subscribe() })
    }
}

/// A watch of one resource.
pub struct Watch {
    resource: Arc<str>,
    from: u64,
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
}

impl Watch {
    /// The next changes, at least one. `Expired` when this watch was too slow for the log.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, Error> {
        loop {
            self.changed.borrow_and_update();
            let events = self.take()?;
            if !events.is_empty() {
                return Ok(events);
            }
            self.changed.changed().await.map_err(|_| Error::Closed)?;
        }
    }

    /// The changes that happened already, none if there are none.
    pub fn ready(&mut self) -> Result<Vec<Arc<Event>>, Error> {
        self.changed.borrow_and_update();
        self.take()
    }

    /// Whether something may have happened that was not taken yet.
    pub fn is_behind(&self) -> bool {
        self.changed.has_changed().unwrap_or(true)
    }

    /// The revision up to which nothing is left to tell: what a bookmark says.
    pub fn position(&self) -> u64 {
        let tables = self.shared.tables.read();
        let is_done = tables.by_resource.get(&self.resource).is_none_or(|table| table.last() <= self.from);
        if is_done { tables.revision.max(self.from) } else { self.from }
    }

    fn take(&mut self) -> Result<Vec<Arc<Event>>, Error> {
        let tables = self.shared.tables.read();
        let Some(table) = tables.by_resource.get(&self.resource) else { return Ok(Vec::new()) };
        let events = table.since(self.from)?;
        if let Some(last) = events.last() {
            self.from = last.entry.revision;
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests;
