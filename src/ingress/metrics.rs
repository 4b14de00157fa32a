//! Health and metrics: `/healthz` and `/metrics`, under ingress-nginx' names.

use super::proxy::Proxy;
use super::table::Origin;
use crate::base::{connection, prometheus};
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Answers of one location.
#[derive(Default)]
pub struct Counters {
    /// The Ingress, `namespace/name`.
    name: Arc<str>,
    by_code: Mutex<BTreeMap<u16, u64>>,
}

impl Counters {
    /// Counts an answer.
    pub fn count(&self, code: u16) {
        *self.by_code.lock().entry(code).or_default() += 1;
    }

    /// The Ingress, `namespace/name`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
}

/// What is counted over all tables.
#[derive(Default)]
pub struct Totals {
    locations: Mutex<BTreeMap<Origin, Arc<Counters>>>,
    /// Requests that no rule takes.
    pub nowhere: Counters,
    pub reloads: AtomicU64,
    pub open: AtomicI64,
}

impl Totals {
    /// The counters of a location, which stay when the table changes.
    pub fn of(&self, origin: &Origin) -> Arc<Counters> {
        let name = || Arc::from(format!("{}/{}", origin.namespace, origin.ingress));
        let new = || Arc::new(Counters { name: name(), ..Counters::default() });
        self.locations.lock().entry(origin.clone()).or_insert_with(new).clone()
    }

    /// Forgets locations that no table has any more.
    pub fn tidy(&self) {
        self.locations.lock().retain(|_, counters| Arc::strong_count(counters) > 1);
    }

    fn text(&self) -> String {
        let mut text = prometheus::Text::default();
        text.family("nginx_ingress_controller_requests", "counter", "The total number of client requests");
        for (origin, counters) in self.locations.lock().iter() {
            for (code, count) in counters.by_code.lock().iter() {
                let code = code.to_string();
                let labels = [
                    ("namespace", origin.namespace.as_str()),
                    ("ingress", &origin.ingress),
                    ("service", &origin.service),
                    ("status", &code),
                ];
                text.sample(&labels, count, None);
            }
        }
        for (code, count) in self.nowhere.by_code.lock().iter() {
            text.sample(
                &[("namespace", ""), ("ingress", ""), ("service", ""), ("status", &code.to_string())],
                count,
                None,
            );
        }
        text.family(
            "nginx_ingress_controller_nginx_process_connections",
            "gauge",
            "Current number of client connections",
        );
        text.sample(&[("state", "active")], self.open.load(Ordering::Relaxed), None);
        text.family("nginx_ingress_controller_success", "counter", "Number of times that the routing table was made");
        text.sample(&[], self.reloads.load(Ordering::Relaxed), None);
        text.into_text()
    }
}

/// Connections to the metrics port at once.
const PLACES: usize = 256;

/// Serves until the process ends.
pub async fn serve(port: u16, ready: watch::Receiver<bool>, proxy: Arc<Proxy>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    // Pods may connect, and those that ask whether this one lives must find a place.
    let places = Arc::new(Semaphore::new(PLACES));
    loop {
        let (stream, _) = connection::accept(&listener).await;
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (ready, proxy) = (ready.clone(), proxy.clone());
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let response = answer(request.uri().path(), *ready.borrow(), &proxy.totals);
            async move { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(async move {
            let _place = place;
            // A client that breaks off is its own business.
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

fn answer(path: &str, is_ready: bool, totals: &Totals) -> Response<Full<Bytes>> {
    let (code, kind, text) = match path {
        "/healthz" if is_ready => (StatusCode::OK, "text/plain; charset=utf-8", "ok".into()),
        "/healthz" => (
            StatusCode::SERVICE_UNAVAILABLE,
            "text/plain; charset=utf-8",
            "the first look at the API is not over".into(),
        ),
        "/metrics" => (StatusCode::OK, prometheus::TYPE, totals.text()),
        _ => (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_healthy_once_the_api_was_read() {
        let totals = Totals::default();
        let code = |path, is_ready| answer(path, is_ready, &totals).status().as_u16();
        assert_eq!((code("/healthz", false), code("/healthz", true), code("/x", true)), (503, 200, 404));
    }

    #[test]
    fn answers_are_counted_by_location_and_code() {
        let totals = Totals::default();
        let origin =
            Origin { namespace: "default".into(), ingress: "web".into(), service: "hello".into(), port: "80".into() };
        totals.of(&origin).count(200);
        totals.of(&origin).count(200);
        let line = "nginx_ingress_controller_requests{namespace=\"default\",ingress=\"web\",service=\"hello\",status=\"200\"} 2";
        assert!(totals.text().contains(line), "{}", totals.text());
        totals.tidy();
        assert!(!totals.text().contains("hello"));
    }
}
