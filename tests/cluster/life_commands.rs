//! The commands of a cluster's life as a script sees them: events, bits, files, changes while it runs, snapshots.

use super::harness::{Cluster, get_named, kill, until};
use std::net::TcpStream;

/// The events of a command's stdout.
fn events(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

#[test]
fn a_script_reads_events_bits_and_words() {
    let Some(cluster) = Cluster::new("words") else { return };
    let refused = cluster.coracle("start --driver=fail -o json");
    assert_eq!(refused.code, 56, "{}", refused.err);
    let last = events(&refused.out).pop().unwrap();
    assert_eq!(last["data"]["exitcode"], "56");
    assert!(last["data"]["message"].as_str().unwrap().starts_with("The driver 'fail' is not supported on linux/"));
    let french = cluster.coracle_with(&[("LC_ALL", "fr_FR.UTF-8")], "start --dry-run --memory 200MB");
    assert!(french.code == 23 && french.out.contains("Utilisation du pilote"), "{}{}", french.out, french.err);
    assert!(cluster.coracle("start --download-only").ok().contains("nothing was started"));
    assert!(!cluster.profile_folder().exists());
    let missing = cluster.coracle("addons enable dns");
    assert!(missing.code != 0 && missing.err.contains("To start a cluster, run"), "{}", missing.err);

    let started = events(&cluster.coracle("start -o json --addons=metrics-server").ok());
    let steps: Vec<u32> = started
        .iter()
        .filter(|event| event["type"] == "io.k8s.sigs.minikube.step")
        .map(|event| event["data"]["currentstep"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]) && steps.last() == Some(&19), "{steps:?}");

    let table = cluster.coracle("profile list").ok();
    let rows: Vec<&str> = table.lines().skip(3).filter(|line| line.contains(" words ")).collect();
    assert!(rows.len() == 1 && rows[0].contains(" native ") && rows[0].contains(" OK "), "{table}");
    let lines = table.lines().count();
    assert!(table.lines().take(lines - 1).skip(3).any(|line| line.contains(" words ")), "the last line is the frame");
    let logs = cluster.coracle("logs -n 500").ok();
    assert_eq!(logs.matches("the node starts").count(), 1, "{logs}");
    assert!(["Audit", "Linux", "Last Start", "apiserver", "kubelet"].iter().all(|word| logs.contains(word)), "{logs}");
    // What scripts for minikube give to every command.
    cluster.coracle("status --alsologtostderr -v=1 --logtostderr=false").ok();
    let labels = cluster.kubectl("get nodes -l minikube.k8s.io/name=words,minikube.k8s.io/primary=true -o name").ok();
    assert_eq!(labels.trim(), "node/words");
    let admin = cluster.coracle("ssh cat /etc/kubernetes/admin.conf").ok();
    assert!(admin.contains(":8443") && cluster.coracle("ssh cat /var/lib/minikube/certs/apiserver.crt").code == 0);
    let folder = cluster.folder().join("klog");
    let again = cluster.coracle(&format!("start --wait=false -v=5 -n=1 --log_dir {}", folder.display()));
    assert_eq!(again.err, "", "{}", again.out);
    let logs = std::fs::read_to_string(folder.join("coracle_start_0.log")).unwrap();
    assert!(logs.starts_with('I') && logs.contains("running already"), "{logs}");
    assert!(again.out.contains("The running cluster does not require reconfiguration"), "{}", again.out);
    assert!(cluster.coracle("addons enable metrics-server").ok().is_empty());
    let words = [("CORACLE_OUTPUT", "JSON"), ("CORACLE_LAYOUT", "cluster")];
    assert!(cluster.coracle_with(&words, "status --quiet=false").ok().contains("\"StatusCode\":200"));
    for refused in ["--ha", "--gpus=all", "--ports=8080:80,8080:81"] {
        assert_eq!(cluster.coracle(&format!("start {refused}")).code, 14, "{refused}");
    }

    // The node has programs of its own for what the machine's could not do there.
    assert_eq!(cluster.coracle("ssh sudo -n echo aye").ok(), "aye\n");
    assert!(cluster.coracle("ssh -- sudo crictl images").ok().contains("coracle.local/"));
    assert_eq!(cluster.coracle("ssh systemctl is-active kubelet").ok(), "active\n");
    let idle = cluster.coracle("ssh sudo systemctl is-active crio");
    assert_eq!((idle.code, idle.out.as_str()), (3, "inactive\n"), "{}", idle.err);
    assert_eq!(cluster.coracle("ssh -- nosuchcommand").code, 127);
    assert_eq!(
        cluster.coracle("ssh -- echo a | tr a b; exit 3").out,
        "b\n",
        "the words are a line for the node's shell"
    );
    assert!(
        std::fs::read_to_string(cluster.profile_folder().join("config.json")).unwrap().contains("\"APIServerPort\"")
    );

    // Pods of one namespace stand still, and the control plane is none of them.
    assert!(cluster.coracle("pause -n default").ok().contains("the pods of default"));
    assert_eq!(cluster.coracle("status --format={{.APIServer}}").ok(), "Running\n");
    cluster.kubectl("get namespace default --request-timeout=60s").ok();
    events(&cluster.coracle("pause -A -o json").ok());
    let paused = cluster.coracle("status -o json --layout=cluster");
    assert_eq!(paused.code, 2, "{}", paused.out);
    assert_eq!(events(&paused.out)[0]["StatusCode"], 418);
    // What would wait for the control plane for ever says that it stands still.
    for words in ["service list", "kubectl -- get namespaces", "chart list"] {
        let refused = cluster.coracle(words);
        let said = format!("{}{}", refused.out, refused.err);
        assert!(refused.code != 0 && said.contains("`words` is paused"), "{words}: {said}");
    }
    events(&cluster.coracle("unpause -o json").ok());
    assert_eq!(cluster.coracle("status --format={{.Host}}/{{.APIServer}}").ok(), "Running/Running\n");

    cluster.coracle("stop --schedule 1h").ok();
    assert!(cluster.coracle("status").ok().contains("timeToStop: "));
    let pid: i32 = std::fs::read_to_string(cluster.profile_folder().join("pid")).unwrap().parse().unwrap();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    cluster.coracle("stop --cancel-scheduled").ok();
    assert!(!cluster.coracle("status").ok().contains("timeToStop: "));
    assert!(cluster.coracle("logs --audit").ok().contains("unpause"));

    // A paused cluster ends in order as well.
    cluster.coracle("pause").ok();
    cluster.coracle("delete -o json").ok();
    assert_eq!(cluster.traces(), Vec::<String>::new());
}

#[test]
fn files_go_in_and_out_and_state_is_saved_and_restored() {
    let Some(cluster) = Cluster::started("files") else { return };
    let folder = cluster.folder().to_path_buf();
    std::fs::create_dir(folder.join("from")).unwrap();
    std::fs::write(folder.join("from/note"), "hello").unwrap();
    let here = |name: &str| folder.join(name).display().to_string();
    cluster.coracle(&format!("cp {} files:/tmp/not/there/copy", here("from"))).ok();
    assert_eq!(cluster.coracle("ssh cat /tmp/not/there/copy/note").ok(), "hello");
    cluster.coracle(&format!("cp files:/tmp/not/there/copy {}", here("back"))).ok();
    assert_eq!(std::fs::read_to_string(folder.join("back/note")).unwrap(), "hello");

    cluster.coracle(&format!("mount {}:/mnt/host:ro", here("from"))).ok();
    assert_eq!(cluster.coracle("ssh cat /mnt/host/note").ok(), "hello");
    assert_ne!(cluster.coracle("ssh touch /mnt/host/new").code, 0, "it was mounted read-only");
    cluster.coracle("mount --kill").ok();
    assert_ne!(cluster.coracle("ssh cat /mnt/host/note").code, 0);

    cluster.kubectl("create configmap kept --from-literal=a=1").ok();
    cluster.coracle("snapshot save one").ok();
    cluster.kubectl("delete configmap kept").ok();
    cluster.kubectl("create configmap later --from-literal=a=1").ok();
    cluster.coracle("snapshot restore one").ok();
    assert_eq!(cluster.kubectl("get configmap kept -o jsonpath={.data.a}").ok(), "1");
    assert_ne!(cluster.kubectl("get configmap later").code, 0);
    assert!(cluster.coracle("snapshot list -o json").ok().contains("\"Name\":\"one\""));

    cluster.coracle(&format!("export logs {}", here("out"))).ok();
    for name in ["node.log", "status.json", "var-log/coracle.log", "objects/pods.json"] {
        assert!(folder.join("out").join(name).exists(), "{name}");
    }
}

#[test]
fn a_cluster_file_makes_and_changes_a_cluster_that_runs() {
    let Some(cluster) = Cluster::new("changed") else { return };
    let file = cluster.folder().join("cluster.toml");
    std::fs::write(&file, "memroy = \"2g\"\nports = [\"x\"]\n").unwrap();
    let wrong = cluster.coracle(&format!("start -f {}", file.display()));
    assert_eq!(wrong.code, 14);
    assert!(wrong.err.contains("1:1: memroy") && wrong.err.contains("2:9: ports"), "{}", wrong.err);

    let manifest =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: brought\n  namespace: default\ndata:\n  a: \"1\"\n";
    std::fs::write(cluster.folder().join("map.yaml"), manifest).unwrap();
    std::fs::write(&file, "manifests = [\"map.yaml\"]\nmemory = \"1g\"\n").unwrap();
    cluster.coracle(&format!("start -f {}", file.display())).ok();
    assert_eq!(cluster.kubectl("get configmap brought -o jsonpath={.data.a}").ok(), "1");
    cluster.kubectl("create deployment web --image=coracle.local/hello").ok();
    cluster.kubectl("expose deployment web --type=NodePort --port=80 --target-port=8080").ok();
    let node_port = cluster.kubectl("get service web -o jsonpath={.spec.ports[0].nodePort}").ok();

    // Ports of this machine that are free now; another process may take one, and then the change says so.
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (port, names) = (free(), free());
    let text = format!("memory = \"2g\"\nmax-pods = 30\nports = [\"{port}:{node_port}\"]\nnames-port = {names}\n");
    std::fs::write(&file, &text).unwrap();
    let dry = cluster.coracle(&format!("apply -f {} --dry-run", file.display()));
    assert!(dry.err.contains("~ memory: 1g -> 2g") && dry.err.contains("nothing was changed"), "{}", dry.err);
    cluster.coracle(&format!("apply -f {}", file.display())).ok();
    get_named(&format!("127.0.0.1:{port}"), "x", "HTTP/1.1 200");
    let named = get_named(&format!("127.0.0.1:{names}"), "web.default.localhost", "HTTP/1.1 200");
    assert!(named.contains("hello from web-"), "{named}");
    get_named(&format!("127.0.0.1:{names}"), "none.default.localhost", "HTTP/1.1 404");

    let again = cluster.coracle(&format!("apply -f {} --dry-run", file.display()));
    assert!(again.err.contains("0 differences"), "{}", again.err);
    let told = "wait node/changed --for=jsonpath={.status.capacity.memory}=2Gi --timeout=120s";
    cluster.kubectl(told).ok();

    // A forwarder that somebody ended is told of, and comes back.
    let record = std::fs::read_to_string(cluster.profile_folder().join("forwarder.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    kill(record["pid"].as_i64().unwrap() as i32);
    until("the forwarder's end is told", || cluster.coracle("status").err.contains("forwards its ports"));
    cluster.coracle("start").ok();
    get_named(&format!("127.0.0.1:{port}"), "x", "HTTP/1.1 200");

    // What is refused is not kept.
    let refused = cluster.coracle(&format!("start --ports={port}:{node_port}/udp"));
    assert!(refused.code != 0 && refused.err.contains("forwards TCP only"), "{}", refused.err);
    get_named(&format!("127.0.0.1:{port}"), "x", "HTTP/1.1 200");

    // What only another node can have is wanted beside what runs, until there is one.
    std::fs::write(&file, format!("{text}apiserver-port = 8444\n")).unwrap();
    let later = cluster.coracle(&format!("apply -f {}", file.display()));
    assert!(later.code == 0 && later.err.contains("starts the next time"), "{}", later.err);
    assert_eq!(cluster.coracle("status --format={{.APIServer}}/{{.Kubeconfig}}").ok(), "Running/Configured\n");
    assert!(cluster.coracle("config export").ok().contains("apiserver-port = 8444"));
    cluster.coracle(&format!("apply -f {} --restart", file.display())).ok();
    assert!(cluster.kubectl("config view --minify -o jsonpath={.clusters[0].cluster.server}").ok().ends_with(":8444"));
    cluster.coracle("start --apiserver-port=8445").ok();
    assert!(cluster.kubectl("config view --minify -o jsonpath={.clusters[0].cluster.server}").ok().ends_with(":8445"));
    cluster.kubectl("get namespace default").ok();
    let exported = cluster.coracle("config export").ok();
    assert!(exported.contains("memory = \"2g\"") && exported.contains(&format!("{port}:{node_port}")), "{exported}");
    cluster.coracle("delete").ok();
    assert_eq!(cluster.traces(), Vec::<String>::new());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the forwarder is gone");
}

#[test]
fn a_start_whose_content_cannot_be_had_leaves_nothing() {
    let Some(cluster) = Cluster::new("content") else { return };
    let (file, manifest) = (cluster.folder().join("cluster.toml"), cluster.folder().join("k8s.yaml"));
    std::fs::write(&file, "manifests = [\"k8s.yaml\"]\naddons = [\"nothing\"]\n").unwrap();
    for words in ["start --dry-run -f", "start -f"] {
        let said = cluster.coracle(&format!("{words} {}", file.display()));
        let places = ["cluster.toml:1:14: manifests: there is no file", "cluster.toml:2:11: addons: there is no addon"];
        assert!(said.code == 14 && places.iter().all(|place| said.err.contains(place)), "{words}: {}", said.err);
    }
    assert_eq!(cluster.coracle("start --images ./missing.tar").code, 14);
    let greedy = cluster.coracle("start --cpus=999");
    assert!(greedy.code == 29 && greedy.err.contains("Exiting due to RSRC_INSUFFICIENT_CORES: "), "{}", greedy.err);

    std::fs::write(&file, "manifests = [\"k8s.yaml\"]\n").unwrap();
    std::fs::write(&manifest, "kind: [").unwrap();
    assert_ne!(cluster.coracle(&format!("start -f {}", file.display())).code, 0);
    assert_eq!((cluster.traces(), cluster.forgotten()), (Vec::<String>::new(), Vec::<String>::new()));

    // What cannot be brought into a cluster that is there is not asked for by the next start.
    cluster.coracle("start").ok();
    assert_ne!(cluster.coracle(&format!("apply -f {}", file.display())).code, 0);
    cluster.coracle("stop").ok();
    cluster.coracle("start").ok();
    std::fs::write(&manifest, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: brought, namespace: default}\n")
        .unwrap();
    cluster.coracle(&format!("apply -f {}", file.display())).ok();
    cluster.kubectl("get configmap brought").ok();
    cluster.coracle("stop").ok();
    let stopped = cluster.coracle("kubectl -- get pods");
    assert_eq!(stopped.code, 83, "{}", stopped.err);
}

#[test]
fn a_node_without_kubernetes_is_a_machine_to_work_in_until_it_is_given_one() {
    let Some(cluster) = Cluster::new("bare") else { return };
    let refused = cluster.coracle("start --no-kubernetes --kubernetes-version=v1.36.0");
    assert_eq!((refused.code, refused.err.contains("cannot specify --kubernetes-version")), (14, true));
    std::fs::write(cluster.folder().join("letter"), "hello").unwrap();
    let bare = format!("start --no-kubernetes --mount-string={}:/given", cluster.folder().display());
    cluster.coracle(&bare).ok();
    let is_bare = |cluster: &Cluster| {
        let status = cluster.coracle("status -o json");
        let words: serde_json::Value = serde_json::from_str(&status.out).unwrap();
        let words =
            ["Host", "Kubelet", "APIServer", "Kubeconfig"].map(|name| words[name].as_str().unwrap().to_string());
        assert_eq!(words, ["Running", "Stopped", "Stopped", "Configured"]);
        assert_eq!(status.code, 2);
        assert_eq!(cluster.coracle("ssh -- cat /given/letter").ok(), "hello");
        assert!(cluster.coracle("profile list").ok().contains("N/A"));
    };
    is_bare(&cluster);
    assert!(cluster.coracle("service list").err.contains("runs without Kubernetes"));
    cluster.coracle("stop").ok();
    cluster.coracle("start").ok();
    is_bare(&cluster);
    cluster.coracle("start --no-kubernetes=false").ok();
    cluster.kubectl("get namespace default").ok();
    cluster.coracle("start --no-kubernetes").ok();
    is_bare(&cluster);
}

#[test]
fn a_namespace_comes_with_its_first_object_where_that_was_asked_for() {
    let Some(cluster) = Cluster::new("provided") else { return };
    let refused = cluster.coracle("start --extra-config=apiserver.enable-admission-plugins=AlwaysSayYes");
    assert!(refused.code == 14 && refused.err.contains("NamespaceAutoProvision"), "{}", refused.err);
    let plugins = "apiserver.enable-admission-plugins=NamespaceAutoProvision,LimitRanger";
    cluster.coracle(&format!("start --extra-config={plugins} --wait=all")).ok();
    cluster.kubectl("create configmap first -n fresh --from-literal=a=b").ok();
    assert_eq!(cluster.kubectl("get namespace fresh -o jsonpath={.status.phase}").ok(), "Active");
    cluster.coracle("addons disable gvisor").ok();
}
