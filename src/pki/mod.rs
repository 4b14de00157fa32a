//! Keys, certificates and service-account tokens: every private key of a cluster is made here.
//!
//! One certificate authority for the cluster, one for the front proxy; ECDSA P-256 throughout. Files are PEM, private keys
//! mode 0600.

pub mod authority;
pub mod cluster;
pub mod tls;
pub mod token;
pub mod trust;
pub mod unverified;

pub use authority::{Authority, Identity};
pub use cluster::{
    ClusterNames, Renewed, ensure_admin, ensure_cluster, ensure_cluster_for, is_expired, until_renewal, valid,
};

use std::io;
use std::path::PathBuf;

/// Why keys or certificates could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A certificate cannot be made or signed.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// What a file holds is no key or certificate, or not one that fits.
    #[error("{0}")]
    Invalid(String),
    /// A token cannot be signed.
    #[error("cannot sign a token")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// TLS refuses the key or certificate.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File { path, source }
}
