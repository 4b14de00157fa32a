//! What the node agent asks of the pod network and of the image store.

use async_trait::async_trait;
use std::net::IpAddr;
use std::path::Path;

/// An error of a neighbouring room: only its text matters here.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Connects sandboxes to the pod network.
#[async_trait]
pub trait Links: Send + Sync {
    /// Gives a sandbox a link and returns its addresses, the first one of the node's main family. Asked again for the
    /// same sandbox it returns the same addresses.
    async fn attach(&self, sandbox: &str, namespace: &Path) -> Result<Vec<IpAddr>, Failure>;
    /// Takes the link away and gives the addresses back. No error if there is none.
    async fn detach(&self, sandbox: &str) -> Result<(), Failure>;
}

/// What an image asks for when it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `user[:group]`, names or numbers; empty means root.
    pub user: String,
    pub working_directory: String,
    /// For example `SIGQUIT`; empty means `SIGTERM`.
    pub stop_signal: String,
}

/// An image that is present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Digest of its config.
    pub id: String,
    /// Tags, fully qualified.
    pub tags: Vec<String>,
    /// `repository@digest`.
    pub digests: Vec<String>,
    /// Bytes.
    pub size: u64,
    pub config: ImageConfig,
}

/// A name and a secret for a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

/// Why an image is not there.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The reference cannot be read.
    #[error("{0}")]
    InvalidName(String),
    /// The registry or the store failed, in words for the pod's status.
    #[error("{0}")]
    Failed(String),
}

/// The image store.
#[async_trait]
pub trait Images: Send + Sync {
    /// The image that a reference names, if it is present.
    async fn resolve(&self, reference: &str) -> Result<Option<Image>, ImageError>;
    /// Fetches an image; `credentials` are tried in order, none means anonymous.
    async fn pull(&self, reference: &str, credentials: &[Credentials]) -> Result<Image, ImageError>;
    /// Whether a pod with these credentials may use a present image without asking its registry again.
    async fn may_use(&self, reference: &str, credentials: &[Credentials]) -> Result<bool, ImageError>;
    /// Every image that is present.
    async fn list(&self) -> Result<Vec<Image>, ImageError>;
    /// Removes an image by its id.
    async fn remove(&self, id: &str) -> Result<(), ImageError>;
    /// A small file of the image, for example `/etc/passwd`; nothing if there is none.
    async fn read_file(&self, id: &str, path: &str) -> Result<Option<Vec<u8>>, ImageError>;
    /// The registry host of a reference, for example `docker.io`, to choose credentials by.
    fn registry(&self, reference: &str) -> Result<String, ImageError>;
}
