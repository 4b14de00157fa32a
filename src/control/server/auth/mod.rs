//! Who asks, and what they may: client certificates, and rules.

pub mod certificate;

use super::{Attributes, Authenticator, Authorizer, Error, Identity, ServerConfig};
use crate::control::store::Store;

/// Every way to say who one is, in the order in which they are looked at.
pub fn authenticators(_config: &ServerConfig, _store: &Store) -> Result<Vec<Box<dyn Authenticator>>, Error> {
    Ok(vec![Box::new(certificate::ClientCertificate)])
}

/// What decides about everybody who is not in `system:masters`.
pub fn authorizer(_config: &ServerConfig, _store: &Store) -> Box<dyn Authorizer> {
    Box::new(MastersOnly)
}

/// Allows nothing: only `system:masters`, who are not asked about, may do anything.
struct MastersOnly;

impl Authorizer for MastersOnly {
    fn allows(&self, _user: &Identity, _wanted: &Attributes) -> bool {
        false
    }
}
