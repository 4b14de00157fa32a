//! Requests through a real server to backends that a test holds: an agent over TLS, pods over HTTP.

use super::super::tests::{TestServer, server};
use super::super::{Identity, Server};
use crate::base::Shutdown;
use crate::pki::tls;
use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Says what it was asked; switches protocols and then answers in capitals; refuses logs of `waiting`.
async fn backend(mut request: Request<Incoming>) -> Response<Body> {
    let uri = request.uri().to_string();
    if request.headers().contains_key(header::UPGRADE) {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut text = [0; 5];
            io.read_exact(&mut text).await.unwrap();
            io.write_all(&text.to_ascii_uppercase()).await.unwrap();
            io.shutdown().await.unwrap();
        });
        let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header("connection", "Upgrade");
        return answer.header("upgrade", "SPDY/3.1").header("x-asked", uri).body(Body::empty()).unwrap();
    }
    if uri.contains("/waiting") {
        let refused = Response::builder().status(StatusCode::BAD_REQUEST);
        return refused
            .body("container \"c\" in pod \"waiting\" is waiting to start: ContainerCreating".into())
            .unwrap();
    }
    if uri.contains("/page") {
        let answer = Response::builder().header(header::CONTENT_TYPE, "text/html; charset=utf-8");
        return answer.body(Body::from("<a href=\"/rewriteme\">test</a>")).unwrap();
    }
    let secret = request.headers().contains_key(header::AUTHORIZATION);
    let answer = Response::builder().header(header::LOCATION, "/elsewhere").header("x-secret", secret.to_string());
    answer.body(Body::from(format!("{} {uri}", request.method()))).unwrap()
}

/// Serves [`backend`], over TLS as the node's agent if a server is given; wants the API server's client certificate then.
async fn listen(of: Option<&TestServer>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = of.map(|test| {
        let files = tls::ServerFiles { name: "kubelet", client_authorities: &["ca"], anonymous: false };
        TlsAcceptor::from(tls::server(&test.server.api.paths.pki(), &files).unwrap())
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let service =
                    hyper::service::service_fn(|request| async { Ok::<_, Infallible>(backend(request).await) });
                let builder = auto::Builder::new(TokioExecutor::new());
                match acceptor {
                    Some(acceptor) => {
                        let io = TokioIo::new(acceptor.accept(stream).await.unwrap());
                        builder.serve_connection_with_upgrades(io, service).await.ok()
                    }
                    None => builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await.ok(),
                }
            });
        }
    });
    address
}

async fn ask(server: &Server, method: &str, path: &str) -> (u16, String, http::HeaderMap) {
    let client = server.client(Identity::new("admin", &["system:masters"]));
    let request = Request::builder().method(method).uri(path).header("authorization", "Bearer x");
    let request = request.body(kube::client::Body::empty()).unwrap();
    let response = client.send(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap(), parts.headers)
}

async fn put(test: &TestServer, path: &str, object: Value, status: Value) {
    let client = test.admin();
    let send = async |method: &str, path: String, body: &Value| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(
            "content-type",
            if method == "PATCH" { "application/merge-patch+json" } else { "application/json" },
        );
        client.request::<Value>(request.body(body.to_string().into_bytes()).unwrap()).await.unwrap()
    };
    send("POST", path.to_string(), &object).await;
    let name = object["metadata"]["name"].as_str().unwrap();
    if !status.is_null() {
        send("PATCH", format!("{path}/{name}/status"), &json!({"status": status})).await;
    }
}

async fn node(test: &TestServer, agent: SocketAddr) {
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "coracle"}});
    let status = json!({
        "addresses": [{"type": "InternalIP", "address": agent.ip().to_string()}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": agent.port()}},
    });
    put(test, "/api/v1/nodes", object, status).await;
}

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn pod(test: &TestServer, name: &str, node: &str, status: Value) {
    let containers = json!([{"name": "c", "image": "i"}]);
    let mut spec = json!({"containers": containers});
    if !node.is_empty() {
        spec["nodeName"] = json!(node);
    }
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    put(test, PODS, object, status).await;
}

#[tokio::test]
async fn logs_come_from_the_agent_of_the_pods_node() {
    let test = server().await;
    test.account().await;
    let agent = listen(Some(&test)).await;
    node(&test, agent).await;
    pod(&test, "web", "coracle", Value::Null).await;
    pod(&test, "waiting", "coracle", Value::Null).await;
    pod(&test, "nowhere", "", Value::Null).await;
    let (code, text, headers) = ask(&test.server, "GET", &format!("{PODS}/web/log?tailLines=5&follow=true")).await;
    assert_eq!((code, text.as_str()), (200, "GET /containerLogs/default/web/c?follow=true&tailLines=5"));
    assert_eq!(headers[header::CONTENT_TYPE], "text/plain");
    let (code, text, _) = ask(&test.server, "GET", &format!("{PODS}/waiting/log")).await;
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")));
    assert_eq!(status["message"], "container \"c\" in pod \"waiting\" is waiting to start: ContainerCreating");
    assert_eq!(ask(&test.server, "GET", &format!("{PODS}/nowhere/log")).await.0, 204);
    let (code, text, _) = ask(&test.server, "GET", &format!("{PODS}/web/log?container=x")).await;
    assert!(code == 400 && text.contains("container x is not valid for pod web"), "{text}");
    assert_eq!(ask(&test.server, "GET", &format!("{PODS}/missing/log")).await.0, 404);
}

#[tokio::test]
async fn a_proxied_request_loses_its_credentials_and_keeps_the_rest() {
    let test = server().await;
    test.account().await;
    node(&test, listen(Some(&test)).await).await;
    let prefix = "/api/v1/nodes/coracle/proxy";
    let (code, text, headers) = ask(&test.server, "PUT", &format!("{prefix}/a%20b/?x=1")).await;
    assert_eq!((code, text.as_str()), (200, "PUT /a%20b/?x=1"));
    assert_eq!(headers["x-secret"], "false");
    assert_eq!(headers[header::LOCATION], format!("{prefix}/elsewhere"));
    let (_, page, _) = ask(&test.server, "GET", &format!("{prefix}/page")).await;
    assert_eq!(page, format!("<a href=\"{prefix}/rewriteme\">test</a>"));
    let (code, _, headers) = ask(&test.server, "GET", &format!("{prefix}?x=1")).await;
    assert_eq!((code, headers[header::LOCATION].to_str().unwrap()), (301, &*format!("{prefix}/?x=1")));
}

#[tokio::test]
async fn what_is_not_there_is_said_in_upstreams_words() {
    let test = server().await;
    test.account().await;
    let message = async |path: &str| {
        let (code, text, _) = ask(&test.server, "GET", path).await;
        let status: Value = serde_json::from_str(&text).unwrap();
        (code, status["message"].as_str().unwrap().to_string())
    };
    pod(&test, "web", "", json!({"podIPs": [{"ip": "127.0.0.1"}], "podIP": "127.0.0.1"})).await;
    assert_eq!(message(&format!("{PODS}/web/proxy/")).await, (400, "address not allowed".into()));
    let object =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    put(&test, "/api/v1/namespaces/default/services", object, Value::Null).await;
    let services = "/api/v1/namespaces/default/services";
    let none = "no endpoints available for service \"web:80\"";
    assert_eq!(message(&format!("{services}/web:80/proxy/")).await, (503, none.into()));
    let none = "no service port 81 found for service \"web\"";
    assert_eq!(message(&format!("{services}/web:81/proxy/")).await, (503, none.into()));
    assert_eq!(
        message(&format!("{PODS}/web/exec?command=ls&stdout=1")).await.1,
        "pod web does not have a host assigned"
    );
}

#[tokio::test]
async fn switched_protocols_are_passed_through_as_bytes() {
    let test = server().await;
    test.account().await;
    node(&test, listen(Some(&test)).await).await;
    pod(&test, "web", "coracle", Value::Null).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, shutdown) = Shutdown::new();
    let server = test.server.clone();
    tokio::spawn(async move { server.serve(listener, shutdown).await });
    let config = tls::client(&test.server.api.paths.pki(), "ca", "admin").unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.unwrap();
    let path = format!("{PODS}/web/exec?command=sh&command=-c&stdin=true&stdout=true");
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(answer.contains("/exec/default/web/c?input=1&output=1&command=sh&command=-c"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nHELLO"), "{answer}");
}
