//! Events: one stored kind, served in the core group and in `events.k8s.io`, whose fields have other names.
//!
//! Source: pkg/apis/events/v1/conversion.go.

use super::entry::columns::NAME;
use super::{Column, GroupVersion, Kind, NO_RULES, Object, Rules, Served, print};
use jiff::Timestamp;
use serde_json::Value;
use std::borrow::Cow;

pub(super) const EVENT: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "Event",
    "events",
    "event",
    short: names!["ev"],
    served: Cow::Borrowed(&[EVENTS_V1, EVENTS_V1BETA1]),
    columns: Cow::Borrowed(COLUMNS),
    rules: Rules { fields, ..NO_RULES },
);

const EVENTS_V1: Served = Served {
    version: GroupVersion { group: Cow::Borrowed("events.k8s.io"), version: Cow::Borrowed("v1") },
    schema: Cow::Borrowed("io.k8s.api.events.v1.Event"),
    to_stored,
    from_stored,
    warning: Cow::Borrowed(""),
    allows: None,
};

const EVENTS_V1BETA1: Served = Served {
    version: GroupVersion { group: Cow::Borrowed("events.k8s.io"), version: Cow::Borrowed("v1beta1") },
    schema: Cow::Borrowed("io.k8s.api.events.v1beta1.Event"),
    warning: Cow::Borrowed(
        "events.k8s.io/v1beta1 Event is deprecated in v1.19+, unavailable in v1.25+; use events.k8s.io/v1 Event",
    ),
    ..EVENTS_V1
};

/// Names in `events.k8s.io/v1` and in the core group.
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

const COLUMNS: &[Column] = &[
    print::column("Last Seen", "string", "Time since it happened last.", |event, now| last_seen(event, now).into()),
    print::column("Type", "string", "Normal or a warning.", |event, _| print::text(event, &["type"])),
    print::column("Reason", "string", "What happened, in one word.", |event, _| print::text(event, &["reason"])),
    print::column("Object", "string", "What it is about.", |event, _| about(event).into()),
    print::wide("Subobject", "string", "Part that it is about.", |event, _| {
        print::text(event, &["involvedObject", "fieldPath"])
    }),
    print::wide("Source", "string", "Who says so.", |event, _| source(event).into()),
    print::column("Message", "string", "What happened.", |event, _| event.text(&["message"]).trim().into()),
    print::wide("First Seen", "string", "Time since it happened first.", |event, now| first_seen(event, now).into()),
    print::wide("Count", "string", "How often it happened.", |event, _| count(event).into()),
    Column { priority: 1, ..NAME },
];

fn first_seen(event: &Object, now: Timestamp) -> String {
    match event.text(&["firstTimestamp"]) {
        "" => print::since(event.text(&["eventTime"]), now),
        moment => print::since(moment, now),
    }
}

fn last_seen(event: &Object, now: Timestamp) -> String {
    let in_series = event.text(&["series", "lastObservedTime"]);
    match (in_series, event.text(&["lastTimestamp"])) {
        ("", "") => first_seen(event, now),
        ("", moment) | (moment, _) => print::since(moment, now),
    }
}

fn count(event: &Object) -> i64 {
    match event.at(&["series", "count"]).and_then(Value::as_i64) {
        Some(count) => count,
        None => print::number(event, &["count"]).max(1),
    }
}

fn about(event: &Object) -> String {
    let (kind, name) = (event.text(&["involvedObject", "kind"]), event.text(&["involvedObject", "name"]));
    let kind = kind.to_lowercase();
    if name.is_empty() { kind } else { format!("{kind}/{name}") }
}

fn source(event: &Object) -> String {
    let component = match event.text(&["source", "component"]) {
        "" => event.text(&["reportingComponent"]),
        component => component,
    };
    let host = match event.text(&["source", "host"]) {
        "" => event.text(&["reportingInstance"]),
        host => host,
    };
    if host.is_empty() { component.into() } else { format!("{component}, {host}") }
}

/// Both groups' names of the fields, since one object is selected in either.
fn fields(event: &Object) -> Vec<(&'static str, String)> {
    const ABOUT: [(&str, &str, &str); 7] = [
        ("kind", "involvedObject.kind", "regarding.kind"),
        ("namespace", "involvedObject.namespace", "regarding.namespace"),
        ("name", "involvedObject.name", "regarding.name"),
        ("uid", "involvedObject.uid", "regarding.uid"),
        ("apiVersion", "involvedObject.apiVersion", "regarding.apiVersion"),
        ("resourceVersion", "involvedObject.resourceVersion", "regarding.resourceVersion"),
        ("fieldPath", "involvedObject.fieldPath", "regarding.fieldPath"),
    ];
    let mut all = Vec::with_capacity(19);
    for (field, core, new) in ABOUT {
        let value = event.text(&["involvedObject", field]);
        all.push((core, value.to_string()));
        all.push((new, value.to_string()));
    }
    let reporter = event.text(&["reportingComponent"]);
    let component = event.text(&["source", "component"]);
    all.push(("reason", event.text(&["reason"]).into()));
    all.push(("type", event.text(&["type"]).into()));
    all.push(("reportingComponent", reporter.into()));
    all.push(("reportingController", reporter.into()));
    all.push(("source", if component.is_empty() { reporter } else { component }.into()));
    all
}

fn to_stored(event: &mut Object) {
    for (new, core) in RENAMED {
        if let Some(value) = event.0.remove(new) {
            event.0.insert(core.into(), value);
        }
    }
}

fn from_stored(event: &mut Object) {
    for (new, core) in RENAMED {
        if let Some(value) = event.0.remove(core) {
            event.0.insert(new.into(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_of_a_series_was_seen_when_the_series_was() {
        let event = Object::from_value(json!({"eventTime": "2026-01-01T00:00:00.000000Z", "series": {"count": 4,
            "lastObservedTime": "2026-01-01T00:01:00.000000Z"}, "involvedObject": {"kind": "Pod", "name": "a"}}));
        let (event, now) = (event.unwrap(), "2026-01-01T00:01:10Z".parse().unwrap());
        assert_eq!((last_seen(&event, now).as_str(), first_seen(&event, now).as_str()), ("10s", "70s"));
        assert_eq!((count(&event), about(&event).as_str()), (4, "pod/a"));
    }

    #[test]
    fn a_round_trip_through_the_new_group_loses_nothing() {
        let stored = Object::from_value(json!({"involvedObject": {"kind": "Pod"}, "message": "m", "count": 2,
            "source": {"component": "c"}, "reason": "r", "reportingComponent": ""}))
        .unwrap();
        let mut event = stored.clone();
        from_stored(&mut event);
        assert_eq!(event.text(&["note"]), "m");
        assert!(event.at(&["message"]).is_none());
        to_stored(&mut event);
        assert_eq!(event, stored);
    }
}
