//! What extends the API: a webhook on the machine outside of the node, policies and rules as expressions.

use super::harness::Cluster;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use coracle::pki::{Authority, Identity};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

/// The address of this machine as the node sees it.
fn address_towards(node: &str) -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect((node, 9)).unwrap();
    socket.local_addr().unwrap().ip()
}

/// Serves a webhook that refuses every object; returns its port and authority. It ends with the runtime.
async fn refusing(address: IpAddr) -> (u16, String) {
    let (authority, _) = Authority::create("test").unwrap();
    let identity = Identity { common_name: "webhook".into(), addresses: vec![address], ..Identity::default() };
    let signed = authority.issue(&identity, Duration::from_secs(3600)).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()));
    let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(refuse);
                drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    (port, STANDARD.encode(authority.certificate()))
}

async fn refuse(request: hyper::Request<Incoming>) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let bytes = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let review: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let response =
        json!({"uid": review["request"]["uid"], "allowed": false, "status": {"message": "the harbour is closed"}});
    let answer = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
    Ok(hyper::Response::new(Full::from(answer.to_string())))
}

#[test]
fn webhooks_and_policies_refuse_what_they_are_asked_about() {
    let Some(cluster) = Cluster::started("extension") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = address_towards(cluster.coracle("ip").ok().trim());
    let (port, bundle) = runtime.block_on(refusing(address));
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "harbour"},
        "webhooks": [{
            "name": "closed.harbour.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": format!("https://{address}:{port}/"), "caBundle": bundle},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
            "matchConditions": [{"name": "boats", "expression": "object.metadata.name.startsWith('boat')"}],
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}],
        }],
    });
    cluster.kubectl_with("create", &configuration.to_string()).ok();
    let refused = cluster.kubectl("create configmap boat");
    let words = "admission webhook \"closed.harbour.example.com\" denied the request: the harbour is closed";
    assert!(refused.err.contains(words), "{}", refused.err);
    cluster.kubectl("create configmap car").ok();
    cluster.kubectl("create configmap boat -n kube-public").ok();
    cluster.kubectl("delete validatingwebhookconfiguration harbour").ok();
    cluster.kubectl("create configmap boat").ok();

    cluster.kubectl_with("create", POLICY).ok();
    cluster.kubectl("create deployment small --image=coracle.local/hello --replicas=2").ok();
    let refused = cluster.kubectl("scale deployment small --replicas=4");
    assert!(refused.err.contains("'few' with binding 'few' denied request: at most 3, not 4"), "{}", refused.err);
}

const POLICY: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: few}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments, deployments/scale]}
  validations:
  - expression: object.spec.replicas <= 3
    messageExpression: "'at most 3, not ' + string(object.spec.replicas)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: few}
spec: {policyName: few, validationActions: [Deny]}
"#;
