//! Jobs and cron jobs.
//!
//! Source: pkg/apis/batch/validation/validation.go.

use super::causes::{At, Causes, collect, same};
use super::{labels, pod};
use crate::api::{Cause, Object};
use serde_json::Value;

/// What is wrong with a Job.
pub fn job(job: &Object) -> Vec<Cause> {
    collect(|causes| job_spec(&At::top(job, "spec"), causes))
}

fn job_spec(spec: &At<'_>, causes: &mut Causes) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
        "ttlSecondsAfterFinished",
    ] {
        causes.not_negative(&spec.at(field));
    }
    labels::selector(&spec.at("selector"), causes);
    let mode = spec.at("completionMode");
    causes.optional_of(&mode, &["NonIndexed", "Indexed"]);
    if mode.text() == "Indexed" && spec.at("completions").is_missing() {
        causes.required(&spec.at("completions"), "when completion mode is Indexed");
    }
    if mode.text() != "Indexed" {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if !spec.at(field).is_missing() {
                causes.invalid(&spec.at(field), "requires indexed completion mode");
            }
        }
    }
    causes.optional_of(&spec.at("podReplacementPolicy"), &["Failed", "TerminatingOrFailed"]);
    failure_policy(spec, causes);
    let template = spec.at("template");
    let pod = template.at("spec");
    pod::template(&template, causes);
    let policy = pod.at("restartPolicy");
    match policy.text() {
        "Always" | "" => causes.required(&policy, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if !spec.at("podFailurePolicy").is_missing() => {
            causes.invalid(&policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        _ => causes.unsupported(&policy, &["OnFailure", "Never"]),
    }
}

fn failure_policy(spec: &At<'_>, causes: &mut Causes) {
    let policy = spec.at("podFailurePolicy");
    for rule in policy.at("rules").items() {
        let action = rule.at("action");
        causes.one_of(&action, &["Count", "FailIndex", "FailJob", "Ignore"]);
        let (codes, conditions) = (rule.at("onExitCodes"), rule.at("onPodConditions"));
        if codes.is_missing() && conditions.is_empty() {
            causes.invalid(&rule, "specifying one of OnExitCodes and OnPodConditions is required");
        }
        if !codes.is_missing() {
            causes.one_of(&codes.at("operator"), &["In", "NotIn"]);
            let values = codes.at("values");
            if values.is_empty() {
                causes.invalid(&values, "at least one value is required");
            }
        }
    }
}

/// What of a job stays once it is made.
pub fn update_job(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        let (spec, before) = (At::top(new, "spec"), At::top(old, "spec"));
        let is_elastic = spec.at("completionMode").text() == "Indexed"
            && spec.at("completions").value() == spec.at("parallelism").value();
        if !is_elastic {
            causes.immutable(&spec.at("completions"), &before.at("completions"));
        }
        causes.immutable(&spec.at("selector"), &before.at("selector"));
        let was_paused = before.at("suspend").is_true() && old.text(&["status", "startTime"]).is_empty();
        let (template, mut masked) = (spec.at("template"), spec.at("template").value().clone());
        if was_paused {
            pausable(&mut masked, before.at("template").value());
        }
        if !same(&masked, before.at("template").value()) {
            causes.invalid(&template, "field is immutable");
        }
        for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
            causes.immutable(&spec.at(field), &before.at(field));
        }
    })
}

/// Puts back what may change in the template of a job that has not begun.
fn pausable(template: &mut Value, old: &Value) {
    for field in ["nodeSelector", "tolerations", "affinity", "schedulingGates"] {
        template["spec"][field] = old["spec"][field].clone();
    }
    for field in ["annotations", "labels"] {
        template["metadata"][field] = old["metadata"][field].clone();
    }
}

/// What is wrong with a CronJob.
pub fn cron_job(cron: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(cron, "spec");
        let schedule = spec.at("schedule");
        if schedule.is_empty() {
            causes.required(&schedule, "");
        } else if schedule.text().contains("TZ") {
            causes.invalid(&schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        } else if let Some(why) = wrong_schedule(schedule.text()) {
            causes.invalid(&schedule, &why);
        }
        let zone = spec.at("timeZone");
        if !zone.is_missing() && jiff::tz::TimeZone::get(zone.text()).is_err() {
            causes.invalid(&zone, &format!("unknown time zone {}", zone.text()));
        }
        causes.one_of(&spec.at("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
        for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
            causes.not_negative(&spec.at(field));
        }
        let template = spec.at("jobTemplate");
        job_spec(&template.at("spec"), causes);
    })
}

/// Least and greatest of each field, and names that stand for numbers.
const FIELDS: &[(u32, u32, &[&str])] = &[
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

fn wrong_schedule(text: &str) -> Option<String> {
    if let Some(word) = text.strip_prefix('@') {
        let known = ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"];
        let is_known = known.contains(&word) || word.starts_with("every ");
        return (!is_known).then(|| format!("unrecognized descriptor: {text}"));
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 5 {
        let shown = fields.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        return Some(format!("expected exactly 5 fields, found {}: [{shown}]", fields.len()));
    }
    fields.iter().zip(FIELDS).find_map(|(field, bounds)| field.split(',').find_map(|part| wrong_part(part, bounds)))
}

fn wrong_part(part: &str, (least, most, names): &(u32, u32, &[&str])) -> Option<String> {
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    if let Some(step) = step
        && step.parse::<u32>().ok().filter(|step| *step > 0).is_none()
    {
        return Some(format!("step of range should be a positive number: {part}"));
    }
    if matches!(range, "*" | "?") {
        return None;
    }
    let number = |word: &str| {
        let lower = word.to_lowercase();
        let named = names.iter().position(|name| *name == lower).map(|index| index as u32 + least);
        named.or_else(|| word.parse().ok())
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (number(first), number(last)) {
        (None, _) => {
            Some(format!("failed to parse int from {first}: strconv.Atoi: parsing \"{first}\": invalid syntax"))
        }
        (_, None) => Some(format!("failed to parse int from {last}: strconv.Atoi: parsing \"{last}\": invalid syntax")),
        (Some(first), _) if first < *least => {
            Some(format!("beginning of range ({first}) below minimum ({least}): {part}"))
        }
        (_, Some(last)) if last > *most => Some(format!("end of range ({last}) above maximum ({most}): {part}")),
        (Some(first), Some(last)) if first > last => {
            Some(format!("beginning of range ({first}) beyond end of range ({last}): {part}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read() {
        for fine in ["* * * * *", "*/5 0-6 1,15 jan mon-fri", "@hourly", "0 0 ? * 0"] {
            assert_eq!(wrong_schedule(fine), None, "{fine}");
        }
        assert_eq!(wrong_schedule("* * *").unwrap(), "expected exactly 5 fields, found 3: [* * *]");
        assert_eq!(wrong_schedule("61 * * * *").unwrap(), "end of range (61) above maximum (59): 61");
        assert!(wrong_schedule("@never").is_some() && wrong_schedule("x * * * *").is_some());
    }
}
