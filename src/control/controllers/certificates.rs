//! CertificateSigningRequests: signed when approved, approved here for node agents only, cleared away when old.
//!
//! Source of the rules and wording: kubernetes `pkg/controller/certificates/{approver,signer,cleaner}`.

use super::runner::Next;
use super::watches::own;
use super::{Context, Controller, Error, Key, SigningRequest, write};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, PostParams};
use std::time::Duration;

pub(super) const CONTROLLER: Controller = Controller {
    name: "certificate-controller",
    watches: &[own::<CertificateSigningRequest>],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Who signs here, and the usages that each allows; nothing for any.
const SIGNERS: &[(&str, Option<&[&str]>)] = &[
    ("kubernetes.io/kube-apiserver-client", Some(&["digital signature", "key encipherment", "client auth"])),
    (KUBELET_CLIENT, Some(&["digital signature", "key encipherment", "client auth"])),
    ("kubernetes.io/kubelet-serving", Some(&["digital signature", "key encipherment", "server auth"])),
    ("kubernetes.io/legacy-unknown", None),
];
/// How long requests are kept: decided or signed ones, and those that nobody decides.
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
const PENDING: SignedDuration = SignedDuration::from_hours(24);

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(request) = context.caches.of::<CertificateSigningRequest>().get("", &key.name) else {
        return Ok(Next::Wait);
    };
    let left = expiry(&request).map(|expiry| expiry.duration_since(Timestamp::now()));
    if left.is_some_and(|left| !left.is_positive()) {
        write::delete(context, &*request).await?;
        return Ok(Next::Wait);
    }
    let has_certificate = request.status.as_ref().is_some_and(|status| status.certificate.is_some());
    if condition(&request, "Approved").is_some() {
        if !has_certificate && condition(&request, "Failed").is_none() {
            sign(context, &request).await?;
        }
    } else if condition(&request, "Denied").is_none() && request.spec.signer_name == KUBELET_CLIENT {
        approve(context, &request).await?;
    }
    Ok(left.map_or(Next::Wait, |left| Next::After(Duration::try_from(left).unwrap_or_default())))
}

fn condition<'a>(request: &'a CertificateSigningRequest, kind: &str) -> Option<&'a CertificateSigningRequestCondition> {
    request.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// When a request is to be cleared away.
fn expiry(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let decided = ["Approved", "Denied", "Failed"].into_iter().find_map(|kind| condition(request, kind));
    let created = request.metadata.creation_timestamp.as_ref().map(|time| time.0);
    match decided {
        Some(condition) => {
            let since = condition.last_update_time.as_ref().map(|time| time.0).or(created)?;
            since.checked_add(DECIDED).ok()
        }
        None => created?.checked_add(PENDING).ok(),
    }
}

fn new_condition(kind: &str, reason: &str, message: &str) -> CertificateSigningRequestCondition {
    let now = Some(Time(Timestamp::now()));
    CertificateSigningRequestCondition {
        type_: kind.into(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_update_time: now.clone(),
        last_transition_time: now,
    }
}

async fn sign(context: &Context, request: &CertificateSigningRequest) -> Result<(), Error> {
    let spec = &request.spec;
    let Some((_, allowed)) = SIGNERS.iter().find(|(name, _)| *name == spec.signer_name) else { return Ok(()) };
    let mut status = request.status.clone().unwrap_or_default();
    match refusal(spec, *allowed).map_or_else(|| (context.config.signer)(&wanted(spec)), Err) {
        Ok(chain) => status.certificate = Some(ByteString(chain.into_bytes())),
        Err(why) => {
            let failed = new_condition("Failed", "SignerValidationFailure", &why);
            status.conditions.get_or_insert_default().push(failed);
        }
    }
    write::merge_status(context, request, status).await.map(drop)
}

fn wanted(spec: &CertificateSigningRequestSpec) -> SigningRequest {
    SigningRequest {
        request: spec.request.0.clone(),
        signer: spec.signer_name.clone(),
        usages: spec.usages.clone().unwrap_or_default(),
        seconds: spec.expiration_seconds,
    }
}

/// Why a signer does not sign for these usages.
fn refusal(spec: &CertificateSigningRequestSpec, allowed: Option<&[&str]>) -> Option<String> {
    let mut usages = spec.usages.iter().flatten();
    let wrong = usages.find(|usage| allowed.is_some_and(|allowed| !allowed.contains(&usage.as_str())))?;
    Some(format!("invalid usage for {} certificate: {wrong:?}", spec.signer_name))
}

/// Approves a node agent's own certificate, if whoever asks may have it without asking.
async fn approve(context: &Context, request: &CertificateSigningRequest) -> Result<(), Error> {
    let Some(node) = node_client(&request.spec) else { return Ok(()) };
    let is_self = request.spec.username.as_deref() == Some(&*node);
    let checks: &[(&str, &str)] = match is_self {
        true => &[
            ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
            ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
        ],
        false => &[("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")],
    };
    for (subresource, message) in checks {
        if !is_allowed(context, &request.spec, subresource).await? {
            continue;
        }
        let mut approved = request.clone();
        let conditions = approved.status.get_or_insert_default().conditions.get_or_insert_default();
        conditions.push(new_condition("Approved", "AutoApproved", message));
        let door: Api<CertificateSigningRequest> = Api::all(context.client.clone());
        let name = request.metadata.name.as_deref().unwrap_or_default();
        door.replace_subresource("approval", name, &PostParams::default(), &approved).await?;
        return Ok(());
    }
    Ok(())
}

async fn is_allowed(context: &Context, spec: &CertificateSigningRequestSpec, subresource: &str) -> Result<bool, Error> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: spec.username.clone(),
            uid: spec.uid.clone(),
            groups: spec.groups.clone(),
            extra: spec.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                group: Some("certificates.k8s.io".into()),
                resource: Some("certificatesigningrequests".into()),
                verb: Some("create".into()),
                subresource: Some(subresource.into()),
                ..Default::default()
            }),
            ..Default::default()
        },
        ..Default::default()
    };
    let door: Api<SubjectAccessReview> = Api::all(context.client.clone());
    let answer = door.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The user name in a request for a node agent's certificate, if it is such a request and nothing else.
fn node_client(spec: &CertificateSigningRequestSpec) -> Option<String> {
    let is_usage = |usage: &String| ["key encipherment", "digital signature", "client auth"].contains(&usage.as_str());
    let usages = spec.usages.as_deref().unwrap_or_default();
    if !usages.iter().all(is_usage) || !usages.iter().any(|usage| usage == "client auth") {
        return None;
    }
    let (_, pem) = x509_parser::pem::parse_x509_pem(&spec.request.0).ok()?;
    let (_, request) = x509_parser::prelude::FromDer::from_der(&pem.contents).ok()?;
    let request: x509_parser::certification_request::X509CertificationRequest = request;
    let subject = &request.certification_request_info.subject;
    let organizations: Vec<_> = subject.iter_organization().filter_map(|one| one.as_str().ok()).collect();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let asks_for_more = request.requested_extensions().is_some_and(|mut all| {
        all.any(|one| matches!(one, x509_parser::extensions::ParsedExtension::SubjectAlternativeName(_)))
    });
    let is_node = organizations == ["system:nodes"] && name.starts_with("system:node:") && !asks_for_more;
    is_node.then(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn request(conditions: Value) -> CertificateSigningRequest {
        serde_json::from_value(json!({"metadata": {"name": "r", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"request": "", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
            "status": {"conditions": conditions}}))
        .unwrap()
    }

    #[test]
    fn requests_are_kept_for_a_day_and_decided_ones_for_an_hour() {
        let hour = |hours: i64| Timestamp::from_second(hours * 3600).ok();
        assert_eq!(expiry(&request(json!([]))), hour(24));
        let approved = json!([{"type": "Approved", "status": "True", "lastUpdateTime": "1970-01-01T02:00:00Z"}]);
        assert_eq!(expiry(&request(approved)), hour(3));
    }

    #[test]
    fn a_signer_signs_for_its_usages_only() {
        let mut spec = request(json!([])).spec;
        let allowed = SIGNERS[0].1;
        assert_eq!(refusal(&spec, allowed), None);
        spec.usages = Some(vec!["server auth".into()]);
        assert!(refusal(&spec, allowed).unwrap().contains("server auth"));
        assert_eq!(refusal(&spec, None), None);
    }

    #[test]
    fn what_is_no_request_of_a_node_is_not_approved() {
        assert_eq!(node_client(&request(json!([])).spec), None);
    }
}
