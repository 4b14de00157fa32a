//! TLS: certificates by the name that a client asks for, and connections to pods.

use crate::pki::authority::{Identity, self_signed};
use crate::pki::unverified;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// How long the certificate is valid that is shown where there is no other.
const FALLBACK_VALID: Duration = Duration::from_secs(365 * 86_400);

/// Certificates by host.
#[derive(Debug, Default)]
pub struct Certificates {
    hosts: HashMap<String, Arc<CertifiedKey>>,
    /// `*.example.com` by `example.com`.
    wildcards: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    /// Takes in the certificate of a host, if it has none yet.
    pub fn add(&mut self, host: &str, certificate: &Arc<CertifiedKey>) {
        let (map, host) = match host.strip_prefix("*.") {
            Some(rest) => (&mut self.wildcards, rest),
            None => (&mut self.hosts, host),
        };
        map.entry(host.to_string()).or_insert_with(|| certificate.clone());
    }

    /// The certificate of a host.
    pub fn find(&self, host: &str) -> Option<&Arc<CertifiedKey>> {
        let wildcard = || host.split_once('.').and_then(|(_, rest)| self.wildcards.get(rest));
        self.hosts.get(host).or_else(wildcard)
    }
}

/// What is shown to clients that ask for a host without a certificate.
pub fn fallback_certificate() -> Result<Arc<CertifiedKey>, String> {
    let identity = Identity {
        common_name: "Kubernetes Ingress Controller Fake Certificate".into(),
        organization: "Acme Co".into(),
        names: vec!["ingress.local".into()],
        addresses: Vec::new(),
    };
    let signed = self_signed(&identity, FALLBACK_VALID).map_err(|error| error.to_string())?;
    read(signed.certificate.as_bytes(), signed.key.as_bytes())
}

/// A certificate and its key from PEM.
pub fn read(certificate: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("`tls.crt` is no certificate: {error}"))?;
    if chain.is_empty() {
        return Err("`tls.crt` has no certificate".into());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("`tls.key` is no key: {error}"))?;
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| error.to_string())?;
    Ok(Arc::new(certified))
}

/// The names that a certificate is for, lower case.
pub fn names(certificate: &CertifiedKey) -> Vec<String> {
    let Some(Ok((_, parsed))) = certificate.cert.first().map(|first| x509_parser::parse_x509_certificate(first)) else {
        return Vec::new();
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let dns = names.value.general_names.iter().filter_map(|name| match name {
        x509_parser::extensions::GeneralName::DNSName(name) => Some(name.to_lowercase()),
        _ => None,
    });
    dns.collect()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Finds certificates in the table of the moment.
struct Resolver<F>(F);

impl<F> std::fmt::Debug for Resolver<F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("Resolver")
    }
}

impl<F: Fn(Option<&str>) -> Arc<CertifiedKey> + Send + Sync> ResolvesServerCert for Resolver<F> {
    fn resolve(&self, hello: ClientHello) -> Option<Arc<CertifiedKey>> {
        Some((self.0)(hello.server_name().map(str::to_lowercase).as_deref()))
    }
}

/// The server's side; `find` says which certificate belongs to a name.
pub fn server<F>(find: F, http2: bool) -> Result<Arc<ServerConfig>, rustls::Error>
where
    F: Fn(Option<&str>) -> Arc<CertifiedKey> + Send + Sync + 'static,
{
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Resolver(find)));
    config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(Arc::new(config))
}

/// The client's side towards pods. As with nginx, nobody's name is checked: pods have certificates of their own making, and
/// are reached by addresses that the API server says.
pub fn to_pods(protocol: &[u8]) -> TlsConnector {
    TlsConnector::from(Arc::new(unverified::client(&[protocol])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_of_last_resort_says_that_it_is_none() {
        let certificate = fallback_certificate().unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate.cert[0]).unwrap();
        assert_eq!(parsed.subject().to_string(), "O=Acme Co, CN=Kubernetes Ingress Controller Fake Certificate");
        assert_eq!(parsed.subject(), parsed.issuer());
        assert_eq!(names(&certificate), ["ingress.local"]);
    }

    #[test]
    fn hosts_find_their_certificates() {
        let (one, two) = (fallback_certificate().unwrap(), fallback_certificate().unwrap());
        let mut all = Certificates::default();
        all.add("a.foo.com", &one);
        all.add("*.foo.com", &two);
        all.add("a.foo.com", &two);
        assert!(Arc::ptr_eq(all.find("a.foo.com").unwrap(), &one));
        assert!(Arc::ptr_eq(all.find("b.foo.com").unwrap(), &two));
        assert!(all.find("a.b.foo.com").is_none() && all.find("foo.com").is_none());
        assert!(read(b"", b"").is_err());
    }
}
