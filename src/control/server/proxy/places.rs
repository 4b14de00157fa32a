//! Where `pods/proxy`, `services/proxy` and `nodes/proxy` lead: `[scheme:]name[:port]`.
//!
//! Source of rules and wording: ResourceLocation in pkg/registry/core/{pod,node,service}.

use super::connect::{Place, Tls};
use super::{nodes, stored};
use crate::api::{Object, Reason, Status};
use crate::control::server::route::Call;
use crate::control::store::Store;
use serde_json::Value;
use std::net::IpAddr;

/// The parts of a name.
#[derive(Debug, PartialEq, Eq)]
struct Name<'a> {
    is_https: bool,
    name: &'a str,
    port: &'a str,
}

impl<'a> Name<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        let is_https = scheme == "https";
        (!name.is_empty() && matches!(scheme, "" | "http" | "https")).then_some(Self { is_https, name, port })
    }

    fn tls(&self) -> Tls {
        if self.is_https { Tls::Unverified } else { Tls::Off }
    }

    fn default_port(&self) -> u16 {
        if self.is_https { 443 } else { 80 }
    }
}

fn read<'a>(call: &'a Call, kind: &str) -> Result<Name<'a>, Status> {
    let name = &call.attributes().name;
    Name::read(name).ok_or_else(|| Status::bad_request(format!("invalid {kind} request \"{name}\"")))
}

/// A pod's address; without a port the first that a container names.
pub fn pod(call: &Call) -> Result<Place, Status> {
    let name = read(call, "pod")?;
    let pod = stored(call, "pods", name.name)?;
    let first = pod.at(&["status", "podIPs"]).and_then(|list| list[0]["ip"].as_str());
    let host = allowed(first.unwrap_or(pod.text(&["status", "podIP"])))?;
    let port = match name.port {
        "" => first_port(&pod).unwrap_or(name.default_port()),
        text => number(text)
            .ok_or_else(|| Status::bad_request(format!("invalid pod request \"{}\"", call.attributes().name)))?,
    };
    Ok(Place { host, port, tls: name.tls() })
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

fn first_port(pod: &Object) -> Option<u16> {
    let containers = pod.at(&["spec", "containers"])?.as_array()?;
    let port = containers.iter().find_map(|one| one["ports"][0]["containerPort"].as_u64())?;
    port.try_into().ok()
}

/// Addresses that the server may be made to talk to: those of hosts, not its own or special ones.
fn allowed(address: &str) -> Result<String, Status> {
    let is_global = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_link_local() || ip.is_broadcast())
        }
        Ok(IpAddr::V6(ip)) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_unicast_link_local())
        }
        Err(_) => false,
    };
    if is_global { Ok(address.to_string()) } else { Err(Status::bad_request("address not allowed")) }
}

/// A node's agent; with another port, whatever listens there.
pub fn node(call: &Call) -> Result<Place, Status> {
    let name = read(call, "node")?;
    let agent = nodes::agent(call, name.name)?;
    match number(name.port) {
        Some(port) if port != agent.port => Ok(Place { port, tls: name.tls(), ..agent }),
        None if !name.port.is_empty() => {
            Err(Status::bad_request(format!("invalid node request \"{}\"", call.attributes().name)))
        }
        _ => Ok(agent),
    }
}

/// An endpoint of a service that is ready, any of them.
pub fn service(call: &Call) -> Result<Place, Status> {
    let name = read(call, "service")?;
    let service = stored(call, "services", name.name)?;
    let ports = service.at(&["spec", "ports"]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut port_name = name.port;
    if let Some(port) = number(name.port) {
        let found = ports.iter().find(|own| own["port"] == port);
        let why = || unavailable(format!("no service port {port} found for service \"{}\"", name.name));
        port_name = found.ok_or_else(why)?["name"].as_str().unwrap_or_default();
    }
    let found = endpoints(&call.api.store, &call.attributes().namespace, name.name, port_name);
    let index = if found.is_empty() { 0 } else { rand::random_range(0..found.len()) };
    let endpoint = found.into_iter().nth(index);
    let (host, port) = endpoint
        .ok_or_else(|| unavailable(format!("no endpoints available for service \"{}\"", call.attributes().name)))?;
    Ok(Place { host, port, tls: name.tls() })
}

fn unavailable(why: String) -> Status {
    Status::new(Reason::ServiceUnavailable, why)
}

/// Address and port of every ready endpoint of a service's port.
pub fn endpoints(store: &Store, namespace: &str, service: &str, port_name: &str) -> Vec<(String, u16)> {
    let Ok(listing) = store.list("discovery.k8s.io/endpointslices", Some(namespace), None) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in listing.entries.iter() {
        let is_own =
            |(key, value): &(Box<str>, Box<str>)| &**key == "kubernetes.io/service-name" && &**value == service;
        if !entry.selection.labels.iter().any(is_own) {
            continue;
        }
        let Ok(slice) = serde_json::from_slice::<Value>(&entry.bytes) else { continue };
        let list = |field: &str| slice[field].as_array().cloned().unwrap_or_default();
        let port = list("ports").iter().find(|port| port["name"].as_str().unwrap_or_default() == port_name).cloned();
        let Some(port) = port.and_then(|port| u16::try_from(port["port"].as_u64()?).ok()) else { continue };
        for endpoint in list("endpoints").iter().filter(|endpoint| endpoint["conditions"]["ready"] != false) {
            let address = endpoint["addresses"][0].as_str().and_then(|address| allowed(address).ok());
            found.extend(address.map(|address| (address, port)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_carry_a_scheme_and_a_port() {
        let read = |text| Name::read(text).map(|name| (name.is_https, name.name, name.port));
        assert_eq!(read("web"), Some((false, "web", "")));
        assert_eq!(read("web:http"), Some((false, "web", "http")));
        assert_eq!(read("https:web:"), Some((true, "web", "")));
        for wrong in ["", ":80", "ftp:web:21", "a:b:c:d"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_server_is_not_made_to_talk_to_itself() {
        for wrong in ["", "127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "name"] {
            assert_eq!(allowed(wrong).unwrap_err().message, "address not allowed");
        }
        assert!(allowed("10.244.0.7").is_ok());
    }
}
