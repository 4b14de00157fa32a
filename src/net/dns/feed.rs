//! From the API to the zone: follows services, endpoint slices and namespaces.

use super::super::kinds::{self, EndpointSlice, Namespace, SERVICE_LABEL};
use super::zone::{Endpoint, Key, Port, Service, Zone};
use crate::client::{Caches, Change, Client};
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::watch;

/// A change of something that names are made from.
enum News {
    Service(Change<kinds::Service>),
    Slice(Change<EndpointSlice>),
    Namespace(Change<Namespace>),
}

/// Keeps the zone as the API says, for ever; tells `ready` when it is complete for the first time.
pub async fn follow(client: Client, zone: Arc<RwLock<Zone>>, ready: watch::Sender<bool>) {
    let caches = Caches::new(client);
    let (services, slices, namespaces) = (caches.of(), caches.of(), caches.of());
    let mut news: SelectAll<BoxStream<News>> = SelectAll::new();
    news.push(services.changes().map(News::Service).boxed());
    news.push(slices.changes().map(News::Slice).boxed());
    news.push(namespaces.changes().map(News::Namespace).boxed());
    tokio::join!(services.ready(), slices.ready(), namespaces.ready());
    let mut feed = Feed::default();
    while let Some(Some(one)) = news.next().now_or_never() {
        feed.take(one, &zone);
    }
    ready.send_replace(true);
    while let Some(one) = news.next().await {
        feed.take(one, &zone);
    }
}

/// What the zone's services are made from.
#[derive(Default)]
struct Feed {
    services: HashMap<Key, Arc<kinds::Service>>,
    slices: HashMap<Key, BTreeMap<String, Arc<EndpointSlice>>>,
}

impl Feed {
    fn take(&mut self, news: News, zone: &RwLock<Zone>) {
        match news {
            News::Namespace(change) => {
                let name = change.object().metadata.name.clone().unwrap_or_default();
                zone.write().set_namespace(&name, matches!(change, Change::Applied { .. }));
            }
            News::Service(change) => {
                let key = key(&change.object().metadata, change.object().metadata.name.clone());
                match change {
                    Change::Applied { new, .. } => self.services.insert(key.clone(), new),
                    Change::Deleted(_) => self.services.remove(&key),
                };
                self.tell(key, zone);
            }
            News::Slice(Change::Applied { old, new }) => {
                if let Some(old) = old.filter(|old| service_of(old) != service_of(&new)) {
                    self.drop_slice(&old, zone);
                }
                let Some(key) = service_of(&new) else { return };
                let name = new.metadata.name.clone().unwrap_or_default();
                self.slices.entry(key.clone()).or_default().insert(name, new);
                self.tell(key, zone);
            }
            News::Slice(Change::Deleted(last)) => self.drop_slice(&last, zone),
        }
    }

    fn drop_slice(&mut self, slice: &EndpointSlice, zone: &RwLock<Zone>) {
        let Some(key) = service_of(slice) else { return };
        if let Some(slices) = self.slices.get_mut(&key) {
            slices.remove(slice.metadata.name.as_deref().unwrap_or_default());
            if slices.is_empty() {
                self.slices.remove(&key);
            }
        }
        self.tell(key, zone);
    }

    fn tell(&self, key: Key, zone: &RwLock<Zone>) {
        let slices = || self.slices.get(&key).into_iter().flat_map(BTreeMap::values);
        let service = self.services.get(&key).map(|service| read(service, slices()));
        zone.write().set_service(key, service);
    }
}

fn key(meta: &ObjectMeta, name: Option<String>) -> Key {
    Key { namespace: meta.namespace.clone().unwrap_or_default(), name: name.unwrap_or_default() }
}

fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
    Some(key(&slice.metadata, Some(service.clone())))
}

/// What a service and its slices say about names.
fn read<'a>(service: &kinds::Service, slices: impl Iterator<Item = &'a Arc<EndpointSlice>>) -> Service {
    let spec = &service.spec;
    let external = spec.external_name.clone().filter(|_| spec.type_.as_deref() == Some("ExternalName"));
    let own = if spec.cluster_ips.is_empty() { spec.cluster_ip.as_slice() } else { &spec.cluster_ips };
    let ports = spec.ports.iter().map(|port| self::port(port.name.as_ref(), port.protocol.as_ref(), port.port));
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for slice in slices {
        let offered = slice.ports.iter().flatten();
        let ports: Vec<Port> = offered
            .filter_map(|port| Some(self::port(port.name.as_ref(), port.protocol.as_ref(), port.port?)))
            .collect();
        let ready = slice.endpoints.iter().filter(|endpoint| endpoint.conditions.ready.unwrap_or(true));
        endpoints.extend(ready.map(|endpoint| Endpoint {
            addresses: endpoint.addresses.iter().filter_map(|address| address.parse().ok()).collect(),
            hostname: endpoint.hostname.clone().filter(|name| !name.is_empty()),
            ports: ports.clone(),
        }));
    }
    Service {
        addresses: own.iter().filter_map(|address| address.parse().ok()).collect(),
        is_headless: spec.cluster_ip.as_deref() == Some("None"),
        external,
        ports: ports.collect(),
        endpoints,
    }
}

fn port(name: Option<&String>, protocol: Option<&String>, number: u16) -> Port {
    let lower = |text: Option<&String>, otherwise: &str| text.map_or(otherwise.into(), |text| text.to_lowercase());
    Port { name: lower(name, ""), protocol: lower(protocol, "tcp"), number }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock::Mock;
    use hickory_proto::rr::{Name, RecordType};
    use serde_json::{Value, json};

    fn list(kind: &str, items: &[Value]) -> Value {
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": "1"}, "items": items})
    }

    #[test]
    fn a_service_is_read_with_its_ready_endpoints() {
        let service: kinds::Service = serde_json::from_value(
            json!({"metadata": {"name": "db"}, "spec": {"clusterIP": "None", "clusterIPs": ["None"],
            "ports": [{"name": "HTTP", "port": 80}]}}),
        )
        .unwrap();
        let slice: EndpointSlice = serde_json::from_value(json!({"metadata": {"name": "db-1"},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "all"}],
            "endpoints": [{"addresses": ["10.244.0.2"], "hostname": "db-0"},
                {"addresses": ["10.244.0.3"], "conditions": {"ready": false}}]}))
        .unwrap();
        let read = read(&service, [Arc::new(slice)].iter());
        assert!(read.is_headless && read.addresses.is_empty());
        assert_eq!(read.ports, [Port { name: "http".into(), protocol: "tcp".into(), number: 80 }]);
        assert_eq!(read.endpoints.len(), 1);
        assert_eq!(read.endpoints[0].hostname.as_deref(), Some("db-0"));
        assert_eq!(read.endpoints[0].ports[0].number, 8080);
    }

    #[test]
    fn the_zone_follows_services_and_slices_in_any_order() {
        let zone = RwLock::new(Zone::new("cluster.local", "10.0.0.1".parse().unwrap()).unwrap());
        let mut feed = Feed::default();
        let meta = json!({"name": "db", "namespace": "default", "labels": {SERVICE_LABEL: "db"}});
        let slice: Arc<EndpointSlice> = Arc::new(
            serde_json::from_value(json!({"metadata": meta, "endpoints": [{"addresses": ["10.244.0.2"]}]})).unwrap(),
        );
        let service: Arc<kinds::Service> =
            Arc::new(serde_json::from_value(json!({"metadata": meta, "spec": {"clusterIP": "None"}})).unwrap());
        let exists = || {
            let name = Name::from_ascii("db.default.svc.cluster.local.").unwrap();
            zone.read().answer(&name, RecordType::A).unwrap().exists
        };
        feed.take(News::Slice(Change::Applied { old: None, new: slice.clone() }), &zone);
        assert!(!exists());
        feed.take(News::Service(Change::Applied { old: None, new: service.clone() }), &zone);
        assert!(exists());
        feed.take(News::Slice(Change::Deleted(slice)), &zone);
        assert!(!exists());
        feed.take(News::Service(Change::Deleted(service)), &zone);
        assert!(feed.slices.is_empty() && feed.services.is_empty());
    }

    #[tokio::test]
    async fn it_is_ready_when_everything_was_listed() {
        let mock = Mock::default();
        for kind in ["ServiceList", "EndpointSliceList", "NamespaceList"] {
            mock.list(list(kind, &[]));
        }
        let zone = Arc::new(RwLock::new(Zone::new("cluster.local", "10.0.0.1".parse().unwrap()).unwrap()));
        let (ready, mut is_ready) = watch::channel(false);
        let following = tokio::spawn(follow(mock.client(), zone, ready));
        is_ready.wait_for(|ready| *ready).await.unwrap();
        following.abort();
    }
}
