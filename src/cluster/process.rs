//! Processes of this machine that outlive the command that started them.

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::io;
use std::process::Command;

/// A process, in a way that a re-used pid cannot be mistaken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks after boot.
    pub started: u64,
}

/// Starts a process in a session of its own.
pub fn spawn_apart(command: &mut Command) -> io::Result<Record> {
    use std::os::unix::process::CommandExt;
    let child = command.process_group(0).spawn()?;
    record(child.id()).ok_or_else(|| io::Error::other("it ended at once"))
}

/// The record of a process that runs.
pub fn record(pid: u32) -> Option<Record> {
    start_time(pid).map(|started| Record { pid, started })
}

/// Asks it to end and waits until it has, but not for ever: its ports are free then.
pub fn end_and_wait(record: &Record) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{PidfdFlags, pidfd_open};
    let Some(pid) = Pid::from_raw(record.pid as i32).filter(|_| lives(record)) else { return };
    // It may end at any moment, which is what is wanted.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    end(record);
    let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience)).ok();
}

/// Whether it runs.
pub fn lives(record: &Record) -> bool {
    start_time(record.pid) == Some(record.started)
}

/// Asks it to end, unless it is this process.
pub fn end(record: &Record) {
    if record.pid == std::process::id() || !lives(record) {
        return;
    }
    if let Some(pid) = Pid::from_raw(record.pid as i32) {
        // It may have ended just now, which is what is wanted.
        kill_process(pid, Signal::TERM).ok();
    }
}

fn start_time(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold blanks and brackets; fields are counted behind the last one.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_as_well() {
        let own = Record { pid: std::process::id(), started: start_time(std::process::id()).unwrap() };
        assert!(lives(&own));
        assert!(!lives(&Record { started: own.started + 1, ..own }));
    }
}
