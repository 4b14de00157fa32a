//! The gRPC health service: one unary call over HTTP/2 without encryption.
//!
//! Source: grpc/grpc `doc/health-checking.md` and `doc/PROTOCOL-HTTP2.md`; wording: kubelet `pkg/probe/grpc/grpc.go`.

use super::ask::Answer;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// `HealthCheckResponse.status`.
const STATUSES: &[&str] = &["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: u64 = 1;
/// gRPC's code for a method that is not there.
const UNIMPLEMENTED: &str = "12";

/// Asks the health service at the address about `service`.
pub async fn check(address: IpAddr, port: u16, service: &str, timeout: Duration) -> Answer {
    let at = SocketAddr::new(address, port);
    let late = || Answer::Failure(format!("timeout: health rpc did not complete within {}s", timeout.as_secs()));
    match tokio::time::timeout(timeout, call(at, service)).await {
        Ok(Ok(SERVING)) => Answer::Success,
        Ok(Ok(status)) => {
            let word = STATUSES.get(status as usize).copied().unwrap_or("UNKNOWN");
            Answer::Failure(format!("service unhealthy (responded with \"{word}\")"))
        }
        Ok(Err(Problem::Connect(why))) => Answer::Failure(format!("error: failed to connect service \"{at}\": {why}")),
        Ok(Err(Problem::Code(code, message))) if code == UNIMPLEMENTED => Answer::Failure(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        )),
        Ok(Err(Problem::Code(code, message))) => {
            Answer::Failure(format!("error: health rpc probe failed: rpc error: code = {code} desc = {message}"))
        }
        Err(_) => late(),
    }
}

enum Problem {
    Connect(String),
    /// gRPC's status and message.
    Code(String, String),
}

impl Problem {
    fn broken(error: impl std::fmt::Display) -> Self {
        // 14: unavailable.
        Problem::Code("14".into(), error.to_string())
    }
}

async fn call(at: SocketAddr, service: &str) -> Result<u64, Problem> {
    let stream = tokio::net::TcpStream::connect(at).await;
    let stream = stream.map_err(|error| Problem::Connect(crate::node::http::plain(&error)))?;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(Problem::broken)?;
    let driver = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let request = http::Request::post(format!("http://{at}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(request(service)))
        .map_err(Problem::broken)?;
    let response = sender.send_request(request).await.map_err(Problem::broken)?;
    let headers = response.headers().clone();
    let body = response.into_body().collect().await.map_err(Problem::broken)?;
    drop(driver);
    let trailers = body.trailers().cloned().unwrap_or_default();
    let text = |name: &str| {
        let value = trailers.get(name).or(headers.get(name));
        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_string()
    };
    match text("grpc-status").as_str() {
        "0" => status(&body.to_bytes()).ok_or_else(|| Problem::broken("the answer cannot be read")),
        code => Err(Problem::Code(code.to_string(), text("grpc-message"))),
    }
}

/// A frame with `HealthCheckRequest{service}`: field 1, a text.
fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8(length as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(&message);
    frame.freeze()
}

/// `HealthCheckResponse.status`: field 1, a number; missing means 0.
fn status(frame: &[u8]) -> Option<u64> {
    let message = frame.get(5..)?;
    match message {
        [] => Some(0),
        [0x08, value, ..] if *value < 0x80 => Some(u64::from(*value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::service::service_fn;
    use std::convert::Infallible;

    /// A health service that answers with a status, or a gRPC error.
    async fn server(answer: Result<u8, &'static str>) -> u16 {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| async move {
                let sent = request.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(&sent[..], b"\0\0\0\0\x05\x0a\x03web");
                let (code, frame) = match answer {
                    Ok(status) => ("0", vec![0, 0, 0, 0, 2, 8, status]),
                    Err(code) => (code, vec![]),
                };
                let trailers = http::HeaderMap::from_iter([(
                    http::HeaderName::from_static("grpc-status"),
                    http::HeaderValue::from_static(code),
                )]);
                let body =
                    Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) });
                Ok::<_, Infallible>(http::Response::new(body))
            });
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
        port
    }

    async fn ask(port: u16) -> Answer {
        check("127.0.0.1".parse().unwrap(), port, "web", Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn only_a_service_that_serves_is_healthy() {
        assert_eq!(ask(server(Ok(1)).await).await, Answer::Success);
        let unhealthy = Answer::Failure("service unhealthy (responded with \"NOT_SERVING\")".into());
        assert_eq!(ask(server(Ok(2)).await).await, unhealthy);
        let Answer::Failure(text) = ask(server(Err("12")).await).await else { panic!() };
        assert!(text.contains("does not implement the grpc health protocol"), "{text}");
    }
}
