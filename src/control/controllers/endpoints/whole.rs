//! Endpoints on the real server.

use crate::control::controllers::testing::{eventually, make_ready, world};
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

fn service(name: &str, selector: serde_json::Value) -> serde_json::Value {
    json!({"metadata": {"name": name}, "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]}})
}

#[tokio::test]
async fn a_service_follows_its_pods_from_pending_to_gone() {
    let world = world().await;
    world.make::<Service>(service("web", json!({"app": "web"}))).await;
    let pod = json!({"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    world.make::<Pod>(pod).await;
    make_ready(&world).await;
    let has = |count: usize| {
        move |endpoints: Option<&Endpoints>| {
            let subsets = endpoints.and_then(|endpoints| endpoints.subsets.clone()).unwrap_or_default();
            subsets.iter().flat_map(|subset| subset.addresses.iter().flatten()).count() == count && endpoints.is_some()
        }
    };
    eventually(world.door::<Endpoints>(), "web", has(1)).await;
    let slices = || async {
        world
            .door::<EndpointSlice>()
            .list(&ListParams::default().labels("kubernetes.io/service-name=web"))
            .await
            .unwrap()
            .items
    };
    let slice = slices().await.remove(0);
    assert_eq!(slice.ports.unwrap()[0].port, Some(8080));
    world.door::<Pod>().delete("web", &DeleteParams::default().grace_period(0)).await.unwrap();
    eventually(world.door::<Endpoints>(), "web", has(0)).await;
    world.door::<Service>().delete("web", &DeleteParams::default()).await.unwrap();
    eventually(world.door::<Endpoints>(), "web", |endpoints| endpoints.is_none()).await;
    let name = slice.metadata.name.unwrap();
    eventually(world.door::<EndpointSlice>(), &name, |slice| slice.is_none()).await;
}

#[tokio::test]
async fn endpoints_of_users_are_mirrored() {
    let world = world().await;
    world.make::<Service>(service("db", json!(null))).await;
    let endpoints = json!({"metadata": {"name": "db"}, "subsets": [{"addresses": [{"ip": "192.0.2.9"}], "ports": [{"port": 5432}]}]});
    world.make::<Endpoints>(endpoints).await;
    let params =
        ListParams::default().labels("endpointslice.kubernetes.io/managed-by=endpointslicemirroring-controller.k8s.io");
    let door = world.door::<EndpointSlice>();
    crate::client::wait::any(door.clone(), params.label_selector.as_deref().unwrap(), |_: &EndpointSlice| true).await;
    let slice = door.list(&params).await.unwrap().items.remove(0);
    assert_eq!(slice.endpoints.unwrap()[0].addresses, ["192.0.2.9"]);
    let patch = Patch::Merge(json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}}));
    world.door::<Endpoints>().patch("db", &PatchParams::default(), &patch).await.unwrap();
    eventually(door, slice.metadata.name.as_deref().unwrap(), |slice| slice.is_none()).await;
}
