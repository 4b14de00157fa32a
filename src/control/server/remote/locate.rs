//! Where a Service answers: one of its ready endpoints, or the name that stands for it elsewhere.
//!
//! Source of rules and wording: k8s.io/apiserver `pkg/util/proxy/proxy.go` (ResolveEndpoint).

use crate::control::server::auth::lookup;
use crate::control::server::proxy;
use crate::control::store::Store;
use serde_json::Value;

/// Host and port of an endpoint of a service's port, any of those that are ready.
pub fn endpoint(store: &Store, namespace: &str, name: &str, port: u16) -> Result<(String, u16), String> {
    let service = lookup::object(store, "services", namespace, name);
    let service = service.ok_or_else(|| format!("service {name:?} not found"))?;
    if service.text(&["spec", "type"]) == "ExternalName" {
        return Ok((service.text(&["spec", "externalName"]).to_string(), port));
    }
    let ports = service.at(&["spec", "ports"]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let own = ports.iter().find(|own| own["port"] == port);
    let own = own.ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    let found = proxy::endpoints(store, namespace, name, own["name"].as_str().unwrap_or_default());
    let index = if found.is_empty() { 0 } else { rand::random_range(0..found.len()) };
    found.into_iter().nth(index).ok_or_else(|| format!("no endpoints available for service {name:?}"))
}
