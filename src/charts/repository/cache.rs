//! Downloaded archives by their digest, in Helm's layout: `AB/ABCD….chart` and `.prov`.

use super::super::Error;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// What is kept.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A packed chart.
    Chart,
    /// The signature of one.
    Provenance,
}

/// The digest of bytes, in hexadecimal digits.
pub fn digest(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

/// The digits of a digest that may have its algorithm in front.
pub fn digits(digest: &str) -> Result<&str, Error> {
    let digits = digest.rsplit(':').next().unwrap_or(digest);
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(digits);
    }
    Err(Error::Repository(format!("invalid digest: {digest}")))
}

/// Where something of a digest is kept.
pub fn path(root: &Path, digits: &str, kind: Kind) -> PathBuf {
    let extension = match kind {
        Kind::Chart => "chart",
        Kind::Provenance => "prov",
    };
    root.join(&digits[..2]).join(format!("{digits}.{extension}"))
}

/// Keeps bytes under a digest.
pub fn put(root: &Path, digits: &str, kind: Kind, data: &[u8]) -> Result<PathBuf, Error> {
    let path = path(root, digits, kind);
    super::write_shared(&path, data)?;
    Ok(path)
}
