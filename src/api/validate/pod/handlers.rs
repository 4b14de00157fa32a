//! Probes and lifecycle hooks.

use crate::api::names;
use crate::api::validate::{At, Causes};
use serde_json::Value;

/// Both hooks of a container.
pub fn lifecycle(at: &At<'_>, causes: &mut Causes) {
    for hook in ["postStart", "preStop"] {
        let hook = at.at(hook);
        if !hook.is_missing() {
            handler(&hook, &["exec", "httpGet", "tcpSocket", "sleep"], causes);
        }
    }
}

/// All probes of a container.
pub fn probes(container: &At<'_>, causes: &mut Causes) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.at(name);
        if probe.is_missing() {
            continue;
        }
        handler(&probe, &["exec", "httpGet", "tcpSocket", "grpc"], causes);
        let numbers =
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
        for field in numbers {
            causes.not_negative(&probe.at(field));
        }
        let grace = probe.at("terminationGracePeriodSeconds");
        if name == "readinessProbe" {
            if !grace.is_missing() {
                causes.invalid(&grace, "must not be set for readinessProbes");
            }
        } else if grace.number().is_some_and(|seconds| seconds <= 0) {
            causes.invalid(&grace, "must be greater than 0");
        }
        let successes = probe.at("successThreshold");
        if name != "readinessProbe" && successes.number().is_some_and(|number| number != 1) {
            causes.invalid(&successes, "must be 1");
        }
    }
}

fn handler(at: &At<'_>, kinds: &[&str], causes: &mut Causes) {
    let mut has_one = false;
    for kind in kinds {
        let own = at.at(kind);
        if own.is_missing() {
            continue;
        }
        if has_one {
            causes.forbidden(&own, "may not specify more than 1 handler type");
            continue;
        }
        has_one = true;
        match *kind {
            "exec" if own.at("command").is_empty() => causes.required(&own.at("command"), ""),
            "httpGet" => http_get(&own, causes),
            "tcpSocket" => port(&own.at("port"), causes),
            "grpc" => causes.each(&own.at("port"), names::port_number(own.at("port").number().unwrap_or(0))),
            "sleep" => causes.not_negative(&own.at("seconds")),
            _ => {}
        }
    }
    if !has_one {
        causes.required(at, "must specify a handler type");
    }
}

fn http_get(at: &At<'_>, causes: &mut Causes) {
    if at.at("path").is_empty() {
        causes.required(&at.at("path"), "");
    }
    port(&at.at("port"), causes);
    if !matches!(at.at("scheme").text(), "HTTP" | "HTTPS") {
        causes.unsupported(&at.at("scheme"), &["HTTP", "HTTPS"]);
    }
    for header in at.at("httpHeaders").items() {
        let name = header.at("name");
        for wrong in names::http_header(name.text()) {
            causes.invalid_as(&at.at("httpHeaders"), &name.text().into(), &wrong);
        }
    }
}

/// A port by number or name.
pub fn port(at: &At<'_>, causes: &mut Causes) {
    match at.value() {
        Value::String(name) => causes.each(at, names::port_name(name)),
        other => {
            let number = other.as_i64().unwrap_or(0);
            for wrong in names::port_number(number) {
                causes.invalid_as(at, &number.into(), &wrong);
            }
        }
    }
}
