//! Start, stop, delete, status: what a cluster's life looks like from outside.

use super::harness::{Cluster, Said};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

#[test]
fn a_cluster_starts_stops_starts_again_and_leaves_nothing() {
    let Some(cluster) = Cluster::started("life") else { return };
    let status: serde_json::Value = serde_json::from_str(&cluster.coracle("status -o json").out).unwrap();
    assert_eq!(status["Host"], "Running");
    assert_eq!(status["APIServer"], "Running");
    assert_eq!(status["Kubeconfig"], "Configured");
    assert!(std::path::Path::new(&format!("/proc/{}", status["Pid"])).exists());
    cluster.kubectl("label namespace default team=blue").ok();

    let again = cluster.coracle("start");
    assert!(again.out.contains("running already") && again.err.is_empty(), "{}{}", again.out, again.err);
    cluster.kubectl("config unset current-context").ok();
    cluster.coracle("start").ok();
    assert_eq!(cluster.kubectl("config current-context").ok().trim(), "life", "every start chooses its context");
    std::fs::remove_file(cluster.kubeconfig()).unwrap();
    cluster.coracle("start").ok();
    cluster.kubectl("get namespace default").ok();

    cluster.coracle("stop").ok();
    let shell = cluster.coracle("ssh true");
    assert!(shell.code == 83 && shell.err.contains("hint: coracle start -p life"), "{}", shell.err);
    let stopped = cluster.coracle("status -o json");
    assert_eq!(stopped.code & 3, 3, "{}", stopped.out);
    assert_eq!(cluster.traces(), Vec::<String>::new(), "a stopped cluster runs nothing");

    cluster.coracle("start").ok();
    let label = cluster.kubectl("get namespace default -o jsonpath={.metadata.labels.team}").ok();
    assert_eq!(label, "blue");

    cluster.coracle("delete").ok();
    assert_eq!(cluster.traces(), Vec::<String>::new());
    assert!(!cluster.profile_folder().exists());
    let config = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    assert!(!config.contains("life"), "{config}");
}

#[test]
fn two_clusters_do_not_meet() {
    let (Some(one), Some(two)) = (Cluster::started("one"), Cluster::started("two")) else { return };
    one.kubectl("label namespace default which=one").ok();
    assert_eq!(two.kubectl("get namespace default -o jsonpath={.metadata.labels.which}").ok(), "");
    assert_ne!(one.coracle("ip").ok(), two.coracle("ip").ok());
    let mode = std::fs::metadata(one.kubeconfig()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn starts_at_the_same_time_make_one_cluster() {
    let Some(cluster) = Cluster::new("thrice") else { return };
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
        command.args(["-p", "thrice", "start"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        cluster.spawn(command)
    };
    let starts = [start(), start(), start()];
    let said = starts.map(|child| Said::from(child.wait_with_output().unwrap()).ok());
    let which = |text: &str| said.iter().filter(|one| one.contains(text)).count();
    assert_eq!((which("is ready after"), which("is running already")), (1, 2), "{said:?}");
    cluster.kubectl("get namespace default").ok();
    cluster.coracle("delete").ok();
    assert_eq!(cluster.traces(), Vec::<String>::new());
    assert_eq!(cluster.forgotten(), Vec::<String>::new());
}

#[test]
fn a_node_that_nobody_knows_of_is_ended() {
    let Some(cluster) = Cluster::started("orphan") else { return };
    let record = cluster.profile_folder().join("native.json");
    std::fs::remove_file(&record).unwrap();
    cluster.coracle("start").ok();
    cluster.kubectl("get namespace default").ok();

    std::fs::remove_file(&record).unwrap();
    cluster.coracle("delete").ok();
    assert_eq!(cluster.traces(), Vec::<String>::new());

    cluster.coracle("start").ok();
    std::fs::remove_file(cluster.profile_folder().join("profile.json")).unwrap();
    let gone = cluster.coracle("delete").ok();
    assert!(gone.contains("removed what was left of it: processes"), "{gone}");
    assert_eq!(cluster.traces(), Vec::<String>::new());
    assert_eq!(cluster.forgotten(), Vec::<String>::new());
}

#[test]
fn wrong_words_get_a_code_and_a_hint() {
    let Some(cluster) = Cluster::new("nowhere") else { return };
    let missing = cluster.coracle("status");
    assert_eq!(
        (missing.code, missing.err.as_str()),
        (85, "X Exiting due to GUEST_NOT_FOUND: there is no profile `nowhere`\n\nhint: coracle start -p nowhere\n")
    );
    assert_eq!(cluster.coracle("start --driver=steam").code, 56);
    assert_eq!(cluster.coracle("start --nonsense").code, 14);
    assert_eq!(cluster.coracle("delete").code, 0, "what is not there is gone already");
    assert_eq!(cluster.coracle("profile lis").code, 0, "as in minikube");
    let group = cluster.coracle("addons");
    assert!(group.code == 0 && group.out.contains("enable"), "{}{}", group.out, group.err);
    let tip = cluster.coracle("del").err;
    assert!(tip.contains("delete") && !tip.contains("node-link"), "{tip}");
}

#[test]
fn a_profile_that_tells_nothing_or_has_lost_its_engine_is_deleted_all_the_same() {
    let Some(cluster) = Cluster::new("broken") else { return };
    let cluster = cluster.at_home().with_variable("DOCKER_HOST", "unix:///nowhere/docker.sock".into());
    let coracle = |words: &str| cluster.program(std::path::Path::new(env!("CARGO_BIN_EXE_coracle")), words);
    let file = cluster.profile_folder().join("profile.json");
    std::fs::create_dir_all(cluster.profile_folder()).unwrap();
    std::fs::write(&file, "").unwrap();
    let unreadable = cluster.coracle("status");
    assert!(unreadable.code == 38 && unreadable.err.contains("hint: coracle delete -p broken"), "{}", unreadable.err);
    coracle("-p other start --dry-run").ok();

    let mut boxed = coracle::config::Wanted::named("boxed-without-engine").resolve(&[]).unwrap();
    boxed.driver = "docker".into();
    coracle::config::Home::new(file.ancestors().nth(3).unwrap()).save(&boxed).unwrap();
    let stopped = coracle("-p boxed-without-engine stop");
    assert!(stopped.code == 63 && stopped.err.contains("PROVIDER_DOCKER_NOT_RUNNING"), "{}", stopped.err);
    let deleted = coracle("delete --all");
    assert!(deleted.code == 0 && deleted.err.contains("may be left there"), "{}{}", deleted.out, deleted.err);
    assert!(cluster.coracle("profile list -o json").ok().contains(r#""invalid":[],"valid":[]"#));
    assert_eq!(cluster.forgotten(), Vec::<String>::new());
}

#[test]
fn a_killed_server_comes_back_with_everything() {
    let Some(cluster) = Cluster::started("killed") else { return };
    cluster.kubectl("label namespace default kept=yes").ok();
    // The server is PID 1's child in the node; its own /proc has no other `coracle server`.
    let kill = r"for p in /proc/[0-9]*; do if tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^/coracle server'; then kill -9 ${p#/proc/}; fi; done";
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args(["-p", "killed", "ssh", "--", kill])
        .env("CORACLE_HOME", cluster.profile_folder().parent().unwrap().parent().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    // The listening socket outlives the server, so this request waits for the next one instead of failing.
    assert_eq!(cluster.kubectl("get namespace default -o jsonpath={.metadata.labels.kept}").ok(), "yes");
    let problems = cluster.coracle("logs --problems").ok();
    assert!(problems.contains("server was ended by signal 9"), "{problems}");
}

#[test]
fn clusters_of_one_name_in_two_homes_do_not_meet() {
    let (Some(left), Some(right)) = (Cluster::new("same"), Cluster::new("same")) else { return };
    let both = [left.at_home(), right.at_home()];
    // At the same time, so that neither finds the other's addresses taken when it chooses its own.
    std::thread::scope(|scope| both.iter().for_each(|cluster| drop(scope.spawn(|| cluster.coracle("start").ok()))));
    let which = |cluster: &Cluster| cluster.kubectl("get namespace default -o jsonpath={.metadata.labels.which}").ok();
    for (cluster, side) in both.iter().zip(["left", "right"]) {
        cluster.kubectl(&format!("label namespace default which={side}")).ok();
    }
    assert_eq!(both.each_ref().map(which), ["left", "right"]);
    both[0].coracle("delete").ok();
    assert_eq!(both[0].traces(), Vec::<String>::new());
    assert_eq!(which(&both[1]), "right");
    let lookup = "run lookup --rm -i --restart=Never --image=coracle.local/hello --command -- /coracle version";
    assert!(both[1].kubectl(lookup).ok().contains("coracle"), "pods run on");
    // Also one that is stopped keeps its addresses.
    let address = both[1].coracle("ip").ok();
    both[1].coracle("stop").ok();
    both[0].coracle("start").ok();
    assert_ne!(both[0].coracle("ip").ok(), address);
    both[1].coracle("start").ok();
    assert_eq!(which(&both[1]), "right");
}

#[test]
fn a_running_cluster_that_cannot_be_healed_runs_on_and_what_it_had_to_tell_is_kept() {
    let Some(cluster) = Cluster::started("mute") else { return };
    let init = cluster.init();
    cluster.kubectl("scale deployment coredns -n kube-system --replicas=0").ok();
    cluster.kubectl("wait pod -n kube-system -l k8s-app=kube-dns --for=delete --timeout=60s").ok();
    let refused = cluster.coracle("start");
    assert!(refused.code != 0 && refused.err.contains("cluster DNS does not answer"), "{}", refused.err);
    let kept = refused.err.split_once("hint: what the node had to tell is in ").unwrap().1.trim();
    assert!(std::fs::read_to_string(format!("{kept}/objects/deployments.json")).unwrap().contains("coredns"));
    assert_eq!(cluster.init(), init, "the node runs on");
    cluster.kubectl("scale deployment coredns -n kube-system --replicas=1").ok();
    cluster.coracle("start").ok();
    cluster.coracle("delete").ok();
    assert!(!std::path::Path::new(kept).exists());
}

#[test]
fn a_stopped_cluster_whose_addresses_another_home_has_meanwhile_is_refused_and_stays() {
    let (Some(first), Some(second)) = (Cluster::new("shore"), Cluster::new("shore")) else { return };
    let [first, second] = [first.at_home(), second.at_home()];
    // All of its own, so that no cluster of another test has any of it meanwhile.
    let start =
        "start --subnet=192.168.91.0/24 --pod-network-cidr=10.40.0.0/16 --service-cluster-ip-range=10.41.0.0/16";
    first.coracle(start).ok();
    first.coracle("stop").ok();
    second.coracle(start).ok();
    let refused = first.coracle("start");
    assert!(refused.code != 0 && refused.err.contains("network with the address `192.168.91.1`"), "{}", refused.err);
    second.kubectl("get namespace default").ok();
    second.coracle("delete").ok();
    first.coracle("start").ok();
    first.kubectl("get namespace default").ok();
}
