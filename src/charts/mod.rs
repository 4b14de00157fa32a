//! Helm's job: charts read, filled with values, rendered and installed.
//!
//! ```text
//! chart/        a chart's files: Chart.yaml, loading from folders and archives, .helmignore
//! values/       --set and its relatives, -f, coalescing
//! dependencies  conditions, tags, aliases, import-values
//! schema        values.schema.json
//! template/     Go's text/template and its values      functions/  sprig's and Helm's functions
//! yaml/         YAML as Helm reads and writes it        decode      from it to what charts say
//! files, capabilities   `.Files`, `.Capabilities`      version     SemVer and its constraints
//! render        all templates of a tree of charts      manifests   documents, hooks, order of kinds
//! repository/   index.yaml, downloads, OCI, caches     provenance/ signatures of packed charts
//! release/      releases on a cluster                  objects/    releases that objects of a cluster ask for
//! lint/  package  create  graph
//! ```
//!
//! What the commands and the releases build on:
//! * [`Chart::load`] reads a chart; [`values::merge`] gives the user's values ([`values::ValueFlags`]).
//! * [`render`] renders: it prepares the chart (subcharts off, aliases, imported values), coalesces, checks the schema, runs
//!   the templates and sorts what they print into [`Manifest`]s and [`Hook`]s.
//! * [`Rendered::manifest_text`] is the text that a release keeps, [`release::Release::config`] the user's values.
//! * Values are JSON trees ([`values::Map`]); floats stand for numbers of files, [`values::plain`] makes them whole again
//!   for printing and for releases.

pub mod capabilities;
pub mod chart;
pub mod create;
pub mod decode;
pub mod dependencies;
mod files;
pub mod functions;
pub mod graph;
pub mod lint;
pub mod manifests;
pub mod objects;
pub mod package;
pub mod provenance;
pub mod release;
mod render;
pub mod repository;
pub mod schema;
pub mod template;
pub mod values;
pub mod version;
pub mod yaml;

pub use capabilities::{Capabilities, KubeVersion};
pub use chart::{Chart, File};
pub use manifests::{Hook, Manifest};
pub use render::{ReleaseOptions, Rendered, push_document, release_name, render, render_text, templates};
pub use template::{Host, Offline};

use std::path::Path;

/// Why something could not be done with a chart. The texts are Helm's, which users and tools know.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The chart's files are not what they should be.
    #[error("{0}")]
    Chart(String),
    /// The values that were given.
    #[error("{0}")]
    Values(String),
    /// The values do not fit the chart's schema; every violation is named.
    #[error("{0}")]
    Schema(String),
    /// The chart is for another version of Kubernetes.
    #[error("{0}")]
    Incompatible(String),
    /// A template is broken or failed.
    #[error("{0}")]
    Template(String),
    /// What a template printed is no manifest.
    #[error("{problem}")]
    Manifest {
        /// Where and why.
        problem: String,
        /// Everything that was rendered, for `--debug`.
        rendered: String,
    },
    /// A repository or registry.
    #[error("{0}")]
    Repository(String),
    /// A file of the user's.
    #[error("{0}")]
    Io(String),
}

impl Error {
    /// An error of the file system in Go's words: `open x.yaml: no such file or directory`.
    pub fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::Io(format!("{what} {}: {}", path.display(), io_text(error)))
    }

    /// A packed chart that cannot be read.
    fn archive(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Chart("unexpected EOF".into()),
            _ => Self::Chart(io_text(&error)),
        }
    }
}

/// Writes a file in one step, readable for everybody: broken off, it leaves the one that was there.
pub fn write_file(path: &Path, data: &[u8]) -> Result<(), Error> {
    crate::base::atomic::write(path, data, 0o644).map_err(|error| Error::io("write", path, &error))
}

/// The SHA-256 of bytes, in hexadecimal digits.
pub fn sha256(data: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(data))
}

/// The time that it is, as Helm writes it into files (RFC 3339).
pub fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// Why an address cannot be reached, in Go's words where the reason is a common one; `why` holds the system's text.
pub fn dial_words(url: &str, why: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split(['/', '?']).next().unwrap_or(rest);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let port = if scheme == "http" { 80 } else { 443 };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let address = if has_port { host.to_string() } else { format!("{host}:{port}") };
    let lower = why.to_ascii_lowercase();
    let known = ["connection refused", "network is unreachable", "no route to host", "connection timed out"];
    match known.iter().find(|known| lower.contains(**known)) {
        Some(known) => format!("dial tcp {address}: connect: {known}"),
        None if lower.contains("dns error") || lower.contains("failed to lookup address") => {
            let host = address.rsplit_once(':').map_or(host, |(host, _)| host);
            format!("dial tcp: lookup {host}: no such host")
        }
        None => why.to_string(),
    }
}

/// The system's text without Rust's addition, in lower case as Go has it.
pub fn io_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_reached_are_told_in_gos_words() {
        let refused = "tcp connect error: Connection refused (os error 111)";
        assert_eq!(dial_words("http://127.0.0.1:1/x", refused), "dial tcp 127.0.0.1:1: connect: connection refused");
        assert_eq!(dial_words("https://127.0.0.1", refused), "dial tcp 127.0.0.1:443: connect: connection refused");
        assert_eq!(dial_words("https://a.b/x", "dns error: no record"), "dial tcp: lookup a.b: no such host");
        assert_eq!(dial_words("https://a.b", "odd"), "odd");
    }
}
