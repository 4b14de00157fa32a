//! `pods/exec`, `pods/attach` and `pods/portforward`: the node agent speaks the protocol, the server passes the bytes.
//!
//! The verb that is asked for is the method's: `create` for POST (SPDY), `get` for GET (WebSocket), and for that `create` too.

use super::connect::{self, Place};
use super::{Incoming, containers, nodes, stored};
use crate::api::{Object, Status};
use crate::control::server::answer::Answer;
use crate::control::server::route::Call;
use axum::body::Body;
use http::{HeaderName, Request, header};

/// Headers that the agent needs to switch protocols.
const PASSED: &[&str] = &[
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "user-agent",
    "x-stream-protocol-version",
];
/// Options as the API names them and as the agent does.
const FLAGS: &[(&str, &str)] = &[("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

/// Joins the client to the node agent.
pub async fn answer(call: &Call, incoming: Incoming) -> Result<Answer, Status> {
    let name = &call.attributes().name;
    let pod = stored(call, "pods", name)?;
    let path = path(call, &pod, &incoming.query)?;
    let node = pod.text(&["spec", "nodeName"]);
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let place = nodes::agent(call, node)?;
    let upgrade = incoming.upgrade.filter(|_| connect::switches(&call.headers));
    let upgrade = upgrade.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    let request = request(call, &place, &path)?;
    let response = place.send(request).await;
    let response = response.map_err(|error| Status::internal(format!("error dialing backend: {error}")))?;
    Ok(connect::pass_back(response, Some(upgrade)))
}

fn request(call: &Call, place: &Place, path: &str) -> Result<Request<Body>, Status> {
    let request = Request::builder().method(&call.method).uri(path).header(header::HOST, place.authority());
    let mut request = request.body(Body::empty()).map_err(Status::internal)?;
    for name in PASSED {
        for value in call.headers.get_all(*name) {
            request.headers_mut().append(HeaderName::from_static(name), value.clone());
        }
    }
    Ok(request)
}

/// The agent's path for what is asked for.
fn path(call: &Call, pod: &Object, query: &str) -> Result<String, Status> {
    let (namespace, name) = (pod.namespace(), pod.name());
    let mut passed = form_urlencoded::Serializer::new(String::new());
    let given: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    if call.attributes().subresource == "portforward" {
        for (key, value) in given.iter().filter(|(key, _)| key == "ports") {
            value.parse::<u16>().map_err(|_| Status::bad_request(format!("invalid port \"{value}\" in {key}")))?;
            passed.append_pair("port", value);
        }
        return Ok(format!("/portForward/{namespace}/{name}?{}", passed.finish()));
    }
    let container = containers::choose(pod, call.options.text("container"))?;
    for (own, agents) in FLAGS {
        if call.options.is_true(own) {
            passed.append_pair(agents, "1");
        }
    }
    for (_, value) in given.iter().filter(|(key, _)| key == "command") {
        passed.append_pair("command", value);
    }
    let action = &call.attributes().subresource;
    Ok(format!("/{action}/{namespace}/{name}/{container}?{}", passed.finish()))
}
