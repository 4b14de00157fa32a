//! What is known of every pod of this node, for those who are asked about pods from outside: logs, exec, stats, admission.

use super::pod::parts;
use crate::runtime::State;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// One attempt of a container.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The runtime's id.
    pub id: String,
    pub name: String,
    pub state: State,
    /// The log file on this node.
    pub log: PathBuf,
}

/// One pod as its worker sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub pod: Arc<Pod>,
    /// The newest sandbox, if its namespaces are there.
    pub sandbox: Option<String>,
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
}

/// Every pod that has a worker, by uid.
#[derive(Default)]
pub struct Pods {
    known: RwLock<BTreeMap<String, Arc<Seen>>>,
    /// Those of which the object is gone while something of them may still end.
    gone: RwLock<BTreeSet<String>>,
    /// Told when pods came or went, or have something else of the node than before.
    changed: watch::Sender<()>,
}

impl Pods {
    /// Replaces what is known of a pod.
    pub fn set(&self, seen: Seen) {
        let seen = Arc::new(seen);
        let before = self.known.write().insert(parts::uid(&seen.pod).to_string(), seen.clone());
        let has_same = |before: &Seen| {
            before.is_over == seen.is_over && (Arc::ptr_eq(&before.pod, &seen.pod) || before.pod.spec == seen.pod.spec)
        };
        if !before.is_some_and(|before| has_same(&before)) {
            self.tell();
        }
    }

    /// Notes that a pod's object is gone: it has nothing of the node any more, even if its containers end only now.
    pub fn lose(&self, uid: &str) {
        self.gone.write().insert(uid.to_string());
        self.tell();
    }

    /// Forgets a pod.
    pub fn forget(&self, uid: &str) {
        self.known.write().remove(uid);
        self.gone.write().remove(uid);
        self.tell();
    }

    /// The pods that have something of the node: that have an object and are not over.
    pub fn active(&self) -> Vec<Arc<Seen>> {
        let (known, gone) = (self.known.read(), self.gone.read());
        let has_something = |(uid, seen): &(&String, &Arc<Seen>)| {
            !seen.is_over && !parts::is_terminal(&seen.pod) && !gone.contains(uid.as_str())
        };
        known.iter().filter(has_something).map(|(_, seen)| seen.clone()).collect()
    }

    /// Tells when pods came or went, or have something else of the node than before; from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Tells those who wait for changes to look again.
    pub fn tell(&self) {
        self.changed.send_replace(());
    }

    /// Every pod, by uid.
    pub fn list(&self) -> Vec<Arc<Seen>> {
        self.known.read().values().cloned().collect()
    }

    /// The pod of this name; of several, one that is not over, nor on its way, and the newest.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Seen>> {
        let pods = self.known.read();
        let named =
            pods.values().filter(|one| parts::namespace(&one.pod) == namespace && parts::name(&one.pod) == name);
        let gone = self.gone.read();
        let age = |one: &Arc<Seen>| {
            let meta = &one.pod.metadata;
            let is_going = meta.deletion_timestamp.is_some() || gone.contains(parts::uid(&one.pod));
            (one.is_over, is_going, std::cmp::Reverse(meta.creation_timestamp.as_ref().map(|time| time.0)))
        };
        named.min_by_key(|one| age(one)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(uid: &str, created: &str, deleted: Option<&str>) -> Seen {
        let metadata = json!({"name": "web", "namespace": "default", "uid": uid, "creationTimestamp": created,
            "deletionTimestamp": deleted});
        let pod = serde_json::from_value(json!({"metadata": metadata, "spec": {"containers": []}})).unwrap();
        Seen { pod: Arc::new(pod), sandbox: None, attempts: Vec::new(), is_over: false }
    }

    #[test]
    fn a_name_means_the_pod_that_has_it_now_not_one_that_is_ending() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z");
        let found = |pods: &Pods| parts::uid(&pods.get("default", "web").unwrap().pod).to_string();
        for ids in [["a", "b"], ["b", "a"]] {
            let pods = Pods::default();
            pods.set(seen(ids[0], early, Some(early)));
            pods.set(seen(ids[1], early, None));
            assert_eq!(found(&pods), ids[1], "made again within the same second");
            let pods = Pods::default();
            pods.set(seen(ids[0], early, None));
            pods.set(seen(ids[1], late, None));
            assert_eq!(found(&pods), ids[1], "the newest");
            pods.lose(ids[1]);
            assert_eq!(found(&pods), ids[0], "one without an object is on its way");
        }
    }
}
