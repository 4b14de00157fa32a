//! Roles and bindings as they are in the store, arranged for the question that every request asks.
//!
//! Nothing runs beside the requests: whoever asks first after a change takes the change in. So a binding counts as soon as
//! its creation was answered.

use super::rule::Rule;
use crate::api::selector::Selector;
use crate::control::server::Identity;
use crate::control::store::{self, Entry, Happened, Store, Watch};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
/// Names of the four resources in the store.
const RESOURCES: [&str; 4] = [
    "rbac.authorization.k8s.io/clusterroles",
    "rbac.authorization.k8s.io/roles",
    "rbac.authorization.k8s.io/clusterrolebindings",
    "rbac.authorization.k8s.io/rolebindings",
];

/// A namespace (empty for the cluster) and a name.
type Place = (String, String);

/// A role that a binding names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct RoleRef {
    pub kind: String,
    pub name: String,
}

#[derive(Deserialize)]
struct Role {
    metadata: Metadata,
    #[serde(default)]
    rules: Option<Vec<Rule>>,
    #[serde(default, rename = "aggregationRule")]
    aggregation: Option<Aggregation>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct Aggregation {
    #[serde(default, rename = "clusterRoleSelectors")]
    selectors: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Binding {
    #[serde(rename = "roleRef", default)]
    role: RoleRef,
    #[serde(default)]
    subjects: Option<Vec<Subject>>,
}

#[derive(Deserialize)]
struct Subject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

/// A role given to somebody.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Where it counts: a namespace, or everywhere when empty.
    pub namespace: String,
    /// The binding's name.
    pub binding: String,
    pub role: RoleRef,
    pub rules: Arc<[Rule]>,
}

/// Who has which roles.
#[derive(Default)]
pub struct Index {
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
    roles: HashMap<(RoleRef, String), Arc<[Rule]>>,
}

impl Index {
    /// Everything that a user was given, itself or through a group, that counts in a namespace.
    pub fn grants<'a>(&'a self, user: &'a Identity, namespace: &'a str) -> impl Iterator<Item = (&'a Grant, Who<'a>)> {
        let own = self.users.get(&user.name).into_iter().flatten().map(|grant| (grant, Who::User(&user.name)));
        let groups = user.groups.iter().flat_map(|group| {
            self.groups.get(group).into_iter().flatten().map(move |grant| (grant, Who::Group(group)))
        });
        own.chain(groups).filter(move |(grant, _)| grant.namespace.is_empty() || grant.namespace == namespace)
    }

    /// The rules of a role; of a `Role` in a namespace.
    pub fn rules(&self, role: &RoleRef, namespace: &str) -> Option<&Arc<[Rule]>> {
        let namespace = if role.kind == "Role" { namespace } else { "" };
        self.roles.get(&(role.clone(), namespace.to_string()))
    }
}

/// Through whom a user has a role.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    User(&'a str),
    Group(&'a str),
}

/// Roles and bindings as they were read, kept up to date.
pub struct Follower {
    store: Store,
    watches: Vec<Watch>,
    cluster_roles: BTreeMap<Place, Role>,
    roles: BTreeMap<Place, Role>,
    cluster_bindings: BTreeMap<Place, Binding>,
    bindings: BTreeMap<Place, Binding>,
}

impl Follower {
    /// Reads everything.
    pub fn new(store: Store) -> Self {
        let mut new = Self {
            store,
            watches: Vec::new(),
            cluster_roles: BTreeMap::new(),
            roles: BTreeMap::new(),
            cluster_bindings: BTreeMap::new(),
            bindings: BTreeMap::new(),
        };
        new.read_all();
        new
    }

    /// Whether something may have changed.
    pub fn is_behind(&self) -> bool {
        self.watches.len() < RESOURCES.len() || self.watches.iter().any(Watch::is_behind)
    }

    /// Takes in what changed.
    pub fn catch_up(&mut self) {
        if self.watches.len() < RESOURCES.len() {
            return self.read_all();
        }
        for at in 0..RESOURCES.len() {
            match self.watches[at].ready() {
                Ok(events) => {
                    for event in events {
                        self.apply(at, &event.entry, event.happened == Happened::Deleted);
                    }
                }
                // Nobody asked for so long that the store forgot what happened meanwhile.
                Err(store::Error::Expired { .. }) => return self.read_all(),
                Err(error) => tracing::warn!(%error, "cannot follow roles and bindings"),
            }
        }
    }

    fn read_all(&mut self) {
        self.cluster_roles.clear();
        self.roles.clear();
        self.cluster_bindings.clear();
        self.bindings.clear();
        self.watches.clear();
        for (at, resource) in RESOURCES.iter().enumerate() {
            let read = self.store.list(resource, None, None).and_then(|listing| {
                let watch = self.store.watch(resource, listing.revision)?;
                Ok((listing, watch))
            });
            match read {
                Ok((listing, watch)) => {
                    self.watches.push(watch);
                    listing.entries.iter().for_each(|entry| self.apply(at, entry, false));
                }
                Err(error) => {
                    // The watches stay incomplete, so the next request tries again; until then less is allowed.
                    tracing::warn!(%error, "cannot read roles and bindings");
                    return;
                }
            }
        }
    }

    fn apply(&mut self, at: usize, entry: &Entry, is_gone: bool) {
        match at {
            0 => put(&mut self.cluster_roles, entry, is_gone),
            1 => put(&mut self.roles, entry, is_gone),
            2 => put(&mut self.cluster_bindings, entry, is_gone),
            _ => put(&mut self.bindings, entry, is_gone),
        }
    }

    /// The arrangement of what is there now.
    pub fn index(&self) -> Index {
        let mut index = Index::default();
        for (place, role) in &self.cluster_roles {
            let rules: Arc<[Rule]> = match &role.aggregation {
                Some(_) => self.aggregated(&place.1, &mut HashSet::new()).into(),
                None => role.rules.clone().unwrap_or_default().into(),
            };
            let key = RoleRef { kind: "ClusterRole".into(), name: place.1.clone() };
            index.roles.insert((key, String::new()), rules);
        }
        for (place, role) in &self.roles {
            let key = RoleRef { kind: "Role".into(), name: place.1.clone() };
            index.roles.insert((key, place.0.clone()), role.rules.clone().unwrap_or_default().into());
        }
        for (place, binding) in self.cluster_bindings.iter().chain(&self.bindings) {
            grant(&mut index, place, binding);
        }
        index
    }

    /// The rules of every role that an aggregated role selects: what its controller writes into it, without waiting for it.
    fn aggregated(&self, name: &str, seen: &mut HashSet<String>) -> Vec<Rule> {
        let Some(role) = self.cluster_roles.get(&(String::new(), name.to_string())) else { return Vec::new() };
        let Some(aggregation) = &role.aggregation else { return role.rules.clone().unwrap_or_default() };
        if !seen.insert(name.to_string()) {
            return Vec::new();
        }
        let selectors: Vec<Selector> = aggregation
            .selectors
            .iter()
            .flatten()
            .filter_map(|selector| Selector::from_object(selector).ok())
            .collect();
        let mut rules = Vec::new();
        for ((_, other), candidate) in &self.cluster_roles {
            let label = |key: &str| candidate.metadata.labels.as_ref()?.get(key).map(String::as_str);
            if other != name && selectors.iter().any(|selector| selector.matches(label)) {
                rules.extend(self.aggregated(other, seen));
            }
        }
        let mut known = HashSet::new();
        rules.retain(|rule| known.insert(format!("{rule:?}")));
        rules
    }
}

fn put<T: serde::de::DeserializeOwned>(map: &mut BTreeMap<Place, T>, entry: &Entry, is_gone: bool) {
    let place = (entry.key.namespace.clone(), entry.key.name.clone());
    match serde_json::from_slice(&entry.bytes) {
        Ok(object) if !is_gone => drop(map.insert(place, object)),
        // An object that cannot be read allows nothing.
        _ => drop(map.remove(&place)),
    }
}

fn grant(index: &mut Index, place: &Place, binding: &Binding) {
    // A binding to a role that is not there counts as soon as the role is.
    let Some(rules) = index.rules(&binding.role, &place.0).cloned() else { return };
    for subject in binding.subjects.iter().flatten() {
        let grant = Grant {
            namespace: place.0.clone(),
            binding: place.1.clone(),
            role: binding.role.clone(),
            rules: rules.clone(),
        };
        match subject.kind.as_str() {
            "User" => index.users.entry(subject.name.clone()).or_default().push(grant),
            "Group" => index.groups.entry(subject.name.clone()).or_default().push(grant),
            "ServiceAccount" => {
                let namespace = subject.namespace.as_deref().filter(|own| !own.is_empty()).unwrap_or(&place.0);
                let user = format!("system:serviceaccount:{namespace}:{}", subject.name);
                index.users.entry(user).or_default().push(grant);
            }
            _ => {}
        }
    }
}
