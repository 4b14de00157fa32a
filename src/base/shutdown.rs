//! Shutdown is an argument: a token that is passed down and can be waited for.

use tokio::sync::watch;

/// The receiving side: cloned into every task that must end in order.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// The sending side; dropping it asks for shutdown as well.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

impl Shutdown {
    /// A pair of the side that asks and the side that waits.
    pub fn new() -> (Trigger, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (Trigger(sender), Shutdown(receiver))
    }

    /// Waits until shutdown was asked for.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        // An error means that the trigger is gone, which asks for shutdown as well.
        while !*receiver.borrow_and_update() {
            if receiver.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether shutdown was asked for.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

impl Trigger {
    /// Asks everybody who holds the other side to end.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asking_wakes_every_waiter() {
        let (trigger, shutdown) = Shutdown::new();
        let other = shutdown.clone();
        trigger.ask();
        shutdown.wait().await;
        other.wait().await;
        assert!(other.is_asked());
    }

    #[tokio::test]
    async fn dropping_the_trigger_asks_too() {
        let (trigger, shutdown) = Shutdown::new();
        drop(trigger);
        shutdown.wait().await;
        assert!(shutdown.is_asked());
    }
}
