//! A second pair of hands for a process that is over soon: one thread, begun first of all, to which works are lent.
//!
//! Where a command takes milliseconds, making a thread for each work costs more than most works are worth, and so does waiting
//! for one that does not run yet. A work that is lent and was not begun when its result is asked for is done by who asks, and
//! so it is in processes that have no second pair of hands.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// How much stack works get that are lent. It is touched only as far as it is used.
const STACK: usize = 32 << 20;

type Work<T> = Box<dyn FnOnce() -> T + Send>;

/// What the hand is to do next.
#[derive(Default)]
struct Queue {
    works: Mutex<VecDeque<Work<()>>>,
    has_work: Condvar,
}

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Begins the thread. When nothing is lent to it, it does the steps that it is given, one at a time, until one says that there was
/// nothing to do; after the next work it tries again. Without a thread there is none of this, and nothing is missed.
pub fn begin(step: impl FnMut() -> bool + Send + 'static) {
    let queue = QUEUE.get_or_init(Queue::default);
    // Who needs a result that nobody is at does the work itself.
    let thread = std::thread::Builder::new().name("hand".into()).stack_size(STACK);
    thread.spawn(|| queue.serve(step)).ok();
}

impl Queue {
    fn works(&self) -> MutexGuard<'_, VecDeque<Work<()>>> {
        // A work runs outside of the lock: whoever had it left whole works behind.
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut step: impl FnMut() -> bool) {
        loop {
            let work = self.works().pop_front();
            match work {
                // Who lent it finds that it has no result.
                Some(work) => drop(catch_unwind(AssertUnwindSafe(work))),
                None if step() => {}
                None => drop(self.has_work.wait_while(self.works(), |works| works.is_empty())),
            }
        }
    }
}

/// A work that was lent.
pub struct Lent<T> {
    /// The work, until somebody begins with it.
    work: Arc<Mutex<Option<Work<T>>>>,
    result: Receiver<T>,
}

/// Lends a work to the hand of this process.
pub fn lend<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Lent<T> {
    let work: Arc<Mutex<Option<Work<T>>>> = Arc::new(Mutex::new(Some(Box::new(work))));
    let (sender, result) = sync_channel(1);
    if let Some(queue) = QUEUE.get() {
        let lent = work.clone();
        queue.works().push_back(Box::new(move || do_lent(&lent, &sender)));
        queue.has_work.notify_one();
    }
    Lent { work, result }
}

fn begin_work<T>(work: &Mutex<Option<Work<T>>>) -> Option<Work<T>> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn do_lent<T>(work: &Mutex<Option<Work<T>>>, sender: &SyncSender<T>) {
    if let Some(work) = begin_work(work) {
        // Who lent it may have lost interest.
        sender.send(work()).ok();
    }
}

impl<T> Lent<T> {
    /// The result: of the work done here if nobody has begun with it; nothing if it broke off.
    pub fn get(self) -> Option<T> {
        match begin_work(&self.work) {
            Some(work) => Some(work()),
            None => self.result.recv().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn a_work_is_done_by_the_hand_or_by_who_asks_for_its_result() {
        assert_eq!(lend(|| 7).get(), Some(7));
        begin(|| false);
        let (done, is_done) = channel();
        let lent = lend(move || {
            done.send(thread::current().name().map(String::from)).unwrap();
            8
        });
        assert_eq!(is_done.recv().unwrap().as_deref(), Some("hand"));
        assert_eq!(lent.get(), Some(8));
    }

    #[test]
    fn where_nobody_takes_a_work_who_asks_does_it() {
        let here = thread::current().id();
        let (sender, result) = sync_channel(1);
        let work: Arc<Mutex<Option<Work<_>>>> = Arc::new(Mutex::new(Some(Box::new(|| thread::current().id()))));
        let lent = Lent { work: work.clone(), result };
        assert_eq!(lent.get(), Some(here));
        do_lent(&work, &sender);
    }

    #[test]
    fn a_work_that_broke_off_has_no_result_and_later_ones_are_done_all_the_same() {
        begin(|| false);
        let (begun, has_begun) = channel();
        let lent = lend(move || {
            begun.send(()).unwrap();
            panic!("it broke")
        });
        has_begun.recv().unwrap();
        assert_eq!(lent.get(), None::<u8>);
        assert_eq!(lend(|| 9).get(), Some(9));
    }

    #[test]
    fn steps_are_done_between_works_until_nothing_is_to_do() {
        // One of its own: other tests lend to the one of this process.
        let queue: &'static Queue = Box::leak(Box::default());
        let (step, steps) = channel();
        let mut done = 0;
        thread::spawn(move || {
            queue.serve(|| {
                done += 1;
                step.send(done).unwrap();
                done % 3 != 0
            })
        });
        assert_eq!(steps.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
        queue.works().push_back(Box::new(|| ()));
        queue.has_work.notify_one();
        assert_eq!(steps.iter().take(3).collect::<Vec<_>>(), [4, 5, 6]);
    }
}
