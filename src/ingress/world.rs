//! What the API says, as of one moment, arranged for looking up.

use super::{CLASS, CONTROLLER};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The older way to name a class.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Namespace and name.
type Key = (String, String);

/// All objects that the table is made from.
#[derive(Default)]
pub struct World {
    /// Those that are served here, oldest first.
    pub ingresses: Vec<Arc<Ingress>>,
    services: HashMap<Key, Arc<Service>>,
    slices: HashMap<Key, Vec<Arc<EndpointSlice>>>,
    secrets: HashMap<Key, Arc<Secret>>,
    maps: HashMap<Key, Arc<ConfigMap>>,
}

impl World {
    /// Arranges them.
    pub fn new(
        ingresses: Vec<Arc<Ingress>>,
        classes: Vec<Arc<IngressClass>>,
        services: Vec<Arc<Service>>,
        slices: Vec<Arc<EndpointSlice>>,
        secrets: Vec<Arc<Secret>>,
        maps: Vec<Arc<ConfigMap>>,
    ) -> Self {
        let is_ours = |class: &&Arc<IngressClass>| {
            class.spec.as_ref().and_then(|spec| spec.controller.as_deref()) == Some(CONTROLLER)
        };
        let own = || classes.iter().filter(is_ours);
        let names: HashSet<&str> = own().filter_map(|class| class.metadata.name.as_deref()).collect();
        let is_default = own().any(|class| annotation(&class.metadata, DEFAULT_CLASS) == Some("true"));
        let mut ingresses: Vec<_> =
            ingresses.into_iter().filter(|ingress| is_served(ingress, &names, is_default)).collect();
        ingresses.sort_by_cached_key(|ingress| {
            let created = ingress.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (created, key(&ingress.metadata))
        });
        let mut by_service: HashMap<Key, Vec<Arc<EndpointSlice>>> = HashMap::new();
        for slice in slices {
            let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL)).cloned();
            if let Some(service) = service {
                let namespace = slice.metadata.namespace.clone().unwrap_or_default();
                by_service.entry((namespace, service)).or_default().push(slice);
            }
        }
        Self {
            ingresses,
            services: services.into_iter().map(|service| (key(&service.metadata), service)).collect(),
            slices: by_service,
            secrets: secrets.into_iter().map(|secret| (key(&secret.metadata), secret)).collect(),
            maps: maps.into_iter().map(|map| (key(&map.metadata), map)).collect(),
        }
    }

    /// A Secret.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<&Arc<Secret>> {
        self.secrets.get(&(namespace.into(), name.into()))
    }

    /// A ConfigMap.
    pub fn map(&self, namespace: &str, name: &str) -> Option<&Arc<ConfigMap>> {
        self.maps.get(&(namespace.into(), name.into()))
    }

    /// The data of a ConfigMap that is named as `namespace/name`, or by its name in `here`; from elsewhere nothing is taken.
    pub fn data(&self, here: &str, reference: &str) -> Result<BTreeMap<String, String>, String> {
        let (namespace, name) = own_reference(here, reference)?;
        let map = self.map(namespace, name).ok_or_else(|| format!("there is no ConfigMap `{namespace}/{name}`"))?;
        Ok(map.data.clone().unwrap_or_default())
    }

    /// The addresses behind a port of a service: of its pods, or its own where the service is to choose.
    pub fn addresses(
        &self,
        namespace: &str,
        name: &str,
        port: &Port,
        by_service: bool,
    ) -> Result<Vec<Arc<str>>, String> {
        let key = (namespace.to_string(), name.to_string());
        let service = self.services.get(&key).ok_or_else(|| format!("there is no Service `{namespace}/{name}`"))?;
        let spec = service.spec.as_ref().ok_or_else(|| format!("the Service `{namespace}/{name}` says nothing"))?;
        let ports = spec.ports.as_deref().unwrap_or_default();
        let found = ports.iter().find(|known| match port {
            Port::Number(number) => known.port == *number,
            Port::Name(name) => known.name.as_ref() == Some(name),
            Port::First => true,
        });
        if spec.type_.as_deref() == Some("ExternalName") {
            let host = spec.external_name.as_deref().unwrap_or_default();
            let number = found.map(|port| port.port).or(port.number()).unwrap_or(80);
            return Ok(vec![format!("{host}:{number}").into()]);
        }
        let found = found.ok_or_else(|| format!("the Service `{namespace}/{name}` has no port `{port}`"))?;
        if by_service {
            let own = spec.cluster_ip.as_deref().filter(|own| *own != "None" && !own.is_empty());
            return Ok(own.map(|own| socket(own, found.port)).into_iter().collect());
        }
        let slices = self.slices.get(&key).into_iter().flatten();
        Ok(slices.flat_map(|slice| ready(slice, found.name.as_deref())).collect())
    }
}

/// A port of a service as an Ingress names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    Number(i32),
    Name(String),
    First,
}

impl Port {
    fn number(&self) -> Option<i32> {
        match self {
            Port::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Port::Number(number) => number.fmt(formatter),
            Port::Name(name) => name.fmt(formatter),
            Port::First => Ok(()),
        }
    }
}

/// The ready addresses of a slice at a port that has the name of the service's port.
fn ready(slice: &EndpointSlice, name: Option<&str>) -> Vec<Arc<str>> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let same = |port: &&k8s_openapi::api::discovery::v1::EndpointPort| {
        port.name.as_deref().unwrap_or_default() == name.unwrap_or_default()
            && port.protocol.as_deref().unwrap_or("TCP") == "TCP"
    };
    let Some(number) = ports.iter().find(same).and_then(|port| port.port) else { return Vec::new() };
    let is_ready = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    };
    let endpoints = slice.endpoints.iter().flatten().filter(is_ready);
    endpoints.flat_map(|endpoint| endpoint.addresses.first()).map(|address| socket(address, number)).collect()
}

fn socket(address: &str, port: i32) -> Arc<str> {
    let text = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    text.into()
}

/// `namespace/name`, or a name in `here`; another namespace is refused: who may write an Ingress here may not read there.
pub fn own_reference<'a>(here: &'a str, reference: &'a str) -> Result<(&'a str, &'a str), String> {
    let (namespace, name) = reference.split_once('/').unwrap_or((here, reference));
    if namespace != here {
        return Err(format!("`{reference}` is in another namespace, of which nothing is taken"));
    }
    Ok((namespace, name))
}

fn key(meta: &ObjectMeta) -> Key {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

fn is_served(ingress: &Ingress, classes: &HashSet<&str>, is_default: bool) -> bool {
    if let Some(class) = annotation(&ingress.metadata, CLASS_ANNOTATION).filter(|class| !class.is_empty()) {
        return class == CLASS || classes.contains(class);
    }
    match ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref()) {
        Some(class) => classes.contains(class),
        None => is_default,
    }
}
