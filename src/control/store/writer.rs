//! The one thread that writes: it takes all requests that wait, checks and numbers them, syncs once, shows them, answers.

use super::log::{self, Change, File};
use super::table::Table;
use super::{Entry, Error, Expected, Key, Op, Shared};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

/// Requests that share one sync at most: bounds what a crash can leave unanswered.
const BATCH: usize = 1024;

/// What one request is answered.
type Answer = Result<Vec<Arc<Entry>>, Error>;

/// Some changes that happen together or not at all.
pub struct Request {
    pub ops: Vec<Op>,
    pub answer: oneshot::Sender<Answer>,
}

/// A request that passed its checks.
struct Accepted {
    entries: Vec<(Arc<Entry>, bool)>,
    answer: oneshot::Sender<Answer>,
}

/// Starts the thread; it ends when every sender is gone.
pub fn start(file: File, shared: Arc<Shared>) -> Sender<Request> {
    let (sender, receiver) = channel();
    let work = move || Writer { file, shared }.run(&receiver);
    // A process that cannot have one more thread at its start cannot do anything else either.
    std::thread::Builder::new().name("store".into()).spawn(work).expect("a thread for the store");
    sender
}

struct Writer {
    file: File,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Request>) {
        while let Ok(first) = receiver.recv() {
            let mut requests = vec![first];
            requests.extend(receiver.try_iter().take(BATCH - 1));
            self.batch(requests);
            if self.file.is_bloated() {
                // History that stays in the file costs room and nothing else.
                if let Err(error) = self.file.rewrite(&self.shared.tables.read()) {
                    tracing::warn!(%error, "cannot write the store's file anew");
                }
            }
        }
    }

    fn batch(&mut self, requests: Vec<Request>) {
        let (accepted, record) = self.check(requests);
        if accepted.is_empty() {
            return;
        }
        match self.file.append(&record) {
            Ok(()) => self.show(accepted),
            Err(error) => refuse(accepted, error),
        }
    }

    /// Checks and numbers each request against what is there and what was accepted before it in this batch; one record for
    /// all of them.
    fn check(&self, requests: Vec<Request>) -> (Vec<Accepted>, Vec<u8>) {
        let tables = self.shared.tables.read();
        let mut revision = tables.revision;
        let mut overlay: HashMap<Key, Option<u64>> = HashMap::new();
        let mut accepted: Vec<Accepted> = Vec::with_capacity(requests.len());
        for Request { ops, answer } in requests {
            let current = |key: &Key| match overlay.get(key) {
                Some(revision) => *revision,
                None => {
                    tables.by_resource.get(&key.resource)?.get(&key.namespace, &key.name).map(|entry| entry.revision)
                }
            };
            if let Some(error) = ops.iter().find_map(|op| refusal(op, current(&op.key))) {
                // The caller may have gone away, which is its own affair.
                answer.send(Err(error)).ok();
                continue;
            }
            let entries: Vec<(Arc<Entry>, bool)> = ops
                .into_iter()
                .map(|op| {
                    revision += 1;
                    overlay.insert(op.key.clone(), (!op.is_delete).then_some(revision));
                    (
                        Arc::new(Entry {
                            bytes: op.draft.at(revision),
                            key: op.key,
                            revision,
                            selection: op.selection,
                        }),
                        op.is_delete,
                    )
                })
                .collect();
            accepted.push(Accepted { entries, answer });
        }
        let all = accepted.iter().flat_map(|request| &request.entries);
        let changes: Vec<Change> = all.map(|(entry, is_delete)| Change { entry, is_delete: *is_delete }).collect();
        let mut record = Vec::new();
        log::encode(&mut record, revision, &changes);
        (accepted, record)
    }

    /// Makes durable changes visible to readers, then wakes watchers, then answers.
    fn show(&self, accepted: Vec<Accepted>) {
        let mut touched = BTreeSet::new();
        let mut tables = self.shared.tables.write();
        let loaded = tables.revision;
        for (entry, is_delete) in accepted.iter().flat_map(|request| &request.entries) {
            let resource = &entry.key.resource;
            tables.revision = entry.revision;
            let table = tables.by_resource.entry(resource.clone()).or_insert_with(|| Table::new(loaded));
            table.apply(entry.clone(), *is_delete);
            touched.insert(resource.clone());
        }
        touched.iter().filter_map(|resource| tables.by_resource.get(resource)).for_each(Table::tell);
        drop(tables);
        for Accepted { entries, answer } in accepted {
            answer.send(Ok(entries.into_iter().map(|(entry, _)| entry).collect())).ok();
        }
    }
}

/// Why an operation cannot happen on an object that is at revision `current`, or not there.
fn refusal(op: &Op, current: Option<u64>) -> Option<Error> {
    match (op.expected, current) {
        (Expected::Absent, Some(_)) => Some(Error::Exists(op.key.clone())),
        (Expected::Revision(_), None) => Some(Error::Missing(op.key.clone())),
        (Expected::Revision(expected), Some(current)) if expected != current => Some(Error::Changed(op.key.clone())),
        _ => None,
    }
}

fn refuse(accepted: Vec<Accepted>, error: std::io::Error) {
    let error = Arc::new(error);
    for request in accepted {
        request.answer.send(Err(Error::Full(error.clone()))).ok();
    }
}
