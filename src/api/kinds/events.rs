//! Events: one stored kind, served in the core group and in `events.k8s.io`, whose fields have other names.
//!
//! Source: pkg/apis/events/v1/conversion.go.

use super::{GroupVersion, Kind, Object, Served};
use std::borrow::Cow;

pub(super) const EVENT: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "Event",
    "events",
    "event",
    short: names!["ev"],
    served: Cow::Borrowed(&[EVENTS_V1]),
);

const EVENTS_V1: Served = Served {
    version: GroupVersion { group: Cow::Borrowed("events.k8s.io"), version: Cow::Borrowed("v1") },
    schema: Cow::Borrowed("io.k8s.api.events.v1.Event"),
    to_stored,
    from_stored,
    warning: Cow::Borrowed(""),
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
