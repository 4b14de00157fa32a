//! Whom to believe that it is who it says: the authorities of a bundle, or those of the machine; or a certificate that is
//! itself in the bundle, as people make it who sign their webhook's certificate with its own key.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::io;
use std::sync::Arc;

/// Where systems keep the authorities that they trust.
const SYSTEM: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What this server shows of itself.
pub type Client = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Whom a client believes.
#[derive(Clone, Copy)]
pub enum Believed<'a> {
    /// Whoever answers: what `insecureSkipTLSVerify` asks for.
    Anybody,
    /// The authorities in a bundle (PEM), or those of the machine if it is empty.
    Bundle(&'a [u8]),
}

/// The TLS side of a client.
pub fn client_config(believed: Believed, client: Option<Client>) -> Result<Arc<ClientConfig>, String> {
    let (bundle, is_anybody) = match believed {
        Believed::Anybody => (&[][..], true),
        Believed::Bundle(bundle) => (bundle, false),
    };
    let listed: Vec<CertificateDer<'static>> = match bundle {
        [] => SYSTEM
            .iter()
            .find_map(|path| std::fs::read(path).ok())
            .map(|bytes| certificates(&bytes))
            .unwrap_or_default(),
        bundle => certificates(bundle),
    };
    if listed.is_empty() && !bundle.is_empty() {
        return Err("unable to load root certificates: unable to parse bytes as PEM block".into());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(listed.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let chain = match roots.is_empty() {
        true => None,
        false => Some(
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|error| error.to_string())?,
        ),
    };
    let own = if bundle.is_empty() { Vec::new() } else { listed };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Bundle {
        is_anybody,
        chain,
        listed: own,
        provider,
    }));
    let config = match client {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
}

/// A failed handshake in the words of Go's.
pub fn said(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let why = match inner {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "x509: certificate signed by unknown authority".into()
        }
        Some(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            "x509: certificate has expired or is not yet valid".into()
        }
        Some(Error::InvalidCertificate(why)) => format!("x509: {why}"),
        _ => return format!("tls: {error}"),
    };
    format!("tls: failed to verify certificate: {why}")
}

#[derive(Debug)]
struct Bundle {
    is_anybody: bool,
    /// Believes who was signed by one of the bundle.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Believed themselves.
    listed: Vec<CertificateDer<'static>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl Bundle {
    /// A certificate that is itself in the bundle only has to be of the right name, and of this time.
    fn is_listed(&self, end: &CertificateDer, name: &ServerName, now: UnixTime) -> Result<bool, Error> {
        if !self.listed.iter().any(|listed| listed == end) {
            return Ok(false);
        }
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(end) else { return Ok(false) };
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = parsed.validity();
        if seconds < validity.not_before.timestamp() || seconds > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        rustls::client::verify_server_name(&ParsedCertificate::try_from(end)?, name)?;
        Ok(true)
    }
}

impl ServerCertVerifier for Bundle {
    fn verify_server_cert(
        &self,
        end: &CertificateDer,
        between: &[CertificateDer],
        name: &ServerName,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.is_anybody || self.is_listed(end, name, now)? {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.chain {
            Some(chain) => chain.verify_server_cert(end, between, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
