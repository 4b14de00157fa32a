//! A real HTTPS server on this machine, for tests of what asks one.

use crate::pki::{Authority, Identity};
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

/// What is answered at a path to a body; nothing for never.
pub type Answers = fn(path: &str, body: &Value) -> Option<Value>;

/// The server; it lives as long as the runtime of the test.
pub struct TestRemote {
    pub address: SocketAddr,
    /// Its authority, as `caBundle` has it.
    pub bundle: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl TestRemote {
    pub async fn start(answers: Answers) -> Self {
        let (authority, _) = Authority::create("test").unwrap();
        let identity = Identity {
            common_name: "remote".into(),
            addresses: vec!["127.0.0.1".parse().unwrap()],
            ..Identity::default()
        };
        let signed = authority.issue(&identity, Duration::from_secs(3600)).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let seen = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper::service::service_fn(move |request| answer(request, answers, seen.clone()));
                    let connection = auto::Builder::new(TokioExecutor::new());
                    drop(connection.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { address, bundle: STANDARD.encode(authority.certificate()), asked }
    }

    /// The `clientConfig` that leads to a path.
    pub fn client_config(&self, path: &str) -> Value {
        json!({"url": format!("https://{}{path}", self.address), "caBundle": self.bundle})
    }

    /// The bodies that came for a path.
    pub fn asked(&self, path: &str) -> Vec<Value> {
        self.asked.lock().iter().filter(|(own, _)| own == path).map(|(_, body)| body.clone()).collect()
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: Answers,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_string();
    let bytes = request.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    seen.lock().push((path.clone(), body.clone()));
    match answers(&path, &body) {
        Some(value) => Ok(Response::new(Body::from(value.to_string()))),
        None => std::future::pending().await,
    }
}

/// An `AdmissionReview` that lets the request of `body` pass, with a patch unless that is null.
pub fn allowed(body: &Value, patch: Value) -> Value {
    let mut response = json!({"uid": body["request"]["uid"], "allowed": true});
    if !patch.is_null() {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(patch.to_string()));
    }
    review(body, response)
}

/// An `AdmissionReview` that refuses the request of `body`.
pub fn denied(body: &Value, message: &str) -> Value {
    review(body, json!({"uid": body["request"]["uid"], "allowed": false, "status": {"message": message}}))
}

/// An `AdmissionReview` with a response.
pub fn review(body: &Value, response: Value) -> Value {
    json!({"kind": "AdmissionReview", "apiVersion": body["apiVersion"], "response": response})
}
