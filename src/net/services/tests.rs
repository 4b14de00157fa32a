//! The service rules in a real kernel: a node, its pods and the machine are network namespaces, and what is asked is real
//! traffic.

use super::*;
use crate::net::testing::{PATIENCE, TestNode, TestPod, WORLD, ask, is_silent, serve, within};
use serde_json::{Value, json};
use std::io;
use std::net::UdpSocket;

struct World {
    proxy: Proxy,
    node: TestNode,
}

impl World {
    /// A node with a table of service rules, joined to a machine; nothing without the rights.
    async fn new() -> Option<Self> {
        let node = TestNode::new().await?;
        let mut proxy = Proxy::new(&node.profile).unwrap();
        proxy.sync(true).await.unwrap();
        Some(Self { proxy, node })
    }

    async fn pod(&mut self) -> TestPod {
        self.node.pod().await
    }

    /// Makes the service `web` with these fields and endpoints, or changes it.
    async fn service(&mut self, spec: Value, endpoints: &[&TestPod], port: u16) {
        let meta = json!({"namespace": "default", "name": "web", "labels": {SERVICE_LABEL: "web"}});
        let protocol = spec["ports"][0]["protocol"].as_str().unwrap_or("TCP").to_string();
        let mut service: Value =
            json!({"metadata": meta, "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]}});
        service["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.168.49.128"}]}});
        let endpoints: Vec<Value> =
            endpoints.iter().map(|pod| json!({"addresses": [pod.address], "nodeName": "coracle"})).collect();
        let slice = json!({"metadata": meta, "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"port": port, "protocol": protocol}]});
        let (service, slice) = (serde_json::from_value(service).unwrap(), serde_json::from_value(slice).unwrap());
        self.proxy.note(News::Service(Change::Applied { old: None, new: Arc::new(service) }));
        self.proxy.note(News::Slice(Change::Applied { old: None, new: Arc::new(slice) }));
        self.proxy.sync(false).await.unwrap();
    }
}

fn refused(answer: io::Result<String>) -> bool {
    answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn ports(more: Value) -> Value {
    let mut port = json!({"port": 80, "protocol": "TCP"});
    port.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([port])
}

#[tokio::test]
async fn a_service_answers_pods_the_node_and_the_machine_at_all_its_addresses() {
    let Some(mut world) = World::new().await else { return };
    let (server, client) = (world.pod().await, world.pod().await);
    serve(Some(&server.network), 8080, "web");
    let spec =
        json!({"type": "LoadBalancer", "externalIPs": ["198.51.100.7"], "ports": ports(json!({"nodePort": 30080}))});
    world.service(spec, &[&server], 8080).await;
    let machine = Some(&world.node.machine);
    let everywhere = ["10.96.0.7:80", "192.168.49.128:80", "192.168.49.2:30080"];
    for address in everywhere.iter().chain(&["198.51.100.7:80"]) {
        let said = ask(Some(&client.network), address).unwrap();
        assert_eq!(said, format!("web {}", client.address), "a pod at {address}");
        assert_eq!(ask(None, address).unwrap(), "web 192.168.49.2", "the node at {address}");
    }
    for address in everywhere {
        assert_eq!(ask(machine, address).unwrap(), "web 192.168.49.1", "the machine at {address}");
    }
    assert!(refused(ask(machine, "10.96.0.7:81")), "another port of the address");
    assert!(refused(ask(machine, "192.168.49.200:80")), "an address that nobody has");
}

#[tokio::test]
async fn a_pod_reaches_itself_through_its_service() {
    let Some(mut world) = World::new().await else { return };
    let pod = world.pod().await;
    serve(Some(&pod.network), 8080, "web");
    world.service(json!({"ports": ports(json!({}))}), &[&pod], 8080).await;
    assert_eq!(ask(Some(&pod.network), "10.96.0.7:80").unwrap(), "web 10.244.0.1");
}

#[tokio::test]
async fn a_service_without_endpoints_is_refused_until_it_has_some() {
    let Some(mut world) = World::new().await else { return };
    let (server, client) = (world.pod().await, world.pod().await);
    serve(Some(&server.network), 8080, "web");
    let spec = json!({"type": "NodePort", "ports": ports(json!({"nodePort": 30080}))});
    world.service(spec.clone(), &[], 8080).await;
    for address in ["10.96.0.7:80", "192.168.49.2:30080"] {
        assert!(refused(ask(Some(&client.network), address)), "a pod at {address}");
        assert!(refused(ask(None, address)), "the node at {address}");
        assert!(refused(ask(Some(&world.node.machine), address)), "the machine at {address}");
    }
    world.service(spec, &[&server], 8080).await;
    assert!(ask(Some(&client.network), "192.168.49.2:30080").is_ok());
}

#[tokio::test]
async fn connections_are_spread_and_follow_the_endpoints() {
    let Some(mut world) = World::new().await else { return };
    let (one, two, client) = (world.pod().await, world.pod().await, world.pod().await);
    serve(Some(&one.network), 8080, "one");
    serve(Some(&two.network), 8080, "two");
    let spec = json!({"ports": ports(json!({}))});
    world.service(spec.clone(), &[&one, &two], 8080).await;
    let ask = || ask(Some(&client.network), "10.96.0.7:80").unwrap().split(' ').next().unwrap().to_string();
    let answers: BTreeSet<String> = (0..64).map(|_| ask()).collect();
    assert_eq!(answers.len(), 2, "64 draws without one of two happen once in 2^63 runs");
    world.service(spec, &[&two], 8080).await;
    assert!((0..8).all(|_| ask() == "two"));
}

#[tokio::test]
async fn a_client_stays_with_its_endpoint_while_that_is_there() {
    let Some(mut world) = World::new().await else { return };
    let (one, two, client) = (world.pod().await, world.pod().await, world.pod().await);
    serve(Some(&one.network), 8080, "one");
    serve(Some(&two.network), 8080, "two");
    let spec = json!({"sessionAffinity": "ClientIP", "ports": ports(json!({}))});
    world.service(spec.clone(), &[&one, &two], 8080).await;
    let ask = || ask(Some(&client.network), "10.96.0.7:80").unwrap().split(' ').next().unwrap().to_string();
    let first = ask();
    assert!((0..32).all(|_| ask() == first));
    let (rest, other) = if first == "one" { (&two, "two") } else { (&one, "one") };
    world.service(spec.clone(), &[rest], 8080).await;
    assert_eq!(ask(), other);
    world.service(spec, &[&one, &two], 8080).await;
    assert!((0..32).all(|_| ask() == other), "it stays where it went");
}

#[tokio::test]
async fn a_flow_without_an_end_moves_when_its_endpoint_goes() {
    let Some(mut world) = World::new().await else { return };
    let (one, two, client) = (world.pod().await, world.pod().await, world.pod().await);
    serve(Some(&one.network), 53, "one");
    serve(Some(&two.network), 53, "two");
    let spec = json!({"ports": [{"port": 53, "protocol": "UDP"}]});
    world.service(spec.clone(), &[&one], 53).await;
    let socket = within(Some(&client.network), || UdpSocket::bind("0.0.0.0:0").unwrap()).join().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect("10.96.0.7:53").unwrap();
    let ask = || {
        socket.send(b"?")?;
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer)?;
        io::Result::Ok(String::from_utf8_lossy(&buffer[..length]).split(' ').next().unwrap().to_string())
    };
    assert_eq!(ask().unwrap(), "one");
    world.service(spec.clone(), &[&two], 53).await;
    assert_eq!(ask().unwrap(), "two");
    world.service(spec.clone(), &[], 53).await;
    assert_eq!(ask().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    world.service(spec, &[&one], 53).await;
    assert_eq!(ask().unwrap(), "one");
}

#[tokio::test]
async fn a_host_port_leads_to_its_pod() {
    let Some(mut world) = World::new().await else { return };
    let pod = world.pod().await;
    serve(Some(&pod.network), 8080, "web");
    let object = json!({"metadata": {"namespace": "default", "name": "web"},
        "spec": {"containers": [{"ports": [{"containerPort": 8080, "hostPort": 8000}]}]},
        "status": {"phase": "Running", "podIPs": [{"ip": pod.address}]}});
    let object: Arc<Pod> = Arc::new(serde_json::from_value(object).unwrap());
    world.proxy.note(News::Pod(Change::Applied { old: None, new: object.clone() }));
    world.proxy.sync(false).await.unwrap();
    assert_eq!(ask(Some(&world.node.machine), "192.168.49.2:8000").unwrap(), "web 192.168.49.1");
    assert_eq!(ask(Some(&pod.network), "192.168.49.2:8000").unwrap(), "web 10.244.0.1");
    world.proxy.note(News::Pod(Change::Deleted(object)));
    world.proxy.sync(false).await.unwrap();
    assert!(refused(ask(Some(&world.node.machine), "192.168.49.2:8000")));
}

#[tokio::test]
async fn a_host_port_of_the_loopback_answers_the_node_that_asks_with_its_own_address() {
    let Some(mut world) = World::new().await else { return };
    let pod = world.pod().await;
    serve(Some(&pod.network), 8080, "web");
    let port = json!({"containerPort": 8080, "hostPort": 8000, "hostIP": "127.0.0.1"});
    let object = json!({"metadata": {"namespace": "default", "name": "web"}, "spec": {"containers": [{"ports": [port]}]},
        "status": {"phase": "Running", "podIPs": [{"ip": pod.address}]}});
    let object: Arc<Pod> = Arc::new(serde_json::from_value(object).unwrap());
    world.proxy.note(News::Pod(Change::Applied { old: None, new: object }));
    world.proxy.sync(false).await.unwrap();
    let asked = within(None, || {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &"192.168.49.2:0".parse::<std::net::SocketAddrV4>().unwrap())?;
        connect(&socket, &"127.0.0.1:8000".parse::<std::net::SocketAddrV4>().unwrap())?;
        let mut said = String::new();
        io::Read::read_to_string(&mut std::net::TcpStream::from(socket), &mut said)?;
        io::Result::Ok(said)
    });
    assert_eq!(asked.join().unwrap().unwrap(), "web 192.168.49.2");
    assert!(refused(ask(None, "127.0.0.1:8000")), "what cannot come back is refused at once");
    assert!(refused(ask(Some(&world.node.machine), "192.168.49.2:8000")));
}

#[tokio::test]
async fn a_load_balancer_refuses_by_silence_who_is_not_admitted() {
    let Some(mut world) = World::new().await else { return };
    let pod = world.pod().await;
    serve(Some(&pod.network), 8080, "web");
    let spec =
        |range: &str| json!({"type": "LoadBalancer", "loadBalancerSourceRanges": [range], "ports": ports(json!({}))});
    world.service(spec("192.168.49.1/32"), &[&pod], 8080).await;
    assert!(ask(Some(&world.node.machine), "192.168.49.128:80").is_ok());
    world.service(spec("198.51.100.0/24"), &[&pod], 8080).await;
    assert!(is_silent(Some(&world.node.machine), "192.168.49.128:80"));
    assert!(ask(Some(&world.node.machine), "10.96.0.7:80").is_ok());
}

#[tokio::test]
async fn pods_leave_the_cluster_with_the_nodes_address_and_reach_the_machine_with_their_own() {
    let Some(mut world) = World::new().await else { return };
    let pod = world.pod().await;
    serve(Some(&world.node.machine), 8080, "machine");
    assert_eq!(ask(Some(&pod.network), &format!("{WORLD}:8080")).unwrap(), "machine 192.168.49.2");
    let said = ask(Some(&pod.network), "192.168.49.1:8080").unwrap();
    assert_eq!(said, format!("machine {}", pod.address));
}

#[tokio::test]
async fn a_table_of_a_server_before_is_replaced_and_one_that_somebody_removed_comes_back() {
    let Some(mut world) = World::new().await else { return };
    let pod = world.pod().await;
    serve(Some(&pod.network), 8080, "web");
    world.service(json!({"ports": ports(json!({}))}), &[&pod], 8080).await;
    world.proxy.sync(true).await.unwrap();
    assert!(ask(None, "10.96.0.7:80").is_ok());
    world.proxy.connection.del_table(table::TABLE, Layout::of(pod.address).family).await.unwrap();
    assert!(ask(None, "10.96.0.7:80").is_err());
    world.proxy.sync(true).await.unwrap();
    assert!(ask(None, "10.96.0.7:80").is_ok());
}

#[tokio::test]
async fn thousands_of_services_fit_into_one_transaction() {
    let Some(mut world) = World::new().await else { return };
    for number in 0..3_000u16 {
        let address = format!("10.96.{}.{}", 1 + number / 200, 1 + number % 200);
        let meta = json!({"namespace": "default", "name": format!("s{number}"), "labels": {SERVICE_LABEL: format!("s{number}")}});
        let service = json!({"metadata": meta, "spec": {"clusterIP": address, "ports": ports(json!({}))}});
        let slice = json!({"metadata": meta, "addressType": "IPv4", "ports": [{"port": 80}],
            "endpoints": [{"addresses": ["10.244.0.2"]}, {"addresses": ["10.244.0.3"]}]});
        let (service, slice) = (serde_json::from_value(service).unwrap(), serde_json::from_value(slice).unwrap());
        world.proxy.note(News::Service(Change::Applied { old: None, new: Arc::new(service) }));
        world.proxy.note(News::Slice(Change::Applied { old: None, new: Arc::new(slice) }));
    }
    let began = std::time::Instant::now();
    world.proxy.sync(false).await.unwrap();
    println!("3,000 services at once: {:?}", began.elapsed());
    let pod = world.pod().await;
    serve(Some(&pod.network), 8080, "web");
    let began = std::time::Instant::now();
    world
        .service(
            json!({"clusterIP": "10.96.200.7", "clusterIPs": ["10.96.200.7"], "ports": ports(json!({}))}),
            &[&pod],
            8080,
        )
        .await;
    println!("one more: {:?}", began.elapsed());
    assert!(ask(None, "10.96.200.7:80").is_ok());
}

#[tokio::test]
async fn ports_of_the_nodes_own_are_answered_by_the_node_whatever_services_and_pods_ask_for() {
    let Some(mut world) = World::new().await else { return };
    let pod = world.pod().await;
    let (api, agent) = (world.node.profile.api_port, world.node.profile.agent_port);
    for port in [api, agent] {
        serve(None, port, "node");
        serve(Some(&pod.network), port, "pod");
    }
    let machine = world.node.machine.try_clone().unwrap();
    let asked = |port: u16| {
        for address in ["192.168.49.2", "10.244.0.1"] {
            for network in [None, Some(&machine), Some(&pod.network)] {
                let answer = ask(network, &format!("{address}:{port}")).unwrap();
                assert!(answer.starts_with("node "), "{address}:{port} {answer}");
            }
        }
        assert!(ask(None, &format!("127.0.0.1:{port}")).unwrap().starts_with("node "));
    };
    for port in [api, agent] {
        let spec = json!({"externalIPs": ["192.168.49.2", "10.244.0.1"], "type": "NodePort",
            "ports": [{"port": port, "nodePort": port, "protocol": "TCP"}]});
        // Nobody behind it: refused; somebody: sent there.
        world.service(spec.clone(), &[], port).await;
        asked(port);
        world.service(spec, &[&pod], port).await;
        asked(port);
        let cluster = ask(Some(&machine), &format!("10.96.0.7:{port}")).unwrap();
        assert!(cluster.starts_with("pod "), "at its own address it is served: {cluster}");
    }
    let ports: Vec<Value> = [api, agent].iter().map(|port| json!({"containerPort": port, "hostPort": port})).collect();
    let taking = json!({"metadata": {"namespace": "default", "name": "p"},
        "spec": {"containers": [{"name": "c", "ports": ports}]},
        "status": {"phase": "Running", "podIPs": [{"ip": pod.address}]}});
    let taking = Arc::new(serde_json::from_value(taking).unwrap());
    world.proxy.note(News::Pod(Change::Applied { old: None, new: taking }));
    world.proxy.sync(false).await.unwrap();
    asked(api);
    asked(agent);
}
