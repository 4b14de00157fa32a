//! Kinds of the group `storage.k8s.io`.
//!
//! Source: pkg/apis/storage/v1/defaults.go.

use super::edit::{missing, object};
use super::entry::columns::{AGE, NAME};
use super::{Cell, Column, Generation, Kind, NO_RULES, Object, Rules, old, print};
use crate::api::validate;
use serde_json::{Value, json};
use std::borrow::Cow;

pub(super) const CSI_DRIVER: Kind = kind!(
    Cluster,
    "storage.k8s.io" / "v1",
    "io.k8s.api.storage",
    "CSIDriver",
    "csidrivers",
    "csidriver",
    served: old::CSI_DRIVER,
    generation: Generation::Spec,
    columns: Cow::Borrowed(DRIVER_COLUMNS),
    rules: Rules { default: default_driver, ..NO_RULES },
);

pub(super) const CSI_NODE: Kind = kind!(
    Cluster,
    "storage.k8s.io" / "v1",
    "io.k8s.api.storage",
    "CSINode",
    "csinodes",
    "csinode",
    served: old::CSI_NODE,
    columns: Cow::Borrowed(NODE_COLUMNS),
);

pub(super) const CSI_STORAGE_CAPACITY: Kind = kind!(
    Namespaced,
    "storage.k8s.io" / "v1",
    "io.k8s.api.storage",
    "CSIStorageCapacity",
    "csistoragecapacities",
    "csistoragecapacity",
    served: old::CSI_STORAGE_CAPACITY,
    columns: Cow::Borrowed(CAPACITY_COLUMNS),
);

pub(super) const STORAGE_CLASS: Kind = kind!(
    Cluster,
    "storage.k8s.io" / "v1",
    "io.k8s.api.storage",
    "StorageClass",
    "storageclasses",
    "storageclass",
    served: old::STORAGE_CLASS,
    short: names!["sc"],
    columns: Cow::Borrowed(CLASS_COLUMNS),
    rules: Rules {
        validate: validate::storage::class,
        validate_update: validate::storage::update_class,
        default: default_class,
        ..NO_RULES
    },
);

pub(super) const VOLUME_ATTACHMENT: Kind = kind!(
    Cluster,
    "storage.k8s.io" / "v1",
    "io.k8s.api.storage",
    "VolumeAttachment",
    "volumeattachments",
    "volumeattachment",
    served: old::VOLUME_ATTACHMENT,
    status: true,
    columns: Cow::Borrowed(ATTACHMENT_COLUMNS),
    rules: Rules { prepare_create: |attachment| attachment.set(&["status"], json!({"attached": false})), ..NO_RULES },
);

pub(super) const VOLUME_ATTRIBUTES_CLASS: Kind = kind!(
    Cluster,
    "storage.k8s.io" / "v1",
    "io.k8s.api.storage",
    "VolumeAttributesClass",
    "volumeattributesclasses",
    "volumeattributesclass",
    served: old::VOLUME_ATTRIBUTES_CLASS,
    short: names!["vac"],
    columns: Cow::Borrowed(ATTRIBUTES_COLUMNS),
);

const CLASS_COLUMNS: &[Column] = &[
    Column { cell: Cell::With(|class, _| class_name(class)), ..NAME },
    print::column("Provisioner", "string", "Who makes its volumes.", |class, _| print::text(class, &["provisioner"])),
    print::column("ReclaimPolicy", "string", "What happens to a volume after its claim.", |class, _| {
        print::text(class, &["reclaimPolicy"])
    }),
    print::column("VolumeBindingMode", "string", "When a volume is made.", |class, _| {
        print::text(class, &["volumeBindingMode"])
    }),
    print::column("AllowVolumeExpansion", "string", "Whether claims may grow.", |class, _| {
        print::flag(class, &["allowVolumeExpansion"]).into()
    }),
    AGE,
];

const DRIVER_COLUMNS: &[Column] = &[
    NAME,
    print::column("AttachRequired", "boolean", "Whether volumes are attached first.", |driver, _| {
        print::flag(driver, &["spec", "attachRequired"]).into()
    }),
    print::column("PodInfoOnMount", "boolean", "Whether it is told about the pod.", |driver, _| {
        print::flag(driver, &["spec", "podInfoOnMount"]).into()
    }),
    print::column("StorageCapacity", "boolean", "Whether it tells its capacity.", |driver, _| {
        print::flag(driver, &["spec", "storageCapacity"]).into()
    }),
    print::column("TokenRequests", "string", "Audiences of tokens that it is given.", |driver, _| {
        let all = print::list(driver, &["spec", "tokenRequests"]).iter();
        match all.map(|request| print::field(request, "audience")).collect::<Vec<_>>().join(",") {
            none if none.is_empty() => "<unset>".into(),
            audiences => audiences.into(),
        }
    }),
    print::column("RequiresRepublish", "boolean", "Whether it is called again and again.", |driver, _| {
        print::flag(driver, &["spec", "requiresRepublish"]).into()
    }),
    print::column("Modes", "string", "Life cycles of its volumes.", |driver, _| {
        print::or_none(print::joined(print::list(driver, &["spec", "volumeLifecycleModes"])))
    }),
    AGE,
];

const NODE_COLUMNS: &[Column] = &[
    NAME,
    print::column("Drivers", "integer", "Drivers on the node.", |node, _| {
        print::count(node, &["spec", "drivers"]).into()
    }),
    AGE,
];

const CAPACITY_COLUMNS: &[Column] = &[
    NAME,
    print::column("StorageClassName", "string", "Class of the storage.", |capacity, _| {
        print::text(capacity, &["storageClassName"])
    }),
    print::column("Capacity", "string", "How much there is.", |capacity, _| match capacity.text(&["capacity"]) {
        "" => "<unset>".into(),
        amount => amount.into(),
    }),
];

const ATTACHMENT_COLUMNS: &[Column] = &[
    NAME,
    print::column("Attacher", "string", "Who attaches.", |attachment, _| {
        print::text(attachment, &["spec", "attacher"])
    }),
    print::column("PV", "string", "The volume.", |attachment, _| {
        print::text(attachment, &["spec", "source", "persistentVolumeName"])
    }),
    print::column("Node", "string", "The node.", |attachment, _| print::text(attachment, &["spec", "nodeName"])),
    print::column("Attached", "boolean", "Whether it is done.", |attachment, _| {
        print::flag(attachment, &["status", "attached"]).into()
    }),
    AGE,
];

const ATTRIBUTES_COLUMNS: &[Column] = &[
    NAME,
    print::column("DriverName", "string", "Driver of its volumes.", |class, _| print::text(class, &["driverName"])),
    AGE,
];

fn default_class(class: &mut Object) {
    missing(&mut class.0, "reclaimPolicy", "Delete");
    missing(&mut class.0, "volumeBindingMode", "Immediate");
}

fn default_driver(driver: &mut Object) {
    let spec = object(&mut driver.0, "spec");
    missing(spec, "attachRequired", true);
    for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        missing(spec, field, false);
    }
    missing(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    missing(spec, "volumeLifecycleModes", json!(["Persistent"]));
}

/// The class that claims without a class get is marked.
fn class_name(class: &Object) -> Value {
    let is_default =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|name| class.text(&["metadata", "annotations", name]) == "true");
    if is_default { format!("{} (default)", class.name()).into() } else { class.name().into() }
}
