//! Ingresses before `v1`: a backend was a name and a port, and what there was by default had a shorter name.
//!
//! Source: pkg/apis/networking/v1beta1/{conversion,defaults}.go of Kubernetes 1.21.

use super::super::Object;
use super::super::edit::{Fields, child, each, zero};
use serde_json::{Map, Value, json};

pub fn to_stored(ingress: &mut Object) {
    let Some(spec) = child(&mut ingress.0, "spec") else { return };
    if let Some(backend) = spec.remove("backend") {
        spec.insert("defaultBackend".into(), backend);
    }
    if let Some(backend) = child(spec, "defaultBackend") {
        backend_to_stored(backend);
    }
    each_path(spec, |path| {
        zero(path, "pathType", "ImplementationSpecific");
        if let Some(backend) = child(path, "backend") {
            backend_to_stored(backend);
        }
    });
}

pub fn from_stored(ingress: &mut Object) {
    let Some(spec) = child(&mut ingress.0, "spec") else { return };
    if let Some(backend) = child(spec, "defaultBackend") {
        backend_from_stored(backend);
    }
    if let Some(backend) = spec.remove("defaultBackend") {
        spec.insert("backend".into(), backend);
    }
    each_path(spec, |path| {
        if let Some(backend) = child(path, "backend") {
            backend_from_stored(backend);
        }
    });
}

fn each_path(spec: &mut Fields, mut change: impl FnMut(&mut Fields)) {
    for rule in each(spec, "rules") {
        if let Some(http) = child(rule, "http") {
            each(http, "paths").for_each(&mut change);
        }
    }
}

fn backend_to_stored(backend: &mut Fields) {
    let (name, port) = (backend.remove("serviceName"), backend.remove("servicePort"));
    if name.is_none() && port.is_none() {
        return;
    }
    let mut service = Map::new();
    service.extend(name.map(|name| ("name".to_string(), name)));
    service.extend(port.map(|port| {
        let field = if port.is_number() { "number" } else { "name" };
        ("port".to_string(), json!({field: port}))
    }));
    backend.insert("service".into(), Value::Object(service));
}

fn backend_from_stored(backend: &mut Fields) {
    let Some(Value::Object(mut service)) = backend.remove("service") else { return };
    backend.extend(service.remove("name").map(|name| ("serviceName".to_string(), name)));
    let port = service.get("port").and_then(|port| {
        let own = |field: &str| port.get(field).filter(|value| !value.is_null() && **value != 0 && **value != "");
        own("name").or_else(|| own("number")).cloned()
    });
    backend.extend(port.map(|port| ("servicePort".to_string(), port)));
}
