//! Runs one controller: its watches fill a queue of keys, and its `reconcile` is run for each.
//!
//! ```text
//!             watch tells            worker free
//!  (unknown) -------------> waiting -------------> running --ok, nothing asked--> (unknown)
//!                              ^  ^                  |  |
//!                              |  +--told meanwhile--+  |
//!                              +----- failed, or asked for later: after a delay
//! ```
//!
//! A key is in the queue once, with the earliest time that was asked for, and runs once at a time. Most of these times are
//! times of day (a schedule, a deadline, the end of a certificate), so when the clock jumps every key is due at once.

use super::{Context, Controller, Error, Key};
use crate::base::Shutdown;
use crate::base::causes::chain;
use futures::StreamExt;
use futures::future::join_all;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// Delays after failures: the first, doubled each time, up to the last (client-go's item exponential failure limiter).
const FIRST_DELAY: Duration = Duration::from_millis(5);
const LAST_DELAY: Duration = Duration::from_secs(1000);
/// Keys of one controller that run at once.
const WORKERS: usize = 16;

/// What a reconcile asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: a watch will tell.
    Wait,
    /// To be run again after so long, unless a watch tells earlier.
    After(Duration),
}

/// Runs `controller` until shutdown.
pub async fn run(controller: &'static Controller, context: Arc<Context>, shutdown: Shutdown) {
    let (ready, streams): (Vec<_>, Vec<_>) =
        controller.watches.iter().map(|watch| watch(&context)).map(|watched| (watched.ready, watched.keys)).unzip();
    tokio::select! {
        _ = join_all(ready) => {}
        () = shutdown.wait() => return,
    }
    let mut told = futures::stream::select_all(streams);
    let mut queue = Queue::default();
    let mut runs = JoinSet::new();
    let mut keys: HashMap<Id, Key> = HashMap::new();
    let mut jumps = context.config.jumps.clone();
    loop {
        while runs.len() < WORKERS
            && let Some(key) = queue.take(Instant::now())
        {
            let handle = runs.spawn((controller.reconcile)(context.clone(), key.clone()));
            keys.insert(handle.id(), key);
        }
        let wake = if runs.len() < WORKERS { queue.earliest() } else { None };
        tokio::select! {
            Some(some) = told.next() => some.into_iter().for_each(|key| queue.add(key, Instant::now())),
            Some(done) = runs.join_next_with_id() => {
                let (id, outcome) = outcome(done);
                let Some(key) = keys.remove(&id) else { continue };
                if let Err(error) = &outcome {
                    tracing::debug!(controller = controller.name, %key, error = %chain(error), "reconcile failed");
                }
                queue.finish(key, outcome.ok(), Instant::now());
            }
            () = sleep_until(wake) => {}
            () = jumps.next() => queue.hurry(Instant::now()),
            () = shutdown.wait() => return,
        }
    }
}

fn outcome(done: Result<(Id, Result<Next, Error>), JoinError>) -> (Id, Result<Next, Error>) {
    match done {
        Ok(done) => done,
        Err(error) => (error.id(), Err(Error::Invalid(format!("reconcile panicked: {error}")))),
    }
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

#[derive(Default)]
struct Queue {
    /// When each waiting key is due.
    due: HashMap<Key, Instant>,
    /// The same, ordered.
    order: BTreeSet<(Instant, Key)>,
    running: HashSet<Key>,
    /// Failures in a row.
    failures: HashMap<Key, u32>,
}

impl Queue {
    /// Asks for `key` at `when`; an earlier time that was asked for stays.
    fn add(&mut self, key: Key, when: Instant) {
        if let Some(earlier) = self.due.get(&key) {
            if *earlier <= when {
                return;
            }
            self.order.remove(&(*earlier, key.clone()));
        }
        self.due.insert(key.clone(), when);
        self.order.insert((when, key));
    }

    /// Makes everything that waits due.
    fn hurry(&mut self, now: Instant) {
        let waiting: Vec<Key> = self.due.keys().cloned().collect();
        waiting.into_iter().for_each(|key| self.add(key, now));
    }

    /// The first key that is due and not running; it counts as running from now on.
    fn take(&mut self, now: Instant) -> Option<Key> {
        let ready = self.order.iter().take_while(|(due, _)| *due <= now);
        let (due, key) = ready.into_iter().find(|(_, key)| !self.running.contains(key))?.clone();
        self.order.remove(&(due, key.clone()));
        self.due.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    /// When the next key that is not running is due.
    fn earliest(&self) -> Option<Instant> {
        self.order.iter().find(|(_, key)| !self.running.contains(key)).map(|(due, _)| *due)
    }

    /// `key` ran; `next` is nothing if it failed.
    fn finish(&mut self, key: Key, next: Option<Next>, now: Instant) {
        self.running.remove(&key);
        match next {
            Some(next) => {
                self.failures.remove(&key);
                if let Next::After(delay) = next {
                    self.add(key, now + delay);
                }
            }
            None => {
                let failures = self.failures.entry(key.clone()).or_insert(0);
                let delay = FIRST_DELAY.saturating_mul(1 << (*failures).min(20)).min(LAST_DELAY);
                *failures += 1;
                self.add(key, now + delay);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("one", name)
    }

    #[tokio::test]
    async fn a_key_waits_once_at_the_earliest_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("a"), now + Duration::from_secs(5));
        queue.add(key("a"), now);
        queue.add(key("a"), now + Duration::from_secs(9));
        assert_eq!(queue.take(now), Some(key("a")));
        assert_eq!(queue.take(now + Duration::from_secs(10)), None);
    }

    #[tokio::test]
    async fn what_waits_for_a_time_of_day_is_due_when_the_clock_jumps() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.finish(key("a"), Some(Next::After(Duration::from_secs(3600))), now);
        queue.add(key("b"), now);
        assert_eq!((queue.take(now), queue.take(now)), (Some(key("b")), None));
        queue.hurry(now);
        assert_eq!((queue.take(now), queue.take(now)), (Some(key("a")), None));
    }

    #[tokio::test]
    async fn a_key_told_while_it_runs_runs_again_afterwards() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("a"), now);
        assert!(queue.take(now).is_some());
        queue.add(key("a"), now);
        assert_eq!(queue.take(now), None);
        assert_eq!(queue.earliest(), None);
        queue.finish(key("a"), Some(Next::Wait), now);
        assert_eq!(queue.take(now), Some(key("a")));
    }

    #[tokio::test]
    async fn failures_double_the_delay_up_to_a_limit_and_success_forgets_them() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for millis in [5, 10, 20] {
            queue.finish(key("a"), None, now);
            assert_eq!(queue.earliest(), Some(now + Duration::from_millis(millis)));
            assert!(queue.take(now + Duration::from_secs(2000)).is_some());
        }
        for _ in 0..30 {
            queue.finish(key("a"), None, now);
            queue.take(now + Duration::from_secs(2000));
        }
        queue.finish(key("a"), None, now);
        assert_eq!(queue.earliest(), Some(now + LAST_DELAY));
        queue.take(now + LAST_DELAY);
        queue.finish(key("a"), Some(Next::Wait), now);
        assert_eq!(queue.earliest(), None);
        queue.finish(key("a"), None, now);
        assert_eq!(queue.earliest(), Some(now + FIRST_DELAY));
    }
}
