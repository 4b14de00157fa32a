//! What the store remembers of each image, and what it tells others.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
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
}

/// The index file: every image by id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Index {
    pub images: BTreeMap<String, Record>,
}
