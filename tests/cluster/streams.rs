//! Logs, exec, attach, port-forward and cp, with every kubectl of this machine: old ones speak SPDY, new ones WebSocket.

use super::harness::{Cluster, Said, kubectls};
use super::tour::{busybox_archive, fetch};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What the tests talk to: a shell, a web server, a talker with two streams, a reader of its stdin.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: shell, labels: {app: shell}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: sh, image: "busybox:local", command: [sleep, "3600"]}
  - {name: web, image: coracle.local/hello}
---
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  restartPolicy: Never
  containers:
  - name: talk
    image: busybox:local
    command: [sh, -c, "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; sleep 0.2; done"]
---
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: read, image: "busybox:local", stdin: true, command: [sh, -c, "while read line; do echo got $line; done"]}
"#;

/// One kubectl and the cluster that it is to talk to.
struct Kubectl<'a> {
    program: &'a Path,
    cluster: &'a Cluster,
}

impl Kubectl<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.env("KUBECONFIG", self.cluster.kubeconfig()).args(words).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Said {
        self.command(words).output().unwrap().into()
    }

    fn run_with(&self, words: &[&str], input: &str) -> Said {
        let mut child =
            self.command(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// In a terminal of its own, 24 lines of 80 columns; what it showed.
    fn in_terminal(&self, words: &[&str], typed: &str) -> Said {
        let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let line = format!("stty rows 24 cols 80; {} {line}", self.program.display());
        let mut command = Command::new("script");
        command.env("KUBECONFIG", self.cluster.kubeconfig()).args(["-qec", &line, "/dev/null"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Held open: an end of input would be typed into the terminal.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(typed.as_bytes()).unwrap();
        let said = child.wait_with_output().unwrap().into();
        drop(stdin);
        said
    }
}

/// A child that is ended with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A cluster with [`PODS`], all of them running.
fn cluster(name: &str) -> Option<Cluster> {
    let cluster = Cluster::started(name)?;
    let archive = busybox_archive(cluster.folder());
    cluster.coracle(&format!("image load {}", archive.display())).ok();
    cluster.kubectl_with("apply", PODS).ok();
    cluster.kubectl("wait --for=condition=Ready pod/shell pod/reader --timeout=60s").ok();
    Some(cluster)
}

#[test]
fn every_kubectl_runs_commands_and_copies_files() {
    let Some(cluster) = cluster("exec") else { return };
    for program in kubectls() {
        let kubectl = Kubectl { program: &program, cluster: &cluster };
        let about = program.display();
        let script = ["exec", "shell", "-c", "sh", "--", "sh", "-c", "echo out; echo err >&2; exit 7"];
        let said = kubectl.run(&script);
        assert_eq!((said.code, said.out.as_str()), (7, "out\n"), "{about}: {}", said.err);
        assert!(said.err.starts_with("err\n"), "{about}: {}", said.err);

        let input = "line\n".repeat(50_000);
        let said = kubectl.run_with(&["exec", "-i", "shell", "-c", "sh", "--", "busybox", "wc", "-c"], &input);
        assert_eq!(said.out.trim(), "250000", "{about}: {}", said.err);

        let said = kubectl.run(&["exec", "shell", "-c", "sh", "--", "no-such-program"]);
        assert!(said.code != 0 && said.err.contains("no-such-program"), "{about}: {}", said.err);
        let said = kubectl.run(&["exec", "shell", "-c", "nobody", "--", "true"]);
        assert!(said.err.contains("container nobody is not valid for pod shell"), "{about}: {}", said.err);

        let said = kubectl
            .in_terminal(&["exec", "-it", "shell", "-c", "sh", "--", "sh", "-c", "busybox stty size; busybox tty"], "");
        assert!(said.out.contains("24 80") && said.out.contains("/dev/pts/"), "{about}: {}{}", said.out, said.err);

        let (there, back) = (cluster.folder().join("there"), cluster.folder().join("back"));
        std::fs::write(&there, &input).unwrap();
        kubectl.run(&["cp", "-c", "sh", there.to_str().unwrap(), "shell:/there"]).ok();
        kubectl.run(&["cp", "-c", "sh", "shell:/there", back.to_str().unwrap()]).ok();
        assert_eq!(std::fs::read_to_string(&back).unwrap(), input, "{about}");
        std::fs::remove_file(&back).unwrap();
    }
}

#[test]
fn every_kubectl_attaches_and_forwards_ports() {
    let Some(cluster) = cluster("attach") else { return };
    for (index, program) in kubectls().iter().enumerate() {
        let kubectl = Kubectl { program, cluster: &cluster };
        let about = program.display();
        let mut attached = kubectl.command(&["attach", "-i", "reader"]);
        let attached = attached.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut attached = Running(attached);
        let word = format!("hello-{index}");
        writeln!(attached.0.stdin.as_mut().unwrap(), "{word}").unwrap();
        let lines = BufReader::new(attached.0.stdout.take().unwrap()).lines();
        let found = lines.map_while(Result::ok).any(|line| line == format!("got {word}"));
        assert!(found, "{about}: attach showed no answer");

        let forward = kubectl.command(&["port-forward", "pod/shell", ":8080"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut forward = Running(forward);
        let mut first = String::new();
        BufReader::new(forward.0.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        let port = first.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next());
        let port = port.unwrap_or_else(|| panic!("{about}: {first}"));
        for _ in 0..3 {
            let body = fetch(&format!("http://127.0.0.1:{port}")).unwrap();
            assert_eq!(body, "hello from shell\n", "{about}");
        }

        let pod = format!("once-{index}");
        let run = ["run", &pod, "-i", "-t", "--rm", "--restart=Never", "--image=busybox:local", "--", "sh"];
        let said = kubectl.in_terminal(&run, "echo $((6 * 7))-done\nexit\n");
        assert!(said.out.contains("42-done"), "{about}: {}{}", said.out, said.err);
        assert!(cluster.kubectl(&format!("get pod {pod}")).err.contains("not found"), "{about}");
    }
}

#[test]
fn every_kubectl_reads_and_follows_logs() {
    let Some(cluster) = cluster("logs") else { return };
    // Follows until the container has ended, wherever in its life it is.
    let followed = cluster.kubectl("logs -f talker").ok();
    assert_eq!(followed.lines().filter(|line| line.starts_with("out ")).count(), 5, "{followed}");
    for program in kubectls() {
        let kubectl = Kubectl { program: &program, cluster: &cluster };
        let about = program.display();
        let lines = |words: &[&str]| kubectl.run(words).ok().lines().map(String::from).collect::<Vec<_>>();
        assert_eq!(lines(&["logs", "talker"]).len(), 10, "{about}");
        assert_eq!(lines(&["logs", "talker", "-f", "--tail=1"]).len(), 1, "{about}");
        assert_eq!(lines(&["logs", "talker", "--since=1h", "--limit-bytes=7"]).concat().len(), 6, "{about}");
        let stamped = lines(&["logs", "talker", "--timestamps", "--tail=1"]).concat();
        assert!(stamped.starts_with("20") && stamped.contains("Z err 5"), "{about}: {stamped}");
        let said = kubectl.run(&["logs", "talker", "--previous"]);
        let why = "previous terminated container \"talk\" in pod \"talker\" not found";
        assert!(said.err.contains(why), "{about}: {}", said.err);
    }
}

#[test]
fn what_is_behind_pods_services_and_nodes_is_reached_through_the_server() {
    let Some(cluster) = cluster("proxy") else { return };
    cluster.kubectl("expose pod shell --port=80 --target-port=8080 --name=web").ok();
    cluster.kubectl("wait --for=jsonpath={.subsets[0].addresses} endpoints/web --timeout=30s").ok();
    let get = |path: &str| cluster.kubectl(&format!("get --raw {path}")).ok();
    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(get(&format!("{pods}/shell:8080/proxy/")), "hello from shell\n");
    assert_eq!(get("/api/v1/namespaces/default/services/web:80/proxy/"), "hello from shell\n");
    let node = cluster.kubectl("get nodes -o jsonpath={.items[0].metadata.name}").ok();
    let node = format!("/api/v1/nodes/{node}/proxy");
    assert_eq!(get(&format!("{node}/healthz")), "ok");
    let summary: serde_json::Value = serde_json::from_str(&get(&format!("{node}/stats/summary"))).unwrap();
    let shell = summary["pods"].as_array().unwrap().iter().find(|pod| pod["podRef"]["name"] == "shell").unwrap();
    assert_eq!(shell["containers"].as_array().unwrap().len(), 2, "{shell}");
    assert!(shell["memory"]["workingSetBytes"].as_u64().unwrap() > 0, "{shell}");
    let metrics = get(&format!("{node}/metrics/resource"));
    assert!(metrics.contains("container_memory_working_set_bytes{container=\"web\""), "{metrics}");
    // The agent itself lets nobody in without a certificate or a token.
    let address = cluster.coracle("ip").ok();
    let url = format!("https://{}:10250/pods", address.trim());
    coracle::base::crypto::install();
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(client.get(url).send()).unwrap().status(), 401);
}
