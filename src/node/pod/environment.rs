//! A container's environment: what the image, the cluster's services, objects and the pod itself put into it.
//!
//! Source of order and wording: kubelet `pkg/kubelet/kubelet_pods.go` (makeEnvironmentVariables), `pkg/kubelet/envvars`.

use super::expand::expand;
use super::fields::{self, Around};
use super::parts;
use super::start::Start;
use crate::node::border::Image;
use k8s_openapi::api::core::v1::{ConfigMap, EnvFromSource, EnvVar, EnvVarSource, Secret, Service};
use kube::Api;
use std::collections::{BTreeMap, HashMap};

/// Search path of an image that names none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables in the order in which they were first set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Sets a variable; one that is there keeps its place.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value.into(),
            None => self.0.push((name.to_string(), value.into())),
        }
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All of them, in order.
    pub fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    fn extend(&mut self, other: Environment) {
        other.0.into_iter().for_each(|(name, value)| self.set(&name, value));
    }
}

/// What the pod asks for, and the services; without the image's own. The error is for the container's status.
pub async fn of(start: &Start) -> Result<Environment, String> {
    let services = services(start).await;
    let mut sources = Sources { start, config_maps: HashMap::new(), secrets: HashMap::new() };
    let mut own = Environment::default();
    for from in start.container.env_from.iter().flatten() {
        own.extend(sources.all_of(from).await?);
    }
    for variable in start.container.env.iter().flatten() {
        if let Some(value) = sources.value(variable, &own, &services).await? {
            own.set(&variable.name, value);
        }
    }
    for (name, value) in services {
        if own.get(&name).is_none() {
            own.set(&name, value);
        }
    }
    Ok(own)
}

/// The image's variables and those that every container has, under `own`.
pub fn over_image(start: &Start, image: &Image, own: Environment) -> Environment {
    let mut all = Environment::default();
    for pair in &image.config.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        all.set(name, value);
    }
    if all.get("PATH").is_none() {
        all.set("PATH", PATH);
    }
    all.set("HOSTNAME", super::sandbox::hostname(&start.node, &start.pod));
    if start.container.tty == Some(true) && all.get("TERM").is_none() {
        all.set("TERM", "xterm");
    }
    all.extend(own);
    all
}

/// Objects that are read for one container, each once.
struct Sources<'a> {
    start: &'a Start,
    config_maps: HashMap<String, Option<ConfigMap>>,
    secrets: HashMap<String, Option<Secret>>,
}

impl Sources<'_> {
    fn namespace(&self) -> &str {
        parts::namespace(&self.start.pod)
    }

    async fn config_map(&mut self, name: &str) -> Result<Option<&ConfigMap>, String> {
        if !self.config_maps.contains_key(name) {
            let api: Api<ConfigMap> = Api::namespaced(self.start.node.client.clone(), self.namespace());
            let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
            self.config_maps.insert(name.to_string(), found);
        }
        Ok(self.config_maps[name].as_ref())
    }

    async fn secret(&mut self, name: &str) -> Result<Option<&Secret>, String> {
        if !self.secrets.contains_key(name) {
            let api: Api<Secret> = Api::namespaced(self.start.node.client.clone(), self.namespace());
            let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
            self.secrets.insert(name.to_string(), found);
        }
        Ok(self.secrets[name].as_ref())
    }

    /// Every key of an object.
    async fn all_of(&mut self, from: &EnvFromSource) -> Result<Environment, String> {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let mut all = Environment::default();
        if let Some(reference) = &from.config_map_ref {
            match self.config_map(&reference.name).await? {
                Some(found) => {
                    for (key, value) in found.data.iter().flatten() {
                        all.set(&format!("{prefix}{key}"), value);
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(format!("configmap \"{}\" not found", reference.name)),
            }
        }
        if let Some(reference) = &from.secret_ref {
            match self.secret(&reference.name).await? {
                Some(found) => {
                    for (key, value) in found.data.iter().flatten() {
                        all.set(&format!("{prefix}{key}"), String::from_utf8_lossy(&value.0));
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(format!("secret \"{}\" not found", reference.name)),
            }
        }
        all.0.retain(|(name, _)| is_name(name));
        Ok(all)
    }

    /// The value of a variable; nothing if it is optional and missing.
    async fn value(
        &mut self,
        variable: &EnvVar,
        own: &Environment,
        services: &BTreeMap<String, String>,
    ) -> Result<Option<String>, String> {
        let Some(from) = &variable.value_from else {
            let find = |name: &str| own.get(name).map(String::from).or_else(|| services.get(name).cloned());
            return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), find)));
        };
        self.value_from(from).await
    }

    async fn value_from(&mut self, from: &EnvVarSource) -> Result<Option<String>, String> {
        let namespace = self.namespace().to_string();
        let start = self.start;
        if let Some(field) = &from.field_ref {
            return fields::field(&start.pod, &field.field_path, &around(start)).map(Some);
        }
        if let Some(selector) = &from.resource_field_ref {
            return fields::resource(&start.pod, Some(&start.container), selector, &start.node.machine).map(Some);
        }
        if let Some(selector) = &from.config_map_key_ref {
            let (name, optional) = (&selector.name, selector.optional == Some(true));
            let Some(found) = self.config_map(name).await? else {
                return if optional { Ok(None) } else { Err(format!("configmap \"{name}\" not found")) };
            };
            return match found.data.as_ref().and_then(|data| data.get(&selector.key)) {
                Some(value) => Ok(Some(value.clone())),
                None if optional => Ok(None),
                None => Err(format!("couldn't find key {} in ConfigMap {namespace}/{name}", selector.key)),
            };
        }
        if let Some(selector) = &from.secret_key_ref {
            let (name, optional) = (&selector.name, selector.optional == Some(true));
            let Some(found) = self.secret(name).await? else {
                return if optional { Ok(None) } else { Err(format!("secret \"{name}\" not found")) };
            };
            return match found.data.as_ref().and_then(|data| data.get(&selector.key)) {
                Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
                None if optional => Ok(None),
                None => Err(format!("couldn't find key {} in Secret {namespace}/{name}", selector.key)),
            };
        }
        Err("a variable has a source that this node does not know".into())
    }
}

/// What the pod's fields are besides its object.
pub fn around(start: &Start) -> Around<'_> {
    Around {
        node_name: &start.node.name,
        node_address: start.node.profile.network.node_address,
        addresses: &start.addresses,
    }
}

/// Whether a key may be the name of a variable: printable ASCII without `=`.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'=')
}

/// The variables of the services that a pod sees: those of its namespace, and always the API server's.
async fn services(start: &Start) -> BTreeMap<String, String> {
    let cache = start.node.caches.of::<Service>();
    cache.ready().await;
    let mut all = BTreeMap::new();
    if parts::spec(&start.pod).enable_service_links != Some(false) {
        cache.list_in(parts::namespace(&start.pod)).iter().for_each(|service| variables(service, &mut all));
    }
    if let Some(service) = cache.get("default", "kubernetes")
        && !all.contains_key("KUBERNETES_SERVICE_HOST")
    {
        variables(&service, &mut all);
    }
    all
}

fn variables(service: &Service, all: &mut BTreeMap<String, String>) {
    let Some(spec) = &service.spec else { return };
    let address = spec.cluster_ip.as_deref().unwrap_or_default();
    if matches!(address, "" | "None") {
        return;
    }
    let name = upper(service.metadata.name.as_deref().unwrap_or_default());
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_string() };
    all.insert(format!("{name}_SERVICE_HOST"), address.to_string());
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let number = port.port;
        if index == 0 {
            all.insert(format!("{name}_SERVICE_PORT"), number.to_string());
        }
        if let Some(port_name) = port.name.as_ref().filter(|name| !name.is_empty()) {
            all.insert(format!("{name}_SERVICE_PORT_{}", upper(port_name)), number.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{number}", protocol.to_ascii_lowercase());
        let prefix = format!("{name}_PORT_{number}_{}", protocol.to_ascii_uppercase());
        if index == 0 {
            all.insert(format!("{name}_PORT"), url.clone());
        }
        all.insert(prefix.clone(), url);
        all.insert(format!("{prefix}_PROTO"), protocol.to_ascii_lowercase());
        all.insert(format!("{prefix}_PORT"), number.to_string());
        all.insert(format!("{prefix}_ADDR"), address.to_string());
    }
}

fn upper(name: &str) -> String {
    name.replace('-', "_").to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{FakeApi, FakeRuntime, node, pod, sandbox};
    use serde_json::{Value, json};
    use std::sync::Arc;

    async fn environment(container: Value, objects: &[(&str, Value)]) -> Result<HashMap<String, String>, String> {
        let api = FakeApi::default();
        for (path, object) in objects {
            api.put(path, object.clone());
        }
        let (node, _folder) = node(&api, &FakeRuntime::default());
        let pod = Arc::new(pod(json!({"containers": [container]})));
        let start = Start {
            node: Arc::new(node),
            container: parts::spec(&pod).containers[0].clone(),
            pod,
            attempt: 0,
            sandbox: sandbox("s0", 0),
            addresses: vec!["10.244.0.7".parse().unwrap()],
            pulls: Arc::default(),
            volumes: Arc::default(),
            cancel: tokio_util::sync::CancellationToken::new(),
        };
        Ok(of(&start).await?.into_pairs().into_iter().collect())
    }

    fn config_map() -> (&'static str, Value) {
        let object =
            json!({"metadata": {"name": "c", "namespace": "default", "uid": "c"}, "data": {"k": "v", "l": "w"}});
        ("/api/v1/namespaces/default/configmaps/c", object)
    }

    fn service(namespace: &str, name: &str, address: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": namespace, "uid": name}, "spec": {"clusterIP": address,
            "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]}})
    }

    #[tokio::test]
    async fn later_variables_see_earlier_ones() {
        let container = json!({"name": "web", "image": "i",
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "none", "optional": true}}],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(P_k)$(C)$$(A)"},
                    {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "l"}}},
                    {"name": "E", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "no", "optional": true}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]});
        let all = environment(container, &[config_map()]).await.unwrap();
        assert_eq!(all["B"], "1v$(C)$(A)");
        assert_eq!((all["D"].as_str(), all["IP"].as_str(), all["P_l"].as_str()), ("w", "10.244.0.7", "w"));
        assert!(!all.contains_key("E"));
    }

    #[tokio::test]
    async fn what_is_missing_is_named_as_upstream_does() {
        let with = |from: Value| json!({"name": "web", "image": "i", "env": [{"name": "A", "valueFrom": from}]});
        let error = environment(with(json!({"configMapKeyRef": {"name": "x", "key": "k"}})), &[]).await.unwrap_err();
        assert_eq!(error, "configmap \"x\" not found");
        let error = environment(with(json!({"configMapKeyRef": {"name": "c", "key": "no"}})), &[config_map()]).await;
        assert_eq!(error.unwrap_err(), "couldn't find key no in ConfigMap default/c");
        let error = environment(with(json!({"secretKeyRef": {"name": "s", "key": "k"}})), &[]).await.unwrap_err();
        assert_eq!(error, "secret \"s\" not found");
    }

    #[tokio::test]
    async fn services_are_found_by_their_names() {
        let objects = [
            ("/api/v1/namespaces/default/services/kubernetes", service("default", "kubernetes", "10.96.0.1")),
            ("/api/v1/namespaces/default/services/my-web", service("default", "my-web", "10.96.0.9")),
            ("/api/v1/namespaces/default/services/none", service("default", "none", "None")),
            ("/api/v1/namespaces/other/services/away", service("other", "away", "10.96.0.8")),
        ];
        let all = environment(json!({"name": "web", "image": "i"}), &objects).await.unwrap();
        assert_eq!(all["KUBERNETES_SERVICE_PORT_HTTPS"], "443");
        assert_eq!(all["MY_WEB_PORT"], "tcp://10.96.0.9:443");
        assert_eq!(all["MY_WEB_PORT_443_TCP_ADDR"], "10.96.0.9");
        assert!(all.keys().all(|name| !name.starts_with("NONE") && !name.starts_with("AWAY")));
    }
}
