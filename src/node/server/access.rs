//! Who may use the kubelet API: whoever may do the same to the node's subresources in the cluster.
//!
//! ```text
//! client certificate of the cluster's authority ─┐
//! bearer token ─▶ TokenReview ───────────────────┴▶ user ─▶ SubjectAccessReview: VERB nodes/{proxy,log,stats,metrics,…} NAME
//! ```
//!
//! Source: pkg/kubelet/server/auth.go. Where upstream looks at the HTTP method alone, what runs something in a container
//! needs `create` here, also when it comes as the GET of a WebSocket.

use super::answer::{self, Answer};
use crate::node::context::Node;
use http::request::Parts;
use http::{Method, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The client certificate of a connection, DER, verified by TLS.
#[derive(Clone)]
pub struct PeerCertificate(pub Vec<u8>);

/// Parts of the API with a subresource of their own; everything else is `proxy`.
const PARTS: &[(&str, &str)] = &[
    ("stats", "stats"),
    ("metrics", "metrics"),
    ("logs", "log"),
    ("checkpoint", "checkpoint"),
    ("statusz", "statusz"),
    ("healthz", "healthz"),
    ("configz", "configz"),
    ("pods", "pods"),
    ("runningpods", "pods"),
];
/// Subresources that are finer than what older roles name: `proxy` allows them too (KubeletFineGrainedAuthz).
const FINE: &[&str] = &["healthz", "configz", "pods", "statusz"];
/// Parts that change something whatever the method.
const RUNS: &[&str] = &["exec", "attach", "run", "portForward"];

/// Passes a request or refuses it.
pub async fn check(node: &Node, parts: &Parts) -> Result<(), Answer> {
    let user = user(node, parts).await.map_err(unavailable)?;
    let Some(user) = user else { return Err(answer::text(StatusCode::UNAUTHORIZED, "Unauthorized")) };
    let (verb, subresources) = (verb(&parts.method, parts.uri.path()), subresources(parts.uri.path()));
    for subresource in &subresources {
        if may(node, &user, verb, subresource).await.map_err(unavailable)? {
            return Ok(());
        }
    }
    let name = user.username.unwrap_or_default();
    let why =
        format!("Forbidden (user={name}, verb={verb}, resource=nodes, subresource(s)=[{}])", subresources.join(" "));
    Err(answer::text(StatusCode::FORBIDDEN, why))
}

fn unavailable(error: kube::Error) -> Answer {
    answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("Authorization error: {error}"))
}

async fn user(node: &Node, parts: &Parts) -> kube::Result<Option<UserInfo>> {
    if let Some(certificate) = parts.extensions.get::<PeerCertificate>()
        && let Some(user) = subject(certificate)
    {
        return Ok(Some(user));
    }
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    match token.map(|(_, token)| token.trim()).filter(|token| !token.is_empty()) {
        Some(token) => review(node, token).await,
        None => Ok(None),
    }
}

fn subject(PeerCertificate(der): &PeerCertificate) -> Option<UserInfo> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().find_map(|name| name.as_str().ok()).filter(|name| !name.is_empty())?;
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok()).map(String::from);
    let groups = groups.chain(["system:authenticated".to_string()]).collect();
    Some(UserInfo { username: Some(name.into()), groups: Some(groups), ..UserInfo::default() })
}

async fn review(node: &Node, token: &str) -> kube::Result<Option<UserInfo>> {
    let spec = TokenReviewSpec { token: token.into(), audiences: None };
    let review = TokenReview { spec, ..TokenReview::default() };
    let reviewed = Api::<TokenReview>::all(node.client.clone()).create(&PostParams::default(), &review).await?;
    let status = reviewed.status.unwrap_or_default();
    Ok(status.user.filter(|_| status.authenticated == Some(true)))
}

async fn may(node: &Node, user: &UserInfo, verb: &str, subresource: &str) -> kube::Result<bool> {
    let attributes = ResourceAttributes {
        verb: Some(verb.into()),
        version: Some("v1".into()),
        resource: Some("nodes".into()),
        subresource: Some(subresource.into()),
        name: Some(node.name.clone()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: user.username.clone(),
        uid: user.uid.clone(),
        groups: user.groups.clone(),
        extra: user.extra.clone(),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviewed = Api::<SubjectAccessReview>::all(node.client.clone()).create(&PostParams::default(), &review).await?;
    Ok(reviewed.status.is_some_and(|status| status.allowed))
}

fn first_segment(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

fn verb(method: &Method, path: &str) -> &'static str {
    match *method {
        _ if RUNS.contains(&first_segment(path)) => "create",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// Subresources any of which is enough, the finest first.
fn subresources(path: &str) -> Vec<&'static str> {
    let part = first_segment(path);
    match PARTS.iter().find(|(own, _)| *own == part) {
        Some((_, subresource)) if FINE.contains(subresource) => vec![subresource, "proxy"],
        Some((_, subresource)) => vec![subresource],
        None => vec!["proxy"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_api_has_its_subresource() {
        assert_eq!(subresources("/stats/summary"), ["stats"]);
        assert_eq!(subresources("/metrics"), ["metrics"]);
        assert_eq!(subresources("/logs/pods/"), ["log"]);
        assert_eq!(subresources("/pods"), ["pods", "proxy"]);
        assert_eq!(subresources("/containerLogs/a/b/c"), ["proxy"]);
        assert_eq!(subresources("/statsx"), ["proxy"]);
    }

    #[test]
    fn running_something_is_more_than_reading() {
        assert_eq!(verb(&Method::GET, "/exec/a/b/c"), "create");
        assert_eq!(verb(&Method::GET, "/portForward/a/b"), "create");
        assert_eq!(verb(&Method::GET, "/containerLogs/a/b/c"), "get");
    }
}
