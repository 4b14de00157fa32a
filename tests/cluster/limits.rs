//! What a container may use: processors, memory, devices, and time. In whichever version of cgroups this machine has.

use super::harness::{Cluster, until};
use super::tour::busybox_archive;

/// Half a processor and 48 MiB.
const MODEST: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: modest}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox:local
    command: [sh, -c, "n=0; while :; do n=$((n+1)); echo $n > /count; sleep 1; done"]
    resources: {limits: {cpu: 500m, memory: 48Mi}}
    securityContext: {capabilities: {add: [SYS_ADMIN, MKNOD]}}
"#;

/// Writes into a file system in memory, which is its own memory.
const GREEDY: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox:local
    command: [sh, -c, "exec busybox tail -c 200m /dev/zero"]
    resources: {limits: {memory: 24Mi}}
"#;

/// The files of both versions, of which one has them; the answer in each is the same.
const LIMITS: &str = "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max \
                      /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true";
/// Who may mount has a folder where device files work: the kernel's log, which everybody may write to, is refused.
const DEVICES: &str = "mkdir -p /mnt; mount -t tmpfs none /mnt; busybox mknod /mnt/log c 1 11; \
                       busybox mknod /mnt/null c 1 3; echo x >/mnt/null && echo taken; echo x >/mnt/log";

/// Asks for other limits through the subresource, as a `kubectl` that knows it does.
fn resize(cluster: &Cluster, cpu: &str, memory: &str) {
    let pod = cluster.kubectl("get pod modest -o json").ok();
    let mut pod: serde_json::Value = serde_json::from_str(&pod).unwrap();
    let amounts = serde_json::json!({"cpu": cpu, "memory": memory});
    pod["spec"]["containers"][0]["resources"] = serde_json::json!({"limits": amounts, "requests": amounts});
    cluster.kubectl_with("replace --raw /api/v1/namespaces/default/pods/modest/resize", &pod.to_string()).ok();
}

fn run(cluster: &Cluster, script: &str) -> String {
    let said = cluster.kubectl_with_script("exec modest -- sh -c", script);
    said.out + &said.err
}

#[test]
fn a_container_has_what_its_limits_give_it_and_no_more() {
    let Some(cluster) = Cluster::started("limits") else { return };
    cluster.coracle(&format!("image load {}", busybox_archive(cluster.folder()).display())).ok();
    cluster.kubectl_with("apply", MODEST).ok();
    cluster.kubectl("wait pod/modest --for=condition=Ready --timeout=120s").ok();
    let limits = run(&cluster, LIMITS);
    let words: Vec<&str> = limits.split_whitespace().filter(|word| *word != "100000").collect();
    assert_eq!(words, ["50000", "50331648"], "{limits}");
    let devices = run(&cluster, DEVICES);
    assert!(devices.starts_with("taken\n") && devices.contains("/mnt/log: Operation not permitted"), "{devices}");

    resize(&cluster, "300m", "64Mi");
    until("the limits are the new ones", || {
        let limits = run(&cluster, LIMITS);
        limits.split_whitespace().filter(|word| *word != "100000").eq(["30000", "67108864"])
    });
    let held = "get pod modest -o jsonpath={.status.containerStatuses[0].resources.limits.cpu}";
    until("the status tells of them", || cluster.kubectl(held).out == "300m");
    let restarts = "get pod modest -o jsonpath={.status.containerStatuses[0].restartCount}";
    assert_eq!(cluster.kubectl(restarts).ok(), "0");
    resize(&cluster, "9000", "64Mi");
    cluster.kubectl("wait pod/modest --for=condition=PodResizePending --timeout=60s").ok();
    resize(&cluster, "300m", "64Mi");
    let conditions = "get pod modest -o jsonpath={.status.conditions[*].type}";
    until("nothing is pending any more", || !cluster.kubectl(conditions).out.contains("PodResize"));

    cluster.kubectl_with("apply", GREEDY).ok();
    cluster.kubectl("wait pod/greedy --for=jsonpath={.status.phase}=Failed --timeout=120s").ok();
    let why = "get pod greedy -o jsonpath={.status.containerStatuses[0].state.terminated.reason}";
    assert_eq!(cluster.kubectl(why).ok(), "OOMKilled");

    until("the pod's use is measured", || {
        let top = cluster.kubectl("top pod modest --containers");
        top.out.lines().any(|line| line.contains("main") && line.trim_end().ends_with("Mi"))
    });

    cluster.coracle("pause -A").ok();
    assert!(cluster.coracle("status").out.contains("Paused"));
    cluster.coracle("unpause").ok();
    let count = || run(&cluster, "cat /count");
    let before = count();
    until("the pod counts on", || count() != before);
    cluster.coracle("delete").ok();
    assert_eq!(cluster.traces(), Vec::<String>::new());
}
