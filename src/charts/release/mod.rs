//! Releases: what a chart became on a cluster, remembered as Helm remembers it, so that both can go on with it.
//!
//! ```text
//!              install                 upgrade, rollback
//! (nothing) ------------> pending-* ----------------------> pending-* of the next revision
//!                          |     |
//!                     done |     | refused, timed out, interrupted
//!                          v     v
//!                     deployed  failed        the one before: superseded
//!                          |     |
//!                          v     v  uninstall
//!                       uninstalling --> (nothing), or uninstalled with --keep-history
//! ```
//!
//! A revision is stored before its first object is made, with its manifest: whatever happens later, `upgrade`, `rollback`
//! and `uninstall` know what may be there. [`Actions`] does all of it; a chart comes in as a [`Source`].

pub mod apart;
mod apply;
pub mod cluster;
pub mod diff;
mod error;
mod holder;
mod hooks;
mod install;
mod list;
pub mod manifest;
mod merge;
mod objects;
mod observer;
mod options;
mod ownership;
pub mod readiness;
mod reasons;
pub mod record;
mod rollback;
pub mod source;
mod status;
mod storage;
mod test;
mod time;
mod uninstall;
mod upgrade;
mod wait;

pub use cluster::Cluster;
pub use error::Error;
pub use list::{List, select};
pub use observer::{Node, Observer, Reason, Silent};
pub use options::{DryRun, Options, Rendered, Request, Reuse, Source, Strategy};
pub use record::{Release, Status};
pub use status::Metadata;
pub use storage::Storage;
pub use test::{Filter, Tested};
pub use time::Time;
pub use uninstall::Uninstalled;

use holder::Holder;
use std::future::Future;
use std::sync::Arc;

/// Everything that can be done with the releases of a namespace.
#[derive(Clone)]
pub struct Actions {
    pub cluster: Arc<Cluster>,
    pub storage: Storage,
    pub observer: Arc<dyn Observer>,
}

impl Actions {
    /// The releases of `cluster`'s namespace; `driver` is the word of `HELM_DRIVER`.
    pub fn new(mut cluster: Cluster, driver: &str, observer: Arc<dyn Observer>) -> Result<Self, Error> {
        cluster.tell(observer.clone());
        let cluster = Arc::new(cluster);
        Ok(Self { storage: Storage::new(cluster.clone(), driver)?, cluster, observer })
    }

    /// Writes a revision that this process works on, or has ended to work on.
    async fn record(&self, release: &Release) -> Result<(), Error> {
        let works = release.info.status.is_pending() || release.info.status == Status::Uninstalling;
        let holder = works.then(Holder::me);
        self.storage.update(release, holder.as_deref()).await
    }

    /// Writes a revision where a failure must not hide another one.
    async fn record_anyway(&self, release: &Release) {
        if let Err(error) = self.record(release).await {
            self.observer.warn(&format!("failed to record the release: {error}"));
        }
    }

    /// Does `work` on a revision and says all the while that somebody does.
    async fn holding<T>(&self, key: &str, work: impl Future<Output = T>) -> T {
        // A server that does not answer to that holds nothing up.
        tokio::select! {
            done = work => done,
            never = self.renew(key) => match never {},
        }
    }

    /// Promises again and again that this process is alive.
    async fn renew(&self, key: &str) -> std::convert::Infallible {
        let mut renew = tokio::time::interval_at(tokio::time::Instant::now() + holder::RENEW, holder::RENEW);
        loop {
            renew.tick().await;
            if let Err(error) = self.storage.hold(key, &Holder::me()).await {
                tracing::debug!(key, %error, "a promise was not renewed");
            }
        }
    }

    /// Marks what this process was doing to a release as failed: the user broke it off. What others do is theirs.
    pub async fn cancelled(&self, name: &str) {
        let Some(mut release) = self.own(name).await else { return };
        let what = if release.info.status == Status::PendingInstall { "Release" } else { "Upgrade" };
        release.set_status(Status::Failed, format!("{what} {name:?} failed: context canceled"));
        self.record_anyway(&release).await;
    }

    /// The newest revision of a release, if this process works on it.
    async fn own(&self, name: &str) -> Option<Release> {
        match self.storage.history(name).await {
            Ok(mut history) => {
                let newest = history.pop().filter(|newest| newest.release.info.status.is_pending())?;
                newest.holder.is_some_and(|holder| Holder::is_me(&holder)).then_some(newest.release)
            }
            Err(Error::NotFound | Error::NoRevision(_)) => None,
            Err(error) => {
                self.observer.warn(&format!("failed to look for the release: {error}"));
                None
            }
        }
    }

    /// The newest revision of a release, or the one that is asked for.
    pub async fn find(&self, name: &str, revision: i64) -> Result<Release, Error> {
        check_name(name).map_err(|_| Error::text(format!("releaseContent: Release name is invalid: {name}")))?;
        match revision {
            0 => self.storage.last(name).await,
            revision => self.storage.get(name, revision).await,
        }
    }

    /// The manifest of what is deployed of a release, or of its newest revision; an error if it was uninstalled.
    pub async fn deployed_manifest(&self, name: &str) -> Result<String, Error> {
        let mut history = self.history(name).await?;
        let deployed = history.iter().rposition(|release| release.info.status == Status::Deployed);
        let Some(newest) = history.last() else { return Err(Error::NotFound) };
        if deployed.is_none() && newest.info.status == Status::Uninstalled {
            return Err(Error::NoDeployed(name.into()));
        }
        let found = deployed.unwrap_or(history.len() - 1);
        Ok(history.swap_remove(found).manifest)
    }

    /// All revisions of a release, oldest first.
    pub async fn history(&self, name: &str) -> Result<Vec<Release>, Error> {
        check_name(name).map_err(|_| Error::text(format!("release name is invalid: {name}")))?;
        Ok(self.storage.history(name).await?.into_iter().map(|held| held.release).collect())
    }
}

/// Whether a release may have this name.
pub fn check_name(name: &str) -> Result<(), Error> {
    let is_word = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        part.bytes().all(|byte| inner(byte) || byte == b'-')
            && part.bytes().next().is_some_and(inner)
            && part.bytes().last().is_some_and(inner)
    };
    if name.is_empty() {
        return Err(Error::text("no name provided"));
    }
    if name.len() > 53 || !name.split('.').all(is_word) {
        return Err(Error::text(
            "invalid release name, must match regex ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the \
             length must not be longer than 53",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_releases_are_names_of_objects_up_to_53_characters() {
        for good in ["a", "a-b", "a.b-c.9", &"a".repeat(53)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a..b", "a_b", &"a".repeat(54)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
