//! Waiting longer after each failure. Source: client-go `util/flowcontrol/backoff.go` as the kubelet uses it.

use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(10);
const LAST: Duration = Duration::from_secs(300);

/// Delays of one pod, by container (for restarts) or by image (for pulls).
#[derive(Debug, Default)]
pub struct Backoffs(HashMap<String, Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: Duration,
    /// When the last attempt was let through.
    updated: Instant,
}

impl Backoffs {
    /// How long the delay is and how much of it is left, if `key` failed at `failed` and must still wait.
    pub fn wait(&self, key: &str, failed: Instant, now: Instant) -> Option<(Duration, Duration)> {
        let entry = self.0.get(key)?;
        if has_expired(entry, failed) {
            return None;
        }
        let waited = now.saturating_duration_since(failed);
        (waited < entry.delay).then(|| (entry.delay, entry.delay - waited))
    }

    /// Counts a new attempt after a failure at `failed`: the next wait is twice as long.
    pub fn next(&mut self, key: &str, failed: Instant, now: Instant) {
        let entry = self.0.get(key).filter(|entry| !has_expired(entry, failed));
        let delay = entry.map_or(FIRST, |entry| (entry.delay * 2).min(LAST));
        self.0.insert(key.to_string(), Entry { delay, updated: now });
    }

    /// Forgets the failures of `key`.
    pub fn reset(&mut self, key: &str) {
        self.0.remove(key);
    }
}

/// What went well for twice the longest delay starts anew.
fn has_expired(entry: &Entry, failed: Instant) -> bool {
    failed.saturating_duration_since(entry.updated) > LAST * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_then_waits_double() {
        let mut backoffs = Backoffs::default();
        let start = Instant::now();
        assert!(backoffs.wait("web", start, start).is_none());
        backoffs.next("web", start, start);
        for seconds in [10, 20, 40, 80, 160, 300, 300] {
            let (delay, left) = backoffs.wait("web", start, start).unwrap();
            assert_eq!((delay.as_secs(), left.as_secs()), (seconds, seconds));
            assert!(backoffs.wait("web", start, start + delay).is_none());
            backoffs.next("web", start, start);
        }
    }

    #[test]
    fn a_container_that_ran_long_starts_anew() {
        let mut backoffs = Backoffs::default();
        let start = Instant::now();
        backoffs.next("web", start, start);
        let failed = start + LAST * 2 + Duration::from_secs(1);
        assert!(backoffs.wait("web", failed, failed).is_none());
    }
}
