//! Endpoints of Services with a selector: the older form, one object per Service.

use super::TRIGGER_TIME;
use crate::base::causes::chain;
use crate::client::{Change, Level};
use crate::control::controllers::runner::Next;
use crate::control::controllers::watches::{changes, own};
use crate::control::controllers::{Context, Controller, Error, Key, pods, replica_set, write};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(in super::super) const CONTROLLER: Controller = Controller {
    name: "endpoint-controller",
    watches: &[own::<Service>, super::of_pods, |context| {
        // Endpoints that users write are theirs; only those that go are looked at.
        changes::<Endpoints>(context, |change| match &change {
            Change::Deleted(last) => vec![Key::of(&**last)],
            Change::Applied { .. } => Vec::new(),
        })
    }],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// Who keeps the object.
const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
/// Says that addresses are missing for their number.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses of one object at most.
const CAPACITY: usize = 1000;

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let current = context.caches.of::<Endpoints>().get(&key.namespace, &key.name);
    let Some(service) = context.caches.of::<Service>().get(&key.namespace, &key.name) else {
        if let Some(current) = current {
            write::delete(context, &*current).await?;
        }
        return Ok(Next::Wait);
    };
    if super::selector(&service).is_none() || service.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    let spec = service.spec.clone().unwrap_or_default();
    let backends = super::backends(&context.caches.of::<Pod>(), &service, super::publishes_not_ready(&spec));
    let wanted = wanted(&service, &spec, &backends, current.as_deref());
    let result = match current {
        None => write::create(context, &wanted).await,
        Some(current) if is_same(&current, &wanted) => return Ok(Next::Wait),
        Some(_) => write::replace(context, &wanted).await,
    };
    match result {
        Ok(_) => Ok(Next::Wait),
        Err(error) if replica_set::is_namespace_terminating(&error) => Ok(Next::Wait),
        Err(error) => {
            let verb = if wanted.metadata.resource_version.is_none() { "create" } else { "update" };
            let reason = if verb == "create" { "FailedToCreateEndpoint" } else { "FailedToUpdateEndpoint" };
            let text = format!("Failed to {verb} endpoint {}: {}", key, chain(&error));
            context.record(CONTROLLER.name, &wanted, Level::Warning, reason, text);
            Err(error)
        }
    }
}

fn is_same(current: &Endpoints, wanted: &Endpoints) -> bool {
    let truncated = |one: &Endpoints| one.metadata.annotations.as_ref().and_then(|all| all.get(OVER_CAPACITY)).cloned();
    current.subsets.clone().unwrap_or_default() == wanted.subsets.clone().unwrap_or_default()
        && current.metadata.labels == wanted.metadata.labels
        && truncated(current) == truncated(wanted)
}

fn wanted(service: &Service, spec: &ServiceSpec, backends: &[Arc<Pod>], current: Option<&Endpoints>) -> Endpoints {
    let mut meta = current.map_or_else(
        || ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..Default::default()
        },
        |current| current.metadata.clone(),
    );
    meta.labels = Some(super::inherited_labels(service, &[MANAGED_BY]));
    let mut subsets = repack(service, spec, backends);
    let annotations = meta.annotations.get_or_insert_default();
    if truncate(&mut subsets) {
        annotations.insert(OVER_CAPACITY.into(), "truncated".into());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    if let Some(time) = super::trigger_time(&service.metadata, backends) {
        annotations.insert(TRIGGER_TIME.into(), time.to_string());
    }
    Endpoints { metadata: meta, subsets: Some(subsets).filter(|subsets| !subsets.is_empty()) }
}

/// A port in the order of subsets: name, protocol, number, and what else it says.
type Port = (Option<String>, Option<String>, i32, Option<String>);
/// An address by its identity, and whether it is ready.
type Place = (String, Option<String>, bool);

/// Groups addresses: ports that the same pods have in the same state are one subset.
fn repack(service: &Service, spec: &ServiceSpec, backends: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let mut addresses: BTreeMap<(String, Option<String>), EndpointAddress> = BTreeMap::new();
    let mut places: BTreeMap<Option<Port>, BTreeSet<Place>> = BTreeMap::new();
    for pod in backends {
        let Some(address) = address(service, spec, pod) else { continue };
        let is_ready = super::publishes_not_ready(spec) || pods::is_ready(pod);
        let (ip, uid) = (address.ip.clone(), pod.metadata.uid.clone());
        addresses.insert((ip.clone(), uid.clone()), address);
        let place = (ip, uid, is_ready);
        if spec.ports.iter().flatten().next().is_none() && super::is_headless(spec) {
            places.entry(None).or_default().insert(place.clone());
        }
        for port in spec.ports.iter().flatten() {
            let Some(number) = super::target_port(pod, port) else { continue };
            let name = port.name.clone().filter(|name| !name.is_empty());
            let protocol = Some(port.protocol.clone().unwrap_or_else(|| "TCP".into()));
            let port = (name, protocol, number, port.app_protocol.clone());
            places.entry(Some(port)).or_default().insert(place.clone());
        }
    }
    let mut grouped: BTreeMap<BTreeSet<Place>, Vec<Port>> = BTreeMap::new();
    for (port, places) in places {
        grouped.entry(places).or_default().extend(port);
    }
    let find = |places: &BTreeSet<Place>, ready: bool| {
        let some = places.iter().filter(|place| place.2 == ready);
        let found: Vec<EndpointAddress> =
            some.filter_map(|(ip, uid, _)| addresses.get(&(ip.clone(), uid.clone())).cloned()).collect();
        Some(found).filter(|found| !found.is_empty())
    };
    let subset = |(places, ports): (BTreeSet<Place>, Vec<Port>)| EndpointSubset {
        addresses: find(&places, true),
        not_ready_addresses: find(&places, false),
        ports: Some(ports.into_iter().map(port).collect::<Vec<_>>()).filter(|ports| !ports.is_empty()),
    };
    grouped.into_iter().map(subset).collect()
}

fn port((name, protocol, port, app_protocol): Port) -> EndpointPort {
    EndpointPort { name, protocol, port, app_protocol }
}

fn address(service: &Service, spec: &ServiceSpec, pod: &Pod) -> Option<EndpointAddress> {
    let is_six = spec.ip_families.iter().flatten().next().is_some_and(|family| family == "IPv6");
    let ip = super::addresses(pod).into_iter().find(|address| address.contains(':') == is_six)?;
    Some(EndpointAddress {
        ip: ip.to_string(),
        node_name: super::node_name(pod),
        hostname: super::hostname(pod, service),
        target_ref: Some(super::target(pod)),
    })
}

/// Drops addresses above the capacity, those that are not ready first. Whether any were dropped.
fn truncate(subsets: &mut [EndpointSubset]) -> bool {
    let count = |of: fn(&EndpointSubset) -> &Option<Vec<EndpointAddress>>, subsets: &[EndpointSubset]| {
        subsets.iter().map(|subset| of(subset).as_ref().map_or(0, Vec::len)).sum::<usize>()
    };
    let ready = count(|subset| &subset.addresses, subsets);
    let others = count(|subset| &subset.not_ready_addresses, subsets);
    if ready + others <= CAPACITY {
        return false;
    }
    let (mut room, mut room_for_others) = (CAPACITY, CAPACITY.saturating_sub(ready));
    for subset in subsets {
        for (list, room) in
            [(&mut subset.addresses, &mut room), (&mut subset.not_ready_addresses, &mut room_for_others)]
        {
            let Some(list) = list else { continue };
            list.truncate(*room);
            *room -= list.len();
        }
        subset.addresses.take_if(|list| list.is_empty());
        subset.not_ready_addresses.take_if(|list| list.is_empty());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backend, port, service};
    use super::*;
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    #[test]
    fn ports_that_the_same_pods_have_are_one_subset() {
        let service = service(vec![
            port("web", 80, IntOrString::String("http".into())),
            port("admin", 90, IntOrString::Int(9090)),
        ]);
        let mut bare = (*backend("c", "10.0.0.3")).clone();
        bare.spec.as_mut().unwrap().containers[0].ports = None;
        let mut sick = (*backend("b", "10.0.0.2")).clone();
        sick.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].status = "False".into();
        let spec = service.spec.clone().unwrap();
        let whole = repack(&service, &spec, &[backend("a", "10.0.0.1"), Arc::new(sick.clone())]);
        assert_eq!(whole.len(), 1);
        assert_eq!(whole[0].ports.as_ref().unwrap().len(), 2);
        assert_eq!(whole[0].not_ready_addresses.as_ref().unwrap()[0].ip, "10.0.0.2");
        let split = repack(&service, &spec, &[backend("a", "10.0.0.1"), Arc::new(bare)]);
        assert_eq!(split.len(), 2);
    }

    #[test]
    fn pods_that_are_not_ready_count_where_the_service_says_so() {
        let mut service = service(vec![port("web", 80, IntOrString::Int(80))]);
        service.spec.as_mut().unwrap().publish_not_ready_addresses = Some(true);
        let mut sick = (*backend("b", "10.0.0.2")).clone();
        sick.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].status = "False".into();
        let spec = service.spec.clone().unwrap();
        let made = wanted(&service, &spec, &[Arc::new(sick)], None);
        assert_eq!(made.subsets.unwrap()[0].addresses.as_ref().unwrap().len(), 1);
        assert_eq!(made.metadata.labels.unwrap()[MANAGED_BY.0], MANAGED_BY.1);
    }

    #[test]
    fn an_object_holds_a_thousand_addresses_and_says_when_there_are_more() {
        let address = |number: usize| EndpointAddress { ip: number.to_string(), ..Default::default() };
        let mut subsets = vec![EndpointSubset {
            addresses: Some((0..990).map(address).collect()),
            not_ready_addresses: Some((0..20).map(address).collect()),
            ports: None,
        }];
        assert!(truncate(&mut subsets));
        assert_eq!(subsets[0].addresses.as_ref().unwrap().len(), 990);
        assert_eq!(subsets[0].not_ready_addresses.as_ref().unwrap().len(), 10);
    }
}
