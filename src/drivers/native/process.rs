//! Processes of this machine that are a node's first, as `/proc` and the kernel's descriptors of processes tell of them.

use super::sys::watch;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long an end that has begun may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The flags `PF_EXITING` and `PF_SIGNALED` of a process (`linux/sched.h`): it ends, and it is about to by a signal.
const ENDING: u32 = 0x4 | 0x400;
/// Signal 9 in a set of signals.
const KILL: u64 = 1 << 8;

/// What `/proc/PID/stat` tells of a process.
#[derive(Debug, PartialEq)]
pub struct Stat {
    /// When it started, in ticks since the machine did.
    pub started: u64,
    /// Whether it was killed or has ended, but for the last of its duties: PID 1 of a node waits then until all others of the
    /// node have. On a busy machine one that was killed is not even at its end's begin for a while.
    pub is_ending: bool,
}

impl Stat {
    /// Of a process, if it is there.
    pub fn of(pid: u32) -> Option<Self> {
        Self::read(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn read(text: &str) -> Option<Self> {
        // The name in brackets may hold blanks and brackets; fields are counted behind the last one.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let (flags, started, pending) = (number(6)?, number(19)?, number(28)?);
        let is_ending = fields[0] == "Z" || flags & u64::from(ENDING) != 0 || pending & KILL != 0;
        Some(Self { started, is_ending })
    }
}

/// Whether a process is there and about to end.
pub fn is_ending(pid: u32) -> bool {
    Stat::of(pid).is_some_and(|stat| stat.is_ending)
}

/// Waits until a process that is about to end has ended, but not for ever. One that is not about to is not waited for.
pub async fn ended(pid: u32) {
    if is_ending(pid) {
        // It may be gone at any moment, which is what is wanted.
        tokio::time::timeout(PATIENCE, end_of(pid)).await.ok();
    }
}

/// Waits for the end of a process; for ever where that cannot be seen, as for 0, which is none of this machine.
pub async fn end_of(pid: u32) {
    let seen = match open(pid) {
        Ok(Some(process)) => wait(process).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if seen.is_err() {
        std::future::pending().await
    }
}

async fn wait(process: OwnedFd) -> io::Result<()> {
    watch(process)?.readable().await.map(drop)
}

/// A descriptor of a process, nothing if it has ended and nobody's zombie it is.
fn open(pid: u32) -> io::Result<Option<OwnedFd>> {
    let pid = Pid::from_raw(pid as i32).ok_or(io::ErrorKind::InvalidInput)?;
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => Ok(Some(process)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Asks a process to end, and kills it if it does not within so many seconds.
pub async fn end(pid: u32, patience: Duration) -> io::Result<()> {
    let Some(process) = open(pid)? else { return Ok(()) };
    // A process that has just ended cannot be signalled, which is what is wanted.
    pidfd_send_signal(&process, Signal::TERM).ok();
    let process = watch(process)?;
    if tokio::time::timeout(patience, process.readable()).await.is_err() {
        pidfd_send_signal(&process, Signal::KILL).ok();
        process.readable().await?.retain_ready();
    }
    Ok(())
}

/// Kills processes, and waits until they have ended, but not for ever. It blocks.
pub fn kill_all(pids: &[i32]) {
    let processes: Vec<_> = pids.iter().filter_map(|pid| open(*pid as u32).ok()?).collect();
    for process in &processes {
        pidfd_send_signal(process, Signal::KILL).ok();
    }
    processes.iter().for_each(await_end);
}

/// Waits until a process has ended, but not for ever. It blocks.
pub fn await_end_of(pid: u32) {
    if let Ok(Some(process)) = open(pid) {
        await_end(&process);
    }
}

fn await_end(process: &OwnedFd) {
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&patience)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::{Child, Command, Stdio};

    fn stat(state: &str, flags: u32, pending: u32) -> Option<Stat> {
        let text = format!(
            "7 (a) b) {state} 1 7 7 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9 9 1 1 0 0 0 {pending} 0 0 0"
        );
        Stat::read(&text)
    }

    fn sleeping() -> Child {
        Command::new("sleep").arg("1000").spawn().unwrap()
    }

    #[test]
    fn who_was_killed_is_about_to_end_before_it_is_told() {
        let told = |state, flags, pending| stat(state, flags, pending).map(|stat| (stat.started, stat.is_ending));
        assert_eq!(told("S", 0x40_0000, 0), Some((4711, false)));
        assert_eq!(told("R", 0x40_0000, 256), Some((4711, true)), "it was killed and has not run since");
        assert_eq!(told("R", 0x40_0400, 0), Some((4711, true)), "the kernel is at it");
        assert_eq!(told("D", 0x40_0004, 0), Some((4711, true)), "it waits for its children");
        assert_eq!(told("Z", 0, 0), Some((4711, true)));
        assert_eq!(told("S", 0, 1 << 14), Some((4711, false)), "it was asked to end, and may do so or not");
        assert_eq!(Stat::read("7 (a"), None);
        assert!(!is_ending(std::process::id()));
    }

    #[tokio::test]
    async fn an_end_is_seen_and_none_is_seen_of_no_process() {
        let mut child = sleeping();
        let mut end = std::pin::pin!(end_of(child.id()));
        assert!(futures::poll!(&mut end).is_pending());
        child.kill().unwrap();
        end.await;
        let pid = child.id();
        child.wait().unwrap();
        end_of(pid).await;
        assert!(futures::poll!(std::pin::pin!(end_of(0))).is_pending());
    }

    #[tokio::test]
    async fn who_does_not_end_when_asked_is_killed() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ready = child.stdout.as_mut().unwrap().read(&mut [0]).unwrap();
        assert_eq!(ready, 1);
        end(child.id(), Duration::from_millis(1)).await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9));
    }
}
