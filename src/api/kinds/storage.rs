//! Kinds of the group `storage.k8s.io`.

use super::{Generation, Kind};

pub(super) const CSI_DRIVER: Kind = kind!(
    Cluster,
    "storage.k8s.io" / "v1",
    "io.k8s.api.storage",
    "CSIDriver",
    "csidrivers",
    "csidriver",
    generation: Generation::Spec,
);

pub(super) const CSI_NODE: Kind =
    kind!(Cluster, "storage.k8s.io" / "v1", "io.k8s.api.storage", "CSINode", "csinodes", "csinode",);

pub(super) const CSI_STORAGE_CAPACITY: Kind = kind!(
    Namespaced,
    "storage.k8s.io" / "v1",
    "io.k8s.api.storage",
    "CSIStorageCapacity",
    "csistoragecapacities",
    "csistoragecapacity",
);

pub(super) const STORAGE_CLASS: Kind = kind!(
    Cluster,
    "storage.k8s.io" / "v1",
    "io.k8s.api.storage",
    "StorageClass",
    "storageclasses",
    "storageclass",
    short: names!["sc"],
);

pub(super) const VOLUME_ATTACHMENT: Kind = kind!(
    Cluster,
    "storage.k8s.io" / "v1",
    "io.k8s.api.storage",
    "VolumeAttachment",
    "volumeattachments",
    "volumeattachment",
    status: true,
);

pub(super) const VOLUME_ATTRIBUTES_CLASS: Kind = kind!(
    Cluster,
    "storage.k8s.io" / "v1",
    "io.k8s.api.storage",
    "VolumeAttributesClass",
    "volumeattributesclasses",
    "volumeattributesclass",
    short: names!["vac"],
);
