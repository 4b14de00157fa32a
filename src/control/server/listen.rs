//! The door to the network: TLS, HTTP/1.1 and HTTP/2, one task per connection.

use super::auth::certificate;
use super::{Api, Error, route};
use crate::base::{Shutdown, connection};
use crate::pki::tls;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How long requests that run may take to end at shutdown; watches are cut.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves until shutdown.
pub async fn serve(api: Arc<Api>, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let files = tls::ServerFiles { name: "apiserver", client_authorities: &["ca", "front-proxy-ca"], anonymous: true };
    let acceptor = TlsAcceptor::from(tls::server(&api.paths.pki(), &files)?);
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            (stream, _) = connection::accept(&listener) => stream,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            () = shutdown.wait() => break,
        };
        let (api, acceptor, shutdown) = (api.clone(), acceptor.clone(), shutdown.clone());
        connections.spawn(async move {
            if let Err(error) = serve_one(api, acceptor, stream, shutdown).await {
                tracing::debug!(error, "a connection ended");
            }
        });
    }
    // What has not ended by then is a stream of an upgraded connection, or a request that waits for somebody else.
    let ended = async { while connections.join_next().await.is_some() {} };
    tokio::time::timeout(DRAIN, ended).await.ok();
    Ok(())
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn serve_one(api: Arc<Api>, acceptor: TlsAcceptor, stream: TcpStream, shutdown: Shutdown) -> Result<(), Failed> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(connection::HANDSHAKE, acceptor.accept(stream)).await??;
    let peer = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = peer.map(|certificate| certificate::read(certificate));
    let cutting = shutdown.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (api, peer, shutdown) = (api.clone(), peer.clone(), cutting.clone());
        async move {
            let is_endless = is_endless(request.uri().query().unwrap_or_default());
            let mut request = request.map(Body::new);
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            let answer = route::answer(api, request).await;
            Ok::<_, Infallible>(if is_endless { answer.map(|body| cut(body, shutdown)) } else { answer })
        }
    });
    let is_h2 = tls::is_h2(&stream);
    Ok(connection::serve(stream, is_h2, service, &shutdown).await?)
}

/// Whether an answer goes on until somebody ends it: watches and logs that are followed.
fn is_endless(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| matches!(&*name, "watch" | "follow") && matches!(&*value, "true" | "1"))
}

/// Ends a body in order at shutdown: clients resume where they were.
fn cut(body: Body, shutdown: Shutdown) -> Body {
    let over = async move { shutdown.wait().await };
    Body::from_stream(futures::StreamExt::take_until(body.into_data_stream(), Box::pin(over)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_and_followed_logs_have_no_end_of_their_own() {
        assert!(is_endless("watch=true") && is_endless("limit=5&watch=1") && is_endless("follow=true"));
        assert!(!is_endless("") && !is_endless("watch=false") && !is_endless("labelSelector=watch%3Dtrue"));
    }

    #[tokio::test]
    async fn an_endless_answer_ends_with_the_server() {
        let (trigger, shutdown) = Shutdown::new();
        let endless = futures::stream::pending::<Result<bytes::Bytes, Infallible>>();
        let body = cut(Body::from_stream(endless), shutdown);
        trigger.ask();
        assert!(axum::body::to_bytes(body, 10).await.unwrap().is_empty());
    }
}
