//! Artifacts of registries that are no images, such as charts: a manifest with a config and layers, in memory.

use super::pull::{Login, is_local, proxy};
use super::{Error, Reference};
use crate::base::causes::chain;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Tags that are asked for at once.
const TAGS: usize = 1000;
/// The most tags that are read; a registry that never ends is cut off.
const MOST_TAGS: usize = 100_000;
/// How long a registry may be silent.
const SILENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(15);

/// How a registry is reached.
#[derive(Clone, Default)]
pub struct Access {
    /// HTTP in place of HTTPS; registries of this machine are reached so anyway, unless one of the next two is said.
    pub plain_http: bool,
    /// Certificates are not checked.
    pub insecure: bool,
    /// Certificates (PEM) that are trusted besides the usual ones.
    pub authorities: Vec<Vec<u8>>,
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
    reference: oci_client::Reference,
    client: oci_client::Client,
    auth: RegistryAuth,
}

/// Fetches an artifact; of its layers those that `wants` wants by media type. No part may be larger than `limit` bytes.
pub async fn pull(
    reference: &Reference,
    access: &Access,
    limit: u64,
    wants: impl Fn(&str) -> bool,
) -> Result<Artifact, Error> {
    let mut refused = None;
    for registry in Registry::each(reference, access) {
        match registry.pull(limit, &wants).await {
            Err((true, error)) => drop(refused.get_or_insert(error)),
            other => return other.map_err(|(_, error)| error),
        }
    }
    Err(refused.unwrap_or_else(|| problem(reference, "no way to ask the registry is left")))
}

/// Uploads an artifact and returns its digest.
pub async fn push(
    reference: &Reference,
    access: &Access,
    config: &Part,
    layers: &[Part],
    annotations: &BTreeMap<String, String>,
) -> Result<String, Error> {
    let mut refused = None;
    for registry in Registry::each(reference, access) {
        match registry.push(config, layers, annotations).await {
            Err((true, error)) => drop(refused.get_or_insert(error)),
            other => return other.map_err(|(_, error)| error),
        }
    }
    Err(refused.unwrap_or_else(|| problem(reference, "no way to ask the registry is left")))
}

/// The tags of a repository.
pub async fn tags(reference: &Reference, access: &Access) -> Result<Vec<String>, Error> {
    let mut refused = None;
    for registry in Registry::each(reference, access) {
        match registry.tags().await {
            Err((true, error)) => drop(refused.get_or_insert(error)),
            other => return other.map_err(|(_, error)| error),
        }
    }
    Err(refused.unwrap_or_else(|| problem(reference, "no way to ask the registry is left")))
}

/// Whether the registry takes the first login.
pub async fn check(reference: &Reference, access: &Access) -> Result<(), Error> {
    let Some(registry) = Registry::each(reference, access).next() else { return Ok(()) };
    let operation = oci_client::RegistryOperation::Pull;
    let token = registry.client.auth(&registry.reference, &registry.auth, operation).await;
    if token.map_err(|error| registry.failed(&error).1)?.is_some() {
        return Ok(());
    }
    // A name and secret that no token is given for are looked at with the next request; whether that finds anything is
    // another question.
    let asked = registry.client.pull_manifest_raw(&registry.reference, &registry.auth, &[MANIFEST]).await;
    match asked.map_err(|error| registry.failed(&error)) {
        Err((true, error)) => Err(error),
        _ => Ok(()),
    }
}

fn problem(reference: &Reference, problem: impl Into<String>) -> Error {
    Error::Pull { reference: reference.to_string(), problem: problem.into() }
}

fn digest(data: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(data)))
}

/// An error, and whether other credentials might help.
type Failed = (bool, Error);

impl<'a> Registry<'a> {
    /// One for each login, and one without.
    fn each(wanted: &'a Reference, access: &'a Access) -> impl Iterator<Item = Self> {
        crate::base::crypto::install();
        let named =
            access.logins.iter().map(|login| RegistryAuth::Basic(login.username.clone(), login.password.clone()));
        named.chain([RegistryAuth::Anonymous]).map(move |auth| Self::new(wanted, access, auth))
    }

    fn new(wanted: &'a Reference, access: &Access, auth: RegistryAuth) -> Self {
        let (registry, repository) = (wanted.registry().to_string(), wanted.repository().to_string());
        let reference = match (wanted.digest(), wanted.tag()) {
            (Some(digest), _) => oci_client::Reference::with_digest(registry, repository, digest.into()),
            (None, tag) => oci_client::Reference::with_tag(registry, repository, tag.unwrap_or("latest").into()),
        };
        let wants_tls = access.insecure || !access.authorities.is_empty();
        let plain = access.plain_http || is_local(wanted.registry()) && !wants_tls;
        let trusted = access.authorities.iter().cloned();
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            accept_invalid_certificates: access.insecure,
            extra_root_certificates: trusted
                .map(|data| Certificate { encoding: CertificateEncoding::Pem, data })
                .collect(),
            read_timeout: Some(SILENCE),
            connect_timeout: Some(CONNECT),
            https_proxy: proxy(&["HTTPS_PROXY", "https_proxy"]),
            http_proxy: proxy(&["HTTP_PROXY", "http_proxy"]),
            no_proxy: proxy(&["NO_PROXY", "no_proxy"]),
            user_agent: concat!("coracle/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        Self { wanted, reference, client: oci_client::Client::new(config), auth }
    }

    fn failed(&self, error: &OciDistributionError) -> Failed {
        let refused = matches!(
            error,
            OciDistributionError::UnauthorizedError { .. }
                | OciDistributionError::AuthenticationFailure(_)
                | OciDistributionError::ServerError { code: 401 | 403, .. }
        );
        (refused, problem(self.wanted, chain(error)))
    }

    fn broken(&self, text: impl Into<String>) -> Failed {
        (false, problem(self.wanted, text))
    }

    async fn pull(&self, limit: u64, wants: &impl Fn(&str) -> bool) -> Result<Artifact, Failed> {
        let pulled = self.client.pull_manifest_raw(&self.reference, &self.auth, &[MANIFEST]).await;
        let (bytes, digest) = pulled.map_err(|error| self.failed(&error))?;
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
        use futures::TryStreamExt;
        let wanted = descriptor.digest.as_str();
        let too_large = || self.broken(format!("`{wanted}` is larger than {limit} bytes"));
        let mut stream =
            self.client.pull_blob_stream(&self.reference, wanted).await.map_err(|error| self.failed(&error))?;
        let mut data = Vec::new();
        let received = |error: std::io::Error| self.broken(format!("`{wanted}` was not received: {error}"));
        while let Some(bytes) = stream.try_next().await.map_err(received)? {
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
        let host = self.reference.resolve_registry();
        self.client.store_auth_if_needed(host, &self.auth).await;
        for part in layers.iter().chain([config]) {
            let digest = digest(&part.data);
            let pushed = self.client.push_blob(&self.reference, part.data.clone(), &digest).await;
            pushed.map_err(|error| self.failed(&error))?;
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
        let kind = http::HeaderValue::from_static(MANIFEST);
        let pushed = self.client.push_manifest_raw(&self.reference, body, kind).await;
        pushed.map_err(|error| self.failed(&error))?;
        Ok(digest)
    }

    async fn tags(&self) -> Result<Vec<String>, Failed> {
        let mut tags: Vec<String> = Vec::new();
        loop {
            let last = tags.last().cloned();
            let found = self.client.list_tags(&self.reference, &self.auth, Some(TAGS), last.as_deref()).await;
            let found = found.map_err(|error| self.failed(&error))?.tags;
            let is_end = found.len() < TAGS || found.last() == last.as_ref() || tags.len() > MOST_TAGS;
            tags.extend(found);
            if is_end {
                return Ok(tags);
            }
        }
    }
}
