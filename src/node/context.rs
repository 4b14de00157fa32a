//! What every part of the node agent is given.

use super::border::{Images, Links};
use super::machine::Machine;
use super::objects::Objects;
use super::pods::Pods;
use super::pressure::Pressure;
use crate::base::Jumps;
use crate::client::{Caches, Client, Recorder};
use crate::config::{NodePaths, Profile};
use crate::runtime::Runtime;
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// The node and its neighbours.
pub struct Node {
    /// Name of the Node object.
    pub name: String,
    pub client: Client,
    /// Whole kinds: services, volumes and claims.
    pub caches: Caches,
    /// Single objects that pods refer to.
    pub objects: Objects,
    /// The pods of this node as their workers see them.
    pub pods: Pods,
    /// What the node is short of.
    pub pressure: Pressure,
    pub profile: Profile,
    pub paths: NodePaths,
    pub machine: Machine,
    pub runtime: Arc<dyn Runtime>,
    pub images: Arc<dyn Images>,
    pub links: Arc<dyn Links>,
    pub events: Recorder,
    /// Tells when the clock was set or the machine slept.
    pub jumps: Jumps,
    /// Names of those who work through clients of the server's process, for example `system:kube-scheduler`.
    pub parts: watch::Receiver<Vec<String>>,
    /// When the server's process began.
    pub begun: Timestamp,
    /// Told when the list of images, or what the node is short of, changed.
    pub images_changed: Arc<Notify>,
}

impl Node {
    /// Folder of a pod on this node: volumes, hosts file, termination messages.
    pub fn pod_folder(&self, uid: &str) -> std::path::PathBuf {
        self.paths.pods().join(uid)
    }

    /// Folder of a pod's volumes whose content is kept in memory.
    pub fn memory_folder(&self, uid: &str) -> std::path::PathBuf {
        self.paths.memory_volumes().join(uid)
    }
}
