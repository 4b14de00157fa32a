//! Changing a cluster that exists: what differs from what is wanted, and making it so, at once where that is possible.

use super::life::{Cluster, Error};
use crate::config::{Change, Effect, Profile, Wanted};

/// What has become of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It holds.
    Now,
    /// It holds when the node starts again.
    AtStart,
}

impl Cluster {
    /// The profile as wanted, and what differs.
    pub fn difference(&self, wanted: &Wanted) -> Result<(Profile, Vec<Change>), Error> {
        wanted.over(&self.profile).map_err(Error::Wanted)
    }

    /// Writes a changed profile and makes a running node like it. What the profile asks to be brought in (images, manifests,
    /// charts, addons) is the caller's.
    pub async fn change(&mut self, after: Profile, changes: &[Change]) -> Result<Made, Error> {
        let before = std::mem::replace(&mut self.profile, after);
        self.save()?;
        if !self.state().await?.is_up() {
            return Ok(Made::AtStart);
        }
        let is_changed = |key: &str| changes.iter().any(|change| change.key == key);
        if is_changed("cpus") || is_changed("memory") {
            self.driver.adjust(&self.machine()?).await?;
        }
        if is_changed("mounts") {
            self.change_mounts(&before).await?;
        }
        if is_changed("ports") || is_changed("listen-address") || is_changed("names-port") {
            self.restart_forwarder().await?;
        }
        if !changes.iter().any(|change| change.effect == Effect::Restart) {
            return Ok(if self.publishes_others().await? { Made::AtStart } else { Made::Now });
        }
        // The listening socket of the API, and what PID 1 runs, belong to the node; everything else to the server, which pods
        // outlive.
        if is_changed("apiserver-port") || is_changed("no-kubernetes") {
            return Ok(Made::AtStart);
        }
        self.make_certificates()?;
        self.renew_server().await?;
        self.write_context()?;
        Ok(if self.publishes_others().await? { Made::AtStart } else { Made::Now })
    }

    /// Gives a node that runs the profile as it is now, and its server a new beginning with it; pods run on.
    pub async fn renew_server(&self) -> Result<(), Error> {
        if !self.is_up().await || self.is_paused() {
            return Ok(());
        }
        self.hand_down_profile().await?;
        self.restart_server()?;
        super::ready::wait(&self.context()?, &self.profile).await
    }

    /// Writes the profile.
    pub fn save(&self) -> Result<(), Error> {
        self.home.save(&self.profile).map_err(Error::io("cannot write the profile"))
    }

    async fn change_mounts(&self, before: &Profile) -> Result<(), Error> {
        for mount in before.mounts.iter().filter(|mount| !self.profile.mounts.contains(mount)) {
            self.unmount(&mount.target).await?;
        }
        for mount in self.profile.mounts.iter().filter(|mount| !before.mounts.contains(mount)) {
            self.mount(mount).await?;
        }
        Ok(())
    }

    /// The profile as the node's own processes read it.
    pub async fn hand_down_profile(&self) -> Result<(), Error> {
        Ok(self.driver.hand_down(&self.machine()?).await?)
    }

    /// Makes certificates of a running cluster anew that have expired; `false` if none had.
    pub async fn renew_running(&self) -> Result<bool, Error> {
        if !self.is_up().await || self.is_paused() || !crate::pki::is_expired(&self.paths().pki()) {
            return Ok(false);
        }
        self.make_certificates()?;
        self.renew_server().await?;
        self.write_context()?;
        Ok(true)
    }
}
