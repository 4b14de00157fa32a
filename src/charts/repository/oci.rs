//! Charts in OCI registries: a config with the metadata, a layer with the archive, a layer with the signature.
//!
//! Source of the forms: Helm `pkg/registry`. A version's `+` is `_` in a tag, which may not have one.

use super::super::Error;
use super::super::chart::Metadata;
use super::super::provenance;
use super::super::version::{Constraints, Version};
use super::http::Download;
use super::locate::{Fetched, Origin};
use super::settings::Settings;
use crate::images::artifact::{self, Access, Part};
use crate::images::{Login, Reference, logins, remembered};
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

/// How a registry is reached, and with which logins.
fn access(reference: &Reference, download: &Download, settings: &Settings) -> Result<Access, Error> {
    let registry = reference.registry();
    let mut known = Vec::new();
    // A token has no name.
    if !download.username.is_empty() || !download.password.is_empty() {
        known.push(Login { username: download.username.clone(), password: download.password.clone() });
    }
    // Nobody is asked for what was said.
    if known.iter().all(|login| login.password.is_empty()) {
        let kept = logins::of_charts(&settings.registry_config, registry);
        known.extend(kept.map_err(|why| Error::Repository(format!("failed to resolve credential: {why}")))?);
    }
    let read = |path: &Path| std::fs::read(path).map_err(|error| Error::io("open", path, &error));
    let identity = match (&download.cert_file, &download.key_file) {
        (Some(certificate), Some(key)) => Some([read(certificate)?, read(key)?].join(&b'\n')),
        _ => None,
    };
    Ok(Access {
        plain_http: download.plain_http,
        insecure: download.insecure,
        authorities: download.ca_file.as_deref().map(read).transpose()?,
        identity,
        logins: known,
    })
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
    async fn resolve(&self, version: &str, access: &Access) -> Result<Reference, Error> {
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
        match self.versions(access).await?.iter().find(|found| constraints.check(found)) {
            Some(found) => self.with_tag(&found.original),
            None => {
                let wanted = if version.is_empty() { "*" } else { version };
                let problem = format!("could not locate a version matching provided version string {wanted}");
                Err(Error::Repository(problem))
            }
        }
    }

    /// The tags that are versions, newest first.
    async fn versions(&self, access: &Access) -> Result<Vec<Version>, Error> {
        let tags = artifact::tags(&self.reference, access).await.map_err(|error| failed(&error))?;
        let mut versions: Vec<Version> =
            tags.iter().filter_map(|tag| Version::parse(&tag.replace('_', "+")).ok()).collect();
        versions.sort_by(|a, b| b.compare(a));
        Ok(versions)
    }
}

/// Fetches a chart, with its signature if that is wanted and there is one.
pub async fn pull(
    url: &str,
    version: &str,
    download: &Download,
    settings: &Settings,
    provenance: bool,
) -> Result<Fetched, Error> {
    let place = Place::parse(url)?;
    let access = access(&place.reference, download, settings)?;
    let reference = place.resolve(version, &access).await?;
    let wants = |kind: &str| kind == CHART || kind == OLD_CHART || provenance && kind == PROVENANCE;
    let pulled = artifact::pull(&reference, &access, LARGEST, wants).await.map_err(|error| failed(&error))?;
    let part = |kind: &str| pulled.layers.iter().find(|layer| layer.media_type == kind);
    let chart = part(CHART)
        .or_else(|| part(OLD_CHART))
        .ok_or_else(|| Error::Repository(format!("manifest does not contain a layer with mediatype {CHART}")))?;
    let signature = part(PROVENANCE).map(|layer| layer.data.clone());
    let unsigned = (provenance && signature.is_none())
        .then(|| format!("manifest does not contain a layer with mediatype {PROVENANCE}"));
    let name = reference.repository().rsplit('/').next().unwrap_or_default();
    let own = serde_json::from_slice::<Metadata>(&pulled.config.data).unwrap_or_default().version;
    // The registry wrote it, and it becomes a part of a path.
    let own = Version::parse(&own).is_ok().then_some(own);
    let version = own.or_else(|| reference.tag().map(|tag| tag.replace('_', "+"))).unwrap_or_default();
    Ok(Fetched {
        file_name: format!("{name}-{version}.tgz"),
        data: chart.data.clone(),
        provenance: signature,
        unsigned,
        verified: None,
        origin: Some(Origin { reference: reference.to_string(), digest: pulled.digest }),
    })
}

/// The versions of a chart in a registry that fit, newest first.
pub async fn versions(url: &str, download: &Download, settings: &Settings) -> Result<Vec<String>, Error> {
    let place = Place::parse(url)?;
    let access = access(&place.reference, download, settings)?;
    Ok(place.versions(&access).await?.into_iter().map(|version| version.original).collect())
}

/// Uploads a packed chart below `url`; returns what it is called there and its digest.
pub async fn push(
    archive: &Path,
    url: &str,
    download: &Download,
    settings: &Settings,
) -> Result<(String, String), Error> {
    let data = std::fs::read(archive).map_err(|error| Error::io("open", archive, &error))?;
    let chart = super::super::Chart::load(archive)?;
    let base = url.strip_prefix(SCHEME).unwrap_or(url).trim_end_matches('/');
    let place = Place::parse(&format!("{base}/{}", chart.name()))?;
    let reference = place.with_tag(&chart.metadata.version)?;
    let access = access(&reference, download, settings)?;
    let config = serde_json::to_vec(&chart.metadata).map_err(|error| Error::Chart(error.to_string()))?;
    let config = Part { media_type: CONFIG.into(), data: config };
    let mut layers = vec![Part { media_type: CHART.into(), data }];
    let signature = provenance::signature_path(archive);
    if signature.is_file() {
        let data = std::fs::read(&signature).map_err(|error| Error::io("open", &signature, &error))?;
        layers.push(Part { media_type: PROVENANCE.into(), data });
    }
    let annotations = annotations(&chart.metadata);
    let digest = artifact::push(&reference, &access, &config, &layers, &annotations).await;
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
pub async fn check_login(registry: &str, download: &Download, settings: &Settings) -> Result<(), Error> {
    let reference: Result<Reference, _> = format!("{registry}/login/check:latest").parse();
    // A scheme or a path is no part of a registry's name.
    let reference = reference.ok().filter(|reference| reference.registry() == registry);
    let invalid = || Error::Repository(format!("invalid reference: invalid registry {registry:?}"));
    let reference = reference.ok_or_else(invalid)?;
    let mut access = access(&reference, download, settings)?;
    access.logins.truncate(1);
    let checked = artifact::check(&reference, &access).await;
    checked.map_err(|error| {
        let why = not_pulled(&error);
        Error::Repository(match unreachable("Get", &why) {
            Some(why) => format!("authenticating to {registry:?}: {why}"),
            None => format!("failed to perform login: {why}"),
        })
    })
}

/// Remembers a name and secret of a registry, in the form of Docker's file or where that says.
pub fn login(registry: &str, username: &str, password: &str, file: &Path) -> Result<(), Error> {
    let login = Login { username: username.into(), password: password.into() };
    remembered::remember(file, registry, &login)
        .map_err(|why| Error::Repository(format!("failed to store the credentials for {registry}: {why}")))
}

/// Forgets a registry.
pub fn logout(registry: &str, file: &Path) -> Result<(), Error> {
    remembered::forget(file, registry)
        .map_err(|why| Error::Repository(format!("failed to delete the credential for {registry}: {why}")))
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
}
