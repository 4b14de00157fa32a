//! A clock that jumps, as when a laptop slept or is told the right time late. Only in a machine of the test's own.

use super::guest::INSIDE;
use super::harness::{Cluster, until};
use super::tour::busybox_archive;
use std::process::Command;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);

/// Shows its token whenever it is asked to, and keeps nothing of it.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: holder}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "busybox:local", command: [sleep, "1000000"]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: daily}
spec:
  schedule: "0 0 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - {name: main, image: "busybox:local", command: ["true"]}
"#;

/// Sets the clock of this machine.
fn set(time: SystemTime) {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let status = Command::new("date").args(["-s", &format!("@{seconds}")]).status().unwrap();
    assert!(status.success());
}

fn token(cluster: &Cluster) -> String {
    cluster.kubectl("exec holder -- cat /var/run/secrets/kubernetes.io/serviceaccount/token").ok()
}

/// Whether the server takes a token for who it is.
fn is_taken(cluster: &Cluster, token: &str) -> bool {
    let review = format!(
        "apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nmetadata: {{name: x}}\nspec: {{token: {token}}}\n"
    );
    cluster.kubectl_with("create -o jsonpath={.status.authenticated}", &review).out.ends_with("true")
}

/// Everything that a user would try first.
fn is_well(cluster: &Cluster, name: &str) {
    until("the pod holds a token that is taken", || is_taken(cluster, &token(cluster)));
    cluster.kubectl("wait node/clock --for=condition=Ready --timeout=60s").ok();
    cluster.kubectl(&format!("run {name} --image=busybox:local --restart=Never -- true")).ok();
    cluster.kubectl(&format!("wait pod/{name} --for=jsonpath={{.status.phase}}=Succeeded --timeout=120s")).ok();
    let taints = cluster.kubectl("get node clock -o jsonpath={.spec.taints}").ok();
    assert_eq!(taints, "", "nothing was taken for lost");
    let restarts = "get pod holder -o jsonpath={.status.containerStatuses[0].restartCount}";
    assert_eq!(cluster.kubectl(restarts).ok(), "0");
    let lease = cluster.kubectl("get lease clock -n kube-node-lease -o jsonpath={.spec.renewTime}").ok();
    let renewed: jiff::Timestamp = lease.parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(renewed).as_secs().abs() < 60, "{lease}");
}

#[test]
fn a_cluster_whose_clock_jumps_goes_on() {
    if std::env::var_os(INSIDE).is_none() {
        println!("skipped: only a machine of the test's own may have its clock set");
        return;
    }
    let Some(cluster) = Cluster::started("clock") else { return };
    cluster.coracle(&format!("image load {}", busybox_archive(cluster.folder()).display())).ok();
    cluster.kubectl_with("apply", PODS).ok();
    cluster.kubectl("wait pod/holder --for=condition=Ready --timeout=120s").ok();
    let before = token(&cluster);
    assert!(is_taken(&cluster, &before));

    set(SystemTime::now() + DAY);
    assert!(!is_taken(&cluster, &before), "its hour is over");
    is_well(&cluster, "after-a-day");
    until("the schedule of the day that was skipped was kept", || {
        cluster.kubectl("get jobs -o name").out.contains("job.batch/daily-")
    });

    let before = token(&cluster);
    set(SystemTime::now() - HOUR);
    assert!(is_taken(&cluster, &before), "a clock that was set back takes no right away");
    is_well(&cluster, "an-hour-earlier");
}
