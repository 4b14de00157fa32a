//! The kubelet API: what the API server (and metrics collectors) ask the node agent for, over HTTPS.
//!
//! ```text
//! TLS ─▶ access ─┬─ containerLogs        a log, followed or not
//!                ├─ exec, attach, run    processes      ┐ SPDY or WebSocket
//!                ├─ portForward          connections    ┘
//!                ├─ pods, runningpods    what is here
//!                ├─ stats, metrics       what it uses
//!                ├─ logs                 files below /var/log
//!                └─ healthz
//! ```
//!
//! Source of paths and wording: pkg/kubelet/server/server.go.

mod access;
mod answer;
mod channels;
pub mod figures;
mod files;
mod find;
mod logs;
mod pods;
mod port_forward;
mod remote;
mod run;
mod spdy;
mod upgrade;
mod websocket;

use super::context::Node;
use super::error::Error;
use crate::base::{Shutdown, connection};
use crate::pki::tls;
use access::PeerCertificate;
use answer::Answer;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What requests are answered from.
struct Api {
    node: Arc<Node>,
    rates: figures::Rates,
}

/// Serves the kubelet API until shutdown, which cuts streams: their processes go on.
pub async fn serve(node: Arc<Node>, listener: std::net::TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let files = tls::ServerFiles { name: "kubelet", client_authorities: &["ca"], anonymous: true };
    let acceptor = TlsAcceptor::from(tls::server(&node.paths.pki(), &files)?);
    listener.set_nonblocking(true).map_err(Error::Listen)?;
    let listener = TcpListener::from_std(listener).map_err(Error::Listen)?;
    let api = Arc::new(Api { node, rates: figures::Rates::default() });
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            (stream, _) = connection::accept(&listener) => stream,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            () = shutdown.wait() => return Ok(()),
        };
        let (api, acceptor, shutdown) = (api.clone(), acceptor.clone(), shutdown.clone());
        connections.spawn(async move {
            if let Err(error) = serve_one(api, acceptor, stream, shutdown).await {
                tracing::debug!(error, "a connection ended");
            }
        });
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn serve_one(api: Arc<Api>, acceptor: TlsAcceptor, stream: TcpStream, shutdown: Shutdown) -> Result<(), Failed> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(connection::HANDSHAKE, acceptor.accept(stream)).await??;
    let peer = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = peer.map(|certificate| PeerCertificate(certificate.to_vec()));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (api, peer) = (api.clone(), peer.clone());
        async move {
            let mut request = request.map(Body::new);
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            Ok::<_, Infallible>(handle(&api, request).await)
        }
    });
    let is_h2 = tls::is_h2(&stream);
    Ok(connection::serve(stream, is_h2, service, &shutdown).await?)
}

/// Answers one request.
async fn handle(api: &Api, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    if let Err(refused) = access::check(&api.node, &parts).await {
        return refused;
    }
    let request = Request::from_parts(parts, body);
    let is_head = request.method() == Method::HEAD;
    let mut answer = route(api, request).await;
    if is_head {
        *answer.body_mut() = Body::empty();
    }
    answer
}

async fn route(api: &Api, request: Request<Body>) -> Answer {
    let node = &api.node;
    let path = request.uri().path().to_string();
    let query = request.uri().query().unwrap_or_default().to_string();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let streams = matches!(*request.method(), Method::GET | Method::POST);
    match segments.as_slice() {
        ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] if reads => answer::text(StatusCode::OK, "ok"),
        ["pods"] | ["pods", ""] if reads => pods::all(node),
        ["runningpods"] | ["runningpods", ""] if reads => pods::running(node).await,
        ["containerLogs", namespace, pod, container] if reads => {
            logs::answer(node, [namespace, pod, container], &query).await
        }
        ["stats", "summary"] if reads => figures::summary(node, &api.rates, &query).await,
        ["metrics"] if reads => figures::own(node).await,
        ["metrics", "resource"] if reads => figures::resource(node).await,
        ["metrics", "cadvisor"] if reads => figures::cadvisor(node).await,
        ["metrics", "probes"] if reads => figures::probes(),
        ["logs", rest @ ..] if reads => files::answer(node, rest).await,
        ["exec", namespace, pod, rest @ ..] if streams && matches!(rest.len(), 1 | 2) => {
            remote::answer(node, remote::Action::Exec, place(namespace, pod, rest), request).await
        }
        ["attach", namespace, pod, rest @ ..] if streams && matches!(rest.len(), 1 | 2) => {
            remote::answer(node, remote::Action::Attach, place(namespace, pod, rest), request).await
        }
        ["run", namespace, pod, rest @ ..] if request.method() == Method::POST && matches!(rest.len(), 1 | 2) => {
            run::answer(node, place(namespace, pod, rest), &query).await
        }
        ["portForward", namespace, pod, rest @ ..] if streams && rest.len() < 2 => {
            let uid = rest.first().copied().unwrap_or_default();
            port_forward::answer(node, [namespace, pod, uid], request).await
        }
        [known, ..] if KNOWN.contains(known) && !reads => {
            answer::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed")
        }
        _ => answer::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

/// First segments of paths that are served.
const KNOWN: &[&str] = &[
    "healthz",
    "pods",
    "runningpods",
    "containerLogs",
    "logs",
    "exec",
    "attach",
    "run",
    "portForward",
    "stats",
    "metrics",
];

/// Namespace, pod, uid (empty if not given), container.
fn place<'a>(namespace: &'a str, pod: &'a str, rest: &[&'a str]) -> [&'a str; 4] {
    match rest {
        [uid, container] => [namespace, pod, uid, container],
        _ => [namespace, pod, "", rest.first().copied().unwrap_or_default()],
    }
}
