//! Kinds of the group `node.k8s.io`.

use super::Kind;

pub(super) const RUNTIME_CLASS: Kind =
    kind!(Cluster, "node.k8s.io" / "v1", "io.k8s.api.node", "RuntimeClass", "runtimeclasses", "runtimeclass",);
