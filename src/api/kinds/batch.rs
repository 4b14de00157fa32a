//! Jobs and cron jobs.
//!
//! Source: pkg/apis/batch/v1/defaults.go, pkg/registry/batch/job/strategy.go.

use super::edit::{Fields, child, each, is_absent, missing, object, zero};
use super::entry::columns::{AGE, NAME};
use super::{Column, Generation, Kind, NO_RULES, Object, Rules, old, podspec, print};
use crate::api::validate;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

pub(super) const CRON_JOB: Kind = kind!(
    Namespaced,
    "batch" / "v1",
    "io.k8s.api.batch",
    "CronJob",
    "cronjobs",
    "cronjob",
    served: old::CRON_JOB,
    short: names!["cj"],
    categories: names!["all"],
    status: true,
    generation: Generation::Spec,
    columns: Cow::Borrowed(CRON_COLUMNS),
    rules: Rules {
        validate: validate::batch::cron_job,
        default: default_cron,
        prepare_create: |cron| cron.set(&["status"], Map::new()),
        ..NO_RULES
    },
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
    columns: Cow::Borrowed(JOB_COLUMNS),
    rules: Rules {
        validate: validate::batch::job,
        validate_update: validate::batch::update_job,
        default: default_job,
        prepare_create,
        fields: |job| vec![("status.successful", print::number(job, &["status", "succeeded"]).to_string())],
        ..NO_RULES
    },
);

const JOB_COLUMNS: &[Column] = &[
    NAME,
    print::column("Status", "string", "What it is doing.", |job, _| status(job).into()),
    print::column("Completions", "string", "Pods that succeeded, of those wanted.", |job, _| completions(job).into()),
    print::column("Duration", "string", "Time from start to end, or to now.", |job, now| duration(job, now).into()),
    AGE,
    print::wide("Containers", "string", "Names of the template's containers.", |job, _| {
        print::containers(job.at(&["spec", "template", "spec"]), "name")
    }),
    print::wide("Images", "string", "Images of the template's containers.", |job, _| {
        print::containers(job.at(&["spec", "template", "spec"]), "image")
    }),
    print::wide("Selector", "string", "Labels of its pods.", |job, _| {
        print::selector(job.at(&["spec", "selector"])).into()
    }),
];

const CRON_COLUMNS: &[Column] = &[
    NAME,
    print::column("Schedule", "string", "When it runs.", |cron, _| print::text(cron, &["spec", "schedule"])),
    print::column("Timezone", "string", "Zone of the schedule.", |cron, _| {
        print::text_or_none(cron, &["spec", "timeZone"])
    }),
    print::column("Suspend", "boolean", "Whether it is paused.", |cron, _| match cron.at(&["spec", "suspend"]) {
        Some(Value::Bool(true)) => "True".into(),
        Some(Value::Bool(false)) => "False".into(),
        _ => "<unset>".into(),
    }),
    print::column("Active", "integer", "Jobs that run.", |cron, _| print::count(cron, &["status", "active"]).into()),
    print::column("Last Schedule", "string", "Time since the last job was made.", |cron, now| {
        match cron.text(&["status", "lastScheduleTime"]) {
            "" => print::NONE.into(),
            moment => print::since(moment, now).into(),
        }
    }),
    AGE,
    print::wide("Containers", "string", "Names of the template's containers.", |cron, _| {
        print::containers(cron.at(&["spec", "jobTemplate", "spec", "template", "spec"]), "name")
    }),
    print::wide("Images", "string", "Images of the template's containers.", |cron, _| {
        print::containers(cron.at(&["spec", "jobTemplate", "spec", "template", "spec"]), "image")
    }),
    print::wide("Selector", "string", "Labels of its pods.", |cron, _| {
        print::selector(cron.at(&["spec", "jobTemplate", "spec", "selector"])).into()
    }),
];

fn default_job(job: &mut Object) {
    let labels = job.at(&["spec", "template", "metadata", "labels"]).and_then(Value::as_object).cloned();
    let spec = object(&mut job.0, "spec");
    if is_absent(spec, "completions") && is_absent(spec, "parallelism") {
        spec.insert("completions".into(), 1.into());
    }
    missing(spec, "parallelism", 1);
    let limit = if is_absent(spec, "backoffLimitPerIndex") { 6 } else { i64::from(i32::MAX) };
    missing(spec, "backoffLimit", limit);
    missing(spec, "completionMode", "NonIndexed");
    missing(spec, "suspend", false);
    missing(spec, "manualSelector", false);
    let has_policy = child(spec, "podFailurePolicy").is_some_and(default_failure_policy);
    missing(spec, "podReplacementPolicy", if has_policy { "Failed" } else { "TerminatingOrFailed" });
    podspec::default_template(spec);
    let metadata = object(&mut job.0, "metadata");
    if let (Some(labels), true) = (labels, child(metadata, "labels").is_none_or(|known| known.is_empty())) {
        metadata.insert("labels".into(), Value::Object(labels));
    }
}

/// Always true: the policy is there.
fn default_failure_policy(policy: &mut Fields) -> bool {
    for rule in each(policy, "rules") {
        each(rule, "onPodConditions").for_each(|condition| zero(condition, "status", "True"));
    }
    true
}

fn default_cron(cron: &mut Object) {
    let spec = object(&mut cron.0, "spec");
    zero(spec, "concurrencyPolicy", "Allow");
    missing(spec, "suspend", false);
    missing(spec, "successfulJobsHistoryLimit", 3);
    missing(spec, "failedJobsHistoryLimit", 1);
    podspec::default_template(object(object(spec, "jobTemplate"), "spec"));
}

/// Unless its author chose one, a job's selector is its own uid, so that it never takes pods of another.
fn prepare_create(job: &mut Object) {
    job.set(&["status"], json!({}));
    if print::flag(job, &["spec", "manualSelector"]) {
        return;
    }
    let (uid, name) = (job.uid().to_string(), job.name().to_string());
    let spec = object(&mut job.0, "spec");
    let labels = object(object(object(spec, "template"), "metadata"), "labels");
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("job-name", &name),
    ] {
        labels.insert(key.into(), value.as_str().into());
    }
    let wanted = object(object(spec, "selector"), "matchLabels");
    wanted.insert("batch.kubernetes.io/controller-uid".into(), uid.into());
}

fn status(job: &Object) -> &'static str {
    let holds = |name| print::condition(job, name).is_some_and(|condition| print::field(condition, "status") == "True");
    match () {
        _ if holds("Complete") => "Complete",
        _ if holds("Failed") => "Failed",
        _ if job.is_terminating() => "Terminating",
        _ if holds("Suspended") => "Suspended",
        _ if holds("FailureTarget") => "FailureTarget",
        _ if holds("SuccessCriteriaMet") => "SuccessCriteriaMet",
        _ => "Running",
    }
}

fn completions(job: &Object) -> String {
    let done = print::number(job, &["status", "succeeded"]);
    if let Some(wanted) = job.at(&["spec", "completions"]).and_then(Value::as_i64) {
        return format!("{done}/{wanted}");
    }
    match print::number(job, &["spec", "parallelism"]) {
        parallel if parallel > 1 => format!("{done}/1 of {parallel}"),
        _ => format!("{done}/1"),
    }
}

fn duration(job: &Object, now: Timestamp) -> String {
    let (start, end) = (job.text(&["status", "startTime"]), job.text(&["status", "completionTime"]));
    match (start, end) {
        ("", _) => String::new(),
        (start, "") => print::since(start, now),
        (start, end) => print::seconds_between(start, end).map(print::human_duration).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_selects_its_own_pods_only() {
        let mut job =
            Object::from_value(json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": {}}}}))
                .unwrap();
        prepare_create(&mut job);
        default_job(&mut job);
        assert_eq!(job.text(&["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"]), "u");
        assert_eq!(job.text(&["spec", "template", "metadata", "labels", "job-name"]), "j");
        assert_eq!(job.at(&["spec", "completions"]), Some(&json!(1)));
        assert_eq!(job.at(&["spec", "backoffLimit"]), Some(&json!(6)));
        assert_eq!(completions(&job), "0/1");
        assert_eq!(status(&job), "Running");
    }
}
