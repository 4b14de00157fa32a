//! Pulling images from registries (OCI distribution): manifest, config and missing layers, each checked by its digest.

use super::archive::choose;
use super::ingest::{Blob, Incoming, install};
use super::record::{Descriptor, Manifest};
use super::registry::{Refusal, Registry, Way};
use super::staging::Staging;
use super::{Error, Image, Reference, Store, builtin, is_digest};
use futures::{StreamExt, TryStreamExt, stream};
use std::io::{self, Read};
use std::path::PathBuf;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Manifests and indexes that are understood.
const ACCEPTED: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// How deep indexes may point to indexes.
const DEEPEST_INDEX: usize = 4;
/// Layers that are fetched at the same time.
const AT_ONCE: usize = 3;
/// The most bytes of a config, which is read into memory.
const LARGEST_CONFIG: u64 = 8 << 20;

/// A name and a secret for a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password: String,
}

impl Login {
    /// The name in whose place a secret is an identity token (docker-credential-helpers).
    const TOKEN: &str = "<token>";

    /// An identity token, for which a registry gives tokens.
    pub(super) fn of_identity_token(token: String) -> Self {
        Self { username: Self::TOKEN.into(), password: token }
    }

    /// The identity token, if it is one.
    pub(super) fn identity_token(&self) -> Option<&str> {
        (self.username == Self::TOKEN).then_some(&self.password)
    }
}

impl Store {
    /// Fetches an image. `logins` are tried in order, then access without a name. `authorities` (PEM) are trusted beside those of
    /// the machine. Layers that are here are not fetched again; on an error nothing is added.
    pub async fn pull(&self, reference: &Reference, logins: &[Login], authorities: &[String]) -> Result<Image, Error> {
        self.pull_as(reference, logins, authorities, false).await
    }

    /// The same for a pod that has these logins: from then on nobody who has not shown that he may pull it uses the image.
    pub async fn pull_for_pod(&self, reference: &Reference, logins: &[Login]) -> Result<Image, Error> {
        // What the node trusts was handed over with its files, and is in its environment.
        self.pull_as(reference, logins, &[], true).await
    }

    async fn pull_as(
        &self,
        reference: &Reference,
        logins: &[Login],
        authorities: &[String],
        for_pod: bool,
    ) -> Result<Image, Error> {
        // Built-in images come from nowhere but this executable: always the newest, and never missing.
        if reference.registry() == builtin::REGISTRY {
            return self
                .resolve(&reference.to_string())?
                .ok_or_else(|| problem(reference, "there is no such built-in image"));
        }
        crate::base::crypto::install();
        let named = logins.iter().cloned().map(Some);
        let (first, other) = protocols(reference.registry(), authorities);
        let ways = named
            .chain([None])
            .flat_map(|login| std::iter::once(first).chain(other).map(move |protocol| (login.clone(), protocol)));
        let mut refused = None;
        for (login, protocol) in ways {
            let may_be_plain = protocol == Protocol::Https && other.is_some();
            let puller = for_pod.then(|| (reference.name(), login.clone()));
            let source = Source::new(self, reference, login, protocol, authorities)?;
            match source.manifest().await {
                // The first refusal tells more than that access without a name is refused as well.
                Err(Failed { refused: true, error, .. }) => drop(refused.get_or_insert(error)),
                Err(failed) if may_be_plain && failed.is_mute => {}
                Err(failed) => return Err(failed.error),
                Ok(manifest) => return source.fetch(manifest, puller).await,
            }
        }
        Err(refused.unwrap_or_else(|| problem(reference, "no way to ask the registry is left")))
    }
}

fn problem(reference: &Reference, problem: impl Into<String>) -> Error {
    Error::pull(reference, problem)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Https,
}

/// How a registry is spoken to, and how else if nobody answers so. Registries of this machine speak plain HTTP; where the user
/// has authorities of their own, it may be that one vouches for such a registry.
fn protocols(registry: &str, authorities: &[String]) -> (Protocol, Option<Protocol>) {
    match (is_local(registry), authorities.is_empty()) {
        (false, _) => (Protocol::Https, None),
        (true, true) => (Protocol::Http, None),
        (true, false) => (Protocol::Https, Some(Protocol::Http)),
    }
}

/// A request that failed, and whether other credentials might help.
struct Failed {
    refused: bool,
    /// There was no answer in the protocol.
    is_mute: bool,
    error: Error,
}

/// One image of one registry, asked for with one set of credentials.
struct Source<'a> {
    store: &'a Store,
    wanted: &'a Reference,
    registry: Registry,
}

/// A manifest of this machine's architecture.
struct Found {
    manifest: Manifest,
    bytes: Vec<u8>,
    digest: String,
    /// Digest of what the name itself points to: the manifest or an index.
    named: String,
}

impl<'a> Source<'a> {
    fn new(
        store: &'a Store,
        wanted: &'a Reference,
        login: Option<Login>,
        protocol: Protocol,
        authorities: &[String],
    ) -> Result<Self, Error> {
        let way = Way {
            is_plain: protocol == Protocol::Http,
            authorities: authorities.iter().map(|text| text.clone().into_bytes()).collect(),
            ..Way::default()
        };
        let registry = Registry::new(wanted.registry(), wanted.repository(), login, &way)
            .map_err(|refusal| problem(wanted, refusal.to_string()))?;
        Ok(Self { store, wanted, registry })
    }

    async fn manifest(&self) -> Result<Found, Failed> {
        let mut name = self.wanted.digest().or(self.wanted.tag()).unwrap_or("latest").to_string();
        let mut named = None;
        for _ in 0..=DEEPEST_INDEX {
            let asked = self.registry.manifest(&name, ACCEPTED).await;
            let (bytes, digest) = asked.map_err(|refusal| self.failed(&refusal))?;
            let plain = |error| Failed { refused: false, is_mute: false, error };
            let manifest: Manifest = serde_json::from_slice(&bytes)
                .map_err(|error| plain(problem(self.wanted, format!("its manifest cannot be read: {error}"))))?;
            let named = named.get_or_insert(digest.clone()).clone();
            if manifest.config.is_some() {
                return Ok(Found { manifest, bytes, digest, named });
            }
            let here =
                || format!("no match for platform in manifest: not found (linux/{})", super::archive::architecture());
            let chosen = choose(&manifest.manifests).ok_or_else(|| plain(problem(self.wanted, here())))?;
            let digest = &chosen.digest;
            if !is_digest(digest) {
                let text = format!("its index has the digest `{digest}`; only sha256 is known");
                return Err(plain(problem(self.wanted, text)));
            }
            name.clone_from(digest);
        }
        Err(Failed { refused: false, is_mute: false, error: problem(self.wanted, "its indexes point to each other") })
    }

    async fn fetch(&self, found: Found, puller: Option<(String, Option<Login>)>) -> Result<Image, Error> {
        let store = self.store.clone();
        let mut staging =
            tokio::task::spawn_blocking(move || Staging::new(&store)).await.map_err(|error| self.broken(&error))??;
        let manifest_path = staging.fresh();
        std::fs::write(&manifest_path, &found.bytes).map_err(Error::store("write staged content"))?;
        let config = found.manifest.config.clone().ok_or_else(|| problem(self.wanted, "its manifest has no config"))?;
        if config.size > LARGEST_CONFIG {
            return Err(problem(self.wanted, format!("its config is larger than {LARGEST_CONFIG} bytes")));
        }
        let config = self.blob(&config, staging.fresh()).await?;
        let layers = found.manifest.layers.into_iter().map(|layer| (layer, staging.fresh()));
        let layers = stream::iter(layers.collect::<Vec<_>>()).map(|(layer, path)| async move {
            let blob = self.blob(&layer, path).await?;
            Ok::<_, Error>((blob, layer.media_type))
        });
        let layers = layers.buffered(AT_ONCE).try_collect().await?;
        let size = found.bytes.len() as u64;
        let manifest = Blob { path: manifest_path, digest: found.digest, size, entry: "manifest".into() };
        let tags = self.wanted.digest().is_none().then(|| self.wanted.to_string()).into_iter().collect();
        let digests = vec![self.wanted.with_digest(&found.named)];
        let incoming = Incoming { config, layers, manifest: Some(manifest), tags, digests, puller };
        let (store, wanted) = (self.store.clone(), self.wanted.clone());
        let installed = tokio::task::spawn_blocking(move || install(&store, staging, vec![incoming])).await;
        let installed = installed.map_err(|error| self.broken(&error))??;
        installed.into_iter().next().ok_or_else(|| problem(&wanted, "it is not in the store afterwards"))
    }

    /// A blob of the store, or fetched to `path` and checked.
    async fn blob(&self, descriptor: &Descriptor, path: PathBuf) -> Result<Blob, Error> {
        let digest = descriptor.digest.clone();
        if !is_digest(&digest) {
            return Err(problem(self.wanted, format!("its manifest has the digest `{digest}`; only sha256 is known")));
        }
        let known = self.store.blob_path(&digest);
        if known.exists() {
            return Ok(Blob { path: known, size: descriptor.size, entry: digest.clone(), digest });
        }
        let size = descriptor.size;
        let too_large = || problem(self.wanted, format!("`{digest}` is larger than the {size} bytes of its manifest"));
        let response = self.registry.blob(&digest).await.map_err(|refusal| self.failed(&refusal).error)?;
        if response.content_length().is_some_and(|length| length > size) {
            return Err(too_large());
        }
        let stream = response.bytes_stream().map_err(io::Error::other);
        // One more than it may be is enough to see that it is more.
        let mut reader = SyncIoBridge::new(StreamReader::new(stream)).take(size.saturating_add(1));
        let entry = digest.clone();
        let written = tokio::task::spawn_blocking(move || Blob::write(&mut reader, path, &entry)).await;
        let blob = written
            .map_err(|error| self.broken(&error))?
            .map_err(|error| problem(self.wanted, format!("`{digest}` was not received: {error}")))?;
        if blob.size > size {
            return Err(too_large());
        }
        match blob.digest == digest {
            true => Ok(blob),
            false => Err(problem(self.wanted, format!("`{digest}` arrived with the digest {}", blob.digest))),
        }
    }

    fn broken(&self, error: &tokio::task::JoinError) -> Error {
        problem(self.wanted, format!("the work on it broke off: {error}"))
    }

    /// In the words that containerd has for it, which people search for.
    fn failed(&self, refusal: &Refusal) -> Failed {
        let denied = "pull access denied, repository does not exist or may require authorization";
        let is_mute = matches!(refusal, Refusal::Mute(_));
        let why = match refusal {
            Refusal::Token(_) | Refusal::Status { code: 401, .. } => {
                format!("{denied}: authorization failed: no basic auth credentials")
            }
            other if other.is_denied() => denied.to_string(),
            Refusal::Status { code: 404, .. } => format!("{}: not found", self.wanted),
            Refusal::Status { errors, .. } if errors.first().is_some_and(|first| is_unknown(&first.code)) => {
                format!("{}: not found", self.wanted)
            }
            other => other.to_string(),
        };
        let hint = if is_mute { "; without a way to it, `coracle image load FILE` brings an image in" } else { "" };
        Failed { refused: refusal.is_denied(), is_mute, error: problem(self.wanted, why + hint) }
    }
}

fn is_unknown(code: &str) -> bool {
    matches!(code, "MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "NOT_FOUND")
}

pub(super) fn proxy(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| std::env::var(name).ok()).filter(|value| !value.is_empty())
}

/// Registries of this machine speak plain HTTP.
pub(super) fn is_local(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.split(':').next().unwrap_or(registry),
    };
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::collections::HashMap;
    use std::sync::Arc;

    fn digest(bytes: &[u8]) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
    }

    /// A registry with one image; `secret` is asked for if there is one.
    async fn registry(layer: Vec<u8>, promised: &str, secret: Option<&'static str>) -> u16 {
        let router = router(layer, promised, secret);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await });
        port
    }

    /// The same over TLS; its certificate is its own authority.
    async fn registry_with_tls(layer: Vec<u8>) -> (u16, String) {
        crate::base::crypto::install();
        let own = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![own.cert.der().clone()], key.into()).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let promised = digest(&layer);
        let service = hyper_util::service::TowerToHyperService::new(router(layer, &promised, None));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), service.clone());
                tokio::spawn(async move {
                    // Who does not trust it goes away.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let stream = hyper_util::rt::TokioIo::new(stream);
                    hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await.ok();
                });
            }
        });
        (port, own.cert.pem())
    }

    fn router(layer: Vec<u8>, promised: &str, secret: Option<&'static str>) -> axum::Router {
        let config = serde_json::json!({"architecture": super::super::archive::architecture(), "os": "linux",
            "config": {"Cmd": ["x"]}, "rootfs": {"type": "layers", "diff_ids": [promised]}});
        let config = config.to_string().into_bytes();
        let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": ACCEPTED[1],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": promised, "size": layer.len()}]});
        let manifest = manifest.to_string().into_bytes();
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": ACCEPTED[0], "manifests": [
            {"mediaType": ACCEPTED[1], "digest": digest(b"other"), "size": 1, "platform": {"os": "linux", "architecture": "none"}},
            {"mediaType": ACCEPTED[1], "digest": digest(&manifest), "size": manifest.len(),
             "platform": {"os": "linux", "architecture": super::super::archive::architecture()}}]});
        let index = index.to_string().into_bytes();
        let files = HashMap::from([
            ("/v2/app/manifests/1".to_string(), (ACCEPTED[0], index)),
            (format!("/v2/app/manifests/{}", digest(&manifest)), (ACCEPTED[1], manifest)),
            (format!("/v2/app/blobs/{}", digest(&config)), ("application/octet-stream", config)),
            (format!("/v2/app/blobs/{promised}"), ("application/octet-stream", layer)),
        ]);
        let files = Arc::new(files);
        axum::Router::new().fallback(move |request: axum::extract::Request| {
            let files = files.clone();
            async move { answer(&files, secret, &request) }
        })
    }

    fn answer(
        files: &HashMap<String, (&'static str, Vec<u8>)>,
        secret: Option<&str>,
        request: &axum::extract::Request,
    ) -> http::Response<axum::body::Body> {
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if secret.is_some_and(|secret| given != Some(secret)) {
            let answer = http::Response::builder().status(401).header("www-authenticate", "Basic realm=\"r\"");
            return answer.body(axum::body::Body::empty()).unwrap();
        }
        match (request.uri().path(), files.get(request.uri().path())) {
            ("/v2/", _) => http::Response::new(axum::body::Body::empty()),
            (_, Some((kind, bytes))) => http::Response::builder()
                .header("content-type", *kind)
                .header("docker-content-digest", digest(bytes))
                .body(bytes.clone().into())
                .unwrap(),
            _ => http::Response::builder().status(404).body(axum::body::Body::empty()).unwrap(),
        }
    }

    fn layer() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(2);
        header.set_mode(0o644);
        header.set_uid(rustix::process::getuid().as_raw().into());
        header.set_gid(rustix::process::getgid().as_raw().into());
        builder.append_data(&mut header, "hello", &b"hi"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    async fn pull(port: u16, logins: &[Login]) -> Result<Image, Error> {
        pull_trusting(port, logins, &[]).await
    }

    async fn pull_trusting(port: u16, logins: &[Login], authorities: &[String]) -> Result<Image, Error> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let reference: Reference = format!("localhost:{port}/app:1").parse().unwrap();
        let image = store.pull(&reference, logins, authorities).await?;
        assert_eq!(std::fs::read(image.layers[0].join("hello")).unwrap(), b"hi");
        assert_eq!(store.resolve(&reference.to_string()).unwrap().unwrap().id, image.id);
        assert!(
            image.repo_digests[0].starts_with(&format!("localhost:{port}/app@sha256:")),
            "{:?}",
            image.repo_digests
        );
        Ok(image)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_image_of_this_architecture_is_pulled_through_its_index() {
        let layer = layer();
        let port = registry(layer.clone(), &digest(&layer), None).await;
        assert_eq!(pull(port, &[]).await.unwrap().config.cmd, ["x"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn credentials_are_tried_one_after_the_other() {
        let layer = layer();
        let port = registry(layer.clone(), &digest(&layer), Some("Basic bWU6cmlnaHQ=")).await;
        let login = |password: &str| Login { username: "me".into(), password: password.into() };
        assert!(pull(port, &[login("wrong"), login("right")]).await.is_ok());
        let refused = pull(port, &[login("wrong")]).await.unwrap_err().to_string();
        assert!(refused.contains("authorization"), "{refused}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_image_that_a_login_was_needed_for_is_its_holders_alone() {
        let layer = layer();
        let login = |password: &str| Login { username: "me".into(), password: password.into() };
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let port = registry(layer.clone(), &digest(&layer), Some("Basic bWU6cmlnaHQ=")).await;
        let reference: Reference = format!("localhost:{port}/app:1").parse().unwrap();
        let name = reference.to_string();
        let resolve = || store.resolve(&name).unwrap().unwrap();
        store.pull_for_pod(&reference, &[login("right")]).await.unwrap();
        for name in [name.clone(), resolve().id, resolve().id[7..20].to_string()] {
            assert!(resolve().is_open(&name, &[login("other"), login("right")]), "{name}");
            assert!(!resolve().is_open(&name, &[]) && !resolve().is_open(&name, &[login("wrong")]), "{name}");
        }
        store.pull_for_pod(&reference, &[]).await.unwrap_err();
        // A name that the administrator gave it is no name of the registry.
        store.tag(&name, "mine/app:1").unwrap();
        assert!(resolve().is_open("mine/app:1", &[]));
        let text = std::fs::read_to_string(folder.path().join("index.json")).unwrap();
        assert!(!text.contains("right"), "{text}");

        // From where it needs none it is everybody's, and so is what no pod asked for.
        let open = registry(layer.clone(), &digest(&layer), None).await;
        let reference: Reference = format!("localhost:{open}/app:1").parse().unwrap();
        let image = store.pull_for_pod(&reference, &[]).await.unwrap();
        assert!(image.is_open(&reference.to_string(), &[]) && !image.is_open(&name, &[]));
        let other = tempfile::tempdir().unwrap();
        let other = Store::open(other.path()).unwrap();
        let image = other.pull(&name.parse().unwrap(), &[login("right")], &[]).await.unwrap();
        assert!(image.is_open(&name, &[]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_registry_is_trusted_for_whom_an_authority_of_the_users_vouches() {
        let layer = layer();
        let (port, certificate) = registry_with_tls(layer.clone()).await;
        pull_trusting(port, &[], std::slice::from_ref(&certificate)).await.unwrap();
        assert!(pull(port, &[]).await.is_err());
        let other = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap().cert.pem();
        assert!(pull_trusting(port, &[], &[other]).await.is_err());
        // A registry of this machine that speaks plain HTTP is found all the same.
        let plain = registry(layer.clone(), &digest(&layer), None).await;
        pull_trusting(plain, &[], &[certificate]).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn content_with_another_digest_is_refused() {
        let layer = layer();
        let port = registry(layer, &digest(b"something else"), None).await;
        assert!(pull(port, &[]).await.is_err());
    }

    /// A registry that answers whatever is asked with this.
    async fn rude(answer: impl Fn(&str) -> http::Response<axum::body::Body> + Clone + Send + Sync + 'static) -> u16 {
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let answer = answer.clone();
            async move { answer(request.uri().path()) }
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await });
        port
    }

    /// Content that never ends; it says how much of it was sent.
    fn endless(sent: Arc<std::sync::atomic::AtomicUsize>) -> axum::body::Body {
        let chunk = bytes::Bytes::from(vec![b' '; 64 << 10]);
        axum::body::Body::from_stream(stream::repeat_with(move || {
            sent.fetch_add(chunk.len(), std::sync::atomic::Ordering::Relaxed);
            Ok::<_, io::Error>(chunk.clone())
        }))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_that_a_registry_sends_is_read_without_end() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        // Manifest, token, error: each without an end.
        for (code, header, wanted) in [
            (200, None, "its manifest is larger than 4194304 bytes"),
            (401, Some("Bearer realm=\"http://localhost:PORT/token\""), "its token is larger than 4194304 bytes"),
            (500, None, "the registry answered 500 Internal Server Error"),
        ] {
            let sent = Arc::new(AtomicUsize::new(0));
            let counted = sent.clone();
            let own = Arc::new(std::sync::OnceLock::<u16>::new());
            let known = own.clone();
            let port = rude(move |path| {
                let body = endless(counted.clone());
                let answer = http::Response::builder();
                match header.filter(|_| path != "/token") {
                    Some(header) => {
                        let header = header.replace("PORT", &known.get().unwrap().to_string());
                        answer.status(code).header("www-authenticate", header).body(axum::body::Body::empty()).unwrap()
                    }
                    None if path == "/token" => answer.body(body).unwrap(),
                    None => answer.status(code).body(body).unwrap(),
                }
            })
            .await;
            own.set(port).unwrap();
            let refused = pull(port, &[]).await.unwrap_err().to_string();
            assert!(refused.contains(wanted), "{refused}");
            assert!(sent.load(Ordering::Relaxed) < 64 << 20, "{}", sent.load(Ordering::Relaxed));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_layer_is_not_read_further_than_its_manifest_says() {
        let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": ACCEPTED[1],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b"x"), "size": 10},
            "layers": []})
        .to_string();
        let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = sent.clone();
        let port = rude(move |path| match path.contains("/manifests/") {
            true => http::Response::new(manifest.clone().into()),
            false => http::Response::new(endless(counted.clone())),
        })
        .await;
        let refused = pull(port, &[]).await.unwrap_err().to_string();
        assert!(refused.contains("is larger than the 10 bytes of its manifest"), "{refused}");
        assert!(sent.load(std::sync::atomic::Ordering::Relaxed) < 64 << 20);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_registrys_words_give_a_terminal_no_orders() {
        let says = serde_json::json!({"errors": [{"code": "TOOMANYREQUESTS", "message": "\u{1b}]0;mine\u{7}\nwait"}]});
        let says = says.to_string();
        let port =
            rude(move |_| http::Response::builder().status(429).body(axum::body::Body::from(says.clone())).unwrap())
                .await;
        let refused = pull(port, &[]).await.unwrap_err().to_string();
        let words = "429 Too Many Requests: TOOMANYREQUESTS: \\u{1b}]0;mine\\u{7}\\nwait";
        assert!(refused.ends_with(words), "{refused}");
    }

    /// What asks for a token: the method, the query and the form, and what is shown of the login.
    type Asked = [String; 4];

    /// Pulls with a login from a registry that sends to where tokens are given; how that was asked.
    async fn pulled_by_token(login: Login) -> Asked {
        let layer = layer();
        let inner = registry(layer.clone(), &digest(&layer), Some("Bearer abc")).await;
        let own = Arc::new(std::sync::OnceLock::<u16>::new());
        let asked = Arc::new(std::sync::OnceLock::<Asked>::new());
        let (known, seen, client) = (own.clone(), asked.clone(), reqwest::Client::new());
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let (known, seen, client) = (known.clone(), seen.clone(), client.clone());
            async move {
                let (head, body) = request.into_parts();
                let given = head.headers.get("authorization").map(|given| given.to_str().unwrap().to_string());
                let path = head.uri.path();
                let answer = http::Response::builder();
                if path == "/token" {
                    let form = axum::body::to_bytes(body, 4096).await.unwrap();
                    let (query, form) =
                        (head.uri.query().unwrap_or_default(), String::from_utf8(form.to_vec()).unwrap());
                    seen.set([head.method.to_string(), query.into(), form, given.unwrap_or_default()]).unwrap();
                    return answer.body(axum::body::Body::from(r#"{"access_token": "abc"}"#)).unwrap();
                }
                let Some(given) = given else {
                    let port = known.get().unwrap();
                    let challenge = format!("Bearer realm=\"http://localhost:{port}/token\",service=\"a b\"");
                    let answer = answer.status(401).header("www-authenticate", challenge);
                    return answer.body(axum::body::Body::empty()).unwrap();
                };
                let asked = client.get(format!("http://localhost:{inner}{path}")).header("authorization", given);
                answer.body(asked.send().await.unwrap().bytes().await.unwrap().into()).unwrap()
            }
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        own.set(port).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        assert_eq!(pull(port, &[login]).await.unwrap().config.cmd, ["x"]);
        asked.get().unwrap().clone()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_token_is_asked_for_where_the_registry_says() {
        let asked = pulled_by_token(Login { username: "me".into(), password: "right".into() }).await;
        assert_eq!(asked, ["GET", "scope=repository%3Aapp%3Apull&service=a+b", "", "Basic bWU6cmlnaHQ="]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_identity_token_is_no_password() {
        let asked = pulled_by_token(Login::of_identity_token("i&d".into())).await;
        let form =
            "grant_type=refresh_token&client_id=coracle&refresh_token=i%26d&scope=repository%3Aapp%3Apull&service=a+b";
        assert_eq!(asked, ["POST", "", form, ""]);
        // Where tokens are not given it is of no use, and shown to nobody.
        let layer = layer();
        let port = registry(layer.clone(), &digest(&layer), Some("Basic bWU6cmlnaHQ=")).await;
        let refused = pull(port, &[Login::of_identity_token("t".into())]).await.unwrap_err().to_string();
        assert!(refused.contains("401") || refused.contains("no basic auth credentials"), "{refused}");
    }

    #[test]
    fn only_registries_of_this_machine_are_asked_without_encryption() {
        for (registry, local) in [
            ("localhost:5000", true),
            ("127.0.0.1", true),
            ("[::1]:5000", true),
            ("docker.io", false),
            ("10.0.0.1:80", false),
        ] {
            assert_eq!(is_local(registry), local, "{registry}");
        }
    }
}
