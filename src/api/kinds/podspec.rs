//! Defaults of a pod's `spec`, alone or in the template of a workload.
//!
//! Source: pkg/apis/core/v1/defaults.go, pkg/util/parsers.

use super::edit::{Fields, child, each, is_absent, missing, object, text, zero};
use serde_json::{Map, Value, json};

/// Fields of a pod's spec that hold containers.
pub(super) const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Defaults of the template below `spec` of a workload.
pub(super) fn default_template(spec: &mut Fields) {
    if let Some(template) = child(spec, "template") {
        object(template, "metadata");
        default_spec(object(template, "spec"));
    }
}

/// Defaults that a pod and a template share.
pub(super) fn default_spec(spec: &mut Fields) {
    zero(spec, "dnsPolicy", "ClusterFirst");
    zero(spec, "restartPolicy", "Always");
    zero(spec, "schedulerName", "default-scheduler");
    missing(spec, "securityContext", Map::new());
    missing(spec, "terminationGracePeriodSeconds", 30);
    name_service_account_twice(spec);
    for list in CONTAINER_LISTS {
        each(spec, list).for_each(default_container);
    }
    each(spec, "volumes").for_each(default_volume);
}

/// `serviceAccount` is the old name of `serviceAccountName`; readers of either find it.
fn name_service_account_twice(spec: &mut Fields) {
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount"),
        name => name,
    };
    if !name.is_empty() {
        let name = Value::from(name);
        spec.insert("serviceAccountName".into(), name.clone());
        spec.insert("serviceAccount".into(), name);
    }
}

fn default_container(container: &mut Fields) {
    let policy = pull_policy(text(container, "image"));
    zero(container, "imagePullPolicy", policy);
    zero(container, "terminationMessagePath", "/dev/termination-log");
    zero(container, "terminationMessagePolicy", "File");
    missing(container, "resources", Map::new());
    each(container, "ports").for_each(|port| zero(port, "protocol", "TCP"));
    for variable in each(container, "env") {
        let source = child(variable, "valueFrom").and_then(|from| child(from, "fieldRef"));
        source.into_iter().for_each(default_field_ref);
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        child(container, probe).into_iter().for_each(default_probe);
    }
    for hook in ["postStart", "preStop"] {
        child(container, "lifecycle").and_then(|life| child(life, hook)).into_iter().for_each(default_http);
    }
}

/// `Always` for the tag `latest`, written or implied, else `IfNotPresent`.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, "latest")) => "Always",
        None if !digest => "Always",
        _ => "IfNotPresent",
    }
}

fn default_probe(probe: &mut Fields) {
    zero(probe, "timeoutSeconds", 1);
    zero(probe, "periodSeconds", 10);
    zero(probe, "successThreshold", 1);
    zero(probe, "failureThreshold", 3);
    default_http(probe);
    if let Some(grpc) = child(probe, "grpc") {
        missing(grpc, "service", "");
    }
}

fn default_http(handler: &mut Fields) {
    if let Some(get) = child(handler, "httpGet") {
        zero(get, "path", "/");
        zero(get, "scheme", "HTTP");
    }
}

fn default_field_ref(reference: &mut Fields) {
    zero(reference, "apiVersion", "v1");
}

fn default_volume(volume: &mut Fields) {
    let has_source = volume.iter().any(|(field, value)| field != "name" && !value.is_null());
    if !has_source {
        volume.insert("emptyDir".into(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = child(volume, source) {
            missing(source, "defaultMode", 0o644);
        }
    }
    if let Some(host) = child(volume, "hostPath") {
        missing(host, "type", "");
    }
    child(volume, "downwardAPI").into_iter().for_each(default_downward);
    if let Some(projected) = child(volume, "projected") {
        for source in each(projected, "sources") {
            child(source, "downwardAPI").into_iter().for_each(default_downward);
            if let Some(token) = child(source, "serviceAccountToken") {
                missing(token, "expirationSeconds", 3600);
            }
        }
    }
    if let Some(image) = child(volume, "image") {
        let policy = pull_policy(text(image, "reference"));
        zero(image, "pullPolicy", policy);
    }
    let claim = child(volume, "ephemeral").and_then(|source| child(source, "volumeClaimTemplate"));
    if let Some(claim) = claim {
        missing(object(claim, "spec"), "volumeMode", "Filesystem");
    }
    default_network_volume(volume);
}

fn default_downward(source: &mut Fields) {
    for item in each(source, "items") {
        child(item, "fieldRef").into_iter().for_each(default_field_ref);
    }
}

/// Volumes that are disks of somebody else's network.
pub(super) fn default_network_volume(volume: &mut Fields) {
    if let Some(iscsi) = child(volume, "iscsi") {
        zero(iscsi, "iscsiInterface", "default");
    }
    if let Some(rbd) = child(volume, "rbd") {
        zero(rbd, "pool", "rbd");
        zero(rbd, "user", "admin");
        zero(rbd, "keyring", "/etc/ceph/keyring");
    }
    if let Some(disk) = child(volume, "azureDisk") {
        missing(disk, "cachingMode", "ReadWrite");
        missing(disk, "kind", "Shared");
        missing(disk, "fsType", "ext4");
        missing(disk, "readOnly", false);
    }
    if let Some(scale) = child(volume, "scaleIO") {
        zero(scale, "storageMode", "ThinProvisioned");
        zero(scale, "fsType", "xfs");
    }
}

/// Defaults of a pod that a template does not have.
pub(super) fn default_pod_only(spec: &mut Fields) {
    missing(spec, "enableServiceLinks", true);
    let on_host = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["initContainers", "containers"] {
        for container in each(spec, list) {
            request_what_is_limited(container);
            if on_host {
                each(container, "ports").for_each(open_on_host);
            }
        }
    }
}

fn request_what_is_limited(container: &mut Fields) {
    let Some(resources) = child(container, "resources") else { return };
    if is_absent(resources, "limits") {
        return;
    }
    let limits = child(resources, "limits").cloned().unwrap_or_default();
    super::edit::fill(resources, "requests", &limits);
}

fn open_on_host(port: &mut Fields) {
    if let Some(number) = port.get("containerPort").cloned() {
        zero(port, "hostPort", number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_is_always_pulled() {
        for image in ["nginx", "nginx:latest", "host:5000/nginx"] {
            assert_eq!(pull_policy(image), "Always", "{image}");
        }
        for image in ["nginx:1", "host:5000/nginx:1", "nginx@sha256:00", "nginx:1@sha256:00"] {
            assert_eq!(pull_policy(image), "IfNotPresent", "{image}");
        }
    }

    #[test]
    fn a_volume_without_source_is_an_empty_directory() {
        let mut volume = json!({"name": "v"});
        default_volume(volume.as_object_mut().unwrap());
        assert_eq!(volume, json!({"name": "v", "emptyDir": {}}));
    }

    #[test]
    fn limits_become_requests_of_pods() {
        let mut spec = json!({"containers": [{"resources": {"limits": {"cpu": "1"}}}]});
        default_pod_only(spec.as_object_mut().unwrap());
        assert_eq!(spec["containers"][0]["resources"]["requests"]["cpu"], "1");
    }
}
