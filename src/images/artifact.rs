//! Artifacts of registries that are no images, such as charts: a manifest with a config and layers, in memory.

use super::pull::{Login, is_local};
use super::registry::{self, Refusal, Way};
use super::{Error, Reference, is_digest};
use crate::base::causes::chain;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Tags that are asked for at once.
const TAGS: usize = 1000;
/// The most tags that are read; a registry that never ends is cut off.
const MOST_TAGS: usize = 100_000;

/// How a registry is reached.
#[derive(Clone, Default)]
pub struct Access {
    /// HTTP in place of HTTPS; registries of this machine are reached so anyway, unless one of the next three is said.
    pub plain_http: bool,
    /// Certificates are not checked.
    pub insecure: bool,
    /// Certificates (PEM) of the only ones that are trusted.
    pub authorities: Option<Vec<u8>>,
    /// A certificate and its key (PEM) for registries that want to see one.
    pub identity: Option<Vec<u8>>,
    /// Names and secrets, tried in order before none.
    pub logins: Vec<Login>,
}

/// One part of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// For example `application/vnd.cncf.helm.chart.content.v1.tar+gzip`.
    pub media_type: String,
    /// What it holds.
    pub data: Vec<u8>,
}

/// What a manifest describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The manifest's digest.
    pub digest: String,
    /// The config.
    pub config: Part,
    /// The layers that were asked for.
    pub layers: Vec<Part>,
}

struct Registry<'a> {
    wanted: &'a Reference,
    /// What is read comes by this.
    registry: registry::Registry,
}

/// Fetches an artifact; of its layers those that `wants` wants by media type. No part may be larger than `limit` bytes.
pub async fn pull(
    reference: &Reference,
    access: &Access,
    limit: u64,
    wants: impl Fn(&str) -> bool,
) -> Result<Artifact, Error> {
    first(reference, access, async |registry| registry.pull(limit, &wants).await).await
}

/// Uploads an artifact and returns its digest.
pub async fn push(
    reference: &Reference,
    access: &Access,
    config: &Part,
    layers: &[Part],
    annotations: &BTreeMap<String, String>,
) -> Result<String, Error> {
    first(reference, access, async |registry| registry.for_pushing().push(config, layers, annotations).await).await
}

/// The tags of a repository.
pub async fn tags(reference: &Reference, access: &Access) -> Result<Vec<String>, Error> {
    first(reference, access, async |registry| registry.tags().await).await
}

/// What the first way brings that the registry lets in: each login, then none.
async fn first<'a, T>(
    reference: &'a Reference,
    access: &'a Access,
    ask: impl AsyncFn(Registry<'a>) -> Result<T, Failed>,
) -> Result<T, Error> {
    let mut refused = None;
    for registry in Registry::each(reference, access) {
        let registry = registry.map_err(|(_, error)| error)?;
        match ask(registry).await {
            Err((true, error)) => drop(refused.get_or_insert(error)),
            other => return other.map_err(|(_, error)| error),
        }
    }
    Err(refused.unwrap_or_else(|| problem(reference, "no way to ask the registry is left")))
}

/// Whether the registry takes the first login.
pub async fn check(reference: &Reference, access: &Access) -> Result<(), Error> {
    let Some(registry) = Registry::each(reference, access).next() else { return Ok(()) };
    let registry = registry.map_err(|(_, error)| error)?;
    if registry.registry.greet().await.map_err(|refusal| registry.failed(&refusal).1)? {
        return Ok(());
    }
    // A registry that greets anybody looks at the name and secret with the next request; whether that finds anything is
    // another question.
    match registry.manifest().await {
        Err((true, error)) => Err(error),
        _ => Ok(()),
    }
}

fn problem(reference: &Reference, problem: impl Into<String>) -> Error {
    Error::pull(reference, problem)
}

fn digest(data: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(data)))
}

/// An error, and whether other credentials might help.
type Failed = (bool, Error);

impl<'a> Registry<'a> {
    /// One for each login, and one without.
    fn each(wanted: &'a Reference, access: &'a Access) -> impl Iterator<Item = Result<Self, Failed>> {
        crate::base::crypto::install();
        access.logins.iter().cloned().map(Some).chain([None]).map(move |login| Self::new(wanted, access, login))
    }

    fn new(wanted: &'a Reference, access: &Access, login: Option<Login>) -> Result<Self, Failed> {
        let wants_tls = access.insecure || access.authorities.is_some() || access.identity.is_some();
        let way = Way {
            is_plain: access.plain_http || is_local(wanted.registry()) && !wants_tls,
            is_insecure: access.insecure,
            authorities: access.authorities.iter().cloned().collect(),
            is_pinned: access.authorities.is_some(),
            identity: access.identity.clone(),
        };
        let registry = registry::Registry::new(wanted.registry(), wanted.repository(), login, &way)
            .map_err(|refusal| (false, problem(wanted, refusal.to_string())))?;
        Ok(Self { wanted, registry })
    }

    fn failed(&self, refusal: &Refusal) -> Failed {
        (refusal.is_denied(), problem(self.wanted, refusal.to_string()))
    }

    async fn manifest(&self) -> Result<(Vec<u8>, String), Failed> {
        let name = self.wanted.digest().or(self.wanted.tag()).unwrap_or("latest");
        self.registry.manifest(name, &[MANIFEST]).await.map_err(|refusal| self.failed(&refusal))
    }

    fn broken(&self, text: impl Into<String>) -> Failed {
        (false, problem(self.wanted, text))
    }

    async fn pull(&self, limit: u64, wants: &impl Fn(&str) -> bool) -> Result<Artifact, Failed> {
        let (bytes, digest) = self.manifest().await?;
        let manifest: super::record::Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| self.broken(format!("its manifest cannot be read: {error}")))?;
        let config = manifest.config.ok_or_else(|| self.broken("its manifest has no config"))?;
        let config = self.part(&config, limit).await?;
        let mut layers = Vec::new();
        for layer in manifest.layers.iter().filter(|layer| wants(&layer.media_type)) {
            layers.push(self.part(layer, limit).await?);
        }
        Ok(Artifact { digest, config, layers })
    }

    async fn part(&self, descriptor: &super::record::Descriptor, limit: u64) -> Result<Part, Failed> {
        let wanted = descriptor.digest.as_str();
        if !is_digest(wanted) {
            return Err(self.broken(format!("its manifest has the digest `{wanted}`; only sha256 is known")));
        }
        let limit = limit.min(descriptor.size);
        let too_large = || self.broken(format!("`{wanted}` is larger than {limit} bytes"));
        let mut response = self.registry.blob(wanted).await.map_err(|refusal| self.failed(&refusal))?;
        let mut data = Vec::new();
        let received = |error: reqwest::Error| self.broken(format!("`{wanted}` was not received: {}", chain(&error)));
        while let Some(bytes) = response.chunk().await.map_err(received)? {
            if (data.len() + bytes.len()) as u64 > limit {
                return Err(too_large());
            }
            data.extend_from_slice(&bytes);
        }
        if digest(&data) != descriptor.digest {
            return Err(self.broken(format!("`{wanted}` arrived with the digest {}", digest(&data))));
        }
        Ok(Part { media_type: descriptor.media_type.clone(), data })
    }

    async fn push(
        &self,
        config: &Part,
        layers: &[Part],
        annotations: &BTreeMap<String, String>,
    ) -> Result<String, Failed> {
        let failed = |refusal: Refusal| self.failed(&refusal);
        for part in layers.iter().chain([config]) {
            let data = Bytes::from(part.data.clone());
            self.registry.put_blob(&digest(&part.data), data).await.map_err(failed)?;
        }
        let describe = |part: &Part| serde_json::json!({"mediaType": part.media_type, "digest": digest(&part.data), "size": part.data.len()});
        let mut manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": describe(config),
            "layers": layers.iter().map(describe).collect::<Vec<_>>(),
        });
        if !annotations.is_empty() {
            manifest["annotations"] = serde_json::json!(annotations);
        }
        let body = manifest.to_string().into_bytes();
        let digest = digest(&body);
        let name = self.wanted.digest().or(self.wanted.tag()).unwrap_or("latest");
        self.registry.put_manifest(name, MANIFEST, body.into()).await.map_err(failed)?;
        Ok(digest)
    }

    fn for_pushing(self) -> Self {
        Self { registry: self.registry.for_pushing(), ..self }
    }

    async fn tags(&self) -> Result<Vec<String>, Failed> {
        let mut tags: Vec<String> = Vec::new();
        loop {
            let last = tags.last().cloned();
            let found = self.registry.tags(TAGS, last.as_deref()).await;
            let found = found.map_err(|refusal| self.failed(&refusal))?;
            let is_end = found.len() < TAGS || found.last() == last.as_ref() || tags.len() > MOST_TAGS;
            tags.extend(found);
            if is_end {
                return Ok(tags);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::extract::{Request, State};
    use axum::response::Response;
    use std::sync::{Arc, Mutex};

    fn part(data: &str) -> Part {
        Part { media_type: "m".into(), data: data.into() }
    }

    /// A manifest with an empty config and one layer.
    fn manifest(layer: &str) -> String {
        let describe =
            |data: &str| serde_json::json!({"mediaType": "m", "digest": digest(data.as_bytes()), "size": data.len()});
        serde_json::json!({"config": describe("{}"), "layers": [describe(layer)]}).to_string()
    }

    fn access() -> Access {
        Access { logins: vec![Login { username: "me".into(), password: "secret".into() }], ..Access::default() }
    }

    /// Who answers a request, by its method, its path and its `Authorization`.
    type Answer = dyn Fn(&str, &str, &str) -> (u16, Vec<(&'static str, String)>, String) + Send + Sync;

    /// A server and what it was shown: path and `Authorization` of every request.
    #[derive(Clone)]
    struct Server {
        port: u16,
        seen: Arc<Mutex<Vec<(String, String)>>>,
    }

    impl Server {
        async fn start(answer: Box<Answer>) -> Self {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = Self { port: listener.local_addr().unwrap().port(), seen: Arc::default() };
            let app = axum::Router::new().fallback(respond).with_state((server.clone(), Arc::from(answer)));
            tokio::spawn(async move { axum::serve(listener, app).await });
            server
        }

        /// One that asks everybody who he is.
        async fn curious() -> Self {
            let place = Arc::new(Mutex::new(String::new()));
            let known = place.clone();
            let server = Self::start(Box::new(move |_, path, shown| match path {
                "/token" => (200, vec![], r#"{"token": "t"}"#.into()),
                _ if shown.is_empty() => {
                    let realm = format!("Bearer realm=\"{}/token\"", known.lock().unwrap());
                    (401, vec![("www-authenticate", realm)], String::new())
                }
                _ => (200, vec![], String::new()),
            }))
            .await;
            *place.lock().unwrap() = server.url("");
            server
        }

        fn url(&self, path: &str) -> String {
            format!("http://127.0.0.1:{}{path}", self.port)
        }

        fn shown(&self) -> Vec<String> {
            self.seen.lock().unwrap().iter().map(|(_, shown)| shown.clone()).filter(|shown| !shown.is_empty()).collect()
        }
    }

    async fn respond(State((server, answer)): State<(Server, Arc<Answer>)>, request: Request) -> Response {
        let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let path = request.uri().path().to_string();
        server.seen.lock().unwrap().push((path.clone(), shown.into()));
        let (status, headers, body) = answer(request.method().as_str(), &path, shown);
        let made = Response::builder().status(status);
        let made = headers.iter().fold(made, |made, (name, value)| made.header(*name, value));
        made.body(Body::from(body)).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn others_to_whom_a_registry_sends_learn_nothing_of_the_login() {
        let other = Server::curious().await;
        let blobs = other.url("/blob");
        let registry = Server::start(Box::new(move |method, path, shown| match (method, path) {
            _ if shown.is_empty() => (401, vec![("www-authenticate", "Basic realm=\"r\"".into())], String::new()),
            ("GET", path) if path.contains("/manifests/") => (200, vec![], manifest("chart")),
            ("GET", _) => (307, vec![("location", blobs.clone())], String::new()),
            ("HEAD", _) => (404, vec![], String::new()),
            ("POST", _) => (202, vec![("location", blobs.clone())], String::new()),
            _ => (201, vec![], String::new()),
        }))
        .await;
        let reference: Reference = format!("127.0.0.1:{}/a/b:1", registry.port).parse().unwrap();
        let pulled = pull(&reference, &access(), 1 << 20, |_| true).await.unwrap_err().to_string();
        assert!(pulled.contains("401"), "{pulled}");
        let pushed = push(&reference, &access(), &part("{}"), &[part("chart")], &BTreeMap::new()).await;
        assert!(pushed.unwrap_err().to_string().contains("401"));
        assert_eq!(other.shown(), [""; 0]);
        let asked: Vec<String> = other.seen.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
        assert!(!asked.is_empty() && asked.iter().all(|path| path == "/blob"), "{asked:?}");
        assert!(registry.shown().iter().all(|shown| shown == "Basic bWU6c2VjcmV0"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_pushed_goes_with_a_token_for_pushing() {
        let place = Arc::new(Mutex::new(String::new()));
        let known = place.clone();
        let registry = Server::start(Box::new(move |method, path, shown| match (method, path) {
            (_, "/token") => (200, vec![], r#"{"token": "t"}"#.into()),
            _ if shown != "Bearer t" => {
                let realm = format!("Bearer realm=\"{}/token\",service=\"s\"", known.lock().unwrap());
                (401, vec![("www-authenticate", realm)], String::new())
            }
            ("HEAD", path) if path.ends_with(&digest(b"{}")) => (200, vec![], String::new()),
            ("HEAD", _) => (404, vec![], String::new()),
            ("POST", _) => (202, vec![("location", "/v2/a/b/blobs/uploads/7?state=x".into())], String::new()),
            _ => (201, vec![], String::new()),
        }))
        .await;
        *place.lock().unwrap() = registry.url("");
        let reference: Reference = format!("127.0.0.1:{}/a/b:1", registry.port).parse().unwrap();
        push(&reference, &access(), &part("{}"), &[part("chart")], &BTreeMap::new()).await.unwrap();
        let seen = registry.seen.lock().unwrap().clone();
        let let_in: Vec<&str> =
            seen.iter().filter(|(_, shown)| shown == "Bearer t").map(|(path, _)| path.as_str()).collect();
        let (layer, config) = (digest(b"chart"), digest(b"{}"));
        let blobs = "/v2/a/b/blobs";
        let wanted = [
            format!("{blobs}/{layer}"),
            format!("{blobs}/uploads/"),
            format!("{blobs}/uploads/7"),
            format!("{blobs}/{config}"),
            "/v2/a/b/manifests/1".to_string(),
        ];
        assert_eq!(let_in, wanted);
    }

    /// A registry over TLS with one chart that wants to see this client's certificate; its port.
    async fn registry_for(client: &rcgen::Certificate, own: &rcgen::CertifiedKey<rcgen::KeyPair>) -> u16 {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(client.der().clone()).unwrap();
        let clients = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let config = rustls::ServerConfig::builder().with_client_cert_verifier(clients);
        let config = config.with_single_cert(vec![own.cert.der().clone()], key.into()).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = axum::Router::new().fallback(async |request: Request| match request.uri().path() {
            "/v2/a/b/manifests/1" => manifest("chart"),
            path if path.ends_with(&digest(b"chart")) => "chart".into(),
            path if path.ends_with("/tags/list") => r#"{"tags": ["1"]}"#.into(),
            _ => "{}".to_string(),
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Clients that are not known go away.
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let service = hyper_util::service::TowerToHyperService::new(app.clone());
                let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                let stream = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(async move { server.serve_connection(stream, service).await.is_ok() });
            }
        });
        port
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_registry_is_shown_the_certificate_that_it_wants() {
        crate::base::crypto::install();
        let own = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_string()]).unwrap();
        let (server, client) = (own("localhost"), own("client"));
        let port = registry_for(&client.cert, &server).await;
        let reference: Reference = format!("localhost:{port}/a/b:1").parse().unwrap();
        let identity = format!("{}\n{}", client.cert.pem(), client.signing_key.serialize_pem()).into_bytes();
        let authorities = Some(server.cert.pem().into_bytes());
        let known = Access { authorities, identity: Some(identity), ..Access::default() };
        assert_eq!(tags(&reference, &known).await.unwrap(), ["1"]);
        assert_eq!(pull(&reference, &known, 1 << 20, |_| true).await.unwrap().layers[0].data, b"chart");
        let small = pull(&reference, &known, 2, |_| true).await.unwrap_err().to_string();
        assert!(small.contains("larger than 2 bytes"), "{small}");
        let unknown = Access { identity: None, ..known.clone() };
        assert!(tags(&reference, &unknown).await.is_err());
        let nobody = Access { authorities: Some(b"nothing".to_vec()), ..known };
        assert!(tags(&reference, &nobody).await.unwrap_err().to_string().contains("no certificate"));
    }
}
