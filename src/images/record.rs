//! What the store remembers of each image, and what it tells others.

use super::pull::Login;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// An image that is present, ready to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The digest of its config: `sha256:…`.
    pub id: String,
    /// Normalized names with tags.
    pub repo_tags: Vec<String>,
    /// Names with the digest of the manifest that was pulled.
    pub repo_digests: Vec<String>,
    pub config: ImageConfig,
    /// Unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// Bytes of its layers as they came.
    pub size: u64,
    /// When it was made, RFC 3339, as its config says.
    pub created: Option<String>,
    /// A file of the node that is shown at `/coracle`: the layer of a built-in image, which is not copied.
    pub executable: Option<PathBuf>,
    /// Who may use it, by the repository that it was pulled from for pods; what came another way is everybody's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pulled: BTreeMap<String, Access>,
}

impl Image {
    /// Whether one of these logins, or anybody, may use the image under a name: who has shown to its registry that he may pull
    /// it, or that everybody may.
    pub fn is_open(&self, name: &str, logins: &[Login]) -> bool {
        let open = |access: &Access| match access {
            Access::Everybody => true,
            Access::Holders(known) => logins.iter().any(|login| known.contains(&trace(&self.id, login))),
        };
        let repository = name.parse::<super::Reference>().map(|name| name.name()).unwrap_or_default();
        let names = self.repo_tags.iter().chain(&self.repo_digests);
        let is_named = |own: &String| own.strip_prefix(&repository).is_some_and(|rest| rest.starts_with([':', '@']));
        match names.into_iter().any(is_named) {
            true => self.pulled.get(&repository).is_none_or(open),
            // By its id, or digits of it, it is all that it is by its names.
            false => self.pulled.is_empty() || self.pulled.values().any(open),
        }
    }
}

/// Who may use an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// It was pulled without a name.
    Everybody,
    /// Who has one of these logins, of which only a trace is kept.
    Holders(BTreeSet<String>),
}

/// Logins that are remembered of an image and repository at most; who is forgotten asks the registry again.
const HOLDERS: usize = 100;

impl Access {
    /// Adds whoever pulled the image `id`.
    pub(super) fn add(pulled: &mut BTreeMap<String, Self>, id: &str, repository: &str, login: Option<&Login>) {
        let access = pulled.entry(repository.into()).or_insert_with(|| Self::Holders(BTreeSet::new()));
        match (login, access) {
            (None, access) => *access = Self::Everybody,
            (Some(login), Self::Holders(known)) => {
                if known.len() >= HOLDERS {
                    known.pop_first();
                }
                known.insert(trace(id, login));
            }
            (Some(_), Self::Everybody) => {}
        }
    }
}

/// What is kept of a login: enough to know it again for this image.
fn trace(id: &str, login: &Login) -> String {
    let parts = [id, &login.username, &login.password].map(|part| hex::encode(Sha256::digest(part)));
    hex::encode(Sha256::digest(parts.join(".")))
}

/// What an image asks of whoever runs it (image-spec `config.config`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// `NAME=value`.
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// `user`, `uid`, `user:group` or `uid:gid`; empty means root.
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// A name or a number; missing means SIGTERM.
    pub stop_signal: Option<String>,
    /// `8080/tcp`; the values are empty objects.
    #[serde(deserialize_with = "null_is_default")]
    pub exposed_ports: BTreeMap<String, Empty>,
    #[serde(deserialize_with = "null_is_default")]
    pub volumes: BTreeMap<String, Empty>,
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
}

/// The `{}` that image configs have as map values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Docker writes `null` where nothing was given.
fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// The parts of an image's config file that the store reads (image-spec `config.md`).
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ConfigFile {
    pub created: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: ImageConfig,
    pub rootfs: RootFs,
}

/// The uncompressed digests of the layers, lowest first.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RootFs {
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<String>,
}

/// A pointer to content (image-spec `descriptor.md`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What a manifest of an index is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
}

/// A manifest or an index: told apart by which of the lists is there.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Manifest {
    pub config: Option<Descriptor>,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// One layer of a recorded image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Layer {
    /// Digest of the uncompressed layer; names its unpacked folder.
    pub diff_id: String,
    /// Digest of the layer as it came; names its blob. Missing for the built-in images.
    pub blob: Option<String>,
    pub media_type: String,
    /// Bytes of the blob.
    pub size: u64,
}

/// One image in the index file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub layers: Vec<Layer>,
    pub tags: Vec<String>,
    pub digests: Vec<String>,
    pub config: ImageConfig,
    pub created: Option<String>,
    pub executable: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pulled: BTreeMap<String, Access>,
}

/// The index file: every image by id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Index {
    pub images: BTreeMap<String, Record>,
}
