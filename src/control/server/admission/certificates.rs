//! Plugins of certificate requests: who may approve and sign for a signer, and which subjects nobody may ask for.
//!
//! Source: plugin/pkg/admission/certificates.

use super::{Api, Change, Plugin, Verb};
use crate::api::Status;
use crate::control::server::Attributes;
use async_trait::async_trait;
use base64::Engine;
use serde_json::json;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

fn is_request(change: &Change<'_>) -> bool {
    change.is_of("certificates.k8s.io", "certificatesigningrequests")
}

/// Whether the user may do something with a signer, named itself or by its domain.
fn may(api: &Api, change: &Change<'_>, verb: &str) -> bool {
    let signer = change.old.unwrap_or(change.object).text(&["spec", "signerName"]);
    let domain = signer.split('/').next().unwrap_or_default();
    [signer.to_string(), format!("{domain}/*")].into_iter().any(|name| {
        let wanted = Attributes {
            verb: verb.into(),
            group: "certificates.k8s.io".into(),
            version: "*".into(),
            resource: "signers".into(),
            name,
            ..Attributes::default()
        };
        api.authorizer.allows(change.user, &wanted)
    })
}

/// A request says who asks, whatever its sender wrote there.
pub struct CertificateRequester;

#[async_trait]
impl Plugin for CertificateRequester {
    async fn mutate(&self, _: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if !is_request(change) || change.verb != Verb::Create {
            return Ok(());
        }
        let user = change.user;
        for (field, value, is_empty) in [
            ("username", json!(user.name), user.name.is_empty()),
            ("uid", json!(user.uid), user.uid.is_empty()),
            ("groups", json!(user.groups), user.groups.is_empty()),
            (
                "extra",
                user.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect(),
                user.extra.is_empty(),
            ),
        ] {
            if is_empty {
                change.object.remove(&["spec", field]);
            } else {
                change.object.set(&["spec", field], value);
            }
        }
        Ok(())
    }
}

/// Approving needs the right to approve for the signer.
pub struct CertificateApproval;

#[async_trait]
impl Plugin for CertificateApproval {
    async fn validate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if !is_request(change) || change.attributes.subresource != "approval" || may(api, change, "approve") {
            return Ok(());
        }
        let signer = change.object.text(&["spec", "signerName"]);
        Err(change.forbidden(format!("user not permitted to approve requests with signerName \"{signer}\"")))
    }
}

/// Signing needs the right to sign for the signer.
pub struct CertificateSigning;

#[async_trait]
impl Plugin for CertificateSigning {
    async fn validate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let certificate = |object: &crate::api::Object| object.at(&["status", "certificate"]).cloned();
        let is_signed = change.old.is_some_and(|old| certificate(old) != certificate(change.object));
        let is_status = is_request(change) && change.attributes.subresource == "status";
        if !is_status || !is_signed || may(api, change, "sign") {
            return Ok(());
        }
        let signer = change.object.text(&["spec", "signerName"]);
        Err(change.forbidden(format!("user not permitted to sign requests with signerName \"{signer}\"")))
    }
}

/// Nobody becomes an administrator by a certificate.
pub struct CertificateSubjectRestriction;

#[async_trait]
impl Plugin for CertificateSubjectRestriction {
    async fn validate(&self, _: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let is_client = change.object.text(&["spec", "signerName"]) == "kubernetes.io/kube-apiserver-client";
        if !is_request(change) || change.verb != Verb::Create || !is_client {
            return Ok(());
        }
        let request = change.object.text(&["spec", "request"]);
        let names_masters =
            organizations(request).map_err(|why| change.forbidden(format!("failed to parse CSR: {why}")))?;
        if names_masters.iter().any(|group| group == "system:masters") {
            return Err(change.forbidden(
                "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
            ));
        }
        Ok(())
    }
}

/// The groups that a request (base64 of PEM) asks for.
fn organizations(request: &str) -> Result<Vec<String>, String> {
    let pem = base64::engine::general_purpose::STANDARD.decode(request).map_err(|error| error.to_string())?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).map_err(|error| error.to_string())?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).map_err(|error| error.to_string())?;
    let subject = &request.certification_request_info.subject;
    Ok(subject.iter_organization().filter_map(|name| name.as_str().ok()).map(String::from).collect())
}
