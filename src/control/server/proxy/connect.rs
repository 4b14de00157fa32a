//! One connection for one request: TCP, TLS where it is wanted, HTTP/1.1, and the way through once protocols are switched.

use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(30);
/// Headers that are about one connection, not about the request.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where a request goes.
#[derive(Clone)]
pub struct Place {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    pub port: u16,
    pub tls: Tls,
}

/// How the connection is secured.
#[derive(Clone)]
pub enum Tls {
    Off,
    /// The other side must prove who it is.
    Verified(Arc<ClientConfig>),
    /// Encrypted, whoever it is: what `https:` means for pods and services upstream.
    Unverified,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("dial tcp {place}: connect: {}", reason(.source))]
    Dial { place: String, source: std::io::Error },
    #[error("dial tcp {place}: i/o timeout")]
    Timeout { place: String },
    #[error("tls: {0}")]
    Tls(#[source] std::io::Error),
    #[error("tls: {0}")]
    Name(#[from] InvalidDnsNameError),
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

/// The failure in the words that clients know: those of the system, without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

impl Place {
    /// `host:port`, as the `Host` header has it.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Sends a request, whose URI is a path, on a connection of its own.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        let place = || self.authority();
        let dialing = tokio::time::timeout(CONNECT, TcpStream::connect((self.host.as_str(), self.port))).await;
        let stream = dialing.map_err(|_| Error::Timeout { place: place() })?;
        let stream = stream.map_err(|source| Error::Dial { place: place(), source })?;
        // Small messages of an interactive session should not wait for each other; without it they only come later.
        stream.set_nodelay(true).ok();
        let config = match &self.tls {
            Tls::Off => return exchange(stream, request).await,
            Tls::Verified(config) => config,
            Tls::Unverified => &UNVERIFIED,
        };
        let name = ServerName::try_from(self.host.clone())?;
        let stream = TlsConnector::from(config.clone()).connect(name, stream).await.map_err(Error::Tls)?;
        exchange(stream, request).await
    }
}

async fn exchange<Io>(io: Io, request: Request<Body>) -> Result<Response<Incoming>, Error>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a backend ended");
        }
    });
    Ok(sender.send_request(request).await?)
}

/// Whether a request or an answer switches protocols.
pub fn switches(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut words = lines.flat_map(|line| line.split(','));
    words.any(|word| word.trim().eq_ignore_ascii_case("upgrade")) && headers.contains_key(header::UPGRADE)
}

/// Takes away what is about one connection.
pub fn strip(headers: &mut HeaderMap) {
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(*name)));
}

/// The answer for the client. If both sides switch protocols, bytes pass through from then on.
pub fn pass_back(mut response: Response<Incoming>, client: Option<OnUpgrade>) -> Response<Body> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (mut parts, body) = response.into_parts();
        strip(&mut parts.headers);
        return Response::from_parts(parts, Body::new(body));
    }
    let backend = hyper::upgrade::on(&mut response);
    if let Some(client) = client {
        tokio::spawn(async move {
            let (client, backend) = match tokio::try_join!(client, backend) {
                Ok(both) => both,
                Err(error) => return tracing::debug!(%error, "protocols were not switched"),
            };
            let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
            // Either side may hang up at any time: that is how streams end.
            if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut backend).await {
                tracing::debug!(%error, "a stream was cut");
            }
        });
    }
    response.map(|_| Body::empty())
}

static UNVERIFIED: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| Arc::new(crate::pki::unverified::client(&[])));
