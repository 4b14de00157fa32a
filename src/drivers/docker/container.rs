//! The node's container: what is asked of the engine for it, by name, and what a refusal means.

use super::super::{Error, Machine};
use super::engine::{Engine, Said, message, refused};
use super::{LABEL_ROLE, LABEL_SPECIFICATION, capabilities, labels};
use crate::config::Profile;
use crate::config::values::{self, Port, Protocol};
use bollard::container::LogOutput;
use bollard::errors::Error as Refusal;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerUpdateBody, DeviceMapping, EndpointIpamConfig,
    EndpointSettings, HostConfig, HostConfigCgroupnsModeEnum, Mount, MountType, NetworkingConfig, PortBinding, PortMap,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{CreateContainerOptionsBuilder, LogsOptionsBuilder};
use futures::TryStreamExt;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

/// How long the node may take to end: PID 1 itself waits 30 seconds for pods.
pub const STOP_SECONDS: i32 = 40;
/// Devices that a node hands on to pods, where the machine has them.
const DEVICES: &[&str] = &["/dev/fuse", "/dev/kvm", "/dev/net/tun"];
/// Folders of the machine that the node sees, read-only: the programs that `coracle ssh` finds there.
const HOST_FOLDERS: &[&str] = &["/usr", "/etc/ssl"];
/// Where all state of a node is; a named volume.
pub const STATE: &str = "/var";

/// Everything that decides how the container is made. One that was made from another specification is made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Specification {
    pub name: String,
    /// The machine's; see [`Machine::mark`].
    pub mark: String,
    pub image: String,
    pub address: String,
    pub subnet: String,
    pub capabilities: Vec<&'static str>,
    /// Capabilities that are too new for the engine; found out when it is asked.
    #[serde(skip)]
    pub unknown: Vec<&'static str>,
    pub devices: Vec<String>,
    /// Source, target, read-only.
    pub folders: Vec<(String, String, bool)>,
    /// Ports of this machine that the engine leads to the node.
    pub ports: Vec<Published>,
    /// Limits of open files and processes to ask for by name; found out when the engine is asked.
    #[serde(skip)]
    pub limits: Vec<(&'static str, i64)>,
    /// Limits can be changed while the container runs, so they are not part of its identity.
    #[serde(skip)]
    pub cpus: Option<u32>,
    #[serde(skip)]
    pub memory: Option<u64>,
}

impl Specification {
    /// The container of a machine, or the capabilities that the engine lacks for it.
    pub fn new(engine: &Engine, machine: &Machine, image: &str) -> Result<Self, Error> {
        let asked = capabilities::ask(engine.capabilities());
        if !asked.lacking.is_empty() {
            return Err(Error::Refused(format!("it lacks the capabilities {}", asked.lacking.join(", "))));
        }
        let profile = &machine.profile;
        let there = |path: &&&str| Path::new(path).exists();
        Ok(Self {
            name: profile.name.clone(),
            mark: machine.mark(),
            image: image.into(),
            address: profile.network.node_address.to_string(),
            subnet: format!("{}/{}", profile.network.host_address, profile.network.prefix),
            capabilities: asked.names,
            unknown: Vec::new(),
            limits: Vec::new(),
            devices: DEVICES.iter().filter(there).map(|path| path.to_string()).collect(),
            folders: HOST_FOLDERS
                .iter()
                .filter(there)
                .map(|path| (path.to_string(), path.to_string(), true))
                .chain(profile.mounts.iter().map(folder))
                .collect(),
            ports: profile.ports.iter().map(|port| Published::new(port, profile.listen_address())).collect(),
            cpus: profile.cpus,
            memory: profile.memory,
        })
    }

    /// A checksum of everything that cannot be changed while the container is there.
    pub fn checksum(&self) -> String {
        // A structure of texts can always be written.
        hex::encode(Sha256::digest(serde_json::to_vec(self).unwrap_or_default()))
    }

    /// What the engine is asked for.
    fn body(&self) -> ContainerCreateBody {
        let own = [(LABEL_ROLE, "node".to_string()), (LABEL_SPECIFICATION, self.checksum())];
        let endpoint = EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(self.address.clone()),
                ..EndpointIpamConfig::default()
            }),
            ..EndpointSettings::default()
        };
        ContainerCreateBody {
            hostname: Some(self.name.clone()),
            image: Some(self.image.clone()),
            entrypoint: Some(vec!["/coracle".into()]),
            cmd: Some(vec!["node-container".into()]),
            env: Some(vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()]),
            labels: Some(labels(&self.name, &self.mark, own)),
            exposed_ports: Some(self.ports.iter().map(Published::inside).collect()),
            stop_signal: Some("SIGTERM".into()),
            stop_timeout: Some(STOP_SECONDS.into()),
            host_config: Some(self.host_config()),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(self.name.clone(), endpoint)])),
            }),
            ..ContainerCreateBody::default()
        }
    }

    fn host_config(&self) -> HostConfig {
        HostConfig {
            network_mode: Some(self.name.clone()),
            port_bindings: Some(bindings(&self.ports)),
            cap_add: Some(
                self.capabilities
                    .iter()
                    .filter(|name| !self.unknown.contains(name))
                    .map(|name| name.to_string())
                    .collect(),
            ),
            // A node filters the system calls of its pods itself, and makes mounts that the default profiles forbid.
            security_opt: Some(["seccomp=unconfined", "apparmor=unconfined", "label=disable"].map(String::from).into()),
            masked_paths: Some(Vec::new()),
            readonly_paths: Some(Vec::new()),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            devices: Some(self.devices.iter().map(|path| device(path)).collect()),
            // Pods with privileges get every device that the machine has, as on any node.
            device_cgroup_rules: Some(vec!["a *:* rwm".into()]),
            mounts: Some(self.mounts()),
            tmpfs: Some(HashMap::from([("/tmp".to_string(), "exec,mode=1777".to_string())])),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                ..RestartPolicy::default()
            }),
            nano_cpus: self.cpus.map(|thousandths| i64::from(thousandths) * 1_000_000),
            memory: self.memory.map(|bytes| bytes as i64),
            // Without swap of its own beside the memory.
            memory_swap: self.memory.map(|bytes| bytes as i64),
            pids_limit: Some(-1),
            ulimits: Some(self.limits.iter().map(|(name, most)| limit_named(name, *most)).collect()),
            ..HostConfig::default()
        }
    }

    fn mounts(&self) -> Vec<Mount> {
        let state = Mount {
            target: Some(STATE.into()),
            source: Some(self.name.clone()),
            typ: Some(MountType::VOLUME),
            ..Mount::default()
        };
        let bind = |(source, target, read_only): &(String, String, bool)| Mount {
            target: Some(target.clone()),
            source: Some(source.clone()),
            typ: Some(MountType::BIND),
            read_only: Some(*read_only),
            ..Mount::default()
        };
        std::iter::once(state).chain(self.folders.iter().map(bind)).collect()
    }
}

/// One port of this machine that leads to a port of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    address: IpAddr,
    host: u16,
    node: u16,
    is_udp: bool,
}

impl Published {
    fn new(port: &Port, otherwise: IpAddr) -> Self {
        let is_udp = port.protocol == Protocol::Udp;
        Self { address: port.address.unwrap_or(otherwise), host: port.host, node: port.node, is_udp }
    }

    /// The node's port as engines write it.
    fn inside(&self) -> String {
        format!("{}/{}", self.node, if self.is_udp { "udp" } else { "tcp" })
    }
}

fn bindings(ports: &[Published]) -> PortMap {
    let mut bindings = PortMap::new();
    for port in ports {
        let binding = PortBinding { host_ip: Some(port.address.to_string()), host_port: Some(port.host.to_string()) };
        bindings.entry(port.inside()).or_insert_with(|| Some(Vec::new())).get_or_insert_default().push(binding);
    }
    bindings
}

/// The ports with which a container was made.
pub fn published(there: &ContainerInspectResponse) -> Vec<Port> {
    let bindings = there.host_config.iter().filter_map(|host| host.port_bindings.as_ref()).flatten();
    let each = bindings.flat_map(|(inside, outside)| outside.iter().flatten().map(move |binding| (inside, binding)));
    each.filter_map(|(inside, binding)| {
        let (node, protocol) = inside.split_once('/')?;
        Some(Port {
            address: binding.host_ip.as_deref().and_then(|address| address.parse().ok()),
            host: binding.host_port.as_deref()?.parse().ok()?,
            node: node.parse().ok()?,
            protocol: if protocol == "udp" { Protocol::Udp } else { Protocol::Tcp },
        })
    })
    .collect()
}

/// A folder of this machine as the engine is to show it; the engine knows absolute paths only.
fn folder(mount: &values::Mount) -> (String, String, bool) {
    let source = std::path::absolute(&mount.source).unwrap_or_else(|_| mount.source.clone());
    (source.display().to_string(), mount.target.display().to_string(), mount.read_only)
}

/// Gives a container that is there the processors and memory of a profile; zero is no limit.
pub async fn limit(engine: &Engine, profile: &Profile) -> Result<(), Error> {
    let memory = profile.memory.map_or(-1, |bytes| bytes as i64);
    let limits = ContainerUpdateBody {
        nano_cpus: Some(profile.cpus.map_or(0, |thousandths| i64::from(thousandths) * 1_000_000)),
        memory: Some(memory),
        memory_swap: Some(memory),
        ..ContainerUpdateBody::default()
    };
    let changed = engine.docker.update_container(&profile.name, limits).await;
    changed.map_err(refused("cannot change the limits of the node's container"))
}

fn limit_named(name: &str, most: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.into()), soft: Some(most), hard: Some(most) }
}

fn device(path: &str) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(path.into()),
        path_in_container: Some(path.into()),
        cgroup_permissions: Some("rwm".into()),
    }
}

/// Makes the container; it does not run yet. Capabilities that the engine is too old to know are left out one by one.
pub async fn create(engine: &Engine, mut specification: Specification) -> Result<(), Error> {
    let options = CreateContainerOptionsBuilder::default().name(&specification.name).build();
    specification.limits = engine.limits().iter().flatten().copied().collect();
    loop {
        let refusal = match engine.docker.create_container(Some(options.clone()), specification.body()).await {
            Ok(_) => return Ok(()),
            Err(refusal) => refusal,
        };
        match unknown_capability(&refusal, &specification) {
            Some(name) => specification.unknown.push(name),
            None => return Err(explain("cannot make the node's container")(refusal)),
        }
    }
}

/// The capability of ours that the engine says it does not know.
fn unknown_capability(refusal: &Refusal, specification: &Specification) -> Option<&'static str> {
    let Refusal::DockerResponseServerError { message, .. } = refusal else { return None };
    let name = message.split_once("unknown capability")?.1;
    let name: String = name.chars().filter(|c| c.is_ascii_uppercase() || *c == '_').collect();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    let asked = specification.capabilities.iter().filter(|asked| !specification.unknown.contains(asked));
    asked.copied().find(|asked| *asked == name)
}

/// A refusal to give the node what it needs is told apart from other errors.
pub fn explain(what: &'static str) -> impl FnOnce(Refusal) -> Error {
    move |refusal| {
        let text = message(refusal);
        let lower = text.to_lowercase();
        let rights = ["apply caps", "capability", "cgroupns", "operation not permitted", "device cgroup"];
        match rights.iter().any(|word| lower.contains(word)) {
            true => Error::Refused(text),
            false => Error::Engine { what: what.into(), source: Box::new(Said(text)) },
        }
    }
}

/// What a container has said, newest last.
pub async fn log(engine: &Engine, name: &str, tail: &str) -> Result<String, Error> {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(tail).build();
    let lines: Result<Vec<LogOutput>, _> = engine.docker.logs(name, Some(options)).try_collect().await;
    let lines = lines.map_err(refused("cannot read the log of the node's container"))?;
    Ok(lines.iter().map(|line| String::from_utf8_lossy(line.as_ref()).into_owned()).collect())
}

/// The last line that a container said.
pub async fn last_words(engine: &Engine, name: &str) -> String {
    let text = log(engine, name, "1").await.unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specification() -> Specification {
        Specification {
            name: "web".into(),
            mark: "web-1234".into(),
            image: "coracle.local/node:1".into(),
            address: "192.168.49.2".into(),
            subnet: "192.168.49.1/24".into(),
            capabilities: vec!["SYS_ADMIN", "NET_ADMIN"],
            unknown: Vec::new(),
            limits: Vec::new(),
            devices: vec!["/dev/fuse".into()],
            folders: vec![("/home/a".into(), "/data".into(), false)],
            ports: vec![Published { address: [127, 0, 0, 1].into(), host: 8080, node: 80, is_udp: false }],
            cpus: Some(1500),
            memory: Some(1 << 30),
        }
    }

    #[test]
    fn a_container_asks_for_rights_by_name_and_never_for_all() {
        let host = specification().body().host_config.unwrap();
        assert_eq!(host.privileged, None);
        assert_eq!(host.cap_add.unwrap(), ["SYS_ADMIN", "NET_ADMIN"]);
        assert_eq!(host.nano_cpus, Some(1_500_000_000));
        assert_eq!(host.memory, Some(1 << 30));
        let mounts = host.mounts.unwrap();
        assert_eq!(mounts[0].source.as_deref(), Some("web"));
        assert_eq!((mounts[1].source.as_deref(), mounts[1].target.as_deref()), (Some("/home/a"), Some("/data")));
    }

    #[test]
    fn ports_are_published_and_read_back() {
        let body = specification().body();
        assert_eq!(body.exposed_ports.unwrap(), ["80/tcp"]);
        let there = ContainerInspectResponse { host_config: body.host_config, ..Default::default() };
        assert_eq!(published(&there), ["127.0.0.1:8080:80".parse::<Port>().unwrap()]);
    }

    #[test]
    fn only_what_cannot_be_changed_makes_a_container_another_one() {
        let one = specification();
        let limits = Specification { cpus: None, memory: Some(1), ..one.clone() };
        assert_eq!(one.checksum(), limits.checksum());
        let folders = Specification { folders: Vec::new(), ..one.clone() };
        assert_ne!(one.checksum(), folders.checksum());
    }

    #[test]
    fn a_capability_that_the_engine_does_not_know_is_found_in_its_words() {
        let refusal = |text: &str| Refusal::DockerResponseServerError { status_code: 400, message: text.into() };
        let one = specification();
        let said = refusal("invalid CapAdd: unknown capability: \"CAP_NET_ADMIN\"");
        assert_eq!(unknown_capability(&said, &one), Some("NET_ADMIN"));
        let after = Specification { unknown: vec!["NET_ADMIN"], ..one.clone() };
        assert_eq!(unknown_capability(&said, &after), None, "asked once only");
        assert_eq!(unknown_capability(&refusal("no space"), &one), None);
    }

    #[test]
    fn a_refusal_of_rights_is_told_apart() {
        let refusal = |text: &str| Refusal::DockerResponseServerError { status_code: 500, message: text.into() };
        let rights = explain("x")(refusal("OCI runtime create failed: unable to apply caps: operation not permitted"));
        assert!(matches!(rights, Error::Refused(_)));
        assert!(matches!(explain("x")(refusal("port is already allocated")), Error::Engine { .. }));
    }
}
