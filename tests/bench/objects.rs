//! What the API server does a second: durable writes, reads, lists, watches.

use super::api::{Address, Connection};
use super::harness::Cluster;
use super::{Figure, median_and_p99};
use futures::{AsyncBufReadExt, TryStreamExt};
use hyper::body::Bytes;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 16;
const OBJECTS: usize = 5_000;
const MANY: usize = 100_000;
const ROUNDS: usize = 20_000;
const LISTS: usize = 20;
const EVENTS: usize = 500;
const FOLDER: &str = "/api/v1/namespaces/default/configmaps";

/// The rates at 5,000 objects, and the same reads at 100,000.
pub fn measure(cluster: &Cluster, _: &tokio::runtime::Runtime) -> Vec<Figure> {
    let address = Address::of(cluster);
    // A client of one thread takes less of the cores that it shares with the cluster.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut figures = Vec::new();
        figures.push(Figure::rate(
            "create ConfigMaps of 1 KiB, 16 connections, durable",
            OBJECTS,
            each(&address, OBJECTS, |n| ("POST", FOLDER.to_string(), config_map(n, 0))).await,
            "8,000/s",
        ));
        figures.extend(reads(&address, OBJECTS).await);
        figures.extend(watching(cluster, &address).await);
        figures.push(Figure::rate(
            "update, 16 connections",
            OBJECTS,
            each(&address, OBJECTS, |n| ("PUT", path(n), config_map(n, 1))).await,
            "8,000/s",
        ));
        let more = MANY - OBJECTS;
        let took = each(&address, more, |n| ("POST", FOLDER.to_string(), config_map(n + OBJECTS, 0))).await;
        figures.push(Figure::rate(format!("create, on the way to {MANY} objects"), more, took, "8,000/s"));
        figures.extend(reads(&address, MANY).await);
        let took = each(&address, MANY, |n| ("DELETE", path(n), Bytes::new())).await;
        figures.push(Figure::rate("delete, 16 connections", MANY, took, "8,000/s"));
        figures
    })
}

async fn reads(address: &Address, objects: usize) -> Vec<Figure> {
    let took = each(address, ROUNDS, |n| ("GET", path(n % objects), Bytes::new())).await;
    let mut connection = address.connect().await;
    let mut lists = Vec::new();
    let mut size = 0;
    for _ in 0..LISTS {
        let begun = Instant::now();
        size = connection.measure(FOLDER).await;
        lists.push(begun.elapsed());
    }
    let goal = if objects == OBJECTS { "10 ms" } else { "-" };
    vec![
        Figure::rate(format!("GET, 16 connections, of {objects}"), ROUNDS, took, "20,000/s"),
        Figure::time(format!("LIST of {objects} ({:.1} MB)", size as f64 / 1e6), median_and_p99(lists).0, goal),
    ]
}

/// From sending a write until a watch on another connection has it.
async fn watching(cluster: &Cluster, address: &Address) -> Vec<Figure> {
    let config = kube::config::Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let mut writer = address.connect().await;
    let list: serde_json::Value =
        serde_json::from_slice(&writer.ask("GET", &format!("{FOLDER}?limit=1"), Bytes::new()).await).unwrap();
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let watch = http::Request::get(format!("{FOLDER}?watch=true&resourceVersion={version}")).body(Vec::new()).unwrap();
    let mut lines = client.request_stream(watch).await.unwrap().lines();
    let mut times: Vec<Duration> = Vec::new();
    for n in 0..EVENTS {
        let begun = Instant::now();
        let path = path(n);
        let ask = writer.ask("PUT", &path, config_map(n, n + 7));
        let event = async {
            let line = lines.try_next().await.unwrap().unwrap();
            assert!(line.contains("MODIFIED"));
            begun.elapsed()
        };
        let (_, took) = futures::join!(ask, event);
        times.push(took);
    }
    let (median, late) = median_and_p99(times);
    vec![
        Figure::time("watch latency (write sent to event received), p50", median, "0.5 ms"),
        Figure::time("watch latency, p99", late, "-"),
    ]
}

/// `count` requests shared out among the connections.
async fn each(address: &Address, count: usize, request: impl Fn(usize) -> (&'static str, String, Bytes)) -> Duration {
    let mut connections: Vec<Connection> = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(address.connect().await);
    }
    let shares: Vec<Vec<_>> =
        (0..CONNECTIONS).map(|share| (share..count).step_by(CONNECTIONS).map(&request).collect()).collect();
    let begun = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .zip(shares)
        .map(|(mut connection, share)| {
            tokio::spawn(async move {
                for (method, path, body) in share {
                    connection.ask(method, &path, body).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    begun.elapsed()
}

fn path(n: usize) -> String {
    format!("{FOLDER}/bench-{n}")
}

fn config_map(n: usize, change: usize) -> Bytes {
    let filler = "x".repeat(1024);
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("bench-{n}")},
        "data": {"change": change.to_string(), "filler": filler},
    });
    object.to_string().into()
}
