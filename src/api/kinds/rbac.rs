//! Kinds of the group `rbac.authorization.k8s.io`.

use super::Kind;

pub(super) const CLUSTER_ROLE: Kind = kind!(
    Cluster,
    "rbac.authorization.k8s.io" / "v1",
    "io.k8s.api.rbac",
    "ClusterRole",
    "clusterroles",
    "clusterrole",
);

pub(super) const CLUSTER_ROLE_BINDING: Kind = kind!(
    Cluster,
    "rbac.authorization.k8s.io" / "v1",
    "io.k8s.api.rbac",
    "ClusterRoleBinding",
    "clusterrolebindings",
    "clusterrolebinding",
);

pub(super) const ROLE: Kind =
    kind!(Namespaced, "rbac.authorization.k8s.io" / "v1", "io.k8s.api.rbac", "Role", "roles", "role",);

pub(super) const ROLE_BINDING: Kind = kind!(
    Namespaced,
    "rbac.authorization.k8s.io" / "v1",
    "io.k8s.api.rbac",
    "RoleBinding",
    "rolebindings",
    "rolebinding",
);
