//! Kinds of the group `certificates.k8s.io`.

use super::{Kind, PART_VERBS};

pub(super) const CERTIFICATE_SIGNING_REQUEST: Kind = kind!(
    Cluster,
    "certificates.k8s.io" / "v1",
    "io.k8s.api.certificates",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    "certificatesigningrequest",
    short: names!["csr"],
    status: true,
    others: subresources!["approval": "CertificateSigningRequest" PART_VERBS],
);
