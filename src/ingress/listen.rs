//! The ports of HTTP and HTTPS: connections, their limits, and the protocol that each speaks.

use super::headers::Connection;
use super::proxy::Proxy;
use super::{Options, tls};
use crate::base::connection;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Connections of clients at once, as nginx has it for a worker; more wait.
const CONNECTIONS: usize = 16_384;

/// Connections at one port: each may need a descriptor for a pod besides, there are two ports, and some are for everything else.
fn places() -> usize {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    most.and_then(|most| usize::try_from(most / 5).ok()).map_or(CONNECTIONS, |fifth| fifth.clamp(1, CONNECTIONS))
}
/// Requests at once in one connection of HTTP/2.
const STREAMS: u32 = 128;
/// Bytes of the head of a request.
const HEAD: usize = 64 * 1024;

/// Serves plain HTTP.
pub async fn http(options: &Options, proxy: Arc<Proxy>) -> io::Result<()> {
    accept(options.http, proxy, |stream, peer, proxy| async move {
        serve_one(stream, Connection { peer: peer.ip(), is_tls: false }, proxy).await;
    })
    .await
}

/// Serves HTTPS: HTTP/2 or HTTP/1.1, whichever the client asks for.
pub async fn https(options: &Options, proxy: Arc<Proxy>) -> io::Result<()> {
    let [both, one] = [true, false].map(|http2| {
        let proxy = proxy.clone();
        tls::server(move |name| proxy.certificate(name), http2).map(TlsAcceptor::from).map_err(io::Error::other)
    });
    let (both, one) = (both?, one?);
    accept(options.https, proxy, move |stream, peer, proxy| {
        let config = proxy.table.load().config.clone();
        let acceptor = if config.http2 { both.clone() } else { one.clone() };
        async move {
            let Ok(Ok(stream)) = timeout(config.client_header, acceptor.accept(stream)).await else { return };
            let connection = Connection { peer: peer.ip(), is_tls: true };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                serve_many(stream, connection, proxy).await;
            } else {
                serve_one(stream, connection, proxy).await;
            }
        }
    })
    .await
}

/// Takes connections for ever.
async fn accept<S, F>(port: u16, proxy: Arc<Proxy>, serve: S) -> io::Result<()>
where
    S: Fn(TcpStream, SocketAddr, Arc<Proxy>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    let places = Arc::new(Semaphore::new(places()));
    loop {
        let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = connection::accept(&listener).await;
        // It only answers later without.
        stream.set_nodelay(true).ok();
        let counted = Counted::new(place, proxy.clone());
        let served = serve(stream, peer, proxy.clone());
        tokio::spawn(async move {
            served.await;
            drop(counted);
        });
    }
}

/// A connection that counts until it ends.
struct Counted {
    _place: OwnedSemaphorePermit,
    proxy: Arc<Proxy>,
}

impl Counted {
    fn new(place: OwnedSemaphorePermit, proxy: Arc<Proxy>) -> Self {
        proxy.totals.open.fetch_add(1, Ordering::Relaxed);
        Self { _place: place, proxy }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.proxy.totals.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn answer(
    request: Request<Incoming>,
    connection: Connection,
    proxy: Arc<Proxy>,
) -> Result<Response<super::bodies::Body>, Infallible> {
    Ok(proxy.answer(connection, request).await)
}

async fn serve_one(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    proxy: Arc<Proxy>,
) {
    let patience = proxy.table.load().config.client_header;
    let service = service_fn(move |request| answer(request, connection, proxy.clone()));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(HEAD);
    // A client that breaks off, or says nothing, is its own business.
    builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await.ok();
}

async fn serve_many(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    proxy: Arc<Proxy>,
) {
    let patience = proxy.table.load().config.keep_alive;
    let service = service_fn(move |request| answer(request, connection, proxy.clone()));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(patience).keep_alive_timeout(patience);
    builder.max_concurrent_streams(STREAMS).max_header_list_size(HEAD as u32);
    // As above.
    builder.serve_connection(TokioIo::new(stream), service).await.ok();
}
