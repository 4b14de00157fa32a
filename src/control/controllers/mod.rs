//! Controllers: wanted -> made, through the client only. One file each, one line each in `CONTROLLERS`.

mod autoscaler;
mod certificates;
mod cron_job;
mod daemon_set;
mod deployment;
mod discovery;
mod disruption;
mod endpoints;
mod ephemeral_volumes;
mod garbage;
mod job;
mod load_balancer;
mod namespace;
mod nodes;
mod placement;
mod pod_garbage;
mod pods;
mod quota;
mod replica_set;
mod revisions;
mod role_aggregation;
mod root_ca;
mod runner;
mod service_account;
mod stateful_set;
mod taints;
#[cfg(test)]
pub(crate) mod testing;
mod token_secrets;
mod ttl_after_finished;
mod volumes;
mod watches;
mod write;

use crate::base::{Jumps, Shutdown};
use crate::client::{Caches, Client, Level, Recorder};
use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use runner::Next;

/// Every controller of the cluster.
static CONTROLLERS: &[&Controller] = &[
    &deployment::CONTROLLER,
    &replica_set::REPLICA_SET,
    &replica_set::REPLICATION_CONTROLLER,
    &namespace::CONTROLLER,
    &service_account::CONTROLLER,
    &root_ca::CONTROLLER,
    &garbage::CONTROLLER,
    &pod_garbage::CONTROLLER,
    &ttl_after_finished::CONTROLLER,
    &job::CONTROLLER,
    &cron_job::CONTROLLER,
    &daemon_set::CONTROLLER,
    &stateful_set::CONTROLLER,
    &volumes::CLAIMS,
    &volumes::VOLUMES,
    &volumes::CLAIM_PROTECTION,
    &ephemeral_volumes::CONTROLLER,
    &volumes::VOLUME_PROTECTION,
    &quota::CONTROLLER,
    &disruption::CONTROLLER,
    &autoscaler::CONTROLLER,
    &certificates::CONTROLLER,
    &role_aggregation::CONTROLLER,
    &token_secrets::CONTROLLER,
    &load_balancer::CONTROLLER,
    &nodes::CONTROLLER,
    &nodes::EVICTION,
    &endpoints::SLICES,
    &endpoints::ENDPOINTS,
    &endpoints::MIRRORING,
];

/// A loop that makes what one kind of object asks for.
struct Controller {
    /// What it is called in logs and as the source of events, upstream's name.
    name: &'static str,
    /// What its keys come from.
    watches: &'static [watches::Watch],
    /// Brings the world one step nearer to what the object of the key asks for.
    reconcile: fn(Arc<Context>, Key) -> BoxFuture<'static, Result<Next, Error>>,
}

/// A request to sign a certificate: what a CertificateSigningRequest asks for.
#[derive(Clone, Debug)]
pub struct SigningRequest {
    /// The PKCS#10 request, PEM.
    pub request: Vec<u8>,
    /// For example `kubernetes.io/kube-apiserver-client`.
    pub signer: String,
    /// For example `client auth`.
    pub usages: Vec<String>,
    /// Seconds of validity that were asked for.
    pub seconds: Option<i32>,
}

/// Signs a certificate; answers with the PEM chain, or with why it refuses.
pub type Signer = Arc<dyn Fn(&SigningRequest) -> Result<String, String> + Send + Sync>;

/// What a service account token of a Secret is made for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    pub namespace: String,
    pub account: String,
    pub account_uid: String,
    pub secret: String,
}

/// Makes a service account token without end; answers with why it cannot.
pub type Tokens = Arc<dyn Fn(&TokenRequest) -> Result<String, String> + Send + Sync>;

/// What controllers need to know beyond objects.
#[derive(Clone)]
pub struct ControllerConfig {
    /// The authority that clients trust, PEM: published in every namespace.
    pub root_ca: String,
    /// Folder (on the node) of the volumes that the local provisioner makes.
    pub volumes: PathBuf,
    /// Network of LoadBalancer addresses, for example `192.168.49.128/25`; empty for none.
    pub load_balancer_cidr: String,
    /// Signs approved certificate requests.
    pub signer: Signer,
    /// Makes the tokens of Secrets of type `kubernetes.io/service-account-token`.
    pub tokens: Tokens,
    /// Tells when the clock was set or the machine slept.
    pub jumps: Jumps,
}

/// What can go wrong in a reconcile. Every error is tried again after a delay.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or could not be reached.
    #[error("request failed")]
    Request(#[from] kube::Error),
    /// An object cannot be acted on as it is.
    #[error("{0}")]
    Invalid(String),
}

/// Which object to reconcile. `namespace` is empty for objects of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    /// A key of its parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_string(), name: name.to_string() }
    }

    /// The key of an object.
    pub fn of(object: &impl Resource) -> Self {
        let meta = object.meta();
        Self::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// What every controller works with.
pub struct Context {
    client: Client,
    caches: Caches,
    config: ControllerConfig,
    /// Recorders by the name of their controller.
    recorders: Mutex<HashMap<&'static str, Recorder>>,
    /// What the garbage collector knows of all objects.
    garbage: garbage::Collector,
    /// Signs of life of nodes.
    signs: nodes::Signs,
    /// Pods that are to leave tainted nodes.
    evictions: nodes::Evictions,
    /// Since when nodes that pods are on are missing.
    missing_nodes: Mutex<HashMap<String, tokio::time::Instant>>,
    /// Pods of DaemonSets that fail again and again.
    daemon_failures: daemon_set::Failures,
    /// What happened to the targets of autoscalers lately.
    autoscaled: autoscaler::Memory,
    /// Held while claims and volumes are bound to each other.
    binding: tokio::sync::Mutex<()>,
    /// Held while the address of a Service is chosen.
    choosing_address: tokio::sync::Mutex<()>,
}

impl Context {
    fn new(client: Client, config: ControllerConfig) -> Self {
        Self {
            caches: Caches::new(client.clone()),
            client,
            config,
            recorders: Mutex::default(),
            garbage: garbage::Collector::default(),
            signs: nodes::Signs::default(),
            evictions: nodes::Evictions::default(),
            missing_nodes: Mutex::default(),
            daemon_failures: daemon_set::Failures::default(),
            autoscaled: autoscaler::Memory::default(),
            binding: tokio::sync::Mutex::default(),
            choosing_address: tokio::sync::Mutex::default(),
        }
    }

    /// Records an event as `controller` about `object`.
    fn record<K>(&self, controller: &'static str, object: &K, level: Level, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.record_about(controller, reference(object), level, reason, message.into());
    }

    fn record_about(&self, controller: &'static str, about: ObjectReference, level: Level, reason: &str, text: String) {
        let mut recorders = self.recorders.lock();
        let recorder =
            recorders.entry(controller).or_insert_with(|| Recorder::new(self.client.clone(), controller, ""));
        recorder.record(about, level, reason, text);
    }
}

/// A reference to an object as events have it.
fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let mut about = object.object_ref(&());
    about.resource_version = object.meta().resource_version.clone();
    about
}

/// Runs all controllers until shutdown.
pub async fn run(client: Client, config: ControllerConfig, shutdown: Shutdown) {
    let context = Arc::new(Context::new(client, config));
    let run =
        |controller: &&'static Controller| tokio::spawn(runner::run(controller, context.clone(), shutdown.clone()));
    join_all(CONTROLLERS.iter().map(run)).await;
}
