//! What can go wrong in the node agent as a whole. Failures of one pod are told in its status and events instead.

/// Why the node agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request that the agent cannot do without was refused.
    #[error("request to the API server failed")]
    Request(#[from] kube::Error),
    /// The runtime does not answer.
    #[error("the container runtime failed")]
    Runtime(#[from] crate::runtime::Error),
    /// A folder, key or socket of the agent.
    #[error("cannot use `{path}`")]
    File { path: String, source: std::io::Error },
    /// The agent's certificates.
    #[error("cannot use the certificates of the node agent")]
    Pki(#[from] crate::pki::Error),
    /// The socket of the kubelet API.
    #[error("cannot serve the kubelet API")]
    Listen(#[source] std::io::Error),
}

impl Error {
    /// An error about a path.
    pub fn file(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), source }
    }
}
