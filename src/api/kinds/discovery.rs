//! Kinds of the groups `coordination.k8s.io` and `discovery.k8s.io`.

use super::{Generation, Kind};

pub(super) const LEASE: Kind =
    kind!(Namespaced, "coordination.k8s.io" / "v1", "io.k8s.api.coordination", "Lease", "leases", "lease",);

pub(super) const ENDPOINT_SLICE: Kind = kind!(
    Namespaced,
    "discovery.k8s.io" / "v1",
    "io.k8s.api.discovery",
    "EndpointSlice",
    "endpointslices",
    "endpointslice",
    generation: Generation::Body,
);
