//! A client certificate says who asks: common name is the user, organizations are the groups.

use crate::api::{Reason, Status};
use crate::control::server::{Authenticator, Identity, PeerCertificate};
use http::HeaderMap;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The authenticator. TLS has verified the certificate already.
pub struct ClientCertificate;

impl Authenticator for ClientCertificate {
    fn authenticate(&self, _headers: &HeaderMap, peer: Option<&PeerCertificate>) -> Result<Option<Identity>, Status> {
        let Some(PeerCertificate(der)) = peer else { return Ok(None) };
        let unreadable = |_| Status::new(Reason::Unauthorized, "Unauthorized");
        let (_, certificate) = X509Certificate::from_der(der).map_err(unreadable)?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().find_map(|name| name.as_str().ok()).unwrap_or_default();
        if name.is_empty() {
            return Ok(None);
        }
        let groups: Vec<&str> = subject.iter_organization().filter_map(|group| group.as_str().ok()).collect();
        Ok(Some(Identity::new(name, &groups)))
    }
}
