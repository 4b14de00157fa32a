//! Where the pods of Services are reached: EndpointSlices, the older Endpoints, and slices that mirror Endpoints that
//! users wrote.
//!
//! Source of the rules: kubernetes `pkg/controller/endpoint`, `endpointslice`, `endpointslicemirroring`, and
//! `staging/src/k8s.io/endpointslice`.

mod legacy;
mod mirroring;
mod packing;
mod slices;
#[cfg(test)]
mod whole;

pub(super) use legacy::CONTROLLER as ENDPOINTS;
pub(super) use mirroring::CONTROLLER as MIRRORING;
pub(super) use slices::CONTROLLER as SLICES;

use super::watches::{Watched, changes};
use super::{Context, Key, pods};
use crate::client::{Cache, Change};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Ties an EndpointSlice to its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Who keeps an EndpointSlice.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Says that a Service has no address of its own.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// When the world changed so that the endpoints had to.
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The Services of whose pods one changed so that endpoints differ.
fn of_pods(context: &Context) -> Watched {
    let services = context.caches.of::<Service>();
    changes::<Pod>(context, move |change| match &change {
        Change::Applied { old: Some(old), new } if !matters(old, new) => Vec::new(),
        Change::Applied { old: Some(old), new } if old.metadata.labels != new.metadata.labels => {
            let mut keys = selecting(&services, old);
            keys.extend(selecting(&services, new));
            keys
        }
        other => selecting(&services, other.object()),
    })
}

/// Whether a change of a pod can change endpoints.
fn matters(old: &Pod, new: &Pod) -> bool {
    let state = |pod: &Pod| (pods::is_ready(pod), pods::is_finished(pod), pods::is_terminating(pod));
    let network = |pod: &Pod| pod.status.as_ref().map(|status| (status.pod_ip.clone(), status.pod_ips.clone()));
    let place = |pod: &Pod| {
        let spec = pod.spec.as_ref();
        spec.map(|spec| (spec.node_name.clone(), spec.hostname.clone(), spec.subdomain.clone()))
    };
    state(old) != state(new)
        || network(old) != network(new)
        || place(old) != place(new)
        || old.metadata.labels != new.metadata.labels
        || old.metadata.uid != new.metadata.uid
}

/// The Services that select a pod.
fn selecting(services: &Cache<Service>, pod: &Pod) -> Vec<Key> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let all = services.list_in(namespace);
    all.into_iter()
        .filter(|service| selector(service).is_some_and(|wanted| takes(wanted, pod)))
        .map(|service| Key::of(&*service))
        .collect()
}

/// The selector of a Service whose endpoints are made here: those without one, and names for others, are their users'.
fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    spec.selector.as_ref().filter(|selector| !selector.is_empty())
}

fn takes(selector: &BTreeMap<String, String>, pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// The pods behind a Service that have an address and did not end; terminating ones only where they are asked for.
fn backends(pods: &Cache<Pod>, service: &Service, terminating: bool) -> Vec<Arc<Pod>> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let mut all = pods.list_in(namespace);
    all.retain(|pod| {
        takes(selector, pod)
            && !pods::is_finished(pod)
            && (terminating || !pods::is_terminating(pod))
            && !addresses(pod).is_empty()
    });
    all
}

/// The addresses of a pod.
fn addresses(pod: &Pod) -> Vec<&str> {
    let Some(status) = &pod.status else { return Vec::new() };
    let all: Vec<&str> = status.pod_ips.iter().flatten().map(|address| address.ip.as_str()).collect();
    match all.is_empty() {
        true => status.pod_ip.as_deref().into_iter().filter(|address| !address.is_empty()).collect(),
        false => all,
    }
}

/// Whether a Service has no address of its own.
fn is_headless(spec: &ServiceSpec) -> bool {
    matches!(spec.cluster_ip.as_deref(), None | Some("" | "None"))
}

/// Whether pods count as ready whatever they say.
fn publishes_not_ready(spec: &ServiceSpec) -> bool {
    spec.publish_not_ready_addresses == Some(true)
}

/// The number of a Service's target port in a pod; nothing if no container has a port of that name.
fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = |container: &Container| {
        let named = container
            .ports
            .iter()
            .flatten()
            .find(|one| one.name.as_deref() == Some(name) && one.protocol.as_deref().unwrap_or("TCP") == protocol);
        named.map(|one| one.container_port)
    };
    spec.containers.iter().chain(sidecars).find_map(ports)
}

/// The hostname under which DNS knows a pod of this headless Service.
fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let hostname = spec.hostname.clone().filter(|name| !name.is_empty())?;
    (spec.subdomain.is_some() && spec.subdomain == service.metadata.name).then_some(hostname)
}

fn node_name(pod: &Pod) -> Option<String> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty())
}

fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".into()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..Default::default()
    }
}

/// The labels of a Service as its endpoints get them.
fn inherited_labels(service: &Service, managed: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.retain(|key, _| ![SERVICE_NAME, MANAGED_BY, HEADLESS].contains(&key.as_str()));
    if service.spec.as_ref().is_some_and(is_headless) {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.extend(managed.iter().map(|(key, value)| (key.to_string(), value.to_string())));
    labels
}

/// The latest change of the Service or of a pod's readiness.
fn trigger_time(meta: &ObjectMeta, pods: &[Arc<Pod>]) -> Option<Timestamp> {
    let created = meta.creation_timestamp.as_ref().map(|time| time.0);
    let ready = |pod: &Arc<Pod>| {
        let condition = pods::condition(pod, "Ready");
        condition.and_then(|ready| ready.last_transition_time.as_ref()).map(|time| time.0)
    };
    pods.iter().filter_map(ready).chain(created).max()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ContainerPort, PodIP};

    /// A ready pod `name` at `address` with a container port `http` (8080).
    pub fn backend(name: &str, address: &str) -> Arc<Pod> {
        let mut pod = pods::tests::pod(name, "Running", true);
        let status = pod.status.as_mut().unwrap();
        status.pod_ip = Some(address.into());
        status.pod_ips = Some(vec![PodIP { ip: address.into() }]);
        let port = ContainerPort { name: Some("http".into()), container_port: 8080, ..Default::default() };
        pod.spec.as_mut().unwrap().containers =
            vec![Container { name: "c".into(), ports: Some(vec![port]), ..Default::default() }];
        Arc::new(pod)
    }

    /// A Service `web` of the ports.
    pub fn service(ports: Vec<ServicePort>) -> Service {
        Service {
            metadata: ObjectMeta {
                name: Some("web".into()),
                namespace: Some("default".into()),
                uid: Some("uid".into()),
                ..Default::default()
            },
            spec: Some(ServiceSpec {
                cluster_ip: Some("10.96.0.7".into()),
                selector: Some([("app".to_string(), "web".to_string())].into()),
                ports: Some(ports),
                ..Default::default()
            }),
            status: None,
        }
    }

    /// A Service port.
    pub fn port(name: &str, number: i32, target: IntOrString) -> ServicePort {
        ServicePort {
            name: Some(name.into()),
            port: number,
            target_port: Some(target),
            protocol: Some("TCP".into()),
            ..Default::default()
        }
    }

    #[test]
    fn named_target_ports_are_looked_up_in_the_pod_by_name_and_protocol() {
        let pod = backend("a", "10.0.0.1");
        assert_eq!(target_port(&pod, &port("web", 80, IntOrString::String("http".into()))), Some(8080));
        assert_eq!(target_port(&pod, &port("web", 80, IntOrString::String("none".into()))), None);
        assert_eq!(target_port(&pod, &port("web", 80, IntOrString::Int(81))), Some(81));
        let mut udp = port("web", 80, IntOrString::String("http".into()));
        udp.protocol = Some("UDP".into());
        assert_eq!(target_port(&pod, &udp), None);
    }

    #[test]
    fn restarts_and_conditions_of_no_concern_do_not_wake_services() {
        let pod = backend("a", "10.0.0.1");
        let mut later = (*pod).clone();
        later.metadata.resource_version = Some("9".into());
        assert!(!matters(&pod, &later));
        later.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].status = "False".into();
        assert!(matters(&pod, &later));
    }
}
