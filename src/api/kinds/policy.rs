//! Kinds of the group `policy`.

use super::{Generation, Kind};

pub(super) const POD_DISRUPTION_BUDGET: Kind = kind!(
    Namespaced,
    "policy" / "v1",
    "io.k8s.api.policy",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    "poddisruptionbudget",
    short: names!["pdb"],
    status: true,
    generation: Generation::Spec,
);
