//! Flags that several of Helm's commands share.

use super::{Outcome, Problem, Scope};
use crate::charts::repository::{self, Download, Trust};
use crate::charts::values::{Map, ValueFlags};
use crate::charts::{KubeVersion, provenance, values};
use std::path::{Path, PathBuf};

/// Flags that set values.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ValueOptions {
    /// Specify values in a YAML file or a URL (can specify multiple)
    #[arg(short = 'f', long = "values", value_delimiter = ',')]
    pub values: Vec<String>,
    /// Set values on the command line (can specify multiple or separate values with commas: key1=val1,key2=val2)
    #[arg(long, allow_hyphen_values = true)]
    pub set: Vec<String>,
    /// Set STRING values on the command line
    #[arg(long, allow_hyphen_values = true)]
    pub set_string: Vec<String>,
    /// Set values from respective files specified via the command line (key1=path1,key2=path2)
    #[arg(long, allow_hyphen_values = true)]
    pub set_file: Vec<String>,
    /// Set JSON values on the command line (key1=jsonval1,key2=jsonval2, or {"key1": jsonval1})
    #[arg(long, allow_hyphen_values = true)]
    pub set_json: Vec<String>,
    /// Set a literal STRING value on the command line
    #[arg(long, allow_hyphen_values = true)]
    pub set_literal: Vec<String>,
}

impl ValueOptions {
    /// The values that the flags give together.
    pub fn merge(&self, scope: &Scope) -> Result<Map, Problem> {
        let flags = ValueFlags {
            files: self.values.clone(),
            json: self.set_json.clone(),
            set: self.set.clone(),
            text: self.set_string.clone(),
            from_file: self.set_file.clone(),
            literal: self.set_literal.clone(),
        };
        let read = |name: &str| read_source(name, scope);
        Ok(values::merge(&flags, &read)?)
    }
}

/// A file, stdin (`-`) or what an address answers.
fn read_source(name: &str, scope: &Scope) -> Result<Vec<u8>, String> {
    if name.trim() == "-" {
        let mut data = Vec::new();
        return match std::io::Read::read_to_end(&mut std::io::stdin(), &mut data) {
            Ok(_) => Ok(data),
            Err(error) => Err(format!("read stdin: {error}")),
        };
    }
    if name.starts_with("http://") || name.starts_with("https://") {
        let download = Download::default();
        return scope.wait(async { repository::get(name, &download).await }).map_err(|Problem(text)| text);
    }
    let path = std::path::Path::new(name);
    std::fs::read(path).map_err(|error| {
        let what = if error.kind() == std::io::ErrorKind::IsADirectory { "read" } else { "open" };
        crate::charts::Error::io(what, path, &error).to_string()
    })
}

/// Flags of how repositories and registries are reached.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Reaching {
    /// Chart repository username where to locate the requested chart
    #[arg(long)]
    pub username: Option<String>,
    /// Chart repository password where to locate the requested chart
    #[arg(long)]
    pub password: Option<String>,
    /// Identify HTTPS client using this SSL certificate file
    #[arg(long)]
    pub cert_file: Option<String>,
    /// Identify HTTPS client using this SSL key file
    #[arg(long)]
    pub key_file: Option<String>,
    /// Skip tls certificate checks for the transfer
    #[arg(long)]
    pub insecure_skip_tls_verify: bool,
    /// Use insecure HTTP connections for the transfer
    #[arg(long)]
    pub plain_http: bool,
    /// Verify certificates of HTTPS-enabled servers using this CA bundle
    #[arg(long)]
    pub ca_file: Option<String>,
}

impl Reaching {
    /// How to download, and upload.
    pub fn download(&self) -> Download {
        let path = |text: &Option<String>| text.as_ref().filter(|text| !text.is_empty()).map(PathBuf::from);
        Download {
            username: self.username.clone().unwrap_or_default(),
            password: self.password.clone().unwrap_or_default(),
            ca_file: path(&self.ca_file),
            cert_file: path(&self.cert_file),
            key_file: path(&self.key_file),
            insecure: self.insecure_skip_tls_verify,
            plain_http: self.plain_http,
            pass_credentials: false,
            limit: None,
        }
    }

    /// Gets what a chart's folder needs into its `charts/`.
    pub fn fill(&self, folder: &Path, scope: &Scope, say: &dyn Fn(&str)) -> Outcome {
        let (download, settings, trust) = (&self.download(), &scope.settings, &Trust::Any);
        let filling = repository::Filling { folder, download, settings, skip_refresh: false, trust, say };
        scope.wait(filling.update())
    }
}

/// Flags of checking signatures.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Verifying {
    /// Verify the package before using it
    #[arg(long)]
    pub verify: bool,
    /// Location of public keys used for verification
    #[arg(long)]
    pub keyring: Option<String>,
}

impl Verifying {
    /// The keys that signatures are checked with.
    pub fn keyring(&self) -> PathBuf {
        self.keyring.as_ref().map_or_else(provenance::default_keyring, PathBuf::from)
    }

    /// What is to be done about a chart's signature.
    pub fn trust(&self) -> Trust {
        if self.verify { Trust::Signed(self.keyring()) } else { Trust::Any }
    }
}

/// Flags that say where a chart comes from.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ChartOptions {
    /// Specify a version constraint for the chart version to use; the latest version if left out
    #[arg(long)]
    pub version: Option<String>,
    /// Chart repository url where to locate the requested chart
    #[arg(long)]
    pub repo: Option<String>,
    /// Pass credentials to all domains
    #[arg(long)]
    pub pass_credentials: bool,
    #[command(flatten)]
    pub verifying: Verifying,
    #[command(flatten)]
    pub reaching: Reaching,
}

impl ChartOptions {
    /// How to download.
    pub fn download(&self) -> Download {
        Download { pass_credentials: self.pass_credentials, ..self.reaching.download() }
    }

    /// The version that is asked for; `--devel` takes pre-releases too.
    pub fn wanted(&self, devel: bool) -> String {
        let version = self.version.as_deref().unwrap_or_default().trim();
        if version.is_empty() && devel { ">0.0.0-0".into() } else { version.into() }
    }

    /// The folder or archive of a chart, downloaded if it is not on disk.
    pub fn locate(&self, name: &str, devel: bool, scope: &Scope) -> Result<PathBuf, Problem> {
        let name = name.trim();
        let found = match self.repo.as_deref().unwrap_or_default() {
            "" => repository::locate_local(name)?,
            _ => None,
        };
        match found {
            Some(path) => {
                if self.verifying.verify {
                    provenance::verify(&path, &self.verifying.keyring())?;
                }
                Ok(path)
            }
            None => {
                let wanted = repository::Wanted {
                    name: name.to_string(),
                    version: self.wanted(devel),
                    repository: self.repo.clone().unwrap_or_default(),
                };
                let trust = self.verifying.trust();
                let download = self.download();
                let located = scope.wait(repository::locate(&wanted, &download, &scope.settings, &trust))?;
                if let Some(origin) = located.origin {
                    super::aside(format_args!("{origin}"));
                }
                Ok(located.path)
            }
        }
    }
}

/// `--kube-version`.
pub fn kube_version(text: &str) -> Result<KubeVersion, Problem> {
    KubeVersion::parse(text).map_err(|problem| Problem(format!("invalid kube version '{text}': {problem}")))
}
