//! TLS configurations from the files of a cluster's pki folder.

use super::{Error, file};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;

/// What a server presents, and whose clients it recognizes.
pub struct ServerFiles<'a> {
    /// `NAME.crt` and `NAME.key`.
    pub name: &'a str,
    /// Authorities of clients, for example `["ca", "front-proxy-ca"]`.
    pub client_authorities: &'a [&'a str],
    /// Whether a client without a certificate is let in (it may have a token, or be anonymous).
    pub anonymous: bool,
}

/// The configuration of a server that speaks HTTP/2 and HTTP/1.1.
pub fn server(folder: &Path, files: &ServerFiles) -> Result<Arc<ServerConfig>, Error> {
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots(folder, files.client_authorities)?));
    let verifier = if files.anonymous { verifier.allow_unauthenticated() } else { verifier };
    let verifier = verifier.build().map_err(|error| Error::Invalid(format!("client authorities: {error}")))?;
    let (chain, key) = pair(folder, files.name)?;
    let mut config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The configuration of a client that trusts `authority` and presents `NAME.crt`.
pub fn client(folder: &Path, authority: &str, name: &str) -> Result<Arc<ClientConfig>, Error> {
    let (chain, key) = pair(folder, name)?;
    let config = ClientConfig::builder().with_root_certificates(roots(folder, &[authority])?);
    Ok(Arc::new(config.with_client_auth_cert(chain, key)?))
}

/// Whether client and server agreed on HTTP/2.
pub fn is_h2<IO>(stream: &tokio_rustls::server::TlsStream<IO>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

fn roots(folder: &Path, authorities: &[&str]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        certificates(folder, authority)?.into_iter().try_for_each(|certificate| roots.add(certificate))?;
    }
    Ok(roots)
}

fn certificates(folder: &Path, name: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let path = folder.join(format!("{name}.crt"));
    let bytes = std::fs::read(&path).map_err(file(&path))?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    parsed.map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))
}

fn pair(folder: &Path, name: &str) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let path = folder.join(format!("{name}.key"));
    let bytes = std::fs::read(&path).map_err(file(&path))?;
    let key = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))?;
    Ok((certificates(folder, name)?, key))
}
