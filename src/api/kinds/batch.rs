//! Kinds of the group `batch`.

use super::{Generation, Kind};

pub(super) const CRON_JOB: Kind = kind!(
    Namespaced,
    "batch" / "v1",
    "io.k8s.api.batch",
    "CronJob",
    "cronjobs",
    "cronjob",
    short: names!["cj"],
    categories: names!["all"],
    status: true,
    generation: Generation::Spec,
);

pub(super) const JOB: Kind = kind!(
    Namespaced,
    "batch" / "v1",
    "io.k8s.api.batch",
    "Job",
    "jobs",
    "job",
    categories: names!["all"],
    status: true,
    generation: Generation::Spec,
);
