//! Kinds of the groups `apiextensions.k8s.io` and `apiregistration.k8s.io`.
//!
//! Source: k8s.io/apiextensions-apiserver `pkg/apis/apiextensions/v1/defaults.go` and
//! `pkg/registry/customresourcedefinition/strategy.go`.

use super::edit::{child, missing, object, text, zero};
use super::entry::columns::{AGE, NAME};
use super::{Column, Generation, Kind, NO_RULES, Object, Rules, old, print};
use crate::api::custom::definition;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

pub(super) const CUSTOM_RESOURCE_DEFINITION: Kind = kind!(
    Cluster,
    "apiextensions.k8s.io" / "v1",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "customresourcedefinition",
    served: old::CUSTOM_RESOURCE_DEFINITION,
    short: names!["crd", "crds"],
    categories: names!["api-extensions"],
    status: true,
    generation: Generation::Spec,
    columns: Cow::Borrowed(DEFINITION_COLUMNS),
    rules: Rules {
        default: default_definition,
        prepare_create: prepare_definition,
        prepare_update: definition::prepare_update,
        prepare_delete: definition::prepare_delete,
        validate: definition::validate,
        validate_update: definition::validate_update,
        ..NO_RULES
    },
);

pub(super) const API_SERVICE: Kind = kind!(
    Cluster,
    "apiregistration.k8s.io" / "v1",
    "io.k8s.kube-aggregator.pkg.apis.apiregistration",
    "APIService",
    "apiservices",
    "apiservice",
    served: old::API_SERVICE,
    categories: names!["api-extensions"],
    status: true,
    columns: Cow::Borrowed(SERVICE_COLUMNS),
    rules: Rules { default: default_service, prepare_create: prepare_service, ..NO_RULES },
);

const DEFINITION_COLUMNS: &[Column] = &[
    NAME,
    print::column("Created At", "date", "When it was made.", |definition, _| {
        print::text(definition, &["metadata", "creationTimestamp"])
    }),
];

const SERVICE_COLUMNS: &[Column] = &[
    NAME,
    print::column("Service", "string", "Who answers.", |service, _| {
        match service.at(&["spec", "service"]).filter(|value| value.is_object()) {
            Some(by) => format!("{}/{}", print::field(by, "namespace"), print::field(by, "name")).into(),
            None => "Local".into(),
        }
    }),
    print::column("Available", "string", "Whether it answers.", |service, _| available(service).into()),
    AGE,
];

fn default_definition(definition: &mut Object) {
    let spec = object(&mut definition.0, "spec");
    let names = object(spec, "names");
    let kind = text(names, "kind").to_string();
    if !kind.is_empty() {
        zero(names, "singular", kind.to_lowercase());
        zero(names, "listKind", format!("{kind}List"));
    }
    let conversion = object(spec, "conversion");
    zero(conversion, "strategy", "None");
    let service = child(conversion, "webhook")
        .and_then(|webhook| child(webhook, "clientConfig"))
        .and_then(|config| child(config, "service"));
    if let Some(service) = service {
        missing(service, "port", 443);
    }
}

/// The version that objects are stored in is known from the start; names are accepted by a controller.
fn prepare_definition(definition: &mut Object) {
    let stored: Vec<Value> = print::list(definition, &["spec", "versions"])
        .iter()
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .collect();
    let status = json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": [], "storedVersions": stored});
    definition.set(&["status"], status);
}

fn default_service(service: &mut Object) {
    if let Some(by) = child(object(&mut service.0, "spec"), "service") {
        missing(by, "port", 443);
    }
}

/// A service without a reference is answered by this server.
fn prepare_service(service: &mut Object) {
    service.set(&["status"], Map::new());
    if service.at(&["spec", "service"]).is_none_or(Value::is_null) {
        let now = service.text(&["metadata", "creationTimestamp"]).to_string();
        service.set(
            &["status", "conditions"],
            json!([{"type": "Available", "status": "True", "lastTransitionTime": now, "reason": "Local",
                "message": "Local APIServices are always available"}]),
        );
    }
}

fn available(service: &Object) -> String {
    let Some(condition) = print::condition(service, "Available") else { return "Unknown".into() };
    let (status, reason) = (print::field(condition, "status"), print::field(condition, "reason"));
    if status == "True" || reason.is_empty() { status.into() } else { format!("{status} ({reason})") }
}
