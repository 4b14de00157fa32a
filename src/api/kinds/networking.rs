//! Kinds of the group `networking.k8s.io`.

use super::{Generation, Kind};

pub(super) const INGRESS: Kind = kind!(
    Namespaced,
    "networking.k8s.io" / "v1",
    "io.k8s.api.networking",
    "Ingress",
    "ingresses",
    "ingress",
    short: names!["ing"],
    status: true,
    generation: Generation::Spec,
);

pub(super) const INGRESS_CLASS: Kind = kind!(
    Cluster,
    "networking.k8s.io" / "v1",
    "io.k8s.api.networking",
    "IngressClass",
    "ingressclasses",
    "ingressclass",
    generation: Generation::Spec,
);

pub(super) const IP_ADDRESS: Kind = kind!(
    Cluster,
    "networking.k8s.io" / "v1",
    "io.k8s.api.networking",
    "IPAddress",
    "ipaddresses",
    "ipaddress",
    short: names!["ip"],
);

pub(super) const NETWORK_POLICY: Kind = kind!(
    Namespaced,
    "networking.k8s.io" / "v1",
    "io.k8s.api.networking",
    "NetworkPolicy",
    "networkpolicies",
    "networkpolicy",
    short: names!["netpol"],
    generation: Generation::Spec,
);

pub(super) const SERVICE_CIDR: Kind = kind!(
    Cluster,
    "networking.k8s.io" / "v1",
    "io.k8s.api.networking",
    "ServiceCIDR",
    "servicecidrs",
    "servicecidr",
    status: true,
);
