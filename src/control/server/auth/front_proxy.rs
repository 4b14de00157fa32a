//! A proxy in front of the server says who asks, in headers; it shows the front proxy's certificate itself.
//!
//! Source: k8s.io/apiserver `pkg/authentication/request/headerrequest`.

use crate::api::Status;
use crate::control::server::{Authenticator, Identity, PeerCertificate};
use http::HeaderMap;

/// The authority whose certificates are for proxies and for nobody else.
pub const AUTHORITY: &str = "front-proxy-ca";
/// The one client of that authority that is believed.
const CLIENT: &str = "front-proxy-client";
/// Start of the headers that hold what else is known of the user.
const EXTRA: &str = "x-remote-extra-";

/// The authenticator.
pub struct FrontProxy;

impl Authenticator for FrontProxy {
    fn authenticate(&self, headers: &HeaderMap, peer: Option<&PeerCertificate>) -> Result<Option<Identity>, Status> {
        let Some(name) = text(headers, "x-remote-user") else { return Ok(None) };
        let Some(subject) = peer.and_then(|peer| peer.0.as_ref()) else { return Ok(None) };
        if subject.issuer != AUTHORITY || subject.name != CLIENT {
            return Ok(None);
        }
        let mut groups: Vec<String> = all(headers, "x-remote-group");
        if !groups.iter().any(|group| group == "system:authenticated" || group == "system:unauthenticated") {
            groups.push("system:authenticated".into());
        }
        let uid = text(headers, "x-remote-uid").unwrap_or_default();
        Ok(Some(Identity { name, uid, groups, extra: extra(headers, EXTRA) }))
    }
}

/// A header's value, if it is there and not empty.
pub fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (!value.is_empty()).then(|| value.to_string())
}

/// Every value of a header.
pub fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(String::from).collect()
}

/// Headers that start with `prefix`; the rest of the name is percent-encoded.
pub fn extra(headers: &HeaderMap, prefix: &str) -> Vec<(String, Vec<String>)> {
    let names = headers.keys().filter_map(|name| Some((name, name.as_str().strip_prefix(prefix)?)));
    names.map(|(name, key)| (decoded(key), all(headers, name.as_str()))).collect()
}

/// Text with `%2f` and the like turned back.
fn decoded(text: &str) -> String {
    // A plus is a plus in a header's name, and a space in a form.
    let text = text.replace('+', "%2B");
    form_urlencoded::parse(text.as_bytes()).next().map_or(String::new(), |(key, _)| key.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_extras_are_decoded() {
        let mut headers = HeaderMap::new();
        headers.append("x-remote-extra-example.com%2fteam", "a".parse().unwrap());
        headers.append("x-remote-extra-example.com%2fteam", "b".parse().unwrap());
        assert_eq!(extra(&headers, EXTRA), [("example.com/team".to_string(), vec!["a".to_string(), "b".into()])]);
    }

    #[test]
    fn whoever_is_no_proxy_cannot_say_who_asks() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", "root".parse().unwrap());
        assert_eq!(FrontProxy.authenticate(&headers, None).unwrap(), None);
    }
}
