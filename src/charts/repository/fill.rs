//! `charts/` and `Chart.lock` from what `Chart.yaml` asks for.
//!
//! Source of the rules: Helm `pkg/downloader/manager.go`, `internal/resolver`.

use super::super::chart::{Chart, Dependency, Lock, Metadata};
use super::super::version::{Constraints, Version};
use super::super::{Error, decode, package, sha256};
use super::file::{Entry, File};
use super::http::{Download, check_scheme, resolve_url, same_url, shown};
use super::index::Index;
use super::locate::{Fetched, Trust, Wanted, fetch, over_http, update_repositories};
use super::settings::Settings;
use super::{cache, oci};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How repositories are called that were not added.
pub const UNMANAGED: &str = "helm-manager-";

/// Filling the `charts/` of a chart's folder.
pub struct Filling<'a> {
    pub folder: &'a Path,
    pub download: &'a Download,
    pub settings: &'a Settings,
    /// Cached indexes are taken as they are.
    pub skip_refresh: bool,
    /// What is to be done about signatures.
    pub trust: &'a Trust,
    /// What is told meanwhile.
    pub say: &'a dyn Fn(&str),
}

fn problem<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Repository(text.into()))
}

impl Filling<'_> {
    fn load(&self) -> Result<Chart, Error> {
        let path = self.folder.display();
        match std::fs::metadata(self.folder) {
            Err(error) => problem(format!("could not find {path}: {}", Error::io("stat", self.folder, &error))),
            Ok(found) if !found.is_dir() => problem("only unpacked charts can be updated"),
            Ok(_) => Chart::load(self.folder),
        }
    }

    /// Downloads what the lock names; without a lock the same as [`Filling::update`].
    pub async fn build(&self) -> Result<(), Error> {
        let chart = self.load()?;
        let Some(lock) = chart.lock.clone() else { return self.update().await };
        let mut wanted = chart.metadata.dependencies.clone();
        let file = File::load(&self.settings.repository_config)?.unwrap_or_default();
        let v1 = chart.metadata.api_version == "v1";
        // Helm 2 took the digest of what is asked for as it is written.
        let is_helm_2 = v1 && helm_2_digest(&wanted) == lock.digest;
        self.repositories(&mut wanted, &file)?;
        let asked = chart.metadata.has_dependencies.then_some(&*wanted);
        let found = lock.has_dependencies.then_some(&*lock.dependencies);
        if digest(asked, found) != lock.digest && !is_helm_2 {
            return problem(if v1 {
                "the lock file (requirements.lock) is out of sync with the dependencies file (requirements.yaml). Please \
                 update the dependencies"
            } else {
                "the lock file (Chart.lock) is out of sync with the dependencies file (Chart.yaml). Please update the \
                 dependencies with 'helm dependency update'"
            });
        }
        let is_remote = |url: &str| !url.is_empty() && !url.starts_with("file://") && !oci::is_oci(url);
        let unknown = lock.dependencies.iter().map(|one| one.repository.as_str()).filter(|url| {
            is_remote(url) && !file.repositories.iter().any(|entry| same_url(&entry.url, url.trim_end_matches('/')))
        });
        let unknown: Vec<String> = unknown.map(shown).collect();
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            return problem(format!(
                "no repository definition for {unknown}. Please add the missing repos via 'helm repo add'"
            ));
        }
        self.refresh(&file).await;
        let mut locked = lock.dependencies;
        self.download(&mut locked, &file.repositories).await
    }

    /// Finds the newest versions that fit, downloads them and writes the lock.
    pub async fn update(&self) -> Result<(), Error> {
        let chart = self.load()?;
        let mut wanted = chart.metadata.dependencies.clone();
        if !chart.metadata.has_dependencies {
            return Ok(());
        }
        let file = File::load(&self.settings.repository_config)?.unwrap_or_default();
        let mut names = self.repositories(&mut wanted, &file)?;
        let mut entries = file.repositories.clone();
        let unmanaged = self.unmanaged(&wanted, &mut names)?;
        if !self.skip_refresh && !unmanaged.is_empty() {
            (self.say)("Getting updates for unmanaged Helm repositories...");
            update_repositories(&unmanaged, None, self.settings, self.say).await;
        }
        entries.extend(unmanaged);
        self.refresh(&file).await;
        let mut locked = self.resolve(&wanted, &names).await?;
        self.download(&mut locked, &entries).await?;
        let digest = digest(Some(&wanted), Some(&locked));
        if chart.lock.as_ref().is_some_and(|old| old.digest == digest) {
            return Ok(());
        }
        self.write_lock(
            Lock { generated: super::super::now(), digest, dependencies: locked, has_dependencies: true },
            &chart.metadata,
        )
    }

    async fn refresh(&self, file: &File) {
        if self.skip_refresh || file.repositories.is_empty() {
            return;
        }
        (self.say)("Hang tight while we grab the latest from your chart repositories...");
        update_repositories(&file.repositories, None, self.settings, self.say).await;
        (self.say)("Update Complete. ⎈Happy Helming!⎈");
    }

    /// The repository of each dependency by its name; `@name` and `alias:name` become addresses.
    fn repositories(&self, wanted: &mut [Dependency], file: &File) -> Result<BTreeMap<String, String>, Error> {
        let mut names = BTreeMap::new();
        let mut missing = Vec::new();
        for dependency in wanted {
            let url = dependency.repository.clone();
            if url.is_empty() {
                continue;
            }
            if url.starts_with("file://") {
                local_path(&url, self.folder)?;
                names.insert(dependency.name.clone(), url);
                continue;
            }
            if oci::is_oci(&url) {
                names.insert(dependency.name.clone(), url);
                continue;
            }
            let alias = url.strip_prefix('@').or_else(|| url.strip_prefix("alias:"));
            let found = file.repositories.iter().find(|entry| match alias {
                Some(alias) => entry.name == alias,
                None => same_url(&entry.url, &url),
            });
            match found {
                Some(entry) => {
                    if alias.is_some() {
                        dependency.repository = entry.url.clone();
                    }
                    names.insert(dependency.name.clone(), entry.name.clone());
                }
                None if url.contains("://") || url.starts_with('/') => {}
                None => missing.push(url),
            }
        }
        if missing.is_empty() {
            return Ok(names);
        }
        let all = missing.join(", ");
        let mut text = format!("no repository definition for {all}. Please add them via 'helm repo add'");
        let is_name = |url: &String| !url.contains("//") && !url.starts_with('@') && !url.starts_with("alias:");
        if missing.iter().any(is_name) {
            text.push_str(
                "\nNote that repositories must be URLs or aliases. For example, to refer to the \"example\"\nrepository, use \
                 \"https://charts.example.com/\" or \"@example\" instead of\n\"example\". Don't forget to add the repo, too \
                 ('helm repo add').",
            );
        }
        problem(text)
    }

    /// Repositories that were not added get a name of their own in the cache.
    fn unmanaged(&self, wanted: &[Dependency], names: &mut BTreeMap<String, String>) -> Result<Vec<Entry>, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        for dependency in wanted.iter().filter(|one| !one.repository.is_empty()) {
            if names.contains_key(&dependency.name) {
                continue;
            }
            let url = dependency.repository.clone();
            check_scheme(&url)?;
            let name = format!("{UNMANAGED}{}", sha256(url.as_bytes()));
            names.insert(dependency.name.clone(), name.clone());
            if !entries.iter().any(|entry| entry.name == name) {
                entries.push(Entry { name, url, ..Entry::default() });
            }
        }
        Ok(entries)
    }

    async fn resolve(&self, wanted: &[Dependency], names: &BTreeMap<String, String>) -> Result<Vec<Dependency>, Error> {
        let mut locked = Vec::new();
        let mut missing = Vec::new();
        for one in wanted {
            let constraints = Constraints::parse(&one.version).map_err(|error| {
                let name = &one.name;
                Error::Repository(format!("dependency {name:?} has an invalid version/constraint format: {error}"))
            })?;
            match self.version_of(one, &constraints, names).await? {
                Some(version) => locked.push(Dependency {
                    name: one.name.clone(),
                    repository: one.repository.clone(),
                    version,
                    ..Dependency::default()
                }),
                None => {
                    missing
                        .push(format!("{:?} (repository {:?}, version {:?})", one.name, one.repository, one.version));
                }
            }
        }
        if missing.is_empty() {
            return Ok(locked);
        }
        let (count, all) = (missing.len(), missing.join(", "));
        problem(format!(
            "can't get a valid version for {count} subchart(s): {all}. Make sure a matching chart version exists in the repo, \
             or change the version constraint in Chart.yaml"
        ))
    }

    async fn version_of(
        &self,
        wanted: &Dependency,
        constraints: &Constraints,
        names: &BTreeMap<String, String>,
    ) -> Result<Option<String>, Error> {
        let fits = |version: &str| Version::parse(version).is_ok_and(|version| constraints.check(&version));
        let url = wanted.repository.as_str();
        if url.is_empty() {
            local_path(&format!("charts/{}", wanted.name), self.folder)?;
            return Ok(Some(wanted.version.clone()));
        }
        if url.starts_with("file://") {
            let version = Chart::load(&local_path(url, self.folder)?)?.metadata.version;
            return Ok(Some(version).filter(|version| fits(version)));
        }
        if oci::is_oci(url) {
            if Version::parse(&wanted.version).is_ok() {
                return Ok(Some(wanted.version.clone()));
            }
            let place = format!("{url}/{}", wanted.name);
            let versions = oci::versions(&place, self.download, self.settings).await.map_err(|error| {
                let url = shown(url);
                Error::Repository(format!("could not retrieve list of tags for repository {url}: {error}"))
            })?;
            return Ok(versions.into_iter().find(|version| fits(version)));
        }
        let name = names.get(&wanted.name).cloned().unwrap_or_default();
        let index = Index::load(&self.settings.index_path(&name)).map_err(|error| {
            Error::Repository(format!("no cached repository for {name} found. (try 'helm repo update'): {error}"))
        })?;
        let Some(versions) = index.entries.get(&wanted.name) else {
            return problem(format!("{} chart not found in repo {}", wanted.name, shown(url)));
        };
        let mut versions = versions.iter().filter(|version| !version.urls.is_empty());
        Ok(versions.find(|version| fits(&version.metadata.version)).map(|version| version.metadata.version.clone()))
    }

    /// Fetches everything beside `charts/` first, so that a failure leaves it as it was.
    async fn download(&self, locked: &mut [Dependency], entries: &[Entry]) -> Result<(), Error> {
        let charts = self.folder.join("charts");
        if charts.exists() && !charts.is_dir() {
            return problem(format!("{:?} is not a directory", charts.display().to_string()));
        }
        std::fs::create_dir_all(&charts).map_err(|error| Error::io("mkdir", &charts, &error))?;
        let temporary = tempfile::Builder::new().prefix("tmpcharts-").tempdir_in(self.folder);
        let temporary = temporary.map_err(|error| Error::io("mkdir", self.folder, &error))?;
        (self.say)(&format!("Saving {} charts", locked.len()));
        let mut done = Vec::new();
        for dependency in locked.iter_mut() {
            if let Err(error) = self.one(dependency, entries, temporary.path(), &mut done).await {
                (self.say)(&format!("Save error occurred:  {error}"));
                return Err(error);
            }
        }
        self.replace(locked, temporary.path(), &charts)
    }

    async fn one(
        &self,
        dependency: &mut Dependency,
        entries: &[Entry],
        into: &Path,
        done: &mut Vec<String>,
    ) -> Result<(), Error> {
        let (name, url) = (dependency.name.clone(), dependency.repository.clone());
        if url.is_empty() {
            (self.say)(&format!(
                "Dependency {name} did not declare a repository. Assuming it exists in the charts directory"
            ));
            return self.vendored(dependency);
        }
        if url.starts_with("file://") {
            let chart = Chart::load(&local_path(&url, self.folder)?)?;
            if !super::super::version::is_compatible(&dependency.version, &chart.metadata.version) {
                let version = &dependency.version;
                return problem(format!("can't get a valid version for dependency {name}, version {version}"));
            }
            dependency.version = chart.metadata.version.clone();
            package::save(&chart, into)?;
            return Ok(());
        }
        let key = format!("{url} {name} {}", dependency.version);
        if done.contains(&key) {
            (self.say)(&format!("Already downloaded {name} from repo {}", shown(&url)));
            return Ok(());
        }
        (self.say)(&format!("Downloading {name} from repo {}", shown(&url)));
        let fetched = self.fetch(dependency, entries).await?;
        if let Some(why) = &fetched.unsigned {
            (self.say)(&format!("WARNING: Verification not found for {name}: {why}"));
        }
        let path = into.join(fetched.file_name.rsplit('/').next().unwrap_or_default());
        super::super::write_file(&path, &fetched.data)?;
        done.push(key);
        Ok(())
    }

    /// A chart that lies in `charts/` and comes from nowhere else.
    fn vendored(&self, dependency: &Dependency) -> Result<(), Error> {
        let path = self.folder.join("charts").join(&dependency.name);
        let chart = Chart::load(&path)
            .map_err(|error| Error::Repository(format!("unable to load chart '{}': {error}", path.display())))?;
        if super::super::version::is_compatible(&dependency.version, &chart.metadata.version) {
            return Ok(());
        }
        let (name, found, wanted) = (&dependency.name, &chart.metadata.version, &dependency.version);
        problem(format!("dependency {name} at version {found} does not satisfy the constraint {wanted}"))
    }

    async fn fetch(&self, dependency: &Dependency, entries: &[Entry]) -> Result<Fetched, Error> {
        let (name, url, version) = (&dependency.name, &dependency.repository, &dependency.version);
        if oci::is_oci(url) {
            let wanted = Wanted { name: format!("{url}/{name}"), version: version.clone(), ..Wanted::default() };
            return fetch(&wanted, self.download, self.settings, self.trust).await;
        }
        let missing = |what: &str| Error::Repository(format!("could not find {name} in {}: {what}", shown(url)));
        let entry =
            entries.iter().find(|entry| same_url(&entry.url, url)).ok_or_else(|| missing("no such repository"))?;
        let index = Index::load(&self.settings.index_path(&entry.name))?;
        let found = index.find(name, version).map_err(|error| missing(&error))?;
        let place = found.urls.first().ok_or_else(|| missing("no downloadable URLs"))?;
        let place = resolve_url(&entry.url, place)?;
        let fetched = over_http(&place, &entry.url, &entry.download(), self.trust).await;
        let failed = |error: Error| Error::Repository(format!("could not download {}: {error}", shown(&place)));
        let fetched = fetched.map_err(failed)?;
        let arrived = sha256(&fetched.data);
        if !found.digest.is_empty() && !cache::digits(&found.digest)?.eq_ignore_ascii_case(&arrived) {
            return problem(format!("{} has not the digest that the repository's index says", shown(&place)));
        }
        fetched.trusted(self.trust, &place).map_err(failed)
    }

    /// Moves what arrived into `charts/` and deletes archives that are not asked for any more.
    fn replace(&self, locked: &[Dependency], from: &Path, charts: &Path) -> Result<(), Error> {
        let before = files_in(charts)?;
        let arrived = files_in(from)?;
        for path in &arrived {
            let target = charts.join(path.file_name().unwrap_or_default());
            if let Err(error) = Chart::load(path) {
                (self.say)(&format!("Could not verify {} for moving: {error} (Skipping)", path.display()));
                continue;
            }
            std::fs::rename(path, &target).map_err(|error| Error::io("rename", path, &error))?;
        }
        (self.say)("Deleting outdated charts");
        for path in before {
            if arrived.iter().any(|new| new.file_name() == path.file_name()) {
                continue;
            }
            match Chart::load(&path) {
                Err(error) => {
                    (self.say)(&format!("Could not verify {} for deletion: {error} (Skipping)", path.display()));
                }
                Ok(chart) if locked.iter().any(|one| one.repository.is_empty() && one.name == chart.name()) => {}
                Ok(_) => std::fs::remove_file(&path).map_err(|error| Error::io("remove", &path, &error))?,
            }
        }
        Ok(())
    }

    fn write_lock(&self, lock: Lock, metadata: &Metadata) -> Result<(), Error> {
        let name = if metadata.api_version == "v1" { "requirements.lock" } else { "Chart.lock" };
        let value = serde_json::to_value(&lock).map_err(|error| Error::Repository(error.to_string()))?;
        super::super::write_file(&self.folder.join(name), decode::to_yaml(&value).as_bytes())
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("open", folder, &error))?;
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    paths.sort();
    Ok(paths)
}

/// The folder that a `file://` address means, relative to the chart.
fn local_path(url: &str, chart: &Path) -> Result<PathBuf, Error> {
    let path = url.strip_prefix("file://").unwrap_or(url);
    let path = chart.join(path);
    if path.exists() {
        return Ok(path);
    }
    problem(format!("directory {} not found", super::super::chart::archive::clean(&path.display().to_string())))
}

/// The digest of what is asked for and what was found, as Helm makes it from Go's JSON; no list is not an empty one.
pub fn digest(wanted: Option<&[Dependency]>, locked: Option<&[Dependency]>) -> String {
    json_digest(&(wanted, locked))
}

/// The digest of what is asked for as Helm 2 made it.
fn helm_2_digest(wanted: &[Dependency]) -> String {
    json_digest(&BTreeMap::from([("dependencies", wanted)]))
}

fn json_digest(value: &impl serde::Serialize) -> String {
    // Dependencies always have a JSON form.
    let text = decode::to_json(value).unwrap_or_default();
    format!("sha256:{}", sha256(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_helms() {
        // From Helm's own test (internal/resolver/resolver_test.go).
        let one = |version: &str| Dependency {
            name: "alpine".into(),
            version: version.into(),
            repository: "http://localhost:8879/charts".into(),
            ..Dependency::default()
        };
        assert_eq!(
            digest(Some(&[one("0.1.0")]), Some(&[one("0.1.0")])),
            "sha256:fb239e836325c5fa14b29d1540a13b7d3ba13151b67fe719f820e0ef6d66aaaf"
        );
    }

    #[test]
    fn an_empty_list_of_dependencies_has_a_digest_of_its_own() {
        // What `helm dependency update` writes for `dependencies: []`.
        let empty = digest(Some(&[]), Some(&[]));
        assert_eq!(empty, "sha256:643d5437104296e21d906ecb15b2c96ad278f20cfc4af53b12bb6069bd853726");
        assert_ne!(digest(None, Some(&[])), empty);
    }

    #[test]
    fn a_digest_is_that_of_gos_json() {
        let text = "{\"a\":\"\\u003c\\u0026\\u003e\\u2028\\u2029\"}";
        let wanted = format!("sha256:{}", sha256(text.as_bytes()));
        assert_eq!(json_digest(&BTreeMap::from([("a", "<&>\u{2028}\u{2029}")])), wanted);
    }
}
