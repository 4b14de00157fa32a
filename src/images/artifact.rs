//! Artifacts of registries that are no images, such as charts: a manifest with a config and layers, in memory.

use super::pull::{Login, is_local, proxy};
use super::registry::{self, Refusal, Way};
use super::{Error, Reference, is_digest};
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
    /// What is read comes by this.
    registry: registry::Registry,
    login: Option<Login>,
    way: Way,
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
        let registry = registry.map_err(|(_, error)| error)?;
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
        let registry = registry.map_err(|(_, error)| error)?;
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
        let registry = registry.map_err(|(_, error)| error)?;
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
        let wants_tls = access.insecure || !access.authorities.is_empty();
        let way = Way {
            is_plain: access.plain_http || is_local(wanted.registry()) && !wants_tls,
            is_insecure: access.insecure,
            authorities: access.authorities.clone(),
        };
        let registry = registry::Registry::new(wanted.registry(), wanted.repository(), login.clone(), &way)
            .map_err(|refusal| (false, problem(wanted, refusal.to_string())))?;
        Ok(Self { wanted, registry, login, way })
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
        let (reference, client) = (self.target(), self.client());
        let auth = match &self.login {
            Some(login) => RegistryAuth::Basic(login.username.clone(), login.password.clone()),
            None => RegistryAuth::Anonymous,
        };
        client.store_auth_if_needed(reference.resolve_registry(), &auth).await;
        for part in layers.iter().chain([config]) {
            let digest = digest(&part.data);
            let pushed = client.push_blob(&reference, part.data.clone(), &digest).await;
            pushed.map_err(|error| self.not_pushed(&error))?;
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
        let pushed = client.push_manifest_raw(&reference, body, kind).await;
        pushed.map_err(|error| self.not_pushed(&error))?;
        Ok(digest)
    }

    fn target(&self) -> oci_client::Reference {
        let (registry, repository) = (self.wanted.registry().to_string(), self.wanted.repository().to_string());
        match (self.wanted.digest(), self.wanted.tag()) {
            (Some(digest), _) => oci_client::Reference::with_digest(registry, repository, digest.into()),
            (None, tag) => oci_client::Reference::with_tag(registry, repository, tag.unwrap_or("latest").into()),
        }
    }

    fn client(&self) -> oci_client::Client {
        let trusted = self.way.authorities.iter().cloned();
        oci_client::Client::new(ClientConfig {
            protocol: if self.way.is_plain { ClientProtocol::Http } else { ClientProtocol::Https },
            accept_invalid_certificates: self.way.is_insecure,
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
        })
    }

    fn not_pushed(&self, error: &OciDistributionError) -> Failed {
        let refused = matches!(
            error,
            OciDistributionError::UnauthorizedError { .. }
                | OciDistributionError::AuthenticationFailure(_)
                | OciDistributionError::ServerError { code: 401 | 403, .. }
        );
        (refused, problem(self.wanted, chain(error)))
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
