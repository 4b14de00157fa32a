//! A part of a process that is started, becomes ready and is drained.

use super::Shutdown;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

/// What a component reports with when it ends too early.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Told once by a component when others may rely on it. Dropping it unused means that the component failed to start.
pub struct Ready(oneshot::Sender<()>);

impl Ready {
    /// A pair of the side that tells and the side that waits.
    pub fn new() -> (Ready, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Ready(sender), receiver)
    }

    /// Others may rely on this component from now on.
    pub fn tell(self) {
        // Nobody waiting any more is not this component's business.
        self.0.send(()).ok();
    }
}

/// A named part of the server process. `run` ends only when `Shutdown` was asked for, or with an error.
pub struct Component {
    /// What it is called in logs.
    pub name: &'static str,
    /// Starts it and serves until shutdown.
    pub run: Box<dyn FnOnce(Ready, Shutdown) -> BoxFuture<'static, Result<(), Error>> + Send>,
}
