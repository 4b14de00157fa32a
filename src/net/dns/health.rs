//! What probes and Prometheus ask of the DNS server: `/ready`, `/health`, `/metrics`.

use hickory_proto::op::ResponseCode;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Ports of readiness, health and metrics: CoreDNS' own.
const PORTS: [u16; 3] = [8181, 8080, 9153];

/// Answers by their code.
#[derive(Default)]
pub struct Counters {
    found: AtomicU64,
    missing: AtomicU64,
    failed: AtomicU64,
    other: AtomicU64,
}

impl Counters {
    /// Counts an answer.
    pub fn count(&self, code: ResponseCode) {
        let counter = match code {
            ResponseCode::NoError => &self.found,
            ResponseCode::NXDomain => &self.missing,
            ResponseCode::ServFail => &self.failed,
            _ => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// In Prometheus' text format.
    fn text(&self) -> String {
        let name = "coredns_dns_responses_total";
        let mut text = format!("# HELP {name} Responses by code.\n# TYPE {name} counter\n");
        let all =
            [("NOERROR", &self.found), ("NXDOMAIN", &self.missing), ("SERVFAIL", &self.failed), ("OTHER", &self.other)];
        for (code, counter) in all {
            text += &format!("{name}{{rcode=\"{code}\"}} {}\n", counter.load(Ordering::Relaxed));
        }
        text
    }
}

/// What is answered.
struct State {
    ready: watch::Receiver<bool>,
    counters: Arc<Counters>,
}

/// Serves all three ports of an address until the process ends.
pub async fn serve(address: std::net::IpAddr, ready: watch::Receiver<bool>, counters: Arc<Counters>) -> io::Result<()> {
    let state = Arc::new(State { ready, counters });
    let [one, two, three] = PORTS.map(|port| serve_port(SocketAddr::new(address, port), state.clone()));
    tokio::try_join!(one, two, three).map(drop)
}

async fn serve_port(address: SocketAddr, state: Arc<State>) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let state = state.clone();
        let service = service_fn(move |request| {
            let response = answer(&request, &state);
            async move { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(async move {
            // A client that breaks off is its own business.
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

fn answer<B>(request: &Request<B>, state: &State) -> Response<Full<Bytes>> {
    let (code, text) = match request.uri().path() {
        "/ready" if *state.ready.borrow() => (StatusCode::OK, "OK".into()),
        "/ready" => (StatusCode::SERVICE_UNAVAILABLE, "kubernetes".into()),
        "/health" => (StatusCode::OK, "OK".into()),
        "/metrics" => (StatusCode::OK, state.counters.text()),
        _ => (StatusCode::NOT_FOUND, "404 page not found\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_the_zone_is_complete() {
        let (ready, is_ready) = watch::channel(false);
        let state = State { ready: is_ready, counters: Arc::default() };
        let code = |path: &str| answer(&Request::builder().uri(path).body(()).unwrap(), &state).status().as_u16();
        assert_eq!((code("/ready"), code("/health"), code("/else")), (503, 200, 404));
        ready.send_replace(true);
        assert_eq!(code("/ready"), 200);
    }

    #[test]
    fn answers_are_counted_by_code() {
        let counters = Counters::default();
        counters.count(ResponseCode::NXDomain);
        assert!(counters.text().contains("coredns_dns_responses_total{rcode=\"NXDOMAIN\"} 1\n"));
    }
}
