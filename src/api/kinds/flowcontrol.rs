//! Kinds of the group `flowcontrol.apiserver.k8s.io`.
//!
//! Source: pkg/apis/flowcontrol/v1/defaults.go.

use super::edit::{child, missing, object, text, zero};
use super::entry::columns::{AGE, NAME};
use super::{Column, Generation, Kind, NO_RULES, Object, Rules, old, print};
use serde_json::{Map, Value};
use std::borrow::Cow;

pub(super) const FLOW_SCHEMA: Kind = kind!(
    Cluster,
    "flowcontrol.apiserver.k8s.io" / "v1",
    "io.k8s.api.flowcontrol",
    "FlowSchema",
    "flowschemas",
    "flowschema",
    served: old::FLOW_SCHEMA,
    status: true,
    generation: Generation::Spec,
    columns: Cow::Borrowed(FLOW_COLUMNS),
    rules: Rules { default: default_flow, prepare_create: empty_status, ..NO_RULES },
);

pub(super) const PRIORITY_LEVEL_CONFIGURATION: Kind = kind!(
    Cluster,
    "flowcontrol.apiserver.k8s.io" / "v1",
    "io.k8s.api.flowcontrol",
    "PriorityLevelConfiguration",
    "prioritylevelconfigurations",
    "prioritylevelconfiguration",
    served: old::PRIORITY_LEVEL_CONFIGURATION,
    status: true,
    generation: Generation::Spec,
    columns: Cow::Borrowed(LEVEL_COLUMNS),
    rules: Rules { default: default_level, prepare_create: empty_status, ..NO_RULES },
);

const FLOW_COLUMNS: &[Column] = &[
    NAME,
    print::column("PriorityLevel", "string", "Level of its requests.", |flow, _| {
        print::text(flow, &["spec", "priorityLevelConfiguration", "name"])
    }),
    print::column("MatchingPrecedence", "string", "Lower is asked first.", |flow, _| {
        print::number(flow, &["spec", "matchingPrecedence"]).into()
    }),
    print::column("DistinguisherMethod", "string", "What tells flows apart.", |flow, _| {
        print::text_or_none(flow, &["spec", "distinguisherMethod", "type"])
    }),
    AGE,
    print::column("MissingPL", "string", "Whether the level does not exist.", |flow, _| {
        match print::condition(flow, "Dangling").map_or("", |dangling| print::field(dangling, "status")) {
            "" => "?".into(),
            status => status.into(),
        }
    }),
];

const LEVEL_COLUMNS: &[Column] = &[
    NAME,
    print::column("Type", "string", "Whether it is limited.", |level, _| print::text(level, &["spec", "type"])),
    print::column("NominalConcurrencyShares", "string", "Its share of requests at once.", |level, _| {
        let of = if level.text(&["spec", "type"]) == "Exempt" { "exempt" } else { "limited" };
        amount(level, &["spec", of, "nominalConcurrencyShares"])
    }),
    print::column("Queues", "string", "Number of queues.", |level, _| queuing(level, "queues")),
    print::column("HandSize", "string", "Queues dealt to a flow.", |level, _| queuing(level, "handSize")),
    print::column("QueueLengthLimit", "string", "Requests in a queue.", |level, _| queuing(level, "queueLengthLimit")),
    AGE,
];

fn empty_status(of: &mut Object) {
    of.set(&["status"], Map::new());
}

fn default_flow(flow: &mut Object) {
    zero(object(&mut flow.0, "spec"), "matchingPrecedence", 1000);
}

fn default_level(level: &mut Object) {
    let spec = object(&mut level.0, "spec");
    if text(spec, "type") == "Exempt" {
        let exempt = object(spec, "exempt");
        missing(exempt, "nominalConcurrencyShares", 0);
        missing(exempt, "lendablePercent", 0);
    }
    let Some(limited) = child(spec, "limited") else { return };
    missing(limited, "nominalConcurrencyShares", 30);
    missing(limited, "lendablePercent", 0);
    let response = object(limited, "limitResponse");
    if let Some(queuing) = child(response, "queuing") {
        zero(queuing, "queues", 64);
        zero(queuing, "handSize", 8);
        zero(queuing, "queueLengthLimit", 50);
    }
}

fn queuing(level: &Object, field: &str) -> Value {
    amount(level, &["spec", "limited", "limitResponse", "queuing", field])
}

fn amount(level: &Object, path: &[&str]) -> Value {
    level.at(path).filter(|value| value.is_number()).cloned().unwrap_or_else(|| print::NONE.into())
}
