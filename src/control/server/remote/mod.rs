//! Servers that this one asks over HTTPS: webhooks and aggregated APIs, at a URL or behind a Service.
//!
//! A Service is reached at one of its ready endpoints, so that nothing depends on the rules of the network. Connections are
//! kept for the next question to the same target.
//!
//! Source of rules and wording: k8s.io/apiserver `pkg/util/webhook`, `pkg/util/proxy`.

pub mod locate;
#[cfg(test)]
pub mod testing;
mod trust;

pub use trust::{Believed, Client, client_config};

use crate::control::store::Store;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 10 << 20;
/// Connections to one target that are kept while nobody uses them.
const MOST_IDLE: usize = 8;
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Somebody who is asked.
#[derive(Clone)]
pub struct Target {
    place: Place,
    /// As it is shown, and as the `Host` header has it.
    authority: String,
    /// Path and query.
    path: String,
    tls: Arc<ClientConfig>,
    /// What connections are kept by.
    key: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Service { namespace: String, name: String, port: u16 },
    Host { host: String, port: u16 },
}

impl Target {
    /// Reads a `clientConfig`.
    pub fn read(config: &Value) -> Result<Self, String> {
        let bundle = config["caBundle"].as_str().unwrap_or_default();
        let tls = client_config(Believed::Bundle(&decoded(bundle)?), None)?;
        match (config["url"].as_str(), &config["service"]) {
            (Some(url), Value::Null) => Self::at_url(url, bundle, tls),
            (None, service @ Value::Object(_)) => {
                let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
                let text = |field: &str| service[field].as_str().unwrap_or_default();
                let mut target = Self::of_service(text("namespace"), text("name"), port, bundle, tls);
                let path = text("path");
                target.path = if path.starts_with('/') { path.into() } else { format!("/{path}") };
                Ok(target)
            }
            _ => Err("exactly one of url or service is required".into()),
        }
    }

    /// A Service; `bundle` is only told apart by.
    pub fn of_service(namespace: &str, name: &str, port: u16, bundle: &str, tls: Arc<ClientConfig>) -> Self {
        let authority = format!("{name}.{namespace}.svc:{port}");
        let place = Place::Service { namespace: namespace.into(), name: name.into(), port };
        let key = format!("{authority} {:x}", crc32fast::hash(bundle.as_bytes()));
        Self { place, path: "/".into(), key, authority, tls }
    }

    fn at_url(url: &str, bundle: &str, tls: Arc<ClientConfig>) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url:?}: {error}"))?;
        if uri.scheme_str() != Some("https") {
            return Err("'https' is the only allowed URL scheme".into());
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_string();
        let authority = uri.authority().map_or(String::new(), ToString::to_string);
        let port = uri.port_u16().unwrap_or(443);
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_string();
        let key = format!("{host}:{port} {:x}", crc32fast::hash(bundle.as_bytes()));
        Ok(Self { place: Place::Host { host, port }, authority, path, tls, key })
    }

    /// The host and port as they are shown.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The address as it is shown; `query` is added to it.
    fn url(&self, query: &str) -> String {
        format!("https://{}{}", self.authority, self.path_with(query))
    }

    fn path_with(&self, query: &str) -> String {
        match (query, self.path.contains('?')) {
            ("", _) => self.path.clone(),
            (query, false) => format!("{}?{query}", self.path),
            (query, true) => format!("{}&{query}", self.path),
        }
    }

    /// The name that the certificate must be for.
    fn server_name(&self) -> Result<ServerName<'static>, String> {
        let name = match &self.place {
            Place::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
            Place::Host { host, .. } => host.clone(),
        };
        ServerName::try_from(name).map_err(|error| error.to_string())
    }
}

/// The PEM text of a `caBundle`.
pub fn decoded(bundle: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(bundle.trim()).map_err(|error| format!("caBundle: {error}"))
}

/// Everybody who is asked, with the connections that are open. One per server.
pub struct Remotes {
    store: Store,
    idle: Mutex<HashMap<String, Vec<SendRequest<Full<Bytes>>>>>,
}

impl Remotes {
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), idle: Mutex::default() }
    }

    /// Sends JSON, and reads the JSON that comes back, within a time. `query` is added to the path.
    pub async fn post(&self, target: &Target, query: &str, body: &Value, limit: Duration) -> Result<Value, String> {
        let said = |why: String| format!("Post {:?}: {why}", target.url(query));
        let body = Bytes::from(body.to_string());
        let request = || {
            Request::builder()
                .method(Method::POST)
                .uri(target.path_with(query))
                .header(header::HOST, &target.authority)
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::ACCEPT, "application/json")
                .header(header::USER_AGENT, "kube-apiserver-admission")
                .body(Full::new(body.clone()))
                .map_err(|error| error.to_string())
        };
        // Large, and part of the future of every write, of which hardly any asks somebody else.
        let answered = tokio::time::timeout(limit, Box::pin(self.exchange(target, request))).await;
        let (code, bytes) = answered.map_err(|_| said("context deadline exceeded".into()))?.map_err(said)?;
        match code {
            200..300 => serde_json::from_slice(&bytes)
                .map_err(|error| format!("couldn't get version/kind; json parse error: {error}")),
            404 => Err("the server could not find the requested resource".into()),
            _ => {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).into_owned();
                Err(format!("an error on the server ({text:?}) has prevented the request from succeeding"))
            }
        }
    }

    /// Reads what is at a path, within a time.
    pub async fn get(
        &self,
        target: &Target,
        path: &str,
        headers: &http::HeaderMap,
        limit: Duration,
    ) -> Result<(u16, http::HeaderMap, Bytes), String> {
        let ask = Box::pin(async {
            let mut request = Request::builder().uri(path).header(header::HOST, &target.authority);
            if let Some(own) = request.headers_mut() {
                own.extend(headers.clone());
            }
            let request = request.body(axum::body::Body::empty()).map_err(|error| error.to_string())?;
            let (parts, body) = self.send(target, request).await?.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| error.to_string())?;
            Ok((parts.status.as_u16(), parts.headers, body.to_bytes()))
        });
        match tokio::time::timeout(limit, ask).await {
            Ok(answer) => answer,
            Err(_) => Err("context deadline exceeded".into()),
        }
    }

    /// Sends any request on a connection of its own, which may switch protocols.
    pub async fn send(
        &self,
        target: &Target,
        request: Request<axum::body::Body>,
    ) -> Result<Response<Incoming>, String> {
        let stream = Box::pin(self.connect(target)).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an aggregated API ended");
            }
        });
        sender.send_request(request).await.map_err(|error| error.to_string())
    }

    async fn exchange(
        &self,
        target: &Target,
        request: impl Fn() -> Result<Request<Full<Bytes>>, String>,
    ) -> Result<(u16, Bytes), String> {
        // Who was idle may have hung up: then somebody new is asked.
        while let Some(mut sender) = self.take(&target.key) {
            if sender.ready().await.is_ok()
                && let Ok(response) = sender.send_request(request()?).await
            {
                return self.read(target, sender, response).await;
            }
        }
        let stream = self.connect(target).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a webhook ended");
            }
        });
        let response = sender.send_request(request()?).await.map_err(|error| error.to_string())?;
        self.read(target, sender, response).await
    }

    async fn read(
        &self,
        target: &Target,
        sender: SendRequest<Full<Bytes>>,
        response: Response<Incoming>,
    ) -> Result<(u16, Bytes), String> {
        let code = response.status().as_u16();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        let bytes = body.map_err(|error| error.to_string())?.to_bytes();
        self.give_back(&target.key, sender);
        Ok((code, bytes))
    }

    fn take(&self, key: &str) -> Option<SendRequest<Full<Bytes>>> {
        self.idle.lock().get_mut(key)?.pop()
    }

    fn give_back(&self, key: &str, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock();
        idle.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        let own = idle.entry(key.into()).or_default();
        if own.len() < MOST_IDLE {
            own.push(sender);
        }
    }

    async fn connect(&self, target: &Target) -> Result<TlsStream<TcpStream>, String> {
        let (host, port) = match &target.place {
            Place::Host { host, port } => (host.clone(), *port),
            Place::Service { namespace, name, port } => locate::endpoint(&self.store, namespace, name, *port)?,
        };
        let dialing = tokio::time::timeout(CONNECT, TcpStream::connect((host.as_str(), port))).await;
        let stream = dialing.map_err(|_| format!("dial tcp {host}:{port}: i/o timeout"))?;
        let stream = stream.map_err(|error| format!("dial tcp {host}:{port}: {}", dialed(&error)))?;
        // Without it small questions only take longer.
        stream.set_nodelay(true).ok();
        let connector = TlsConnector::from(target.tls.clone());
        connector.connect(target.server_name()?, stream).await.map_err(|error| trust::said(&error))
    }
}

fn dialed(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_target_is_a_service_or_a_url() {
        let service = json!({"service": {"namespace": "one", "name": "hook", "path": "check", "port": 8443}});
        let target = Target::read(&service).unwrap();
        assert_eq!(target.url("timeout=1s"), "https://hook.one.svc:8443/check?timeout=1s");
        let target = Target::read(&json!({"url": "https://127.0.0.1:9/a?b=c"})).unwrap();
        assert_eq!(target.url("timeout=1s"), "https://127.0.0.1:9/a?b=c&timeout=1s");
        for wrong in [json!({}), json!({"url": "http://a"}), json!({"url": "https://a", "caBundle": "#"})] {
            assert!(Target::read(&wrong).is_err(), "{wrong}");
        }
    }
}
