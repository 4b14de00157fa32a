//! From what the user calls a chart to an archive or a folder.
//!
//! Source of the rules: Helm `pkg/action/install.go` (LocateChart), `pkg/downloader/chart_downloader.go`. A name is a path if
//! there is one, else an address, `oci://…`, or `REPOSITORY/CHART` of a repository that was added.

use super::super::provenance::{self, Verified};
use super::super::{Error, sha256, write_file};
use super::cache;
use super::file::{Entry, File};
use super::http::{Download, check_scheme, get_from, resolve_url, same_url, shown};
use super::index::Index;
use super::oci;
use super::settings::Settings;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A path, an address or `REPOSITORY/CHART`; with `repository`, the chart's name.
    pub name: String,
    /// A version or a constraint; empty for the newest.
    pub version: String,
    /// The address of a repository that need not have been added.
    pub repository: String,
}

/// A chart that was downloaded.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// What to call the file: `app-1.2.3.tgz`.
    pub file_name: String,
    /// The archive.
    pub data: Vec<u8>,
    /// Its signature, if it was asked for and there is one.
    pub provenance: Option<Vec<u8>>,
    /// Why there is no signature although it was asked for.
    pub unsigned: Option<String>,
    /// Who signed it, if that was checked.
    pub verified: Option<Verified>,
    /// Where in a registry it came from.
    pub origin: Option<Origin>,
}

/// Where a chart of a registry lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Registry, repository and tag.
    pub reference: String,
    /// The manifest's digest.
    pub digest: String,
}

impl std::fmt::Display for Origin {
    /// As Helm tells it.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Pulled: {}\nDigest: {}", self.reference, self.digest)
    }
}

/// A chart that lies on disk.
#[derive(Clone, Debug)]
pub struct Located {
    pub path: PathBuf,
    /// Where in a registry it came from.
    pub origin: Option<Origin>,
}

/// What is to be done about a chart's signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nothing.
    #[default]
    Any,
    /// It is fetched along, if there is one.
    Fetch,
    /// If there is one, it must be good by the keys of a file.
    IfSigned(PathBuf),
    /// It must be there, and be good by the keys of a file.
    Signed(PathBuf),
}

impl Fetched {
    /// The chart, if its signature is as it has to be; `url` is where it came from.
    pub fn trusted(mut self, trust: &Trust, url: &str) -> Result<Self, Error> {
        let keyring = match trust {
            Trust::Any | Trust::Fetch => None,
            Trust::IfSigned(keyring) | Trust::Signed(keyring) => Some(keyring),
        };
        match (&self.provenance, keyring) {
            (None, _) if *trust == Trust::Any => {}
            (None, _) => {
                let problem = format!("failed to fetch provenance {:?}", format!("{}.prov", shown(url)));
                if matches!(trust, Trust::Signed(_)) {
                    return Err(Error::Repository(problem));
                }
                self.unsigned.get_or_insert(problem);
            }
            (Some(_), None) => {}
            (Some(signature), Some(keyring)) => {
                let verified = provenance::verify_data(&self.data, signature, &self.file_name, keyring)?;
                self.verified = Some(verified);
            }
        }
        Ok(self)
    }
}

/// A folder or archive of this name; an error for a name that can only be a path.
pub fn locate_local(name: &str) -> Result<Option<PathBuf>, Error> {
    let path = Path::new(name);
    if !name.is_empty() && path.exists() {
        let found = std::path::absolute(path).map_err(|error| Error::io("abs", path, &error))?;
        return Ok(Some(found));
    }
    if path.is_absolute() || name.starts_with('.') {
        return Err(Error::Chart(format!("path {name:?} not found")));
    }
    Ok(None)
}

/// Downloads a chart into the cache, unless it is there.
pub async fn locate(
    wanted: &Wanted,
    download: &Download,
    settings: &Settings,
    trust: &Trust,
) -> Result<Located, Error> {
    let source = Source::find(wanted, download, settings).await?;
    if *trust == Trust::Any
        && let Some(digest) = &source.digest
    {
        let path = cache::path(&settings.content_cache, cache::digits(digest)?);
        if path.is_file() {
            return Ok(Located { path, origin: None });
        }
    }
    let fetched = source.fetch(settings, trust).await?;
    let path = cache::put(&settings.content_cache, &sha256(&fetched.data), &fetched.data)?;
    Ok(Located { path, origin: fetched.origin })
}

/// Downloads a chart, and does with its signature what `trust` says.
pub async fn fetch(wanted: &Wanted, download: &Download, settings: &Settings, trust: &Trust) -> Result<Fetched, Error> {
    Source::find(wanted, download, settings).await?.fetch(settings, trust).await
}

/// Where one archive comes from.
struct Source {
    url: String,
    version: String,
    repository: String,
    download: Download,
    /// The archive's digest by the index.
    digest: Option<String>,
}

impl Source {
    async fn find(wanted: &Wanted, download: &Download, settings: &Settings) -> Result<Self, Error> {
        let (name, version) = (wanted.name.trim(), wanted.version.trim());
        let source = |url: &str, repository: &str, download: Download| Self {
            url: url.to_string(),
            version: version.to_string(),
            repository: repository.to_string(),
            download,
            digest: None,
        };
        if oci::is_oci(name) {
            return Ok(source(name, name, download.clone()));
        }
        if !wanted.repository.is_empty() {
            return Self::in_repository(wanted, download).await;
        }
        let file = File::load(&settings.repository_config)?.unwrap_or_default();
        if let Some((scheme, rest)) = name.split_once("://")
            && !scheme.is_empty()
            && rest.contains('/')
        {
            // An address that a known repository names goes with that repository's name and secret.
            let owner = file.repositories.iter().find(|entry| names(entry, name, settings));
            return Ok(match owner {
                Some(entry) => source(name, &entry.url, over(entry.download(), download)),
                None => source(name, name, download.clone()),
            });
        }
        let Some((repository, chart)) = name.split_once('/') else {
            let problem = format!("non-absolute URLs should be in form of repo_name/path_to_chart, got: {name}");
            return Err(Error::Repository(problem));
        };
        let entry = file.get(repository).ok_or_else(|| Error::Repository(format!("repo {repository} not found")))?;
        let index = Index::load(&settings.index_path(repository))
            .map_err(|error| Error::Repository(format!("no cached repo found. (try 'helm repo update'): {error}")))?;
        let found = index.find(chart, version).map_err(|error| {
            let place = format!("not found in {repository} index. (try 'helm repo update')");
            Error::Repository(format!("chart {chart:?} matching {version} {place}: {error}"))
        })?;
        let url = found.urls.first();
        let url = url.ok_or_else(|| Error::Repository(format!("chart {name:?} has no downloadable URLs")))?;
        let download = over(entry.download(), download);
        Ok(Self {
            url: resolve_url(&entry.url, url)?,
            version: found.metadata.version.clone(),
            repository: entry.url.clone(),
            download,
            digest: Some(found.digest.clone()).filter(|digest| !digest.is_empty()),
        })
    }

    /// A chart of a repository that is only named by its address.
    async fn in_repository(wanted: &Wanted, download: &Download) -> Result<Self, Error> {
        let (repository, name, version) = (wanted.repository.as_str(), wanted.name.as_str(), wanted.version.as_str());
        check_scheme(repository)?;
        let unreachable = |error: Error| {
            let what = "is not a valid chart repository or cannot be reached";
            Error::Repository(format!("looks like {:?} {what}: {error}", shown(repository)))
        };
        let data =
            get_from(&resolve_url(repository, "index.yaml")?, repository, download).await.map_err(unreachable)?;
        let index = Index::parse(&data).map_err(unreachable)?;
        let what = match version {
            "" => format!("chart {name:?}"),
            version => format!("chart {name:?} version {version:?}"),
        };
        let missing = |_| Error::Repository(format!("{what} not found in {} repository", shown(repository)));
        let found = index.find(name, version).map_err(missing)?;
        let url = found.urls.first();
        let url = url.ok_or_else(|| Error::Repository(format!("{what} has no downloadable URLs")))?;
        Ok(Self {
            url: resolve_url(repository, url)?,
            version: found.metadata.version.clone(),
            repository: repository.to_string(),
            download: download.clone(),
            digest: Some(found.digest.clone()).filter(|digest| !digest.is_empty()),
        })
    }

    async fn fetch(&self, settings: &Settings, trust: &Trust) -> Result<Fetched, Error> {
        if oci::is_oci(&self.url) {
            let signed = *trust != Trust::Any;
            let fetched = oci::pull(&self.url, &self.version, &self.download, settings, signed).await?;
            return fetched.trusted(trust, &self.url);
        }
        let fetched = over_http(&self.url, &self.repository, &self.download, trust).await?;
        self.check(&sha256(&fetched.data))?;
        fetched.trusted(trust, &self.url)
    }

    /// What arrived must be what the index promised.
    fn check(&self, found: &str) -> Result<(), Error> {
        let Some(wanted) = &self.digest else { return Ok(()) };
        if cache::digits(wanted)?.eq_ignore_ascii_case(found) {
            return Ok(());
        }
        let url = shown(&self.url);
        Err(Error::Repository(format!("{url} arrived with the digest {found}, the repository's index says {wanted}")))
    }
}

/// An archive that a repository names, with its signature if that is wanted and there is one.
pub async fn over_http(url: &str, repository: &str, download: &Download, trust: &Trust) -> Result<Fetched, Error> {
    let data = get_from(url, repository, download).await?;
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let file_name = path.rsplit('/').next().unwrap_or(path).to_string();
    let (mut provenance, mut unsigned) = (None, None);
    if *trust != Trust::Any {
        match get_from(&format!("{path}.prov"), repository, download).await {
            Ok(signature) => provenance = Some(signature),
            Err(error) => unsigned = Some(error.to_string()),
        }
    }
    Ok(Fetched { file_name, data, provenance, unsigned, verified: None, origin: None })
}

/// What the flags say goes over what is remembered of a repository.
fn over(mut known: Download, flags: &Download) -> Download {
    if !flags.username.is_empty() {
        known.username = flags.username.clone();
        known.password = flags.password.clone();
    }
    known.ca_file = flags.ca_file.clone().or(known.ca_file);
    known.cert_file = flags.cert_file.clone().or(known.cert_file);
    known.key_file = flags.key_file.clone().or(known.key_file);
    known.insecure |= flags.insecure;
    known.plain_http |= flags.plain_http;
    known.pass_credentials |= flags.pass_credentials;
    known
}

/// Whether a repository's cached index names an address. One that has no index yet names nothing.
fn names(entry: &Entry, url: &str, settings: &Settings) -> bool {
    let Ok(index) = Index::load(&settings.index_path(&entry.name)) else { return false };
    index.entries.values().flatten().flat_map(|version| &version.urls).any(|known| same_url(known, url))
}

/// Downloads a repository's index into the cache, in so much time at most.
pub async fn update_repository(entry: &Entry, limit: Option<Duration>, settings: &Settings) -> Result<Index, Error> {
    let download = Download { limit, ..entry.download() };
    let data = get_from(&resolve_url(&entry.url, "index.yaml")?, &entry.url, &download).await?;
    let index = Index::parse(&data)?;
    let names: String = index.entries.keys().map(|name| format!("{name}\n")).collect();
    write_file(&settings.charts_path(&entry.name), names.as_bytes())?;
    write_file(&settings.index_path(&entry.name), &data)?;
    Ok(index)
}

/// Downloads the indexes of repositories at the same time, each in so much time at most, and says how each went; the
/// addresses that failed.
pub async fn update_repositories(
    entries: &[Entry],
    limit: Option<Duration>,
    settings: &Settings,
    say: &dyn Fn(&str),
) -> Vec<String> {
    let updates = entries.iter().map(|entry| async move {
        let is_unmanaged = entry.name.starts_with(super::fill::UNMANAGED);
        let url = shown(&entry.url);
        let name = if is_unmanaged { &url } else { &entry.name };
        match update_repository(entry, limit, settings).await {
            Ok(_) => {
                say(&format!("...Successfully got an update from the {name:?} chart repository"));
                None
            }
            Err(error) => {
                let place = if is_unmanaged { String::new() } else { format!(" ({url})") };
                say(&format!("...Unable to get an update from the {name:?} chart repository{place}:\n\t{error}"));
                Some(url)
            }
        }
    });
    futures::future::join_all(updates).await.into_iter().flatten().collect()
}
