//! Rates of counters between two times that somebody asked. Nothing is sampled in between.

use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Shortest time that a rate is taken over, in nanoseconds: what is asked for again sooner gets the same answer.
const SHORTEST: i128 = 1_000_000_000;

/// What was seen last, by a name of the caller's.
#[derive(Default)]
pub struct Rates(Mutex<HashMap<String, Last>>);

#[derive(Clone, Copy)]
struct Last {
    at: Timestamp,
    counter: u64,
    rate: u64,
}

impl Rates {
    /// Nanoseconds of processor time per second. The first answer is the average since `since`.
    pub fn of(&self, name: &str, counter: u64, now: Timestamp, since: Option<Timestamp>) -> u64 {
        let mut all = self.0.lock();
        let over = |counter: u64, from: Timestamp| {
            let nanoseconds = (now.as_nanosecond() - from.as_nanosecond()).max(1);
            u64::try_from(i128::from(counter) * 1_000_000_000 / nanoseconds).unwrap_or(0)
        };
        let rate = match all.get(name) {
            Some(last) if now.as_nanosecond() - last.at.as_nanosecond() < SHORTEST => return last.rate,
            Some(last) if last.counter <= counter => over(counter - last.counter, last.at),
            _ => since.map_or(0, |since| over(counter, since)),
        };
        all.insert(name.into(), Last { at: now, counter, rate });
        rate
    }

    /// Forgets what was not asked for now.
    pub fn keep(&self, now: Timestamp) {
        const AGE: i128 = 600 * 1_000_000_000;
        self.0.lock().retain(|_, last| now.as_nanosecond() - last.at.as_nanosecond() < AGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn a_rate_is_over_the_time_since_it_was_asked_for_before() {
        let rates = Rates::default();
        assert_eq!(rates.of("a", 10_000_000_000, at(100), Some(at(0))), 100_000_000, "the average of its life");
        assert_eq!(rates.of("a", 10_000_000_001, at(100), Some(at(0))), 100_000_000, "too soon");
        assert_eq!(rates.of("a", 15_000_000_000, at(110), Some(at(0))), 500_000_000);
        assert_eq!(
            rates.of("a", 1_000_000_000, at(120), Some(at(119))),
            1_000_000_000,
            "counts from the beginning again"
        );
        rates.keep(at(10_000));
        assert!(rates.0.lock().is_empty());
    }
}
