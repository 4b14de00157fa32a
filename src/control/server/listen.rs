//! The door to the network: TLS, HTTP/1.1 and HTTP/2, one task per connection.

use super::identity::PeerCertificate;
use super::{Api, Error, route};
use crate::base::Shutdown;
use crate::pki::tls;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How long requests that run may take to end at shutdown; watches are cut.
const DRAIN: Duration = Duration::from_secs(2);
/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves until shutdown.
pub async fn serve(api: Arc<Api>, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let files = tls::ServerFiles { name: "apiserver", client_authorities: &["ca", "front-proxy-ca"], anonymous: true };
    let acceptor = TlsAcceptor::from(tls::server(&api.paths.pki(), &files)?);
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    continue;
                }
            },
            () = shutdown.wait() => break,
        };
        let (api, acceptor, watcher) = (api.clone(), acceptor.clone(), graceful.watcher());
        tokio::spawn(async move {
            if let Err(error) = connection(api, acceptor, watcher, stream).await {
                tracing::debug!(error, "a connection ended");
            }
        });
    }
    // What has not ended by then is a watch or a stream, which clients resume.
    tokio::time::timeout(DRAIN, graceful.shutdown()).await.ok();
    Ok(())
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    api: Arc<Api>,
    acceptor: TlsAcceptor,
    watcher: hyper_util::server::graceful::Watcher,
    stream: TcpStream,
) -> Result<(), Failed> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??;
    let peer = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = peer.map(|certificate| PeerCertificate(certificate.to_vec()));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (api, peer) = (api.clone(), peer.clone());
        async move {
            let mut request = request.map(Body::new);
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            Ok::<_, Infallible>(route::answer(api, request).await)
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    watcher.watch(connection.into_owned()).await
}
