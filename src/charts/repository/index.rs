//! `index.yaml`: which charts a repository has, in which versions, and where.

use super::super::chart::{Chart, Metadata};
use super::super::values::Value;
use super::super::version::{Constraints, Version};
use super::super::{Error, decode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An index.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// `v1`
    pub api_version: String,
    /// When it was made (RFC 3339).
    pub generated: String,
    /// Charts by name, newest version first.
    pub entries: BTreeMap<String, Vec<ChartVersion>>,
}

/// One version of one chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChartVersion {
    /// What the chart says about itself.
    #[serde(flatten)]
    pub metadata: Metadata,
    /// Where the archive is, absolute or relative to the repository.
    #[serde(default)]
    pub urls: Vec<String>,
    /// When it was added (RFC 3339).
    #[serde(default)]
    pub created: String,
    /// The archive's SHA-256, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

impl Index {
    /// An empty index of now.
    pub fn new() -> Self {
        Self { api_version: "v1".into(), entries: BTreeMap::new(), generated: super::super::now() }
    }

    /// Reads a cached index.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let data = std::fs::read(path).map_err(|error| Error::io("open", path, &error))?;
        Self::parse(&data).map_err(|error| Error::Repository(format!("error loading {}: {error}", path.display())))
    }

    /// Reads an index. Entries that are broken are left out.
    pub fn parse(data: &[u8]) -> Result<Self, Error> {
        if data.is_empty() {
            return Err(Error::Repository("empty index.yaml file".into()));
        }
        let document: Value = match serde_json::from_slice(data) {
            Ok(document) => document,
            Err(_) => decode::yaml(&String::from_utf8_lossy(data)).map_err(Error::Repository)?,
        };
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
        let mut index =
            Self { api_version: text("apiVersion"), generated: text("generated"), entries: BTreeMap::new() };
        if let Some(Value::Object(entries)) = document.get("entries") {
            for (name, versions) in entries {
                let versions = versions.as_array().map_or(&[][..], Vec::as_slice);
                index.entries.insert(name.clone(), versions.iter().filter_map(ChartVersion::read).collect());
            }
        }
        index.sort();
        if index.api_version.is_empty() {
            return Err(Error::Repository("no API version specified".into()));
        }
        Ok(index)
    }

    fn sort(&mut self) {
        for versions in self.entries.values_mut() {
            versions.sort_by_cached_key(|version| {
                std::cmp::Reverse(Sorted(Version::parse(&version.metadata.version).ok()))
            });
        }
    }

    /// The newest version that fits; an exact one is preferred, and without a wish only releases are looked at.
    pub fn find(&self, name: &str, wanted: &str) -> Result<&ChartVersion, String> {
        let versions = self.entries.get(name).ok_or("no chart name found")?;
        if versions.is_empty() {
            return Err("no chart version found".into());
        }
        let constraints =
            Constraints::parse(if wanted.is_empty() { "*" } else { wanted }).map_err(|error| error.to_string())?;
        if let Some(exact) = versions.iter().find(|version| !wanted.is_empty() && version.metadata.version == wanted) {
            return Ok(exact);
        }
        let fits = |version: &&ChartVersion| {
            Version::parse(&version.metadata.version).is_ok_and(|version| constraints.check(&version))
        };
        versions.iter().find(fits).ok_or_else(|| format!("no chart version found for {name}-{wanted}"))
    }

    /// Adds what another index has and this one has not.
    pub fn merge(&mut self, other: Self) {
        for (name, versions) in other.entries {
            let own = self.entries.entry(name).or_default();
            for version in versions {
                if !own.iter().any(|one| one.metadata.version == version.metadata.version) {
                    own.push(version);
                }
            }
        }
        self.sort();
    }

    /// An index of the archives in a folder and in the folders right below it.
    pub fn of_folder(folder: &Path, base: &str) -> Result<Self, Error> {
        let mut index = Self::new();
        let mut archives = archives_in(folder)?;
        let inner = std::fs::read_dir(folder).map_err(|error| Error::io("open", folder, &error))?;
        let mut inner: Vec<PathBuf> =
            inner.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
        inner.sort();
        for folder in inner {
            archives.extend(archives_in(&folder)?);
        }
        for path in archives {
            // What is no chart is left out.
            let Ok(chart) = Chart::load(&path) else { continue };
            let data = std::fs::read(&path).map_err(|error| Error::io("open", &path, &error))?;
            let relative = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            let url = if base.is_empty() { relative } else { format!("{}/{relative}", base.trim_end_matches('/')) };
            let (created, digest) = (super::super::now(), super::super::sha256(&data));
            let name = chart.metadata.name.clone();
            let version = ChartVersion { metadata: chart.metadata, urls: vec![url], created, digest };
            index.entries.entry(name).or_default().push(version);
        }
        index.sort();
        Ok(index)
    }

    /// The index as YAML, keys sorted.
    pub fn to_yaml(&self) -> String {
        // A structure of texts and lists always has a JSON form.
        decode::to_yaml(&serde_json::to_value(self).unwrap_or_default())
    }

    /// The index as JSON, keys in the order of Helm's.
    pub fn to_json(&self) -> String {
        // The same.
        decode::to_json_pretty(self).unwrap_or_default()
    }
}

fn archives_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("open", folder, &error))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "tgz"));
    paths.sort();
    Ok(paths)
}

impl ChartVersion {
    fn read(document: &Value) -> Option<Self> {
        let mut metadata = Metadata::default();
        metadata.fill(document).ok()?;
        if metadata.api_version.is_empty() {
            metadata.api_version = "v1".into();
        }
        match metadata.validate() {
            Err(problem) if !problem.contains("more than one dependency") => return None,
            _ => {}
        }
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
        let urls = document.get("urls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let urls = urls.iter().filter_map(|url| url.as_str().map(String::from)).collect();
        Some(Self { metadata, urls, created: text("created"), digest: text("digest") })
    }
}

/// Versions in order; what is none is less than all.
struct Sorted(Option<Version>);

impl Ord for Sorted {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => a.compare(b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    }
}

impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sorted {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Sorted {}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "apiVersion: v1\nentries:\n  a:\n  - {name: a, version: 1.0.0, urls: [a-1.0.0.tgz]}\n  \
                         - {name: a, version: 2.0.0-rc.1, urls: [x]}\n  - {name: a, version: 1.10.0, urls: [old]}\n  \
                         - {name: a, version: nonsense}\n  - null\n  b: []\n";

    #[test]
    fn the_newest_version_that_fits_is_found() {
        let index = Index::parse(INDEX.as_bytes()).unwrap();
        let found = |wanted: &str| index.find("a", wanted).map(|version| version.metadata.version.clone());
        assert_eq!(index.entries["a"].len(), 3);
        assert_eq!(found("").unwrap(), "1.10.0");
        assert_eq!(found("1.0.0").unwrap(), "1.0.0");
        assert_eq!(found(">0.0.0-0").unwrap(), "2.0.0-rc.1");
        assert_eq!(found("~1.0").unwrap(), "1.0.0");
        assert_eq!(found("3").unwrap_err(), "no chart version found for a-3");
        assert_eq!(index.find("b", "").unwrap_err(), "no chart version found");
        assert_eq!(index.find("c", "").unwrap_err(), "no chart name found");
    }

    #[test]
    fn a_broken_index_is_told() {
        assert_eq!(Index::parse(b"").unwrap_err().to_string(), "empty index.yaml file");
        assert_eq!(Index::parse(b"entries: {}").unwrap_err().to_string(), "no API version specified");
    }

    #[test]
    fn merging_keeps_what_is_there() {
        let mut index = Index::parse(INDEX.as_bytes()).unwrap();
        let mut other = index.clone();
        other.entries.get_mut("a").unwrap()[0].metadata.version = "3.0.0".into();
        other.entries.get_mut("a").unwrap()[1].urls = vec!["changed".into()];
        index.merge(other);
        let versions: Vec<_> = index.entries["a"].iter().map(|one| one.metadata.version.as_str()).collect();
        assert_eq!(versions, ["3.0.0", "2.0.0-rc.1", "1.10.0", "1.0.0"]);
        assert_eq!(index.entries["a"][2].urls, ["old"]);
    }

    #[test]
    fn json_has_the_order_and_the_escapes_of_helms() {
        let index =
            Index::parse(INDEX.replace("version: 1.10.0", "version: 1.10.0, description: \"<a> & b\"").as_bytes());
        let text = Index { generated: "2026-01-02T03:04:05Z".into(), ..index.unwrap() }.to_json();
        let head = "{\n  \"apiVersion\": \"v1\",\n  \"generated\": \"2026-01-02T03:04:05Z\",\n  \"entries\": {\n    \"a\": [\n";
        assert!(text.starts_with(head), "{text}");
        let one = "        \"name\": \"a\",\n        \"version\": \"1.10.0\",\n        \"description\": \"\\u003ca\\u003e \\u0026 b\",\n        \
                   \"apiVersion\": \"v1\",\n        \"urls\": [\n          \"old\"\n        ],\n";
        assert!(text.contains(one), "{text}");
    }
}
