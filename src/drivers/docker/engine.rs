//! The engine: where it listens (Docker's variables and contexts, podman's sockets), whether it can carry a node, and what
//! its refusals mean.

use super::super::{Error, Health, Machine, native};
use bollard::errors::Error as Refusal;
use bollard::models::SystemInfo;
use bollard::{API_DEFAULT_VERSION, Docker};
use sha2::{Digest, Sha256};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Seconds that one request may take: an image is made within it on a slow disk.
const REQUEST_SECONDS: u64 = 120;
/// How long an engine may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// An engine that answers.
#[derive(Clone)]
pub struct Engine {
    pub docker: Docker,
    /// Its socket.
    pub socket: PathBuf,
}

/// Why no engine can be used.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("no engine listens: neither Docker's nor podman's socket is there")]
    NotFound,
    #[error("podman does not listen: its socket is not there")]
    NoPodman,
    #[error("the engine is at `{0}`, and only unix sockets of this machine are supported")]
    Elsewhere(String),
    #[error("the Docker context `{name}` cannot be read: {why}")]
    Context { name: String, why: String },
    #[error("this user may not talk to the engine at {0}")]
    Permission(String),
    #[error("the engine at {socket} does not answer: {why}")]
    NotRunning { socket: String, why: String },
    #[error("{0}")]
    Unsuited(String),
}

impl Trouble {
    /// Minikube's reason, and what to do.
    pub fn health(&self) -> Health {
        let (id, fix) = match self {
            Trouble::NotFound => {
                ("PROVIDER_DOCKER_NOT_FOUND", "install Docker or podman, or set DOCKER_HOST=unix:///path")
            }
            Trouble::NoPodman => (
                "PROVIDER_PODMAN_NOT_FOUND",
                "systemctl enable --now podman.socket, or set CONTAINER_HOST=unix:///path",
            ),
            Trouble::Elsewhere(_) => ("PROVIDER_DOCKER_ERROR", "DOCKER_HOST=unix:///var/run/docker.sock coracle start"),
            Trouble::Context { .. } => ("PROVIDER_DOCKER_ERROR", "docker context use default"),
            Trouble::Permission(_) => ("PROVIDER_DOCKER_NEWGRP", "sudo usermod -aG docker $USER && newgrp docker"),
            Trouble::NotRunning { .. } => ("PROVIDER_DOCKER_NOT_RUNNING", "sudo systemctl start docker"),
            Trouble::Unsuited(_) => ("PROVIDER_DOCKER_ERROR", "coracle doctor"),
        };
        Health::unusable(id, self.to_string(), fix)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        let Health { id, reason, fix, .. } = trouble.health();
        Error::NoEngine { id, reason, fix }
    }
}

/// What the environment says about engines.
#[derive(Debug, Default)]
pub struct Surroundings {
    pub docker_host: Option<String>,
    pub docker_context: Option<String>,
    /// Podman's own variable.
    pub container_host: Option<String>,
    /// Docker's configuration folder.
    pub docker_config: PathBuf,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_folder: Option<PathBuf>,
    pub home: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = dirs::home_dir().unwrap_or_else(|| PathBuf::from("/root"));
        Self {
            docker_host: variable("DOCKER_HOST"),
            docker_context: variable("DOCKER_CONTEXT"),
            container_host: variable("CONTAINER_HOST"),
            docker_config: variable("DOCKER_CONFIG").map_or_else(|| home.join(".docker"), PathBuf::from),
            runtime_folder: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
            home,
        }
    }

    /// The socket to use: what is named first, then what is there.
    pub fn socket(&self) -> Result<PathBuf, Trouble> {
        if let Some(host) = &self.docker_host {
            return unix(host);
        }
        if let Some(name) = self.context() {
            return unix(&self.context_host(&name)?);
        }
        let known = self.known_sockets();
        known.into_iter().find(|socket| socket.exists()).ok_or(Trouble::NotFound)
    }

    /// Podman's socket, whatever else there is.
    pub fn podman_socket(&self) -> Result<PathBuf, Trouble> {
        match &self.container_host {
            Some(host) => unix(host),
            None => self.podman_sockets().into_iter().find(|socket| socket.exists()).ok_or(Trouble::NoPodman),
        }
    }

    fn podman_sockets(&self) -> Vec<PathBuf> {
        let own = self.runtime_folder.iter().map(|folder| folder.join("podman/podman.sock"));
        std::iter::once(PathBuf::from("/run/podman/podman.sock")).chain(own).collect()
    }

    /// The context that was chosen; `default` stands for none.
    fn context(&self) -> Option<String> {
        let chosen = self.docker_context.clone().or_else(|| {
            let text = std::fs::read(self.docker_config.join("config.json")).ok()?;
            let config: serde_json::Value = serde_json::from_slice(&text).ok()?;
            config["currentContext"].as_str().map(String::from)
        });
        chosen.filter(|name| name != "default" && !name.is_empty())
    }

    /// Docker keeps a context in a folder that is named by the checksum of its name.
    fn context_host(&self, name: &str) -> Result<String, Trouble> {
        let folder = hex::encode(Sha256::digest(name.as_bytes()));
        let file = self.docker_config.join("contexts/meta").join(folder).join("meta.json");
        let wrong = |why: String| Trouble::Context { name: name.into(), why };
        let text = std::fs::read(&file).map_err(|error| wrong(format!("{}: {error}", file.display())))?;
        let meta: serde_json::Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        let host = meta["Endpoints"]["docker"]["Host"].as_str();
        host.map(String::from).ok_or_else(|| wrong("it names no engine".into()))
    }

    fn known_sockets(&self) -> Vec<PathBuf> {
        let mut sockets: Vec<PathBuf> = vec!["/var/run/docker.sock".into(), "/run/podman/podman.sock".into()];
        sockets.extend(self.runtime_folder.iter().map(|folder| folder.join("docker.sock")));
        sockets.push(self.home.join(".docker/run/docker.sock"));
        sockets.extend(self.runtime_folder.iter().map(|folder| folder.join("podman/podman.sock")));
        sockets
    }
}

fn unix(host: &str) -> Result<PathBuf, Trouble> {
    match host.strip_prefix("unix://") {
        Some(path) => Ok(path.into()),
        None if host.starts_with('/') => Ok(host.into()),
        None => Err(Trouble::Elsewhere(host.into())),
    }
}

impl Engine {
    /// The engine that the environment names, if it answers.
    pub async fn connect() -> Result<Self, Trouble> {
        Self::at(Surroundings::of_process().socket()?).await
    }

    /// Podman, if it answers.
    pub async fn connect_podman() -> Result<Self, Trouble> {
        Self::at(Surroundings::of_process().podman_socket()?).await
    }

    async fn at(socket: PathBuf) -> Result<Self, Trouble> {
        let name = socket.display().to_string();
        let silent = |why: String| Trouble::NotRunning { socket: name.clone(), why };
        match UnixStream::connect(&socket) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(Trouble::Permission(name));
            }
            Err(error) => return Err(silent(error.to_string())),
        }
        let docker = Docker::connect_with_unix(&name, REQUEST_SECONDS, API_DEFAULT_VERSION);
        let docker = docker.map_err(|error| silent(error.to_string()))?;
        match tokio::time::timeout(PATIENCE, docker.negotiate_version()).await {
            Ok(Ok(docker)) => Ok(Self { docker, socket }),
            Ok(Err(error)) => Err(silent(error.to_string())),
            Err(_) => Err(silent(format!("nothing came back within {} s", PATIENCE.as_secs()))),
        }
    }

    /// Whether it can carry a node: a Linux engine, as root, on this machine.
    pub async fn check(&self) -> Result<(), Trouble> {
        let silent = |why: String| Trouble::NotRunning { socket: self.socket.display().to_string(), why };
        match tokio::time::timeout(PATIENCE, self.docker.info()).await {
            Ok(Ok(info)) => suited(&info),
            Ok(Err(error)) => Err(silent(error.to_string())),
            Err(_) => Err(silent(format!("nothing came back within {} s", PATIENCE.as_secs()))),
        }
    }

    /// The capabilities that the engine has itself, as the kernel's bits, where that can be seen: it can give no others.
    pub fn capabilities(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    }
}

impl Engine {
    /// The engine's process, where it can be seen.
    fn process(&self) -> Option<std::num::NonZeroI32> {
        let stream = UnixStream::connect(&self.socket).ok()?;
        Some(rustix::net::sockopt::socket_peercred(&stream).ok()?.pid.as_raw_nonzero())
    }

    /// Most open files and processes to ask for: those of a node, but no more than an engine may give that cannot lift its own
    /// limits. Nothing where its process cannot be seen.
    pub fn limits(&self) -> Option<[(&'static str, i64); 2]> {
        let text = std::fs::read_to_string(format!("/proc/{}/limits", self.process()?)).ok()?;
        let may_lift = self.capabilities().is_some_and(|bits| bits >> SYS_RESOURCE & 1 == 1);
        limits(&text, may_lift, native::limits::most_files() as i64)
    }
}

/// The kernel's number of `CAP_SYS_RESOURCE`.
const SYS_RESOURCE: u8 = 24;

/// The limits to ask for, of an engine with this `/proc/PID/limits`; -1 is none.
fn limits(text: &str, may_lift: bool, files: i64) -> Option<[(&'static str, i64); 2]> {
    if may_lift {
        return Some([("nofile", files), ("nproc", -1)]);
    }
    let own = hard_limit(text, "Max open files")?;
    let files = if own == -1 { files } else { files.min(own) };
    Some([("nofile", files), ("nproc", hard_limit(text, "Max processes")?)])
}

/// The hard limit in a line of `/proc/PID/limits`; -1 is none.
fn hard_limit(text: &str, name: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(-1),
        number => number.parse().ok(),
    }
}

/// The kernel of this process, as engines name it.
fn own_kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn suited(info: &SystemInfo) -> Result<(), Trouble> {
    let no = |why: &str| Err(Trouble::Unsuited(why.into()));
    let options = info.security_options.iter().flatten();
    if info.os_type.as_deref().is_some_and(|os| os != "linux") {
        return no("the engine runs no Linux containers");
    }
    if options.clone().any(|option| option.contains("rootless")) {
        return no("the engine is rootless: addresses of its containers cannot be reached from this machine");
    }
    if options.clone().any(|option| option.contains("userns")) {
        return no("the engine maps users (userns-remap): a node needs the kernel's root");
    }
    if info.kernel_version.as_ref().is_some_and(|kernel| !kernel.is_empty() && *kernel != own_kernel()) {
        return no(
            "the engine runs on another kernel: addresses of its containers cannot be reached from this machine",
        );
    }
    Ok(())
}

/// Whether the engine says that there is no such thing.
pub fn is_missing(error: &Refusal) -> bool {
    matches!(error, Refusal::DockerResponseServerError { status_code: 404, .. })
}

/// `None` for what is not there.
pub fn found<T>(answer: Result<T, Refusal>, what: &str) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(refused(what)(error)),
    }
}

/// No error for what is gone already.
pub fn gone(answer: Result<(), Refusal>, what: &str) -> Result<(), Error> {
    found(answer, what).map(drop)
}

/// Says what was being done when the engine refused.
pub fn refused(what: &str) -> impl FnOnce(Refusal) -> Error + use<> {
    let what = what.to_string();
    move |error| Error::Engine { what, source: Box::new(Said(message(error))) }
}

/// The engine's own words.
#[derive(Debug, thiserror::Error)]
#[error("the engine says: {0}")]
pub struct Said(pub String);

/// The words of a refusal.
pub fn message(error: Refusal) -> String {
    match error {
        Refusal::DockerResponseServerError { message, .. } => message.trim().to_string(),
        Refusal::DockerStreamError { error } => error,
        other => other.to_string(),
    }
}

/// Whether something carries the machine's label; anything else of its name is somebody else's.
pub fn is_ours(labels: Option<&std::collections::HashMap<String, String>>, machine: &Machine) -> bool {
    labels.and_then(|labels| labels.get(super::LABEL_MARK)).is_some_and(|mark| *mark == machine.mark())
}

/// A file's path below the folder of an archive.
pub fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(folder: &Path) -> Surroundings {
        Surroundings { docker_config: folder.join(".docker"), home: folder.into(), ..Surroundings::default() }
    }

    #[test]
    fn the_variable_goes_before_the_context_and_the_context_before_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut around = surroundings(folder.path());
        around.runtime_folder = Some(folder.path().join("run"));
        let meta = folder.path().join(".docker/contexts/meta").join(hex::encode(Sha256::digest(b"desk")));
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(meta.join("meta.json"), r#"{"Endpoints":{"docker":{"Host":"unix:///desk.sock"}}}"#).unwrap();
        std::fs::write(folder.path().join(".docker/config.json"), r#"{"currentContext":"desk"}"#).unwrap();
        assert_eq!(around.socket().unwrap(), PathBuf::from("/desk.sock"));
        around.docker_context = Some("other".into());
        assert!(matches!(around.socket(), Err(Trouble::Context { .. })));
        around.docker_host = Some("unix:///named.sock".into());
        assert_eq!(around.socket().unwrap(), PathBuf::from("/named.sock"));
    }

    #[test]
    fn an_engine_of_another_machine_is_told_apart_from_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut around = surroundings(folder.path());
        around.docker_host = Some("ssh://far".into());
        let trouble = around.socket().unwrap_err();
        assert_eq!(trouble.health().id, "PROVIDER_DOCKER_ERROR");
        assert!(trouble.to_string().contains("ssh://far"));
        assert_eq!(Trouble::NotFound.health().id, "PROVIDER_DOCKER_NOT_FOUND");
    }

    #[test]
    fn podman_is_found_by_its_own_variable_and_sockets_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut around = surroundings(folder.path());
        around.docker_host = Some("unix:///docker.sock".into());
        around.runtime_folder = Some(folder.path().into());
        if !Path::new("/run/podman/podman.sock").exists() {
            assert_eq!(around.podman_socket().unwrap_err().health().id, "PROVIDER_PODMAN_NOT_FOUND");
            std::fs::create_dir(folder.path().join("podman")).unwrap();
            std::fs::write(folder.path().join("podman/podman.sock"), "").unwrap();
            assert_eq!(around.podman_socket().unwrap(), folder.path().join("podman/podman.sock"));
        }
        around.container_host = Some("unix:///pod.sock".into());
        assert_eq!(around.podman_socket().unwrap(), PathBuf::from("/pod.sock"));
    }

    #[test]
    fn hard_limits_are_read_from_the_kernels_table() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             32768                unlimited            processes \n\
                    Max open files            1024                 20000                files     \n";
        assert_eq!(hard_limit(text, "Max open files"), Some(20000));
        assert_eq!(hard_limit(text, "Max processes"), Some(-1));
        assert_eq!(hard_limit(text, "Max locked memory"), None);
        assert_eq!(limits(text, false, 1 << 20), Some([("nofile", 20000), ("nproc", -1)]));
        assert_eq!(limits(text, true, 1 << 20), Some([("nofile", 1 << 20), ("nproc", -1)]));
    }

    #[test]
    fn an_engine_that_cannot_carry_a_node_says_why() {
        let good =
            SystemInfo { os_type: Some("linux".into()), kernel_version: Some(own_kernel()), ..SystemInfo::default() };
        assert!(suited(&good).is_ok());
        let rootless = SystemInfo { security_options: Some(vec!["name=rootless".into()]), ..good.clone() };
        assert!(suited(&rootless).unwrap_err().to_string().contains("rootless"));
        let far = SystemInfo { kernel_version: Some("5.15.49-linuxkit".into()), ..good };
        assert!(suited(&far).unwrap_err().to_string().contains("another kernel"));
    }
}
