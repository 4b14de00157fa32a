//! Volumes of pods, and the sources that persistent volumes share with them.

use super::containers::no_way_up;
use super::{environment, scheduling};
use crate::api::names;
use crate::api::validate::{At, Causes, labels};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const HOST_PATHS: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Volumes of a pod by name, with whether they are claims.
pub struct Volumes<'a>(BTreeMap<&'a str, bool>);

impl Volumes<'_> {
    /// Whether there is a volume of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether a volume is a claim, and so can be a device.
    pub fn is_claim(&self, name: &str) -> bool {
        self.0.get(name) == Some(&true)
    }
}

/// All volumes of a pod.
pub fn volumes<'a>(at: &At<'a>, causes: &mut Causes) -> Volumes<'a> {
    let listed = at.value().as_array().map(Vec::as_slice).unwrap_or_default();
    let is_claim = |volume: &Value| !volume["persistentVolumeClaim"].is_null() || !volume["ephemeral"].is_null();
    let found = listed.iter().filter_map(|volume| Some((volume["name"].as_str()?, is_claim(volume)))).collect();
    let mut seen = BTreeSet::new();
    for volume in at.items() {
        let name = volume.at("name");
        let label = names::dns_label(name.text());
        if name.is_empty() {
            causes.required(&name, "");
        } else if !label.is_empty() {
            causes.each(&name, label);
        } else if !seen.insert(name.text().to_string()) {
            causes.duplicate(&name);
        }
        source(&volume, causes);
    }
    Volumes(found)
}

/// A check of one kind of source.
type Check = fn(&At<'_>, &mut Causes);

/// What each kind of source must say. Others are of drivers that check them themselves.
const CHECKS: &[(&str, Check)] = &[
    ("emptyDir", empty_dir),
    ("hostPath", host_path),
    ("secret", secret),
    ("configMap", config_map),
    ("downwardAPI", downward),
    ("projected", projected),
    ("persistentVolumeClaim", |at, causes| need(at, &["claimName"], causes)),
    ("ephemeral", ephemeral),
    ("nfs", nfs),
    ("iscsi", |at, causes| need(at, &["targetPortal", "iqn"], causes)),
    ("csi", |at, causes| need(at, &["driver"], causes)),
    ("local", local),
    ("image", |_, _| {}),
    ("fc", |_, _| {}),
    ("gcePersistentDisk", |at, causes| need(at, &["pdName"], causes)),
    ("awsElasticBlockStore", |at, causes| need(at, &["volumeID"], causes)),
    ("gitRepo", |at, causes| need(at, &["repository"], causes)),
    ("glusterfs", |at, causes| need(at, &["endpoints", "path"], causes)),
    ("rbd", |at, causes| need(at, &["monitors", "image"], causes)),
    ("cephfs", |at, causes| need(at, &["monitors"], causes)),
    ("cinder", |at, causes| need(at, &["volumeID"], causes)),
    ("flexVolume", |at, causes| need(at, &["driver"], causes)),
    ("flocker", |_, _| {}),
    ("azureFile", |at, causes| need(at, &["secretName", "shareName"], causes)),
    ("azureDisk", |at, causes| need(at, &["diskName", "diskURI"], causes)),
    ("vsphereVolume", |at, causes| need(at, &["volumePath"], causes)),
    ("photonPersistentDisk", |at, causes| need(at, &["pdID"], causes)),
    ("portworxVolume", |at, causes| need(at, &["volumeID"], causes)),
    ("quobyte", |at, causes| need(at, &["registry", "volume"], causes)),
    ("scaleIO", |at, causes| need(at, &["gateway", "system", "volumeName"], causes)),
    ("storageos", |_, _| {}),
];

fn need(at: &At<'_>, fields: &[&str], causes: &mut Causes) {
    for field in fields {
        if at.at(field).is_empty() {
            causes.required(&at.at(field), "");
        }
    }
}

/// Exactly one kind of source, and what that one must say.
pub fn source(volume: &At<'_>, causes: &mut Causes) {
    let mut has_one = false;
    for (kind, check) in CHECKS {
        let at = volume.at(kind);
        if at.is_missing() {
            continue;
        }
        if has_one {
            causes.forbidden(&at, "may not specify more than 1 volume type");
            continue;
        }
        has_one = true;
        check(&at, causes);
    }
    if !has_one {
        causes.required(volume, "must specify a volume type");
    }
}

fn empty_dir(at: &At<'_>, causes: &mut Causes) {
    let limit = at.at("sizeLimit");
    if limit.quantity().is_some_and(|limit| limit.sign() < 0) {
        causes.forbidden(&limit, "SizeLimit field must be a valid resource quantity");
    }
}

fn host_path(at: &At<'_>, causes: &mut Causes) {
    let path = at.at("path");
    if path.is_empty() {
        causes.required(&path, "");
        return;
    }
    no_way_up(&path, causes);
    if !HOST_PATHS.contains(&at.at("type").text()) {
        causes.unsupported(&at.at("type"), HOST_PATHS);
    }
}

fn secret(at: &At<'_>, causes: &mut Causes) {
    need(at, &["secretName"], causes);
    mode(&at.at("defaultMode"), causes);
    keys(&at.at("items"), causes);
}

fn config_map(at: &At<'_>, causes: &mut Causes) {
    need(at, &["name"], causes);
    mode(&at.at("defaultMode"), causes);
    keys(&at.at("items"), causes);
}

fn mode(at: &At<'_>, causes: &mut Causes) {
    if at.number().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        causes.invalid(at, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

fn keys(at: &At<'_>, causes: &mut Causes) {
    for item in at.items() {
        need(&item, &["key"], causes);
        file(&item.at("path"), causes);
        mode(&item.at("mode"), causes);
    }
}

/// The path of a file in a volume.
fn file(at: &At<'_>, causes: &mut Causes) {
    if at.is_empty() {
        causes.required(at, "");
        return;
    }
    super::containers::descending(at, causes);
    if at.text().starts_with("..") && !at.text().starts_with("../") && at.text() != ".." {
        causes.invalid(at, "must not start with '..'");
    }
}

fn downward(at: &At<'_>, causes: &mut Causes) {
    mode(&at.at("defaultMode"), causes);
    downward_items(&at.at("items"), causes);
}

fn downward_items(at: &At<'_>, causes: &mut Causes) {
    for item in at.items() {
        file(&item.at("path"), causes);
        let (field, amount) = (item.at("fieldRef"), item.at("resourceFieldRef"));
        if !field.is_missing() {
            environment::field(&field, FIELDS, causes);
            if !amount.is_missing() {
                causes.invalid_as(
                    &item,
                    &"resource".into(),
                    "fieldRef and resourceFieldRef can not be specified simultaneously",
                );
            }
        } else if !amount.is_missing() {
            environment::amount(&amount, true, causes);
        } else {
            causes.required(&item.at("fieldRef"), "one of fieldRef and resourceFieldRef is required");
        }
        mode(&item.at("mode"), causes);
    }
}

fn projected(at: &At<'_>, causes: &mut Causes) {
    mode(&at.at("defaultMode"), causes);
    let mut paths = BTreeSet::new();
    for source in at.at("sources").items() {
        let mut has_one = false;
        for kind in
            ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"]
        {
            let own = source.at(kind);
            if own.is_missing() {
                continue;
            }
            if has_one {
                causes.forbidden(&own, "may not specify more than 1 volume type");
                continue;
            }
            has_one = true;
            projected_one(kind, &own, causes);
            let files = own.at("items");
            let items = files.items().map(|item| item.at("path").text().to_string());
            let own_path = own.at("path").text().to_string();
            for path in items.chain([own_path]).filter(|path| !path.is_empty()) {
                if !paths.insert(path.clone()) {
                    causes.invalid_as(&own.at("path"), &path.into(), "conflicting duplicate paths");
                }
            }
        }
        if !has_one {
            causes.required(&source, "must specify a volume type");
        }
    }
}

fn projected_one(kind: &str, at: &At<'_>, causes: &mut Causes) {
    match kind {
        "secret" | "configMap" => {
            need(at, &["name"], causes);
            keys(&at.at("items"), causes);
        }
        "downwardAPI" => downward_items(&at.at("items"), causes),
        "serviceAccountToken" => {
            let seconds = at.at("expirationSeconds");
            if seconds.number().is_some_and(|seconds| seconds < 600) {
                causes.invalid(&seconds, "may not specify a duration less than 10 minutes");
            }
            if seconds.number().is_some_and(|seconds| seconds > 1 << 32) {
                causes.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
            }
            file(&at.at("path"), causes);
        }
        "clusterTrustBundle" => {
            labels::selector(&at.at("labelSelector"), causes);
            file(&at.at("path"), causes);
        }
        _ => {}
    }
}

fn ephemeral(at: &At<'_>, causes: &mut Causes) {
    let template = at.at("volumeClaimTemplate");
    if template.is_missing() {
        causes.required(&template, "");
        return;
    }
    crate::api::validate::storage::claim_spec(&template.at("spec"), causes);
}

fn nfs(at: &At<'_>, causes: &mut Causes) {
    need(at, &["server", "path"], causes);
    let path = at.at("path");
    if !path.is_empty() && !path.text().starts_with('/') {
        causes.invalid(&path, "must be an absolute path");
    }
}

fn local(at: &At<'_>, causes: &mut Causes) {
    let path = at.at("path");
    if path.is_empty() {
        causes.required(&path, "");
        return;
    }
    no_way_up(&path, causes);
}

/// The nodes from which a persistent volume can be reached.
pub fn node_affinity(at: &At<'_>, causes: &mut Causes) {
    if at.is_missing() {
        return;
    }
    if at.at("required").is_missing() {
        causes.required(&at.at("required"), "must specify required node constraints");
    } else {
        scheduling::node_selector(&at.at("required"), causes);
    }
}
