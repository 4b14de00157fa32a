//! The way from a browser on this machine to the API: a port of the loopback that answers the page from the executable and
//! hands everything else on as the user.
//!
//! The page is not fetched from the addon's pod: what runs in the user's browser with the user's rights must not be what
//! somebody in the cluster can change. The pod's address is where the page is all the same, as in minikube.
//!
//! Requests, watches and WebSockets (exec, attach, port-forward) are handed on as they are, but for what names the browser:
//! its token, cookies, origin.

use super::commands::{self, Commands};
use super::guard::{Guard, offered};
use super::{Answer, page, stream, whole};
use crate::api::{Reason, Status};
use crate::base::connection;
use crate::client::Client;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::client::Body;
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Where the page is.
pub const PAGE: &str = "/api/v1/namespaces/kubernetes-dashboard/services/http:kubernetes-dashboard:/proxy/";
/// The largest body that is handed on: the API takes none that is larger than 3 MiB.
const LARGEST_BODY: usize = 4 << 20;

/// What is between a browser and the API, and no part of a request or an answer; and what tells who the browser is.
const NOT_HANDED_ON: &[&str] = &[
    "connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authenticate",
    "proxy-authorization",
    "keep-alive",
    "host",
    "origin",
    "referer",
    "authorization",
    "cookie",
    "set-cookie",
    "content-length",
    "sec-websocket-protocol",
];

/// A proxy that listens and serves nobody yet.
pub struct Proxy {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    guard: Guard,
    client: Client,
    commands: Commands,
}

impl Proxy {
    /// Takes a port of the loopback, any free one for 0.
    pub async fn bind(port: u16, client: Client, commands: Commands) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let guard = Guard::new(listener.local_addr()?.port());
        Ok(Self { listener, shared: Arc::new(Shared { guard, client, commands }) })
    }

    /// The page's address with the token: it is in the fragment, which browsers send to nobody.
    pub fn url(&self) -> io::Result<String> {
        Ok(format!("http://{}{PAGE}#token={}", self.listener.local_addr()?, self.shared.guard.token()))
    }

    /// Serves for ever.
    pub async fn serve(self) -> io::Result<()> {
        loop {
            let (stream, _) = connection::accept(&self.listener).await;
            // Lines of a watch are small, and wanted at once.
            stream.set_nodelay(true).ok();
            let shared = self.shared.clone();
            let service = service_fn(move |request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(shared.answer(request).await) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            let connection = builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            // A browser that breaks off is its own business.
            tokio::spawn(async move { connection.with_upgrades().await.ok() });
        }
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        self.guarded(request).await.unwrap_or_else(|status| failure(&status))
    }

    async fn guarded(&self, request: Request<Incoming>) -> Result<Answer, Status> {
        self.guard.check_place(request.headers())?;
        let path = request.uri().path();
        if path == "/" {
            return Ok(redirection());
        }
        if let Some(file) = path.strip_prefix(PAGE) {
            return Ok(page::answer(request.method(), file, request.headers()));
        }
        self.guard.check_token(request.headers())?;
        if path == stream::PATH {
            return self.stream(request);
        }
        match path.strip_prefix(commands::PATH).map(String::from) {
            Some(below) => self.command(request, &below).await,
            None => self.hand_on(request).await,
        }
    }

    /// Opens a WebSocket for an answer that does not end.
    fn stream(&self, mut request: Request<Incoming>) -> Result<Answer, Status> {
        let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let Some(key) = key.filter(|_| is_upgrade(request.headers())) else {
            return Err(Status::bad_request("this is a WebSocket"));
        };
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key);
        let mut answer = Response::new(whole(""));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let accept = HeaderValue::from_str(&accept).map_err(Status::internal)?;
        answer.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if offered(request.headers()).contains(&stream::PROTOCOL) {
            let protocol = HeaderValue::from_static(stream::PROTOCOL);
            answer.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        let (browser, client) = (hyper::upgrade::on(&mut request), self.client.clone());
        tokio::spawn(async move {
            if let Ok(browser) = browser.await {
                stream::serve(TokioIo::new(browser), client).await;
            }
        });
        Ok(answer)
    }

    async fn command(&self, request: Request<Incoming>, below: &str) -> Result<Answer, Status> {
        let method = request.method().clone();
        let input = body(request.into_body()).await?;
        match self.commands.run(method.as_str(), below, &input).await {
            None => Err(Status::new(Reason::NotFound, "the dashboard has no such command")),
            Some(Err(error)) => Err(Status::internal(format!("the command could not be run: {error}"))),
            Some(Ok(value)) => {
                let mut answer = Response::new(whole(value.to_string()));
                answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Ok(sealed(answer))
            }
        }
    }

    async fn hand_on(&self, mut request: Request<Incoming>) -> Result<Answer, Status> {
        let upgrade = is_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body_in) = request.into_parts();
        parts.headers = outgoing(&parts.headers, upgrade.is_some());
        parts.version = http::Version::HTTP_11;
        parts.extensions.clear();
        parts.uri = parts.uri.path_and_query().map_or_else(Default::default, |path| path.clone().into());
        let body_out = body(body_in).await?;
        let answer = self.client.send(Request::from_parts(parts, Body::from(body_out))).await;
        let mut answer = answer.map_err(|error| {
            let why = crate::base::causes::chain(&error);
            Status::new(Reason::ServiceUnavailable, format!("the cluster does not answer: {why}"))
        })?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(browser) = upgrade
        {
            let cluster = hyper::upgrade::on(&mut answer);
            tokio::spawn(join(browser, cluster));
            return Ok(answer.map(|_| whole("")));
        }
        let mut answer = answer.map(|body| body.map_err(Into::into).boxed_unsync());
        NOT_HANDED_ON.iter().for_each(|name| drop(answer.headers_mut().remove(*name)));
        Ok(sealed(answer))
    }
}

/// Carries bytes both ways until either end closes.
async fn join(browser: hyper::upgrade::OnUpgrade, cluster: hyper::upgrade::OnUpgrade) {
    if let (Ok(browser), Ok(cluster)) = tokio::join!(browser, cluster) {
        // An end that breaks off ends both, which is all there is to do.
        tokio::io::copy_bidirectional(&mut TokioIo::new(browser), &mut TokioIo::new(cluster)).await.ok();
    }
}

/// The headers of a request that the cluster is told.
fn outgoing(headers: &HeaderMap, is_upgrade: bool) -> HeaderMap {
    let mut kept = headers.clone();
    NOT_HANDED_ON.iter().for_each(|name| drop(kept.remove(*name)));
    if is_upgrade {
        kept.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        kept.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(protocols) = HeaderValue::from_str(&offered(headers).join(", ")) {
            kept.insert(header::SEC_WEBSOCKET_PROTOCOL, protocols);
        }
    }
    kept
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

async fn body(body: Incoming) -> Result<bytes::Bytes, Status> {
    let read = Limited::new(body, LARGEST_BODY).collect().await;
    Ok(read.map_err(|error| Status::bad_request(format!("the body could not be read: {error}")))?.to_bytes())
}

/// Whatever the cluster answers is data: shown as a page of its own it would have the dashboard's origin.
fn sealed(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn failure(status: &Status) -> Answer {
    let mut answer = Response::new(whole(status.to_value().to_string()));
    *answer.status_mut() = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    sealed(answer)
}

/// The fragment, and the token in it, goes along.
fn redirection() -> Answer {
    let mut answer = Response::new(whole(""));
    *answer.status_mut() = StatusCode::FOUND;
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(PAGE));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock::Mock;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A proxy in front of a scripted API; its address and token.
    async fn proxy(mock: &Mock) -> (String, String) {
        let commands =
            Commands { executable: "/bin/false".into(), profile: "x".into(), about: json!({"profile": "x"}) };
        let proxy = Proxy::bind(0, mock.client(), commands).await.unwrap();
        let url = proxy.url().unwrap();
        tokio::spawn(proxy.serve());
        let (place, token) = url.strip_prefix("http://").unwrap().split_once("#token=").unwrap();
        (place.split('/').next().unwrap().into(), token.into())
    }

    /// Sends the head of a request without a body; the answer.
    async fn ask(place: &str, head: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(place).await.unwrap();
        let request = format!("{head}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_page_is_anybodys_and_the_api_is_whose_the_token_is() {
        let mock = Mock::default();
        let (place, token) = proxy(&mock).await;
        let page = ask(&place, &format!("GET {PAGE} HTTP/1.1\r\nHost: {place}")).await;
        assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("<!doctype html>"), "{page}");
        let refused = ask(&place, &format!("GET /version HTTP/1.1\r\nHost: {place}")).await;
        assert!(refused.starts_with("HTTP/1.1 401 ") && refused.contains(r#""reason":"Unauthorized""#), "{refused}");
        assert!(mock.requests().is_empty(), "nothing of it reached the API");

        mock.answer(200, json!({"gitVersion": "v9"}));
        let bearer = format!("Host: {place}\r\nAuthorization: Bearer {token}");
        let answer = ask(&place, &format!("GET /version?x=%20y HTTP/1.1\r\n{bearer}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("v9"), "{answer}");
        assert!(answer.contains("content-security-policy: sandbox"), "{answer}");
        assert_eq!(mock.requests().pop().unwrap().1, "/version?x=%20y");
    }

    #[tokio::test]
    async fn a_foreign_host_or_origin_is_refused_even_with_the_token() {
        let mock = Mock::default();
        let (place, token) = proxy(&mock).await;
        let bearer = format!("Authorization: Bearer {token}");
        let host = ask(&place, &format!("GET /version HTTP/1.1\r\nHost: evil.example\r\n{bearer}")).await;
        assert!(host.starts_with("HTTP/1.1 403 "), "{host}");
        let line = format!("GET /version HTTP/1.1\r\nHost: {place}\r\nOrigin: http://evil.example\r\n{bearer}");
        let origin = ask(&place, &line).await;
        assert!(origin.starts_with("HTTP/1.1 403 "), "{origin}");
        assert!(mock.requests().is_empty());
    }

    #[tokio::test]
    async fn commands_need_the_token_too() {
        let (place, token) = proxy(&Mock::default()).await;
        let post = format!("POST /coracle/addons/x/enable HTTP/1.1\r\nHost: {place}\r\nContent-Length: 0");
        assert!(ask(&place, &post).await.starts_with("HTTP/1.1 401 "));
        let answer = ask(&place, &format!("{post}\r\nAuthorization: Bearer {token}")).await;
        let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(body["code"], 1, "what was run says how it ended");
        let unknown = format!(
            "POST /coracle/delete HTTP/1.1\r\nHost: {place}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0"
        );
        assert!(ask(&place, &unknown).await.starts_with("HTTP/1.1 404 "));
    }

    #[test]
    fn what_names_the_browser_is_not_handed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("cookie", "a=b"), ("authorization", "Bearer x"), ("origin", "http://x"), ("accept", "*/*")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let word = "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.eA";
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(word));
        let told = outgoing(&headers, true);
        assert_eq!(told[header::SEC_WEBSOCKET_PROTOCOL], "v5.channel.k8s.io");
        assert_eq!(told[header::ACCEPT], "*/*");
        assert!(["cookie", "authorization", "origin"].iter().all(|name| !told.contains_key(*name)));
    }
}
