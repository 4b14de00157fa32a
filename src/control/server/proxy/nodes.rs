//! Where a node's agent listens, and who the server is to it.

use super::connect::{Place, Tls};
use super::stored;
use crate::api::{Object, Reason, Status};
use crate::control::server::route::Call;
use crate::pki::{self, tls};
use axum::body::Body;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Limited};
use rustls::ClientConfig;
use std::path::Path;
use std::sync::Arc;

/// The port of an agent that does not say.
const PORT: u16 = 10250;
/// The largest answer of an agent that is read as a whole, in bytes.
const LARGEST: usize = 64 << 20;
/// Kinds of addresses, the best first. Upstream prefers host names, which nobody resolves here.
const ADDRESSES: &[&str] = &["InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Hostname"];

/// How the server shows the agents who it is, and whose certificates it believes.
#[derive(Clone)]
pub struct Agents(Arc<ClientConfig>);

impl Agents {
    /// Reads the client certificate and the cluster's authority.
    pub fn load(folder: &Path) -> Result<Self, pki::Error> {
        Ok(Self(tls::client(folder, "ca", "apiserver-kubelet-client")?))
    }

    /// What the agent of a node answers to a GET.
    pub async fn read(call: &Call, node: &str, path: &str) -> Result<Bytes, Status> {
        let place = agent(call, node)?;
        let failed = |why: String| {
            let url = format!("https://{}{path}", place.authority());
            Status::new(Reason::ServiceUnavailable, format!("Get \"{url}\": {why}"))
        };
        let request = Request::get(path).header(header::HOST, place.authority()).body(Body::empty());
        let answer = place.send(request.map_err(Status::internal)?).await.map_err(|error| failed(error.to_string()))?;
        if !answer.status().is_success() {
            return Err(failed(format!("the agent answered {}", answer.status())));
        }
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| failed(error.to_string()))
    }
}

/// Where the agent of a node listens.
pub fn agent(call: &Call, node: &str) -> Result<Place, Status> {
    let object = stored(call, "nodes", node)?;
    let place = Place { host: address(&object)?, port: port(&object), tls: Tls::Off };
    Ok(Place { tls: Tls::Verified(call.api.agents.0.clone()), ..place })
}

/// The address of a node.
pub fn address(node: &Object) -> Result<String, Status> {
    let all = node.at(&["status", "addresses"]).and_then(|list| list.as_array());
    let of_kind =
        |kind: &str| all.into_iter().flatten().find(|one| one["type"] == kind)?["address"].as_str().map(String::from);
    let found = ADDRESSES.iter().find_map(|kind| of_kind(kind));
    found.ok_or_else(|| Status::internal(format!("no preferred addresses found; known addresses: {}", known(node))))
}

fn known(node: &Object) -> String {
    node.at(&["status", "addresses"]).map(ToString::to_string).unwrap_or_else(|| "[]".into())
}

/// The port of a node's agent.
pub fn port(node: &Object) -> u16 {
    let port = node.at(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).and_then(|port| port.as_u64());
    port.and_then(|port| port.try_into().ok()).filter(|port| *port > 0).unwrap_or(PORT)
}
