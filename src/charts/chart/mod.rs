//! A chart: what its files say, read from a folder or an archive.

pub mod archive;
pub mod ignore;
mod load;
mod metadata;
pub mod pattern;

pub use load::{load_files, read_folder, tell_oddities};
pub use metadata::{Dependency, Lock, Maintainer, Metadata, number_text, printable};

use super::render::Reading;
use super::schema::Schema;
use super::values::Map;
use super::{Error, decode};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// A file of a chart; its name is relative to the chart and has `/` between its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// For example `templates/deployment.yaml`.
    pub name: String,
    /// What it holds; base64 in JSON.
    #[serde(with = "decode::base64_data")]
    pub data: Arc<[u8]>,
    /// When it was changed last, in seconds since 1970.
    #[serde(skip)]
    pub modified: u64,
}

impl File {
    /// A file with these bytes.
    pub fn new(name: impl Into<String>, data: &[u8], modified: u64) -> Self {
        Self { name: name.into(), data: data.into(), modified }
    }

    /// The text; what is no UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        super::template::lossy(&self.data)
    }

    /// The part of the name behind the last `/`.
    pub fn base(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }
}

/// A file of `crds/`, which is installed before everything else and never changed or deleted.
#[derive(Clone, Debug)]
pub struct Crd {
    /// The name inside its own chart: `crds/crontabs.yaml`.
    pub name: String,
    /// The name from the top chart on: `app/charts/db/crds/crontabs.yaml`.
    pub path: String,
    /// The manifest.
    pub data: Arc<[u8]>,
}

/// A chart with its subcharts. In JSON it is what Helm keeps in a release; subcharts are not part of that.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// `Chart.yaml` (and `requirements.yaml` of version 1 charts).
    pub metadata: Metadata,
    /// `Chart.lock` or `requirements.lock`.
    pub lock: Option<Lock>,
    /// Files of `templates/`.
    pub templates: Vec<File>,
    /// `values.yaml`; whole numbers are floats, as Helm has them.
    pub values: Map,
    /// `values.schema.json`.
    pub schema: Option<Schema>,
    /// Files that are neither templates nor known by name.
    pub files: Vec<File>,
    /// Every file as it came.
    pub raw: Vec<File>,
    /// Charts of `charts/`.
    pub dependencies: Vec<Chart>,
    /// Its templates, if somebody reads them already.
    pub reading: Option<Reading>,
}

impl Chart {
    /// Reads a chart from a folder or a packed archive.
    pub fn load(path: &Path) -> Result<Self, Error> {
        load::load(path)
    }

    /// The same for commands that render charts or take any version: templates are read meanwhile, and what is no chart is told in
    /// fewer words.
    pub fn open(path: &Path) -> Result<Self, Error> {
        load::open(path)
    }

    /// Reads a packed chart.
    pub fn load_archive(data: impl std::io::Read) -> Result<Self, Error> {
        load_files(archive::read(data)?)
    }

    /// The chart's name, or the alias that its parent gives it.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Whether the chart only has parts for others.
    pub fn is_library(&self) -> bool {
        self.metadata.kind.eq_ignore_ascii_case("library")
    }

    /// The manifests of `crds/` of this chart and its subcharts.
    pub fn crds(&self) -> Vec<Crd> {
        let mut found = Vec::new();
        self.collect_crds(self.name(), &mut found);
        found
    }

    fn collect_crds(&self, path: &str, found: &mut Vec<Crd>) {
        for file in self.files.iter().filter(|file| file.name.starts_with("crds/") && is_manifest(&file.name)) {
            let path = archive::clean(&format!("{path}/{}", file.name));
            found.push(Crd { name: file.name.clone(), path, data: file.data.clone() });
        }
        for subchart in &self.dependencies {
            subchart.collect_crds(&format!("{path}/charts/{}", subchart.name()), found);
        }
    }

    /// A file as it came, by name.
    pub fn raw_file(&self, name: &str) -> Option<&File> {
        self.raw.iter().find(|file| file.name == name)
    }
}

fn is_manifest(name: &str) -> bool {
    let extension = name.rsplit('/').next().and_then(|base| base.rsplit_once('.')).map(|(_, extension)| extension);
    extension.is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known)))
}
