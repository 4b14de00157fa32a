//! Signatures of packed charts (`.prov`): the chart's metadata and the archive's checksum, signed in clear with OpenPGP.
//!
//! ```text
//! -----BEGIN PGP SIGNED MESSAGE-----      keys    keyrings, signing, checking: the door to the crate `pgp`
//! Hash: SHA512
//!
//! Chart.yaml
//!
//! ...
//! files:
//!   app-1.2.3.tgz: sha256:…
//! -----BEGIN PGP SIGNATURE-----
//! ```
//!
//! Source of the form: Helm `pkg/provenance/sign.go`, `pkg/downloader/chart_downloader.go`. The texts are Helm's.

mod keys;

pub use keys::{Keyring, Signer};

use super::{Chart, Error, decode};
use std::path::{Path, PathBuf};

/// Between the metadata and the checksums: the end of a YAML document.
const BETWEEN: &str = "\n...\n";

/// Who signed a chart, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The key's owner.
    pub signer: Signer,
    /// The archive's checksum: `sha256:…`.
    pub digest: String,
}

impl std::fmt::Display for Verified {
    /// As Helm tells it.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.signer.names.iter().try_for_each(|name| writeln!(out, "Signed by: {name}"))?;
        writeln!(out, "Using Key With Fingerprint: {}", self.signer.fingerprint)?;
        writeln!(out, "Chart Hash Verified: {}", self.digest)
    }
}

/// Where GnuPG keeps public keys.
pub fn default_keyring() -> PathBuf {
    let folder = std::env::var_os("GNUPGHOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    folder.unwrap_or_else(|| std::env::home_dir().unwrap_or_default().join(".gnupg")).join("pubring.gpg")
}

/// The signature's file of an archive.
pub fn signature_path(archive: &Path) -> PathBuf {
    PathBuf::from(format!("{}.prov", archive.display()))
}

/// Checks the signature that lies beside an archive.
pub fn verify(archive: &Path, keyring: &Path) -> Result<Verified, Error> {
    let found = std::fs::metadata(archive).map_err(|error| Error::io("stat", archive, &error))?;
    if found.is_dir() {
        return Err(Error::Chart("unpacked charts cannot be verified".into()));
    }
    if !archive.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tgz")) {
        return Err(Error::Chart("chart must be a tgz file".into()));
    }
    let path = signature_path(archive);
    if let Err(error) = std::fs::metadata(&path) {
        let error = Error::io("stat", &path, &error);
        return Err(Error::Chart(format!("could not load provenance file {}: {error}", path.display())));
    }
    let read = |path: &Path| std::fs::read(path).map_err(|error| Error::io("open", path, &error));
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    verify_data(&read(archive)?, &read(&path)?, &name, keyring)
}

/// Checks the signature of an archive that is called `name`.
pub fn verify_data(archive: &[u8], signature: &[u8], name: &str, keyring: &Path) -> Result<Verified, Error> {
    let keyring = Keyring::load(keyring).map_err(|error| Error::Chart(format!("failed to load keyring: {error}")))?;
    let (text, signer) = keyring.check(&String::from_utf8_lossy(signature))?;
    let (_, sums) =
        text.split_once(BETWEEN).ok_or_else(|| Error::Chart("message block must have at least two parts".into()))?;
    let sums = sums.split(BETWEEN).next().unwrap_or(sums);
    let sums = decode::yaml(sums).map_err(|error| Error::Chart(error.to_string()))?;
    let Some(wanted) = sums.get("files").and_then(|files| files.get(name)).and_then(|sum| sum.as_str()) else {
        return Err(Error::Chart(format!("provenance does not contain a SHA for a file named {name:?}")));
    };
    let digest = digest(archive);
    if wanted != digest {
        return Err(Error::Chart(format!("sha256 sum does not match for {name}: {wanted:?} != {digest:?}")));
    }
    Ok(Verified { signer, digest })
}

/// Signs an archive with the key of a keyring that `id` names, and writes the signature beside it. `passphrase` is asked
/// with the key's name if the key is locked.
pub fn sign(
    archive: &Path,
    keyring: &Path,
    id: &str,
    passphrase: &dyn Fn(&str) -> Result<Vec<u8>, Error>,
) -> Result<PathBuf, Error> {
    let keyring = Keyring::load(keyring)?;
    let chart = Chart::load(archive)?;
    let data = std::fs::read(archive).map_err(|error| Error::io("open", archive, &error))?;
    let metadata = serde_json::to_value(&chart.metadata).map_err(|error| Error::Chart(error.to_string()))?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let text = message(&decode::to_yaml(&metadata), &name, &digest(&data));
    let signed = keyring.sign(id, passphrase, &text)?;
    let path = signature_path(archive);
    super::write_file(&path, signed.as_bytes())?;
    Ok(path)
}

/// What is signed.
fn message(metadata: &str, name: &str, digest: &str) -> String {
    let sums = serde_json::json!({"files": {name: digest}});
    // Blanks at the ends of lines are no part of what is signed.
    let metadata: Vec<&str> = metadata.split('\n').map(|line| line.trim_end_matches([' ', '\t', '\r'])).collect();
    format!("{}{BETWEEN}{}", metadata.join("\n"), decode::to_yaml(&sums))
}

fn digest(data: &[u8]) -> String {
    format!("sha256:{}", super::sha256(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_has_helms_form() {
        assert_eq!(
            message("name: a \nversion: 1.0.0\n", "a-1.0.0.tgz", "sha256:00"),
            "name: a\nversion: 1.0.0\n\n...\nfiles:\n  a-1.0.0.tgz: sha256:00\n"
        );
    }
}
