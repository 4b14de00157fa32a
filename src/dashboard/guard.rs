//! Whose requests the proxy takes: those that a page of its own sent, with the token that was printed.
//!
//! Any page in the user's browser can send requests to a loopback port, and any user of the machine can connect to it. So
//! * the `Host` must be the loopback's: a foreign name that leads here (DNS rebinding) is refused,
//! * an `Origin`, where there is one, must be the proxy's own,
//! * everything but the page's files needs the token, which only who saw the printed URL has.

use crate::api::{Reason, Status};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{self, HeaderName};
use sha2::{Digest, Sha256};

/// How a WebSocket, which has no headers of the page's, carries a token. Kubernetes' API server has the same form.
const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// The rules of one proxy.
pub struct Guard {
    port: u16,
    token: String,
}

impl Guard {
    /// A guard of a port of the loopback, with a new token.
    pub fn new(port: u16) -> Self {
        let secret: [u8; 32] = rand::random();
        Self { port, token: URL_SAFE_NO_PAD.encode(secret) }
    }

    /// What the page must show.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Refuses requests that another page, or a name that is not the loopback's, led here.
    pub fn check_place(&self, headers: &HeaderMap) -> Result<(), Status> {
        let places = [format!("127.0.0.1:{}", self.port), format!("localhost:{}", self.port)];
        let host = text(headers, header::HOST).unwrap_or_default();
        if !places.iter().any(|place| place == host) {
            return Err(Status::new(Reason::Forbidden, format!("`{host}` is not where the dashboard is")));
        }
        match text(headers, header::ORIGIN) {
            None => Ok(()),
            Some(origin) if origin.strip_prefix("http://") == Some(host) => Ok(()),
            Some(origin) => Err(Status::new(Reason::Forbidden, format!("`{origin}` is not a page of the dashboard"))),
        }
    }

    /// Refuses requests without the token.
    pub fn check_token(&self, headers: &HeaderMap) -> Result<(), Status> {
        let bearer = text(headers, header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let encoded = protocols(headers).find_map(|word| word.strip_prefix(BEARER_PROTOCOL));
        let decoded =
            encoded.and_then(|word| URL_SAFE_NO_PAD.decode(word).ok()).and_then(|b| String::from_utf8(b).ok());
        match bearer.map(String::from).or(decoded) {
            Some(shown) if is_same(&shown, &self.token) => Ok(()),
            _ => Err(Status::new(Reason::Unauthorized, "the token of this `coracle dashboard` is missing or wrong")),
        }
    }
}

/// The protocols that a WebSocket offers, without the token.
pub fn offered(headers: &HeaderMap) -> Vec<&str> {
    protocols(headers).filter(|word| !word.starts_with(BEARER_PROTOCOL)).collect()
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Compares by digests: how long it takes tells nothing of where two tokens differ.
fn is_same(one: &str, other: &str) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_loopback_by_its_own_names_is_answered() {
        let guard = Guard::new(8001);
        let place = |host: &str| guard.check_place(&headers(&[("host", host)])).is_ok();
        assert!(place("127.0.0.1:8001") && place("localhost:8001"));
        for host in ["evil.example:8001", "127.0.0.1:80", "127.0.0.1", "localhost.evil.example:8001", ""] {
            assert!(!place(host), "{host}");
        }
        assert!(guard.check_place(&HeaderMap::new()).is_err(), "no Host at all");
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let guard = Guard::new(8001);
        let from = |origin: &str| guard.check_place(&headers(&[("host", "localhost:8001"), ("origin", origin)]));
        assert!(from("http://localhost:8001").is_ok());
        for origin in ["http://evil.example", "null", "https://localhost:8001", "http://localhost:8002"] {
            assert_eq!(from(origin).unwrap_err().code(), 403, "{origin}");
        }
    }

    #[test]
    fn the_token_comes_in_a_header_or_as_a_protocol_of_a_web_socket() {
        let guard = Guard::new(1);
        let bearer = format!("Bearer {}", guard.token());
        assert!(guard.check_token(&headers(&[("authorization", &bearer)])).is_ok());
        let word = format!("v5.channel.k8s.io, {BEARER_PROTOCOL}{}", URL_SAFE_NO_PAD.encode(guard.token()));
        let socket = headers(&[("sec-websocket-protocol", &word)]);
        assert!(guard.check_token(&socket).is_ok());
        assert_eq!(offered(&socket), ["v5.channel.k8s.io"], "the token goes no further");
        for wrong in ["Bearer ", "Bearer x", "Basic eDp5", ""] {
            assert_eq!(guard.check_token(&headers(&[("authorization", wrong)])).unwrap_err().code(), 401, "{wrong}");
        }
        assert!(guard.check_token(&HeaderMap::new()).is_err());
        assert_ne!(guard.token(), Guard::new(1).token());
    }
}
