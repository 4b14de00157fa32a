//! Connections to pods: made on demand, kept while they are of use, tried again where nothing was sent yet.

use super::bodies::{Body, Progress};
use super::settings::Protocol;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

/// How long a connection waits for its next request.
const IDLE: Duration = Duration::from_secs(60);
/// How many connections wait for one pod.
const WAITING: usize = 320;

/// Who is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// `ADDRESS:PORT`.
    pub address: Arc<str>,
    pub protocol: Protocol,
    /// The name that a TLS backend is asked for; its address otherwise, which is not sent.
    pub name: Option<Arc<str>>,
}

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub connect: Duration,
    pub read: Duration,
    pub send: Duration,
}

/// Why there is no answer.
pub enum Failure {
    /// Nothing was sent: anybody else may be asked.
    Unsent { request: Box<Request<Body>>, is_late: bool, why: String },
    /// It was sent, and the connection ended.
    Broken(String),
    /// It was sent, and nothing came.
    Late,
}

impl Failure {
    /// Whether something took too long.
    pub fn is_late(&self) -> bool {
        matches!(self, Failure::Late | Failure::Unsent { is_late: true, .. })
    }

    /// In words.
    pub fn why(&self) -> &str {
        match self {
            Failure::Unsent { why, .. } | Failure::Broken(why) => why,
            Failure::Late => "nothing came in time",
        }
    }

    /// The request, if nothing of it was sent.
    pub fn request(self) -> Option<Request<Body>> {
        match self {
            Failure::Unsent { request, .. } => Some(*request),
            Failure::Broken(_) | Failure::Late => None,
        }
    }
}

/// All connections to pods.
pub struct Upstream {
    plain: Mutex<HashMap<Target, Vec<Waiting>>>,
    shared: Mutex<HashMap<Target, http2::SendRequest<Body>>>,
    https: TlsConnector,
    grpcs: TlsConnector,
}

/// A connection, by what it speaks: one request after the other, or many at once.
enum Sender {
    Plain(http1::SendRequest<Body>),
    Shared(http2::SendRequest<Body>),
}

impl Sender {
    async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Sender::Plain(sender) => sender.try_send_request(request).await,
            Sender::Shared(sender) => sender.try_send_request(request).await,
        }
    }
}

struct Waiting {
    sender: http1::SendRequest<Body>,
    since: Instant,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            plain: Mutex::default(),
            shared: Mutex::default(),
            https: super::tls::to_pods(b"http/1.1"),
            grpcs: super::tls::to_pods(b"h2"),
        }
    }
}

impl Upstream {
    /// Asks, and waits for the head of the answer. Whoever is `gone` is connected to no longer.
    pub async fn send(
        self: &Arc<Self>,
        target: &Target,
        mut request: Request<Body>,
        patience: Patience,
        progress: &Progress,
        gone: impl Future<Output = ()>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut gone = std::pin::pin!(gone);
        loop {
            let known = self.known(target);
            let is_new = known.is_none();
            let mut sender = match known {
                Some(sender) => sender,
                None => match unless(gone.as_mut(), self.connect(target, patience.connect)).await {
                    Ok(sender) => sender,
                    Err(error) => return Err(unsent(request, &error)),
                },
            };
            progress.touch();
            let Some(answered) = wait(sender.send(request), patience, progress).await else {
                return Err(Failure::Late);
            };
            match answered {
                Ok(response) => {
                    self.keep(target, sender, response.status());
                    return Ok(response);
                }
                Err(mut failed) => match failed.take_message() {
                    // The pod closed a connection that was there: nothing was lost, and it is not asked again.
                    Some(back) if !is_new => {
                        self.shared.lock().remove(target);
                        request = back;
                    }
                    Some(back) => return Err(unsent(back, &io::Error::other(failed.into_error()))),
                    None => return Err(Failure::Broken(crate::base::causes::chain(failed.error()))),
                },
            }
        }
    }

    /// A connection that is there: one that is shared, or one that waits.
    fn known(&self, target: &Target) -> Option<Sender> {
        match target.protocol.is_http2() {
            true => {
                let open = self.shared.lock().get(target).filter(|sender| !sender.is_closed()).cloned();
                open.map(Sender::Shared)
            }
            false => self.waiting(target).map(Sender::Plain),
        }
    }

    /// A connection that waits, the last used first.
    fn waiting(&self, target: &Target) -> Option<http1::SendRequest<Body>> {
        let mut plain = self.plain.lock();
        let all = plain.get_mut(target)?;
        while let Some(one) = all.pop() {
            if one.sender.is_ready() && one.since.elapsed() < IDLE {
                return Some(one.sender);
            }
        }
        plain.remove(target);
        None
    }

    /// Keeps a connection once its answer has gone through whole; one that is shared is kept from its beginning.
    fn keep(self: &Arc<Self>, target: &Target, sender: Sender, code: http::StatusCode) {
        let mut sender = match sender {
            Sender::Plain(sender) if code != http::StatusCode::SWITCHING_PROTOCOLS => sender,
            _ => return,
        };
        let (pool, target) = (self.clone(), target.clone());
        tokio::spawn(async move {
            if sender.ready().await.is_err() {
                return;
            }
            let mut plain = pool.plain.lock();
            let was_empty = plain.is_empty();
            let all = plain.entry(target).or_default();
            if all.len() < WAITING {
                all.push(Waiting { sender, since: Instant::now() });
            }
            drop(plain);
            if was_empty {
                tokio::spawn(pool.forget_idle());
            }
        });
    }

    /// Closes what waited for too long, until nothing waits any more.
    async fn forget_idle(self: Arc<Self>) {
        loop {
            let oldest = {
                let mut plain = self.plain.lock();
                plain.retain(|_, all| {
                    all.retain(|one| !one.sender.is_closed() && one.since.elapsed() < IDLE);
                    !all.is_empty()
                });
                plain.values().flatten().map(|one| one.since).min()
            };
            self.shared.lock().retain(|_, sender| !sender.is_closed());
            let Some(oldest) = oldest else { return };
            sleep_until(oldest + IDLE).await;
        }
    }

    async fn connect(&self, target: &Target, patience: Duration) -> io::Result<Sender> {
        let within = async {
            let stream = dial(&target.address).await?;
            let protocol = &target.protocol;
            let tls = if protocol.is_http2() { &self.grpcs } else { &self.https };
            match protocol.is_tls() {
                true => greet(protocol, tls.connect(server_name(target)?, stream).await?).await,
                false => greet(protocol, stream).await,
            }
        };
        let sender = timeout(patience, within).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if let Sender::Shared(shared) = &sender {
            self.shared.lock().insert(target.clone(), shared.clone());
        }
        Ok(sender)
    }
}

fn unsent(request: Request<Body>, error: &io::Error) -> Failure {
    let is_late = error.kind() == io::ErrorKind::TimedOut;
    Failure::Unsent { request: Box::new(request), is_late, why: crate::base::causes::chain(error) }
}

/// What comes of connecting, unless there is nobody to connect to any more.
async fn unless<T>(gone: impl Future<Output = ()>, connected: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::select! {
        connected = connected => connected,
        () = gone => Err(io::ErrorKind::HostUnreachable.into()),
    }
}

async fn dial(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn server_name(target: &Target) -> io::Result<ServerName<'static>> {
    let host = || target.address.rsplit_once(':').map_or(&*target.address, |(host, _)| host).trim_matches(['[', ']']);
    let name = target.name.as_deref().unwrap_or_else(host).to_string();
    ServerName::try_from(name).map_err(io::Error::other)
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static {}
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Begins to speak a protocol. The end of a connection is seen by who sends on it.
async fn greet(protocol: &Protocol, stream: impl Stream) -> io::Result<Sender> {
    let stream = TokioIo::new(stream);
    if protocol.is_http2() {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(IDLE).keep_alive_timeout(IDLE);
        let (sender, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
        tokio::spawn(async move { connection.await.ok() });
        return Ok(Sender::Shared(sender));
    }
    let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    tokio::spawn(async move { connection.with_upgrades().await.ok() });
    sender.ready().await.map_err(io::Error::other)?;
    Ok(Sender::Plain(sender))
}

/// Waits for an answer as long as something moves; nothing if nothing did for too long.
async fn wait<A>(answer: impl Future<Output = A>, patience: Patience, progress: &Progress) -> Option<A> {
    let mut answer = std::pin::pin!(answer);
    loop {
        let end = progress.last() + if progress.is_over() { patience.read } else { patience.send };
        tokio::select! {
            answered = &mut answer => return Some(answered),
            () = sleep_until(end) => {
                let still = progress.last() + if progress.is_over() { patience.read } else { patience.send };
                if still <= Instant::now() {
                    return None;
                }
            }
        }
    }
}
