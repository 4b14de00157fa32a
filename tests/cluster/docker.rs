//! Clusters in containers of a real engine. Without an engine that can be used these say that they are skipped.

use super::harness::{Cluster, Said, get, kill, until};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A cluster that is not started yet, if there is an engine for it.
pub fn wanted(name: &str) -> Option<Cluster> {
    usable(Cluster::new(name)?)
}

fn usable(cluster: Cluster) -> Option<Cluster> {
    let findings: Vec<serde_json::Value> = serde_json::from_str(&cluster.coracle("doctor -o json").out).unwrap();
    let driver = findings.iter().find(|finding| finding["Name"] == "driver docker").unwrap();
    if driver["Grade"] != "ok" {
        println!("skipped: {}", driver["Detail"]);
        return None;
    }
    Some(cluster)
}

fn docker(words: &str) -> String {
    said(Command::new("docker").args(words.split_whitespace())).ok()
}

fn said(command: &mut Command) -> Said {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")).into()
}

fn host(cluster: &Cluster) -> String {
    let status: serde_json::Value = serde_json::from_str(&cluster.coracle("status -o json").out).unwrap();
    status["Host"].as_str().unwrap().to_string()
}

/// A deployment `web` that answers at port 30080 of the node.
fn deploy(cluster: &Cluster) {
    cluster.kubectl("create deployment web --image=coracle.local/hello").ok();
    cluster.kubectl("create service nodeport web --tcp=80:8080 --node-port=30080").ok();
    available(cluster);
}

fn available(cluster: &Cluster) {
    cluster.kubectl("wait --for=condition=Available deployment/web --timeout=120s").ok();
}

/// Deletes a cluster; nothing of it may be left in the engine, in this machine's kernel, in files and in the kubeconfig.
fn delete_and_look(cluster: &Cluster, name: &str) {
    cluster.coracle("delete").ok();
    assert_eq!(cluster.traces(), Vec::<String>::new());
    assert_eq!(cluster.forgotten(), Vec::<String>::new());
    for list in ["ps -aq", "volume ls -q", "network ls -q"] {
        assert_eq!(docker(&format!("{list} --filter label=local.coracle.profile={name}")), "", "docker {list}");
    }
}

/// A port of this machine that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_container_that_was_stopped_killed_or_removed_is_healed_and_nothing_is_left() {
    let Some(cluster) = wanted("boxed") else { return };
    cluster.coracle("start --driver=docker").ok();
    assert_eq!(host(&cluster), "Running");
    deploy(&cluster);
    let privileged = docker("inspect --format {{.HostConfig.Privileged}} boxed");
    assert_eq!(privileged.trim(), "false");

    for (by_hand, seen) in [
        ("stop boxed", "Stopped"),
        ("kill boxed", "Stopped"),
        ("rm -f boxed", "Nonexistent"),
        ("pause boxed", "Paused"),
    ] {
        docker(by_hand);
        assert_eq!(host(&cluster), seen, "after docker {by_hand}");
        cluster.coracle("start").ok();
        assert_eq!(host(&cluster), "Running", "after docker {by_hand}");
        available(&cluster);
    }
    // A paused node whose first process is killed is told from one that runs, and is healed as well.
    for (again, command) in [("start", "status"), ("start", "start"), ("start", "stop")] {
        cluster.coracle("pause -A").ok();
        kill(docker("inspect --format {{.State.Pid}} boxed").trim().parse().unwrap());
        cluster.coracle(command);
        cluster.coracle(again).ok();
        assert_eq!(host(&cluster), "Running", "after {command}");
        available(&cluster);
    }
    // A paused node ends in order when the engine asks it to.
    cluster.coracle("pause").ok();
    docker("stop boxed");
    assert_eq!(docker("inspect --format {{.State.ExitCode}} boxed").trim(), "0");
    cluster.coracle("start").ok();
    available(&cluster);
    cluster.coracle("pause -A").ok();
    kill(docker("inspect --format {{.State.Pid}} boxed").trim().parse().unwrap());
    delete_and_look(&cluster, "boxed");
}

#[test]
fn a_node_in_a_container_is_used_and_changed_like_any_other() {
    let Some(cluster) = wanted("crate") else { return };
    let folder = cluster.folder().to_path_buf();
    let (shown, later) = (folder.join("shown"), folder.join("later"));
    for (place, text) in [(&shown, "exit 7\n"), (&later, "here\n")] {
        std::fs::create_dir(place).unwrap();
        std::fs::write(place.join("note"), text).unwrap();
    }
    let (port, added) = (free_port(), free_port());
    let words =
        format!("--ports {port}:30080 --listen-address 127.0.0.2 --mount-string {}:/mnt/shown", shown.display());
    cluster.coracle(&format!("start --driver=docker --subnet 192.168.77.0/24 {words}")).ok();
    assert_eq!(cluster.coracle("ip").ok().trim(), "192.168.77.2");
    deploy(&cluster);

    // From this machine: the service, and the port that the engine publishes, at its address alone.
    let url = cluster.coracle("service web --url --wait=120").ok();
    get(url.trim().trim_start_matches("http://"), "hello from web-");
    get(&format!("127.0.0.2:{port}"), "hello from web-");
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());

    assert_eq!(cluster.coracle("ssh -- /bin/sh /mnt/shown/note").code, 7);
    cluster.coracle(&format!("cp {} crate:/tmp/not/there/note", later.join("note").display())).ok();
    cluster.coracle(&format!("cp crate:/tmp/not/there/note {}", folder.join("back").display())).ok();
    assert_eq!(std::fs::read_to_string(folder.join("back")).unwrap(), "here\n");
    cluster.coracle(&format!("mount {}:/mnt/later:ro", later.display())).ok();
    assert_eq!(cluster.coracle("ssh cat /mnt/later/note").ok(), "here\n");
    assert_ne!(cluster.coracle("ssh touch /mnt/later/new").code, 0, "it was mounted read-only");
    cluster.coracle("mount --kill").ok();
    assert_ne!(cluster.coracle("ssh cat /mnt/later/note").code, 0);

    let archive = super::tour::busybox_archive(&folder);
    cluster.coracle(&format!("image load {}", archive.display())).ok();
    cluster.kubectl("run loaded --image=busybox:local --image-pull-policy=Never -- sleep 1000").ok();
    cluster.kubectl("wait --for=condition=Ready pod/loaded --timeout=120s").ok();

    cluster.coracle("pause -A").ok();
    assert!(cluster.coracle("status").out.contains("apiserver: Paused"));
    cluster.coracle("unpause").ok();
    cluster.kubectl("create configmap kept --from-literal=a=1").ok();
    cluster.coracle("snapshot save one").ok();
    cluster.kubectl("delete configmap kept").ok();
    cluster.coracle("snapshot restore one").ok();
    assert_eq!(cluster.kubectl("get configmap kept -o jsonpath={.data.a}").ok(), "1");
    available(&cluster);

    // What can be changed is changed while it runs: the container is the same one.
    let container = docker("inspect --format {{.Id}} crate");
    let file = folder.join("cluster.toml");
    let ports = format!("ports = [\"{port}:30080\", \"{added}:30080\"]");
    std::fs::write(&file, format!("cpus = 1.5\nmemory = \"1g\"\nmax-pods = 30\n{ports}\n")).unwrap();
    cluster.coracle(&format!("apply -f {}", file.display())).ok();
    let limits = docker("inspect --format {{.HostConfig.NanoCpus}}/{{.HostConfig.Memory}} crate");
    assert_eq!(limits.trim(), "1500000000/1073741824");
    cluster.kubectl("wait node/crate --for=jsonpath={.status.capacity.pods}=30 --timeout=120s").ok();
    assert_eq!(docker("inspect --format {{.Id}} crate"), container);
    get(&format!("127.0.0.2:{added}"), "hello from web-");
    // The port that was added is the engine's from the next start on, which the forwarder must not have kept.
    docker("stop crate");
    cluster.coracle("start").ok();
    get(&format!("127.0.0.2:{added}"), "hello from web-");
    assert!(cluster.coracle("ssh cat /proc/1/limits").ok().contains("Max open files"));

    cluster.coracle(&format!("export logs {}", folder.join("out").display())).ok();
    assert!(folder.join("out/var-log/coracle.log").exists());
    assert!(cluster.coracle("logs").ok().contains("==>"));
    delete_and_look(&cluster, "crate");
    assert!(std::net::TcpStream::connect(("127.0.0.2", added)).is_err(), "the forwarder is gone");
}

#[test]
fn clusters_of_both_drivers_run_side_by_side() {
    let Some(left) = wanted("left") else { return };
    let (Some(right), Some(plain)) = (Cluster::new("right"), Cluster::new("plain")) else { return };
    left.coracle("start --driver=docker").ok();
    right.coracle("start --driver=docker --static-ip 192.168.78.10").ok();
    plain.coracle("start --driver=native").ok();
    assert_eq!(right.coracle("ip").ok().trim(), "192.168.78.10");
    for (cluster, name) in [(&left, "left"), (&right, "right"), (&plain, "plain")] {
        cluster.kubectl(&format!("label namespace default which={name}")).ok();
    }
    for (cluster, name) in [(&left, "left"), (&right, "right"), (&plain, "plain")] {
        let which = cluster.kubectl("get namespace default -o jsonpath={.metadata.labels.which}");
        assert_eq!(which.ok(), name);
    }
    delete_and_look(&left, "left");
    assert_eq!((host(&right).as_str(), host(&plain).as_str()), ("Running", "Running"));
    plain.coracle("delete").ok();
    assert_eq!(plain.traces(), Vec::<String>::new());
    delete_and_look(&right, "right");
}

#[test]
fn what_somebody_takes_from_a_container_is_told_and_made_again() {
    let Some(cluster) = wanted("robbed") else { return };
    cluster.coracle("start --driver=docker").ok();
    docker("network disconnect --force robbed robbed");
    assert!(cluster.coracle("status").err.contains("taken out of its network"));
    cluster.coracle("start").ok();
    cluster.kubectl("get namespace default").ok();

    docker("rm --force robbed");
    docker("volume rm robbed");
    assert!(cluster.coracle("status").err.contains("all objects with them"));
    let again = cluster.coracle("start");
    assert!(again.code == 0 && again.err.contains("all objects with them"), "{}", again.err);

    // A profile that is gone leaves objects in the engine that nobody else asks for.
    std::fs::remove_file(cluster.profile_folder().join("profile.json")).unwrap();
    delete_and_look(&cluster, "robbed");
}

#[test]
fn a_name_that_somebody_else_has_is_left_alone() {
    let Some(cluster) = wanted("squatter") else { return };
    docker("volume create squatter");
    let refused = cluster.coracle("start --driver=docker");
    docker("volume inspect squatter");
    docker("volume rm squatter");
    assert_eq!(refused.code, 50, "{}", refused.err);
    assert!(refused.err.contains("that is not of this cluster"), "{}", refused.err);
}

#[test]
fn an_image_that_the_engine_builds_runs_in_the_cluster() {
    let Some(cluster) = wanted("builder") else { return };
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| std::path::Path::new(path).exists());
    let Some(busybox) = busybox else { return println!("skipped: there is no busybox to put into an image") };
    let source = cluster.folder().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::copy(busybox, source.join("busybox")).unwrap();
    let recipe = "FROM scratch AS tools\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"mkdir\", \"/made\"]\n\
        FROM scratch\nARG WORD\nENV WORD=$WORD\nCOPY --from=tools /bin/busybox /bin/busybox\nCOPY --from=tools /made /made\n\
        CMD [\"/bin/busybox\", \"sh\", \"-c\", \"echo $WORD; cd /made && exec /bin/busybox sleep 100000\"]\n";
    std::fs::write(source.join("Recipe"), recipe).unwrap();
    cluster.coracle("start --driver=native").ok();
    let words =
        format!("image build -t coracle-test-builder:1 -f Recipe --build-opt build-arg=WORD=ahoy {}", source.display());
    let built = cluster.coracle(&words);
    docker("image rm coracle-test-builder:1");
    built.ok();
    cluster.kubectl("run built --image=coracle-test-builder:1 --image-pull-policy=Never").ok();
    cluster.kubectl("wait --for=condition=Ready pod/built --timeout=120s").ok();
    // A container is ready as soon as it runs, which is before it says something.
    until("the image's own word", || cluster.kubectl("logs built").ok() == "ahoy\n");
}

/// An engine of a test's own, which it may stop.
struct Engine {
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Engine {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || Command::new("dockerd").arg("--version").output().is_err() {
            println!("skipped: there is no `dockerd` that this test may start");
            return None;
        }
        let mut engine = Self { folder: tempfile::tempdir().unwrap(), process: None };
        engine.start();
        Some(engine)
    }

    fn address(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    /// Starts it; rules of packets are left to the engine that may run beside it.
    fn start(&mut self) {
        let place = |name: &str| -> PathBuf { self.folder.path().join(name) };
        let log = std::fs::File::create(place("log")).unwrap();
        let mut command = Command::new("dockerd");
        command.args(["--bridge=none", "--iptables=false", "--host", &self.address()]);
        command.arg("--data-root").arg(place("data")).arg("--exec-root").arg(place("exec"));
        command.arg("--pidfile").arg(place("pid")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        // A socket has its name a moment before it listens, and the latter is no event. Whoever connects is served when the engine does.
        let socket = place("docker.sock");
        until("the engine listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        said(Command::new("docker").args(["--host", &self.address(), "version"])).ok();
    }

    /// Ends it in order, its containers too.
    fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let pid = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        process.wait().unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn a_cluster_comes_back_with_its_engine() {
    let Some(mut engine) = Engine::new() else { return };
    let cluster = Cluster::new("back").unwrap().with_variable("DOCKER_HOST", engine.address());
    let Some(cluster) = usable(cluster) else { return };
    cluster.coracle("start --driver=docker").ok();
    deploy(&cluster);
    engine.stop();
    assert_eq!(host(&cluster), "Unknown");
    assert_eq!(cluster.coracle("stop").code, 63);
    engine.start();
    until("the node is there again", || host(&cluster) == "Running");
    until("the API answers", || cluster.kubectl("get --raw=/readyz --request-timeout=5s").code == 0);
    available(&cluster);
    // The engine made the bridge anew: `start` leads this machine's traffic to the cluster's addresses again.
    cluster.coracle("start").ok();
    let service = cluster.kubectl("get service web -o jsonpath={.spec.clusterIP}").ok();
    get(&format!("{service}:80"), "hello from web-");
    cluster.coracle("delete").ok();
    assert_eq!(cluster.traces(), Vec::<String>::new());
}

/// Podman's service, of a test's own, with a folder of its own for everything that it keeps.
struct Podman {
    folder: tempfile::TempDir,
    process: Child,
}

impl Podman {
    fn new() -> Option<Self> {
        let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
        let mut helpers = ["/usr/lib/podman/netavark", "/usr/libexec/podman/netavark"].iter();
        let has_network = helpers.any(|path| std::path::Path::new(path).exists());
        if !rustix::process::geteuid().is_root() || !is_there("podman") || !is_there("runc") || !has_network {
            println!("skipped: there is no `podman` with `runc` and `netavark` that this test may start");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| -> PathBuf { folder.path().join(name) };
        // Networks, and which of their addresses are taken, are the machine's unless podman is told another folder.
        let networks = place("networks").display().to_string();
        let config = format!("[network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"{networks}\"\n");
        std::fs::write(place("containers.conf"), config).unwrap();
        let log = std::fs::File::create(place("log")).unwrap();
        let mut command = Command::new("podman");
        command.arg("--root").arg(place("root")).arg("--runroot").arg(place("run"));
        command.args(["--cgroup-manager=cgroupfs", "--runtime=runc", "system", "service", "--time=0"]);
        command.arg(format!("unix://{}", place("podman.sock").display()));
        command.env("CONTAINERS_CONF", place("containers.conf"));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let podman = Self { folder, process };
        let socket = podman.folder.path().join("podman.sock");
        until("podman listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        Some(podman)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
        // Its storage stays mounted where it was.
        let storage = self.folder.path().join("root/overlay");
        rustix::mount::unmount(&storage, rustix::mount::UnmountFlags::DETACH).ok();
    }
}

#[test]
fn a_node_runs_in_podman_as_well() {
    let Some(podman) = Podman::new() else { return };
    let address = format!("unix://{}", podman.folder.path().join("podman.sock").display());
    let cluster = Cluster::new("podded").unwrap().with_variable("DOCKER_HOST", address);
    let Some(cluster) = usable(cluster) else { return };
    cluster.coracle("start --driver=docker").ok();
    deploy(&cluster);
    let url = cluster.coracle("service web --url --wait=120").ok();
    get(url.trim().trim_start_matches("http://"), "hello from web-");
    cluster.coracle("pause -A").ok();
    kill(cluster.init());
    // Podman itself may start it again before that is seen.
    cluster.coracle("status");
    cluster.coracle("start").ok();
    available(&cluster);
    cluster.coracle("stop").ok();
    assert_eq!(host(&cluster), "Stopped");
    cluster.coracle("start").ok();
    available(&cluster);
    cluster.coracle("delete").ok();
    assert_eq!(cluster.traces(), Vec::<String>::new());
    assert_eq!(cluster.forgotten(), Vec::<String>::new());
}
