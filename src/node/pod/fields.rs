//! The downward API: what a pod may learn of itself, as variables and as files.
//!
//! Source: kubelet `pkg/kubelet/kubelet_pods.go` (podFieldSelectorRuntimeValue), `pkg/fieldpath`, `pkg/api/v1/resource`.

use super::parts;
use crate::node::machine::Machine;
use crate::node::quantity::{self, Amount};
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What is not in the pod object, or not yet.
pub struct Around<'a> {
    pub node_name: &'a str,
    pub node_address: IpAddr,
    pub addresses: &'a [IpAddr],
}

/// The value of a field.
pub fn field(pod: &Pod, path: &str, around: &Around) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = parts::spec(pod);
    let join = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    if let Some((list, key)) = subscript(path) {
        let map = match list {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(format!("invalid fieldPath with subscript: {path}")),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => parts::name(pod).to_string(),
        "metadata.namespace" => parts::namespace(pod).to_string(),
        "metadata.uid" => parts::uid(pod).to_string(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => around.node_name.to_string(),
        "spec.serviceAccountName" => spec.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" | "status.hostIPs" => around.node_address.to_string(),
        "status.podIP" => join(&around.addresses[..around.addresses.len().min(1)]),
        "status.podIPs" => join(around.addresses),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// `metadata.labels['KEY']` as its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (list, rest) = path.split_once("['")?;
    Some((list, rest.strip_suffix("']")?))
}

/// One line `key="value"` for each entry, as Go quotes text.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value)));
    lines.collect::<Vec<_>>().join("\n")
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            '\u{7}' => out += "\\a",
            '\u{8}' => out += "\\b",
            '\u{b}' => out += "\\v",
            '\u{c}' => out += "\\f",
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out += &format!("\\x{:02x}", c as u32),
            c if c.is_control() => out += &format!("\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out + "\""
}

/// The value of a container's resource, in units of the divisor. What has no limit has the node's.
pub fn resource(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    machine: &Machine,
) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let found = named.and_then(|name| parts::container(pod, name)).map(|(_, container)| container.into_owned());
    let container = match (named, found, own) {
        (Some(_), Some(found), _) => found,
        (None, _, Some(own)) => own.clone(),
        (name, _, _) => return Err(format!("container {} not found", name.unwrap_or_default())),
    };
    let resources = container.resources.as_ref();
    let (list, name) = selector.resource.split_once('.').unwrap_or(("", &selector.resource));
    let amount = match list {
        "requests" => quantity::of(resources.and_then(|all| all.requests.as_ref()), name),
        "limits" => match quantity::of(resources.and_then(|all| all.limits.as_ref()), name) {
            amount if amount.is_positive() => amount,
            _ => allocatable(machine, name),
        },
        _ => return Err(format!("unsupported container resource : {}", selector.resource)),
    };
    let divisor =
        selector.divisor.as_ref().and_then(|divisor| Amount::parse(&divisor.0)).filter(|one| one.is_positive());
    let units = amount.in_units_of(divisor.unwrap_or(Amount::units(1)));
    units.map(|units| units.to_string()).ok_or_else(|| format!("invalid divisor for {}", selector.resource))
}

fn allocatable(machine: &Machine, resource: &str) -> Amount {
    let units = match resource {
        "cpu" => machine.cpus,
        "memory" => machine.memory / 1024 * 1024,
        "ephemeral-storage" => machine.disk / 1024 * 1024,
        _ => 0,
    };
    Amount::units(i64::try_from(units).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{machine, pod};
    use serde_json::json;

    fn of(pod: &Pod, path: &str) -> Result<String, String> {
        let addresses: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let node_address = "192.168.49.2".parse().unwrap();
        field(pod, path, &Around { node_name: "coracle", node_address, addresses: &addresses })
    }

    #[test]
    fn a_pod_learns_its_names_and_addresses() {
        let mut pod = pod(json!({"containers": [], "serviceAccountName": "robot"}));
        pod.metadata.labels = Some(BTreeMap::from([("a".into(), "1".into()), ("b.c/d".into(), "say \"hi\"\n".into())]));
        for (path, expected) in [
            ("metadata.name", "p"),
            ("metadata.labels['b.c/d']", "say \"hi\"\n"),
            ("metadata.labels", "a=\"1\"\nb.c/d=\"say \\\"hi\\\"\\n\""),
            ("metadata.annotations['none']", ""),
            ("spec.serviceAccountName", "robot"),
            ("spec.nodeName", "coracle"),
            ("status.hostIP", "192.168.49.2"),
            ("status.podIP", "10.0.0.1"),
            ("status.podIPs", "10.0.0.1,fd00::1"),
        ] {
            assert_eq!(of(&pod, path).unwrap(), expected, "{path}");
        }
        assert!(of(&pod, "spec.containers").is_err());
    }

    #[test]
    fn resources_are_counted_in_the_divisor_and_default_to_the_node() {
        let pod = pod(json!({"containers": [{"name": "web", "image": "i", "resources":
            {"requests": {"cpu": "250m"}, "limits": {"memory": "64Mi"}}}]}));
        let machine = machine();
        let ask = |resource: &str, divisor: &str| {
            let selector =
                serde_json::from_value(json!({"containerName": "web", "resource": resource, "divisor": divisor}));
            resource_of(&pod, &selector.unwrap(), &machine)
        };
        assert_eq!(ask("requests.cpu", "1m"), "250");
        assert_eq!(ask("requests.cpu", "0"), "1");
        assert_eq!(ask("limits.memory", "1Mi"), "64");
        assert_eq!(ask("limits.cpu", "1"), machine.cpus.to_string());
    }

    fn resource_of(pod: &Pod, selector: &ResourceFieldSelector, machine: &Machine) -> String {
        resource(pod, None, selector, machine).unwrap()
    }
}
