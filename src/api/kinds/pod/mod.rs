//! Pods, their bindings and their templates.
//!
//! Source: pkg/registry/core/pod/strategy.go, pkg/apis/core/v1/defaults.go.

mod columns;
mod qos;

use super::edit::{each, object};
use super::entry::columns::NAME;
use super::{CREATE_ONLY, Column, Generation, Kind, NO_RULES, Object, PART_VERBS, Rules, podspec, print};
use crate::api::validate;
use serde_json::{Value, json};
use std::borrow::Cow;

/// Verbs of a path that is handed on to whatever the object stands for.
pub(super) const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
/// Verbs of a stream.
const STREAM: &[&str] = &["create", "get"];

pub(super) const POD: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "Pod",
    "pods",
    "pod",
    short: names!["po"],
    categories: names!["all"],
    status: true,
    generation: Generation::Spec,
    others: subresources![
        "attach": "PodAttachOptions" STREAM,
        "binding": "Binding" CREATE_ONLY,
        "ephemeralcontainers": "Pod" PART_VERBS,
        "eviction": "Eviction" in "policy" / "v1" CREATE_ONLY,
        "exec": "PodExecOptions" STREAM,
        "log": "Pod" &["get"],
        "portforward": "PodPortForwardOptions" STREAM,
        "proxy": "PodProxyOptions" PROXY,
        "resize": "Pod" PART_VERBS,
    ],
    columns: Cow::Borrowed(columns::POD),
    rules: Rules {
        validate: validate::pod::pod,
        validate_update: validate::pod::update,
        validate_new: validate::pod::new,
        default,
        prepare_create,
        prepare_update,
        fields,
        ..NO_RULES
    },
);

pub(super) const BINDING: Kind =
    kind!(Namespaced, "" / "v1", "io.k8s.api.core", "Binding", "bindings", "binding", verbs: CREATE_ONLY);

pub(super) const POD_TEMPLATE: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "PodTemplate",
    "podtemplates",
    "podtemplate",
    generation: Generation::Body,
    columns: Cow::Borrowed(TEMPLATE_COLUMNS),
    rules: Rules { default: |template| podspec::default_template(&mut template.0), ..NO_RULES },
);

const TEMPLATE_COLUMNS: &[Column] = &[
    NAME,
    print::column("Containers", "string", "Names of the containers.", |template, _| {
        print::containers(template.at(&["template", "spec"]), "name")
    }),
    print::column("Images", "string", "Images of the containers.", |template, _| {
        print::containers(template.at(&["template", "spec"]), "image")
    }),
    print::column("Pod Labels", "string", "Labels of pods made from it.", |template, _| {
        print::labels(template.at(&["template", "metadata", "labels"]).and_then(Value::as_object)).into()
    }),
];

/// The quality of service class of a pod.
pub fn qos_class(pod: &Object) -> &'static str {
    qos::class(pod)
}

fn default(pod: &mut Object) {
    let spec = object(&mut pod.0, "spec");
    podspec::default_spec(spec);
    podspec::default_pod_only(spec);
}

fn prepare_create(pod: &mut Object) {
    let mut status = json!({"phase": "Pending", "qosClass": qos::class(pod)});
    let spec = object(&mut pod.0, "spec");
    if each(spec, "schedulingGates").next().is_some() {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": pod.text(&["metadata", "creationTimestamp"]),
        }]);
    }
    pod.set(&["status"], status);
}

/// The class of a pod is found once; a change in place may not move it.
fn prepare_update(pod: &mut Object, old: &Object) {
    if let Some(class) = old.at(&["status", "qosClass"]) {
        pod.set(&["status", "qosClass"], class.clone());
    }
}

fn fields(pod: &Object) -> Vec<(&'static str, String)> {
    let text = |path: &[&str]| pod.text(path).to_string();
    let address = match pod.text(&["status", "podIP"]) {
        "" => print::list(pod, &["status", "podIPs"]).first().map_or("", |ip| print::field(ip, "ip")),
        address => address,
    };
    vec![
        ("spec.nodeName", text(&["spec", "nodeName"])),
        ("spec.restartPolicy", text(&["spec", "restartPolicy"])),
        ("spec.schedulerName", text(&["spec", "schedulerName"])),
        ("spec.serviceAccountName", text(&["spec", "serviceAccountName"])),
        ("spec.hostNetwork", print::flag(pod, &["spec", "hostNetwork"]).to_string()),
        ("status.phase", text(&["status", "phase"])),
        ("status.podIP", address.to_string()),
        ("status.nominatedNodeName", text(&["status", "nominatedNodeName"])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_pod_waits() {
        let mut pod = Object::from_value(json!({"spec": {"containers": [{"name": "a", "image": "b"}]}})).unwrap();
        default(&mut pod);
        prepare_create(&mut pod);
        assert_eq!(pod.at(&["status"]), Some(&json!({"phase": "Pending", "qosClass": "BestEffort"})));
        assert_eq!(pod.text(&["spec", "dnsPolicy"]), "ClusterFirst");
    }
}
