//! Downloaded archives by their digest, in Helm's layout: `AB/ABCD….chart`.

use super::super::Error;
use std::path::{Path, PathBuf};

/// The digits of a digest that may have its algorithm in front.
pub fn digits(digest: &str) -> Result<&str, Error> {
    let digits = digest.rsplit(':').next().unwrap_or(digest);
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(digits);
    }
    Err(Error::Repository(format!("invalid digest: {digest}")))
}

/// Where the archive of a digest is kept.
pub fn path(root: &Path, digits: &str) -> PathBuf {
    root.join(&digits[..2]).join(format!("{digits}.chart"))
}

/// Keeps an archive under its digest.
pub fn put(root: &Path, digits: &str, data: &[u8]) -> Result<PathBuf, Error> {
    let path = path(root, digits);
    super::super::write_file(&path, data)?;
    Ok(path)
}
