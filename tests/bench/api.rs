//! Connections to the API server: a client for comfort, and bare HTTP connections that cost as little as they can.

use super::harness::Cluster;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;

/// A client with the administrator's rights.
pub fn client(cluster: &Cluster, runtime: &tokio::runtime::Runtime) -> kube::Client {
    runtime.block_on(async {
        let config = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        kube::Client::try_from(config).unwrap()
    })
}

/// Where to connect and with what.
#[derive(Clone)]
pub struct Address {
    authority: String,
    connector: tokio_rustls::TlsConnector,
}

impl Address {
    /// Read from the kubeconfig that `start` wrote.
    pub fn of(cluster: &Cluster) -> Self {
        let config = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let server = config.clusters[0].cluster.as_ref().unwrap();
        let user = config.auth_infos[0].auth_info.as_ref().unwrap();
        let decoded = |text: &str| {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).unwrap()
        };
        let mut roots = rustls::RootCertStore::empty();
        let authority = decoded(server.certificate_authority_data.as_ref().unwrap());
        CertificateDer::pem_slice_iter(&authority).for_each(|one| roots.add(one.unwrap()).unwrap());
        let certificate = decoded(user.client_certificate_data.as_ref().unwrap());
        let chain = CertificateDer::pem_slice_iter(&certificate).map(Result::unwrap).collect();
        let key = serde_json::to_value(user).unwrap()["client-key-data"].as_str().map(decoded).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&key).unwrap();
        let tls =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
        let url = server.server.as_ref().unwrap();
        Self { authority: url.trim_start_matches("https://").into(), connector: Arc::new(tls).into() }
    }

    /// One connection of HTTP/1.1.
    pub async fn connect(&self) -> Connection {
        let stream = tokio::net::TcpStream::connect(&self.authority).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let host = self.authority.rsplit_once(':').unwrap().0.to_string();
        let stream = self.connector.connect(ServerName::try_from(host).unwrap(), stream).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Connection { sender, authority: self.authority.clone() }
    }
}

/// One request after the other.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Connection {
    /// Sends one request; the answer's body, which is read whole.
    pub async fn ask(&mut self, method: &str, path: &str, body: Bytes) -> Bytes {
        self.send(method, path, body).await.collect().await.unwrap().to_bytes()
    }

    /// Sends one request; how many bytes the answer's body has, which are read and not kept.
    pub async fn measure(&mut self, path: &str) -> usize {
        let mut body = self.send("GET", path, Bytes::new()).await;
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            size += frame.unwrap().data_ref().map_or(0, Bytes::len);
        }
        size
    }

    /// The body of an answer. Anything but success is a broken benchmark.
    async fn send(&mut self, method: &str, path: &str, body: Bytes) -> Incoming {
        let request = hyper::Request::builder().method(method).uri(path).header("host", &self.authority);
        let request = request.header("content-type", "application/json").body(Full::new(body)).unwrap();
        self.sender.ready().await.unwrap();
        let answer = self.sender.send_request(request).await.unwrap();
        if !answer.status().is_success() {
            let (status, text) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
            panic!("{method} {path}: {status} {}", String::from_utf8_lossy(&text));
        }
        answer.into_body()
    }
}
