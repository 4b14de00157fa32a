//! Writing: whoever holds the file takes all requests that wait, checks and numbers them, syncs once, shows them, answers.
//!
//! ```text
//!        a write as alone as the last ones, nobody has the file      more came, or the file wants writing anew
//!   at rest ───────────────────────────────▶ with the caller ───────────────────────────────▶ with the thread
//!      ▲  ▲────────────────────────────────────────┘                                                 │ ▲
//!      └───────────────────────────────────────────── nothing waits ─────────────────────────────────┘ │
//!   at rest ───────────── a write, and the disk is slow or the last ones came together ────────────────┘
//! ```
//!
//! A write that comes alone is made where it is asked for: a thread that sleeps takes longer to wake than to write.
//! Writes that come together are the thread's, and share its syncs: a caller that writes keeps others from being read meanwhile.

use super::log::{self, Change, File};
use super::table::Table;
use super::{Entry, Error, Expected, Key, Op, Shared};
use parking_lot::{Condvar, Mutex, RwLockWriteGuard};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Requests that share one sync at most: bounds what a crash can leave unanswered.
const BATCH: usize = 1024;
/// A disk whose syncs take longer than this keeps nobody but the store's own thread waiting.
const SHORT: Duration = Duration::from_millis(1);

/// So many writes in a row that came alone make it likely that the next one does.
const ROW: u32 = 4;

/// What one request is answered.
type Answer = Result<Vec<Arc<Entry>>, Error>;

/// Some changes that happen together or not at all.
struct Request {
    ops: Vec<Op>,
    answer: oneshot::Sender<Answer>,
}

/// A request that passed its checks.
struct Accepted {
    entries: Vec<(Arc<Entry>, bool)>,
    answer: oneshot::Sender<Answer>,
}

/// The way to the file. The thread ends when this is dropped.
pub struct Writer(Arc<Desk>);

struct Desk {
    shared: Arc<Shared>,
    queue: Mutex<Queue>,
    handed: Condvar,
}

struct Queue {
    requests: Vec<Request>,
    /// How many in a row came alone, at last.
    alone: u32,
    /// There while it is at rest.
    file: Option<File>,
    /// The next to take the file is the thread.
    is_for_thread: bool,
    is_closed: bool,
}

impl Writer {
    /// Starts the thread.
    pub fn start(file: File, shared: Arc<Shared>) -> Self {
        let queue = Queue::new(file);
        let desk = Arc::new(Desk { shared, queue: Mutex::new(queue), handed: Condvar::new() });
        let work = {
            let desk = desk.clone();
            move || {
                while let Some(turn) = desk.wait() {
                    turn.work();
                }
            }
        };
        // A process that cannot have one more thread at its start cannot do anything else either.
        std::thread::Builder::new().name("store".into()).spawn(work).expect("a thread for the store");
        Self(desk)
    }

    /// Asks for changes; the answer comes when they are on disk.
    pub fn submit(&self, ops: Vec<Op>) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        if let Some(turn) = self.0.submit(Request { ops, answer }) {
            turn.once();
        }
        answered
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.queue.lock().is_closed = true;
        self.0.handed.notify_one();
    }
}

impl Desk {
    /// Queues a request. It is the caller's turn where nobody else's is to come.
    fn submit(&self, request: Request) -> Option<Turn<'_>> {
        let mut queue = self.queue.lock();
        if queue.is_closed {
            return None;
        }
        queue.requests.push(request);
        if queue.is_for_thread {
            return None;
        }
        let file = queue.file.take()?;
        if file.last_sync <= SHORT && queue.alone >= ROW {
            return Some(Turn { desk: self, file: Some(file) });
        }
        queue.hand(file, &self.handed);
        None
    }

    /// Waits until the file is handed to the thread; nothing when there will be no more to write.
    fn wait(&self) -> Option<Turn<'_>> {
        let mut queue = self.queue.lock();
        loop {
            if queue.is_for_thread
                && let Some(file) = queue.file.take()
            {
                return Some(Turn { desk: self, file: Some(file) });
            }
            if queue.is_closed {
                return None;
            }
            self.handed.wait(&mut queue);
        }
    }
}

impl Queue {
    fn new(file: File) -> Self {
        Self { requests: Vec::new(), alone: ROW, file: Some(file), is_for_thread: false, is_closed: false }
    }

    fn hand(&mut self, file: File, handed: &Condvar) {
        self.file = Some(file);
        self.is_for_thread = true;
        handed.notify_one();
    }

    fn take(&mut self) -> Vec<Request> {
        let count = self.requests.len().min(BATCH);
        self.alone = if count == 1 { self.alone.saturating_add(1) } else { 0 };
        self.requests.drain(..count).collect()
    }
}

/// Somebody's turn to write.
struct Turn<'a> {
    desk: &'a Desk,
    /// There until the turn ends.
    file: Option<File>,
}

impl Turn<'_> {
    /// The caller's turn: what waits now; the thread has the rest.
    fn once(mut self) {
        let requests = self.desk.queue.lock().take();
        self.batch(requests);
        self.end();
    }

    /// Leaves the file at rest, or to the thread where there is more to do.
    fn end(mut self) {
        let mut queue = self.desk.queue.lock();
        let Some(file) = self.file.take() else { return };
        if queue.requests.is_empty() && !file.is_bloated() {
            queue.file = Some(file);
        } else {
            queue.alone = 0;
            queue.hand(file, &self.desk.handed);
        }
    }

    /// The thread's turn: until nothing waits.
    fn work(mut self) {
        loop {
            self.tidy();
            let mut queue = self.desk.queue.lock();
            if queue.requests.is_empty() {
                queue.is_for_thread = false;
                queue.file = self.file.take();
                return;
            }
            let requests = queue.take();
            drop(queue);
            self.batch(requests);
        }
    }

    /// Writes the file anew where most of it is history.
    fn tidy(&mut self) {
        let Some(file) = self.file.as_mut().filter(|file| file.is_bloated()) else { return };
        // History that stays in the file costs room and nothing else.
        if let Err(error) = file.rewrite(&self.desk.shared.tables.read()) {
            tracing::warn!(%error, "cannot write the store's file anew");
        }
        // As much went from memory as from the file.
        crate::base::memory::trim();
    }

    fn batch(&mut self, requests: Vec<Request>) {
        let (accepted, record) = self.check(requests);
        if accepted.is_empty() {
            return;
        }
        match self.file.as_mut().map(|file| file.append(&record)) {
            Some(Ok(())) => {
                let living = self.show(accepted);
                self.file.iter_mut().for_each(|file| file.living = living);
            }
            Some(Err(error)) => refuse(accepted, error),
            // Nobody's turn is over before it ends; answers that are dropped say that the store is closed.
            None => {}
        }
    }

    /// Checks and numbers each request against what is there and what was accepted before it in this batch; one record for
    /// all of them.
    fn check(&self, requests: Vec<Request>) -> (Vec<Accepted>, Vec<u8>) {
        let tables = self.desk.shared.tables.read();
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

    /// Makes durable changes visible to readers, then wakes watchers, then answers. Tells what lives now, in bytes of the file.
    fn show(&self, accepted: Vec<Accepted>) -> u64 {
        let mut touched = BTreeSet::new();
        let mut tables = self.desk.shared.tables.write();
        let loaded = tables.revision;
        for (entry, is_delete) in accepted.iter().flat_map(|request| &request.entries) {
            let resource = &entry.key.resource;
            tables.revision = entry.revision;
            let table = tables.by_resource.entry(resource.clone()).or_insert_with(|| Table::new(loaded));
            table.apply(entry.clone(), *is_delete);
            touched.insert(resource.clone());
        }
        // Who is woken reads at once.
        let tables = RwLockWriteGuard::downgrade(tables);
        touched.iter().filter_map(|resource| tables.by_resource.get(resource)).for_each(Table::tell);
        let living = tables.size();
        drop(tables);
        for Accepted { entries, answer } in accepted {
            answer.send(Ok(entries.into_iter().map(|(entry, _)| entry).collect())).ok();
        }
        living
    }
}

impl Drop for Turn<'_> {
    /// A turn that ends with the file in hand ended in a panic: what the file holds is not known any more.
    fn drop(&mut self) {
        if self.file.is_some() {
            let mut queue = self.desk.queue.lock();
            queue.is_closed = true;
            queue.requests.clear();
            self.desk.handed.notify_one();
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

#[cfg(test)]
mod tests {
    use super::super::{Draft, Selection};
    use super::*;

    /// A desk without its thread, and the folder of its file.
    fn desk() -> (Desk, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let (file, tables) = File::open(folder.path()).unwrap();
        let shared = Arc::new(Shared { tables: parking_lot::RwLock::new(tables) });
        let queue = Queue::new(file);
        (Desk { shared, queue: Mutex::new(queue), handed: Condvar::new() }, folder)
    }

    /// A request for one object, and its answer.
    fn request(name: &str) -> (Request, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let key = Key { resource: "configmaps".into(), namespace: "default".into(), name: name.into() };
        let draft = Draft { bytes: b"{\"v\":}".to_vec(), gap: 5 };
        let op = Op { key, expected: Expected::Absent, draft, selection: Selection::default(), is_delete: false };
        (Request { ops: vec![op], answer }, answered)
    }

    /// Asks at a disk that was quick the last time.
    fn submit(desk: &Desk, request: Request) -> Option<Turn<'_>> {
        if let Some(file) = desk.queue.lock().file.as_mut() {
            file.last_sync = Duration::ZERO;
        }
        desk.submit(request)
    }

    fn revision(answered: &mut oneshot::Receiver<Answer>) -> u64 {
        answered.try_recv().unwrap().unwrap()[0].revision
    }

    #[test]
    fn a_write_that_comes_alone_is_its_callers_and_what_comes_meanwhile_is_the_threads() {
        let (desk, _folder) = desk();
        let ((one, mut first), (two, mut second), (three, mut third)) = (request("a"), request("b"), request("c"));
        let turn = submit(&desk, one).unwrap();
        turn.once();
        assert_eq!(revision(&mut first), 1);

        let turn = submit(&desk, two).unwrap();
        // The caller has not taken what waits yet, so both are written together.
        assert!(desk.submit(three).is_none(), "the file is taken");
        turn.once();
        assert_eq!((revision(&mut second), revision(&mut third)), (2, 3));

        desk.queue.lock().alone = ROW;
        let ((four, mut fourth), (five, mut fifth)) = (request("d"), request("e"));
        let mut turn = submit(&desk, four).unwrap();
        let taken = desk.queue.lock().take();
        assert!(desk.submit(five).is_none());
        turn.batch(taken);
        turn.end();
        assert!(fifth.try_recv().is_err(), "the caller does not write for others for ever");
        desk.wait().unwrap().work();
        assert_eq!((revision(&mut fourth), revision(&mut fifth)), (4, 5));
    }

    #[test]
    fn writes_that_came_together_are_followed_by_the_threads_until_some_in_a_row_came_alone() {
        let (desk, _folder) = desk();
        let ((one, _), (two, _)) = (request("a"), request("b"));
        let turn = submit(&desk, one).unwrap();
        assert!(desk.submit(two).is_none());
        turn.once();
        for number in 0..ROW {
            let (next, mut answered) = request(&format!("alone-{number}"));
            assert!(submit(&desk, next).is_none(), "{number}");
            desk.wait().unwrap().work();
            assert_eq!(revision(&mut answered), u64::from(number) + 3);
        }
        assert!(submit(&desk, request("c").0).map(Turn::once).is_some());
    }

    #[test]
    fn a_slow_disk_keeps_only_the_thread_waiting() {
        let (desk, _folder) = desk();
        desk.queue.lock().file.as_mut().unwrap().last_sync = SHORT * 2;
        let ((one, mut first), (two, mut second)) = (request("a"), request("b"));
        assert!(desk.submit(one).is_none());
        assert!(desk.submit(two).is_none(), "the thread has not come yet");
        desk.wait().unwrap().work();
        assert_eq!((revision(&mut first), revision(&mut second)), (1, 2));
        assert!(!desk.queue.lock().is_for_thread, "at rest again");
    }

    #[test]
    fn a_turn_that_breaks_closes_the_store_for_all_who_wait() {
        let (desk, _folder) = desk();
        let ((one, mut first), (two, mut second)) = (request("a"), request("b"));
        let turn = submit(&desk, one).unwrap();
        drop(turn);
        assert!(desk.submit(two).is_none());
        assert!(first.try_recv().is_err() && second.try_recv().is_err());
        assert!(desk.wait().is_none(), "the thread ends");
    }

    #[test]
    fn many_writers_at_once_are_all_answered() {
        let folder = tempfile::tempdir().unwrap();
        let (file, tables) = File::open(folder.path()).unwrap();
        let writer = Writer::start(file, Arc::new(Shared { tables: parking_lot::RwLock::new(tables) }));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let writer = &writer;
                scope.spawn(move || {
                    for number in 0..100 {
                        let ops = request(&format!("{thread}-{number}")).0.ops;
                        writer.submit(ops).blocking_recv().unwrap().unwrap();
                    }
                });
            }
        });
        assert_eq!(writer.0.shared.tables.read().revision, 800);
    }
}
