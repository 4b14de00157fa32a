//! Priority classes.

use super::edit::missing;
use super::entry::columns::{AGE, NAME};
use super::{Column, Kind, NO_RULES, Rules, old, print};
use crate::api::validate;
use std::borrow::Cow;

pub(super) const PRIORITY_CLASS: Kind = kind!(
    Cluster,
    "scheduling.k8s.io" / "v1",
    "io.k8s.api.scheduling",
    "PriorityClass",
    "priorityclasses",
    "priorityclass",
    served: old::PRIORITY_CLASS,
    short: names!["pc"],
    columns: Cow::Borrowed(COLUMNS),
    rules: Rules {
        validate: validate::misc::priority_class,
        validate_update: validate::misc::update_priority_class,
        default: |class| missing(&mut class.0, "preemptionPolicy", "PreemptLowerPriority"),
        ..NO_RULES
    },
);

const COLUMNS: &[Column] = &[
    NAME,
    print::column("Value", "integer", "Higher goes first.", |class, _| print::number(class, &["value"]).into()),
    print::column("Global-Default", "boolean", "Whether pods without a class get it.", |class, _| {
        print::flag(class, &["globalDefault"]).into()
    }),
    AGE,
    print::column("PreemptionPolicy", "string", "Whether it pushes out others.", |class, _| {
        print::text(class, &["preemptionPolicy"])
    }),
];
