//! Authorities of others that a node trusts: certificates picked out of files, and the names under which OpenSSL finds them.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_parser::pem::Pem;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates of a text, each with its marks and a line end; keys and comments are left out.
pub fn certificates(text: &str) -> Vec<String> {
    let blocks = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END));
    blocks.map(|(body, _)| format!("{BEGIN}{}{END}\n", body.replace('\r', ""))).collect()
}

/// The name, without its number, under which OpenSSL looks for the certificate in a folder; `None` if it is no certificate.
///
/// Source: OpenSSL `X509_NAME_hash`: the first four bytes of the SHA-1 of the subject in its canonical form, which has every
/// text as UTF-8, in lower case, and with single blanks.
pub fn subject_hash(certificate: &str) -> Option<String> {
    let pem = Pem::iter_from_buffer(certificate.as_bytes()).next()?.ok()?;
    let parsed = pem.parse_x509().ok()?;
    let mut canonical = Vec::new();
    for names in parsed.subject().iter_rdn() {
        let mut set = Vec::new();
        for name in names.iter() {
            let value = name.attr_value();
            let value = match name.as_str() {
                Ok(text) => element(UTF8, normal(text).as_bytes()),
                // Not a text: it stays as it is.
                Err(_) => element(value.tag().0 as u8, value.data),
            };
            let content = [element(OBJECT, name.attr_type().as_bytes()), value].concat();
            set.extend(element(SEQUENCE, &content));
        }
        canonical.extend(element(SET, &set));
    }
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &canonical);
    let first: [u8; 4] = sum.as_ref().get(..4)?.try_into().ok()?;
    Some(format!("{:08x}", u32::from_le_bytes(first)))
}

/// Tags of ASN.1.
const OBJECT: u8 = 6;
const UTF8: u8 = 12;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

fn normal(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase()
}

/// A tag, the length and the content (DER).
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..128 => out.push(length as u8),
        128..256 => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl req -x509 -subj "/O=Acme  Corp /CN=Proxy CA"`; `openssl x509 -subject_hash` says 1fe413ef.
    const ACME: &str = "-----BEGIN CERTIFICATE-----\nMIIBpzCCAU2gAwIBAgIUUdATjOB/E2DvPI5p8zeol3DyrokwCgYIKoZIzj0EAwIw\nKTEUMBIGA1UECgwLQWNtZSAgQ29ycCAxETAPBgNVBAMMCFByb3h5IENBMB4XDTI2\nMTEyNjA0MzQzM1oXDTI2MTEyNzA0MzQzM1owKTEUMBIGA1UECgwLQWNtZSAgQ29y\ncCAxETAPBgNVBAMMCFByb3h5IENBMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\nVU9EMFpqBto3ixHrVXcOdO6F7CMjBXCeb2t+P5oFswgDBHc5PN2jp0gdQMm1l/qk\nXoaDu9P2knsUyZtbmRXfsqNTMFEwHQYDVR0OBBYEFF9SQRExYwfSqAp3MZLPnX1X\nLO1NMB8GA1UdIwQYMBaAFF9SQRExYwfSqAp3MZLPnX1XLO1NMA8GA1UdEwEB/wQF\nMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAMJzGrP4rhYhSxeC4XXdZ/8UwFAtxgVJ\nXv9x2CFHhxFQAiAEWVq6+vVFn7KO7DjqhvlSt80cXebJJQu/yyP3m+0APg==\n-----END CERTIFICATE-----\n";

    #[test]
    fn a_certificate_is_found_under_the_name_that_openssl_gives_it() {
        assert_eq!(subject_hash(ACME).as_deref(), Some("1fe413ef"));
        assert_eq!(subject_hash("nonsense"), None);
    }

    #[test]
    fn certificates_are_picked_out_of_what_else_is_in_a_file() {
        let text = format!("# mine\n{ACME}-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\r\n{ACME}");
        assert_eq!(certificates(&text), [ACME, ACME]);
        assert_eq!(certificates("none"), Vec::<String>::new());
    }
}
