//! Where charts come from: folders and archives, repositories with an `index.yaml`, OCI registries.
//!
//! ```text
//! settings   where Helm keeps its files           file    repositories.yaml
//! http       GET with names, secrets, authorities index   index.yaml
//! locate     a reference -> a path on disk        oci     registries (through the room `images`)
//! fill       dependencies -> charts/, Chart.lock  cache   downloaded archives by digest
//! ```
//!
//! Files, formats and places are Helm's, so that both tools see the same repositories, logins and caches.

mod cache;
mod file;
mod fill;
pub(in crate::charts) mod http;
mod index;
mod locate;
mod oci;
mod settings;

pub use file::{Entry, File as RepositoryFile};
pub use fill::Filling;
pub use http::{Download, check_scheme, get, resolve_url, shown};
pub use index::{ChartVersion, Index};
pub use locate::{
    Fetched, Located, Origin, Trust, Wanted, fetch, locate, locate_local, update_repositories, update_repository,
};
pub use oci::{check_login, is_oci, login, logout, push};
pub use settings::Settings;

use super::Error;
use std::path::Path;

/// Writes a file in one step, readable only for its user.
fn write_private(path: &Path, data: &[u8]) -> Result<(), Error> {
    crate::base::atomic::write(path, data, 0o600).map_err(|error| Error::io("write", path, &error))
}
