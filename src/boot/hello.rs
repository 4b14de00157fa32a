//! `coracle hello`: the built-in example application. Answers every HTTP request with the name of its pod.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Serves on `port` until SIGTERM.
pub fn main(port: u16) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let listener = tokio::net::TcpListener::bind(("0.0.0.0", port)).await?;
        tokio::spawn(crate::base::memory::settle());
        println!("listening on port {port}");
        let answer = Bytes::from(format!("hello from {}\n", host_name()));
        tokio::select! {
            ended = serve(listener, answer) => ended,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })
}

async fn serve(listener: tokio::net::TcpListener, answer: Bytes) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let answer = answer.clone();
        let service = service_fn(move |_: Request<hyper::body::Incoming>| {
            let answer = answer.clone();
            async move { Ok::<_, Infallible>(Response::new(Full::new(answer))) }
        });
        tokio::spawn(async move {
            // A client that breaks off is its own business.
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

/// The pod's name is its host name.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
