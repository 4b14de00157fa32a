//! Host ports: ports of pods on the node's addresses.

use super::super::kinds::Pod;
use super::super::ledger;
use super::wanted::{Data, Element, Front, Place, Protocol, Target, Wanted};
use std::net::IpAddr;

/// What a pod needs for its host ports, in the address family of the place.
pub fn of_pod(pod: &Pod, place: &Place) -> Wanted {
    let mut wanted = ledger::Wanted::default();
    let Some(address) = pod.addresses().into_iter().find(|address| address.is_ipv4() == place.pods.base.is_ipv4())
    else {
        return wanted;
    };
    for port in pod.ports() {
        let (Some(host_port), Some(protocol)) =
            (port.host_port.filter(|port| *port > 0), Protocol::read(port.protocol.as_deref()))
        else {
            continue;
        };
        let asked = port.host_ip.as_deref().filter(|address| !address.is_empty()).map(str::parse::<IpAddr>);
        let front_address = match asked {
            None => None,
            Some(Ok(address)) if address.is_unspecified() => None,
            Some(Ok(address)) if address.is_ipv4() == place.pods.base.is_ipv4() => Some(address),
            // Of another family, or nothing that can be asked for.
            Some(_) => continue,
        };
        let front = Front { address: front_address, protocol, port: host_port };
        wanted.elements.insert(Element::HostPort(front), Data::Target(Target { address, port: port.container_port }));
        wanted.elements.insert(Element::Hairpin(address), Data::Nothing);
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::super::super::cidr::Cidr;
    use super::*;
    use serde_json::json;

    fn wanted(phase: &str, host_network: bool, host_ip: &str) -> Wanted {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "a"},
            "spec": {"hostNetwork": host_network, "containers": [{"name": "c", "image": "i", "ports": [
                {"containerPort": 53, "hostPort": 5353, "hostIP": host_ip, "protocol": "UDP"}, {"containerPort": 80}]}]},
            "status": {"phase": phase, "podIPs": [{"ip": "10.244.0.2"}]}}))
        .unwrap();
        of_pod(&pod, &Place { node: "node".into(), pods: Cidr::parse("10.244.0.0/16").unwrap() })
    }

    #[test]
    fn a_host_port_leads_to_its_pod() {
        let target = Data::Target(Target { address: "10.244.0.2".parse().unwrap(), port: 53 });
        for (host_ip, address) in [("", None), ("0.0.0.0", None), ("1.2.3.4", Some("1.2.3.4".parse().unwrap()))] {
            let front = Front { address, protocol: Protocol::Udp, port: 5353 };
            assert_eq!(wanted("Running", false, host_ip).elements[&Element::HostPort(front)], target);
        }
    }

    #[test]
    fn pods_that_ended_or_share_the_nodes_network_have_none() {
        assert!(wanted("Succeeded", false, "").elements.is_empty());
        assert!(wanted("Running", true, "").elements.is_empty());
        assert!(wanted("Running", false, "fd00::1").elements.is_empty());
    }
}
