//! Service accounts: a bearer token says who asks, as long as everything that it is bound to is there.
//!
//! Source: pkg/serviceaccount/{claims,legacy,jwt}.go.

use super::lookup;
use crate::api::{Object, Reason, Status};
use crate::control::server::{Authenticator, Identity, PeerCertificate};
use crate::control::store::Store;
use crate::pki::token::{Claims, ISSUER, LegacyClaims, Named, Tokens};
use http::{HeaderMap, header};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Verified tokens that are remembered, so that a signature is checked once.
const REMEMBERED: usize = 1024;
/// Seconds for which an object that is ending still counts, so that its pods can end in order.
const LEEWAY: i64 = 60;

/// The authenticator, and what signs tokens.
pub struct Accounts {
    pub tokens: Tokens,
    store: Store,
    verified: Mutex<HashMap<String, Known>>,
}

/// What a token with a good signature says.
#[derive(Clone)]
enum Known {
    Bound(Arc<Claims>),
    Legacy(Arc<LegacyClaims>),
}

/// What a valid token says.
pub struct Verified {
    pub identity: Identity,
    pub audiences: Vec<String>,
}

/// The groups of a service account.
pub fn groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")]
}

/// Namespace and name of a service account, from its user name.
pub fn parse(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

impl Accounts {
    /// Verifies and signs with `tokens`, and finds in `store` whether things are there.
    pub fn new(tokens: Tokens, store: Store) -> Arc<Self> {
        Arc::new(Self { tokens, store, verified: Mutex::default() })
    }

    /// Who a token is for, if it is ours, in force, and for one of `audiences`. The error is for a review's status.
    pub fn verify(&self, token: &str, audiences: &[&str]) -> Result<Verified, String> {
        let claims = match self.known(token, audiences)? {
            Known::Bound(claims) => claims,
            Known::Legacy(claims) => return self.legacy(token, &claims, audiences),
        };
        let bound = &claims.kubernetes;
        let namespace = bound.namespace.as_str();
        self.check("serviceaccounts", namespace, &bound.serviceaccount, "service account token has been invalidated")?;
        let parts = [("pods", &bound.pod), ("secrets", &bound.secret), ("nodes", &bound.node)];
        for (resource, named) in parts {
            // A pod's node is for information: the pod may outlive the node's object.
            let is_information = resource == "nodes" && bound.pod.is_some();
            if let Some(named) = named.as_ref().filter(|_| !is_information) {
                let namespace = if resource == "nodes" { "" } else { namespace };
                self.check(resource, namespace, named, "service account token has been invalidated")?;
            }
        }
        let audiences = claims.aud.iter().filter(|own| audiences.contains(&own.as_str())).cloned().collect();
        Ok(Verified { identity: identity(&claims), audiences })
    }

    /// What a token says whose signature, time and audience are right.
    fn known(&self, token: &str, audiences: &[&str]) -> Result<Known, String> {
        let known = self.verified.lock().get(token).cloned();
        match known {
            Some(Known::Bound(claims)) if is_in_force(&claims, audiences) => return Ok(Known::Bound(claims)),
            Some(Known::Legacy(claims)) => return Ok(Known::Legacy(claims)),
            _ => {}
        }
        let known = match self.tokens.verify_legacy(token) {
            Ok(claims) => Known::Legacy(Arc::new(claims)),
            Err(_) => Known::Bound(Arc::new(self.tokens.verify(token, audiences).map_err(|error| {
                let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                format!("[invalid bearer token, {why}]")
            })?)),
        };
        let mut verified = self.verified.lock();
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(token.into(), known.clone());
        Ok(known)
    }

    fn legacy(&self, token: &str, claims: &LegacyClaims, audiences: &[&str]) -> Result<Verified, String> {
        const GONE: &str = "service account token has been invalidated";
        if !audiences.contains(&ISSUER) {
            return Err("[invalid bearer token, InvalidAudience]".into());
        }
        let account = Named { name: claims.account.clone(), uid: claims.account_uid.clone() };
        self.check("serviceaccounts", &claims.namespace, &account, GONE)?;
        let secret = lookup::object(&self.store, "secrets", &claims.namespace, &claims.secret).ok_or(GONE)?;
        if secret.text(&["data", "token"]) != base64(token) || is_over(&secret) {
            return Err(GONE.into());
        }
        let mut groups = groups(&claims.namespace);
        groups.push("system:authenticated".into());
        let identity = Identity { name: claims.sub.clone(), uid: account.uid, groups, extra: Vec::new() };
        Ok(Verified { identity, audiences: vec![ISSUER.into()] })
    }

    /// Whether the object is there, the same one, and not ending for long.
    fn check(&self, resource: &str, namespace: &str, named: &Named, gone: &str) -> Result<(), String> {
        let object = lookup::object(&self.store, resource, namespace, &named.name).ok_or_else(|| gone.to_string())?;
        if object.uid() != named.uid || is_over(&object) { Err(gone.into()) } else { Ok(()) }
    }
}

/// Whether a token that was good once is so now, for one of `audiences`.
fn is_in_force(claims: &Claims, audiences: &[&str]) -> bool {
    claims.exp > Timestamp::now().as_second() && claims.aud.iter().any(|own| audiences.contains(&own.as_str()))
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Whether an object has been ending for longer than the leeway.
fn is_over(object: &Object) -> bool {
    let when: Option<Timestamp> = object.text(&["metadata", "deletionTimestamp"]).parse().ok();
    when.is_some_and(|when| Timestamp::now().as_second() - when.as_second() > LEEWAY)
}

/// The user of a token that was found valid.
fn identity(claims: &Claims) -> Identity {
    let bound = &claims.kubernetes;
    let mut groups = groups(&bound.namespace);
    groups.push("system:authenticated".into());
    let mut extra =
        vec![("authentication.kubernetes.io/credential-id".to_string(), vec![format!("JTI={}", claims.jti)])];
    for (what, named) in [("node", &bound.node), ("pod", &bound.pod)] {
        if let Some(Named { name, uid }) = named {
            extra.push((format!("authentication.kubernetes.io/{what}-name"), vec![name.clone()]));
            extra.push((format!("authentication.kubernetes.io/{what}-uid"), vec![uid.clone()]));
        }
    }
    Identity { name: claims.sub.clone(), uid: bound.serviceaccount.uid.clone(), groups, extra }
}

/// The authenticator of requests with a token of a service account.
pub struct Bearer(pub Arc<Accounts>);

impl Authenticator for Bearer {
    fn authenticate(&self, headers: &HeaderMap, _peer: Option<&PeerCertificate>) -> Result<Option<Identity>, Status> {
        let Some(token) = token(headers) else { return Ok(None) };
        let unauthorized = |why: String| {
            tracing::debug!(why, "a bearer token was refused");
            Status::new(Reason::Unauthorized, "Unauthorized")
        };
        self.0.verify(&token, &[ISSUER]).map(|verified| Some(verified.identity)).map_err(unauthorized)
    }
}

/// The token of a request: in `Authorization`, or, from browsers, among the protocols of a WebSocket.
fn token(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    if let Some((scheme, token)) = text(header::AUTHORIZATION).and_then(|value| value.trim().split_once(' ')) {
        return (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim().to_string());
    }
    use base64::Engine;
    let protocols = text(header::SEC_WEBSOCKET_PROTOCOL)?;
    let encoded =
        protocols.split(',').find_map(|one| one.trim().strip_prefix("base64url.bearer.authorization.k8s.io."))?;
    String::from_utf8(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}
