//! What is known of every pod of this node, for those who are asked about pods from outside: logs, exec, stats, admission.

use super::context::Node;
use super::pod::parts;
use crate::runtime::State;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// One attempt of a container.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The runtime's id.
    pub id: String,
    pub name: String,
    /// Counts from 0; the restart count of the newest.
    pub attempt: u32,
    pub state: State,
    /// The log file on this node.
    pub log: PathBuf,
    /// Whether it has an open stdin, and a terminal.
    pub stdin: bool,
    pub tty: bool,
}

/// One pod as its worker sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub pod: Arc<Pod>,
    /// The newest sandbox, if its namespaces are there.
    pub sandbox: Option<String>,
    pub addresses: Vec<IpAddr>,
    /// Every attempt there is, the oldest of each container first.
    pub attempts: Vec<Attempt>,
    /// Nothing of it runs any more, nor ever will.
    pub is_over: bool,
}

impl Seen {
    /// The newest attempt of a container.
    pub fn latest(&self, container: &str) -> Option<&Attempt> {
        self.attempts.iter().rfind(|one| one.name == container)
    }

    /// The attempt before the newest.
    pub fn previous(&self, container: &str) -> Option<&Attempt> {
        self.attempts.iter().rev().filter(|one| one.name == container).nth(1)
    }
}

/// Every pod that has a worker, by uid.
#[derive(Default)]
pub struct Pods(RwLock<BTreeMap<String, Arc<Seen>>>);

impl Pods {
    /// Replaces what is known of a pod.
    pub fn set(&self, seen: Seen) {
        self.0.write().insert(parts::uid(&seen.pod).to_string(), Arc::new(seen));
    }

    /// Forgets a pod.
    pub fn forget(&self, uid: &str) {
        self.0.write().remove(uid);
    }

    /// Every pod, by uid.
    pub fn list(&self) -> Vec<Arc<Seen>> {
        self.0.read().values().cloned().collect()
    }

    /// The pod with this uid.
    pub fn by_uid(&self, uid: &str) -> Option<Arc<Seen>> {
        self.0.read().get(uid).cloned()
    }

    /// The pod of this name; of several, one that is not over.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Seen>> {
        let pods = self.0.read();
        let named =
            pods.values().filter(|one| parts::namespace(&one.pod) == namespace && parts::name(&one.pod) == name);
        named.min_by_key(|one| one.is_over).cloned()
    }
}

impl Node {
    /// The newest attempt of a container, whatever its state.
    pub fn container_of(&self, namespace: &str, pod: &str, container: &str) -> Option<Attempt> {
        self.pods.get(namespace, pod)?.latest(container).cloned()
    }
}
