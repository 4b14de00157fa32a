//! Persistent volumes, claims and storage classes.
//!
//! Source: pkg/apis/core/validation, pkg/apis/storage/validation.

use super::causes::{At, Causes, collect, same};
use super::{labels, pod};
use crate::api::{Cause, Object, names};
use serde_json::Value;

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
/// Fields of a volume's spec that are no source.
const NO_SOURCE: &[&str] = &[
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// What is wrong with a claim.
pub fn claim(claim: &Object) -> Vec<Cause> {
    collect(|causes| claim_spec(&At::top(claim, "spec"), causes))
}

/// What a claim asks for.
pub fn claim_spec(spec: &At<'_>, causes: &mut Causes) {
    access_modes(&spec.at("accessModes"), causes);
    labels::selector(&spec.at("selector"), causes);
    let resources = spec.at("resources");
    let requests = resources.at("requests");
    let size = requests.key("storage");
    if size.is_missing() {
        causes.required(&size, "");
    } else {
        positive(&size, causes);
    }
    let class = spec.at("storageClassName");
    if !class.is_empty() {
        causes.each(&class, names::dns_subdomain(class.text()));
    }
    causes.optional_of(&spec.at("volumeMode"), &["Block", "Filesystem"]);
    for field in ["dataSource", "dataSourceRef"] {
        let source = spec.at(field);
        for part in ["name", "kind"] {
            if !source.is_missing() && source.at(part).is_empty() {
                causes.required(&source.at(part), "");
            }
        }
    }
}

fn access_modes(at: &At<'_>, causes: &mut Causes) {
    if at.is_empty() {
        causes.required(at, "at least 1 access mode is required");
    }
    for mode in at.items().filter(|mode| !MODES.contains(&mode.text())) {
        causes.unsupported(&mode, MODES);
    }
    let alone = at.items().any(|mode| mode.text() == "ReadWriteOncePod");
    if alone && at.count() > 1 {
        causes.forbidden(at, "may not use ReadWriteOncePod with other access modes");
    }
}

fn positive(at: &At<'_>, causes: &mut Causes) {
    match at.quantity() {
        None => pod::amount(at, causes),
        Some(quantity) if quantity.sign() <= 0 => {
            causes.invalid_as(at, &quantity.to_string().into(), "must be greater than zero");
        }
        Some(_) => {}
    }
}

/// What of a claim stays once it is made.
pub fn update_claim(new: &Object, old: &Object, subresource: &str) -> Vec<Cause> {
    if subresource == "status" {
        return Vec::new();
    }
    collect(|causes| {
        let (spec, before) = (At::top(new, "spec"), At::top(old, "spec"));
        let mut masked = spec.value().clone();
        let is_bound = old.text(&["status", "phase"]) == "Bound";
        if before.at("volumeName").is_empty() {
            masked["volumeName"] = before.value()["volumeName"].clone();
        }
        if before.at("storageClassName").is_missing() {
            masked["storageClassName"] = before.value()["storageClassName"].clone();
        }
        if is_bound {
            masked["resources"]["requests"] = before.value()["resources"]["requests"].clone();
            masked["volumeAttributesClassName"] = before.value()["volumeAttributesClassName"].clone();
        }
        if !same(&masked, before.value()) {
            let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
            causes.forbidden(&spec, why);
            return;
        }
        let size = |spec: &At<'_>| {
            let resources = spec.at("resources");
            let requests = resources.at("requests");
            requests.key("storage").quantity()
        };
        let status = At::top(old, "status");
        let capacity = status.at("capacity");
        let has = capacity.key("storage").quantity();
        if size(&spec) < size(&before) && size(&spec) <= has {
            let resources = spec.at("resources");
            let requests = resources.at("requests");
            causes.forbidden(&requests.at("storage"), "field can not be less than status.capacity");
        }
    })
}

/// What is wrong with a volume.
pub fn volume(volume: &Object) -> Vec<Cause> {
    collect(|causes| {
        let spec = At::top(volume, "spec");
        let capacity = spec.at("capacity");
        if capacity.is_empty() {
            causes.required(&capacity, "");
        } else if capacity.key("storage").is_missing() || capacity.count() > 1 {
            causes.unsupported(&capacity, &["storage"]);
        }
        for (_, amount) in capacity.entries() {
            positive(&amount, causes);
        }
        access_modes(&spec.at("accessModes"), causes);
        let policy = spec.at("persistentVolumeReclaimPolicy");
        causes.optional_of(&policy, &["Delete", "Recycle", "Retain"]);
        pod::node_affinity(&spec.at("nodeAffinity"), causes);
        pod::volume_source(&spec, causes);
        if !spec.at("local").is_missing() && spec.at("nodeAffinity").is_missing() {
            causes.required(&spec.at("nodeAffinity"), "Local volume requires node affinity");
        }
        let class = spec.at("storageClassName");
        if !class.is_empty() {
            causes.each(&class, names::dns_subdomain(class.text()));
        }
        causes.optional_of(&spec.at("volumeMode"), &["Block", "Filesystem"]);
    })
}

/// The source of a volume stays.
pub fn update_volume(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        let (spec, before) = (At::top(new, "spec"), At::top(old, "spec"));
        let source = |spec: &At<'_>| {
            let mut value = spec.value().clone();
            for field in NO_SOURCE {
                value[*field] = Value::Null;
            }
            value
        };
        if !same(&source(&spec), &source(&before)) {
            let why = "spec.persistentvolumesource is immutable after creation";
            causes.forbidden(&spec.at("persistentvolumesource"), why);
        }
        if spec.at("volumeMode").text() != before.at("volumeMode").text() {
            causes.immutable(&spec.at("volumeMode"), &before.at("volumeMode"));
        }
        if !before.at("nodeAffinity").is_missing()
            && !same(spec.at("nodeAffinity").value(), before.at("nodeAffinity").value())
        {
            causes.invalid(&spec.at("nodeAffinity"), "field is immutable, except for updating from beta label to GA");
        }
    })
}

/// What is wrong with a storage class.
pub fn class(class: &Object) -> Vec<Cause> {
    collect(|causes| {
        let provisioner = At::top(class, "provisioner");
        if provisioner.is_empty() {
            causes.required(&provisioner, "");
        } else {
            for wrong in names::qualified_name(&provisioner.text().to_lowercase()) {
                causes.invalid(&provisioner, &wrong);
            }
        }
        for (key, _) in At::top(class, "parameters").entries() {
            if key.is_empty() {
                let parameters = At::top(class, "parameters");
                causes.invalid_as(&parameters, &key.into(), "field can not be empty.");
            }
        }
        causes.optional_of(&At::top(class, "reclaimPolicy"), &["Delete", "Retain"]);
        let mode = At::top(class, "volumeBindingMode");
        if mode.is_missing() {
            causes.required(&mode, "");
        } else {
            causes.optional_of(&mode, &["Immediate", "WaitForFirstConsumer"]);
        }
    })
}

/// A storage class stays as it is.
pub fn update_class(new: &Object, old: &Object, _: &str) -> Vec<Cause> {
    collect(|causes| {
        for (field, why) in [
            ("parameters", "updates to parameters are forbidden."),
            ("provisioner", "updates to provisioner are forbidden."),
            ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
        ] {
            if !same(At::top(new, field).value(), At::top(old, field).value()) {
                causes.forbidden(&At::top(new, field), why);
            }
        }
        causes.immutable(&At::top(new, "volumeBindingMode"), &At::top(old, "volumeBindingMode"));
    })
}
