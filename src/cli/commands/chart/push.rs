//! `push`: a packed chart into a registry.

use super::{Outcome, Problem, Scope, at_least};
use crate::charts::repository::{self, Download};
use std::path::{Path, PathBuf};

/// Push a chart to remote
#[derive(clap::Args)]
pub struct Arguments {
    /// The archive, and where to: oci://REGISTRY/FOLDER
    #[arg(value_name = "CHART REMOTE")]
    arguments: Vec<String>,
    /// Identify registry client using this SSL certificate file
    #[arg(long)]
    cert_file: Option<String>,
    /// Identify registry client using this SSL key file
    #[arg(long)]
    key_file: Option<String>,
    /// Verify certificates of HTTPS-enabled servers using this CA bundle
    #[arg(long)]
    ca_file: Option<String>,
    /// Skip tls certificate checks for the chart upload
    #[arg(long)]
    insecure_skip_tls_verify: bool,
    /// Use insecure HTTP connections for the chart upload
    #[arg(long)]
    plain_http: bool,
    /// Registry username
    #[arg(long)]
    username: Option<String>,
    /// Registry password
    #[arg(long)]
    password: Option<String>,
}

/// Uploads a chart.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    at_least(2, &arguments.arguments, "push", "[chart] [remote] [flags]")?;
    let (chart, remote) = (&arguments.arguments[0], &arguments.arguments[1]);
    let path = Path::new(chart);
    match std::fs::metadata(path) {
        Err(_) => return Err(Problem(format!("{chart}: no such file"))),
        Ok(found) if found.is_dir() => {
            return Err(Problem("cannot push directory, must provide chart archive (.tgz)".into()));
        }
        Ok(_) => {}
    }
    if !repository::is_oci(remote) {
        let scheme = remote.split_once("://").map_or("", |(scheme, _)| scheme);
        return Err(Problem(if scheme.is_empty() {
            format!("scheme prefix missing from remote (e.g. \"oci://{remote}\")")
        } else {
            format!("scheme {scheme:?} not supported")
        }));
    }
    let path_of = |text: &Option<String>| text.as_ref().map(PathBuf::from);
    let download = Download {
        username: arguments.username.clone().unwrap_or_default(),
        password: arguments.password.clone().unwrap_or_default(),
        ca_file: path_of(&arguments.ca_file),
        cert_file: path_of(&arguments.cert_file),
        key_file: path_of(&arguments.key_file),
        insecure: arguments.insecure_skip_tls_verify,
        plain_http: arguments.plain_http,
        pass_credentials: false,
    };
    let (reference, digest) = scope.wait(repository::push(path, remote, &download))?;
    scope.print(&format!("Pushed: {reference}\nDigest: {digest}\n"));
    Ok(())
}
