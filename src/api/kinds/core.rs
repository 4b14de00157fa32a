//! Kinds of the core group.

use super::entry::REPLICAS;
use super::{CREATE_ONLY, Generation, Kind, PART_VERBS};

/// Verbs of a path that is handed on to whatever the object stands for.
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
/// Verbs of a stream.
const STREAM: &[&str] = &["create", "get"];
/// Namespaces have no `deletecollection`.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

pub(super) const BINDING: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "Binding",
    "bindings",
    "binding",
    verbs: CREATE_ONLY,
);

pub(super) const CONFIG_MAP: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "ConfigMap",
    "configmaps",
    "configmap",
    short: names!["cm"],
);

pub(super) const ENDPOINTS: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "Endpoints",
    "endpoints",
    "endpoints",
    short: names!["ep"],
);

pub(super) const LIMIT_RANGE: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "LimitRange",
    "limitranges",
    "limitrange",
    short: names!["limits"],
);

pub(super) const NAMESPACE: Kind = kind!(
    Cluster,
    "" / "v1",
    "io.k8s.api.core",
    "Namespace",
    "namespaces",
    "namespace",
    short: names!["ns"],
    verbs: NAMESPACE_VERBS,
    status: true,
    others: subresources!["finalize": "Namespace" &["update"]],
);

pub(super) const NODE: Kind = kind!(
    Cluster,
    "" / "v1",
    "io.k8s.api.core",
    "Node",
    "nodes",
    "node",
    short: names!["no"],
    status: true,
    others: subresources!["proxy": "NodeProxyOptions" PROXY],
);

pub(super) const PERSISTENT_VOLUME_CLAIM: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    "persistentvolumeclaim",
    short: names!["pvc"],
    status: true,
);

pub(super) const PERSISTENT_VOLUME: Kind = kind!(
    Cluster,
    "" / "v1",
    "io.k8s.api.core",
    "PersistentVolume",
    "persistentvolumes",
    "persistentvolume",
    short: names!["pv"],
    status: true,
);

pub(super) const POD: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "Pod",
    "pods",
    "pod",
    short: names!["po"],
    categories: names!["all"],
    status: true,
    generation: Generation::Spec,
    others: subresources![
        "attach": "PodAttachOptions" STREAM,
        "binding": "Binding" CREATE_ONLY,
        "ephemeralcontainers": "Pod" PART_VERBS,
        "eviction": "Eviction" in "policy" / "v1" CREATE_ONLY,
        "exec": "PodExecOptions" STREAM,
        "log": "Pod" &["get"],
        "portforward": "PodPortForwardOptions" STREAM,
        "proxy": "PodProxyOptions" PROXY,
        "resize": "Pod" PART_VERBS,
    ],
);

pub(super) const POD_TEMPLATE: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "PodTemplate",
    "podtemplates",
    "podtemplate",
    generation: Generation::Body,
);

pub(super) const REPLICATION_CONTROLLER: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "ReplicationController",
    "replicationcontrollers",
    "replicationcontroller",
    short: names!["rc"],
    categories: names!["all"],
    status: true,
    scale: REPLICAS,
    generation: Generation::Spec,
);

pub(super) const RESOURCE_QUOTA: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "ResourceQuota",
    "resourcequotas",
    "resourcequota",
    short: names!["quota"],
    status: true,
);

pub(super) const SECRET: Kind = kind!(Namespaced, "" / "v1", "io.k8s.api.core", "Secret", "secrets", "secret",);

pub(super) const SERVICE_ACCOUNT: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "ServiceAccount",
    "serviceaccounts",
    "serviceaccount",
    short: names!["sa"],
    others: subresources!["token": "TokenRequest" in "authentication.k8s.io" / "v1" CREATE_ONLY],
);

pub(super) const SERVICE: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "Service",
    "services",
    "service",
    short: names!["svc"],
    categories: names!["all"],
    status: true,
    others: subresources!["proxy": "ServiceProxyOptions" PROXY],
);
