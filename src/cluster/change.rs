//! Changing a cluster that exists: what differs from what is wanted, and making it so, at once where that is possible.
//!
//! The profile says how a node runs. What a running node can only have when it starts again is wanted beside it, in a file of
//! its own, until the node has ended: [`Cluster::settle`] makes that the profile.

use super::life::{Cluster, Error};
use crate::base::atomic;
use crate::config::{Change, Effect, Profile, Wanted};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What has become of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It holds.
    Now,
    /// It holds when the node starts again.
    AtStart,
}

/// What is changed in a node that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parts {
    limits: bool,
    mounts: bool,
    forwarder: bool,
    server: bool,
}

impl Parts {
    fn of(changes: &[Change]) -> Self {
        let any = |keys: &[&str]| changes.iter().any(|change| keys.contains(&change.key));
        let limits = any(&["cpus", "memory"]);
        Self {
            limits,
            mounts: any(&["mounts"]),
            forwarder: any(&["ports", "listen-address", "names-port"]),
            // The node object tells limits as they were when the server began.
            server: limits
                || changes.iter().any(|change| change.effect == Effect::Restart && !OF_NODE.contains(&change.key)),
        }
    }
}

/// The settings of [`OfNode`].
const OF_NODE: &[&str] = &["apiserver-port", "no-kubernetes"];

/// What belongs to the node: the listening socket of the API, and what PID 1 runs. Everything else belongs to the server, which
/// pods outlive, or to what is beside the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OfNode {
    api_port: u16,
    kubernetes: bool,
}

impl OfNode {
    fn of(profile: &Profile) -> Self {
        Self { api_port: profile.api_port, kubernetes: profile.kubernetes }
    }

    fn put(self, profile: Profile) -> Profile {
        Profile { api_port: self.api_port, kubernetes: self.kubernetes, ..profile }
    }
}

impl Cluster {
    /// The profile as wanted, and what differs.
    pub fn difference(&self, wanted: &Wanted) -> Result<(Profile, Vec<Change>), Error> {
        wanted.over(&self.wanted_profile()).map_err(Error::Wanted)
    }

    /// Writes a changed profile and makes a running node like it. What the profile asks to be brought in (images, manifests,
    /// charts, addons) is the caller's. After an error everything is as it was.
    pub async fn change(&mut self, after: Profile, changes: &[Change]) -> Result<Made, Error> {
        if !self.state().await?.is_up() {
            self.profile = after;
            self.forget_wanted();
            self.save()?;
            return Ok(Made::AtStart);
        }
        let wanted = OfNode::of(&after);
        let now = OfNode::of(&self.profile).put(after);
        let before = std::mem::replace(&mut self.profile, now);
        let parts = Parts::of(changes);
        // The forwarder, a process of its own, reads what it is to do.
        self.save()?;
        if let Err(error) = self.make(&before, parts).await {
            let refused = std::mem::replace(&mut self.profile, before);
            self.save()?;
            self.make_back(&refused, parts).await;
            return Err(error);
        }
        match wanted == OfNode::of(&self.profile) {
            true => self.forget_wanted(),
            false => self.note_wanted(wanted)?,
        }
        Ok(if self.waits_for_start().await? { Made::AtStart } else { Made::Now })
    }

    async fn make(&self, before: &Profile, parts: Parts) -> Result<(), Error> {
        if parts.limits {
            self.driver.adjust(&self.machine()?).await?;
        }
        if parts.mounts {
            self.change_mounts(before).await?;
        }
        if parts.forwarder {
            self.restart_forwarder().await?;
        }
        if parts.server {
            self.make_certificates()?;
            self.renew_server().await?;
            self.write_context()?;
        }
        Ok(())
    }

    /// Makes a node like its profile again after a change to `refused` that went halfway. What failed is what is reported.
    async fn make_back(&self, refused: &Profile, parts: Parts) {
        let each = [
            Parts { limits: parts.limits, ..Parts::default() },
            Parts { mounts: parts.mounts, ..Parts::default() },
            Parts { forwarder: parts.forwarder, ..Parts::default() },
            Parts { server: parts.server, ..Parts::default() },
        ];
        for part in each {
            self.make(refused, part).await.ok();
        }
    }

    /// The profile that is wanted, which a node that runs may not have before it starts again.
    pub fn wanted_profile(&self) -> Profile {
        let noted = std::fs::read(self.wanted_file()).ok();
        let noted: Option<OfNode> = noted.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        noted.map_or_else(|| self.profile.clone(), |wanted| wanted.put(self.profile.clone()))
    }

    /// Makes what is wanted the profile, which only a node that does not run can have.
    pub fn settle(&mut self) -> Result<(), Error> {
        if self.wanted_file().exists() {
            self.profile = self.wanted_profile();
            self.save()?;
            self.forget_wanted();
        }
        Ok(())
    }

    /// Whether the node runs with something else than what is wanted, and can have that only when it starts again.
    pub async fn waits_for_start(&self) -> Result<bool, Error> {
        Ok(self.wanted_file().exists() || self.publishes_others().await?)
    }

    /// Whether another socket of the API, or other processes of PID 1, are wanted than the node has.
    pub fn wants_another_node(&self) -> bool {
        self.wanted_file().exists()
    }

    fn note_wanted(&self, wanted: OfNode) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(&wanted).map_err(std::io::Error::from);
        let written = text.and_then(|text| atomic::write(&self.wanted_file(), &text, 0o600));
        written.map_err(Error::io("cannot write the profile that is wanted"))
    }

    fn forget_wanted(&self) {
        // It is there only while the node runs with something else.
        std::fs::remove_file(self.wanted_file()).ok();
    }

    fn wanted_file(&self) -> PathBuf {
        self.home.profile_folder(&self.profile.name).join("wanted.json")
    }

    /// Gives a node that runs the profile as it is now, and its server a new beginning with it; pods run on.
    pub async fn renew_server(&self) -> Result<(), Error> {
        if !self.is_up().await || self.is_paused() {
            return Ok(());
        }
        self.hand_down_profile().await?;
        if !self.profile.kubernetes {
            return Ok(());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Home;

    #[test]
    fn what_holds_at_the_next_start_is_wanted_beside_what_runs() {
        let folder = tempfile::tempdir().unwrap();
        let running = Wanted::named("one").resolve(&[]).unwrap();
        let mut cluster = Cluster::unsaved(&Home::new(folder.path()), running.clone()).unwrap();
        cluster.save().unwrap();
        let mut wanted = Wanted::named("one");
        wanted.set("apiserver-port", vec!["9443".into()]);
        wanted.set("max-pods", vec!["7".into()]);
        let (after, changes) = cluster.difference(&wanted).unwrap();
        assert_eq!(Parts::of(&changes), Parts { server: true, ..Parts::default() });
        let now = OfNode::of(&running).put(after.clone());
        assert_eq!((now.api_port, now.max_pods), (8443, 7));

        cluster.profile = now;
        cluster.note_wanted(OfNode::of(&after)).unwrap();
        assert!(cluster.server_url().ends_with(":8443") && cluster.wants_another_node());
        assert!(cluster.difference(&wanted).unwrap().1.is_empty(), "it is wanted already");
        cluster.settle().unwrap();
        assert!(cluster.server_url().ends_with(":9443") && !cluster.wants_another_node());
        assert_eq!(cluster.home.load("one").unwrap(), Some(after));
    }

    #[test]
    fn other_limits_are_told_by_the_server_too() {
        let mut wanted = Wanted::named("one");
        wanted.set("memory", vec!["4g".into()]);
        let (_, changes) = wanted.over(&Wanted::named("one").resolve(&[]).unwrap()).unwrap();
        assert_eq!(Parts::of(&changes), Parts { limits: true, server: true, ..Parts::default() });
    }
}
