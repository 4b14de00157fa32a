//! What a container sees of its pod's volumes.

use super::{Place, sub_path};
use crate::node::pod::expand::expand_known;
use crate::node::pod::parts;
use crate::node::pod::start::Start;
use crate::runtime::{Device, Mount, Propagation};
use k8s_openapi::api::core::v1::VolumeMount;
use std::path::PathBuf;

/// The mounts and devices of a container; `variable` finds a variable of its environment. The error is for the container's status.
pub fn of(start: &Start, variable: impl Fn(&str) -> Option<String>) -> Result<(Vec<Mount>, Vec<Device>), String> {
    let container = &start.container;
    let find = |name: &str| {
        let missing = || format!("cannot find volume \"{name}\" to mount into container \"{}\"", container.name);
        start.volumes.get(name).ok_or_else(missing)
    };
    let mut mounts = Vec::new();
    for (index, one) in container.volume_mounts.iter().flatten().enumerate() {
        mounts.push(mount(start, one, index, find(&one.name)?, &variable)?);
    }
    let mut devices = Vec::new();
    for device in container.volume_devices.iter().flatten() {
        let place = find(&device.name)?;
        let permissions = if place.read_only { "r" } else { "mrw" }.to_string();
        devices.push(Device { container_path: device.device_path.clone(), host_path: place.path.clone(), permissions });
    }
    Ok((mounts, devices))
}

fn mount(
    start: &Start,
    wanted: &VolumeMount,
    index: usize,
    place: &Place,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Mount, String> {
    let path = match sub_path_of(wanted, variable)? {
        Some(path) => below(start, wanted, index, place, &path)?,
        None => place.path.clone(),
    };
    let read_only = place.read_only || wanted.read_only == Some(true);
    let container_path = match wanted.mount_path.starts_with('/') {
        true => wanted.mount_path.clone(),
        false => format!("/{}", wanted.mount_path),
    };
    Ok(Mount {
        container_path,
        host_path: path,
        read_only,
        recursive_read_only: read_only
            && matches!(wanted.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible")),
        propagation: match wanted.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::Private,
        },
    })
}

fn sub_path_of(wanted: &VolumeMount, variable: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(expression) = some(&wanted.sub_path_expr) {
        let expanded = expand_known(&expression, variable);
        return expanded.map(Some).map_err(|name| format!("missing value for \"{name}\""));
    }
    Ok(some(&wanted.sub_path))
}

fn below(start: &Start, wanted: &VolumeMount, index: usize, place: &Place, path: &str) -> Result<PathBuf, String> {
    sub_path::check(path)?;
    let folder = start.node.pod_folder(parts::uid(&start.pod)).join("volume-subpaths");
    let target = folder.join(&wanted.name).join(&start.container.name).join(index.to_string());
    sub_path::bind(&place.path, path, &target).map_err(|why| {
        tracing::debug!(why, container = start.container.name, "subPath not mounted");
        format!(
            "failed to prepare subPath for volumeMount \"{}\" of container \"{}\": {why}",
            wanted.name, start.container.name
        )
    })?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions_need_every_variable() {
        let wanted = |value| serde_json::from_value(value).unwrap();
        let variable = |name: &str| (name == "POD").then(|| "p".to_string());
        let expression = wanted(json!({"name": "v", "mountPath": "/v", "subPathExpr": "$(POD)/a"}));
        assert_eq!(sub_path_of(&expression, &variable).unwrap().unwrap(), "p/a");
        let missing = wanted(json!({"name": "v", "mountPath": "/v", "subPathExpr": "$(NO)"}));
        assert_eq!(sub_path_of(&missing, &variable).unwrap_err(), "missing value for \"NO\"");
        let plain = wanted(json!({"name": "v", "mountPath": "/v", "subPath": "$(POD)"}));
        assert_eq!(sub_path_of(&plain, &variable).unwrap().unwrap(), "$(POD)");
    }
}
