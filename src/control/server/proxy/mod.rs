//! Requests that the server passes on: to the node agent (logs, exec, attach, port-forward, the node's own API) and to the
//! addresses of pods and services.
//!
//! ```text
//! pods/{log,exec,attach,portforward}  ─▶ container ─▶ node ─┐
//! nodes/proxy                          ─▶ node ─────────────┴─▶ HTTPS with the server's client certificate
//! pods/proxy, services/proxy           ─▶ address ────────────▶ HTTP, or HTTPS unverified as upstream has it
//! ```
//!
//! What switches protocols (SPDY, WebSocket) is passed through as bytes once both sides have switched.
//!
//! Source: pkg/registry/core/{pod,node,service}/rest and k8s.io/apimachinery `pkg/util/proxy`.

mod connect;
mod containers;
mod forward;
mod html;
mod log;
mod nodes;
mod places;
mod stream;

pub use connect::{pass_back, strip, switches};
pub use nodes::Agents;
pub use places::endpoints;

use super::answer::Answer;
use super::identity::Attributes;
use super::route::{Call, forbidden, method_not_allowed};
use super::{admission, resource};
use crate::api::{Object, Status};
use axum::body::Body;
use hyper::upgrade::OnUpgrade;

/// What of a request is not in its [`Call`].
pub struct Incoming {
    /// The query as it came.
    pub query: String,
    pub body: Body,
    /// What the connection can be switched by; nothing where it cannot.
    pub upgrade: Option<OnUpgrade>,
}

/// Whether a request is passed on.
pub fn is_for(wanted: &Attributes) -> bool {
    let parts = match (wanted.group.as_str(), wanted.resource.as_str()) {
        ("", "pods") => &["log", "exec", "attach", "portforward", "proxy"][..],
        ("", "nodes" | "services") => &["proxy"],
        _ => return false,
    };
    parts.contains(&wanted.subresource.as_str())
}

/// Passes a request on and its answer back.
pub async fn answer(call: &Call, incoming: Incoming) -> Result<Answer, Status> {
    let wanted = call.attributes();
    let kind = resource::find(&call.api, wanted)?;
    resource::check_scope(&kind, wanted)?;
    if wanted.subresource != "log" {
        admission::connect(call, &kind, &incoming.query).await?;
    }
    check_streams(call)?;
    let verb = wanted.verb.as_str();
    match (wanted.resource.as_str(), wanted.subresource.as_str()) {
        ("pods", "log") if verb == "get" => log::answer(call, incoming).await,
        ("pods", "exec" | "attach" | "portforward") if matches!(verb, "get" | "create") => {
            stream::answer(call, incoming).await
        }
        ("pods", "proxy") => forward::answer(call, places::pod(call)?, incoming).await,
        ("services", "proxy") => forward::answer(call, places::service(call)?, incoming).await,
        ("nodes", "proxy") => forward::answer(call, places::node(call)?, incoming).await,
        _ => Err(method_not_allowed()),
    }
}

/// Streams by WebSocket come as GET, for which the right to read was asked: what they do is asked for as well.
///
/// Source: AuthorizePodWebsocketUpgradeCreatePermission, of Kubernetes 1.35.
fn check_streams(call: &Call) -> Result<(), Status> {
    const STREAMS: [&str; 4] = ["exec", "attach", "portforward", "run"];
    let wanted = call.attributes();
    let is_stream = match (wanted.resource.as_str(), wanted.subresource.as_str()) {
        ("pods", part) => STREAMS.contains(&part),
        ("nodes", "proxy") => {
            let first = call.target.rest.trim_start_matches('/').split('/').next().unwrap_or_default();
            STREAMS.iter().any(|stream| first.eq_ignore_ascii_case(stream))
        }
        _ => false,
    };
    let create = Attributes { verb: "create".into(), ..wanted.clone() };
    if !is_stream || wanted.verb == "create" || call.api.authorizer.allows(&call.user, &create) {
        return Ok(());
    }
    Err(forbidden(&call.user, &create))
}

/// An object of the core group, from the store.
fn stored(call: &Call, resource: &str, name: &str) -> Result<Object, Status> {
    let namespace = if resource == "nodes" { "" } else { &call.attributes().namespace };
    let found = super::auth::lookup::object(&call.api.store, resource, namespace, name);
    found.ok_or_else(|| Status::not_found("", resource, name))
}

#[cfg(test)]
mod tests;
