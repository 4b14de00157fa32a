//! From what the API says to the routing table. Pure: the same world makes the same table.

use super::annotations::{self, Remarks};
use super::config::{self, Config};
use super::endpoints::Backend;
use super::htpasswd::Users;
use super::metrics::{Counters, Totals};
use super::paths::{Kind, Rule, Rules};
use super::report::{Finding, Severity};
use super::settings::Settings;
use super::table::{CATCH_ALL, Location, Origin, Server, Table};
use super::tls::{self, Certificates};
use super::world::{Port, World, own_reference};
use super::{Options, annotations::PREFIX};
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend, IngressTLS};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rustls::sign::CertifiedKey;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The ConfigMaps of the controller, in its own namespace.
const CONFIG: &str = "ingress-nginx-controller";
const TCP: &str = "tcp-services";
const UDP: &str = "udp-services";

type BackendKey = (String, String, Port, bool);
type Read = Result<Arc<CertifiedKey>, String>;

/// Makes tables; keeps what need not be made anew.
pub struct Assembler {
    options: Options,
    backends: HashMap<BackendKey, Arc<Backend>>,
    addresses: HashMap<BackendKey, Vec<Arc<str>>>,
    /// Certificates by the version of their Secret.
    certificates: HashMap<(String, String), (String, Read)>,
}

/// A host that is being put together.
#[derive(Default)]
struct Draft {
    locations: Vec<Location>,
    /// For what no rule of the host takes.
    rest: Option<Location>,
    by_expression: bool,
    has_tls: bool,
    www: bool,
    aliases: Vec<String>,
}

/// One Ingress, read.
struct Reading<'a> {
    ingress: &'a Ingress,
    namespace: &'a str,
    name: &'a str,
    settings: Arc<Settings>,
    finding: Finding,
}

/// One step of assembling.
struct Step<'w, 's> {
    world: &'w World,
    totals: &'s Totals,
    assembler: &'s mut Assembler,
    backends: HashMap<BackendKey, Arc<Backend>>,
    drafts: BTreeMap<String, Draft>,
    certificates: Certificates,
    used: HashMap<(String, String), (String, Read)>,
}

impl Assembler {
    /// Nothing is kept yet.
    pub fn new(options: Options) -> Self {
        Self { options, backends: HashMap::new(), addresses: HashMap::new(), certificates: HashMap::new() }
    }

    /// Makes the table, and what is to be told of each Ingress.
    pub fn assemble(&mut self, world: &World, totals: &Totals) -> (Table, Vec<Finding>) {
        let mut findings = Vec::new();
        let config = self.config(world, &mut findings);
        let mut step = Step {
            world,
            totals,
            assembler: self,
            backends: HashMap::new(),
            drafts: BTreeMap::from([(CATCH_ALL.into(), Draft::default())]),
            certificates: Certificates::default(),
            used: HashMap::new(),
        };
        let mut readings: Vec<Reading> = world.ingresses.iter().map(|ingress| step.read(ingress, &config)).collect();
        readings.iter_mut().filter(|reading| reading.settings.canary.is_none()).for_each(|reading| step.rules(reading));
        readings
            .iter_mut()
            .filter(|reading| reading.settings.canary.is_some())
            .for_each(|reading| step.canaries(reading));
        readings.iter_mut().for_each(|reading| step.tls(reading));
        let streams = step.streams(&mut findings);
        let (drafts, certificates) = (std::mem::take(&mut step.drafts), std::mem::take(&mut step.certificates));
        let (backends, used) = (step.backends, step.used);
        self.addresses.retain(|key, _| backends.contains_key(key));
        (self.backends, self.certificates) = (backends, used);
        let mut table =
            Table { config: Arc::new(config), certificates: Arc::new(certificates), streams, ..Table::default() };
        let mut broken = Vec::new();
        finish(&mut table, drafts, &mut broken);
        for (origin, why) in broken {
            let own = readings
                .iter_mut()
                .find(|reading| reading.namespace == origin.namespace && reading.name == origin.ingress);
            if let Some(reading) = own {
                reading.tell(Severity::Denied, why);
            }
        }
        findings.extend(readings.into_iter().map(|reading| reading.finding));
        (table, findings)
    }

    fn config(&self, world: &World, findings: &mut Vec<Finding>) -> Config {
        let namespace = &self.options.namespace;
        let Some(map) = world.map(namespace, CONFIG) else { return Config::default() };
        let (mut config, mut wrong) = Config::read(map.data.as_ref().unwrap_or(&BTreeMap::new()));
        let mut headers = |reference: &Option<String>| {
            let Some(reference) = reference else { return Vec::new() };
            // Who may write this ConfigMap may write anything in the namespace of the controller.
            let (other, name) = reference.split_once('/').unwrap_or((namespace, reference));
            let data = world.map(other, name).and_then(|map| map.data.as_ref());
            let read = data.ok_or_else(|| format!("there is no ConfigMap `{reference}`")).and_then(config::headers);
            read.unwrap_or_else(|why| {
                wrong.push(why);
                Vec::new()
            })
        };
        config.request_headers = headers(&config.request_headers_from);
        config.headers = headers(&config.headers_from);
        findings.push(finding_of_map(map, wrong));
        config
    }
}

impl Reading<'_> {
    fn tell(&mut self, severity: Severity, text: impl Into<String>) {
        self.finding.told.insert((severity, text.into()));
    }

    fn origin(&self, backend: &IngressBackend) -> Origin {
        let service = backend.service.as_ref();
        Origin {
            namespace: self.namespace.into(),
            ingress: self.name.into(),
            service: service.map(|service| service.name.clone()).unwrap_or_default(),
            port: port_of(backend).to_string(),
        }
    }
}

impl<'w> Step<'w, '_> {
    fn read(&mut self, ingress: &'w Arc<Ingress>, config: &Config) -> Reading<'w> {
        let meta = &ingress.metadata;
        let none = BTreeMap::new();
        let (mut settings, remarks) = annotations::read(meta.annotations.as_ref().unwrap_or(&none));
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        if let Err(why) = self.fetch(namespace, &mut settings, config) {
            settings.denied.get_or_insert(why);
        }
        let mut finding = finding_of(meta, ingress, remarks);
        if let Some(why) = &settings.denied {
            finding.told.insert((Severity::Denied, format!("Error parsing annotations: {why}")));
        }
        let name = meta.name.as_deref().unwrap_or_default();
        Reading { ingress, namespace, name, settings: Arc::new(settings), finding }
    }

    /// Takes in the objects that annotations name.
    fn fetch(&self, namespace: &str, settings: &mut Settings, config: &Config) -> Result<(), String> {
        if settings.basic.is_on {
            let reference = settings.basic.secret.as_deref().ok_or("annotation `auth-secret` is missing")?;
            let (namespace, name) = own_reference(namespace, reference)?;
            let secret =
                self.world.secret(namespace, name).ok_or_else(|| format!("there is no Secret `{namespace}/{name}`"))?;
            let data = secret.data.clone().unwrap_or_default();
            let text = |bytes: &k8s_openapi::ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
            let users = match settings.basic.is_map {
                true => Users::of_map(data.iter().map(|(user, hash)| (user.clone(), text(hash))).collect()),
                false => {
                    Users::of_file(&text(data.get("auth").ok_or(format!("the Secret `{name}` has no key `auth`"))?))
                }
            };
            settings.basic.users = Some(Arc::new(users.map_err(|why| format!("the Secret `{name}`: {why}"))?));
        }
        if let Some(reference) = &settings.outside.headers_from {
            settings.outside.headers = config::headers(&self.world.data(namespace, reference)?)?;
        }
        if let Some(reference) = &settings.headers_from {
            settings.headers = config::headers(&self.world.data(namespace, reference)?)?;
            let is_allowed =
                |name: &str| config.allowed_headers.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
            if let Some((name, _)) = settings.headers.iter().find(|(name, _)| !is_allowed(name.as_str())) {
                return Err(format!("header `{name}` is not one of `global-allowed-response-headers`"));
            }
        }
        Ok(())
    }

    fn rules(&mut self, reading: &mut Reading) {
        let Some(spec) = &reading.ingress.spec else { return };
        let mut hosts = Vec::new();
        for rule in spec.rules.iter().flatten() {
            let host = host_of(rule.host.as_deref());
            hosts.push(host.clone());
            for path in rule.http.iter().flat_map(|http| &http.paths) {
                let location = self.location(reading, rule_of(path), &path.backend);
                let draft = self.drafts.entry(host.clone()).or_default();
                if draft.locations.iter().any(|known| known.rule == location.rule) {
                    let what =
                        format!("host `{host}` and path `{}` are of an older Ingress already", location.rule.path);
                    reading.tell(Severity::Invalid, what);
                    continue;
                }
                draft.locations.push(location);
            }
            let draft = self.drafts.entry(host).or_default();
            draft.by_expression |= reading.settings.use_regex || reading.settings.rewrite.is_some();
            draft.www |= reading.settings.www_redirect;
            draft.aliases.extend(reading.settings.aliases.iter().cloned());
        }
        let Some(backend) = &spec.default_backend else { return };
        if hosts.is_empty() {
            hosts.push(CATCH_ALL.into());
        }
        for host in hosts {
            let rest = self.location(reading, Rule { path: "/".into(), kind: Kind::Text }, backend);
            self.drafts.entry(host).or_default().rest.get_or_insert(rest);
        }
    }

    fn location(&mut self, reading: &mut Reading, rule: Rule, backend: &IngressBackend) -> Location {
        let origin = reading.origin(backend);
        let errors_to = reading.settings.default_backend.clone();
        let errors_to = errors_to.map(|service| self.backend(reading, &service, Port::First, false));
        let counters: Arc<Counters> = self.totals.of(&origin);
        let backend = self.backend_of(reading, backend);
        Location {
            rule,
            origin: Arc::new(origin),
            settings: reading.settings.clone(),
            backend,
            canary: None,
            counters,
            errors_to,
        }
    }

    fn canaries(&mut self, reading: &mut Reading) {
        let Some(spec) = &reading.ingress.spec else { return };
        let Some(canary) = reading.settings.canary.clone() else { return };
        for rule in spec.rules.iter().flatten() {
            let host = host_of(rule.host.as_deref());
            for path in rule.http.iter().flat_map(|http| &http.paths) {
                let backend = self.backend_of(reading, &path.backend);
                let wanted = rule_of(path);
                let draft = self.drafts.get_mut(&host);
                let mains = draft.into_iter().flat_map(|draft| &mut draft.locations);
                let mut found = false;
                // What is sent to a site, passwords too, is for its own namespace to share.
                let of_this = |main: &&mut Location| main.rule == wanted && main.origin.namespace == reading.namespace;
                for main in mains.filter(of_this) {
                    found = true;
                    if main.canary.is_none() {
                        main.canary = Some((canary.clone(), reading.settings.clone(), backend.clone()));
                    }
                }
                if !found {
                    reading.tell(
                        Severity::Invalid,
                        format!(
                            "no Ingress of this namespace has host `{host}`, path `{}` and its type of this canary",
                            wanted.path
                        ),
                    );
                }
            }
        }
    }

    fn backend_of(&mut self, reading: &mut Reading, backend: &IngressBackend) -> Arc<Backend> {
        let Some(service) = &backend.service else {
            reading.tell(Severity::Warning, "a backend that is no Service cannot be served");
            return Arc::default();
        };
        let by_service = reading.settings.service_upstream;
        self.backend(reading, &service.name, port_of(backend), by_service)
    }

    fn backend(&mut self, reading: &mut Reading, service: &str, port: Port, by_service: bool) -> Arc<Backend> {
        match self.lookup(reading.namespace, service, port, by_service) {
            Ok(backend) => backend,
            Err(why) => {
                reading.tell(Severity::Invalid, why);
                Arc::default()
            }
        }
    }

    /// The backend of a port of a service; the same as before while its addresses are.
    fn lookup(&mut self, namespace: &str, service: &str, port: Port, by_service: bool) -> Result<Arc<Backend>, String> {
        let key = (namespace.to_string(), service.to_string(), port, by_service);
        if let Some(known) = self.backends.get(&key) {
            return Ok(known.clone());
        }
        let addresses = self.world.addresses(namespace, service, &key.2, by_service)?;
        let known = &mut *self.assembler;
        let same = known.addresses.get(&key) == Some(&addresses);
        let backend = match known.backends.get(&key) {
            Some(backend) if same => backend.clone(),
            older => {
                let backend = Arc::new(Backend::new(addresses.clone()));
                older.into_iter().for_each(|older| older.replace(backend.clone()));
                backend
            }
        };
        known.addresses.insert(key.clone(), addresses);
        self.backends.insert(key, backend.clone());
        Ok(backend)
    }

    fn tls(&mut self, reading: &mut Reading) {
        let Some(spec) = &reading.ingress.spec else { return };
        let hosts: Vec<String> = spec.rules.iter().flatten().map(|rule| host_of(rule.host.as_deref())).collect();
        for entry in spec.tls.iter().flatten() {
            let certificate = match self.certificate(reading.namespace, entry) {
                Some(Ok(certificate)) => Some(certificate),
                Some(Err(why)) => {
                    reading.tell(Severity::Invalid, why);
                    None
                }
                None => None,
            };
            // Of its own rules: another namespace's site is not its to show a certificate for.
            let is_own = |host: &String| {
                let www = reading.settings.www_redirect && hosts.iter().any(|own| other_www(own) == *host);
                hosts.contains(host) || reading.settings.aliases.contains(host) || www
            };
            let listed: Vec<String> =
                entry.hosts.iter().flatten().map(|host| host.to_lowercase()).filter(is_own).collect();
            let named = certificate.as_deref().map(tls::names).unwrap_or_default();
            let covers = |host: &String| {
                named.contains(host)
                    || host.split_once('.').is_some_and(|(_, rest)| named.contains(&format!("*.{rest}")))
            };
            let also = hosts.iter().chain(&reading.settings.aliases).filter(|host| covers(host)).cloned();
            let with_www =
                hosts.iter().filter(|_| reading.settings.www_redirect).map(|host| other_www(host)).filter(covers);
            for host in listed.iter().cloned().chain(also).chain(with_www) {
                if let Some(certificate) = &certificate {
                    self.certificates.add(&host, certificate);
                }
                if let Some(draft) = self.drafts.get_mut(&host) {
                    draft.has_tls = true;
                }
            }
        }
    }

    fn certificate(&mut self, namespace: &str, entry: &IngressTLS) -> Option<Read> {
        let name = entry.secret_name.as_deref().filter(|name| !name.is_empty())?;
        let Some(secret) = self.world.secret(namespace, name) else {
            return Some(Err(format!("there is no Secret `{namespace}/{name}`; a certificate of no worth is shown")));
        };
        let key = (namespace.to_string(), name.to_string());
        let version = secret.metadata.resource_version.clone().unwrap_or_default();
        let known = self
            .used
            .get(&key)
            .or_else(|| self.assembler.certificates.get(&key))
            .filter(|(known, _)| *known == version);
        let read = known.map(|(_, read)| read.clone()).unwrap_or_else(|| {
            let part = |name: &str| {
                secret.data.as_ref().and_then(|data| data.get(name)).map(|bytes| bytes.0.as_slice()).unwrap_or_default()
            };
            tls::read(part("tls.crt"), part("tls.key")).map_err(|why| format!("the Secret `{namespace}/{name}`: {why}"))
        });
        self.used.insert(key, (version, read.clone()));
        Some(read)
    }

    /// Ports of TCP, as `9000: "default/example-go:8080"` says.
    fn streams(&mut self, findings: &mut Vec<Finding>) -> Vec<(u16, Arc<Backend>)> {
        let namespace = self.assembler.options.namespace.clone();
        let mut streams = Vec::new();
        let world = self.world;
        if let Some(map) = world.map(&namespace, TCP) {
            let mut wrong = Vec::new();
            for (port, reference) in map.data.iter().flatten() {
                match self.stream(port, reference) {
                    Ok(stream) => streams.push(stream),
                    Err(why) => wrong.push(format!("port `{port}`: {why}")),
                }
            }
            findings.push(finding_of_map(map, wrong));
        }
        if let Some(map) = world.map(&namespace, UDP) {
            let ports = map.data.iter().flatten();
            let wrong = ports.map(|(port, _)| format!("port `{port}`: UDP is not built in here and has no effect"));
            findings.push(finding_of_map(map, wrong.collect()));
        }
        streams
    }

    fn stream(&mut self, port: &str, reference: &str) -> Result<(u16, Arc<Backend>), String> {
        let port: u16 = port.trim().parse().map_err(|_| "that is no port".to_string())?;
        let own = &self.assembler.options;
        if [own.http, own.https, own.status].contains(&port) {
            return Err("that port is the controller's own".into());
        }
        let mut parts = reference.trim().split(':');
        let (service, number) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if parts.any(|more| !more.is_empty()) {
            return Err("the PROXY protocol is not built in here".into());
        }
        let (namespace, name) =
            service.split_once('/').ok_or_else(|| format!("`{reference}` is not namespace/service:port"))?;
        let wanted = number.parse().map_or_else(|_| Port::Name(number.into()), Port::Number);
        Ok((port, self.lookup(namespace, name, wanted, false)?))
    }
}

/// Makes servers of the drafts.
fn finish(table: &mut Table, drafts: BTreeMap<String, Draft>, broken: &mut Vec<(Arc<Origin>, String)>) {
    let mut aliases = Vec::new();
    for (host, mut draft) in drafts {
        draft.locations.extend(draft.rest.take());
        if draft.www && host != CATCH_ALL {
            aliases.push((other_www(&host), Arc::new(Server { instead: Some(host.clone()), ..Server::default() })));
        }
        let wrong = |location: &Location, why| {
            broken.push((location.origin.clone(), format!("path `{}`: {why}", location.rule.path)))
        };
        let rules = Rules::new(draft.locations, draft.by_expression, wrong);
        let server = Arc::new(Server { rules, has_tls: draft.has_tls, instead: None });
        aliases.extend(draft.aliases.into_iter().map(|alias| (alias, server.clone())));
        add(table, &host, server);
    }
    // Whoever has the host itself has it.
    for (host, server) in aliases {
        let is_taken = match host.strip_prefix("*.") {
            Some(rest) => table.wildcards.contains_key(rest),
            None => table.servers.contains_key(&host),
        };
        if !is_taken {
            add(table, &host, server);
        }
    }
}

fn add(table: &mut Table, host: &str, server: Arc<Server>) {
    match host.strip_prefix("*.") {
        _ if host == CATCH_ALL => table.catch_all = server,
        Some(rest) => drop(table.wildcards.insert(rest.into(), server)),
        None => drop(table.servers.insert(host.into(), server)),
    }
}

fn other_www(host: &str) -> String {
    host.strip_prefix("www.").map_or_else(|| format!("www.{host}"), String::from)
}

/// The rule that a path of an Ingress is.
fn rule_of(path: &HTTPIngressPath) -> Rule {
    let kind = match path.path_type.as_str() {
        "Exact" => Kind::Exact,
        "Prefix" => Kind::Prefix,
        _ => Kind::Text,
    };
    Rule { path: path.path.clone().filter(|path| !path.is_empty()).unwrap_or("/".into()), kind }
}

fn host_of(host: Option<&str>) -> String {
    host.filter(|host| !host.is_empty()).map_or_else(|| CATCH_ALL.into(), str::to_lowercase)
}

fn port_of(backend: &IngressBackend) -> Port {
    let port = backend.service.as_ref().and_then(|service| service.port.as_ref());
    let by_name = || port.and_then(|port| port.name.clone()).map(Port::Name);
    port.and_then(|port| port.number).map(Port::Number).or_else(by_name).unwrap_or(Port::First)
}

fn finding_of(meta: &ObjectMeta, ingress: &Ingress, remarks: Remarks) -> Finding {
    let said = meta.annotations.iter().flatten().filter(|(name, _)| name.starts_with(PREFIX));
    let mut finding = Finding {
        about: reference(meta, "networking.k8s.io/v1", "Ingress"),
        edition: format!("{:?} {:?}", meta.generation, said.collect::<Vec<_>>()),
        is_ingress: true,
        ..Finding::default()
    };
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    if let Some([one]) = balancer.and_then(|balancer| balancer.ingress.as_deref()) {
        finding.published = one.ip.clone();
    }
    finding.told.extend(remarks.warnings.into_iter().map(|text| (Severity::Warning, text)));
    finding.told.extend(remarks.notes.into_iter().map(|text| (Severity::Note, text)));
    finding
}

fn finding_of_map(map: &ConfigMap, wrong: Vec<String>) -> Finding {
    Finding {
        about: reference(&map.metadata, "v1", "ConfigMap"),
        edition: map.metadata.resource_version.clone().unwrap_or_default(),
        told: wrong.into_iter().map(|text| (Severity::Invalid, text)).collect(),
        ..Finding::default()
    }
}

fn reference(meta: &ObjectMeta, api_version: &str, kind: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(api_version.into()),
        kind: Some(kind.into()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    fn of<K: DeserializeOwned>(values: &[Value]) -> Vec<Arc<K>> {
        values.iter().map(|value| Arc::new(serde_json::from_value(value.clone()).unwrap())).collect()
    }

    /// An Ingress of a name, with annotations and one rule per host: path, type and service.
    fn ingress(name: &str, annotations: &[(&str, &str)], rules: &[(&str, &str, &str, &str)]) -> Value {
        let annotations: BTreeMap<String, &str> =
            annotations.iter().map(|(key, value)| (format!("{PREFIX}{key}"), *value)).collect();
        let rules: Vec<Value> = rules
            .iter()
            .map(|(host, path, kind, service)| {
                let backend = json!({"service": {"name": service, "port": {"number": 80}}});
                json!({"host": host, "http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}})
            })
            .collect();
        json!({"metadata": {"name": name, "namespace": "default", "uid": name, "annotations": annotations},
            "spec": {"ingressClassName": "nginx", "rules": rules}})
    }

    fn assemble_all(ingresses: &[Value], secrets: &[Value]) -> (Table, Vec<Finding>) {
        let class = json!({"metadata": {"name": "nginx", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
            "spec": {"controller": "k8s.io/ingress-nginx"}});
        let service = |name: &str| json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"ports": [{"name": "http", "port": 80}]}});
        let slice = |name: &str, address: &str| {
            json!({"metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": [address]}, {"addresses": ["10.9.9.9"], "conditions": {"ready": false}}]})
        };
        let world = World::new(
            of(ingresses),
            of(&[class]),
            of(&[service("one"), service("two")]),
            of(&[slice("one", "10.244.0.1"), slice("two", "10.244.0.2")]),
            of(secrets),
            of(&[]),
        );
        let options = Options { namespace: "ingress-nginx".into(), publish: None, http: 80, https: 443, status: 10254 };
        Assembler::new(options).assemble(&world, &Totals::default())
    }

    fn leads_to(table: &Table, host: &str, path: &str) -> Option<String> {
        let (location, _) = table.server(host).rules.find(path)?;
        location.backend.from(0).next().map(|address| address.to_string())
    }

    #[test]
    fn hosts_and_paths_lead_to_ready_pods() {
        let (table, findings) = assemble_all(
            &[ingress(
                "a",
                &[],
                &[
                    ("Foo.com", "/", "Prefix", "one"),
                    ("foo.com", "/two", "Exact", "two"),
                    ("*.bar.com", "/", "Prefix", "two"),
                    ("x.com", "/", "Prefix", "three"),
                ],
            )],
            &[],
        );
        assert_eq!(leads_to(&table, "foo.com", "/x").as_deref(), Some("10.244.0.1:8080"));
        assert_eq!(leads_to(&table, "foo.com", "/two").as_deref(), Some("10.244.0.2:8080"));
        assert_eq!(leads_to(&table, "a.bar.com", "/").as_deref(), Some("10.244.0.2:8080"));
        assert!(table.server("other.com").rules.find("/").is_none());
        assert!(table.server("x.com").rules.find("/").unwrap().0.backend.is_empty());
        assert!(findings[0].told.iter().any(|(_, text)| text.contains("no Service `default/three`")), "{findings:?}");
    }

    #[test]
    fn classes_decide_who_is_served() {
        let with = |class: Value, annotation: Option<&str>| {
            let mut one = ingress("a", &[], &[("foo.com", "/", "Prefix", "one")]);
            one["spec"]["ingressClassName"] = class;
            one["metadata"]["annotations"] =
                annotation.map_or(Value::Null, |class| json!({"kubernetes.io/ingress.class": class}));
            leads_to(&assemble_all(&[one], &[]).0, "foo.com", "/").is_some()
        };
        assert!(with(json!("nginx"), None));
        assert!(!with(json!("traefik"), None));
        assert!(with(Value::Null, Some("nginx")));
        assert!(!with(Value::Null, Some("gce")));
        assert!(with(Value::Null, None), "the class is the default one");
    }

    #[test]
    fn the_older_ingress_keeps_a_path_and_both_share_a_host() {
        let older = ingress("a", &[], &[("foo.com", "/", "Prefix", "one")]);
        let newer = ingress("b", &[], &[("foo.com", "/", "Prefix", "two"), ("foo.com", "/b", "Prefix", "two")]);
        let (table, findings) = assemble_all(&[newer, older], &[]);
        assert_eq!(leads_to(&table, "foo.com", "/").as_deref(), Some("10.244.0.1:8080"));
        assert_eq!(leads_to(&table, "foo.com", "/b").as_deref(), Some("10.244.0.2:8080"));
        assert_eq!(findings.iter().map(|finding| finding.told.len()).sum::<usize>(), 1);
    }

    #[test]
    fn a_canary_joins_the_rule_of_its_main_ingress() {
        let main = ingress("main", &[], &[("foo.com", "/", "Prefix", "one")]);
        let canary =
            ingress("canary", &[("canary", "true"), ("canary-weight", "100")], &[("foo.com", "/", "Prefix", "two")]);
        let lonely = ingress("lonely", &[("canary", "true")], &[("bar.com", "/", "Prefix", "two")]);
        let (table, findings) = assemble_all(&[canary, lonely, main], &[]);
        let (location, _) = table.server("foo.com").rules.find("/").unwrap();
        assert_eq!(location.canary.as_ref().unwrap().0.weight, 100);
        assert_eq!(leads_to(&table, "foo.com", "/").as_deref(), Some("10.244.0.1:8080"));
        assert!(table.server("bar.com").rules.find("/").is_none());
        assert_eq!(findings.iter().filter(|finding| !finding.told.is_empty()).count(), 1);
    }

    #[test]
    fn a_canary_of_another_namespace_or_type_of_path_gets_nothing() {
        let main = ingress("main", &[], &[("foo.com", "/", "Prefix", "one")]);
        let mut foreign = ingress("foreign", &[("canary", "true")], &[("foo.com", "/", "Prefix", "two")]);
        foreign["metadata"]["namespace"] = json!("evil");
        let exact = ingress("exact", &[("canary", "true")], &[("foo.com", "/", "Exact", "two")]);
        for canary in [foreign, exact] {
            let (table, _) = assemble_all(&[canary, main.clone()], &[]);
            assert!(table.server("foo.com").rules.find("/").unwrap().0.canary.is_none());
        }
    }

    #[test]
    fn what_is_broken_denies_its_own_ingress_only() {
        let good = ingress("good", &[], &[("foo.com", "/", "Prefix", "one")]);
        let bad = ingress("bad", &[("ssl-redirect", "perhaps")], &[("foo.com", "/bad", "Prefix", "one")]);
        let open =
            ingress("open", &[("auth-type", "basic"), ("auth-secret", "nobody")], &[("bar.com", "/", "Prefix", "one")]);
        let (table, findings) = assemble_all(&[good, bad, open], &[]);
        let denied = |host: &str, path: &str| table.server(host).rules.find(path).unwrap().0.settings.denied.is_some();
        assert!(!denied("foo.com", "/") && denied("foo.com", "/bad") && denied("bar.com", "/"));
        assert_eq!(
            findings
                .iter()
                .filter(|finding| finding.told.iter().any(|(severity, _)| *severity == Severity::Denied))
                .count(),
            2
        );
    }

    #[test]
    fn aliases_www_and_default_backends_have_servers() {
        let mut one = ingress(
            "a",
            &[("server-alias", "alias.com"), ("from-to-www-redirect", "true")],
            &[("foo.com", "/x", "Prefix", "one")],
        );
        one["spec"]["defaultBackend"] = json!({"service": {"name": "two", "port": {"name": "http"}}});
        let (table, _) = assemble_all(&[one], &[]);
        assert_eq!(leads_to(&table, "alias.com", "/x").as_deref(), Some("10.244.0.1:8080"));
        assert_eq!(table.server("www.foo.com").instead.as_deref(), Some("foo.com"));
        assert_eq!(leads_to(&table, "foo.com", "/y").as_deref(), Some("10.244.0.2:8080"));
    }

    #[test]
    fn hosts_with_tls_have_the_certificate_of_their_secret() {
        let identity = crate::pki::Identity { names: vec!["foo.com".into()], ..Default::default() };
        let signed = crate::pki::authority::self_signed(&identity, std::time::Duration::from_secs(60)).unwrap();
        let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
        let secret = json!({"metadata": {"name": "tls", "namespace": "default", "resourceVersion": "1"},
            "data": {"tls.crt": encode(&signed.certificate), "tls.key": encode(&signed.key)}});
        let mut one = ingress("a", &[], &[("foo.com", "/", "Prefix", "one"), ("bar.com", "/", "Prefix", "one")]);
        one["spec"]["tls"] =
            json!([{"hosts": ["foo.com"], "secretName": "tls"}, {"hosts": ["bar.com"], "secretName": "none"}]);
        let (table, findings) = assemble_all(&[one], std::slice::from_ref(&secret));
        assert!(table.certificates.find("foo.com").is_some() && table.certificates.find("bar.com").is_none());
        assert!(table.server("foo.com").has_tls && table.server("bar.com").has_tls);

        // The site of another is no host of these rules.
        let plain = ingress("plain", &[], &[("plain.com", "/", "Prefix", "one")]);
        let mut evil = ingress("evil", &[], &[("evil.com", "/", "Prefix", "one")]);
        evil["spec"]["tls"] = json!([{"hosts": ["plain.com", "evil.com"], "secretName": "tls"}]);
        let (table, _) = assemble_all(&[plain, evil], std::slice::from_ref(&secret));
        assert!(table.server("evil.com").has_tls && !table.server("plain.com").has_tls);
        assert!(table.certificates.find("evil.com").is_some() && table.certificates.find("plain.com").is_none());
        assert!(findings[0].told.iter().any(|(_, text)| text.contains("default/none")));
    }
}
