//! Containers of all three kinds: names, images, ports, mounts.

use super::Owner;
use super::volumes::Volumes;
use super::{environment, handlers, resources, security};
use crate::api::names;
use crate::api::validate::{At, Causes};
use serde_json::json;
use std::collections::BTreeSet;

/// Fields that only containers have that go on running.
const LASTING: &[&str] = &["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"];

/// Every container of a pod.
pub fn all(spec: &At<'_>, owner: Owner, volumes: &Volumes<'_>, causes: &mut Causes) {
    let on_host = spec.at("hostNetwork").is_true().then_some(owner);
    let mut names = BTreeSet::new();
    let mut host_ports = BTreeSet::new();
    let containers = spec.at("containers");
    if containers.is_empty() {
        causes.required(&containers, "");
    }
    for container in containers.items() {
        common(&container, volumes, on_host, &mut names, causes);
        handlers::lifecycle(&container.at("lifecycle"), causes);
        handlers::probes(&container, causes);
        restart_policy(&container, &["Always", "OnFailure", "Never"], causes);
        take_ports(&container, &mut host_ports, causes);
    }
    let mut init_ports = BTreeSet::new();
    for container in spec.at("initContainers").items() {
        common(&container, volumes, on_host, &mut names, causes);
        restart_policy(&container, &["Always", "OnFailure", "Never"], causes);
        if container.at("restartPolicy").text() == "Always" {
            handlers::lifecycle(&container.at("lifecycle"), causes);
            handlers::probes(&container, causes);
            take_ports(&container, &mut host_ports, causes);
            continue;
        }
        for field in LASTING {
            if !container.at(field).is_missing() {
                let why = "may not be set for init containers without restartPolicy=Always";
                causes.forbidden(&container.at(field), why);
            }
        }
        init_ports.clear();
        take_ports(&container, &mut init_ports, causes);
    }
    for container in spec.at("ephemeralContainers").items() {
        ephemeral(&container, spec, volumes, &mut names, causes);
    }
}

fn restart_policy(container: &At<'_>, known: &[&str], causes: &mut Causes) {
    causes.optional_of(&container.at("restartPolicy"), known);
}

/// What an ephemeral container may not have.
const NOT_EPHEMERAL: &[&str] =
    &["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy", "resources"];

fn ephemeral(
    container: &At<'_>,
    spec: &At<'_>,
    volumes: &Volumes<'_>,
    names: &mut BTreeSet<String>,
    causes: &mut Causes,
) {
    common(container, volumes, None, names, causes);
    let target = container.at("targetContainerName");
    let is_there = ["containers", "initContainers"]
        .iter()
        .any(|list| spec.at(list).items().any(|one| one.at("name").text() == target.text()));
    if !target.is_empty() && !is_there {
        causes.not_found(&target);
    }
    for field in NOT_EPHEMERAL {
        if !container.at(field).is_empty() {
            causes.forbidden(&container.at(field), "cannot be set for an Ephemeral Container");
        }
    }
}

/// `on_host` is whose container it is, if it is in the node's network.
fn common(
    container: &At<'_>,
    volumes: &Volumes<'_>,
    on_host: Option<Owner>,
    taken: &mut BTreeSet<String>,
    causes: &mut Causes,
) {
    let name = container.at("name");
    causes.name(&name, names::dns_label);
    if !name.is_empty() && !taken.insert(name.text().to_string()) {
        causes.duplicate(&name);
    }
    let image = container.at("image");
    if image.is_empty() {
        causes.required(&image, "");
    } else if image.text().trim() != image.text() {
        causes.invalid(&image, "must not have leading or trailing whitespace");
    }
    causes.one_of(&container.at("terminationMessagePolicy"), &["FallbackToLogsOnError", "File"]);
    ports(&container.at("ports"), on_host, causes);
    environment::variables(&container.at("env"), causes);
    environment::sources(&container.at("envFrom"), causes);
    mounts(&container.at("volumeMounts"), volumes, causes);
    devices(&container.at("volumeDevices"), volumes, causes);
    causes.one_of(&container.at("imagePullPolicy"), &["Always", "IfNotPresent", "Never"]);
    resources::requirements(&container.at("resources"), causes);
    security::container(&container.at("securityContext"), causes);
}

fn ports(at: &At<'_>, on_host: Option<Owner>, causes: &mut Causes) {
    let mut taken = BTreeSet::new();
    for port in at.items() {
        let name = port.at("name");
        if !name.is_empty() {
            let wrong = names::port_name(name.text());
            if wrong.is_empty() && !taken.insert(name.text().to_string()) {
                causes.duplicate(&name);
            }
            causes.each(&name, wrong);
        }
        let (inside, outside) = (port.at("containerPort"), port.at("hostPort"));
        match inside.number().unwrap_or(0) {
            0 => causes.required(&inside, ""),
            number => causes.each(&inside, names::port_number(number)),
        }
        let number = outside.number().unwrap_or(0);
        if number != 0 {
            causes.each(&outside, names::port_number(number));
        }
        // A template may leave it to its pods, which get it by default.
        let is_asked = on_host.is_some_and(|owner| owner == Owner::Pod || number != 0);
        if is_asked && number != inside.number().unwrap_or(0) {
            causes.invalid(&inside, "must match `hostPort` when `hostNetwork` is true");
        }
        causes.one_of(&port.at("protocol"), &["SCTP", "TCP", "UDP"]);
        if !port.at("hostIP").is_empty() {
            causes.each(&port.at("hostIP"), names::ip_address(port.at("hostIP").text()));
        }
    }
}

/// Ports of the node that containers of one pod want to open at once.
fn take_ports(container: &At<'_>, taken: &mut BTreeSet<String>, causes: &mut Causes) {
    for port in container.at("ports").items() {
        let number = port.at("hostPort").number().unwrap_or(0);
        if number == 0 {
            continue;
        }
        let key = format!("{}/{}/{number}", port.at("protocol").text(), port.at("hostIP").text());
        if !taken.insert(key.clone()) {
            causes.duplicate_as(&port.at("hostPort"), &json!(key));
        }
    }
}

fn mounts(at: &At<'_>, volumes: &Volumes<'_>, causes: &mut Causes) {
    let mut paths = BTreeSet::new();
    for mount in at.items() {
        let (name, path) = (mount.at("name"), mount.at("mountPath"));
        if name.is_empty() {
            causes.required(&name, "");
        }
        if !volumes.has(name.text()) {
            causes.not_found(&name);
        }
        if path.is_empty() {
            causes.required(&path, "");
        } else if !paths.insert(path.text().to_string()) {
            causes.invalid(&path, "must be unique");
        }
        let (plain, expanded) = (mount.at("subPath"), mount.at("subPathExpr"));
        descending(&plain, causes);
        if !expanded.is_empty() {
            if !plain.is_empty() {
                causes.invalid(&expanded, "subPathExpr and subPath are mutually exclusive");
            }
            descending(&expanded, causes);
        }
        causes.optional_of(&mount.at("mountPropagation"), &["Bidirectional", "HostToContainer", "None"]);
        recursive_read_only(&mount, causes);
    }
}

fn recursive_read_only(mount: &At<'_>, causes: &mut Causes) {
    let mode = mount.at("recursiveReadOnly");
    causes.optional_of(&mode, &["Disabled", "Enabled", "IfPossible"]);
    if matches!(mode.text(), "Enabled" | "IfPossible") {
        if !mount.at("readOnly").is_true() {
            causes.forbidden(&mode, "may only be specified when readOnly is true");
        }
        if !matches!(mount.at("mountPropagation").text(), "" | "None") {
            causes.forbidden(&mode, "may only be specified when mountPropagation is None or not specified");
        }
    }
}

/// A path below something else.
pub fn descending(at: &At<'_>, causes: &mut Causes) {
    if at.text().starts_with('/') {
        causes.invalid(at, "must be a relative path");
    }
    no_way_up(at, causes);
}

/// No part of a path leads up.
pub fn no_way_up(at: &At<'_>, causes: &mut Causes) {
    if at.text().split('/').any(|part| part == "..") {
        causes.invalid(at, "must not contain '..'");
    }
}

fn devices(at: &At<'_>, volumes: &Volumes<'_>, causes: &mut Causes) {
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for device in at.items() {
        let (name, path) = (device.at("name"), device.at("devicePath"));
        if name.is_empty() {
            causes.required(&name, "");
        } else if !names.insert(name.text().to_string()) {
            causes.invalid(&name, "must be unique");
        } else if !volumes.is_claim(name.text()) {
            causes.not_found(&name);
        }
        if path.is_empty() {
            causes.required(&path, "");
        } else if !paths.insert(path.text().to_string()) {
            causes.invalid(&path, "must be unique");
        }
        no_way_up(&path, causes);
    }
}
