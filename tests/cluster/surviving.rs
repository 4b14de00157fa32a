//! What happens to the machine under a cluster: killed processes, a power cut, links taken away, certificates that end, files
//! of an older coracle. `status` tells of it, and `start` heals it.

use super::harness::{Cluster, Said, kill, kill_server, server, until, until_changed};
use std::process::{Command, Stdio};

fn host(cluster: &Cluster) -> String {
    let status: serde_json::Value = serde_json::from_str(&cluster.coracle("status -o json").out).unwrap();
    status["Host"].as_str().unwrap().to_string()
}

fn is_gone(pid: i32) -> bool {
    !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

fn remember(cluster: &Cluster) {
    cluster.kubectl("create configmap kept --from-literal=a=1").ok();
    cluster.kubectl("create deployment web --image=coracle.local/hello").ok();
    cluster.kubectl("wait --for=condition=Available deployment/web --timeout=120s").ok();
}

fn is_as_before(cluster: &Cluster) {
    assert_eq!(cluster.kubectl("get configmap kept -o jsonpath={.data.a}").ok(), "1");
    cluster.kubectl("wait --for=condition=Available deployment/web --timeout=120s").ok();
    cluster.kubectl("wait --for=condition=Ready pod -l app=web --timeout=120s").ok();
}

/// Whether a process waits for the end of another one.
fn watches_a_process(pid: u32) -> bool {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|target| target.ends_with("anon_inode:[pidfd]"))
}

#[test]
fn a_node_that_ends_while_a_start_waits_for_it_is_started_again() {
    let Some(cluster) = Cluster::started("ending") else { return };
    remember(&cluster);
    let init = cluster.init();
    let server = rustix::process::Pid::from_raw(server(init).unwrap()).unwrap();
    rustix::process::kill_process(server, rustix::process::Signal::STOP).unwrap();
    let mut start = Command::new(env!("CARGO_BIN_EXE_coracle"));
    start.args(["start", "-p", cluster.name()]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut start = cluster.spawn(start);
    until("the start waits for the node", || watches_a_process(start.id()));
    kill(init);
    assert!(start.wait().unwrap().success());
    is_as_before(&cluster);
}

#[test]
fn whatever_of_a_node_is_killed_status_tells_and_start_heals() {
    let Some(cluster) = Cluster::started("struck") else { return };
    remember(&cluster);
    // Paused or not: what stands still under version 1 of cgroups cannot even be killed.
    for pause in [None, Some("pause"), Some("pause -A")] {
        if let Some(words) = pause {
            cluster.coracle(words).ok();
        }
        let init = cluster.init();
        kill(init);
        let status = cluster.coracle("status");
        assert!(status.out.contains("host: Stopped") && status.err.contains("was killed"), "{pause:?}: {}", status.err);
        until("the node's processes are gone", || is_gone(init));
        cluster.coracle("start").ok();
        is_as_before(&cluster);
    }
    cluster.coracle("pause -A").ok();
    kill(cluster.init());
    cluster.coracle("delete").ok();
    assert_eq!(cluster.traces(), Vec::<String>::new());
}

#[test]
fn a_node_without_its_link_or_forwarder_has_them_again_after_start() {
    let Some(cluster) = Cluster::new("cut") else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    cluster.coracle(&format!("start --ports={port}:8443")).ok();
    remember(&cluster);
    let init = cluster.init();
    assert!(Command::new("ip").args(["link", "delete", &cluster.link()]).status().unwrap().success());
    let record = std::fs::read(cluster.profile_folder().join("forwarder.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let forwarder = record["pid"].as_i64().unwrap() as i32;
    kill(forwarder);
    until("the forwarder is gone", || is_gone(forwarder));
    cluster.coracle("start").ok();
    assert_eq!(cluster.init(), init, "the node ran on");
    is_as_before(&cluster);
    let dns = cluster.kubectl("get service kube-dns -n kube-system -o jsonpath={.spec.clusterIP}").ok();
    assert!(std::net::TcpStream::connect(format!("{dns}:53")).is_ok(), "service addresses are routed again");
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), "the port leads to the node again");
    assert!(kill_server(init));
    is_as_before(&cluster);
}

#[test]
fn whoever_asks_the_node_right_after_its_server_was_killed_is_answered() {
    let Some(cluster) = Cluster::started("asked") else { return };
    remember(&cluster);
    let init = cluster.init();
    for _ in 0..5 {
        until("the server is killed", || kill_server(init));
        let log = cluster.kubectl("logs deployment/web").ok();
        assert!(log.contains("listening on port 8080"), "{log}");
        assert!(kill_server(init));
        cluster.kubectl("exec deployment/web -- /coracle version").ok();
    }
}

#[test]
fn a_cluster_comes_back_after_a_power_cut() {
    let Some(cluster) = Cluster::started("dark") else { return };
    remember(&cluster);
    cluster.coracle(&format!("mount {}:/mnt/host", cluster.folder().display())).ok();
    cluster.coracle("stop --schedule 5h").ok();
    // What a reboot leaves: files; no processes, mounts, links, rules and cgroups. A pid may be another's by then.
    let init = cluster.init();
    let scheduled: i32 = std::fs::read_to_string(cluster.profile_folder().join("pid")).unwrap().parse().unwrap();
    for pid in [init, scheduled] {
        kill(pid);
        until("it is gone", || is_gone(pid));
    }
    Command::new("ip").args(["link", "delete", &cluster.link()]).status().unwrap();
    Command::new("nft").args(["delete", "table", "ip", &format!("coracle-{}", cluster.mark())]).status().unwrap();
    let record = cluster.profile_folder().join("native.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let mut noted: serde_json::Value = serde_json::from_str(&text).unwrap();
    noted["pid"] = serde_json::json!(std::process::id());
    std::fs::write(&record, noted.to_string()).unwrap();

    assert_eq!(host(&cluster), "Stopped");
    cluster.coracle("start").ok();
    is_as_before(&cluster);
    assert_eq!(cluster.coracle("mount").ok(), "", "what was mounted by hand ended with the machine");
    assert!(!cluster.coracle("status").ok().contains("timeToStop"));
}

#[test]
fn certificates_of_a_running_node_are_made_anew_before_their_end() {
    let Some(cluster) = Cluster::new("brief") else { return };
    cluster.coracle("start --cert-expiration=30s").ok();
    remember(&cluster);
    let folder = cluster.profile_folder().join("node/var/lib/coracle/pki");
    let certificate = || std::fs::read(folder.join("apiserver.crt")).unwrap();
    let started = cluster.kubectl("get pod -l app=web -o jsonpath={.items[0].status.startTime}").ok();
    for _ in 0..2 {
        let before = certificate();
        until_changed(&folder, "the certificate is made anew", || certificate() != before);
    }
    // More than its time has passed; the kubeconfig has the administrator's new one after any command.
    cluster.coracle("ip").ok();
    is_as_before(&cluster);
    assert_eq!(cluster.kubectl("get pod -l app=web -o jsonpath={.items[0].status.startTime}").ok(), started);
    assert_eq!(cluster.coracle("status -o json").code, 0);
}

#[test]
fn certificates_that_ended_while_the_node_was_stopped_are_made_anew_and_told() {
    let Some(cluster) = Cluster::started("lapsed") else { return };
    remember(&cluster);
    cluster.coracle("stop").ok();
    let folder = cluster.profile_folder().join("node/var/lib/coracle/pki");
    let authority = coracle::pki::Authority::load(&folder, "ca").unwrap();
    let admin = coracle::pki::Identity::client("kubernetes-admin", "system:masters");
    authority.issue(&admin, std::time::Duration::ZERO).unwrap().write(&folder, "admin").unwrap();
    let started = cluster.coracle("start");
    assert!(started.out.contains("certificates had expired"), "{}", started.out);
    is_as_before(&cluster);
}

#[test]
fn a_profile_of_an_older_coracle_is_brought_up_to_date_and_one_of_a_newer_is_refused() {
    let Some(cluster) = Cluster::started("older") else { return };
    remember(&cluster);
    cluster.coracle("stop").ok();
    let file = cluster.profile_folder().join("profile.json");
    let mut profile: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    // Before there was a number there was less in it.
    for field in ["layout", "environment", "shortage", "addon_images", "certificate_seconds"] {
        profile.as_object_mut().unwrap().remove(field);
    }
    std::fs::write(&file, profile.to_string()).unwrap();
    let started = cluster.coracle("start");
    assert!(started.out.contains("before-layout-1-from-0"), "{}{}", started.out, started.err);
    is_as_before(&cluster);
    assert!(cluster.coracle("snapshot list").ok().contains("before-layout-1-from-0"));

    cluster.coracle("stop").ok();
    profile["layout"] = serde_json::json!(99);
    std::fs::write(&file, profile.to_string()).unwrap();
    let refused = cluster.coracle("start");
    assert!(refused.code != 0 && refused.err.contains("a newer coracle"), "{}", refused.err);
}

#[test]
fn a_start_that_is_interrupted_is_undone() {
    let Some(cluster) = Cluster::new("hasty") else { return };
    let interrupt = |moment: &dyn Fn() -> bool, is_new: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
        command.args(["-p", "hasty", "start"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = cluster.spawn(command);
        until("the start has come so far", moment);
        let pid = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let ended: Said = process.wait_with_output().unwrap().into();
        // On a machine that is quick it may have been ready before.
        if ended.code == 0 {
            cluster.coracle(if is_new { "delete" } else { "stop" }).ok();
            return;
        }
        assert_eq!(ended.code, 2, "{}{}", ended.out, ended.err);
        assert!(ended.err.contains("was undone"), "{}", ended.err);
    };
    let folder = cluster.profile_folder();
    for moment in [folder.join("profile.json"), folder.join("node.log"), folder.join("native.json")] {
        interrupt(&|| moment.exists(), true);
        assert_eq!(cluster.traces(), Vec::<String>::new(), "interrupted when {} was there", moment.display());
        assert_eq!(cluster.forgotten(), Vec::<String>::new());
    }
    // A cluster that was there before stays, stopped.
    cluster.coracle("start").ok();
    remember(&cluster);
    cluster.coracle("stop").ok();
    interrupt(&|| folder.join("native.json").exists(), false);
    assert_eq!(cluster.traces(), Vec::<String>::new());
    cluster.coracle("start").ok();
    is_as_before(&cluster);
}
