//! How long pods take: one after the other, thirty at once, and a full node.

use super::harness::Cluster;
use super::{Figure, api, machine, median_and_p99};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const ONE_BY_ONE: usize = 20;
const REPLICAS: usize = 30;
const FULL: usize = 105;

/// Single pods and a Deployment.
pub fn measure(cluster: &Cluster, runtime: &tokio::runtime::Runtime) -> Vec<Figure> {
    let client = api::client(cluster, runtime);
    runtime.block_on(async {
        let mut times = Vec::new();
        for n in 0..ONE_BY_ONE {
            times.push(one(&client, &format!("single-{n}")).await);
        }
        let (median, late) = median_and_p99(times);
        let mut figures = vec![
            Figure::time("pod start, create to Running seen by a watch, median", median, "150 ms"),
            Figure::time("pod start, slowest", late, "-"),
        ];
        let (up, down) = deployment(&client, "thirty", REPLICAS).await;
        figures.push(Figure::time(format!("Deployment of {REPLICAS}: all ready"), up, "2 s"));
        figures.push(Figure::time("the same deleted, all gone", down, "3 s"));
        figures
    })
}

/// A node that is as full as it may be.
pub fn measure_many(cluster: &Cluster, runtime: &tokio::runtime::Runtime) -> Vec<Figure> {
    let client = api::client(cluster, runtime);
    runtime.block_on(async {
        let begun = Instant::now();
        deploy(&client, "full", FULL).await;
        ready(&client, "full", FULL).await;
        let up = begun.elapsed();
        let extra = one(&client, "one-more").await;
        let memory = machine::memory(cluster);
        let begun = Instant::now();
        gone(&client, "full").await;
        vec![
            Figure::time(format!("{FULL} pods of one Deployment: all ready"), up, "-"),
            Figure::time(format!("pod start beside {FULL} others"), extra, "-"),
            Figure::new(format!("memory with {FULL} pods"), format!("{memory:.1} MiB"), "-"),
            Figure::time(format!("{FULL} pods deleted, all gone"), begun.elapsed(), "-"),
        ]
    })
}

async fn deployment(client: &Client, name: &str, replicas: usize) -> (Duration, Duration) {
    let begun = Instant::now();
    deploy(client, name, replicas).await;
    ready(client, name, replicas).await;
    let up = begun.elapsed();
    let begun = Instant::now();
    gone(client, name).await;
    (up, begun.elapsed())
}

/// From create until a watch says Running; the pod is removed afterwards.
async fn one(client: &Client, name: &str) -> Duration {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = pods.watch(&params, "0").await.unwrap().boxed();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "hello", "image": "coracle.local/hello"}]},
    });
    let begun = Instant::now();
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    loop {
        let event = events.try_next().await.unwrap().expect("the watch ended");
        if let WatchEvent::Added(pod) | WatchEvent::Modified(pod) = event
            && pod.status.and_then(|status| status.phase).as_deref() == Some("Running")
        {
            break;
        }
    }
    let took = begun.elapsed();
    pods.delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
    took
}

/// Makes a Deployment of the built-in image.
pub async fn deploy(client: &Client, name: &str, replicas: usize) {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "hello", "image": "coracle.local/hello"}]},
            },
        },
    });
    deployments.create(&PostParams::default(), &serde_json::from_value(deployment).unwrap()).await.unwrap();
}

/// Waits until all replicas of a Deployment are ready.
pub async fn ready(client: &Client, name: &str, replicas: usize) {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let is_ready = move |deployment: Option<&Deployment>| {
        let status = deployment.and_then(|deployment| deployment.status.as_ref());
        status.and_then(|status| status.ready_replicas) == Some(replicas as i32)
    };
    kube::runtime::wait::await_condition(deployments, name, is_ready).await.unwrap();
}

/// Waits until every pod of a Deployment was started again and is ready.
pub async fn restarted(client: &Client, name: &str, replicas: usize) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let selected = format!("app={name}");
    let mut ready: BTreeSet<String> = BTreeSet::new();
    let list = pods.list(&ListParams::default().labels(&selected)).await.unwrap();
    let version = list.metadata.resource_version.clone().unwrap();
    ready.extend(list.items.iter().filter(|pod| is_ready(pod)).map(ResourceExt::name_any));
    let mut events = pods.watch(&WatchParams::default().labels(&selected), &version).await.unwrap().boxed();
    while ready.len() < replicas {
        match events.try_next().await.unwrap().expect("the watch ended") {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) if is_ready(&pod) => {
                ready.insert(pod.name_any());
            }
            WatchEvent::Modified(pod) | WatchEvent::Deleted(pod) => {
                ready.remove(&pod.name_any());
            }
            _ => {}
        }
    }
}

/// Ready, by a container that was started after the one before ended: what the node said before it stopped does not count.
fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let mut conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let mut containers = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
        && containers.all(|container| container.restart_count > 0)
}

/// Deletes a Deployment and waits until its last pod is gone.
pub async fn gone(client: &Client, name: &str) {
    let (pods, deployments): (Api<Pod>, Api<Deployment>) =
        (Api::default_namespaced(client.clone()), Api::default_namespaced(client.clone()));
    let selected = format!("app={name}");
    let list = pods.list(&ListParams::default().labels(&selected)).await.unwrap();
    let mut left: BTreeSet<String> = list.items.iter().map(ResourceExt::name_any).collect();
    let version = list.metadata.resource_version.unwrap();
    let mut events = pods.watch(&WatchParams::default().labels(&selected), &version).await.unwrap().boxed();
    deployments.delete(name, &DeleteParams::background()).await.unwrap();
    while !left.is_empty() {
        if let WatchEvent::Deleted(pod) = events.try_next().await.unwrap().expect("the watch ended") {
            left.remove(&pod.name_any());
        }
    }
}
