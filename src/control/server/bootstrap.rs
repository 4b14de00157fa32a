//! The first objects of a cluster, made in one transaction. A restart finds them there.

use super::{Api, auth, objects, write};
use crate::api::{Kind, Object, Status, kinds};
use crate::control::store::{self, Expected, Op};
use serde_json::{Value, json};

/// Namespaces that every cluster has.
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// Classes that the parts of a cluster have: name, value, what for.
const PRIORITY_CLASSES: &[(&str, i64, &str)] = &[
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

/// Makes what is missing, and says anew where the API is, for that may have changed since the last start.
pub async fn ensure(api: &Api) -> Result<(), Status> {
    let mut ops = Vec::new();
    for object in kubernetes_endpoints(api) {
        ops.extend(refreshed(api, object)?);
    }
    for object in first_objects(api) {
        let Some(object) = Object::from_value(object) else { continue };
        let kind = kind_of(&object)?;
        if api.store.get(&objects::key(kind, object.namespace(), object.name())).is_none() {
            ops.push(first(kind, object)?);
        }
    }
    if ops.is_empty() {
        return Ok(());
    }
    api.store.write(ops).await.map(drop).map_err(Status::internal)
}

/// Makes a namespace that is not there; one that somebody else made meanwhile is as good.
pub async fn ensure_namespace(api: &Api, name: &str) -> Result<(), Status> {
    let object = Object::from_value(namespace(name)).ok_or_else(|| Status::internal("no object"))?;
    let op = first(kind_of(&object)?, object)?;
    match api.store.write(vec![op]).await {
        Err(store::Error::Exists(_)) => Ok(()),
        written => written.map(drop).map_err(Status::internal),
    }
}

fn first_objects(api: &Api) -> Vec<Value> {
    let mut all: Vec<Value> = NAMESPACES.iter().map(|name| namespace(name)).collect();
    all.push(kubernetes_service(api));
    all.push(service_range(api));
    all.extend(PRIORITY_CLASSES.iter().map(priority_class));
    all.extend(auth::defaults::objects());
    all.extend(authentication_config(api));
    all
}

fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    })
}

/// The API as pods see it.
fn kubernetes_service(api: &Api) -> Value {
    let address = api.profile.network.api_service_address;
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": api.profile.api_port}],
        },
        "status": {"loadBalancer": {}},
    })
}

/// What servers behind this one (aggregated APIs, webhooks) need to know whom to believe.
///
/// Source: pkg/controlplane/controller/clusterauthenticationtrust.
fn authentication_config(api: &Api) -> Option<Value> {
    let read = |name: &str| std::fs::read_to_string(api.paths.pki().join(name)).ok();
    Some(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": read("ca.crt")?,
            "requestheader-client-ca-file": read("front-proxy-ca.crt")?,
            "requestheader-allowed-names": "[\"front-proxy-client\"]",
            "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
            "requestheader-group-headers": "[\"X-Remote-Group\"]",
            "requestheader-username-headers": "[\"X-Remote-User\"]",
        },
    }))
}

/// Where the API really is, in both forms. No controller makes these: the service has no selector.
fn kubernetes_endpoints(api: &Api) -> [Value; 2] {
    let address = api.profile.network.node_address;
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let ports = json!([{"name": "https", "port": api.profile.api_port, "protocol": "TCP"}]);
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": ports,
    });
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address}], "ports": ports}],
    });
    [slice, endpoints]
}

/// The operation that makes an object as it is wanted, or nothing if it is so. Identity and labels of others stay.
fn refreshed(api: &Api, wanted: Value) -> Result<Option<Op>, Status> {
    let Some(mut object) = Object::from_value(wanted) else { return Ok(None) };
    let kind = kind_of(&object)?;
    let Some(entry) = api.store.get(&objects::key(kind, object.namespace(), object.name())) else {
        return first(kind, object).map(Some);
    };
    let old = objects::stored(&entry)?;
    (kind.rules.default)(&mut object);
    let is_same = |field: &str| object.0.get(field) == old.0.get(field);
    if object.0.keys().filter(|field| *field != "metadata").all(|field| is_same(field)) {
        return Ok(None);
    }
    object.0.insert("metadata".into(), old.0.get("metadata").cloned().unwrap_or_default());
    object.remove(&["metadata", "resourceVersion"]);
    write::op(kind, &mut object, Expected::Revision(entry.revision), false).map(Some)
}

fn kind_of(object: &Object) -> Result<&'static Kind, Status> {
    let (group, version) = object.api_version().split_once('/').unwrap_or(("", object.api_version()));
    kinds::find_kind(group, version, object.kind()).ok_or_else(|| Status::internal("an unknown first object"))
}

/// The operation that makes an object.
pub fn first(kind: &Kind, mut object: Object) -> Result<Op, Status> {
    object.set(&["metadata", "uid"], uuid::Uuid::new_v4().to_string());
    object.set(&["metadata", "creationTimestamp"], crate::api::time::now());
    if kind.has_generation() {
        object.set(&["metadata", "generation"], 1);
    }
    (kind.rules.prepare_create)(&mut object);
    (kind.rules.default)(&mut object);
    write::op(kind, &mut object, Expected::Absent, false)
}

fn priority_class((name, value, description): &(&str, i64, &str)) -> Value {
    json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
        "description": description,
    })
}

/// The range that Services get their addresses from, as an object.
fn service_range(api: &Api) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [api.profile.network.service_cidr]},
    })
}
