//! The Node object of this machine, and the lease that says that its agent lives.
//!
//! ```text
//! create or adopt ──▶ status ──▶ every 10 s: renew the lease (kube-node-lease)
//!                                on change of images, and every 5 min: status
//!                                when the clock jumped: both, as others compare their time stamps with the time of day
//! ```

use super::border::Image;
use super::context::Node;
use super::pressure::Condition;
use crate::base::Shutdown;
use crate::client::Change;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node as NodeObject;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The version of Kubernetes whose behaviour this agent has.
pub const KUBELET_VERSION: &str = "v1.36.0";
const RENEW: Duration = Duration::from_secs(10);
/// How long others wait for a renewal before they call the node lost.
const LEASE_SECONDS: i32 = 40;
/// Renewals between two reports of an unchanged status: 5 minutes.
const RENEWALS_PER_STATUS: u32 = 30;
const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Images named in the status at most, as upstream.
const IMAGES: usize = 50;

/// Registers the node, retrying until the server takes it.
pub async fn register(node: &Node) {
    let mut delay = FIRST_RETRY;
    while let Err(error) = try_register(node).await {
        tracing::debug!(%error, "node not registered yet");
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LAST_RETRY);
    }
}

async fn try_register(node: &Node) -> kube::Result<()> {
    let nodes: Api<NodeObject> = Api::all(node.client.clone());
    let wanted = object(node);
    let made: NodeObject = serde_json::from_value(wanted.clone()).map_err(kube::Error::SerdeError)?;
    match nodes.create(&PostParams::default(), &made).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let labels = json!({"metadata": {"labels": wanted["metadata"]["labels"]}});
            nodes.patch(&node.name, &PatchParams::default(), &Patch::Merge(labels)).await?;
        }
        other => drop(other?),
    }
    report(node).await
}

/// Renews the lease and reports the status until shutdown.
pub async fn keep_alive(node: Arc<Node>, images_changed: Arc<tokio::sync::Notify>, shutdown: Shutdown) {
    let mut timer = tokio::time::interval(RENEW);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut renewals = 0u32;
    let own = node.caches.of::<NodeObject>();
    let mut changes = own.changes();
    let mut jumps = node.jumps.clone();
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            Some(change) = changes.next() => {
                if let Change::Applied { new, .. } = &change
                    && let Some(offer) = unoffered(&node, new)
                {
                    log(offer_resources(&node, offer).await, "resources");
                }
            }
            () = images_changed.notified() => log(report(&node).await, "status"),
            () = jumps.next() => {
                log(renew(&node).await, "lease");
                log(report(&node).await, "status");
            }
            _ = timer.tick() => {
                log(renew(&node).await, "lease");
                renewals += 1;
                if renewals.is_multiple_of(RENEWALS_PER_STATUS) {
                    log(report(&node).await, "status");
                }
            }
        }
    }
}

/// What differs between capacity and offer in resources that somebody else put into the capacity (a device plugin, an
/// administrator): they are offered whole, as upstream's node agent does, and no more (null) once they are gone.
fn unoffered(node: &Node, object: &NodeObject) -> Option<BTreeMap<String, Option<Quantity>>> {
    let is_own = object.metadata.name.as_deref() == Some(node.name.as_str());
    let status = object.status.as_ref().filter(|_| is_own)?;
    let foreign = |amounts: &Option<BTreeMap<String, Quantity>>| -> BTreeMap<String, Quantity> {
        let all = amounts.iter().flatten().filter(|(name, _)| name.contains('/'));
        all.map(|(name, amount)| (name.clone(), amount.clone())).collect()
    };
    let (capacity, offered) = (foreign(&status.capacity), foreign(&status.allocatable));
    let names = capacity.keys().chain(offered.keys()).filter(|name| capacity.get(*name) != offered.get(*name));
    let differing: BTreeMap<_, _> = names.map(|name| (name.clone(), capacity.get(name).cloned())).collect();
    (!differing.is_empty()).then_some(differing)
}

async fn offer_resources(node: &Node, offer: BTreeMap<String, Option<Quantity>>) -> kube::Result<()> {
    let nodes: Api<NodeObject> = Api::all(node.client.clone());
    let patch = json!({"status": {"allocatable": offer}});
    nodes.patch_status(&node.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

fn log(result: kube::Result<()>, what: &str) {
    if let Err(error) = result {
        tracing::warn!(%error, "node {what} not written");
    }
}

async fn renew(node: &Node) -> kube::Result<()> {
    let leases: Api<Lease> = Api::namespaced(node.client.clone(), "kube-node-lease");
    let now = MicroTime(Timestamp::now());
    let patch = json!({"spec": {"renewTime": now}});
    match leases.patch(&node.name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => create_lease(node, &leases, now).await,
        other => other.map(drop),
    }
}

async fn create_lease(node: &Node, leases: &Api<Lease>, now: MicroTime) -> kube::Result<()> {
    let object = Api::<NodeObject>::all(node.client.clone()).get(&node.name).await?;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": node.name, "namespace": "kube-node-lease", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": object.metadata.uid}]},
        "spec": {"holderIdentity": node.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
    });
    let lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
    leases.create(&PostParams::default(), &lease).await.map(drop)
}

/// Writes the whole status.
async fn report(node: &Node) -> kube::Result<()> {
    let images = node.images.list().await.unwrap_or_default();
    let nodes: Api<NodeObject> = Api::all(node.client.clone());
    let earlier = nodes.get(&node.name).await?.status.and_then(|status| status.conditions).unwrap_or_default();
    let mut status = status(node, &images);
    let now = super::pod::now();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let same = earlier
            .iter()
            .find(|old| condition["type"] == old.type_.as_str() && condition["status"] == old.status.as_str());
        let since = same.and_then(|old| old.last_transition_time.clone()).unwrap_or_else(|| now.clone());
        condition["lastTransitionTime"] = json!(since);
        condition["lastHeartbeatTime"] = json!(now);
    }
    let patch = json!({"status": status});
    nodes.patch_status(&node.name, &PatchParams::default(), &Patch::Strategic(patch)).await.map(drop)
}

fn object(node: &Node) -> Value {
    let architecture = node.machine.architecture;
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": node.name, "labels": {
            "kubernetes.io/hostname": node.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": architecture,
            "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": architecture,
            "node-role.kubernetes.io/control-plane": "",
            // Scripts choose nodes by these, whoever made the cluster.
            "minikube.k8s.io/name": node.name,
            "minikube.k8s.io/primary": "true",
            "minikube.k8s.io/version": format!("v{}", env!("CARGO_PKG_VERSION")),
            "minikube.k8s.io/commit": env!("CORACLE_COMMIT"),
            "minikube.k8s.io/updated_at": updated_at(),
        }, "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}},
        "spec": {
            "podCIDR": node.profile.network.pod_cidr,
            "podCIDRs": [node.profile.network.pod_cidr],
            "providerID": format!("coracle://{}", node.name),
        },
    })
}

/// Now, as a label's value can have it: minikube's `2006_01_02T15_04_05_0700`.
fn updated_at() -> String {
    Timestamp::now().strftime("%Y_%m_%dT%H_%M_%S_0000").to_string()
}

fn status(node: &Node, images: &[Image]) -> Value {
    let machine = &node.machine;
    let resources = json!({
        "cpu": machine.cpus.to_string(),
        "memory": format!("{}Ki", machine.memory / 1024),
        "ephemeral-storage": format!("{}Ki", machine.disk / 1024),
        "pods": node.profile.max_pods.to_string(),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    });
    json!({
        "capacity": resources,
        "allocatable": resources,
        "conditions": [
            pressure(node, Condition::Memory),
            pressure(node, Condition::Disk),
            pressure(node, Condition::Pid),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "addresses": [
            {"type": "InternalIP", "address": node.profile.network.node_address},
            {"type": "Hostname", "address": node.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": node.profile.agent_port}},
        "nodeInfo": {
            "architecture": machine.architecture,
            "bootID": machine.boot_id,
            "containerRuntimeVersion": format!("coracle://{}", env!("CARGO_PKG_VERSION")),
            "kernelVersion": machine.kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": KUBELET_VERSION,
            "machineID": machine.machine_id,
            "operatingSystem": "linux",
            "osImage": machine.os_image,
            "systemUUID": machine.system_uuid,
        },
        "images": image_list(images),
    })
}

fn pressure(node: &Node, kind: Condition) -> Value {
    let (status, (reason, message)) = match node.pressure.has(kind) {
        true => ("True", kind.words().0),
        false => ("False", kind.words().1),
    };
    condition(kind.name(), status, reason, message)
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

/// The biggest images first, as upstream orders them.
fn image_list(images: &[Image]) -> Vec<Value> {
    let mut sorted: Vec<&Image> = images.iter().collect();
    sorted.sort_by_key(|image| std::cmp::Reverse(image.size));
    let entry = |image: &&Image| {
        let names: Vec<&String> = image.digests.iter().chain(&image.tags).take(5).collect();
        json!({"names": names, "sizeBytes": image.size})
    };
    sorted.iter().take(IMAGES).map(entry).collect()
}
