//! One connection of an HTTP server: the protocol that was agreed on, and how long it may be of no use to anybody.

use super::Shutdown;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a client may take for its handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection without a request for so long, or with half of one's head, is closed.
/// Source: `IdleTimeout` in k8s.io/apiserver pkg/server/secure_serving.go.
const IDLE: Duration = Duration::from_secs(90);
/// How often a silent client of HTTP/2 is asked whether it is there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// How long to wait until something is there again that connections take.
const SHORT_OF: Duration = Duration::from_millis(100);

/// Takes the next connection. One that cannot be taken, for want of descriptors or memory, is left until others have ended.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(SHORT_OF).await;
            }
        }
    }
}

/// Serves one connection, of HTTP/2 if `is_h2`, until it ends or is idle. At shutdown requests that run may end.
pub async fn serve<IO, S, B>(stream: IO, is_h2: bool, service: S, shutdown: &Shutdown) -> Result<(), hyper::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TokioIo::new(stream);
    if !is_h2 {
        // The time for a head counts between requests, too.
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE);
        let mut connection = pin!(builder.serve_connection(stream, service).with_upgrades());
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = shutdown.wait() => connection.as_mut().graceful_shutdown(),
        }
        return connection.await;
    }
    let (running, seen) = watch::channel(0);
    let counted = service_fn(move |request| {
        let (turn, answer) = (Turn::begin(&running), service.call(request));
        async move { answer.await.map(|answer| answer.map(|body| Held { body, _turn: turn })) }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(PING.0).keep_alive_timeout(PING.1);
    let mut connection = pin!(builder.serve_connection(stream, counted));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = idle(seen) => {}
        () = shutdown.wait() => {}
    }
    connection.as_mut().graceful_shutdown();
    // A client that never said which protocol it speaks is not waited for.
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = tokio::time::sleep(IDLE) => Ok(()),
    }
}

/// Waits until no request has run for [`IDLE`].
async fn idle(mut running: watch::Receiver<usize>) {
    // A sender that is gone has no more requests.
    while running.wait_for(|count| *count == 0).await.is_ok() {
        if tokio::time::timeout(IDLE, running.wait_for(|count| *count > 0)).await.is_err() {
            return;
        }
    }
}

/// One of the requests that run.
struct Turn(watch::Sender<usize>);

impl Turn {
    fn begin(running: &watch::Sender<usize>) -> Self {
        running.send_modify(|count| *count += 1);
        Self(running.clone())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// A body whose request runs until its end.
struct Held<B> {
    body: B,
    _turn: Turn,
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    /// A server that takes `work` for a request; the client's end, and the task.
    fn server(is_h2: bool, work: Duration) -> (DuplexStream, tokio::task::JoinHandle<Result<(), hyper::Error>>) {
        let (client, stream) = tokio::io::duplex(1 << 16);
        let task = tokio::spawn(async move {
            let service = service_fn(move |_| async move {
                tokio::time::sleep(work).await;
                Ok(Response::new(Full::new(Bytes::from("done"))))
            });
            // Nobody asks for shutdown while the trigger lives.
            let (_trigger, shutdown) = Shutdown::new();
            serve(stream, is_h2, service, &shutdown).await
        });
        (client, task)
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_and_silence_between_requests_end_the_connection() {
        let (mut client, task) = server(false, Duration::ZERO);
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        let begun = tokio::time::Instant::now();
        assert!(task.await.unwrap().is_err() && begun.elapsed() >= IDLE);

        let (mut client, task) = server(false, Duration::ZERO);
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        assert!(said.ends_with(b"done"));
        task.await.unwrap().ok();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_says_what_it_speaks_is_let_go() {
        let (_client, task) = server(true, Duration::ZERO);
        task.await.unwrap().ok();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_runs_keeps_a_connection_of_http_2_and_silence_ends_it() {
        let work = IDLE * 5;
        let (client, task) = server(true, work);
        let io = TokioIo::new(client);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io).await.unwrap();
        let client = tokio::spawn(connection);
        let begun = tokio::time::Instant::now();
        let answer = sender.send_request(Request::new(Full::default())).await.unwrap();
        assert!(answer.status().is_success() && begun.elapsed() >= work);
        drop(answer);
        // What it still wanted to say, nobody may hear.
        client.await.unwrap().ok();
        task.await.unwrap().ok();
        assert!(begun.elapsed() >= work + IDLE);
    }
}
