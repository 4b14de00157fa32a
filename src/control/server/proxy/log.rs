//! `pods/log`: from the node agent, as a plain body or as messages of a WebSocket.
//!
//! Source: pkg/registry/core/pod/rest/log.go, pkg/apis/core/validation (ValidatePodLogOptions) and k8s.io/apiserver
//! `pkg/registry/generic/rest/response_checker.go`.

use super::connect::{self, Place};
use super::{Incoming, containers, nodes, stored};
use crate::api::{Cause, Reason, Status};
use crate::control::server::answer::Answer;
use crate::control::server::request::Options;
use crate::control::server::route::Call;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Limited};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

/// Longest refusal of an agent that is read, in bytes.
const LONGEST_WHY: usize = 50_000;
/// Options that the agent is given as they are.
const PASSED: &[&str] =
    &["follow", "previous", "timestamps", "sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"];
/// Protocols of logs over WebSocket, and whether they are text in base64.
const PROTOCOLS: &[(&str, bool)] = &[("", false), ("binary.k8s.io", false), ("base64.binary.k8s.io", true)];

/// Answers with a log.
pub async fn answer(call: &Call, incoming: Incoming) -> Result<Answer, Status> {
    let name = &call.attributes().name;
    check(name, &call.options)?;
    let pod = stored(call, "pods", name)?;
    let container = containers::choose(&pod, call.options.text("container"))?;
    let node = pod.text(&["spec", "nodeName"]);
    if node.is_empty() {
        // Nothing can have been written yet.
        let mut nothing = Response::new(Body::empty());
        *nothing.status_mut() = StatusCode::NO_CONTENT;
        return Ok(nothing);
    }
    let place = nodes::agent(call, node)?;
    let path = format!("/containerLogs/{}/{name}/{container}?{}", pod.namespace(), query(&call.options));
    let response = fetch(&place, &path, name).await?;
    if connect::switches(&call.headers) {
        return over_websocket(call, incoming, response);
    }
    let mut answer = response.map(Body::new);
    connect::strip(answer.headers_mut());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(answer)
}

fn query(options: &Options) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for name in PASSED {
        let value = options.text(name);
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

async fn fetch(place: &Place, path: &str, pod: &str) -> Result<Response<hyper::body::Incoming>, Status> {
    let request = Request::get(path).header(header::HOST, place.authority()).body(Body::empty());
    let response = place.send(request.map_err(Status::internal)?).await;
    let response =
        response.map_err(|error| Status::internal(format!("Get \"https://{}{path}\": {error}", place.authority())))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST_WHY).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    Err(refused(status, String::from_utf8_lossy(&body).trim_end(), pod))
}

/// What an agent's refusal is to the client.
fn refused(status: StatusCode, why: &str, pod: &str) -> Status {
    match status {
        StatusCode::BAD_REQUEST => Status::bad_request(why),
        StatusCode::NOT_FOUND => {
            let what = format!("the server could not find the requested resource ( pods/log {pod})");
            Status::new(Reason::NotFound, what).about("", "pods/log", pod)
        }
        StatusCode::UNPROCESSABLE_ENTITY => Status::bad_request(why),
        _ => Status::internal(why),
    }
}

/// Options that cannot be.
fn check(pod: &str, options: &Options) -> Result<(), Status> {
    let mut causes = Vec::new();
    let mut wrong = |field: &str, value: &str, why: &str| {
        let message = format!("Invalid value: {value}: {why}");
        causes.push(Cause { reason: "FieldValueInvalid".into(), message, field: field.into() });
    };
    for (field, least, why) in [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ] {
        let text = options.text(field);
        if text.is_empty() {
            continue;
        }
        let number: i64 = text
            .parse()
            .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")))?;
        if number < least {
            wrong(field, text, why);
        }
    }
    let forbidden = |field: &str, why: &str| Cause {
        reason: "FieldValueForbidden".into(),
        message: format!("Forbidden: {why}"),
        field: field.into(),
    };
    if !options.text("sinceSeconds").is_empty() && !options.text("sinceTime").is_empty() {
        causes.push(forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    match options.text("stream") {
        "" | "All" => {}
        "Stdout" | "Stderr" if options.text("tailLines").is_empty() => {}
        "Stdout" | "Stderr" => {
            causes.push(forbidden("", "`tailLines` and specific `stream` are mutually exclusive for now"));
        }
        other => {
            let message = format!("Unsupported value: \"{other}\": supported values: \"All\", \"Stderr\", \"Stdout\"");
            causes.push(Cause { reason: "FieldValueNotSupported".into(), message, field: "stream".into() });
        }
    }
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid("", "PodLogOptions", pod, causes)) }
}

fn over_websocket(
    call: &Call,
    incoming: Incoming,
    response: Response<hyper::body::Incoming>,
) -> Result<Answer, Status> {
    let text = |name: header::HeaderName| call.headers.get(name).and_then(|value| value.to_str().ok());
    let upgrade = incoming.upgrade.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    let key = text(header::SEC_WEBSOCKET_KEY).ok_or_else(|| Status::bad_request("missing Sec-WebSocket-Key"))?;
    let asked = text(header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
    let chosen = asked.split(',').find_map(|asked| PROTOCOLS.iter().find(|(own, _)| *own == asked.trim()));
    let (protocol, is_base64) =
        chosen.ok_or_else(|| Status::bad_request(format!("requested protocol(s) are not supported: [{asked}]")))?;
    let mut answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()));
    if !protocol.is_empty() {
        answer = answer.header(header::SEC_WEBSOCKET_PROTOCOL, *protocol);
    }
    let is_base64 = *is_base64;
    tokio::spawn(async move {
        match upgrade.await {
            Ok(io) => messages(TokioIo::new(io), response.into_body(), is_base64).await,
            Err(error) => tracing::debug!(%error, "a client did not switch protocols"),
        }
    });
    answer.body(Body::empty()).map_err(Status::internal)
}

/// Sends a body as messages, and closes with code 1000.
async fn messages(io: TokioIo<hyper::upgrade::Upgraded>, body: hyper::body::Incoming, is_base64: bool) {
    let (mut sink, mut source) = WebSocketStream::from_raw_socket(io, Role::Server, None).await.split();
    let mut frames = BodyStream::new(body);
    let sending = async {
        while let Some(Ok(frame)) = frames.next().await {
            let Ok(bytes) = frame.into_data() else { continue };
            let message = if is_base64 { Message::text(STANDARD.encode(&bytes)) } else { Message::Binary(bytes) };
            if sink.send(message).await.is_err() {
                return;
            }
        }
        // The client may be gone, and then needs no farewell.
        sink.send(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))).await.ok();
    };
    let hung_up = async { while source.next().await.is_some_and(|message| message.is_ok()) {} };
    tokio::select! {
        () = sending => {}
        () = hung_up => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_be_are_refused_by_field() {
        let why = |query: &str| check("p", &Options::parse(query)).unwrap_err();
        let wrong = why("tailLines=-1");
        assert_eq!(
            wrong.message,
            "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0"
        );
        assert_eq!(wrong.reason, Reason::Invalid);
        assert_eq!(why("limitBytes=x").reason, Reason::BadRequest);
        assert_eq!(why("stream=None").causes[0].field, "stream");
        assert!(check("p", &Options::parse("tailLines=5&follow=true&stream=All&sinceSeconds=1")).is_ok());
    }

    #[test]
    fn an_agents_refusal_keeps_its_words() {
        let why = "container \"web\" in pod \"p\" is waiting to start: ContainerCreating";
        let status = refused(StatusCode::BAD_REQUEST, why, "p");
        assert_eq!((status.reason, status.message.as_str()), (Reason::BadRequest, why));
    }
}
