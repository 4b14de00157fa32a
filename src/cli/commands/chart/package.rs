//! `package`: a chart's folder as an archive.

use super::flags::ValueOptions;
use super::{Outcome, Problem, Scope};
use crate::charts::repository::{self, Download};
use crate::charts::version::Version;
use crate::charts::{Chart, Error, dependencies, package, provenance};
use std::path::{Path, PathBuf};

/// Package a chart directory into a chart archive
#[derive(clap::Args)]
pub struct Arguments {
    /// Charts' folders
    #[arg(value_name = "CHART_PATH")]
    paths: Vec<String>,
    /// Use a PGP private key to sign this package
    #[arg(long)]
    sign: bool,
    /// Name of the key to use when signing. Used if --sign is true
    #[arg(long)]
    key: Option<String>,
    /// Location of a public keyring
    #[arg(long)]
    keyring: Option<String>,
    /// Location of a file which contains the passphrase for the signing key
    #[arg(long)]
    passphrase_file: Option<String>,
    /// Set the version on the chart to this semver version
    #[arg(long)]
    version: Option<String>,
    /// Set the appVersion on the chart to this version
    #[arg(long)]
    app_version: Option<String>,
    /// Location to write the chart
    #[arg(short, long, default_value = ".")]
    destination: String,
    /// Update dependencies from "Chart.yaml" to dir "charts/" before packaging
    #[arg(short = 'u', long)]
    dependency_update: bool,
    #[arg(long, hide = true)]
    username: Option<String>,
    #[arg(long, hide = true)]
    password: Option<String>,
    #[arg(long, hide = true)]
    cert_file: Option<String>,
    #[arg(long, hide = true)]
    key_file: Option<String>,
    #[arg(long, hide = true)]
    ca_file: Option<String>,
    #[arg(long, hide = true)]
    insecure_skip_tls_verify: bool,
    #[arg(long, hide = true)]
    plain_http: bool,
    #[command(flatten)]
    values: ValueOptions,
}

/// Packs charts.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    if arguments.paths.is_empty() {
        return Err(Problem("need at least one argument, the path to the chart".into()));
    }
    let epoch = epoch()?;
    if arguments.sign {
        if arguments.key.as_deref().unwrap_or_default().is_empty() {
            return Err(Problem("--key is required for signing a package".into()));
        }
        return Err(provenance::sign().into());
    }
    for name in &arguments.paths {
        let path = Path::new(name);
        std::fs::metadata(path).map_err(|error| Error::io("stat", path, &error))?;
        if arguments.dependency_update {
            let download = arguments.download();
            scope.wait(repository::update(path, &download, &scope.settings, false, &|_| {}))?;
        }
        let packed = arguments.pack(path, epoch)?;
        scope.print(&format!("Successfully packaged chart and saved it to: {}\n", packed.display()));
    }
    Ok(())
}

impl Arguments {
    fn download(&self) -> Download {
        let path = |text: &Option<String>| text.as_ref().map(PathBuf::from);
        Download {
            username: self.username.clone().unwrap_or_default(),
            password: self.password.clone().unwrap_or_default(),
            ca_file: path(&self.ca_file),
            cert_file: path(&self.cert_file),
            key_file: path(&self.key_file),
            insecure: self.insecure_skip_tls_verify,
            plain_http: self.plain_http,
            pass_credentials: false,
        }
    }

    fn pack(&self, path: &Path, epoch: Option<u64>) -> Result<PathBuf, Problem> {
        let mut chart = Chart::load(path)?;
        if let Some(version) = self.version.as_deref().filter(|version| !version.is_empty()) {
            chart.metadata.version = version.into();
        }
        Version::parse(&chart.metadata.version)?;
        if let Some(version) = self.app_version.as_deref().filter(|version| !version.is_empty()) {
            chart.metadata.app_version = version.into();
        }
        if let Some(epoch) = epoch {
            stamp(&mut chart, epoch);
        }
        dependencies::check(&chart)?;
        let folder = match self.destination.as_str() {
            "." => std::env::current_dir()?,
            other => other.into(),
        };
        Ok(package::save(&chart, &folder).map_err(|error| format!("failed to save: {error}"))?)
    }
}

/// `SOURCE_DATE_EPOCH`, for archives that are the same whenever they are made.
fn epoch() -> Result<Option<u64>, Problem> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) if !text.is_empty() => match text.parse() {
            Ok(epoch) => Ok(Some(epoch)),
            Err(_) => Err(Problem(format!("invalid SOURCE_DATE_EPOCH {text:?}"))),
        },
        _ => Ok(None),
    }
}

fn stamp(chart: &mut Chart, epoch: u64) {
    for file in chart.raw.iter_mut().chain(&mut chart.templates).chain(&mut chart.files) {
        file.modified = epoch;
    }
    chart.dependencies.iter_mut().for_each(|subchart| stamp(subchart, epoch));
}
