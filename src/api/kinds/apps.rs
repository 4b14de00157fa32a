//! Workloads that keep pods of one template: the group `apps`, and replication controllers.
//!
//! Source: pkg/apis/apps/v1/defaults.go, pkg/printers/internalversion/printers.go.

use super::edit::{Fields, child, each, is_absent, missing, object, text, zero};
use super::entry::REPLICAS;
use super::entry::columns::{AGE, NAME};
use super::{Column, Generation, Kind, NO_RULES, Object, Rules, old, podspec, print};
use crate::api::validate;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

pub(super) const CONTROLLER_REVISION: Kind = kind!(
    Namespaced,
    "apps" / "v1",
    "io.k8s.api.apps",
    "ControllerRevision",
    "controllerrevisions",
    "controllerrevision",
    served: old::CONTROLLER_REVISION,
    columns: Cow::Borrowed(REVISION_COLUMNS),
    rules: Rules { validate_update: validate::workloads::update_revision, ..NO_RULES },
);

pub(super) const DAEMON_SET: Kind = kind!(
    Namespaced,
    "apps" / "v1",
    "io.k8s.api.apps",
    "DaemonSet",
    "daemonsets",
    "daemonset",
    served: old::DAEMON_SET,
    short: names!["ds"],
    categories: names!["all"],
    status: true,
    generation: Generation::Spec,
    columns: Cow::Borrowed(DAEMON_COLUMNS),
    rules: Rules {
        validate: validate::workloads::daemon_set,
        validate_update: validate::workloads::update,
        default: default_daemon,
        prepare_create: empty_status,
        ..NO_RULES
    },
);

pub(super) const DEPLOYMENT: Kind = kind!(
    Namespaced,
    "apps" / "v1",
    "io.k8s.api.apps",
    "Deployment",
    "deployments",
    "deployment",
    served: old::DEPLOYMENT,
    short: names!["deploy"],
    categories: names!["all"],
    status: true,
    scale: REPLICAS,
    generation: Generation::Spec,
    columns: Cow::Borrowed(DEPLOYMENT_COLUMNS),
    rules: Rules {
        validate: validate::workloads::deployment,
        validate_update: validate::workloads::update,
        default: default_deployment,
        prepare_create: empty_status,
        ..NO_RULES
    },
);

pub(super) const REPLICA_SET: Kind = kind!(
    Namespaced,
    "apps" / "v1",
    "io.k8s.api.apps",
    "ReplicaSet",
    "replicasets",
    "replicaset",
    served: old::REPLICA_SET,
    short: names!["rs"],
    categories: names!["all"],
    status: true,
    scale: REPLICAS,
    generation: Generation::Spec,
    columns: Cow::Borrowed(REPLICA_COLUMNS),
    rules: Rules {
        validate: validate::workloads::replica_set,
        validate_update: validate::workloads::update,
        default: default_replicas,
        prepare_create: no_replicas_yet,
        fields: replica_fields,
        ..NO_RULES
    },
);

pub(super) const REPLICATION_CONTROLLER: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "ReplicationController",
    "replicationcontrollers",
    "replicationcontroller",
    short: names!["rc"],
    categories: names!["all"],
    status: true,
    scale: REPLICAS,
    generation: Generation::Spec,
    columns: Cow::Borrowed(REPLICA_COLUMNS),
    rules: Rules {
        validate: validate::workloads::replication_controller,
        default: default_controller,
        prepare_create: no_replicas_yet,
        fields: replica_fields,
        ..NO_RULES
    },
);

pub(super) const STATEFUL_SET: Kind = kind!(
    Namespaced,
    "apps" / "v1",
    "io.k8s.api.apps",
    "StatefulSet",
    "statefulsets",
    "statefulset",
    served: old::STATEFUL_SET,
    short: names!["sts"],
    categories: names!["all"],
    status: true,
    scale: REPLICAS,
    generation: Generation::Spec,
    columns: Cow::Borrowed(STATEFUL_COLUMNS),
    rules: Rules {
        validate: validate::workloads::stateful_set,
        validate_update: validate::workloads::update_stateful_set,
        default: default_stateful,
        prepare_create: prepare_stateful,
        ..NO_RULES
    },
);

const REVISION_COLUMNS: &[Column] = &[
    NAME,
    print::column("Controller", "string", "What it is a revision of.", |revision, _| controller(revision)),
    print::column("Revision", "string", "Its number.", |revision, _| print::number(revision, &["revision"]).into()),
    AGE,
];

const CONTAINERS: Column = print::wide("Containers", "string", "Names of the template's containers.", |workload, _| {
    print::containers(workload.at(&["spec", "template", "spec"]), "name")
});
const IMAGES: Column = print::wide("Images", "string", "Images of the template's containers.", |workload, _| {
    print::containers(workload.at(&["spec", "template", "spec"]), "image")
});
const SELECTOR: Column = print::wide("Selector", "string", "Labels of its pods.", |workload, _| selector(workload));

const DEPLOYMENT_COLUMNS: &[Column] = &[
    NAME,
    print::column("Ready", "string", "Ready pods of wanted pods.", |workload, _| ready_of_wanted(workload)),
    print::column("Up-to-date", "string", "Pods of the newest template.", |workload, _| {
        print::number(workload, &["status", "updatedReplicas"]).into()
    }),
    print::column("Available", "string", "Pods that have been ready for long enough.", |workload, _| {
        print::number(workload, &["status", "availableReplicas"]).into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const REPLICA_COLUMNS: &[Column] = &[
    NAME,
    print::column("Desired", "integer", "Wanted pods.", |workload, _| {
        print::number(workload, &["spec", "replicas"]).into()
    }),
    print::column("Current", "integer", "Pods that are there.", |workload, _| {
        print::number(workload, &["status", "replicas"]).into()
    }),
    print::column("Ready", "integer", "Pods that are ready.", |workload, _| {
        print::number(workload, &["status", "readyReplicas"]).into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const DAEMON_COLUMNS: &[Column] = &[
    NAME,
    print::column("Desired", "integer", "Nodes that should have a pod.", |set, _| {
        print::number(set, &["status", "desiredNumberScheduled"]).into()
    }),
    print::column("Current", "integer", "Nodes that have a pod.", |set, _| {
        print::number(set, &["status", "currentNumberScheduled"]).into()
    }),
    print::column("Ready", "integer", "Pods that are ready.", |set, _| {
        print::number(set, &["status", "numberReady"]).into()
    }),
    print::column("Up-to-date", "integer", "Pods of the newest template.", |set, _| {
        print::number(set, &["status", "updatedNumberScheduled"]).into()
    }),
    print::column("Available", "integer", "Pods that have been ready for long enough.", |set, _| {
        print::number(set, &["status", "numberAvailable"]).into()
    }),
    print::column("Node Selector", "string", "Labels of its nodes.", |set, _| {
        print::labels(set.at(&["spec", "template", "spec", "nodeSelector"]).and_then(Value::as_object)).into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const STATEFUL_COLUMNS: &[Column] = &[
    NAME,
    print::column("Ready", "string", "Ready pods of wanted pods.", |workload, _| ready_of_wanted(workload)),
    AGE,
    CONTAINERS,
    IMAGES,
];

fn default_deployment(deployment: &mut Object) {
    let spec = object(&mut deployment.0, "spec");
    missing(spec, "replicas", 1);
    missing(spec, "revisionHistoryLimit", 10);
    missing(spec, "progressDeadlineSeconds", 600);
    let strategy = object(spec, "strategy");
    zero(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = object(strategy, "rollingUpdate");
        missing(rolling, "maxUnavailable", "25%");
        missing(rolling, "maxSurge", "25%");
    }
    podspec::default_template(spec);
}

fn default_daemon(set: &mut Object) {
    let spec = object(&mut set.0, "spec");
    missing(spec, "revisionHistoryLimit", 10);
    let strategy = object(spec, "updateStrategy");
    zero(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = object(strategy, "rollingUpdate");
        missing(rolling, "maxUnavailable", 1);
        missing(rolling, "maxSurge", 0);
    }
    podspec::default_template(spec);
}

fn default_stateful(set: &mut Object) {
    let spec = object(&mut set.0, "spec");
    zero(spec, "podManagementPolicy", "OrderedReady");
    missing(spec, "replicas", 1);
    missing(spec, "revisionHistoryLimit", 10);
    let retention = object(spec, "persistentVolumeClaimRetentionPolicy");
    zero(retention, "whenDeleted", "Retain");
    zero(retention, "whenScaled", "Retain");
    let strategy = object(spec, "updateStrategy");
    let is_new = text(strategy, "type").is_empty();
    zero(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" && (is_new || !is_absent(strategy, "rollingUpdate")) {
        missing(object(strategy, "rollingUpdate"), "partition", 0);
    }
    for claim in each(spec, "volumeClaimTemplates") {
        zero(claim, "apiVersion", "v1");
        zero(claim, "kind", "PersistentVolumeClaim");
        missing(object(claim, "spec"), "volumeMode", "Filesystem");
        zero(object(claim, "status"), "phase", "Pending");
    }
    podspec::default_template(spec);
}

fn default_replicas(set: &mut Object) {
    let spec = object(&mut set.0, "spec");
    missing(spec, "replicas", 1);
    podspec::default_template(spec);
}

/// A controller without selector or labels takes those of its template.
fn default_controller(controller: &mut Object) {
    let template = controller.at(&["spec", "template", "metadata", "labels"]).and_then(Value::as_object).cloned();
    if let Some(labels) = template.filter(|labels| !labels.is_empty()) {
        let take = |map: &mut Fields, field: &str| {
            if child(map, field).is_none_or(|known| known.is_empty()) {
                map.insert(field.into(), Value::Object(labels.clone()));
            }
        };
        take(object(&mut controller.0, "spec"), "selector");
        take(object(&mut controller.0, "metadata"), "labels");
    }
    default_replicas(controller);
}

fn empty_status(workload: &mut Object) {
    workload.set(&["status"], Map::new());
}

fn no_replicas_yet(workload: &mut Object) {
    workload.set(&["status"], json!({"replicas": 0}));
}

fn prepare_stateful(set: &mut Object) {
    set.set(&["status"], json!({"replicas": 0, "availableReplicas": 0}));
}

fn replica_fields(workload: &Object) -> Vec<(&'static str, String)> {
    vec![("status.replicas", print::number(workload, &["status", "replicas"]).to_string())]
}

fn ready_of_wanted(workload: &Object) -> Value {
    let (ready, wanted) =
        (print::number(workload, &["status", "readyReplicas"]), print::number(workload, &["spec", "replicas"]));
    format!("{ready}/{wanted}").into()
}

/// Replication controllers have a plain map where the others have a label selector.
fn selector(workload: &Object) -> Value {
    let value = workload.at(&["spec", "selector"]);
    match value.and_then(Value::as_object) {
        Some(map) if map.values().all(Value::is_string) => print::labels(Some(map)).into(),
        _ => print::selector(value).into(),
    }
}

fn controller(revision: &Object) -> Value {
    let owners = print::list(revision, &["metadata", "ownerReferences"]);
    let Some(owner) = owners.iter().find(|owner| owner["controller"] == true) else { return print::NONE.into() };
    let group = print::field(owner, "apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    let kind = print::field(owner, "kind").to_lowercase();
    let dot = if group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{group}/{}", print::field(owner, "name")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_rolls_a_quarter_at_a_time() {
        let mut deployment = Object::from_value(json!({"spec": {"template": {"spec": {}}}})).unwrap();
        default_deployment(&mut deployment);
        let wanted = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}});
        assert_eq!(deployment.at(&["spec", "strategy"]), Some(&wanted));
        assert_eq!(deployment.at(&["spec", "replicas"]), Some(&json!(1)));
        assert_eq!(deployment.text(&["spec", "template", "spec", "restartPolicy"]), "Always");
    }

    #[test]
    fn zero_replicas_stay_zero() {
        let mut deployment = Object::from_value(json!({"spec": {"replicas": 0}})).unwrap();
        default_deployment(&mut deployment);
        assert_eq!(deployment.at(&["spec", "replicas"]), Some(&json!(0)));
    }

    #[test]
    fn a_controller_takes_selector_and_labels_of_its_template() {
        let mut rc = Object::from_value(json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}})).unwrap();
        default_controller(&mut rc);
        assert_eq!(rc.at(&["spec", "selector"]), Some(&json!({"a": "b"})));
        assert_eq!(rc.labels().collect::<Vec<_>>(), [("a", "b")]);
        assert_eq!(selector(&rc), "a=b");
    }
}
