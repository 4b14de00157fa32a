//! Services of type LoadBalancer get an address of the cluster's own range: this is the cloud of one machine.
//!
//! Source of the rules and wording: k8s.io/cloud-provider `controllers/service/controller.go`.

use super::runner::Next;
use super::watches::own;
use super::{Context, Controller, Error, Key, write};
use crate::client::Level;
use futures::FutureExt;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Service, ServiceStatus};
use serde_json::json;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

pub(super) const CONTROLLER: Controller = Controller {
    name: "service-controller",
    watches: &[own::<Service>],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

/// Holds a Service until its address is given back.
const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// Whether a Service asks for an address from here: one of another class is another controller's.
fn is_wanted(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    service.metadata.deletion_timestamp.is_none()
        && spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none())
}

fn has_finalizer(service: &Service) -> bool {
    service.metadata.finalizers.iter().flatten().any(|own| own == FINALIZER)
}

fn ingress(service: &Service) -> Option<Ipv4Addr> {
    let balancer = service.status.as_ref()?.load_balancer.as_ref()?;
    balancer.ingress.as_ref()?.first()?.ip.as_ref()?.parse().ok()
}

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let Some(service) = context.caches.of::<Service>().get(&key.namespace, &key.name) else { return Ok(Next::Wait) };
    if context.config.load_balancer_cidr.is_empty() {
        return Ok(Next::Wait);
    }
    match (is_wanted(&service), has_finalizer(&service)) {
        (true, _) => ensure(context, service).await?,
        (false, true) => release(context, service).await?,
        (false, false) => {}
    }
    Ok(Next::Wait)
}

async fn ensure(context: &Context, service: Arc<Service>) -> Result<(), Error> {
    // One at a time: two Services must not choose the same address.
    let _choosing = context.choosing_address.lock().await;
    let all = context.caches.of::<Service>().list();
    let taken: HashSet<Ipv4Addr> = all
        .iter()
        .filter(|other| other.metadata.uid != service.metadata.uid)
        .filter_map(|other| ingress(other))
        .collect();
    let asked = service.spec.as_ref().and_then(|spec| spec.load_balancer_ip.clone()).filter(|ip| !ip.is_empty());
    let present = ingress(&service);
    let chosen = choose(&context.config.load_balancer_cidr, &taken, asked.as_deref(), present);
    if chosen.as_ref().ok() == present.as_ref() && has_finalizer(&service) {
        return Ok(());
    }
    context.record(CONTROLLER.name, &*service, Level::Normal, "EnsuringLoadBalancer", "Ensuring load balancer");
    let address = chosen.map_err(|why| {
        let text = format!("Error syncing load balancer: failed to ensure load balancer: {why}");
        context.record(CONTROLLER.name, &*service, Level::Warning, "SyncLoadBalancerFailed", text.clone());
        Error::Invalid(text)
    })?;
    let service = if has_finalizer(&service) { service } else { Arc::new(hold(context, &service).await?) };
    let place =
        LoadBalancerIngress { ip: Some(address.to_string()), ip_mode: Some("VIP".into()), ..Default::default() };
    let balancer = LoadBalancerStatus { ingress: Some(vec![place]) };
    let status = ServiceStatus { load_balancer: Some(balancer), ..service.status.clone().unwrap_or_default() };
    write::merge_status(context, &*service, status).await?;
    context.record(CONTROLLER.name, &*service, Level::Normal, "EnsuredLoadBalancer", "Ensured load balancer");
    Ok(())
}

/// The address of a Service: the one it asks for, else the one it has, else the first that is free.
fn choose(
    range: &str,
    taken: &HashSet<Ipv4Addr>,
    asked: Option<&str>,
    present: Option<Ipv4Addr>,
) -> Result<Ipv4Addr, String> {
    let addresses = addresses(range).ok_or_else(|| format!("{range:?} is no range of addresses"))?;
    let is_free = |address: &Ipv4Addr| addresses.contains(&u32::from(*address)) && !taken.contains(address);
    if let Some(asked) = asked {
        let address: Ipv4Addr = asked.parse().map_err(|_| format!("loadBalancerIP {asked:?} is no IPv4 address"))?;
        return is_free(&address).then_some(address).ok_or_else(|| format!("address {asked} is not free in {range}"));
    }
    let mut all = present.into_iter().chain(addresses.clone().map(Ipv4Addr::from));
    all.find(is_free).ok_or_else(|| format!("no address is free in {range}"))
}

/// The addresses of a network but its first and its last.
fn addresses(range: &str) -> Option<std::ops::Range<u32>> {
    let (base, prefix) = range.split_once('/')?;
    let base = u32::from(base.parse::<Ipv4Addr>().ok()?);
    let prefix: u32 = prefix.parse().ok().filter(|prefix| (1..=30).contains(prefix))?;
    let size = 1u32 << (32 - prefix);
    let first = base & !(size - 1);
    Some(first + 1..first + size - 1)
}

async fn hold(context: &Context, service: &Service) -> Result<Service, Error> {
    let mut finalizers = service.metadata.finalizers.clone().unwrap_or_default();
    finalizers.push(FINALIZER.into());
    patch_finalizers(context, service, finalizers).await
}

async fn patch_finalizers(context: &Context, service: &Service, finalizers: Vec<String>) -> Result<Service, Error> {
    let meta = json!({"uid": service.metadata.uid, "resourceVersion": service.metadata.resource_version,
        "finalizers": finalizers});
    write::merge(context, service, json!({"metadata": meta})).await
}

async fn release(context: &Context, service: Arc<Service>) -> Result<(), Error> {
    context.record(CONTROLLER.name, &*service, Level::Normal, "DeletingLoadBalancer", "Deleting load balancer");
    let status = ServiceStatus {
        load_balancer: Some(LoadBalancerStatus::default()),
        ..service.status.clone().unwrap_or_default()
    };
    write::merge_status(context, &*service, status).await?;
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let service = context.caches.of::<Service>().get(namespace, name).unwrap_or(service);
    let mut finalizers = service.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|own| own != FINALIZER);
    match patch_finalizers(context, &service, finalizers).await {
        Err(error) if !write::is_missing(&error) => return Err(error),
        _ => {}
    }
    context.record(CONTROLLER.name, &*service, Level::Normal, "DeletedLoadBalancer", "Deleted load balancer");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::controllers::testing::{eventually, world};
    use kube::api::{DeleteParams, Patch, PatchParams};

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, last)
    }

    #[test]
    fn addresses_are_kept_asked_for_or_the_first_free_one() {
        let taken = HashSet::from([address(129)]);
        let choose = |asked, present| choose("192.0.2.128/25", &taken, asked, present);
        assert_eq!(choose(None, None), Ok(address(130)));
        assert_eq!(choose(None, Some(address(200))), Ok(address(200)));
        assert_eq!(choose(None, Some(address(7))), Ok(address(130)));
        assert_eq!(choose(Some("192.0.2.250"), Some(address(200))), Ok(address(250)));
        assert!(choose(Some("192.0.2.129"), None).is_err());
        assert!(choose(Some("192.0.2.255"), None).is_err());
    }

    #[tokio::test]
    async fn a_service_gets_an_address_and_gives_it_back() {
        let world = world().await;
        let spec = json!({"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]});
        world.make::<Service>(json!({"metadata": {"name": "web"}, "spec": spec})).await;
        let has = |service: Option<&Service>| service.is_some_and(|service| ingress(service).is_some());
        let service = eventually(world.door::<Service>(), "web", has).await.unwrap();
        assert!(has_finalizer(&service));
        let patch = Patch::Merge(json!({"spec": {"type": "ClusterIP"}}));
        world.door::<Service>().patch("web", &PatchParams::default(), &patch).await.unwrap();
        let none = |service: Option<&Service>| service.is_some_and(|one| ingress(one).is_none() && !has_finalizer(one));
        eventually(world.door::<Service>(), "web", none).await;
        world.door::<Service>().delete("web", &DeleteParams::default()).await.unwrap();
        eventually(world.door::<Service>(), "web", |service| service.is_none()).await;
    }
}
