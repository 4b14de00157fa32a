//! The first objects of a cluster, made in one transaction. A restart finds them there.

use super::{Api, auth, objects, write};
use crate::api::{Object, Status, kinds};
use crate::control::store::Expected;
use serde_json::{Value, json};

/// Namespaces that every cluster has.
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// Makes what is missing.
pub async fn ensure(api: &Api) -> Result<(), Status> {
    let mut ops = Vec::new();
    for object in first_objects(api) {
        let Some(mut object) = Object::from_value(object) else { continue };
        let (group, version) = object.api_version().split_once('/').unwrap_or(("", object.api_version()));
        let kind = kinds::find_kind(group, version, object.kind())
            .ok_or_else(|| Status::internal("an unknown first object"))?;
        if api.store.get(&objects::key(kind, object.namespace(), object.name())).is_some() {
            continue;
        }
        object.set(&["metadata", "uid"], uuid::Uuid::new_v4().to_string());
        object
            .set(&["metadata", "creationTimestamp"], jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        (kind.rules.prepare_create)(&mut object);
        (kind.rules.default)(&mut object);
        ops.push(write::op(kind, &mut object, Expected::Absent, false)?);
    }
    if ops.is_empty() {
        return Ok(());
    }
    api.store.write(ops).await.map(drop).map_err(Status::internal)
}

fn first_objects(api: &Api) -> Vec<Value> {
    let mut all: Vec<Value> = NAMESPACES.iter().map(|name| namespace(name)).collect();
    all.push(kubernetes_service(api));
    all.push(kubernetes_endpoints(api));
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

/// Where the API really is. No controller makes these: the service has no selector.
fn kubernetes_endpoints(api: &Api) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "endpoints": [{"addresses": [api.profile.network.node_address], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": api.profile.api_port, "protocol": "TCP"}],
    })
}
