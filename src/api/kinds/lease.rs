//! Leases.

use super::entry::columns::{AGE, NAME};
use super::{Column, Kind, NO_RULES, Rules, old, print};
use crate::api::validate;
use std::borrow::Cow;

pub(super) const LEASE: Kind = kind!(
    Namespaced,
    "coordination.k8s.io" / "v1",
    "io.k8s.api.coordination",
    "Lease",
    "leases",
    "lease",
    served: old::LEASE,
    columns: Cow::Borrowed(COLUMNS),
    rules: Rules { validate: validate::misc::lease, ..NO_RULES },
);

const COLUMNS: &[Column] = &[
    NAME,
    print::column("Holder", "string", "Who holds it.", |lease, _| print::text(lease, &["spec", "holderIdentity"])),
    AGE,
];
