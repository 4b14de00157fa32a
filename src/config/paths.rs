//! Where things are inside the node. One place, so that no other file spells a path.

use std::path::{Path, PathBuf};

/// Beside the authorities of [`NodePaths::trust`]: the names of the files of those that are not the machine's own, one a line.
pub const TRUSTED_NAMES: &str = "names";

/// The node's folders below one root: `/` in a node, a temporary folder in tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePaths {
    root: PathBuf,
}

impl NodePaths {
    /// Paths below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The resolved [`super::Profile`] as JSON.
    pub fn profile(&self) -> PathBuf {
        self.below("etc/coracle/profile.json")
    }

    /// Keys and certificates (see the room `pki`).
    pub fn pki(&self) -> PathBuf {
        self.below("var/lib/coracle/pki")
    }

    /// Authorities that the machine trusts, handed over by the command line.
    pub fn trust(&self) -> PathBuf {
        self.below("etc/coracle/trust")
    }

    /// The same as the node's programs see them; gone after a restart of the node.
    pub fn trust_shown(&self) -> PathBuf {
        self.below("run/coracle/trust")
    }

    /// The machine's resolvers as they are now, in a file `resolv.conf`; of a folder of its own, so that it can be watched.
    pub fn resolvers(&self) -> PathBuf {
        self.below("etc/coracle/resolvers")
    }

    /// The store's durable files.
    pub fn store(&self) -> PathBuf {
        self.below("var/lib/coracle/store")
    }

    /// The image content store.
    pub fn images(&self) -> PathBuf {
        self.below("var/lib/coracle/images")
    }

    /// Sandboxes and containers: bundles, root file systems, records.
    pub fn containers(&self) -> PathBuf {
        self.below("var/lib/coracle/containers")
    }

    /// What the node agent keeps.
    pub fn kubelet(&self) -> PathBuf {
        self.below("var/lib/kubelet")
    }

    /// A file per pod that a person paused while the node agent goes on, named by its unique id; gone after a restart of the node.
    pub fn paused_pods(&self) -> PathBuf {
        self.below("run/coracle/paused")
    }

    /// Per-pod folders of the node agent: `pods/UID/volumes/…`, as the kubelet lays them out.
    pub fn pods(&self) -> PathBuf {
        self.kubelet().join("pods")
    }

    /// Files that are pods of this node.
    pub fn manifests(&self) -> PathBuf {
        self.below("etc/kubernetes/manifests")
    }

    /// Volumes of pods that the node agent writes (tokens, secrets, configuration): in memory, `UID/VOLUME`.
    pub fn memory_volumes(&self) -> PathBuf {
        self.below("run/coracle/volumes")
    }

    /// Volumes of the local provisioner.
    pub fn volumes(&self) -> PathBuf {
        self.below("var/lib/coracle/volumes")
    }

    /// Address leases of pods.
    pub fn leases(&self) -> PathBuf {
        self.below("var/lib/coracle/leases")
    }

    /// Container logs in CRI format: `NAMESPACE_POD_UID/CONTAINER/N.log`.
    pub fn pod_logs(&self) -> PathBuf {
        self.below("var/log/pods")
    }

    /// The server's own log.
    pub fn server_log(&self) -> PathBuf {
        self.below("var/log/coracle.log")
    }

    /// Pinned namespaces, one folder per sandbox; gone after a restart of the node.
    pub fn namespaces(&self) -> PathBuf {
        self.below("run/coracle/namespaces")
    }

    /// The socket of the supervisor.
    pub fn supervisor_socket(&self) -> PathBuf {
        self.below("run/coracle/supervisor.sock")
    }

    fn below(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }
}

impl Default for NodePaths {
    fn default() -> Self {
        Self::new("/")
    }
}
