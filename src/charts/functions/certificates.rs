//! Keys and certificates for charts that make their own.

use std::any::Any;
use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SanType, SerialNumber,
};
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs8::EncodePrivateKey;

use super::fixed;
use crate::charts::template::Type::{Int, List, Named, Str};
use crate::charts::template::{Call, Failure, Function, Object, Value, display, failure};

/// Go's name of what the functions give.
const CERTIFICATE: &str = "sprig.certificate";

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("genPrivateKey", &[Str], |call| Ok(private_key(&call.str(0)).into())),
    fixed("genCA", &[Str, Int], |call| authority(call, new_rsa()?)),
    fixed("genCAWithKey", &[Str, Int, Str], |call| authority(call, given_key(&call.str(2))?)),
    fixed("genSelfSignedCert", &[Str, List, List, Int], |call| self_signed(call, new_rsa()?)),
    fixed("genSelfSignedCertWithKey", &[Str, List, List, Int, Str], |call| self_signed(call, given_key(&call.str(4))?)),
    fixed("genSignedCert", &[Str, List, List, Int, Named(CERTIFICATE)], |call| signed(call, new_rsa()?)),
    fixed("genSignedCertWithKey", &[Str, List, List, Int, Named(CERTIFICATE), Str], |call| {
        signed(call, given_key(&call.str(5))?)
    }),
    fixed("buildCustomCert", &[Str, Str], custom),
];

/// A certificate and its key, both as PEM.
struct Certificate {
    certificate: String,
    key: String,
}

impl Object for Certificate {
    fn type_name(&self) -> Cow<'static, str> {
        CERTIFICATE.into()
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Cert" => Some(self.certificate.as_str().into()),
            "Key" => Some(self.key.as_str().into()),
            _ => None,
        }
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Cert", self.certificate.as_str().into()), ("Key", self.key.as_str().into())]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A key to sign with, and its PEM.
struct Key {
    pair: KeyPair,
    pem: String,
}

/// PEM as Go writes it: lines of 64 letters.
fn pem(kind: &str, bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// The first block of a PEM text: its kind and bytes.
fn decoded_pem(text: &str) -> Option<(String, Vec<u8>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (kind, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {kind}-----"))?;
    let body: String = body
        .lines()
        .filter(|line| !line.contains(':'))
        .flat_map(str::chars)
        .filter(|letter| !letter.is_whitespace())
        .collect();
    Some((kind.to_string(), STANDARD.decode(body).ok()?))
}

fn wrong<T>(what: &str, error: impl std::fmt::Display) -> Result<T, Failure> {
    failure(format!("{what}: {error}"))
}

fn rsa_pem(bits: usize) -> Result<(Vec<u8>, String), String> {
    let key = rsa::PrivateKey::new(&mut rand::rng(), bits).map_err(|error| error.to_string())?;
    let pkcs8 = key.to_pkcs8_der().map_err(|error| error.to_string())?;
    let pkcs1 = key.to_pkcs1_der().map_err(|error| error.to_string())?;
    Ok((pkcs8.as_bytes().to_vec(), pem("RSA PRIVATE KEY", pkcs1.as_bytes())))
}

fn new_rsa() -> Result<Key, Failure> {
    let (der, text) = rsa_pem(2048).or_else(|error| wrong("error generating rsa key", error))?;
    match KeyPair::from_pkcs8_der_and_sign_algo(&der.as_slice().into(), &PKCS_RSA_SHA256) {
        Ok(pair) => Ok(Key { pair, pem: text }),
        Err(error) => wrong("error generating rsa key", error),
    }
}

/// `genPrivateKey`.
fn private_key(kind: &str) -> String {
    let made = match kind {
        "" | "rsa" => rsa_pem(4096).map(|(_, text)| text),
        "ecdsa" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string()).and_then(|pair| {
            sec1(&pair).map(|bytes| pem("EC PRIVATE KEY", &bytes)).ok_or_else(|| "unexpected form of the key".into())
        }),
        "ed25519" => KeyPair::generate_for(&PKCS_ED25519)
            .map(|pair| pem("PRIVATE KEY", &ed25519(&pair.serialize_der())))
            .map_err(|error| error.to_string()),
        "dsa" => Err("keys of type dsa are not made any more".into()),
        other => return format!("Unknown type {other}"),
    };
    made.unwrap_or_else(|error| format!("failed to generate private key: {error}"))
}

/// PKCS#8 of an Ed25519 key without the public half, as Go has it.
fn ed25519(der: &[u8]) -> Vec<u8> {
    const HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    // The seed follows the same two octet strings in the longer form.
    match der.windows(4).position(|window| window == [4, 0x22, 4, 0x20]).and_then(|at| der.get(at + 4..at + 36)) {
        Some(seed) => [&HEAD, seed].concat(),
        None => der.to_vec(),
    }
}

/// An elliptic key as SEC 1 has it: version, secret, curve, public point.
fn sec1(pair: &KeyPair) -> Option<Vec<u8>> {
    let der = pair.serialize_der();
    let at = der.windows(5).position(|window| window == [2, 1, 1, 4, 0x20])?;
    let secret = der.get(at + 5..at + 37)?;
    let point = pair.public_key_raw();
    const CURVE: [u8; 12] = [0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let public = [&[0xa1, 0x44, 3, 0x42, 0][..], point].concat();
    Some([&[0x30, 0x77, 2, 1, 1, 4, 0x20][..], secret, &CURVE, &public].concat())
}

/// A key that the chart gives.
fn parsed_key(text: &str) -> Result<KeyPair, String> {
    let Some((kind, bytes)) = decoded_pem(text) else { return Err("no PEM data in input".into()) };
    let Some(name) = kind.strip_suffix("PRIVATE KEY") else {
        return Err(format!("no private key data in PEM block of type {kind}"));
    };
    match name.trim() {
        "" => KeyPair::try_from(bytes).map_err(|error| format!("decoding PEM as PKCS#8: {error}")),
        "RSA" => {
            let key = rsa::PrivateKey::from_pkcs1_der(&bytes)
                .map_err(|error| format!("parsing RSA private key from PEM: {error}"))?;
            let der = key.to_pkcs8_der().map_err(|error| format!("parsing RSA private key from PEM: {error}"))?;
            KeyPair::from_pkcs8_der_and_sign_algo(&der.as_bytes().into(), &PKCS_RSA_SHA256)
                .map_err(|error| format!("parsing RSA private key from PEM: {error}"))
        }
        "EC" => KeyPair::try_from(pkcs8_of_sec1(&bytes))
            .map_err(|error| format!("parsing EC private key from PEM: {error}")),
        name => Err(format!("invalid private key type {name}")),
    }
}

/// PKCS#8 around an elliptic key of the curve P-256.
fn pkcs8_of_sec1(sec1: &[u8]) -> Vec<u8> {
    let length = |count: usize| match count {
        0..128 => vec![count as u8],
        128..256 => vec![0x81, count as u8],
        _ => vec![0x82, (count >> 8) as u8, count as u8],
    };
    let algorithm = [0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let inner = [&[2, 1, 0][..], &algorithm, &[4], &length(sec1.len()), sec1].concat();
    [&[0x30][..], &length(inner.len()), &inner].concat()
}

fn given_key(text: &str) -> Result<Key, Failure> {
    match parsed_key(text) {
        Ok(pair) => {
            let pem = match decoded_pem(text) {
                Some((kind, bytes)) => pem(&kind, &bytes),
                None => text.to_string(),
            };
            Ok(Key { pair, pem })
        }
        Err(problem) => wrong("parsing private key", problem),
    }
}

/// The last second that a certificate can name, the end of the year 9999, since 1970.
const LAST_SECOND: u64 = 253_402_300_799;
const DAY: u64 = 24 * 60 * 60;

/// What all certificates have in common.
fn base(call: &Call<'_>, names: bool, days: i64) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, call.str(0).as_ref());
    params.subject_alt_names = if names { alternative_names(call)? } else { Vec::new() };
    let mut serial = [0; 16];
    call.engine.host().random(&mut serial);
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let now = std::time::SystemTime::now();
    params.not_before = now.into();
    let since = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let longest = LAST_SECOND.saturating_sub(since) / DAY;
    params.not_after =
        params.not_before + std::time::Duration::from_secs(days.max(0).unsigned_abs().min(longest) * DAY);
    if days < 0 {
        params.not_after = params.not_before - std::time::Duration::from_secs(days.unsigned_abs().min(700_000) * DAY);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.is_ca = IsCa::ExplicitNoCa;
    Ok(params)
}

fn alternative_names(call: &Call<'_>) -> Result<Vec<SanType>, Failure> {
    let mut names = Vec::new();
    for name in call.list(2).iter() {
        let Value::Str(text) = name else {
            return failure(format!("error processing alternate dns name: {} is not a string", display(name)));
        };
        match text.to_string().try_into() {
            Ok(name) => names.push(SanType::DnsName(name)),
            Err(error) => return wrong("error creating certificate", error),
        }
    }
    for address in call.list(1).iter() {
        let Value::Str(text) = address else {
            return failure(format!("error parsing ip: {} is not a string", display(address)));
        };
        match text.to_string().parse::<IpAddr>() {
            Ok(address) => names.push(SanType::IpAddress(address)),
            Err(_) => return failure(format!("error parsing ip: {text}")),
        }
    }
    Ok(names)
}

fn made(result: Result<rcgen::Certificate, rcgen::Error>, key: Key) -> Result<Value, Failure> {
    match result {
        Ok(certificate) => {
            let certificate = pem("CERTIFICATE", certificate.der());
            Ok(Value::Object(Rc::new(Certificate { certificate, key: key.pem })))
        }
        Err(error) => wrong("error creating certificate", error),
    }
}

fn authority(call: &Call<'_>, key: Key) -> Result<Value, Failure> {
    let mut params = base(call, false, call.int(1))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    made(params.self_signed(&key.pair), key)
}

fn self_signed(call: &Call<'_>, key: Key) -> Result<Value, Failure> {
    made(base(call, true, call.int(3))?.self_signed(&key.pair), key)
}

fn signed(call: &Call<'_>, key: Key) -> Result<Value, Failure> {
    let (certificate, issuer_key) = match call.any(4) {
        Value::Object(object) => match object.as_any().downcast_ref::<Certificate>() {
            Some(issuer) => (issuer.certificate.clone(), issuer.key.clone()),
            None => return failure("unable to decode certificate"),
        },
        _ => return failure("unable to decode certificate"),
    };
    let Some((_, der)) = decoded_pem(&certificate) else { return failure("unable to decode certificate") };
    let issuer_key = parsed_key(&issuer_key).or_else(|problem| wrong("error parsing private key", problem))?;
    let mut params = base(call, true, call.int(3))?;
    params.use_authority_key_identifier_extension = true;
    match Issuer::from_ca_cert_der(&der.as_slice().into(), issuer_key) {
        Ok(issuer) => made(params.signed_by(&key.pair, &issuer), key),
        Err(error) => wrong("error parsing certificate: decodedSignerCert.Bytes", error),
    }
}

fn custom(call: &Call<'_>) -> Result<Value, Failure> {
    let Ok(certificate) = STANDARD.decode(&*call.text(0)) else {
        return failure("unable to decode base64 certificate");
    };
    let Ok(key) = STANDARD.decode(&*call.text(1)) else { return failure("unable to decode base64 private key") };
    let (certificate, key) =
        (String::from_utf8_lossy(&certificate).into_owned(), String::from_utf8_lossy(&key).into_owned());
    let Some((_, der)) = decoded_pem(&certificate) else { return failure("unable to decode certificate") };
    if let Err(error) = x509_parser::parse_x509_certificate(&der) {
        return wrong("error parsing certificate: decodedCert.Bytes", error);
    }
    if let Err(problem) = parsed_key(&key) {
        return wrong("error parsing private key", problem);
    }
    Ok(Value::Object(Rc::new(Certificate { certificate, key })))
}
