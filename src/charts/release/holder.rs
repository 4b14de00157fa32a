//! Who works on a release: so that one that was left half done is told from one that is being worked on.
//!
//! A pending release carries an annotation with its worker and a time up to which the worker promises to be alive; it is
//! renewed while the work goes on. On the same machine the process itself is looked for. Helm writes no such annotation:
//! a pending release without one is taken as being worked on, as Helm does.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a promise lasts.
const PROMISE: SignedDuration = SignedDuration::from_secs(30);
/// How often it is renewed.
pub const RENEW: Duration = Duration::from_secs(10);

/// A process that works on a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// What machine and which numbering of processes: boot id and pid namespace.
    place: String,
    pid: u32,
    /// When the process started, in the kernel's ticks: numbers of processes are used again.
    started: String,
    until: Timestamp,
}

impl Holder {
    /// This process, with a promise from now on, as text.
    pub fn me() -> String {
        let holder = Self {
            place: place(),
            pid: std::process::id(),
            started: started("self"),
            until: Timestamp::now() + PROMISE,
        };
        // A struct of texts and numbers is always JSON.
        serde_json::to_string(&holder).unwrap_or_default()
    }

    /// Whether a text names this process.
    pub fn is_me(text: &str) -> bool {
        let is_me =
            |holder: Self| (holder.pid, holder.place, holder.started) == (std::process::id(), place(), started("self"));
        serde_json::from_str(text).is_ok_and(is_me)
    }

    /// Whether the worker that a text names may still be at work.
    pub fn is_at_work(text: &str) -> bool {
        let Ok(holder) = serde_json::from_str::<Holder>(text) else { return true };
        holder.is_alive(&place(), &started(&holder.pid.to_string()), Timestamp::now())
    }

    fn is_alive(&self, here: &str, started: &str, now: Timestamp) -> bool {
        if !here.is_empty() && self.place == here {
            return !started.is_empty() && self.started == started;
        }
        self.until > now
    }
}

/// Empty where the machine does not say.
fn place() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").map(|path| path.display().to_string()).unwrap_or_default();
    if boot.is_empty() || namespace.is_empty() { String::new() } else { format!("{}/{namespace}", boot.trim()) }
}

/// When a process started; empty where there is none.
fn started(process: &str) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name of the program may hold blanks and brackets: fields are counted from its end.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // A dead process that nobody has waited for works no more.
    match fields.split_whitespace().next() {
        Some("Z" | "X") | None => String::new(),
        Some(_) => fields.split_whitespace().nth(19).unwrap_or_default().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_at_work_and_an_ended_one_is_not() {
        let me = Holder::me();
        assert!(Holder::is_at_work(&me) && Holder::is_me(&me));
        let mut other: Holder = serde_json::from_str(&me).unwrap();
        other.started = "1".into();
        let other = serde_json::to_string(&other).unwrap();
        assert!(!Holder::is_at_work(&other) && !Holder::is_me(&other));
    }

    #[test]
    fn a_worker_elsewhere_is_trusted_as_long_as_it_promised() {
        let now = Timestamp::now();
        let far = |until| Holder { place: "far".into(), pid: 1, started: "2".into(), until };
        assert!(far(now + PROMISE).is_alive("here", "2", now));
        assert!(!far(now - PROMISE).is_alive("here", "2", now));
    }

    #[test]
    fn a_text_that_nobody_understands_is_a_worker() {
        assert!(Holder::is_at_work("?"));
    }
}
