//! What is asked of a runtime and what it answers: the words of CRI, without protobuf.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A pod's sandbox: the namespaces and the cgroup that its containers share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The pod's name, namespace and uid, and which attempt this is.
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub attempt: u32,
    pub hostname: String,
    /// Namespaces shared with the node instead of made.
    pub host_network: bool,
    pub host_pid: bool,
    pub host_ipc: bool,
    /// One pid namespace for all containers of the pod (`shareProcessNamespace`).
    pub share_pid: bool,
    /// Kernel parameters set in the sandbox.
    pub sysctls: BTreeMap<String, String>,
    /// The cgroup below the node's, for example `kubepods/burstable/podUID`.
    pub cgroup: String,
    pub resources: Resources,
    /// Folder of the containers' logs.
    pub log_directory: PathBuf,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// Limits of a cgroup. `None` leaves the kernel's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    pub cpu_shares: Option<u64>,
    /// Microseconds per `cpu_period`.
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<u64>,
    /// Bytes.
    pub memory_limit: Option<i64>,
    pub pids_limit: Option<i64>,
    pub oom_score_adj: i32,
    pub hugepages: BTreeMap<String, u64>,
}

/// One container of a sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub name: String,
    pub attempt: u32,
    /// The image's id (digest of its config), as the image store resolves it.
    pub image: String,
    /// The reference that the pod asked for.
    pub image_reference: String,
    /// The whole command line; the node agent has merged the image's entry point and command.
    pub argv: Vec<String>,
    pub working_directory: String,
    pub env: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    pub devices: Vec<Device>,
    pub user: User,
    pub security: Security,
    pub resources: Resources,
    /// Below the sandbox's log directory, for example `web/0.log`.
    pub log_path: PathBuf,
    pub stdin: bool,
    /// Close stdin after the first attach ends.
    pub stdin_once: bool,
    pub tty: bool,
    /// Signal that asks it to end, for example `SIGTERM`.
    pub stop_signal: String,
    /// Name of a running container of the sandbox whose processes it shares (CRI: namespace mode `TARGET`).
    #[serde(default)]
    pub target_container: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// A folder or file of the node inside a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    pub container_path: String,
    pub host_path: PathBuf,
    pub read_only: bool,
    pub recursive_read_only: bool,
    pub propagation: Propagation,
}

/// Whether mounts made later cross between node and container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    Private,
    HostToContainer,
    Bidirectional,
}

/// A device node of the node inside a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    pub container_path: String,
    pub host_path: PathBuf,
    /// Some of `rwm`.
    pub permissions: String,
}

/// Who the process runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
}

/// What the process may do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Security {
    pub privileged: bool,
    pub read_only_root: bool,
    pub no_new_privileges: bool,
    /// The whole set, names without `CAP_`, for example `NET_BIND_SERVICE`.
    pub capabilities: Vec<String>,
    pub seccomp: Seccomp,
    pub apparmor_profile: String,
    /// Empty means the runtime's defaults.
    pub masked_paths: Vec<String>,
    pub read_only_paths: Vec<String>,
}

/// Which system calls are filtered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    Unconfined,
    #[default]
    RuntimeDefault,
    /// A profile file in OCI's JSON form.
    Localhost(PathBuf),
}

/// A sandbox as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sandbox {
    pub id: String,
    pub spec: SandboxSpec,
    pub ready: bool,
    pub created_at: Timestamp,
    /// The pinned network namespace; `None` when the node's is used.
    pub network_namespace: Option<PathBuf>,
}

/// A container as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    pub sandbox: String,
    pub spec: ContainerSpec,
    pub state: State,
    pub created_at: Timestamp,
}

/// `Created -> Running -> Exited`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    Created,
    Running {
        started_at: Timestamp,
        /// In the node's pid namespace.
        pid: u32,
    },
    Exited {
        /// Missing when it never ran.
        started_at: Option<Timestamp>,
        finished_at: Timestamp,
        exit_code: i32,
        /// The signal that ended it, or 0.
        signal: i32,
        oom_killed: bool,
        /// Why it never ran, or empty.
        message: String,
    },
}

/// A command to run in a running container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecSpec {
    pub argv: Vec<String>,
    pub tty: bool,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// What the terminal measures from its first moment: columns, rows.
    pub size: Option<(u16, u16)>,
}

/// The ends of an exec or attach that are open. With a terminal, `stdout` carries both.
pub struct Session {
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Sends (columns, rows) of the terminal.
    pub resize: tokio::sync::mpsc::Sender<(u16, u16)>,
    /// Resolves to the exit code; for attach, when the container ended.
    pub exit: futures::future::BoxFuture<'static, Result<i32, Error>>,
}

/// Output of a command that was waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOutput {
    pub exit_code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Figures of one cgroup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub cpu_nanoseconds: u64,
    pub memory_usage_bytes: u64,
    pub memory_working_set_bytes: u64,
    pub memory_rss_bytes: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    pub processes: u64,
    /// Of the writable layer.
    pub disk_used_bytes: u64,
}

/// Something that the runtime did not do on request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A container changed its state.
    Container(Container),
    /// A sandbox's namespaces are gone.
    SandboxGone(String),
}

/// Why the runtime could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No sandbox or container has this id; a request that wanted it gone may take this as success.
    #[error("no sandbox or container `{0}`")]
    NotFound(String),
    /// The container is not in the state that the request needs.
    #[error("container `{0}` is not running")]
    NotRunning(String),
    /// The image is not in the store.
    #[error("image `{0}` is not present")]
    NoImage(String),
    /// The command did not end in time.
    #[error("timed out after {0:?}")]
    Timeout(Duration),
    /// The container's process could not be started; the text is what a user should read in the container's status.
    #[error("{0}")]
    Start(String),
    /// The supervisor cannot be reached.
    #[error("the supervisor does not answer")]
    Supervisor(#[source] std::io::Error),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// A container runtime. Every method may be called again with the same arguments after a failure.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Makes the namespaces and cgroup of a pod. Its network namespace has only a loopback link that is up.
    async fn run_sandbox(&self, spec: SandboxSpec) -> Result<Sandbox, Error>;
    /// Kills what runs in a sandbox and lets go of its namespaces. No error if it is stopped or gone.
    async fn stop_sandbox(&self, id: &str) -> Result<(), Error>;
    /// Removes a stopped sandbox, its containers and its cgroup. No error if it is gone.
    async fn remove_sandbox(&self, id: &str) -> Result<(), Error>;
    /// Every sandbox and every container there is, in order of creation.
    async fn list(&self) -> Result<(Vec<Sandbox>, Vec<Container>), Error>;
    /// Prepares the root file system and the process, not yet running. Returns the container in `State::Created`.
    async fn create_container(&self, sandbox: &str, spec: ContainerSpec) -> Result<Container, Error>;
    /// Runs a created container.
    async fn start_container(&self, id: &str) -> Result<(), Error>;
    /// Sends the stop signal, and SIGKILL after `grace`. Returns when it has ended.
    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Error>;
    /// Removes a container that does not run, with its root file system. No error if it is gone.
    async fn remove_container(&self, id: &str) -> Result<(), Error>;
    /// One container.
    async fn container(&self, id: &str) -> Result<Container, Error>;
    /// Changes limits of a running container.
    async fn update_container(&self, id: &str, resources: Resources) -> Result<(), Error>;
    /// Changes limits of the pod's cgroup.
    async fn update_sandbox(&self, id: &str, resources: Resources) -> Result<(), Error>;
    /// State changes from now on.
    async fn events(&self) -> Result<futures::stream::BoxStream<'static, Event>, Error>;
    /// Runs a command with streams.
    async fn exec(&self, id: &str, spec: ExecSpec) -> Result<Session, Error>;
    /// Runs a command and waits for it; kills it after `timeout`.
    async fn exec_sync(&self, id: &str, argv: Vec<String>, timeout: Duration) -> Result<ExecOutput, Error>;
    /// Connects to the main process's streams.
    async fn attach(&self, id: &str, spec: ExecSpec) -> Result<Session, Error>;
    /// A TCP connection to `port` on the sandbox's loopback address.
    async fn connect(&self, sandbox: &str, port: u16) -> Result<tokio::net::TcpStream, Error>;
    /// Starts a new log file for a container whose old one was renamed away.
    async fn reopen_log(&self, id: &str) -> Result<(), Error>;
    /// Figures of a container, of a whole sandbox, or (id `/`) of the node.
    async fn stats(&self, id: &str) -> Result<Stats, Error>;
}
