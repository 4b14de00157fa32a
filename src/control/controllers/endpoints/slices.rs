//! EndpointSlices of Services with a selector.

use super::packing::{Group, Plan, pack};
use super::{MANAGED_BY, SERVICE_NAME, TRIGGER_TIME};
use crate::base::causes::chain;
use crate::client::{Change, Level};
use crate::control::controllers::runner::Next;
use crate::control::controllers::watches::{Watched, changes, own, read};
use crate::control::controllers::{Context, Controller, Error, Key, pods, replica_set, write};
use futures::FutureExt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod, Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use std::sync::Arc;

pub(in super::super) const CONTROLLER: Controller = Controller {
    name: "endpoint-slice-controller",
    watches: &[own::<Service>, super::of_pods, own_slices, read::<Node>],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// Who keeps these slices.
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// The label `name` of a slice that `manager` keeps.
pub(super) fn service_of<'a>(slice: &'a EndpointSlice, manager: &str) -> Option<&'a str> {
    let labels = slice.metadata.labels.as_ref()?;
    let is_managed = labels.get(MANAGED_BY).is_some_and(|by| by == manager);
    labels.get(SERVICE_NAME).filter(|_| is_managed).map(String::as_str)
}

fn own_slices(context: &Context) -> Watched {
    slices_of(context, MANAGER)
}

/// The Services (by name) of the slices of `manager` that change, however their labels change.
pub(super) fn slices_of(context: &Context, manager: &'static str) -> Watched {
    changes::<EndpointSlice>(context, move |change| {
        let states = match &change {
            Change::Applied { old, new } => [old.as_ref(), Some(new)],
            Change::Deleted(last) => [None, Some(last)],
        };
        let namespace = change.object().metadata.namespace.as_deref().unwrap_or_default();
        let names = states.into_iter().flatten().filter_map(|slice| service_of(slice, manager));
        let mut keys: Vec<Key> = names.map(|name| Key::new(namespace, name)).collect();
        keys.dedup();
        keys
    })
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(service) = context.caches.of::<Service>().get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    if super::selector(&service).is_none() || service.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    let backends = super::backends(&context.caches.of::<Pod>(), &service, true);
    let existing = existing(context, &key, MANAGER);
    let zone = |node: &str| {
        let node = context.caches.of::<Node>().get("", node)?;
        node.metadata.labels.as_ref()?.get("topology.kubernetes.io/zone").cloned()
    };
    let plan = plan(&service, &backends, existing, zone);
    apply(context, plan).await.inspect_err(|error| {
        let text =
            format!("Error updating Endpoint Slices for Service {}/{}: {}", key.namespace, key.name, chain(error));
        context.record(CONTROLLER.name, &*service, Level::Warning, "FailedToUpdateEndpointSlices", text);
    })?;
    Ok(Next::Wait)
}

/// The slices of a Service that `manager` keeps and that are not going.
pub(super) fn existing(context: &Context, key: &Key, manager: &str) -> Vec<Arc<EndpointSlice>> {
    let mut all = context.caches.of::<EndpointSlice>().list_in(&key.namespace);
    all.retain(|slice| service_of(slice, manager) == Some(&key.name) && slice.metadata.deletion_timestamp.is_none());
    all
}

fn plan(
    service: &Service,
    backends: &[Arc<Pod>],
    existing: Vec<Arc<EndpointSlice>>,
    zone: impl Fn(&str) -> Option<String>,
) -> Plan {
    let spec = service.spec.clone().unwrap_or_default();
    let mut whole = Plan::default();
    let families = families(&spec);
    let (known, foreign): (Vec<_>, Vec<_>) =
        existing.into_iter().partition(|slice| families.contains(&slice.address_type.as_str()));
    whole.delete.extend(foreign);
    for family in families {
        let slices: Vec<_> = known.iter().filter(|slice| slice.address_type == family).cloned().collect();
        let mut groups: Vec<Group> = Vec::new();
        for pod in backends {
            let Some(endpoint) = endpoint(service, &spec, pod, family, &zone) else { continue };
            let ports = ports(&spec, pod);
            match groups.iter_mut().find(|group| group.ports == ports) {
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(Group { ports, endpoints: vec![endpoint] }),
            }
        }
        let plan = pack(&template(service, family, backends), &slices, groups, true);
        whole.create.extend(plan.create);
        whole.update.extend(plan.update);
        whole.delete.extend(plan.delete);
    }
    whole
}

/// The address types of a Service's slices.
fn families(spec: &ServiceSpec) -> Vec<&'static str> {
    let named: Vec<&'static str> =
        spec.ip_families.iter().flatten().map(|family| if family == "IPv6" { "IPv6" } else { "IPv4" }).collect();
    if named.is_empty() { vec!["IPv4"] } else { named }
}

fn endpoint(
    service: &Service,
    spec: &ServiceSpec,
    pod: &Pod,
    family: &str,
    zone: &impl Fn(&str) -> Option<String>,
) -> Option<Endpoint> {
    let is_of_family = |address: &&str| address.contains(':') == (family == "IPv6");
    let addresses: Vec<String> = super::addresses(pod).into_iter().filter(is_of_family).map(String::from).collect();
    if addresses.is_empty() {
        return None;
    }
    let (serving, terminating) = (pods::is_ready(pod), pods::is_terminating(pod));
    let ready = super::publishes_not_ready(spec) || (serving && !terminating);
    let node_name = super::node_name(pod);
    let zone = node_name.as_deref().and_then(zone);
    let is_close =
        matches!(spec.traffic_distribution.as_deref(), Some("PreferClose" | "PreferSameZone" | "PreferSameNode"));
    let hint = zone.clone().filter(|_| is_close && ready);
    Some(Endpoint {
        addresses,
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hints: hint.map(|name| EndpointHints { for_zones: Some(vec![ForZone { name }]), ..Default::default() }),
        hostname: super::hostname(pod, service),
        node_name,
        target_ref: Some(super::target(pod)),
        zone,
        ..Default::default()
    })
}

/// The ports of a Service as this pod has them; a port whose name it lacks is left out.
fn ports(spec: &ServiceSpec, pod: &Pod) -> Vec<EndpointPort> {
    let of = |port: &k8s_openapi::api::core::v1::ServicePort| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(super::target_port(pod, port)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
            app_protocol: port.app_protocol.clone(),
        })
    };
    spec.ports.iter().flatten().filter_map(of).collect()
}

fn template(service: &Service, family: &str, backends: &[Arc<Pod>]) -> EndpointSlice {
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let mut owner = service.controller_owner_ref(&());
    if let Some(owner) = &mut owner {
        owner.block_owner_deletion = Some(true);
    }
    let changed = super::trigger_time(&service.metadata, backends);
    EndpointSlice {
        address_type: family.into(),
        metadata: ObjectMeta {
            generate_name: Some(pods::prefix(name)),
            namespace: service.metadata.namespace.clone(),
            labels: Some(super::inherited_labels(service, &[(SERVICE_NAME, name), (MANAGED_BY, MANAGER)])),
            annotations: changed.map(|time| [(TRIGGER_TIME.to_string(), time.to_string())].into()),
            owner_references: owner.map(|owner| vec![owner]),
            ..Default::default()
        },
        ..Default::default()
    }
}

/// Writes what was planned, all at once.
pub(super) async fn apply(context: &Context, plan: Plan) -> Result<(), Error> {
    let create = join_all(plan.create.iter().map(|slice| write::create(context, slice)));
    let update = join_all(plan.update.iter().map(|slice| write::replace(context, slice)));
    let delete = join_all(plan.delete.iter().map(|slice| write::delete(context, &**slice)));
    let (created, updated, deleted) = futures::join!(create, update, delete);
    for made in created {
        match made {
            Err(error) if !replica_set::is_namespace_terminating(&error) => return Err(error),
            _ => {}
        }
    }
    updated.into_iter().collect::<Result<Vec<_>, _>>()?;
    deleted.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backend, port, service};
    use super::*;
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    fn planned(service: &Service, backends: &[Arc<Pod>]) -> EndpointSlice {
        let plan = plan(service, backends, Vec::new(), |_| Some("here".into()));
        assert_eq!(plan.create.len(), 1);
        plan.create.into_iter().next().unwrap()
    }

    #[test]
    fn a_slice_says_where_pods_are_and_how_they_do() {
        let mut going = (*backend("b", "10.0.0.2")).clone();
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now()));
        let service = service(vec![port("web", 80, IntOrString::String("http".into()))]);
        let slice = planned(&service, &[backend("a", "10.0.0.1"), Arc::new(going)]);
        assert_eq!(slice.ports.as_ref().unwrap()[0].port, Some(8080));
        assert_eq!(slice.metadata.labels.as_ref().unwrap()[SERVICE_NAME], "web");
        let endpoints = slice.endpoints.unwrap();
        let state = |index: usize| {
            let conditions = endpoints[index].conditions.clone().unwrap();
            (conditions.ready, conditions.serving, conditions.terminating)
        };
        assert_eq!(state(0), (Some(true), Some(true), Some(false)));
        assert_eq!(state(1), (Some(false), Some(true), Some(true)));
        assert_eq!(endpoints[0].zone.as_deref(), Some("here"));
    }

    #[test]
    fn headless_services_are_labelled_and_name_their_hosts() {
        let mut service = service(vec![]);
        service.spec.as_mut().unwrap().cluster_ip = Some("None".into());
        let mut pod = (*backend("a", "10.0.0.1")).clone();
        pod.spec.as_mut().unwrap().hostname = Some("web-0".into());
        pod.spec.as_mut().unwrap().subdomain = Some("web".into());
        let slice = planned(&service, &[Arc::new(pod)]);
        assert_eq!(slice.metadata.labels.unwrap()[super::super::HEADLESS], "");
        assert_eq!(slice.endpoints.unwrap()[0].hostname.as_deref(), Some("web-0"));
        assert_eq!(slice.ports.unwrap().len(), 0);
    }
}
