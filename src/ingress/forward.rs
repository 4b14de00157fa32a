//! A request on its way to a pod: which pods are tried, and what is sent.

use super::bodies::{Body, Counted, Progress, empty};
use super::endpoints::{Backend, cookie_of};
use super::headers::{self, Asked};
use super::paths;
use super::proxy::Proxy;
use super::settings::Settings;
use super::table::{Location, Table};
use super::upstream::{Failure, Patience, Target};
use super::variables::cookie;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use regex::Regex;
use std::sync::Arc;

/// A request, ready to be sent to a pod.
pub struct Outgoing<'a> {
    pub table: &'a Table,
    pub location: &'a Location,
    pub asked: &'a Asked,
    /// The expression that the path met.
    pub expression: Option<&'a Regex>,
    pub upgrade: Option<HeaderValue>,
}

/// What came of it.
pub struct Answered {
    pub response: Response<Incoming>,
    /// The cookie that keeps the client with the pod, if it is to be told.
    pub cookie: Option<HeaderValue>,
    pub patience: Patience,
}

/// The pods to try, and how.
struct Plan<'a> {
    backend: Arc<Backend>,
    settings: &'a Settings,
    first: usize,
    /// The client's cookie named the first.
    is_kept: bool,
}

impl Outgoing<'_> {
    /// Asks pods until one answers; the code of an error otherwise.
    pub async fn send(&self, proxy: &Proxy, parts: Parts, body: Incoming) -> Result<Answered, u16> {
        let settings = &self.location.settings;
        let plan = self.plan(&parts);
        if plan.backend.is_empty() {
            return Err(503);
        }
        let patience = self.patience();
        let has_body = !http_body::Body::is_end_stream(&body);
        let progress = Progress::new(!has_body);
        let limit = settings.body_limit.unwrap_or(self.table.config.body_limit);
        let limit = Some(limit).filter(|limit| *limit > 0 && !settings.protocol.is_http2());
        let body = match has_body {
            true => Counted::new(body, limit, progress.clone()).boxed_unsync(),
            false => empty(),
        };
        let mut request = Some(self.request(parts, body)?);
        let is_safe = matches!(
            *request_method(&request),
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
        );
        let may_repeat = !has_body && self.upgrade.is_none() && (is_safe || settings.retry.also_unsafe);
        let tries = match settings.tries.unwrap_or(self.table.config.tries) {
            0 => plan.backend.len(),
            tries => tries as usize,
        };
        let (mut backend, mut index, mut code) = (plan.backend.clone(), plan.first, 502);
        for turn in 0..tries {
            let Some(mut this) = request.take() else { break };
            let Some(address) = backend.at(index).cloned() else { return Err(503) };
            self.address(&mut this, &address)?;
            let again = (may_repeat && turn + 1 < tries).then(|| copy(&this));
            let target = self.target(&address, settings);
            let gone = backend.clone().without(address.clone());
            match proxy.upstream.send(&target, this, patience, &progress, gone).await {
                Ok(response) if again.is_some() && settings.retry.on_codes.contains(&response.status().as_u16()) => {
                    code = response.status().as_u16();
                    request = again;
                }
                Ok(response) => {
                    let cookie = self.cookie(&plan, turn, &address);
                    return Ok(Answered { response, cookie, patience });
                }
                Err(_) if progress.is_too_big() => return Err(413),
                Err(Failure::Late) if progress.is_waiting_for_client() => return Err(408),
                Err(failure) => {
                    let on = if failure.is_late() { settings.retry.on_timeout } else { settings.retry.on_error };
                    code = if failure.is_late() { 504 } else { 502 };
                    tracing::debug!(%address, why = failure.why(), "a pod does not answer");
                    request = failure.request().or(again).filter(|_| on);
                }
            }
            progress.touch();
            // Those who are there now, not those who were when the request came.
            let latest = backend.latest();
            index = if Arc::ptr_eq(&latest, &backend) { index + 1 } else { latest.in_turn() };
            backend = latest;
        }
        Err(code)
    }

    /// Main service or canary, and the pod to begin with.
    fn plan(&self, parts: &Parts) -> Plan<'_> {
        let location = self.location;
        let kept = |settings: &Settings, backend: &Backend| {
            let affinity = settings.affinity.as_ref()?;
            backend.by_cookie(cookie(&parts.headers, &affinity.cookie)?)
        };
        let main = match (&location.errors_to, location.backend.is_empty()) {
            (Some(other), true) => other,
            _ => &location.backend,
        };
        let on_main = kept(&location.settings, main);
        if let Some((canary, settings, backend)) = &location.canary
            && !backend.is_empty()
        {
            // What keeps a client is the canary's own word on it, or else the main Ingress'.
            let settings = if settings.affinity.is_some() { settings } else { &location.settings };
            let on_canary = kept(settings, backend).filter(|_| canary.is_sticky);
            if on_canary.is_some() || ((on_main.is_none() || !canary.is_sticky) && canary.takes(&parts.headers)) {
                return self.begin(backend, settings, on_canary, parts);
            }
        }
        self.begin(main, &location.settings, on_main, parts)
    }

    fn begin<'a>(
        &self,
        backend: &Arc<Backend>,
        settings: &'a Settings,
        kept: Option<usize>,
        parts: &Parts,
    ) -> Plan<'a> {
        let first = match (&settings.hash_by, kept) {
            (_, Some(kept)) => kept,
            (Some(text), None) => backend.by_key(&text.fill(&self.asked.values(&parts.headers, &[]))),
            (None, None) => backend.in_turn(),
        };
        Plan { backend: backend.clone(), settings, first, is_kept: kept.is_some() }
    }

    fn cookie(&self, plan: &Plan, turn: usize, address: &str) -> Option<HeaderValue> {
        let affinity = plan.settings.affinity.as_ref()?;
        if plan.is_kept && (turn == 0 || !affinity.change_on_failure) {
            return None;
        }
        let path = if self.expression.is_some() { "/" } else { &self.location.rule.path };
        headers::sticky_cookie(affinity, &cookie_of(address), path, self.asked.scheme == "https")
    }

    fn patience(&self) -> Patience {
        let (own, config) = (self.location.settings.timeouts, &self.table.config);
        Patience {
            connect: own.connect.unwrap_or(config.connect),
            read: own.read.unwrap_or(config.read),
            send: own.send.unwrap_or(config.send),
        }
    }

    fn target(&self, address: &Arc<str>, settings: &Settings) -> Target {
        let named = settings.backend_name.as_deref().filter(|_| settings.asks_for_backend_name);
        Target { address: address.clone(), protocol: settings.protocol, name: named.map(Arc::from) }
    }

    /// The request without the address of a pod.
    fn request(&self, mut parts: Parts, body: Body) -> Result<Request<Body>, u16> {
        let settings = &self.location.settings;
        let groups = self.groups();
        let (host, path, prefix) = {
            let values = self.asked.values(&parts.headers, &groups);
            let host = settings.host.as_ref().map_or_else(|| self.asked.host_header.clone(), |text| text.fill(&values));
            let path = settings
                .rewrite
                .as_ref()
                .map(|target| rewritten(target.fill_path(&values), self.asked.query.as_deref()));
            (
                host,
                path,
                settings
                    .forwarded_prefix
                    .as_ref()
                    .filter(|_| settings.rewrite.is_some())
                    .map(|text| text.fill(&values)),
            )
        };
        headers::for_pod(&mut parts.headers, self.asked, settings, &self.table.config, &host);
        if let Some(prefix) = prefix.and_then(|prefix| HeaderValue::try_from(prefix).ok()) {
            parts.headers.insert("x-forwarded-prefix", prefix);
        }
        if let Some(upgrade) = &self.upgrade {
            parts.headers.insert(header::UPGRADE, upgrade.clone());
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        } else if let Some(said) = &settings.connection_header {
            parts.headers.insert(header::CONNECTION, said.clone());
        }
        let target = path.unwrap_or_else(|| self.asked.request_uri.clone());
        parts.uri = target.parse().map_err(|_| 400u16)?;
        parts.version = if settings.protocol.is_http2() { Version::HTTP_2 } else { Version::HTTP_11 };
        if settings.protocol.is_http2() {
            let scheme = if settings.protocol.is_tls() { "https" } else { "http" };
            parts.uri = format!("{scheme}://{host}{target}").parse().map_err(|_| 400u16)?;
            parts.headers.remove(header::HOST);
        }
        parts.extensions = Default::default();
        Ok(Request::from_parts(parts, body))
    }

    /// A request without a host has its pod's address for one.
    fn address(&self, request: &mut Request<Body>, address: &str) -> Result<(), u16> {
        if !self.location.settings.protocol.is_http2() && !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, HeaderValue::try_from(address).map_err(|_| 502u16)?);
        }
        Ok(())
    }

    fn groups(&self) -> Vec<Option<String>> {
        let found = self.expression.and_then(|expression| expression.captures(&self.asked.path));
        let groups = found.iter().flat_map(|found| found.iter().skip(1));
        groups.map(|group| group.map(|text| text.as_str().to_string())).collect()
    }
}

/// A rewritten path with the query that came, as it is sent.
fn rewritten((path, own): (String, Option<String>), query: Option<&str>) -> String {
    let path = paths::encode(&path);
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    match own.as_deref().into_iter().chain(query).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&") {
        query if query.is_empty() => path,
        query => format!("{path}?{query}"),
    }
}

fn request_method(request: &Option<Request<Body>>) -> &Method {
    request.as_ref().map_or(&Method::GET, Request::method)
}

/// The same request without a body.
fn copy(request: &Request<Body>) -> Request<Body> {
    let mut copied = Request::new(empty());
    *copied.method_mut() = request.method().clone();
    *copied.uri_mut() = Uri::clone(request.uri());
    *copied.version_mut() = request.version();
    *copied.headers_mut() = request.headers().clone();
    copied
}

#[cfg(test)]
mod tests {
    use super::super::variables::Text;
    use super::*;

    /// The example of ingress-nginx's documentation of rewriting.
    #[test]
    fn groups_of_the_path_go_into_the_target() {
        let expression = paths::expression("/something(/|$)(.*)").unwrap();
        for (path, query, expected) in [
            ("/something", None, "/"),
            ("/something/", None, "/"),
            ("/something/new", None, "/new"),
            ("/something/new", Some("a=1"), "/new?a=1"),
            ("/something/a b", None, "/a%20b"),
            ("/something/a?admin=1", None, "/a%3Fadmin=1"),
        ] {
            let groups: Vec<Option<String>> = expression
                .captures(path)
                .unwrap()
                .iter()
                .skip(1)
                .map(|group| group.map(|text| text.as_str().into()))
                .collect();
            let headers = http::HeaderMap::new();
            let request = http::Request::builder().uri("/").header("host", "x").body(()).unwrap();
            let connection = headers::Connection { peer: "10.0.0.1".parse().unwrap(), is_tls: false };
            let asked = Asked::read(&request, connection, &Default::default()).unwrap();
            let filled = Text::parse("/$2").unwrap().fill_path(&asked.values(&headers, &groups));
            assert_eq!(rewritten(filled, query), expected, "{path}");
            let filled = Text::parse("/x?own=$2").unwrap().fill_path(&asked.values(&headers, &groups));
            assert!(rewritten(filled, None).starts_with("/x?own="), "{path}");
        }
        assert_eq!(rewritten(("x".into(), None), None), "/x");
    }
}
