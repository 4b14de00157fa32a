//! Jumps of the wall clock: it was set, or the machine slept and the clock went on without it.
//!
//! Timers count on a clock that neither is seen by, which is right for patience and wrong for times of day: when the wall clock
//! jumps, whoever waits for such a time looks again at once. The kernel tells, so nothing is polled.

use super::sys;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use tokio::sync::watch;

/// Tells of jumps from when it was made on; a clone tells of those that the original has not told yet.
#[derive(Clone, Debug)]
pub struct Jumps(watch::Receiver<()>);

impl Jumps {
    /// The jumps of this machine's clock. Needs a tokio runtime, and lasts as long as that.
    pub fn watch() -> Self {
        let (sender, receiver) = watch::channel(());
        tokio::spawn(async move {
            if let Err(error) = tell(&sender).await {
                // Everything still comes about, at the time at which the timers were set to.
                tracing::warn!(%error, "jumps of the clock are not noticed");
            }
        });
        Self(receiver)
    }

    /// Jumps that a test makes, or none once the sender is gone.
    pub fn of(receiver: watch::Receiver<()>) -> Self {
        Self(receiver)
    }

    /// Waits for the next jump. May be cancelled.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Tells of every jump for as long as somebody listens.
async fn tell(jumps: &watch::Sender<()>) -> io::Result<()> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = sys::watch(timerfd_create(TimerfdClockId::Realtime, flags)?)?;
    arm(timer.get_ref())?;
    loop {
        let mut ready = tokio::select! {
            ready = timer.readable() => ready?,
            () = jumps.closed() => return Ok(()),
        };
        match rustix::io::read(timer.get_ref(), &mut [0; 8]) {
            Err(Errno::CANCELED) => {
                arm(timer.get_ref())?;
                jumps.send_replace(());
            }
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.clear_ready();
    }
}

/// A timer for the end of time; what ends it earlier is that the clock was set.
fn arm(timer: &OwnedFd) -> io::Result<()> {
    let never = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };
    let when = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &when)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_takes_the_timer_and_nothing_is_told_while_the_clock_goes_on() {
        let (sender, receiver) = watch::channel(());
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK).unwrap();
        arm(&timer).unwrap();
        assert_eq!(rustix::io::read(&timer, &mut [0; 8]), Err(Errno::AGAIN));
        let mut jumps = Jumps::of(receiver);
        let nothing = tokio::time::timeout(std::time::Duration::from_millis(1), jumps.next());
        assert!(nothing.await.is_err());
        sender.send_replace(());
        jumps.next().await;
    }
}
