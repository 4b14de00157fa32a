//! Kinds of the group `flowcontrol.apiserver.k8s.io`.

use super::{Generation, Kind};

pub(super) const FLOW_SCHEMA: Kind = kind!(
    Cluster,
    "flowcontrol.apiserver.k8s.io" / "v1",
    "io.k8s.api.flowcontrol",
    "FlowSchema",
    "flowschemas",
    "flowschema",
    status: true,
    generation: Generation::Spec,
);

pub(super) const PRIORITY_LEVEL_CONFIGURATION: Kind = kind!(
    Cluster,
    "flowcontrol.apiserver.k8s.io" / "v1",
    "io.k8s.api.flowcontrol",
    "PriorityLevelConfiguration",
    "prioritylevelconfigurations",
    "prioritylevelconfiguration",
    status: true,
    generation: Generation::Spec,
);
