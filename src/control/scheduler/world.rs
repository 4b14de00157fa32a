//! The world as the scheduler sees it: nodes with the pods on them, and what pods need to know beyond nodes.

use super::Happened;
use super::labels::Labels;
use super::pod::{self, PodInfo};
use super::resources::Resources;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One node and the pods on it.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    pub node: Arc<Node>,
    /// What it offers to pods.
    pub offered: Resources,
    /// By unique id.
    pub pods: BTreeMap<String, Arc<PodInfo>>,
    /// What these ask for together.
    pub asked: Resources,
    /// What they count as when nodes are compared.
    pub weight: Resources,
}

impl NodeInfo {
    /// A node that nothing is on.
    pub fn new(node: Arc<Node>) -> Self {
        let offered = Resources::read(node.status.as_ref().and_then(|status| status.allocatable.as_ref()));
        let (asked, weight) = (Resources::default(), Resources::default());
        Self { node, offered, pods: BTreeMap::new(), asked, weight }
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        self.node.metadata.name.as_deref().unwrap_or_default()
    }

    /// A label of the node.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.node.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// Puts a pod on it.
    pub fn add(&mut self, info: Arc<PodInfo>) {
        self.asked.add(&info.asked);
        self.weight.add(&info.weight);
        self.pods.insert(info.uid().to_string(), info);
    }

    /// Takes a pod from it.
    pub fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let info = self.pods.remove(uid)?;
        self.asked.subtract(&info.asked);
        self.weight.subtract(&info.weight);
        Some(info)
    }

    fn replace(&mut self, node: Arc<Node>) {
        let mut fresh = Self::new(node);
        std::mem::take(&mut self.pods).into_values().for_each(|info| fresh.add(info));
        *self = fresh;
    }
}

/// A namespace and a name.
pub type Place = (String, String);

/// Everything that a choice is made from.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub nodes: BTreeMap<String, NodeInfo>,
    /// Pods of nodes that are not known (yet), by unique id.
    strays: HashMap<String, (String, Arc<PodInfo>)>,
    /// The node of every pod that has one, by unique id.
    placed: HashMap<String, String>,
    /// Pods that preemption makes room for: unique id to node and pod.
    pub nominated: BTreeMap<String, (String, Arc<PodInfo>)>,
    pub claims: HashMap<Place, Arc<PersistentVolumeClaim>>,
    pub volumes: BTreeMap<String, Arc<PersistentVolume>>,
    pub classes: HashMap<String, Arc<StorageClass>>,
    pub namespaces: HashMap<String, Labels>,
    pub budgets: BTreeMap<Place, Arc<PodDisruptionBudget>>,
    /// Volumes that were chosen for a claim and are being written.
    pub reserved: HashMap<String, Place>,
}

impl World {
    /// A node came or changed; says whether that can help anybody.
    pub fn take_node(&mut self, node: Arc<Node>) -> Happened {
        let name = node.name_any();
        let changed = match self.nodes.get_mut(&name) {
            Some(info) => {
                let matters = offers_otherwise(&info.node, &node);
                info.replace(node);
                matters
            }
            None => {
                self.nodes.insert(name.clone(), NodeInfo::new(node));
                self.take_strays_in(&name);
                true
            }
        };
        if changed { Happened::NODE } else { Happened::NOTHING }
    }

    fn take_strays_in(&mut self, name: &str) {
        let uids: Vec<String> =
            self.strays.iter().filter(|(_, (node, _))| node == name).map(|(uid, _)| uid.clone()).collect();
        for uid in uids {
            if let Some((node, info)) = self.strays.remove(&uid) {
                self.place(info, &node);
            }
        }
    }

    /// A node is gone; its pods are on it until they are gone as well.
    pub fn drop_node(&mut self, name: &str) {
        let Some(info) = self.nodes.remove(name) else { return };
        for (uid, pod) in info.pods {
            self.placed.remove(&uid);
            self.strays.insert(uid, (name.to_string(), pod));
        }
    }

    /// Puts a pod on a node, in place of what was known of it.
    pub fn place(&mut self, info: Arc<PodInfo>, node: &str) {
        let uid = info.uid().to_string();
        self.take_away(&uid);
        self.nominated.remove(&uid);
        match self.nodes.get_mut(node) {
            Some(known) => {
                known.add(info);
                self.placed.insert(uid, node.to_string());
            }
            None => drop(self.strays.insert(uid, (node.to_string(), info))),
        }
    }

    /// Takes a pod from wherever it is; returns it if it was somewhere.
    pub fn take_away(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        if let Some((_, info)) = self.strays.remove(uid) {
            return Some(info);
        }
        let node = self.placed.remove(uid)?;
        self.nodes.get_mut(&node)?.remove(uid)
    }

    /// Whether a pod is on a node, assumed ones included.
    pub fn is_placed(&self, uid: &str) -> bool {
        self.placed.contains_key(uid) || self.strays.contains_key(uid)
    }

    /// A pod that has a node came or changed; says whom that can help.
    pub fn take_placed(&mut self, pod: Arc<Pod>) -> Happened {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let before = self.take_away(&uid);
        if pod::is_over(&pod) {
            self.nominated.remove(&uid);
            return if before.is_some() { Happened::POD_GONE } else { Happened::NOTHING };
        }
        let node = pod::node_of(&pod).to_string();
        let info = Arc::new(PodInfo::new(pod));
        let happened = match &before {
            None => Happened::POD_PLACED,
            Some(before) => difference(before, &info),
        };
        self.place(info, &node);
        happened
    }
}

fn difference(before: &PodInfo, after: &PodInfo) -> Happened {
    let mut happened = Happened::NOTHING;
    if before.pod.metadata.labels != after.pod.metadata.labels || pod::node_of(&before.pod).is_empty() {
        happened = happened.or(Happened::POD_PLACED);
    }
    let asks_less = before.asked.iter().any(|(name, amount)| after.asked.get(name) < amount);
    if asks_less {
        happened = happened.or(Happened::POD_GONE);
    }
    happened
}

/// Whether a node changed in something that a pod may have waited for.
fn offers_otherwise(before: &Node, after: &Node) -> bool {
    let offered = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    before.metadata.labels != after.metadata.labels
        || before.spec.as_ref().map(|spec| (&spec.taints, spec.unschedulable))
            != after.spec.as_ref().map(|spec| (&spec.taints, spec.unschedulable))
        || offered(before) != offered(after)
}
