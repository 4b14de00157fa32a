//! Asking once: a command, a request, a connection or a health service.

use super::{Subject, grpc};
use crate::node::http::{self, Target};
use crate::node::pod::hooks;
use crate::runtime;
use k8s_openapi::api::core::v1::{Probe, TCPSocketAction};
use std::time::Duration;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Success,
    /// A success that somebody should look at.
    Warning(String),
    Failure(String),
}

/// Longest part of a command's output in an event (kubelet: maxReadLength).
const OUTPUT: usize = 10 << 10;

/// Asks once; the error says that the question could not be put.
pub async fn ask(subject: &Subject, probe: &Probe, timeout: Duration) -> Result<Answer, String> {
    if let Some(exec) = &probe.exec {
        return command(subject, exec.command.clone().unwrap_or_default(), timeout).await;
    }
    if let Some(get) = &probe.http_get {
        let target = Target::of(get, &subject.spec, subject.address)?;
        return Ok(request(&target, timeout).await);
    }
    if let Some(tcp) = &probe.tcp_socket {
        return connection(subject, tcp, timeout).await;
    }
    if let Some(action) = &probe.grpc {
        let port = u16::try_from(action.port).map_err(|_| format!("invalid port number: {}", action.port))?;
        let address = subject.address.ok_or("the pod has no address")?;
        return Ok(grpc::check(address, port, action.service.as_deref().unwrap_or_default(), timeout).await);
    }
    Err("missing probe handler".into())
}

async fn command(subject: &Subject, argv: Vec<String>, timeout: Duration) -> Result<Answer, String> {
    let shown = argv.join(" ");
    match subject.node.runtime.exec_sync(&subject.container.id, argv, timeout).await {
        Ok(output) if output.exit_code == 0 => Ok(Answer::Success),
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Ok(Answer::Failure(String::from_utf8_lossy(&text[..text.len().min(OUTPUT)]).into_owned()))
        }
        Err(runtime::Error::Timeout(after)) => {
            Ok(Answer::Failure(format!("command timed out: \"{shown}\" timed out after {}s", after.as_secs())))
        }
        Err(error) => Err(error.to_string()),
    }
}

async fn request(target: &Target, timeout: Duration) -> Answer {
    match http::get(target, timeout).await {
        Ok(answer) if (300..400).contains(&answer.status) => {
            Answer::Warning(format!("Probe terminated redirects, Response body: {}", answer.body))
        }
        Ok(answer) if (200..400).contains(&answer.status) => Answer::Success,
        Ok(answer) => Answer::Failure(format!("HTTP probe failed with statuscode: {}", answer.status)),
        Err(why) => Answer::Failure(why),
    }
}

async fn connection(subject: &Subject, tcp: &TCPSocketAction, timeout: Duration) -> Result<Answer, String> {
    let port = hooks::port(&tcp.port, &subject.spec)?;
    let named = tcp.host.clone().filter(|host| !host.is_empty());
    let host = named.or(subject.address.map(|address| address.to_string())).ok_or("the pod has no address")?;
    let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    match tokio::time::timeout(timeout, tokio::net::TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(Answer::Success),
        Ok(Err(error)) => Ok(Answer::Failure(format!("dial tcp {shown}: connect: {}", http::plain(&error)))),
        Err(_) => Ok(Answer::Failure(format!("dial tcp {shown}: i/o timeout"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{FakeApi, FakeRuntime, container, node, pod, running};
    use serde_json::{Value, json};
    use std::sync::Arc;

    async fn answer(probe: Value, address: &str) -> Result<Answer, String> {
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        let pod = Arc::new(pod(json!({"containers": [{"name": "web", "image": "i"}]})));
        let spec = pod.spec.as_ref().unwrap().containers[0].clone();
        let subject = Subject {
            node: Arc::new(node),
            pod,
            spec,
            container: container("web", 0, running()),
            address: Some(address.parse().unwrap()),
        };
        ask(&subject, &serde_json::from_value(probe).unwrap(), Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn connections_and_requests_are_made_to_the_pod() {
        let router = axum::Router::new()
            .route("/good", axum::routing::get(|| async { "fine" }))
            .route(
                "/away",
                axum::routing::get(|| async { axum::response::Redirect::temporary("http://other.example/") }),
            )
            .route("/near", axum::routing::get(|| async { axum::response::Redirect::temporary("/bad") }))
            .route("/bad", axum::routing::get(|| async { http_status(500) }));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let get = |path: &str| json!({"httpGet": {"path": path, "port": port}});
        assert_eq!(answer(get("/good"), "127.0.0.1").await.unwrap(), Answer::Success);
        assert_eq!(
            answer(get("/near"), "127.0.0.1").await.unwrap(),
            Answer::Failure("HTTP probe failed with statuscode: 500".into())
        );
        let Answer::Warning(text) = answer(get("/away"), "127.0.0.1").await.unwrap() else { panic!() };
        assert!(text.starts_with("Probe terminated redirects"), "{text}");
        assert_eq!(answer(json!({"tcpSocket": {"port": port}}), "127.0.0.1").await.unwrap(), Answer::Success);
    }

    fn http_status(code: u16) -> axum::http::StatusCode {
        axum::http::StatusCode::from_u16(code).unwrap()
    }

    #[tokio::test]
    async fn a_closed_port_is_a_failure_in_the_words_of_go() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let refused = answer(json!({"tcpSocket": {"port": port}}), "127.0.0.1").await.unwrap();
        assert_eq!(refused, Answer::Failure(format!("dial tcp 127.0.0.1:{port}: connect: connection refused")));
        assert!(answer(json!({"httpGet": {"port": "none"}}), "127.0.0.1").await.is_err());
    }
}
