//! Pods that wait for a node.
//!
//! ```text
//!            take                found no node                event that can help
//!  active ---------> (cycle) ---------------------> stuck ------------------------> backoff, or active if that is over
//!    ^                   \--- failed otherwise ---> backoff                              |
//!    +------------------------------------------------ time is over --------------------+
//!  gated: not even tried until its gates are gone
//! ```
//!
//! A pod that an event woke out of `stuck` does not sit out its pause while nobody else wants a turn: it is tried at once
//! (upstream: SchedulerPopFromBackoffQ).

use super::Happened;
use super::pod::PodInfo;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Pauses before a pod is tried a third time and more often: the first, doubled each time, up to the last (upstream's
/// defaults).
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// A pod that no event woke is tried again after so long, in case the event that can help is one that nobody thought of.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// One pod that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub info: Arc<PodInfo>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was first seen: the older goes first among equals.
    since: Instant,
    /// When it was last tried.
    tried: Instant,
    /// What can help it.
    helped_by: Happened,
}

/// Order of trying: priority first, then age, then the number in which they came.
type Turn = (Reverse<i32>, Instant, u64, String);

/// The queue. Every pod is in at most one of its parts; unique ids are the keys.
#[derive(Debug, Default)]
pub struct Queue {
    active: BTreeSet<Turn>,
    backoff: BTreeSet<(Instant, String)>,
    /// Those in `backoff` that an event woke.
    eager: BTreeSet<(Instant, String)>,
    stuck: BTreeMap<String, Instant>,
    pods: HashMap<String, (Waiting, Place)>,
    count: u64,
}

/// Where a pod is in the queue.
#[derive(Clone, Debug)]
enum Place {
    Active(Turn),
    Backoff { until: Instant, is_eager: bool },
    Stuck(Instant),
    Gated,
}

impl Queue {
    /// A pod without a node came or changed. `helps` says whether the change can matter to a pod that is stuck.
    pub fn take(&mut self, info: Arc<PodInfo>, is_gated: bool, helps: bool, now: Instant) {
        let uid = info.uid().to_string();
        let Some((mut waiting, place)) = self.remove_entry(&uid) else {
            let waiting = Waiting { info, attempts: 0, since: now, tried: now, helped_by: Happened::NOTHING };
            return self.put_new(waiting, is_gated);
        };
        waiting.info = info;
        match place {
            _ if is_gated => self.put(waiting, Place::Gated),
            Place::Gated => self.activate(waiting),
            Place::Stuck(_) if helps => self.wake(waiting, true, now),
            // Priority cannot change, so the turn stays what it was.
            place => self.put(waiting, place),
        }
    }

    fn put_new(&mut self, waiting: Waiting, is_gated: bool) {
        if is_gated { self.put(waiting, Place::Gated) } else { self.activate(waiting) }
    }

    /// A pod that waits for nothing any more.
    pub fn remove(&mut self, uid: &str) {
        self.remove_entry(uid);
    }

    /// The pod whose turn it is.
    pub fn next(&mut self, now: Instant) -> Option<Waiting> {
        self.end_pauses(now);
        if self.active.is_empty()
            && let Some((_, uid)) = self.eager.first().cloned()
            && let Some((waiting, _)) = self.remove_entry(&uid)
        {
            self.activate(waiting);
        }
        let turn = self.active.first()?.clone();
        let (mut waiting, _) = self.remove_entry(&turn.3)?;
        waiting.attempts += 1;
        waiting.tried = now;
        Some(waiting)
    }

    /// A pod found no node; `helped_by` is what can change that.
    pub fn stick(&mut self, mut waiting: Waiting, helped_by: Happened, now: Instant) {
        waiting.helped_by = helped_by;
        self.put(waiting, Place::Stuck(now + LONGEST_WAIT));
    }

    /// A pod found a node but something failed on the way: it is tried again after a pause.
    pub fn pause(&mut self, waiting: Waiting, now: Instant) {
        self.wake(waiting, false, now);
    }

    /// Wakes every pod that `happened` can help.
    pub fn tell(&mut self, happened: Happened, now: Instant) {
        if happened == Happened::NOTHING || self.stuck.is_empty() {
            return;
        }
        let can_help = |uid: &&String| self.pods.get(*uid).is_some_and(|(one, _)| one.helped_by.meets(happened));
        let helped: Vec<String> = self.stuck.keys().filter(can_help).cloned().collect();
        for uid in helped {
            if let Some((waiting, _)) = self.remove_entry(&uid) {
                self.wake(waiting, true, now);
            }
        }
    }

    /// When the queue has something to do next without being told.
    pub fn due(&self) -> Option<Instant> {
        let paused = self.backoff.first().map(|(when, _)| *when);
        let stuck = self.stuck.values().min().copied();
        [paused, stuck].into_iter().flatten().min()
    }

    fn end_pauses(&mut self, now: Instant) {
        let over = self.backoff.iter().take_while(|(when, _)| *when <= now).map(|(_, uid)| uid.clone());
        let tired = self.stuck.iter().filter(|(_, until)| **until <= now).map(|(uid, _)| uid.clone());
        let uids: Vec<String> = over.chain(tired).collect();
        for uid in uids {
            if let Some((waiting, _)) = self.remove_entry(&uid) {
                self.activate(waiting);
            }
        }
    }

    /// Into the pause that its attempts deserve, or into its turn if that is over already.
    fn wake(&mut self, waiting: Waiting, is_eager: bool, now: Instant) {
        let pause = match waiting.attempts {
            0 | 1 => Duration::ZERO,
            attempts => (FIRST_PAUSE * (1 << (attempts - 2).min(8))).min(LAST_PAUSE),
        };
        let until = waiting.tried + pause;
        if until <= now { self.activate(waiting) } else { self.put(waiting, Place::Backoff { until, is_eager }) }
    }

    fn activate(&mut self, waiting: Waiting) {
        self.count += 1;
        let turn = (Reverse(waiting.info.priority), waiting.since, self.count, waiting.info.uid().to_string());
        self.put(waiting, Place::Active(turn));
    }

    fn put(&mut self, waiting: Waiting, place: Place) {
        let uid = waiting.info.uid().to_string();
        match &place {
            Place::Active(turn) => drop(self.active.insert(turn.clone())),
            Place::Backoff { until, is_eager } => {
                self.backoff.insert((*until, uid.clone()));
                if *is_eager {
                    self.eager.insert((*until, uid.clone()));
                }
            }
            Place::Stuck(until) => drop(self.stuck.insert(uid.clone(), *until)),
            Place::Gated => {}
        }
        self.pods.insert(uid, (waiting, place));
    }

    fn remove_entry(&mut self, uid: &str) -> Option<(Waiting, Place)> {
        let (waiting, place) = self.pods.remove(uid)?;
        match &place {
            Place::Active(turn) => drop(self.active.remove(turn)),
            Place::Backoff { until, .. } => {
                let key = (*until, uid.to_string());
                self.backoff.remove(&key);
                self.eager.remove(&key);
            }
            Place::Stuck(_) => drop(self.stuck.remove(uid)),
            Place::Gated => {}
        }
        Some((waiting, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, priority: i32) -> Arc<PodInfo> {
        let pod = json!({"metadata": {"name": name, "uid": name}, "spec": {"priority": priority, "containers": []}});
        Arc::new(PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap())))
    }

    fn names(queue: &mut Queue, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| queue.next(now)).map(|waiting| waiting.info.uid().to_string()).collect()
    }

    #[tokio::test]
    async fn priority_goes_before_age() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for (name, priority) in [("old", 0), ("young", 0), ("high", 9)] {
            queue.take(pod(name, priority), false, false, now);
        }
        assert_eq!(names(&mut queue, now), ["high", "old", "young"]);
    }

    #[tokio::test]
    async fn a_stuck_pod_that_was_tried_twice_waits_only_while_others_want_a_turn() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.take(pod("a", 0), false, false, now);
        let waiting = queue.next(now).unwrap();
        queue.stick(waiting, Happened::NODE, now);
        queue.tell(Happened::STORAGE, now + Duration::from_secs(60));
        assert!(queue.next(now + Duration::from_secs(60)).is_none());
        queue.tell(Happened::NODE, now);
        let waiting = queue.next(now).unwrap();
        queue.stick(waiting, Happened::NODE, now);
        queue.tell(Happened::NODE, now);
        queue.take(pod("b", 0), false, false, now);
        assert_eq!(queue.next(now).unwrap().info.uid(), "b");
        let waiting = queue.next(now).unwrap();
        assert_eq!((waiting.info.uid(), waiting.attempts), ("a", 3));
        queue.stick(waiting, Happened::NODE, now);
        assert!(queue.next(now + LONGEST_WAIT).is_some());
    }

    #[tokio::test]
    async fn a_gated_pod_waits_for_its_gates() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.take(pod("a", 0), true, false, now);
        assert!(queue.next(now).is_none());
        queue.take(pod("a", 0), false, true, now);
        assert_eq!(names(&mut queue, now), ["a"]);
    }

    #[tokio::test]
    async fn pauses_double_up_to_a_limit() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.take(pod("a", 0), false, false, now);
        for seconds in [0, 1, 2, 4, 8, 10, 10] {
            let waiting = queue.next(now).unwrap();
            queue.pause(waiting, now);
            assert_eq!(queue.due(), (seconds > 0).then(|| now + Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
        }
        queue.remove("a");
        assert!(queue.next(now).is_none());
    }
}
