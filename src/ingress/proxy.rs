//! A request from its head to its answer: redirects, limits, access, then the pods.

use super::answers::{bare, page, redirect};
use super::bodies::{Body, Timed};
use super::config::Config;
use super::forward::{Answered, Outgoing};
use super::headers::{self, Asked, Connection};
use super::limits::{Clients, Exceeded, Open};
use super::metrics::Totals;
use super::outside::{Asker, Verdict};
use super::settings::Settings;
use super::table::{Location, Server, Table};
use super::upgrade;
use super::upstream::Upstream;
use arc_swap::ArcSwap;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// What all connections share.
pub struct Proxy {
    pub table: ArcSwap<Table>,
    pub upstream: Arc<Upstream>,
    pub totals: Totals,
    fallback: Arc<CertifiedKey>,
    clients: Clients,
    asker: Asker,
}

/// What is added to an answer that a pod gives.
#[derive(Default)]
struct Added {
    for_pod: Vec<(HeaderName, HeaderValue)>,
    cookies: Vec<HeaderValue>,
}

impl Proxy {
    /// With an empty table: every answer is 404.
    pub fn new(fallback: Arc<CertifiedKey>) -> Self {
        Self {
            table: ArcSwap::default(),
            upstream: Arc::default(),
            totals: Totals::default(),
            fallback,
            clients: Clients::default(),
            asker: Asker::default(),
        }
    }

    /// The certificate for a name that a client asks for.
    pub fn certificate(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let table = self.table.load();
        name.and_then(|name| table.certificates.find(name)).unwrap_or(&self.fallback).clone()
    }

    /// Answers a request.
    pub async fn answer(&self, connection: Connection, mut request: Request<Incoming>) -> Response<Body> {
        headers::calm(request.headers_mut());
        let table = self.table.load_full();
        let asked = match Asked::read(&request, connection, &table.config) {
            Ok(asked) => asked,
            Err(code) => return page(code),
        };
        let mut response = self.of_server(&table, &asked, request).await;
        let headers = response.headers_mut();
        if asked.is_tls && table.config.hsts {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, headers::strict(&table.config));
        }
        for (name, value) in &table.config.headers {
            headers.insert(name.clone(), value.clone());
        }
        response
    }

    async fn of_server(&self, table: &Table, asked: &Asked, request: Request<Incoming>) -> Response<Body> {
        let server = table.server(&asked.host);
        if let Some(host) = &server.instead {
            return redirect(table.config.redirect_code, &format!("{}://{host}{}", asked.scheme, asked.request_uri));
        }
        let Some((location, expression)) = server.rules.find(&asked.path) else {
            self.totals.nowhere.count(404);
            return page(404);
        };
        let upgrade = headers::upgrade_of(request.headers());
        let outgoing = Outgoing { table, location, asked, expression, upgrade };
        let mut response = self.of_location(server, &outgoing, request).await;
        for (name, value) in &location.settings.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        location.counters.count(response.status().as_u16());
        response
    }

    async fn of_location(
        &self,
        server: &Server,
        outgoing: &Outgoing<'_>,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let (table, location, asked) = (outgoing.table, outgoing.location, outgoing.asked);
        let settings = &location.settings;
        if settings.denied.is_some() {
            return page(503);
        }
        if let Some(response) = redirected(server, settings, &table.config, asked, request.headers()) {
            return response;
        }
        let origin = headers::allowed_origin(&settings.cors, request.headers());
        let mut response = match &origin {
            Some(_) if asked.method == Method::OPTIONS => bare(StatusCode::NO_CONTENT),
            _ => {
                let client = outgoing.upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
                let (parts, body) = request.into_parts();
                match self.admit(table, location, asked, &parts).await {
                    Ok((open, added)) => self.of_pods(outgoing, parts, body, client, open, added).await,
                    Err(response) => response,
                }
            }
        };
        if let Some(origin) = origin {
            headers::add_cors(response.headers_mut(), &settings.cors, origin);
        }
        response
    }

    /// Limits and access; what is to be held and added for a request that may go on.
    async fn admit(
        &self,
        table: &Table,
        location: &Location,
        asked: &Asked,
        parts: &Parts,
    ) -> Result<(Option<Open>, Added), Response<Body>> {
        let (settings, config) = (&location.settings, &table.config);
        let ingress = location.counters.name();
        let open = self.clients.enter(ingress, asked.client, &settings.limits).map_err(|exceeded| match exceeded {
            Exceeded::Rate => page(config.limit_code),
            Exceeded::Connections => page(config.connections_code),
        })?;
        let by_address = has_right_address(settings, config, asked);
        let added = match (by_address, settings.any_access) {
            (true, true) => Added::default(),
            (false, false) => return Err(page(403)),
            (false, true) if !settings.basic.is_on && settings.outside.url.is_none() => return Err(page(403)),
            _ => self.admit_user(settings, asked, parts).await?,
        };
        let limit = settings.body_limit.unwrap_or(config.body_limit);
        let length =
            parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if limit > 0 && length.is_some_and(|length| length > limit) {
            return Err(page(413));
        }
        Ok((open, added))
    }

    async fn admit_user(&self, settings: &Settings, asked: &Asked, parts: &Parts) -> Result<Added, Response<Body>> {
        if settings.basic.is_on {
            let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            if !is_user(settings, header).await {
                let mut response = page(401);
                let realm = settings.basic.realm.as_deref().unwrap_or_default();
                let challenge = HeaderValue::try_from(format!("Basic realm=\"{realm}\""));
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, challenge.unwrap_or(HeaderValue::from_static("Basic")));
                if !settings.any_access || settings.outside.url.is_none() {
                    return Err(response);
                }
            } else if settings.any_access {
                return Ok(Added::default());
            }
        }
        let Some(url) = &settings.outside.url else { return Ok(Added::default()) };
        match self.asker.ask(&settings.outside, url, asked, &parts.headers).await {
            Verdict::Admitted { headers, cookies } => Ok(Added { for_pod: headers, cookies }),
            Verdict::Refused(response) => Err(response),
        }
    }

    async fn of_pods(
        &self,
        outgoing: &Outgoing<'_>,
        mut parts: Parts,
        body: Incoming,
        client: Option<hyper::upgrade::OnUpgrade>,
        open: Option<Open>,
        added: Added,
    ) -> Response<Body> {
        let settings = &outgoing.location.settings;
        // What only the other may say is not taken from the client.
        settings
            .outside
            .answer_headers
            .iter()
            .filter(|_| settings.outside.url.is_some())
            .for_each(|name| drop(parts.headers.remove(name)));
        added.for_pod.iter().for_each(|(name, value)| drop(parts.headers.insert(name.clone(), value.clone())));
        let asked_again = Again { accept: parts.headers.get(header::ACCEPT).cloned() };
        let answered = outgoing.send(self, parts, body).await;
        let code = answered.as_ref().map_or_else(|code| *code, |answered| answered.response.status().as_u16());
        let intercepted = settings.error_codes.as_ref().unwrap_or(&outgoing.table.config.error_codes);
        let mut response = if intercepted.contains(&code) {
            self.of_errors(outgoing, code, asked_again).await
        } else {
            match answered {
                Ok(answered) => through(answered, client, open, &outgoing.table.config),
                Err(code) => page(code),
            }
        };
        let is_good = response.status().as_u16() < 400 || settings.outside.always_set_cookie;
        for cookie in added.cookies.into_iter().filter(|_| is_good) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    /// The page that a service makes of an error.
    async fn of_errors(&self, outgoing: &Outgoing<'_>, code: u16, again: Again) -> Response<Body> {
        let Some(backend) = outgoing.location.errors_to.as_ref().filter(|backend| !backend.is_empty()) else {
            return page(code);
        };
        let (asked, origin) = (outgoing.asked, &outgoing.location.origin);
        let code_text = code.to_string();
        let said: [(&str, &str); 8] = [
            ("x-code", &code_text),
            ("x-original-uri", &asked.request_uri),
            ("x-namespace", &origin.namespace),
            ("x-ingress-name", &origin.ingress),
            ("x-service-name", &origin.service),
            ("x-service-port", &origin.port),
            ("x-request-id", &asked.request_id),
            ("host", &asked.host_header),
        ];
        let mut builder = Request::builder().uri("/");
        for (name, value) in said.iter().filter(|(_, value)| !value.is_empty()) {
            builder = builder.header(*name, *value);
        }
        if let Some(accept) = again.accept {
            builder = builder.header("x-format", accept);
        }
        let Ok(request) = builder.body(super::bodies::empty()) else { return page(code) };
        let config = &outgoing.table.config;
        let patience = super::upstream::Patience { connect: config.connect, read: config.read, send: config.send };
        let Some(address) = backend.from(backend.in_turn()).next() else { return page(code) };
        let target = super::upstream::Target { address: address.clone(), protocol: Default::default(), name: None };
        let progress = super::bodies::Progress::new(true);
        match self.upstream.send(&target, request, patience, &progress, backend.clone().without(address.clone())).await
        {
            Ok(response) => through(Answered { response, cookie: None, patience }, None, None, config),
            Err(_) => page(code),
        }
    }
}

/// What of a request is needed once more.
struct Again {
    accept: Option<HeaderValue>,
}

/// Sends a pod's answer on to the client.
fn through(
    answered: Answered,
    client: Option<hyper::upgrade::OnUpgrade>,
    open: Option<Open>,
    config: &Config,
) -> Response<Body> {
    let Answered { mut response, cookie, patience } = answered;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(client) = client else { return page(502) };
        let pod = hyper::upgrade::on(&mut response);
        tokio::spawn(upgrade::join(client, pod, patience.read, open));
        let mut switched = bare(StatusCode::SWITCHING_PROTOCOLS);
        *switched.headers_mut() = std::mem::take(response.headers_mut());
        return switched;
    }
    let (mut parts, body) = response.into_parts();
    headers::strip(&mut parts.headers);
    config.hidden.iter().for_each(|name| drop(parts.headers.remove(name)));
    if let Some(cookie) = cookie {
        parts.headers.append(header::SET_COOKIE, cookie);
    }
    let mut response = Response::new(Timed::new(body, patience.read, open).boxed_unsync());
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    response
}

fn has_right_address(settings: &Settings, config: &Config, asked: &Asked) -> bool {
    let denied = settings.deny.as_ref().unwrap_or(&config.deny).hold(asked.client);
    let allow = settings.allow.as_ref().unwrap_or(&config.allow);
    !denied && (allow.is_empty() || allow.hold(asked.client))
}

/// Hashing takes long: it is done where nobody waits behind it.
async fn is_user(settings: &Settings, header: Option<&str>) -> bool {
    let (Some(users), Some(header)) = (settings.basic.users.clone(), header.map(String::from)) else { return false };
    if users.knows(&header) {
        return true;
    }
    tokio::task::spawn_blocking(move || users.admit(&header)).await.unwrap_or(false)
}

/// The answer of a location that sends elsewhere.
fn redirected(
    server: &Server,
    settings: &Settings,
    config: &Config,
    asked: &Asked,
    request: &http::HeaderMap,
) -> Option<Response<Body>> {
    let is_plain_path = config.plain_paths.iter().any(|path| asked.path.starts_with(path.as_str()));
    let forced = settings.force_ssl_redirect.unwrap_or(config.force_ssl_redirect);
    let wanted = server.has_tls && settings.ssl_redirect.unwrap_or(config.ssl_redirect);
    if asked.scheme == "http" && (forced || wanted) && !is_plain_path {
        let uri = match settings.keep_trailing_slash {
            true => &asked.request_uri,
            false => asked.request_uri.strip_suffix('/').unwrap_or(&asked.request_uri),
        };
        return Some(redirect(config.redirect_code, &format!("https://{}{uri}", asked.host)));
    }
    let values = asked.values(request, &[]);
    let elsewhere = &settings.redirect;
    if let Some(to) = &elsewhere.temporal {
        return Some(redirect(elsewhere.temporal_code.unwrap_or(302), &to.fill(&values)));
    }
    if let Some(to) = &elsewhere.permanent {
        return Some(redirect(elsewhere.permanent_code.unwrap_or(301), &to.fill(&values)));
    }
    let root = settings.app_root.as_ref().filter(|_| asked.path == "/")?;
    let to = root.fill(&values);
    let to = if to.starts_with('/') { format!("{}://{}{to}", asked.scheme, asked.host_header) } else { to };
    Some(redirect(302, &to))
}
