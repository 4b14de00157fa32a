//! Persistent volumes and claims on them.

use super::edit::{child, missing, object, zero};
use super::entry::columns::{AGE, NAME};
use super::{Column, Kind, NO_RULES, Object, Rules, podspec, print};
use crate::api::validate;
use serde_json::{Value, json};
use std::borrow::Cow;

pub(super) const PERSISTENT_VOLUME_CLAIM: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    "persistentvolumeclaim",
    short: names!["pvc"],
    status: true,
    columns: Cow::Borrowed(CLAIM_COLUMNS),
    rules: Rules {
        validate: validate::storage::claim,
        validate_update: validate::storage::update_claim,
        default: |claim| missing(object(&mut claim.0, "spec"), "volumeMode", "Filesystem"),
        prepare_create: |claim| claim.set(&["status"], json!({"phase": "Pending"})),
        ..NO_RULES
    },
);

pub(super) const PERSISTENT_VOLUME: Kind = kind!(
    Cluster,
    "" / "v1",
    "io.k8s.api.core",
    "PersistentVolume",
    "persistentvolumes",
    "persistentvolume",
    short: names!["pv"],
    status: true,
    columns: Cow::Borrowed(VOLUME_COLUMNS),
    rules: Rules {
        validate: validate::storage::volume,
        validate_update: validate::storage::update_volume,
        default: default_volume,
        prepare_create: |volume| volume.set(&["status"], json!({"phase": "Pending"})),
        ..NO_RULES
    },
);

const CLAIM_COLUMNS: &[Column] = &[
    NAME,
    print::column("Status", "string", "Whether a volume is bound.", |claim, _| phase(claim)),
    print::column("Volume", "string", "The bound volume.", |claim, _| print::text(claim, &["spec", "volumeName"])),
    print::column("Capacity", "string", "Size of the bound volume.", |claim, _| {
        match claim.text(&["spec", "volumeName"]) {
            "" => "".into(),
            _ => print::text(claim, &["status", "capacity", "storage"]),
        }
    }),
    print::column("Access Modes", "string", "How the bound volume may be mounted.", |claim, _| {
        match claim.text(&["spec", "volumeName"]) {
            "" => "".into(),
            _ => modes(claim, &["status", "accessModes"]),
        }
    }),
    print::column("StorageClass", "string", "Class of the storage.", |claim, _| class(claim)),
    print::column("VolumeAttributesClass", "string", "Class of the volume's attributes.", |claim, _| attributes(claim)),
    AGE,
    print::wide("VolumeMode", "string", "File system or block device.", |claim, _| mode(claim)),
];

const VOLUME_COLUMNS: &[Column] = &[
    NAME,
    print::column("Capacity", "string", "Size.", |volume, _| print::text(volume, &["spec", "capacity", "storage"])),
    print::column("Access Modes", "string", "How it may be mounted.", |volume, _| {
        modes(volume, &["spec", "accessModes"])
    }),
    print::column("Reclaim Policy", "string", "What happens after its claim is gone.", |volume, _| {
        print::text(volume, &["spec", "persistentVolumeReclaimPolicy"])
    }),
    print::column("Status", "string", "Whether it is bound.", |volume, _| phase(volume)),
    print::column("Claim", "string", "The claim that it is bound to.", |volume, _| claim_of(volume)),
    print::column("StorageClass", "string", "Class of the storage.", |volume, _| class(volume)),
    print::column("VolumeAttributesClass", "string", "Class of its attributes.", |volume, _| attributes(volume)),
    print::column("Reason", "string", "Why it is in its phase.", |volume, _| {
        print::text(volume, &["status", "reason"])
    }),
    AGE,
    print::wide("VolumeMode", "string", "File system or block device.", |volume, _| mode(volume)),
];

fn default_volume(volume: &mut Object) {
    let spec = object(&mut volume.0, "spec");
    zero(spec, "persistentVolumeReclaimPolicy", "Retain");
    missing(spec, "volumeMode", "Filesystem");
    if let Some(host) = child(spec, "hostPath") {
        missing(host, "type", "");
    }
    podspec::default_network_volume(spec);
}

fn phase(object: &Object) -> Value {
    if object.is_terminating() { "Terminating".into() } else { print::text(object, &["status", "phase"]) }
}

fn modes(object: &Object, path: &[&str]) -> Value {
    let modes = print::list(object, path);
    let known =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let short = known.iter().filter(|(name, _)| modes.iter().any(|mode| mode == name)).map(|(_, short)| *short);
    short.collect::<Vec<_>>().join(",").into()
}

/// The class, which was an annotation once.
fn class(object: &Object) -> Value {
    match object.text(&["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]) {
        "" => print::text(object, &["spec", "storageClassName"]),
        class => class.into(),
    }
}

fn attributes(object: &Object) -> Value {
    match object.text(&["spec", "volumeAttributesClassName"]) {
        "" => "<unset>".into(),
        class => class.into(),
    }
}

fn mode(object: &Object) -> Value {
    match object.text(&["spec", "volumeMode"]) {
        "" => "<unset>".into(),
        mode => mode.into(),
    }
}

fn claim_of(volume: &Object) -> Value {
    match volume.at(&["spec", "claimRef"]).filter(|claim| claim.is_object()) {
        Some(claim) => format!("{}/{}", print::field(claim, "namespace"), print::field(claim, "name")).into(),
        None => "".into(),
    }
}
