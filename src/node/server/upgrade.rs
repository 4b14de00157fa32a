//! Which of the streaming protocols a request asks for, and the answer that switches to it.
//!
//! Source: k8s.io/apimachinery `pkg/util/httpstream`, k8s.io/apiserver `pkg/util/httpstream/wsstream`.

use super::answer::{self, Answer};
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The header in which SPDY clients name the versions that they speak.
const STREAM_VERSION: &str = "x-stream-protocol-version";
/// What both sides of a SPDY connection call it.
const SPDY: &str = "SPDY/3.1";

/// What a request asks to switch to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    WebSocket { key: String, protocols: Vec<String> },
    Spdy { protocols: Vec<String> },
    Nothing,
}

impl Asked {
    /// Reads the headers of a request.
    pub fn of(headers: &HeaderMap) -> Self {
        let has = |name: header::HeaderName, word: &str| {
            listed(headers, name.as_str()).iter().any(|value| value.eq_ignore_ascii_case(word))
        };
        if !has(header::CONNECTION, "upgrade") {
            return Asked::Nothing;
        }
        if has(header::UPGRADE, "websocket") {
            let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
            return Asked::WebSocket { key: key.into(), protocols: listed(headers, "sec-websocket-protocol") };
        }
        if has(header::UPGRADE, SPDY) {
            return Asked::Spdy { protocols: listed(headers, STREAM_VERSION) };
        }
        Asked::Nothing
    }
}

/// The comma-separated values of a header, over all its lines.
fn listed(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|word| word.trim().to_string()).filter(|word| !word.is_empty()).collect()
}

/// The first of the client's protocols that is spoken here; a client that names none gets the unnamed one, if there is one.
pub fn choose<'a>(asked: &[String], spoken: &[&'a str]) -> Option<&'a str> {
    if asked.is_empty() {
        return spoken.iter().find(|own| own.is_empty()).copied();
    }
    asked.iter().find_map(|wanted| spoken.iter().find(|own| *own == wanted)).copied()
}

/// Switches to WebSocket.
pub fn to_websocket(key: &str, protocol: &str) -> Answer {
    let mut response = switch("websocket");
    let headers = response.headers_mut();
    put(headers, "sec-websocket-accept", &derive_accept_key(key.as_bytes()));
    if !protocol.is_empty() {
        put(headers, "sec-websocket-protocol", protocol);
    }
    response
}

/// Switches to SPDY.
pub fn to_spdy(protocol: &str) -> Answer {
    let mut response = switch(SPDY);
    if !protocol.is_empty() {
        put(response.headers_mut(), STREAM_VERSION, protocol);
    }
    response
}

fn switch(to: &str) -> Answer {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    put(response.headers_mut(), "connection", "Upgrade");
    put(response.headers_mut(), "upgrade", to);
    response
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // Every value is one of a table, or base64.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The refusal of a client none of whose protocols is spoken here.
pub fn no_common(asked: &[String], spoken: &[&str]) -> Answer {
    let why = format!(
        "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
        asked.join(" "),
        spoken.join(" ")
    );
    let mut response = answer::text(StatusCode::FORBIDDEN, why);
    put(response.headers_mut(), "x-accepted-stream-protocol-versions", &spoken.join(","));
    response
}

/// The refusal of a request that asks for no protocol at all.
pub fn required() -> Answer {
    answer::text(StatusCode::BAD_REQUEST, "unable to upgrade: missing upgrade headers in request")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn both_protocols_are_recognized_with_their_versions() {
        let spdy = headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            (STREAM_VERSION, "v4.channel.k8s.io"),
            (STREAM_VERSION, "v3.channel.k8s.io, channel.k8s.io"),
        ]);
        let protocols = ["v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io"].map(String::from).to_vec();
        assert_eq!(Asked::of(&spdy), Asked::Spdy { protocols });
        let socket = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "v5.channel.k8s.io"),
        ]);
        let Asked::WebSocket { key, .. } = Asked::of(&socket) else { panic!() };
        let answer = to_websocket(&key, "v5.channel.k8s.io");
        assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(Asked::of(&headers(&[("upgrade", "websocket")])), Asked::Nothing);
    }

    #[test]
    fn the_clients_order_decides() {
        let asked = ["x".to_string(), "b".to_string(), "a".to_string()];
        assert_eq!(choose(&asked, &["a", "b"]), Some("b"));
        assert_eq!(choose(&asked[..1], &["a", "b"]), None);
        assert_eq!(choose(&[], &["", "a"]), Some(""));
    }
}
