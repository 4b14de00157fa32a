//! Names, host ports and policies of a real cluster, asked from the machine.

use super::harness::{Cluster, until};
use super::tour::fetch;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

/// How long a name server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A StatefulSet with a headless service, a pod with a host port and a service that stands for another name.
const OBJECTS: &str = r"
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: hello, image: coracle.local/hello, ports: [{name: http, containerPort: 8080}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: edge, labels: {app: edge}}
spec:
  containers: [{name: hello, image: coracle.local/hello, ports: [{name: http, containerPort: 8080, hostPort: 8088}]}]
---
apiVersion: v1
kind: Service
metadata: {name: machine}
spec: {type: ExternalName, externalName: host.coracle.internal}
";

/// Lets nobody in.
const CLOSED: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: edge}
spec: {podSelector: {matchLabels: {app: edge}}, policyTypes: [Ingress]}
";

/// What a name server says of a name: code and data, sorted.
pub fn resolve(server: &str, name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect((server, 53)).unwrap();
    socket.send(&message.to_vec().unwrap()).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    let mut data: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    data.sort();
    (answer.metadata.response_code, data)
}

/// Answers every question for an address with 192.0.2.7, at port 53 of an address.
fn name_server(address: &str) {
    let socket = UdpSocket::bind((address, 53)).unwrap_or_else(|error| panic!("{address}: {error}"));
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let Ok(asked) = Message::from_vec(&buffer[..length]) else { continue };
            let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
            for query in &asked.queries {
                answer.add_query(query.clone());
                if query.query_type() == RecordType::A {
                    let data = RData::A(std::net::Ipv4Addr::new(192, 0, 2, 7).into());
                    answer.add_answer(Record::from_rdata(query.name().clone(), 5, data));
                }
            }
            socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
        }
    });
}

/// The machine is one with an `/etc` of the test's own, as far as the start of the cluster can tell.
#[test]
fn names_of_others_are_asked_of_the_resolvers_that_the_machine_has_now() {
    let Some(cluster) = Cluster::new("roaming") else { return };
    let etc = cluster.folder().join("etc");
    let copied = Command::new("cp").arg("-a").arg("/etc").arg(&etc).status().unwrap();
    assert!(copied.success());
    let write = |text: &str| {
        std::fs::write(etc.join("resolv.new"), text).unwrap();
        std::fs::rename(etc.join("resolv.new"), etc.join("resolv.conf")).unwrap();
    };
    write("search example.com\n");
    let mut start = Command::new("unshare");
    let script = "mount --bind \"$0\" /etc && exec \"$1\" -p roaming start";
    start.args(["--mount", "--propagation=private", "sh", "-c", script]).arg(&etc).arg(env!("CARGO_BIN_EXE_coracle"));
    assert!(cluster.spawn(start).wait().unwrap().success());
    let dns = cluster.kubectl("get service kube-dns -n kube-system -o jsonpath={.spec.clusterIP}").ok();
    assert_eq!(resolve(&dns, "pier.harbour.test.", RecordType::A).0, ResponseCode::ServFail);

    let profile = std::fs::read_to_string(cluster.profile_folder().join("profile.json")).unwrap();
    let profile: serde_json::Value = serde_json::from_str(&profile).unwrap();
    let machine = profile["network"]["host_address"].as_str().unwrap();
    name_server(machine);
    write(&format!("search harbour.test\nnameserver {machine}\n"));
    until("the new resolver is asked", || resolve(&dns, "pier.harbour.test.", RecordType::A).1 == ["192.0.2.7"]);
    assert!(cluster.coracle("ssh -- cat /etc/resolv.conf").ok().contains("search harbour.test"));
    write("search example.com\n");
    until("it is left", || resolve(&dns, "quay.harbour.test.", RecordType::A).0 == ResponseCode::ServFail);
    let pods = cluster.kubectl(
        "get pods -n kube-system -l k8s-app=kube-dns -o jsonpath={.items[*].status.containerStatuses[0].restartCount}",
    );
    assert_eq!(pods.ok(), "0");
}

#[test]
fn names_host_ports_and_policies_are_as_objects_say() {
    let Some(cluster) = Cluster::started("network") else { return };
    cluster.kubectl_with("apply", OBJECTS).ok();
    cluster.kubectl("rollout status statefulset/db --timeout=60s").ok();
    cluster.kubectl("wait --for=condition=Ready pod/edge --timeout=60s").ok();
    let read = |what: &str| cluster.kubectl(&format!("get {what}")).ok();

    let dns = read("service kube-dns -n kube-system -o jsonpath={.spec.clusterIP}");
    let ask = |name: &str, kind| resolve(&dns, &format!("{name}.default.svc.cluster.local."), kind);
    let first = read("pod db-0 -o jsonpath={.status.podIP}");
    until("both pods have names", || ask("db", RecordType::A).1.len() == 2);
    assert_eq!(ask("db-0.db", RecordType::A).1, [first]);
    let ports = ask("_http._tcp.db", RecordType::SRV).1;
    assert_eq!(ports[0], "0 100 8080 db-0.db.default.svc.cluster.local.");
    assert_eq!(ask("nobody", RecordType::A).0, ResponseCode::NXDomain);
    assert!(ask("machine", RecordType::A).1.contains(&"host.coracle.internal.".to_string()));

    let node = cluster.coracle("ip").ok();
    let url = format!("http://{}:8088", node.trim());
    until("the host port answers", || fetch(&url).is_ok());
    let inside = format!("http://{}:8080", read("pod edge -o jsonpath={.status.podIP}"));
    assert_eq!(fetch(&inside).unwrap(), "hello from edge\n");
    cluster.kubectl_with("apply", CLOSED).ok();
    let is_open =
        || std::net::TcpStream::connect_timeout(&inside[7..].parse().unwrap(), Duration::from_millis(200)).is_ok();
    until("the policy closes the pod", || !is_open());
    let machine = "{\"op\":\"add\",\"path\":\"/spec/ingress\",\"value\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"192.168.0.0/16\"}}]}]}";
    cluster.kubectl(&format!("patch networkpolicy edge --type=json -p=[{machine}]")).ok();
    until("the policy lets the machine in", is_open);
    let pods = read("pods -o jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}");
    assert!(!pods.contains("False"), "{pods}");
    cluster.kubectl("delete networkpolicy edge").ok();
}

/// Both ask for the API server's port, one at the node's address and with nobody behind it, one for a pod.
fn greedy(node: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Service
metadata: {{name: greedy}}
spec: {{externalIPs: ["{node}"], selector: {{app: nobody}}, ports: [{{port: 8443}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: greedy}}
spec: {{containers: [{{name: c, image: coracle.local/hello, ports: [{{containerPort: 8080, hostPort: 8443}}]}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: windows}}
spec: {{os: {{name: windows}}, containers: [{{name: c, image: coracle.local/hello}}]}}
"#
    )
}

#[test]
fn nobody_takes_the_clusters_own_ports_from_it() {
    let Some(cluster) = Cluster::started("greedy") else { return };
    let node = cluster.coracle("ip").ok();
    cluster.kubectl_with("apply", &greedy(node.trim())).ok();
    let read = |what: &str| cluster.kubectl(&format!("get {what}")).ok();
    let told = || read("events --field-selector involvedObject.name=greedy -o jsonpath={.items[*].message}");
    until("the service is told", || {
        told().contains(&format!("{}:8443 is a port of the node's own and is not served", node.trim()))
    });
    until("the pod is not placed", || told().contains("1 node(s) didn't have free ports for the requested pod ports"));
    assert_eq!(read("pod greedy -o jsonpath={.status.phase}"), "Pending");
    until("the pod of another system is refused", || {
        read("pod windows -o jsonpath={.status.reason}") == "PodOSNotSupported"
    });
    cluster.coracle("stop").ok();
    cluster.coracle("start").ok();
    assert_eq!(read("service greedy -o jsonpath={.spec.ports[0].port}"), "8443");
    cluster.kubectl("delete service/greedy pod/greedy pod/windows").ok();
}
