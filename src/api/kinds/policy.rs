//! Pod disruption budgets.

use super::entry::columns::{AGE, NAME};
use super::{Column, Generation, Kind, NO_RULES, Object, Rules, old, print};
use crate::api::validate;
use serde_json::{Value, json};
use std::borrow::Cow;

pub(super) const POD_DISRUPTION_BUDGET: Kind = kind!(
    Namespaced,
    "policy" / "v1",
    "io.k8s.api.policy",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    "poddisruptionbudget",
    served: old::POD_DISRUPTION_BUDGET,
    short: names!["pdb"],
    status: true,
    generation: Generation::Spec,
    columns: Cow::Borrowed(COLUMNS),
    rules: Rules {
        validate: validate::autoscaling::budget,
        prepare_create: |budget| {
            let zero = json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
            budget.set(&["status"], zero);
        },
        ..NO_RULES
    },
);

const COLUMNS: &[Column] = &[
    NAME,
    print::column("Min Available", "string", "Pods that must stay.", |budget, _| bound(budget, "minAvailable")),
    print::column("Max Unavailable", "string", "Pods that may be missing.", |budget, _| {
        bound(budget, "maxUnavailable")
    }),
    print::column("Allowed Disruptions", "integer", "Pods that may be evicted now.", |budget, _| {
        print::number(budget, &["status", "disruptionsAllowed"]).into()
    }),
    AGE,
];

fn bound(budget: &Object, field: &str) -> Value {
    print::number_or_percent(budget.at(&["spec", field])).unwrap_or_else(|| "N/A".into()).into()
}
