//! `package`: a chart's folder as an archive.

use super::flags::Reaching;
use super::{Outcome, Problem, Scope};
use crate::charts::version::Version;
use crate::charts::{Chart, Error, dependencies, package, provenance};
use std::io::{IsTerminal, Read};
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
    #[command(flatten)]
    reaching: Reaching,
}

/// Packs charts.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    if arguments.paths.is_empty() {
        return Err(Problem("need at least one argument, the path to the chart".into()));
    }
    let epoch = epoch()?;
    let signing = arguments.signing()?;
    for name in &arguments.paths {
        let path = Path::new(name);
        std::fs::metadata(path).map_err(|error| Error::io("stat", path, &error))?;
        if arguments.dependency_update {
            arguments.reaching.fill(path, scope, &|_| {})?;
        }
        let packed = arguments.pack(path, epoch)?;
        if let Some(signing) = &signing {
            provenance::sign(&packed, &signing.keyring, signing.key, &|name| signing.passphrase(name, scope))?;
        }
        scope.print(&format!("Successfully packaged chart and saved it to: {}\n", packed.display()));
    }
    Ok(())
}

/// What charts are signed with.
struct Signing<'a> {
    key: &'a str,
    keyring: PathBuf,
    /// The key's passphrase if a file says it; else it is asked for.
    passphrase: Option<Vec<u8>>,
}

impl Signing<'_> {
    fn passphrase(&self, name: &str, scope: &Scope) -> Result<Vec<u8>, Error> {
        if let Some(passphrase) = &self.passphrase {
            return Ok(passphrase.clone());
        }
        let asked = super::registry::ask(&format!("Password for key {name:?} >  "), true, scope);
        asked.map(String::into_bytes).map_err(|Problem(text)| Error::Io(text))
    }
}

/// The first line of a file; `-` is what is piped in.
fn passphrase(file: &str) -> Result<Vec<u8>, Problem> {
    let data = match file {
        "-" if std::io::stdin().is_terminal() => {
            return Err(Problem("specified reading passphrase from stdin, without input on stdin".into()));
        }
        "-" => {
            let mut data = Vec::new();
            std::io::stdin().read_to_end(&mut data)?;
            data
        }
        file => std::fs::read(file).map_err(|error| Error::io("open", Path::new(file), &error))?,
    };
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

impl Arguments {
    /// What to sign with, if that is asked for. The passphrase's file is read once for all charts.
    fn signing(&self) -> Result<Option<Signing<'_>>, Problem> {
        if !self.sign {
            return Ok(None);
        }
        let given = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
        let key = self.key.as_deref().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Problem("--key is required for signing a package".into()))?;
        let keyring = given(&self.keyring).map_or_else(provenance::default_keyring, PathBuf::from);
        if !keyring.exists() {
            let missing = std::io::Error::from_raw_os_error(2);
            return Err(Error::io("open", &keyring, &missing).into());
        }
        let passphrase = given(&self.passphrase_file).map(|file| passphrase(&file)).transpose()?;
        Ok(Some(Signing { key, keyring, passphrase }))
    }

    fn pack(&self, path: &Path, epoch: Option<u64>) -> Result<PathBuf, Problem> {
        if path.is_file() {
            let file = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).join("Chart.yaml");
            return Err(Problem(format!("unable to detect chart at {0}: open {0}: not a directory", file.display())));
        }
        let mut chart = Chart::open(path)?;
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
