//! Requests for certificates.
//!
//! Source: pkg/apis/certificates/validation/validation.go.

use super::causes::{At, Causes, collect};
use crate::api::{Cause, Object};
use base64::Engine;

/// The shortest time that a certificate is asked for, in seconds.
const SHORTEST: i64 = 600;
/// The signer of requests that name none, which only the first version allowed.
pub const LEGACY: &str = "kubernetes.io/legacy-unknown";
const NO_LEGACY: &str = "the legacy signerName is not allowed via this API version";
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// What is wrong with a new request.
pub fn new_request(request: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(request, "spec");
        let sent = spec.at("request");
        if !is_request(sent.text()) {
            causes.invalid(&sent, "PEM block type must be CERTIFICATE REQUEST");
        }
        usages(&spec.at("usages"), causes);
        let signer = spec.at("signerName");
        match signer.text() {
            "" => causes.required(&signer, ""),
            LEGACY => causes.invalid(&signer, NO_LEGACY),
            name if !is_signer(name) => {
                let form = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
                causes.invalid(&signer, form);
            }
            _ => {}
        }
        let seconds = spec.at("expirationSeconds");
        if seconds.number().is_some_and(|seconds| seconds < SHORTEST) {
            causes.invalid(&seconds, "may not specify a duration less than 600 seconds (10 minutes)");
        }
    })
}

/// Whether a fault is one that the first version did not have: it had a signer for those who name none.
pub fn is_legacy(cause: &Cause) -> bool {
    cause.field == "spec.signerName" && cause.message.ends_with(NO_LEGACY)
}

/// Whether a text is base64 of a request in PEM.
fn is_request(text: &str) -> bool {
    let pem = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    let pem = String::from_utf8_lossy(&pem);
    pem.trim_start().starts_with("-----BEGIN CERTIFICATE REQUEST-----")
        && pem.contains("-----END CERTIFICATE REQUEST-----")
}

fn is_signer(name: &str) -> bool {
    name.split_once('/').is_some_and(|(domain, path)| domain.contains('.') && !path.is_empty())
}

fn usages(all: &At<'_>, causes: &mut Causes) {
    if all.count() == 0 {
        causes.required(all, "");
    }
    let mut seen: Vec<String> = Vec::new();
    for usage in all.items() {
        if !USAGES.contains(&usage.text()) {
            causes.unsupported(&usage, &USAGES);
        } else if seen.iter().any(|own| own == usage.text()) {
            causes.duplicate(&usage);
        }
        seen.push(usage.text().to_string());
    }
}
