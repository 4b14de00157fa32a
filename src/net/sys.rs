//! Work in another network namespace, on a thread of its own: a namespace belongs to a thread, and a thread of the runtime
//! must not keep one.

use super::Error;
use rustix::thread::LinkNameSpaceType;
use std::fs::File;
use std::os::fd::AsFd;
use tokio::sync::oneshot;

/// Runs `work` on a new thread in the network namespace `namespace`, with a runtime of its own.
pub async fn inside<T, F>(namespace: File, work: impl FnOnce() -> F + Send + 'static) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>>,
{
    let (sender, receiver) = oneshot::channel();
    let run = move || -> Result<T, Error> {
        let entered = rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
        entered.map_err(|error| Error::io("cannot enter the pod's network")(error.into()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(Error::io("cannot work in the pod's network"))?.block_on(work())
    };
    let spawned = std::thread::Builder::new().name("pod-network".into()).spawn(move || {
        // The caller may have given up.
        sender.send(run()).ok();
    });
    spawned.map_err(Error::io("cannot start a thread"))?;
    let gone = |_| Error::io("the thread in the pod's network died")(std::io::ErrorKind::BrokenPipe.into());
    receiver.await.map_err(gone)?
}

#[cfg(test)]
pub mod test {
    //! Networks of the tests' own.

    use rustix::thread::{UnshareFlags, unshare_unsafe};
    use std::fs::File;

    /// A new, empty network namespace; nothing without the rights to make one.
    pub fn new_network() -> Option<File> {
        let make = || {
            // SAFETY: a network namespace is all that is left, and only by this thread.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.ok()?;
            File::open("/proc/thread-self/ns/net").ok()
        };
        let made = std::thread::spawn(make).join().unwrap();
        if made.is_none() {
            println!("skipped: no right to make a network namespace");
        }
        made
    }
}
