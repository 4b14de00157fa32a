//! Signatures of packed charts (`.prov`).
//!
//! Helm signs with PGP. No PGP library that may be part of this executable is light enough, so signing and verifying are
//! refused with words that say so; nothing is ever taken for verified.

use super::Error;
use std::path::{Path, PathBuf};

/// Where GnuPG keeps public keys.
pub fn default_keyring() -> PathBuf {
    let folder = std::env::var_os("GNUPGHOME").map(PathBuf::from);
    folder.unwrap_or_else(|| std::env::home_dir().unwrap_or_default().join(".gnupg")).join("pubring.gpg")
}

/// Checks what Helm checks before it reads keys, then refuses.
pub fn verify(chart: &Path, _keyring: &Path) -> Result<(), Error> {
    let found = std::fs::metadata(chart).map_err(|error| Error::io("stat", chart, &error))?;
    if found.is_dir() {
        return Err(Error::Chart("unpacked charts cannot be verified".into()));
    }
    if !chart.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tgz")) {
        return Err(Error::Chart("chart must be a tgz file".into()));
    }
    let signature = PathBuf::from(format!("{}.prov", chart.display()));
    if let Err(error) = std::fs::metadata(&signature) {
        let error = Error::io("stat", &signature, &error);
        return Err(Error::Chart(format!("could not load provenance file {}: {error}", signature.display())));
    }
    let path = signature.display();
    Err(Error::Chart(format!(
        "PGP signatures cannot be checked by this executable: run 'gpg --verify {path}' and compare the sha256 in it"
    )))
}

/// Why nothing is signed.
pub fn sign() -> Error {
    Error::Chart("PGP signatures cannot be made by this executable: package without '--sign' and sign with gpg".into())
}
