//! Faults as inputs: the server killed at any moment under load, a full disk.

use super::harness::{Cluster, client, kill_server};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use rustix::mount::{MountFlags, UnmountFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

const KILLS: u64 = 50;
const WRITERS: usize = 4;
/// Writes that are acknowledged before a server is killed amid them.
const WRITES: usize = 10;

/// Each writer makes objects until it is told to stop; what was acknowledged is what it returns. A request that failed may
/// or may not have been written: nothing was promised.
async fn write(
    maps: Api<ConfigMap>,
    writer: usize,
    stop: Arc<AtomicBool>,
    count: watch::Sender<usize>,
) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("w{writer}-{n}");
        let map = serde_json::from_value(serde_json::json!({"metadata": {"name": name}, "data": {"n": n.to_string()}}));
        if maps.create(&PostParams::default(), &map.unwrap()).await.is_ok() {
            acknowledged.insert(name);
            count.send_modify(|count| *count += 1);
        }
    }
    acknowledged
}

/// Container ids and restart counts of all pods. The control plane's parts have no containers: they are what is killed here,
/// and count it.
async fn containers(pods: &Api<Pod>) -> BTreeMap<String, i32> {
    let pods = pods.list(&ListParams::default()).await.unwrap();
    let statuses = pods.items.into_iter().filter_map(|pod| pod.status?.container_statuses);
    statuses.flatten().filter_map(|status| Some((status.container_id?, status.restart_count))).collect()
}

#[test]
fn a_server_killed_fifty_times_under_load_loses_nothing_and_pods_run_on() {
    let Some(cluster) = Cluster::started("faults") else { return };
    cluster.kubectl("create deployment web --image=coracle.local/hello --replicas=3").ok();
    cluster.kubectl("rollout status deployment/web --timeout=60s").ok();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = client(&cluster).await;
        let (maps, pods): (Api<ConfigMap>, Api<Pod>) =
            (Api::default_namespaced(client.clone()), Api::all(client.clone()));
        let before = containers(&pods).await;
        assert!(before.len() >= 3 && before.keys().all(|id| !id.is_empty()), "{before:?}");
        let stop = Arc::new(AtomicBool::new(false));
        let (count, mut counted) = watch::channel(0);
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| tokio::spawn(write(maps.clone(), writer, stop.clone(), count.clone()))).collect();
        let (init, mut kills) = (cluster.init(), 0);
        while kills < KILLS {
            // In turns: amid writes, and at a different moment of its beginning each time. Requests wait in the listening
            // socket, which outlives the server, until there is one again.
            let already = *counted.borrow();
            match kills % 2 {
                0 => drop(counted.wait_for(|count| *count >= already + WRITES).await.unwrap()),
                _ => tokio::time::sleep(Duration::from_millis(kills * 37 % 400)).await,
            }
            kills += u64::from(kill_server(init));
        }
        // A connection that the killed server had accepted ends with it; the next one waits for the new server.
        while client.apiserver_version().await.is_err() {}
        stop.store(true, Ordering::Relaxed);
        let mut acknowledged = BTreeSet::new();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        let there: BTreeSet<String> =
            maps.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
        let lost: Vec<&String> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert_eq!(containers(&pods).await, before, "a container was made anew or counted as restarted");
    });
}

/// A cluster's folder on a small file system of its own.
struct Small<'a>(&'a Cluster);

impl<'a> Small<'a> {
    fn below(cluster: &'a Cluster) -> Self {
        let folder = cluster.profile_folder();
        std::fs::create_dir_all(&folder).unwrap();
        // So large that the node is not short of room before it is filled: nothing would be scheduled then, not even DNS.
        rustix::mount::mount("tmpfs", &folder, "tmpfs", MountFlags::empty(), c"size=512m,mode=0700").unwrap();
        Self(cluster)
    }

    fn filling(&self) -> std::path::PathBuf {
        self.0.profile_folder().join("filling")
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.filling()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        self.0.coracle("stop");
        rustix::mount::unmount(self.0.profile_folder(), UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing_and_is_over_when_there_is_room() {
    let Some(cluster) = Cluster::new("full") else { return };
    let disk = Small::below(&cluster);
    cluster.coracle("start").ok();
    let text = "x".repeat(60_000);
    let create = |name: &str| cluster.kubectl(&format!("create configmap {name} --from-literal=text={text}"));
    let names = || cluster.kubectl("get configmaps -o name").ok();
    create("before").ok();
    disk.fill();
    // The store's file is a little ahead of its end, and takes some still.
    let (mut kept, mut refused) = (Vec::new(), 0);
    for name in (0..12).map(|number| format!("late-{number}")) {
        let said = create(&name);
        if said.code == 0 {
            kept.push(format!("configmap/{name}"));
            continue;
        }
        assert!(said.err.contains("the object was not written: No space left on device"), "{}", said.err);
        refused += 1;
    }
    assert!(refused > 2, "a full disk took {kept:?}");
    let there = names();
    let late: Vec<&str> = there.lines().filter(|line| line.contains("late-")).collect();
    kept.sort();
    assert!(there.contains("configmap/before") && late == kept, "{there}");
    let init = cluster.init();
    while !kill_server(init) {
        std::thread::yield_now();
    }
    assert_eq!(names(), there, "after a start on a full disk");
    std::fs::remove_file(disk.filling()).unwrap();
    create("after").ok();
    assert_eq!(names().lines().count(), there.lines().count() + 1);
    cluster.kubectl("wait node/full --for=condition=Ready --timeout=60s").ok();
}
