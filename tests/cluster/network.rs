//! Names, host ports and policies of a real cluster, asked from the machine.

use super::harness::{Cluster, until};
use super::tour::fetch;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use std::net::UdpSocket;
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
fn resolve(server: &str, name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
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
