//! Kinds of the group `apps`.

use super::entry::REPLICAS;
use super::{Generation, Kind};

pub(super) const CONTROLLER_REVISION: Kind = kind!(
    Namespaced,
    "apps" / "v1",
    "io.k8s.api.apps",
    "ControllerRevision",
    "controllerrevisions",
    "controllerrevision",
);

pub(super) const DAEMON_SET: Kind = kind!(
    Namespaced,
    "apps" / "v1",
    "io.k8s.api.apps",
    "DaemonSet",
    "daemonsets",
    "daemonset",
    short: names!["ds"],
    categories: names!["all"],
    status: true,
    generation: Generation::Spec,
);

pub(super) const DEPLOYMENT: Kind = kind!(
    Namespaced,
    "apps" / "v1",
    "io.k8s.api.apps",
    "Deployment",
    "deployments",
    "deployment",
    short: names!["deploy"],
    categories: names!["all"],
    status: true,
    scale: REPLICAS,
    generation: Generation::Spec,
);

pub(super) const REPLICA_SET: Kind = kind!(
    Namespaced,
    "apps" / "v1",
    "io.k8s.api.apps",
    "ReplicaSet",
    "replicasets",
    "replicaset",
    short: names!["rs"],
    categories: names!["all"],
    status: true,
    scale: REPLICAS,
    generation: Generation::Spec,
);

pub(super) const STATEFUL_SET: Kind = kind!(
    Namespaced,
    "apps" / "v1",
    "io.k8s.api.apps",
    "StatefulSet",
    "statefulsets",
    "statefulset",
    short: names!["sts"],
    categories: names!["all"],
    status: true,
    scale: REPLICAS,
    generation: Generation::Spec,
);
