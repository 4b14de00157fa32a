//! APIs that other servers answer: APIServices that name a Service. Requests below `/apis/GROUP/VERSION` are passed on with who
//! asks in headers, which the other server believes because of the front proxy's certificate.
//!
//! ```text
//! /apis/GROUP/VERSION/… ─▶ APIService with a Service? ─▶ TLS to one of its endpoints, X-Remote-User …
//!                                    └ no ─▶ this server's own kinds
//! ```
//!
//! Source of rules and wording: k8s.io/kube-aggregator `pkg/apiserver/handler_proxy.go`.

mod available;
mod local;

use super::answer::Answer;
use super::cached::Cached;
use super::proxy::{self, Incoming};
use super::remote::{self, Believed, Target};
use super::route::Call;
use super::{Api, Identity};
use crate::api::{Object, Reason, Status, kinds};
use crate::control::store::Store;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Where APIServices are in the store.
const SERVICES: &str = "apiregistration.k8s.io/apiservices";
/// Starts of headers that say who asks: the client's own are never passed on.
const PRIVATE: &[&str] = &["authorization", "impersonate-", "x-remote-"];

/// A group and version that another server answers.
pub struct Remote {
    /// The APIService's name.
    pub name: String,
    pub group: String,
    pub version: String,
    pub is_available: bool,
    namespace: String,
    service: String,
    port: u16,
    /// How it is reached, or why it cannot be.
    target: Result<Target, String>,
}

/// What an aggregated server says of itself.
#[derive(Default)]
pub struct Documents {
    /// Its `APIResourceList`.
    pub resources: Value,
    /// Its entry in `/openapi/v3`.
    pub open_api: Option<String>,
    /// Its document of `/openapi/v2`.
    pub open_api_v2: Option<Arc<Value>>,
}

/// All that is answered elsewhere. One per server.
pub struct Aggregated {
    remotes: Cached<Vec<Arc<Remote>>>,
    documents: Mutex<HashMap<String, Arc<Documents>>>,
}

impl Aggregated {
    /// `folder` has the front proxy's certificate and key.
    pub fn new(store: &Store, folder: &Path) -> Self {
        let folder = folder.to_path_buf();
        let make = move |all: &[Vec<Object>]| {
            all.iter().flatten().filter_map(|object| Remote::read(object, &folder)).map(Arc::new).collect()
        };
        Self { remotes: Cached::new(store, &[SERVICES], make), documents: Mutex::default() }
    }

    /// Every group and version that another server answers.
    pub fn all(&self) -> Arc<Vec<Arc<Remote>>> {
        self.remotes.now()
    }

    /// Who answers at a path.
    pub fn of_path(&self, path: &str) -> Option<Arc<Remote>> {
        let all = self.remotes.now();
        if all.is_empty() {
            return None;
        }
        let mut parts = path.strip_prefix("/apis/")?.split('/');
        let (group, version) = (parts.next()?, parts.next()?);
        all.iter().find(|remote| remote.group == group && remote.version == version).cloned()
    }

    /// What a server said of itself when it was last asked.
    pub fn documents(&self, remote: &Remote) -> Option<Arc<Documents>> {
        self.documents.lock().get(&remote.name).cloned()
    }
}

impl Remote {
    fn read(object: &Object, folder: &Path) -> Option<Self> {
        let spec = object.0.get("spec")?;
        let service = spec.get("service").filter(|service| service.is_object())?;
        let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_string();
        let (namespace, name) = (text(service, "namespace"), text(service, "name"));
        let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
        let target = target(spec, folder, &namespace, &name, port);
        let is_available = crate::api::custom::definition::is_true(object, "Available");
        let (group, version) = (text(spec, "group"), text(spec, "version"));
        Some(Self { name: object.name().into(), group, version, is_available, namespace, service: name, port, target })
    }

    /// How it is reached.
    pub fn target(&self) -> Result<&Target, Status> {
        let why =
            |why: &String| Status::new(Reason::ServiceUnavailable, format!("error trying to reach service: {why}"));
        self.target.as_ref().map_err(why)
    }
}

fn target(spec: &Value, folder: &Path, namespace: &str, name: &str, port: u16) -> Result<Target, String> {
    let bundle = spec["caBundle"].as_str().unwrap_or_default();
    let decoded = remote::decoded(bundle)?;
    let is_anybody = spec["insecureSkipTLSVerify"] == true;
    let believed = if is_anybody { Believed::Anybody } else { Believed::Bundle(&decoded) };
    let tls = remote::client_config(believed, Some(front_proxy(folder)?))?;
    Ok(Target::of_service(namespace, name, port, bundle, tls))
}

/// The certificate by which other servers believe what this one says of its clients.
fn front_proxy(folder: &Path) -> Result<remote::Client, String> {
    let read =
        |end: &str| std::fs::read(folder.join(format!("front-proxy-client.{end}"))).map_err(|error| error.to_string());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read("crt")?).collect();
    let key = PrivateKeyDer::from_pem_slice(&read("key")?).map_err(|error| error.to_string())?;
    Ok((chain.map_err(|error| error.to_string())?, key))
}

/// Keeps conditions of APIServices, and those of them that are this server's own, as they should be.
pub fn start(api: &Arc<Api>) {
    tokio::spawn(available::follow(Arc::downgrade(api)));
    tokio::spawn(local::follow(Arc::downgrade(api)));
}

/// Passes a request on and its answer back.
pub async fn proxy(call: &Call, remote: &Remote, incoming: Incoming) -> Result<Answer, Status> {
    if !remote.is_available {
        return Err(Status::new(Reason::ServiceUnavailable, "service unavailable"));
    }
    let target = remote.target()?;
    let path = call.attributes().path.as_str();
    let uri = if incoming.query.is_empty() { path.to_string() } else { format!("{path}?{}", incoming.query) };
    let request = Request::builder().method(&call.method).uri(uri);
    let mut request = request.body(incoming.body).map_err(|error| Status::bad_request(error.to_string()))?;
    *request.headers_mut() = headers(call, target)?;
    let upgrade = incoming.upgrade.filter(|_| proxy::switches(&call.headers));
    if upgrade.is_some() {
        for name in [header::CONNECTION, header::UPGRADE] {
            for value in call.headers.get_all(&name) {
                request.headers_mut().append(&name, value.clone());
            }
        }
    }
    let answer = call.api.remotes.send(target, request).await;
    let answer = answer
        .map_err(|why| Status::new(Reason::ServiceUnavailable, format!("error trying to reach service: {why}")))?;
    Ok(proxy::pass_back(answer, upgrade))
}

/// The client's headers, with who it is in place of what it showed.
fn headers(call: &Call, target: &Target) -> Result<HeaderMap, Status> {
    let mut headers = HeaderMap::new();
    for (name, value) in &call.headers {
        if !PRIVATE.iter().any(|start| name.as_str().starts_with(start)) {
            headers.append(name, value.clone());
        }
    }
    proxy::strip(&mut headers);
    headers.remove(header::HOST);
    headers.insert(header::HOST, HeaderValue::from_str(target.authority()).map_err(Status::internal)?);
    headers.extend(identity(&call.user)?);
    Ok(headers)
}

/// Who asks, in headers.
fn identity(user: &Identity) -> Result<HeaderMap, Status> {
    let mut headers = HeaderMap::new();
    let mut put = |name: &str, value: &str| -> Result<(), Status> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(Status::internal)?;
        headers.append(name, HeaderValue::from_str(value).map_err(Status::internal)?);
        Ok(())
    };
    put("x-remote-user", &user.name)?;
    if !user.uid.is_empty() {
        put("x-remote-uid", &user.uid)?;
    }
    for group in &user.groups {
        put("x-remote-group", group)?;
    }
    for (key, values) in &user.extra {
        for value in values {
            put(&format!("x-remote-extra-{}", encoded(key)), value)?;
        }
    }
    Ok(headers)
}

/// A key as part of a header's name: what may not be in one is written as `%2f`.
fn encoded(key: &str) -> String {
    let mut text = String::new();
    for byte in key.bytes() {
        match byte.to_ascii_lowercase() {
            letter @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~') => text.push(letter as char),
            other => text.push_str(&format!("%{other:02x}")),
        }
    }
    text
}

fn kind() -> Result<&'static crate::api::Kind, Status> {
    let kind = kinds::find("apiregistration.k8s.io", "v1", "apiservices");
    kind.ok_or_else(|| Status::internal("no kind of APIServices"))
}

#[cfg(test)]
mod tests;
