//! A certificate authority: a key that signs, and the certificate that says so.

use super::{Error, file};
use crate::base::atomic;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long an authority is valid.
const VALID: Duration = Duration::from_secs(3650 * 86_400);
/// What has less than this left is made anew.
pub(super) const RENEW_DAYS: i64 = 30;
/// How far a clock may be set back until certificates that were just made are none yet: a machine whose hardware clock has
/// local time is hours off until it is told better.
const SKEW: Duration = Duration::from_secs(86_400);

/// Who a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// CN: the user name of a client.
    pub common_name: String,
    /// O: the group of a client; empty for none.
    pub organization: String,
    /// Names under which a server is reached.
    pub names: Vec<String>,
    /// Addresses under which a server is reached.
    pub addresses: Vec<IpAddr>,
}

impl Identity {
    /// A client of one group (none when empty).
    pub fn client(name: &str, group: &str) -> Self {
        Self { common_name: name.into(), organization: group.into(), ..Self::default() }
    }
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub certificate: String,
    pub key: String,
}

/// Something that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// A new authority of that name; also its key, PEM.
    pub fn create(common_name: &str) -> Result<(Self, String), Error> {
        let key = KeyPair::generate()?;
        let key_pem = key.serialize_pem();
        Ok((Self::of_key(common_name, key, VALID)?, key_pem))
    }

    fn of_key(common_name: &str, key: KeyPair, valid: Duration) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(common_name, "");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        valid_for(&mut params, valid);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// Writes a certificate that ends soon for the authority that is there.
    #[cfg(test)]
    pub(super) fn short_lived(folder: &Path, name: &str, common_name: &str, valid: Duration) -> Result<(), Error> {
        let key = KeyPair::from_pem(&std::fs::read_to_string(folder.join(format!("{name}.key"))).unwrap())?;
        let certificate = Self::of_key(common_name, key, valid)?.certificate;
        std::fs::write(folder.join(format!("{name}.crt")), certificate).map_err(file(folder))
    }

    /// Gives the authority in `folder` another certificate if the end of its own is near; `false` if there was no need. The key
    /// stays, so that everything it signed is good with either certificate.
    pub fn renew(folder: &Path, name: &str, common_name: &str) -> Result<bool, Error> {
        let Some(left) = seconds_left(folder, name).filter(|_| folder.join(format!("{name}.key")).exists()) else {
            return Ok(false);
        };
        if left > RENEW_DAYS * 86_400 {
            return Ok(false);
        }
        let path = folder.join(format!("{name}.key"));
        let key = KeyPair::from_pem(&std::fs::read_to_string(&path).map_err(file(&path))?)?;
        let path = folder.join(format!("{name}.crt"));
        let certificate = Self::of_key(common_name, key, VALID)?.certificate;
        atomic::write(&path, certificate.as_bytes(), 0o644).map_err(file(&path))?;
        Ok(true)
    }

    /// The authority of `NAME.crt` and `NAME.key` in `folder`.
    pub fn load(folder: &Path, name: &str) -> Result<Self, Error> {
        let read = |end: &str| {
            let path = folder.join(format!("{name}.{end}"));
            std::fs::read_to_string(&path).map_err(file(path))
        };
        let (certificate, key) = (read("crt")?, KeyPair::from_pem(&read("key")?)?);
        Ok(Self { issuer: Issuer::from_ca_cert_pem(&certificate, key)?, certificate })
    }

    /// The authority in `folder`, made and written first if it is not there.
    pub fn load_or_create(folder: &Path, name: &str, common_name: &str) -> Result<Self, Error> {
        if folder.join(format!("{name}.key")).exists() && folder.join(format!("{name}.crt")).exists() {
            return Self::load(folder, name);
        }
        let (authority, key) = Self::create(common_name)?;
        Signed { certificate: authority.certificate.clone(), key }.write(folder, name)?;
        Ok(authority)
    }

    /// Its certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A new key with a certificate for `identity`: for servers if it has names or addresses, and for clients.
    pub fn issue(&self, identity: &Identity, valid: Duration) -> Result<Signed, Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(identity.names.clone())?;
        params.subject_alt_names.extend(identity.addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.distinguished_name = distinguished_name(&identity.common_name, &identity.organization);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let is_server = !(identity.names.is_empty() && identity.addresses.is_empty());
        params.extended_key_usages =
            if is_server { vec![Usage::ServerAuth, Usage::ClientAuth] } else { vec![Usage::ClientAuth] };
        valid_for(&mut params, valid);
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Signed { certificate, key: key.serialize_pem() })
    }

    /// Signs a request (PKCS#10, PEM) for the usages that were approved; returns the certificate, PEM.
    pub fn sign_request(&self, request: &str, usages: Usages, valid: Duration) -> Result<String, Error> {
        let mut request = CertificateSigningRequestParams::from_pem(request)?;
        let params = &mut request.params;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages.clear();
        if usages.server {
            params.extended_key_usages.push(Usage::ServerAuth);
        }
        if usages.client {
            params.extended_key_usages.push(Usage::ClientAuth);
        }
        valid_for(params, valid);
        Ok(request.signed_by(&self.issuer)?.pem())
    }
}

/// Seconds until the end of a certificate that can be read.
pub(super) fn seconds_left(folder: &Path, name: &str) -> Option<i64> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.crt"))).ok()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(text.as_bytes()).ok()?;
    Some(pem.parse_x509().ok()?.validity().not_after.timestamp() - jiff::Timestamp::now().as_second())
}

/// A key with a certificate that it signs itself: for a server that nobody is asked to trust.
pub fn self_signed(identity: &Identity, valid: Duration) -> Result<Signed, Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(identity.names.clone())?;
    params.subject_alt_names.extend(identity.addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.distinguished_name = distinguished_name(&identity.common_name, &identity.organization);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![Usage::ServerAuth];
    valid_for(&mut params, valid);
    Ok(Signed { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

/// What a signed request may be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usages {
    pub server: bool,
    pub client: bool,
}

impl Signed {
    /// Writes `NAME.crt` and `NAME.key` in `folder`, the key readable by its owner alone.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(), Error> {
        let key = folder.join(format!("{name}.key"));
        atomic::write(&key, self.key.as_bytes(), 0o600).map_err(file(&key))?;
        let certificate = folder.join(format!("{name}.crt"));
        atomic::write(&certificate, self.certificate.as_bytes(), 0o644).map_err(file(&certificate))
    }
}

fn distinguished_name(common_name: &str, organization: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    // One group at most: rcgen keeps one value per type, and no certificate made here needs two.
    if !organization.is_empty() {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn valid_for(params: &mut CertificateParams, valid: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - SKEW).into();
    params.not_after = (now + valid).into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_read_back_signs_like_the_one_written() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::load_or_create(folder.path(), "ca", "kubernetes").unwrap();
        let again = Authority::load_or_create(folder.path(), "ca", "kubernetes").unwrap();
        assert_eq!(first.certificate(), again.certificate());
        let signed = again.issue(&Identity::client("me", "us"), Duration::from_secs(60)).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(signed.certificate.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let (_, authority) = x509_parser::pem::parse_x509_pem(first.certificate().as_bytes()).unwrap();
        assert_eq!(certificate.subject().to_string(), "O=us, CN=me");
        assert_eq!(certificate.issuer(), authority.parse_x509().unwrap().subject());
    }

    #[test]
    fn a_signing_request_is_signed_for_the_approved_usage_only() {
        let (authority, _) = Authority::create("kubernetes").unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name("someone", "");
        let request = params.serialize_request(&key).unwrap().pem().unwrap();
        let usages = Usages { client: true, server: false };
        let certificate = authority.sign_request(&request, usages, Duration::from_secs(60)).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).unwrap();
        let parsed = pem.parse_x509().unwrap();
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
    }
}
