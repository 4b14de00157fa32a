//! Passing any request on to an HTTP server behind a pod, a service or a node.
//!
//! Source: k8s.io/apimachinery `pkg/util/proxy` (UpgradeAwareHandler, Transport).

use super::connect::{self, Place};
use super::{Incoming, html};
use crate::api::{Reason, Status};
use crate::control::server::answer::Answer;
use crate::control::server::route::Call;
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

/// Starts of headers that say to the server who asks: no business of what is behind it.
const PRIVATE: &[&str] = &["authorization", "impersonate-", "x-remote-"];

/// Largest page whose links are replaced, in bytes.
const LARGEST_PAGE: usize = 8 << 20;

/// Passes a request on and its answer back.
pub async fn answer(call: &Call, place: Place, incoming: Incoming) -> Result<Answer, Status> {
    let (prefix, rest) = split(call);
    let query = match incoming.query.as_str() {
        "" => String::new(),
        query => format!("?{query}"),
    };
    let switches = connect::switches(&call.headers);
    if rest.is_empty() && !switches && matches!(call.method, Method::GET | Method::HEAD) {
        return moved(&format!("{prefix}/{query}"));
    }
    let rest = if rest.is_empty() { "/" } else { rest };
    let request = Request::builder().method(&call.method).uri(format!("{rest}{query}"));
    let mut request = request.body(incoming.body).map_err(|error| Status::bad_request(error.to_string()))?;
    *request.headers_mut() = headers(call, &place)?;
    let upgrade = incoming.upgrade.filter(|_| switches);
    if upgrade.is_some() {
        for name in [header::CONNECTION, header::UPGRADE] {
            for value in call.headers.get_all(&name) {
                request.headers_mut().append(&name, value.clone());
            }
        }
    }
    let response = place
        .send(request)
        .await
        .map_err(|error| Status::new(Reason::ServiceUnavailable, format!("error trying to reach service: {error}")))?;
    let mut response = connect::pass_back(response, upgrade);
    if let Some(location) = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok())
        && let Some(value) = below(location, &place, prefix).and_then(|link| HeaderValue::from_str(&link).ok())
    {
        response.headers_mut().insert(header::LOCATION, value);
    }
    if is_page(response.headers()) {
        return Ok(with_links(response, &place, prefix).await);
    }
    Ok(response)
}

/// Whether links in the body can be replaced.
fn is_page(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media.starts_with("text/html") && !headers.contains_key(header::CONTENT_ENCODING)
}

/// The page with its links below the prefix. One that is too long, or breaks off, is passed on as it is.
async fn with_links(response: Answer, place: &Place, prefix: &str) -> Answer {
    let (mut parts, body) = response.into_parts();
    let mut body = body.into_data_stream();
    let mut page = Vec::new();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) if page.len() + piece.len() <= LARGEST_PAGE => page.extend_from_slice(&piece),
            piece => {
                let read = futures::stream::iter([Ok(Bytes::from(page)), piece]);
                return Response::from_parts(parts, Body::from_stream(read.chain(body)));
            }
        }
    }
    let page = html::rewrite(&page, |link| below(link, place, prefix));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(page))
}

/// The path up to `/proxy`, and what follows it.
fn split(call: &Call) -> (&str, &str) {
    let path = call.attributes().path.as_str();
    let depth = if call.attributes().resource == "nodes" { 6 } else { 8 };
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    match slashes.nth(depth - 1) {
        Some(at) => path.split_at(at),
        None => (path, ""),
    }
}

fn moved(to: &str) -> Result<Answer, Status> {
    let moved = Response::builder().status(StatusCode::MOVED_PERMANENTLY).header(header::LOCATION, to);
    moved.body(Body::empty()).map_err(Status::internal)
}

fn headers(call: &Call, place: &Place) -> Result<HeaderMap, Status> {
    let mut headers = HeaderMap::new();
    for (name, value) in &call.headers {
        if !PRIVATE.iter().any(|start| name.as_str().starts_with(start)) {
            headers.append(name, value.clone());
        }
    }
    connect::strip(&mut headers);
    let host = headers.remove(header::HOST);
    let mut put = |name: HeaderName, text: &str| -> Result<(), Status> {
        headers.insert(name, HeaderValue::from_str(text).map_err(Status::internal)?);
        Ok(())
    };
    put(header::HOST, &place.authority())?;
    put(HeaderName::from_static("x-forwarded-uri"), &call.attributes().path)?;
    put(HeaderName::from_static("x-forwarded-proto"), "https")?;
    if let Some(host) = host {
        headers.insert("x-forwarded-host", host);
    }
    Ok(headers)
}

/// Where a link of the backend leads for the client: below the prefix, if it begins at the backend's own root.
fn below(link: &str, place: &Place, prefix: &str) -> Option<String> {
    let own = format!("://{}", place.authority());
    let path = match link.split_once(&own) {
        Some(("http" | "https", path)) if path.is_empty() || path.starts_with('/') => path,
        _ if link.starts_with('/') && !link.starts_with("//") && !link.starts_with(&format!("{prefix}/")) => link,
        _ => return None,
    };
    Some(format!("{prefix}{path}"))
}
