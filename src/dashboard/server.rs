//! The page's files for whoever asks, in the addon's pod. It knows nothing of the API: who looks at the page without
//! `coracle dashboard` is told by the page what is missing.

use super::page;
use crate::base::connection;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use tokio::net::TcpListener;

/// Serves for ever.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = connection::accept(&listener).await;
        let service = service_fn(|request: Request<Incoming>| async move {
            let path = request.uri().path().trim_start_matches('/');
            Ok::<_, Infallible>(page::answer(request.method(), path, request.headers()))
        });
        tokio::spawn(async move {
            // A client that breaks off is its own business.
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}
