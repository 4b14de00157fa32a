//! Who asks, and the two questions that are put before every request: who is it, and may they?

use crate::api::Status;
use http::HeaderMap;
use std::sync::Arc;

/// A user as requests carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: Vec<(String, Vec<String>)>,
}

impl Identity {
    /// A user of these groups; everybody who is known is `system:authenticated` too.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        groups.push("system:authenticated".into());
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// Whoever shows nothing.
    pub fn anonymous() -> Self {
        Self { name: "system:anonymous".into(), groups: vec!["system:unauthenticated".into()], ..Self::default() }
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

/// What a certificate says.
#[derive(Debug, PartialEq, Eq)]
pub struct Subject {
    pub name: String,
    pub groups: Vec<String>,
    /// Common name of the authority that signed it. It is the authority's own: TLS has verified the chain, and no certificate
    /// that was signed here may sign others.
    pub issuer: String,
}

/// The client certificate of a connection, already verified against the cluster's authorities and read once; nothing if it
/// cannot be read.
#[derive(Clone, Debug)]
pub struct PeerCertificate(pub Option<Arc<Subject>>);

/// What a request asks for, in the words that rules are written in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub verb: String,
    /// Of the resource; all empty for a path that is no resource.
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// The path, for what is no resource.
    pub path: String,
}

impl Attributes {
    /// Whether it is about a resource.
    pub fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }

    /// `group/version`, or the bare version in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Finds out who asks.
pub trait Authenticator: Send + Sync {
    /// The user; nothing if the request shows nothing of the kind that is looked at here; an error if it shows something wrong.
    fn authenticate(&self, headers: &HeaderMap, peer: Option<&PeerCertificate>) -> Result<Option<Identity>, Status>;
}
