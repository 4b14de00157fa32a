//! Charts in OCI registries: a config with the metadata, a layer with the archive, a layer with the signature.
//!
//! Source of the forms: Helm `pkg/registry`. A version's `+` is `_` in a tag, which may not have one.

use super::super::chart::Metadata;
use super::super::version::{Constraints, Version};
use super::super::{Error, decode};
use super::certified::Registry;
use super::http::Download;
use super::locate::{Fetched, Origin};
use super::settings::Settings;
use crate::images::artifact::{self, Access, Artifact, Part};
use crate::images::{self, Login, Reference, logins};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::path::Path;

const SCHEME: &str = "oci://";
const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// The media type before Helm 3.7.
const OLD_CHART: &str = "application/tar+gzip";
const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
/// The most bytes of a packed chart.
const LARGEST: u64 = 200 * 1024 * 1024;

/// Whether an address is that of a registry.
pub fn is_oci(url: &str) -> bool {
    url.starts_with(SCHEME)
}

/// How a registry is asked.
enum Way {
    Usual(Access),
    /// It is shown a certificate.
    Certified(Box<Registry>),
}

impl Way {
    async fn pull(&self, reference: &Reference, wants: impl Fn(&str) -> bool) -> Result<Artifact, images::Error> {
        match self {
            Self::Usual(access) => artifact::pull(reference, access, LARGEST, wants).await,
            Self::Certified(registry) => registry.pull(reference, LARGEST, wants).await,
        }
    }

    async fn tags(&self, reference: &Reference) -> Result<Vec<String>, images::Error> {
        match self {
            Self::Usual(access) => artifact::tags(reference, access).await,
            Self::Certified(registry) => registry.tags().await,
        }
    }
}

fn way(reference: &Reference, download: &Download) -> Result<Way, Error> {
    let registry = reference.registry();
    let settings = Settings::from_environment();
    let mut known = Vec::new();
    if !download.username.is_empty() {
        known.push(Login { username: download.username.clone(), password: download.password.clone() });
    }
    known.extend(logins::of_file(&settings.registry_config, registry));
    known.extend(logins::of_user(registry));
    if download.cert_file.is_some() || download.key_file.is_some() {
        return Ok(Way::Certified(Box::new(Registry::new(reference, download, known)?)));
    }
    let authorities =
        download.ca_file.as_deref().map(|path| std::fs::read(path).map_err(|error| Error::io("open", path, &error)));
    Ok(Way::Usual(Access {
        plain_http: download.plain_http,
        insecure: download.insecure,
        authorities: authorities.transpose()?.into_iter().collect(),
        logins: known,
    }))
}

fn failed(error: &crate::images::Error) -> Error {
    let text = error.to_string();
    Error::Repository(unreachable("Get", &text).unwrap_or(text))
}

/// A registry that could not be asked, in Go's words: which address, and why.
fn unreachable(verb: &str, text: &str) -> Option<String> {
    let (_, rest) = text.split_once("error sending request for url (")?;
    let (url, why) = rest.split_once("): ")?;
    Some(format!("{verb} \"{url}\": {}", crate::charts::dial_words(url, why)))
}

/// An error of a registry without the words of pulling, which nobody did.
fn not_pulled(error: &crate::images::Error) -> String {
    let text = error.to_string();
    let rest = text.strip_prefix("cannot pull `").and_then(|rest| rest.split_once("`: "));
    rest.map_or_else(|| text.clone(), |(_, why)| why.to_string())
}

/// A repository of a registry, with a tag or a digest if the address has one.
struct Place {
    reference: Reference,
    /// Neither tag nor digest was written.
    is_open: bool,
}

impl Place {
    fn parse(url: &str) -> Result<Self, Error> {
        let text = url.strip_prefix(SCHEME).unwrap_or(url);
        let last = text.rsplit('/').next().unwrap_or(text);
        let reference = text.parse().map_err(|error| failed(&error))?;
        Ok(Self { reference, is_open: !last.contains([':', '@']) })
    }

    fn with_tag(&self, version: &str) -> Result<Reference, Error> {
        let text = format!("{}:{}", self.reference.name(), version.replace('+', "_"));
        text.parse().map_err(|error| failed(&error))
    }

    /// The reference of a version: one that is written, or the newest tag that fits.
    async fn resolve(&self, version: &str, way: &Way) -> Result<Reference, Error> {
        if !self.is_open {
            let tag = self.reference.tag().map(|tag| tag.replace('_', "+"));
            let differs = tag.as_deref().is_some_and(|tag| !version.is_empty() && tag != version);
            if differs && Version::parse(version).is_ok() {
                let tag = tag.unwrap_or_default();
                return Err(Error::Repository(format!("chart reference and version mismatch: {version} is not {tag}")));
            }
            return Ok(self.reference.clone());
        }
        // A full version is a tag; anything shorter may be a range.
        if Version::parse(version).is_ok_and(|parsed| parsed.to_string() == version) {
            return self.with_tag(version);
        }
        let constraints = Constraints::parse(if version.is_empty() { "*" } else { version });
        let constraints = constraints.map_err(|error| Error::Repository(error.to_string()))?;
        let tags = way.tags(&self.reference).await.map_err(|error| failed(&error))?;
        let mut versions: Vec<Version> =
            tags.iter().filter_map(|tag| Version::parse(&tag.replace('_', "+")).ok()).collect();
        versions.sort_by(|a, b| b.compare(a));
        match versions.iter().find(|found| constraints.check(found)) {
            Some(found) => self.with_tag(&found.original),
            None => {
                let wanted = if version.is_empty() { "*" } else { version };
                let problem = format!("could not locate a version matching provided version string {wanted}");
                Err(Error::Repository(problem))
            }
        }
    }
}

/// Fetches a chart, with its signature if that is wanted and there is one.
pub async fn pull(url: &str, version: &str, download: &Download, provenance: bool) -> Result<Fetched, Error> {
    let place = Place::parse(url)?;
    let way = way(&place.reference, download)?;
    let reference = place.resolve(version, &way).await?;
    let wants = |kind: &str| kind == CHART || kind == OLD_CHART || provenance && kind == PROVENANCE;
    let pulled = way.pull(&reference, wants).await.map_err(|error| failed(&error))?;
    let part = |kind: &str| pulled.layers.iter().find(|layer| layer.media_type == kind);
    let chart = part(CHART)
        .or_else(|| part(OLD_CHART))
        .ok_or_else(|| Error::Repository(format!("manifest does not contain a layer with mediatype {CHART}")))?;
    let signature = part(PROVENANCE).map(|layer| layer.data.clone());
    let unsigned = (provenance && signature.is_none())
        .then(|| format!("manifest does not contain a layer with mediatype {PROVENANCE}"));
    let name = reference.repository().rsplit('/').next().unwrap_or_default();
    let found = serde_json::from_slice::<Metadata>(&pulled.config.data).unwrap_or_default().version;
    let tag = reference.tag().map(|tag| tag.replace('_', "+"));
    let found = if found.is_empty() { tag.unwrap_or_default() } else { found };
    Ok(Fetched {
        file_name: format!("{name}-{found}.tgz"),
        data: chart.data.clone(),
        provenance: signature,
        unsigned,
        verified: None,
        origin: Some(Origin { reference: reference.to_string(), digest: pulled.digest }),
    })
}

/// The versions of a chart in a registry that fit, newest first.
pub async fn versions(url: &str, download: &Download) -> Result<Vec<String>, Error> {
    let place = Place::parse(url)?;
    let tags = way(&place.reference, download)?.tags(&place.reference).await.map_err(|error| failed(&error))?;
    let mut versions: Vec<Version> =
        tags.iter().filter_map(|tag| Version::parse(&tag.replace('_', "+")).ok()).collect();
    versions.sort_by(|a, b| b.compare(a));
    Ok(versions.into_iter().map(|version| version.original).collect())
}

/// Uploads a packed chart below `url`; returns what it is called there and its digest.
pub async fn push(archive: &Path, url: &str, download: &Download) -> Result<(String, String), Error> {
    let data = std::fs::read(archive).map_err(|error| Error::io("open", archive, &error))?;
    let chart = super::super::Chart::load(archive)?;
    let base = url.strip_prefix(SCHEME).unwrap_or(url).trim_end_matches('/');
    let place = Place::parse(&format!("{base}/{}", chart.name()))?;
    let reference = place.with_tag(&chart.metadata.version)?;
    let way = way(&reference, download)?;
    let config = serde_json::to_vec(&chart.metadata).map_err(|error| Error::Chart(error.to_string()))?;
    let config = Part { media_type: CONFIG.into(), data: config };
    let mut layers = vec![Part { media_type: CHART.into(), data }];
    let signature = archive.with_file_name(format!("{}.prov", archive.file_name().unwrap_or_default().display()));
    if signature.is_file() {
        let data = std::fs::read(&signature).map_err(|error| Error::io("open", &signature, &error))?;
        layers.push(Part { media_type: PROVENANCE.into(), data });
    }
    let annotations = annotations(&chart.metadata);
    let digest = match &way {
        Way::Usual(access) => artifact::push(&reference, access, &config, &layers, &annotations).await,
        Way::Certified(registry) => registry.push(&reference, &config, &layers, &annotations).await,
    };
    let digest = digest.map_err(|error| {
        let why = not_pulled(&error);
        Error::Repository(match unreachable("Head", &why) {
            Some(why) => format!("failed to perform \"Exists\" on destination: {why}"),
            None => format!("failed to push {reference}: {why}"),
        })
    })?;
    Ok((reference.to_string(), digest))
}

/// What the manifest says about the chart, for those who do not read the config.
fn annotations(metadata: &Metadata) -> BTreeMap<String, String> {
    let authors = metadata.maintainers.iter().map(|one| match one.email.as_str() {
        "" => one.name.clone(),
        email => format!("{} ({email})", one.name),
    });
    let known = [
        ("title", metadata.name.clone()),
        ("version", metadata.version.clone()),
        ("description", metadata.description.clone()),
        ("url", metadata.home.clone()),
        ("source", metadata.sources.first().cloned().unwrap_or_default()),
        ("authors", authors.collect::<Vec<_>>().join(", ")),
        ("created", super::super::now()),
    ];
    let mut all: BTreeMap<String, String> = metadata.annotations.clone();
    let named = known.into_iter().filter(|(_, value)| !value.is_empty());
    all.extend(named.map(|(name, value)| (format!("org.opencontainers.image.{name}"), value)));
    all
}

/// Whether a registry takes a name and secret: it is asked for something that need not be there.
pub async fn check_login(registry: &str, download: &Download) -> Result<(), Error> {
    let reference: Result<Reference, _> = format!("{registry}/login/check:latest").parse();
    // A scheme or a path is no part of a registry's name.
    let reference = reference.ok().filter(|reference| reference.registry() == registry);
    let invalid = || Error::Repository(format!("invalid reference: invalid registry {registry:?}"));
    let reference = reference.ok_or_else(invalid)?;
    let checked = match way(&reference, download)? {
        Way::Usual(mut access) => {
            access.logins.truncate(1);
            artifact::check(&reference, &access).await
        }
        Way::Certified(registry) => registry.check().await,
    };
    checked.map_err(|error| {
        let why = not_pulled(&error);
        Error::Repository(match unreachable("Get", &why) {
            Some(why) => format!("authenticating to {registry:?}: {why}"),
            None => format!("failed to perform login: {why}"),
        })
    })
}

/// Remembers a name and secret of a registry, in the form of Docker's file.
pub fn login(registry: &str, username: &str, password: &str, file: &Path) -> Result<(), Error> {
    let mut config = read(file)?;
    let auth = STANDARD.encode(format!("{username}:{password}"));
    config["auths"][registry] = serde_json::json!({"auth": auth});
    write(file, &config)
}

/// Forgets a registry.
pub fn logout(registry: &str, file: &Path) -> Result<(), Error> {
    let mut config = read(file)?;
    let known = config.get_mut("auths").and_then(|auths| auths.as_object_mut());
    // One that was never logged in to is forgotten already.
    if known.is_none_or(|known| known.remove(registry).is_none()) {
        return Ok(());
    }
    write(file, &config)
}

fn read(file: &Path) -> Result<serde_json::Value, Error> {
    match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| Error::Repository(format!("{} cannot be read: {error}", file.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(serde_json::json!({})),
        Err(error) => Err(Error::io("open", file, &error)),
    }
}

fn write(file: &Path, config: &serde_json::Value) -> Result<(), Error> {
    super::write_private(file, decode::pretty(config).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_that_cannot_be_reached_are_told_in_gos_words() {
        let text = "cannot pull `127.0.0.1:1/x:1`: error sending request for url (http://127.0.0.1:1/v2/): client error \
                    (Connect): tcp connect error: Connection refused (os error 111)";
        let wanted = "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused";
        assert_eq!(unreachable("Get", text).unwrap(), wanted);
        assert_eq!(unreachable("Get", "no such tag"), None);
    }

    #[test]
    fn a_registry_that_is_not_known_is_forgotten_without_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        logout("nobody.example", &file).unwrap();
        login("a.example", "u", "p", &file).unwrap();
        logout("a.example", &file).unwrap();
        logout("a.example", &file).unwrap();
    }
}
