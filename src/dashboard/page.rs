//! The page's files, embedded in the executable, and how they are answered.

use super::{Answer, whole};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// Names and bytes, by name.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// What a browser takes a file for.
const TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
];

/// Nothing is loaded from elsewhere, no script is inline, and no other page has this one in a frame.
pub const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every file.
const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    // Kept, and asked for again after an update alone.
    ("cache-control", "no-cache"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// One word for the state of all files: they belong together.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, bytes) in FILES {
        hash.update(name.as_bytes());
        hash.update(bytes);
    }
    let tag = format!("\"{}\"", &hex::encode(hash.finalize())[..16]);
    HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes")
});

/// The answer to a request for `path` below the page; the page itself has none.
pub fn answer(method: &http::Method, path: &str, headers: &http::HeaderMap) -> Answer {
    if method != http::Method::GET && method != http::Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "the page is only read\n");
    }
    let name = if path.is_empty() { "index.html" } else { path };
    let Some((_, bytes)) = FILES.iter().find(|(known, _)| *known == name) else {
        return plain(StatusCode::NOT_FOUND, "the page has no such file\n");
    };
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == *TAG);
    let body = if is_known || method == http::Method::HEAD { Bytes::new() } else { Bytes::from_static(bytes) };
    let mut answer = Response::new(whole(body));
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let end = name.rsplit('.').next().unwrap_or_default();
    let media = TYPES.iter().find(|(known, _)| *known == end).map_or("application/octet-stream", |(_, media)| media);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    answer.headers_mut().insert(header::ETAG, TAG.clone());
    for (name, value) in HEADERS {
        answer.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    answer
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(whole(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, Method};

    #[test]
    fn every_file_has_a_type_and_a_policy_that_loads_nothing_from_elsewhere() {
        assert!(FILES.iter().any(|(name, _)| *name == "index.html"));
        for (name, _) in FILES {
            let answer = answer(&Method::GET, name, &HeaderMap::new());
            assert_eq!(answer.status(), 200, "{name}");
            let header = |name: header::HeaderName| answer.headers()[name].to_str().unwrap().to_string();
            assert_ne!(header(header::CONTENT_TYPE), "application/octet-stream", "{name}");
            assert!(header(header::CONTENT_SECURITY_POLICY).contains("script-src 'self';"), "{name}");
        }
    }

    #[test]
    fn the_page_is_below_nothing_and_nothing_else_is_there() {
        let status = |method, path| answer(&method, path, &HeaderMap::new()).status().as_u16();
        assert_eq!(status(Method::GET, ""), 200);
        assert_eq!(status(Method::HEAD, "index.html"), 200);
        assert_eq!(status(Method::GET, "../Cargo.toml"), 404);
        assert_eq!(status(Method::POST, ""), 405);
    }

    #[test]
    fn a_browser_that_has_the_files_is_not_sent_them_again() {
        let first = answer(&Method::GET, "", &HeaderMap::new());
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(answer(&Method::GET, "", &headers).status(), 304);
    }

    #[test]
    fn no_file_of_the_page_makes_markup_of_text_or_runs_text() {
        let forbidden = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"];
        for (name, bytes) in FILES.iter().filter(|(name, _)| name.ends_with(".js")) {
            let text = std::str::from_utf8(bytes).unwrap();
            for word in forbidden {
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
    }
}
