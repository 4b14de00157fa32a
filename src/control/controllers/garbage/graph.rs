//! Who owns whom, of all objects of all kinds. Pure: changes in, keys (uids) of the objects to look at out.
//!
//! ```text
//! an owner that goes                 its dependents are looked at
//! an owner held by `foregroundDeletion`   its dependents, and itself each time one of them goes
//! an owner held by `orphan`          itself: it lets its dependents go
//! a dependent of somebody unknown    itself: its owner may be absent
//! ```
//!
//! Source of the rules: kubernetes `pkg/controller/garbagecollector/graph_builder.go`.

use super::slim::Slim;
use crate::control::controllers::discovery::Served;
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The finalizer of an owner that goes after its dependents.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an owner whose dependents are to stay.
pub const ORPHAN: &str = "orphan";
/// Uids that are remembered as gone.
const REMEMBERED: usize = 10_000;

/// An object.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Arc<Served>,
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub owners: Vec<OwnerReference>,
    pub terminating: bool,
    pub foreground: bool,
    pub orphan: bool,
}

impl Node {
    fn of(kind: &Arc<Served>, object: &Slim) -> Self {
        let meta = &object.metadata;
        let has = |finalizer: &str| meta.finalizers.iter().flatten().any(|own| own == finalizer);
        Self {
            kind: kind.clone(),
            namespace: meta.namespace.as_deref().unwrap_or_default().into(),
            name: meta.name.as_deref().unwrap_or_default().into(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            terminating: meta.deletion_timestamp.is_some(),
            foreground: has(FOREGROUND),
            orphan: has(ORPHAN),
        }
    }

    /// Whether it waits for its dependents to go.
    pub fn deletes_dependents(&self) -> bool {
        self.terminating && self.foreground
    }

    /// Whether it waits for its dependents to be let go.
    pub fn lets_go(&self) -> bool {
        self.terminating && self.orphan
    }

    /// Whether an owner reference of an object in `namespace` can mean this object.
    pub fn is_meant(&self, reference: &OwnerReference, namespace: &str) -> bool {
        let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
        let is_reachable = !self.kind.namespaced || *self.namespace == *namespace;
        is_reachable
            && *self.name == *reference.name
            && self.kind.resource.kind == reference.kind
            && self.kind.resource.group == group
    }
}

/// All of them.
#[derive(Default)]
pub struct Graph {
    nodes: HashMap<String, Node>,
    /// Uids of dependents by the uid of an owner that they name, be it there or not.
    dependents: HashMap<String, HashSet<String>>,
    /// Uids that were seen to go: no object gets them again.
    gone: HashSet<String>,
    /// Who is told of the namespaces in which objects go.
    watchers: Vec<UnboundedSender<String>>,
}

impl Graph {
    /// The object of a uid.
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// Whether the object of a uid was seen to go.
    pub fn is_gone(&self, uid: &str) -> bool {
        self.gone.contains(uid)
    }

    /// The objects that name `owner`.
    pub fn dependents(&self, owner: &str) -> Vec<(String, Node)> {
        let uids = self.dependents.get(owner).into_iter().flatten();
        uids.filter_map(|uid| Some((uid.clone(), self.nodes.get(uid)?.clone()))).collect()
    }

    /// An object was made or changed. Returns the uids to look at.
    pub fn apply(&mut self, kind: &Arc<Served>, object: &Slim) -> Vec<String> {
        let Some(uid) = object.metadata.uid.clone() else { return Vec::new() };
        let new = Node::of(kind, object);
        let old = self.nodes.insert(uid.clone(), new.clone());
        let before = old.as_ref().map_or(&[][..], |old| &old.owners);
        let mut look = Vec::new();
        if before != new.owners {
            self.relate(&uid, before, &new.owners);
            let waits = |owner: &&OwnerReference| self.nodes.get(&owner.uid).is_some_and(Node::deletes_dependents);
            look.extend(before.iter().filter(waits).map(|owner| owner.uid.clone()));
            if new.owners.iter().any(|owner| self.is_doubtful(owner, &new)) {
                look.push(uid.clone());
            }
        }
        let was = |is: fn(&Node) -> bool| old.as_ref().is_some_and(is);
        if new.lets_go() && !was(Node::lets_go) {
            look.push(uid.clone());
        }
        if new.deletes_dependents() && !was(Node::deletes_dependents) {
            look.extend(self.dependents.get(&uid).into_iter().flatten().cloned());
            // Owners wait for those that themselves wait: their circle can only be broken by a look at each.
            look.push(uid);
        }
        look
    }

    /// Whether an owner has to be asked for, or is about to take its dependents along.
    fn is_doubtful(&self, owner: &OwnerReference, dependent: &Node) -> bool {
        self.nodes
            .get(&owner.uid)
            .is_none_or(|node| node.deletes_dependents() || !node.is_meant(owner, &dependent.namespace))
    }

    fn relate(&mut self, uid: &str, before: &[OwnerReference], after: &[OwnerReference]) {
        for owner in before {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        for owner in after {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.to_string());
        }
    }

    /// An object is gone. Returns the uids to look at: its dependents, and owners that wait for it.
    pub fn remove(&mut self, uid: &str) -> Vec<String> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        self.announce(&node.namespace);
        self.relate(uid, &node.owners, &[]);
        if self.gone.len() >= REMEMBERED {
            self.gone.clear();
        }
        self.gone.insert(uid.to_string());
        let mut look: Vec<String> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        let waits = |owner: &&OwnerReference| self.nodes.get(&owner.uid).is_some_and(Node::deletes_dependents);
        look.extend(node.owners.iter().filter(waits).map(|owner| owner.uid.clone()));
        look
    }

    /// Tells `watcher` from now on in which namespaces objects go.
    pub fn watch(&mut self, watcher: UnboundedSender<String>) {
        self.watchers.push(watcher);
    }

    fn announce(&mut self, namespace: &str) {
        self.watchers.retain(|watcher| watcher.unbounded_send(namespace.to_string()).is_ok());
    }

    /// How many objects of a resource a namespace has.
    pub fn count(&self, group: &str, resource: &str, namespace: &str) -> usize {
        let is_meant = |node: &&Node| {
            let kind = &node.kind.resource;
            *node.namespace == *namespace && kind.plural == resource && kind.group == group
        };
        self.nodes.values().filter(is_meant).count()
    }

    /// The uids of a kind.
    pub fn of_kind(&self, kind: &Served) -> HashSet<String> {
        let is_kind = |node: &Node| *node.kind == *kind;
        self.nodes.iter().filter(|(_, node)| is_kind(node)).map(|(uid, _)| uid.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::api::ApiResource;
    use serde_json::{Value, json};

    fn pods() -> Arc<Served> {
        let resource = ApiResource {
            group: String::new(),
            version: "v1".into(),
            api_version: "v1".into(),
            kind: "Pod".into(),
            plural: "pods".into(),
        };
        Arc::new(Served { resource, namespaced: true, verbs: Vec::new() })
    }

    fn object(name: &str, owner: Option<&str>, more: Value) -> Slim {
        let owners: Vec<Value> = owner
            .map(|owner| json!({"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": owner}))
            .into_iter()
            .collect();
        let mut value = json!({"metadata": {"name": name, "namespace": "one", "uid": name, "ownerReferences": owners}});
        value["metadata"].as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_known_owner_needs_no_look_and_an_unknown_one_does() {
        let mut graph = Graph::default();
        assert!(graph.apply(&pods(), &object("a", None, json!({}))).is_empty());
        assert!(graph.apply(&pods(), &object("b", Some("a"), json!({}))).is_empty());
        assert_eq!(graph.apply(&pods(), &object("c", Some("nobody"), json!({}))), ["c"]);
        let elsewhere = object("d", Some("a"), json!({"namespace": "two"}));
        assert_eq!(graph.apply(&pods(), &elsewhere), ["d"]);
    }

    #[test]
    fn dependents_are_looked_at_when_their_owner_goes() {
        let mut graph = Graph::default();
        graph.apply(&pods(), &object("a", None, json!({})));
        graph.apply(&pods(), &object("b", Some("a"), json!({})));
        assert_eq!(graph.remove("a"), ["b"]);
        assert!(graph.is_gone("a"));
        assert_eq!(graph.remove("b"), Vec::<String>::new());
    }

    #[test]
    fn an_owner_in_foreground_deletion_is_looked_at_when_a_dependent_goes() {
        let mut graph = Graph::default();
        graph.apply(&pods(), &object("a", None, json!({})));
        graph.apply(&pods(), &object("b", Some("a"), json!({})));
        let going = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]});
        assert_eq!(graph.apply(&pods(), &object("a", None, going.clone())), ["b", "a"]);
        assert!(graph.apply(&pods(), &object("a", None, going)).is_empty());
        assert_eq!(graph.remove("b"), ["a"]);
    }
}
