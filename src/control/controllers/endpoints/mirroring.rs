//! Mirrors Endpoints that users wrote, of Services without a selector, into EndpointSlices: consumers read only slices.

use super::packing::{Group, Plan, pack};
use super::slices::{apply, existing, slices_of};
use super::{MANAGED_BY, SERVICE_NAME, TRIGGER_TIME};
use crate::control::controllers::runner::Next;
use crate::control::controllers::watches::own;
use crate::control::controllers::{Context, Controller, Error, Key, pods};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use std::sync::Arc;

pub(in super::super) const CONTROLLER: Controller = Controller {
    name: "endpoint-slice-mirroring-controller",
    watches: &[own::<Endpoints>, own::<Service>, |context| slices_of(context, MANAGER)],
    reconcile: |context, key| async move { reconcile(&context, key).await }.boxed(),
};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// Addresses of a subset that are mirrored at most.
const SUBSET: usize = 1000;
/// Annotations that say something about the Endpoints object only.
const OWN: &[&str] = &["kubectl.kubernetes.io/last-applied-configuration", TRIGGER_TIME];

async fn reconcile(context: &Context, key: Key) -> Result<Next, Error> {
    let endpoints = context.caches.of::<Endpoints>().get(&key.namespace, &key.name);
    let service = context.caches.of::<Service>().get(&key.namespace, &key.name);
    let existing = existing(context, &key, MANAGER);
    let is_wanted = |endpoints: &Arc<Endpoints>| {
        is_mirrored(endpoints) && service.as_ref().is_some_and(|service| has_no_selector(service))
    };
    let plan = match endpoints.filter(is_wanted) {
        Some(endpoints) => plan(&endpoints, existing),
        None => Plan { delete: existing, ..Plan::default() },
    };
    apply(context, plan).await?;
    Ok(Next::Wait)
}

fn has_no_selector(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.selector.is_none() && spec.type_.as_deref() != Some("ExternalName"))
}

fn is_mirrored(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    let annotations = endpoints.metadata.annotations.as_ref();
    let is_skipped = labels
        .and_then(|labels| labels.get("endpointslice.kubernetes.io/skip-mirror"))
        .is_some_and(|skip| skip == "true");
    let elects = annotations.is_some_and(|all| all.contains_key("control-plane.alpha.kubernetes.io/leader"));
    endpoints.metadata.deletion_timestamp.is_none() && !is_skipped && !elects
}

fn plan(endpoints: &Endpoints, existing: Vec<Arc<EndpointSlice>>) -> Plan {
    let mut whole = Plan::default();
    for family in ["IPv4", "IPv6"] {
        let slices: Vec<_> = existing.iter().filter(|slice| slice.address_type == family).cloned().collect();
        let groups = endpoints.subsets.iter().flatten().map(|subset| group(subset, family)).collect();
        let plan = pack(&template(endpoints, family), &slices, groups, false);
        whole.create.extend(plan.create);
        whole.update.extend(plan.update);
        whole.delete.extend(plan.delete);
    }
    whole
}

fn group(subset: &EndpointSubset, family: &str) -> Group {
    let ready = subset.addresses.iter().flatten().map(|address| (address, true));
    let others = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
    let of_family = ready.chain(others).filter(|(address, _)| address.ip.contains(':') == (family == "IPv6"));
    let endpoint = |(address, ready): (&EndpointAddress, bool)| Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..Default::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Default::default()
    };
    let port = |port: &k8s_openapi::api::core::v1::EndpointPort| EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: port.protocol.clone(),
        app_protocol: port.app_protocol.clone(),
    };
    Group {
        ports: subset.ports.iter().flatten().map(port).collect(),
        endpoints: of_family.take(SUBSET).map(endpoint).collect(),
    }
}

fn template(endpoints: &Endpoints, family: &str) -> EndpointSlice {
    let name = endpoints.metadata.name.as_deref().unwrap_or_default();
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), name.into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !OWN.contains(&key.as_str()));
    let mut owner = endpoints.controller_owner_ref(&());
    if let Some(owner) = &mut owner {
        owner.block_owner_deletion = Some(true);
    }
    EndpointSlice {
        address_type: family.into(),
        metadata: ObjectMeta {
            generate_name: Some(pods::prefix(name)),
            namespace: endpoints.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            owner_references: owner.map(|owner| vec![owner]),
            ..Default::default()
        },
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn endpoints() -> Endpoints {
        serde_json::from_value(json!({
            "metadata": {"name": "db", "namespace": "default", "labels": {"tier": "data"}},
            "subsets": [{"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}],
                "notReadyAddresses": [{"ip": "192.0.2.2"}], "ports": [{"port": 5432}]}]}))
        .unwrap()
    }

    #[test]
    fn addresses_are_mirrored_by_family() {
        let plan = plan(&endpoints(), Vec::new());
        assert_eq!(plan.create.len(), 2);
        assert_eq!(plan.create[0].endpoints.as_ref().unwrap().len(), 2);
        assert_eq!(plan.create[1].address_type, "IPv6");
        let labels = plan.create[0].metadata.labels.as_ref().unwrap();
        assert_eq!((labels["tier"].as_str(), labels[MANAGED_BY].as_str()), ("data", MANAGER));
    }

    #[test]
    fn what_asks_to_be_left_alone_is() {
        let mut endpoints = endpoints();
        assert!(is_mirrored(&endpoints));
        let skip = ("endpointslice.kubernetes.io/skip-mirror".to_string(), "true".to_string());
        endpoints.metadata.labels = Some([skip].into());
        assert!(!is_mirrored(&endpoints));
    }
}
