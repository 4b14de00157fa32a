//! Who asks, and what they may.
//!
//! ```text
//! front proxy ▸ client certificate ▸ bearer token ▸ anonymous ─▶ impersonation ─▶ system:masters ▸ node ▸ RBAC
//! ```

pub mod accounts;
pub mod certificate;
pub mod defaults;
pub mod escalation;
pub mod front_proxy;
pub mod impersonate;
pub mod lookup;
pub mod node;
pub mod oidc;
pub mod rbac;
pub mod reviews;
pub mod token_request;

use super::{Attributes, Authenticator, Error, Identity, ServerConfig};
use crate::control::store::Store;
use crate::pki::token::Tokens;
use accounts::Accounts;
use rbac::Rbac;
use std::sync::Arc;

/// Whoever is in this group may do everything.
pub const MASTERS: &str = "system:masters";

/// Service accounts and their tokens.
pub fn accounts(config: &ServerConfig, store: &Store) -> Result<Arc<Accounts>, Error> {
    Ok(Accounts::new(Tokens::load(&config.paths.pki())?, store.clone()))
}

/// Every way to say who one is, in the order in which they are looked at.
pub fn authenticators(accounts: &Arc<Accounts>) -> Vec<Box<dyn Authenticator>> {
    vec![
        Box::new(front_proxy::FrontProxy),
        Box::new(certificate::ClientCertificate),
        Box::new(accounts::Bearer(accounts.clone())),
    ]
}

/// What decides whether somebody may do something.
pub struct Rules {
    store: Store,
    pub rbac: Rbac,
}

impl Rules {
    /// The rules that the objects of a store make.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), rbac: Rbac::new(store) }
    }

    /// Whether somebody may do something.
    pub fn allows(&self, user: &Identity, wanted: &Attributes) -> bool {
        user.is_in(MASTERS) || node::allows(&self.store, user, wanted) || self.rbac.allows(user, wanted)
    }

    /// Why somebody may do something; nothing if they may not.
    pub fn reason(&self, user: &Identity, wanted: &Attributes) -> Option<String> {
        if let Some(reason) = self.rbac.reason(user, wanted) {
            return Some(reason);
        }
        self.allows(user, wanted).then(String::new)
    }
}

#[cfg(test)]
mod tests;
