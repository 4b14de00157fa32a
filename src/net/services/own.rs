//! What the node answers itself, whatever services ask for: the API server and the agent at the node's addresses. A service
//! that could take these would close the cluster to everybody, to those as well who could mend it.

use super::super::protocol::Protocol;
use crate::client::{Change, Level, Recorder};
use crate::config::Profile;
use k8s_openapi::api::core::v1::{ObjectReference, Service, ServiceSpec};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The node's own addresses and ports.
#[derive(Clone, Debug)]
pub struct Own {
    /// Those that services may name; the kernel's rule is for all that the node has.
    pub addresses: Vec<IpAddr>,
    /// TCP.
    pub ports: [u16; 2],
}

impl Own {
    /// Of a node whose pods' gateway is known.
    pub fn new(profile: &Profile, gateway: IpAddr) -> Self {
        let addresses = vec![profile.network.node_address, gateway];
        Self { addresses, ports: [profile.api_port, profile.agent_port] }
    }

    /// What a service asks for that is the node's, as `ADDRESS:PORT`.
    fn of(&self, service: &Service) -> BTreeSet<String> {
        let Some(spec) = &service.spec else { return BTreeSet::new() };
        let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let balanced = status.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
        let named = spec.external_ips.iter().flatten().chain(balanced.filter_map(|ingress| ingress.ip.as_ref()));
        let named: Vec<IpAddr> = named.filter_map(|text| text.parse().ok()).collect();
        let own = named.into_iter().filter(|address| self.addresses.contains(address));
        let fronts = own.flat_map(|address| self.asked(spec, |port| port.port).map(move |port| (address, port)));
        let node_ports = self.asked(spec, |port| port.node_port.unwrap_or_default());
        let node_ports = node_ports.filter_map(|port| Some((*self.addresses.first()?, port)));
        fronts.chain(node_ports).map(|(address, port)| format!("{address}:{port}")).collect()
    }

    fn asked<'a>(
        &'a self,
        spec: &'a ServiceSpec,
        number: impl Fn(&k8s_openapi::api::core::v1::ServicePort) -> i32 + 'a,
    ) -> impl Iterator<Item = u16> + 'a {
        let ports = spec.ports.iter().flatten();
        let ports = ports.filter(|port| Protocol::read(port.protocol.as_deref()) == Some(Protocol::Tcp));
        ports.filter_map(move |port| u16::try_from(number(port)).ok()).filter(|port| self.ports.contains(port))
    }

    /// Tells of what a service asks for in vain, once for each thing.
    pub fn tell(&self, recorder: &Recorder, change: &Change<Service>) {
        let Change::Applied { old, new } = change else { return };
        let before = old.as_deref().map(|old| self.of(old)).unwrap_or_default();
        for front in self.of(new).difference(&before) {
            let about = ObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Service".into()),
                namespace: new.metadata.namespace.clone(),
                name: new.metadata.name.clone(),
                uid: new.metadata.uid.clone(),
                resource_version: new.metadata.resource_version.clone(),
                ..ObjectReference::default()
            };
            let message = format!("{front} is a port of the node's own and is not served");
            recorder.record(about, Level::Warning, "PortOfNode", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn only_ports_of_the_nodes_own_at_its_addresses_are_told_of() {
        let own = Own {
            addresses: vec!["192.168.49.2".parse().unwrap(), "10.244.0.1".parse().unwrap()],
            ports: [8443, 10250],
        };
        let of = |spec: Value| {
            let service = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap();
            own.of(&service).into_iter().collect::<Vec<_>>()
        };
        let at = |address: &str, port: u16, protocol: &str| json!({"externalIPs": [address], "ports": [{"port": port, "protocol": protocol}]});
        assert_eq!(of(at("192.168.49.2", 8443, "TCP")), ["192.168.49.2:8443"]);
        assert_eq!(of(at("10.244.0.1", 10250, "TCP")), ["10.244.0.1:10250"]);
        assert!(of(at("192.168.49.2", 8443, "UDP")).is_empty());
        assert!(of(at("192.168.49.2", 80, "TCP")).is_empty());
        assert!(of(at("192.168.49.3", 8443, "TCP")).is_empty());
        assert!(of(json!({"ports": [{"port": 8443}]})).is_empty());
        assert_eq!(of(json!({"ports": [{"port": 80, "nodePort": 8443}]})), ["192.168.49.2:8443"]);
    }
}
