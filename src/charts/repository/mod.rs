//! Where charts come from: folders and archives, repositories with an `index.yaml`, OCI registries.
//!
//! ```text
//! settings   where Helm keeps its files           file    repositories.yaml
//! http       GET with names, secrets, authorities index   index.yaml
//! locate     a reference -> a path on disk        oci     registries (through the room `images`)
//! fill       dependencies -> charts/, Chart.lock  cache   downloaded archives by digest
//! certified  registries that want to see a certificate
//! ```
//!
//! Files, formats and places are Helm's, so that both tools see the same repositories, logins and caches.

mod cache;
mod certified;
mod file;
mod fill;
pub(in crate::charts) mod http;
mod index;
mod locate;
mod oci;
mod settings;

pub use file::{Entry, File as RepositoryFile};
pub use fill::Filling;
pub use http::{Download, check_scheme, get, resolve_url};
pub use index::{ChartVersion, Index};
pub use locate::{
    Fetched, Located, Origin, Trust, Wanted, fetch, locate, locate_local, update_repositories, update_repository,
};
pub use oci::{check_login, is_oci, login, logout, push};
pub use settings::Settings;

use super::Error;
use std::io::Write;
use std::path::Path;

/// Writes a file in one step, readable only for its user.
fn write_private(path: &Path, data: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| Error::io("mkdir", folder, &error))?;
    let failed = |error: &std::io::Error| Error::io("write", path, error);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    file.write_all(data).map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}

/// Writes a file in one step, readable for everybody.
fn write_shared(path: &Path, data: &[u8]) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    write_private(path, data)?;
    let permissions = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(path, permissions).map_err(|error| Error::io("chmod", path, &error))
}
