//! The one door to the API for everybody who is not the server: the client, shared list/watch caches, waiting, applying.
//!
//! In the server's process the client's transport is the server's own service, without sockets; elsewhere it is HTTPS. The
//! code that uses it cannot tell.

pub mod apply;
pub mod cache;
pub mod config;
pub mod events;
pub mod follow;
#[cfg(test)]
pub mod mock;
pub mod wait;

pub use cache::{Cache, Cached, Caches, Change};
pub use config::from_kubeconfig;
pub use events::{Level, Recorder};
pub use follow::Selection;
pub use kube::Client;

/// What can go wrong on the way to the API.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with a failure, or could not be reached.
    #[error("request to the API server failed")]
    Request(#[from] kube::Error),
    /// The kubeconfig cannot be read or lacks the context.
    #[error("no usable kubeconfig")]
    Kubeconfig(#[from] Box<kube::config::KubeconfigError>),
    /// An address that is none.
    #[error("`{0}` is no address of a server")]
    Address(String),
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    File { path: std::path::PathBuf, source: std::io::Error },
    /// The process is not in a pod, or the pod has no service account.
    #[error("no service account to reach the API server with")]
    InCluster(#[from] Box<kube::config::InClusterError>),
    /// The server serves no such kind: a definition may be missing.
    #[error("the server does not serve kind `{kind}` of `{api_version}`")]
    UnknownKind { api_version: String, kind: String, source: Box<kube::Error> },
    /// A new kind was accepted but is not served in time.
    #[error("the definition `{0}` was applied but its kind is not served yet")]
    NotEstablished(String),
}
