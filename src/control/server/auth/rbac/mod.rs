//! RBAC: allows what some rule of some role of the user allows.
//!
//! Source: plugin/pkg/auth/authorizer/rbac/rbac.go.

pub mod index;
pub mod rule;

use crate::control::server::{Attributes, Identity};
use crate::control::store::Store;
use index::{Follower, Grant, Index, RoleRef, Who};
use parking_lot::Mutex;
use rule::Rule;
use std::sync::Arc;

/// The authorizer.
pub struct Rbac {
    state: Mutex<State>,
}

struct State {
    follower: Follower,
    index: Arc<Index>,
}

impl Rbac {
    /// Follows the roles and bindings of a store.
    pub fn new(store: &Store) -> Self {
        let follower = Follower::new(store.clone());
        let index = Arc::new(follower.index());
        Self { state: Mutex::new(State { follower, index }) }
    }

    /// Roles and bindings as they are now.
    fn index(&self) -> Arc<Index> {
        let mut state = self.state.lock();
        if state.follower.is_behind() {
            state.follower.catch_up();
            state.index = Arc::new(state.follower.index());
        }
        state.index.clone()
    }

    /// Whether some rule allows it.
    pub fn allows(&self, user: &Identity, wanted: &Attributes) -> bool {
        let index = self.index();
        index.grants(user, place(wanted)).any(|(grant, _)| grant.rules.iter().any(|rule| rule.allows(wanted)))
    }

    /// Which binding allows it, in upstream's words; nothing if none does.
    pub fn reason(&self, user: &Identity, wanted: &Attributes) -> Option<String> {
        let index = self.index();
        let (grant, who) =
            index.grants(user, place(wanted)).find(|(grant, _)| grant.rules.iter().any(|rule| rule.allows(wanted)))?;
        Some(format!("RBAC: allowed by {} to {}", describe(grant), subject(who)))
    }

    /// Every rule that a user has in a namespace; empty for those that count everywhere.
    pub fn rules(&self, user: &Identity, namespace: &str) -> Vec<Rule> {
        let index = self.index();
        index.grants(user, namespace).flat_map(|(grant, _)| grant.rules.iter().cloned()).collect()
    }

    /// The rules of a role, if it is there.
    pub fn rules_of(&self, role: &RoleRef, namespace: &str) -> Option<Arc<[Rule]>> {
        self.index().rules(role, namespace).cloned()
    }
}

/// Where a request happens; paths are of the cluster.
fn place(wanted: &Attributes) -> &str {
    if wanted.is_resource() { &wanted.namespace } else { "" }
}

fn describe(grant: &Grant) -> String {
    let role = format!("{} \"{}\"", grant.role.kind, grant.role.name);
    match grant.namespace.as_str() {
        "" => format!("ClusterRoleBinding \"{}\" of {role}", grant.binding),
        namespace => format!("RoleBinding \"{}/{namespace}\" of {role}", grant.binding),
    }
}

fn subject(who: Who) -> String {
    match who {
        Who::Group(name) => format!("Group \"{name}\""),
        Who::User(name) => match name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
            Some((namespace, account)) => format!("ServiceAccount \"{account}/{namespace}\""),
            None => format!("User \"{name}\""),
        },
    }
}
