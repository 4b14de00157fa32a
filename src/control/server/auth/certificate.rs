//! A client certificate says who asks: common name is the user, organizations are the groups.

use super::front_proxy;
use crate::api::{Reason, Status};
use crate::control::server::identity::Subject;
use crate::control::server::{Authenticator, Identity, PeerCertificate};
use http::HeaderMap;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The authenticator. TLS has verified the certificate already.
pub struct ClientCertificate;

/// Reads a certificate, DER.
pub fn read(der: &[u8]) -> PeerCertificate {
    PeerCertificate(subject(der).map(Arc::new))
}

fn subject(der: &[u8]) -> Option<Subject> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let common = |name: &x509_parser::x509::X509Name| {
        name.iter_common_name().find_map(|name| name.as_str().ok()).unwrap_or_default().to_string()
    };
    let groups = certificate.subject().iter_organization().filter_map(|group| group.as_str().ok());
    Some(Subject {
        name: common(certificate.subject()),
        groups: groups.map(String::from).collect(),
        issuer: common(certificate.issuer()),
    })
}

impl Authenticator for ClientCertificate {
    fn authenticate(&self, _headers: &HeaderMap, peer: Option<&PeerCertificate>) -> Result<Option<Identity>, Status> {
        let Some(peer) = peer else { return Ok(None) };
        let subject = peer.0.as_ref().ok_or_else(|| Status::new(Reason::Unauthorized, "Unauthorized"))?;
        if subject.name.is_empty() || subject.issuer == front_proxy::AUTHORITY {
            return Ok(None);
        }
        let groups: Vec<&str> = subject.groups.iter().map(String::as_str).collect();
        Ok(Some(Identity::new(&subject.name, &groups)))
    }
}
