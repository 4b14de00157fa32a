//! The ingress controller and its name server on a real cluster, asked from the machine as a browser would.

use super::harness::{Cluster, until};
use super::network::resolve;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Two applications, each with its service.
const APPLICATIONS: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: REPLICAS
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      containers:
      - name: hello
        image: coracle.local/hello
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {selector: {app: NAME}, ports: [{name: http, port: 80, targetPort: http}]}
";

/// A service whose only endpoint is on the machine, so that the test sees what pods would.
const MIRROR: &str = r"
apiVersion: v1
kind: Service
metadata: {name: mirror}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: mirror-1, labels: {kubernetes.io/service-name: mirror}}
addressType: IPv4
ports: [{name: http, port: PORT, protocol: TCP}]
endpoints: [{addresses: [ADDRESS]}]
";

/// An Ingress of one rule.
fn ingress(name: &str, annotations: &str, host: &str, path: &str, kind: &str, service: &str) -> String {
    let annotations: String = annotations
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(key, value)| format!("    nginx.ingress.kubernetes.io/{key}: {value:?}\n"))
        .collect();
    let annotations = if annotations.is_empty() { "    {}\n".into() } else { annotations };
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  annotations:\n{annotations}spec:\n  \
         ingressClassName: nginx\n  rules:\n  - host: {host:?}\n    http:\n      paths:\n      - path: {path:?}\n        \
         pathType: {kind}\n        backend: {{service: {{name: {service}, port: {{name: http}}}}}}\n---\n"
    )
}

/// An answer: code, head in lower case, body.
struct Answer {
    code: u16,
    head: String,
    body: String,
}

/// Asks an address for a host and a path over plain HTTP, with more lines of the head.
fn ask(address: &str, host: &str, path: &str, more: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok(Answer { code, head: head.to_lowercase(), body: body.to_string() })
}

/// Answers every request with its own head; a request for another protocol with what it says after that.
fn mirror(address: &str) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap_or_else(|error| panic!("{address}: {error}"));
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || reflect(stream));
        }
    });
    port
}

fn reflect(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = String::new();
    let mut byte = [0];
    while !head.ends_with("\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0] as char);
    }
    if head.to_lowercase().contains("upgrade: websocket") {
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
        let mut buffer = [0; 64];
        loop {
            let length = stream.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            stream.write_all(&buffer[..length])?;
        }
    }
    let length = head.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{head}")
}

/// A cluster with the addons, the applications `one` and `two`, and the mirror.
fn with_applications(name: &str) -> Option<(Cluster, String)> {
    let cluster = Cluster::new(name)?;
    cluster.coracle("start --addons ingress,ingress-dns").ok();
    for name in ["one", "two"] {
        let text = APPLICATIONS.replace("NAME", name).replace("REPLICAS", "2");
        cluster.kubectl_with("apply", &text).ok();
    }
    let profile = std::fs::read_to_string(cluster.profile_folder().join("profile.json")).unwrap();
    let profile: serde_json::Value = serde_json::from_str(&profile).unwrap();
    let machine = profile["network"]["host_address"].as_str().unwrap();
    let mirrored = MIRROR.replace("PORT", &mirror(machine).to_string()).replace("ADDRESS", machine);
    cluster.kubectl_with("apply", &mirrored).ok();
    cluster.kubectl("rollout status deployment/one --timeout=90s").ok();
    cluster.kubectl("rollout status deployment/two --timeout=90s").ok();
    let pods = "-n ingress-nginx -l app.kubernetes.io/component=controller";
    cluster.kubectl(&format!("wait --for=condition=Ready pod {pods} --timeout=90s")).ok();
    let node = cluster.coracle("ip").ok().trim().to_string();
    Some((cluster, node))
}

fn certificate(names: &[&str]) -> (String, String) {
    let identity = coracle::pki::Identity {
        common_name: names[0].into(),
        names: names.iter().map(|name| name.to_string()).collect(),
        ..Default::default()
    };
    let signed = coracle::pki::authority::self_signed(&identity, Duration::from_secs(3600)).unwrap();
    (signed.certificate, signed.key)
}

/// Code, protocol and subject of the certificate of an HTTPS request.
async fn ask_securely(node: &str, host: &str) -> (u16, http::Version, String) {
    coracle::base::crypto::install();
    let client = reqwest::Client::builder()
        .resolve(host, format!("{node}:443").parse().unwrap())
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let response = client.get(format!("https://{host}/")).send().await.unwrap();
    let info = response.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(info.peer_certificate().unwrap()).unwrap();
    (response.status().as_u16(), response.version(), parsed.subject().to_string())
}

#[test]
fn hosts_paths_and_annotations_are_served_at_the_node() {
    let Some((cluster, node)) = with_applications("ingress") else { return };
    let address = format!("{node}:80");
    let (pem, key) = certificate(&["secure.test"]);
    std::fs::write(cluster.folder().join("tls.crt"), pem).unwrap();
    std::fs::write(cluster.folder().join("tls.key"), key).unwrap();
    let folder = cluster.folder().display().to_string();
    cluster.kubectl(&format!("create secret tls secure --cert={folder}/tls.crt --key={folder}/tls.key")).ok();
    // `me` and `secret`, as `htpasswd -s` writes them.
    std::fs::write(cluster.folder().join("auth"), "me:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n").unwrap();
    cluster.kubectl(&format!("create secret generic users --from-file=auth={folder}/auth")).ok();
    let secure = ingress("secure", "", "secure.test", "/", "Prefix", "one")
        .replace("spec:\n", "spec:\n  tls: [{hosts: [secure.test], secretName: secure}]\n");
    let all = [
        ingress("whole", "", "one.test", "/", "Prefix", "one"),
        ingress("part", "", "one.test", "/two", "Prefix", "two"),
        ingress("wild", "", "*.wild.test", "/", "Prefix", "two"),
        ingress("rewrite", "rewrite-target: /$2", "mirror.test", "/api(/|$)(.*)", "ImplementationSpecific", "mirror"),
        ingress("socket", "", "socket.test", "/", "Prefix", "mirror"),
        ingress(
            "closed",
            "auth-type: basic\nauth-secret: users\nauth-realm: Mine",
            "closed.test",
            "/",
            "Prefix",
            "one",
        ),
        ingress("main", "", "canary.test", "/", "Prefix", "one"),
        ingress("canary", "canary: true\ncanary-by-header: X-Canary", "canary.test", "/", "Prefix", "two"),
        ingress("moved", "permanent-redirect: https://example.com/new", "moved.test", "/", "Prefix", "one"),
        ingress("nobody", "", "nobody.test", "/", "Prefix", "absent"),
        ingress("broken", "proxy-body-size: a lot", "broken.test", "/", "Prefix", "one"),
        ingress("sticky", "affinity: cookie\nsession-cookie-name: route", "sticky.test", "/", "Prefix", "one"),
        ingress("far", "whitelist-source-range: 203.0.113.0/24", "far.test", "/", "Prefix", "one"),
        ingress("snippet", "configuration-snippet: deny all;", "snippet.test", "/", "Prefix", "one"),
        secure,
    ];
    cluster.kubectl_with("apply", &all.concat()).ok();
    let get = |host: &str, path: &str, more: &str| ask(&address, host, path, more).unwrap();
    until("the last Ingress is served", || get("snippet.test", "/", "").code == 200);

    assert!(get("one.test", "/", "").body.starts_with("hello from one-"));
    assert!(get("ONE.test:80", "/twofold", "").body.starts_with("hello from one-"));
    assert!(get("one.test", "/two/x", "").body.starts_with("hello from two-"));
    assert!(get("a.wild.test", "/", "").body.starts_with("hello from two-"));
    let codes =
        [("nowhere.test", 404), ("a.b.wild.test", 404), ("nobody.test", 503), ("broken.test", 503), ("far.test", 403)];
    for (host, code) in codes {
        assert_eq!(get(host, "/", "").code, code, "{host}");
    }
    let pods: BTreeSet<String> = (0..8).map(|_| get("one.test", "/", "").body).collect();
    assert_eq!(pods.len(), 2, "both pods have their turn");

    let seen = get("mirror.test", "/api/v1/x?y=1", "X-Forwarded-For: 6.6.6.6\r\n").body.to_lowercase();
    assert!(seen.starts_with("get /v1/x?y=1 http/1.1\r\n"), "{seen}");
    let machine = seen.lines().find_map(|line| line.strip_prefix("x-real-ip: ")).unwrap().to_string();
    assert_ne!(machine, "6.6.6.6");
    for line in [
        "host: mirror.test",
        &format!("x-forwarded-for: {machine}"),
        "x-forwarded-proto: http",
        "x-original-forwarded-for: 6.6.6.6",
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{line} in {seen}");
    }

    let closed = get("closed.test", "/", "");
    assert!(closed.code == 401 && closed.head.contains("www-authenticate: basic realm=\"mine\""), "{}", closed.head);
    assert_eq!(get("closed.test", "/", "Authorization: Basic bWU6c2VjcmV0\r\n").code, 200);
    assert_eq!(get("closed.test", "/", "Authorization: Basic bWU6d3Jvbmc=\r\n").code, 401);
    assert!(get("canary.test", "/", "").body.starts_with("hello from one-"));
    assert!(get("canary.test", "/", "X-Canary: always\r\n").body.starts_with("hello from two-"));
    let moved = get("moved.test", "/", "");
    assert!(moved.code == 301 && moved.head.contains("location: https://example.com/new"), "{}", moved.head);

    let first = get("sticky.test", "/", "");
    let cookie =
        first.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next()).unwrap().to_string();
    let again: BTreeSet<String> =
        (0..6).map(|_| get("sticky.test", "/", &format!("Cookie: {cookie}\r\n")).body).collect();
    assert_eq!(again, BTreeSet::from([first.body]));

    let plain = get("secure.test", "/x", "");
    assert!(plain.code == 308 && plain.head.contains("location: https://secure.test/x"), "{}", plain.head);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (code, version, subject) = runtime.block_on(ask_securely(&node, "secure.test"));
    assert_eq!((code, version, subject.as_str()), (200, http::Version::HTTP_2, "CN=secure.test"));
    let (code, _, subject) = runtime.block_on(ask_securely(&node, "one.test"));
    assert_eq!(code, 200);
    assert!(subject.contains("Kubernetes Ingress Controller Fake Certificate"), "{subject}");

    let mut socket = TcpStream::connect(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: socket.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    socket.write_all(b"ping").unwrap();
    let mut back = [0; 4];
    socket.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"ping");

    let published = "get ingress whole -o jsonpath={.status.loadBalancer.ingress[0].ip}";
    until("the status names the node", || cluster.kubectl(published).out == node);
    let events = |name: &str| cluster.kubectl(&format!("get events --field-selector=involvedObject.name={name}")).out;
    until("events are told", || {
        events("whole").contains("Scheduled for sync")
            && events("broken").contains("proxy-body-size")
            && events("snippet").contains("not built in")
            && events("nobody").contains("no Service")
    });
    assert_eq!(resolve(&node, "one.test.", RecordType::A).1.join(" "), node);
    assert_eq!(resolve(&node, "example.com.", RecordType::A).0, ResponseCode::NXDomain);
    let inside = cluster.coracle("ssh -- wget -qO- --header Host:one.test http://127.0.0.1/");
    assert!(inside.out.starts_with("hello from one-"), "{} {}", inside.out, inside.err);

    cluster.kubectl_with("apply", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tcp-services, namespace: ingress-nginx}\ndata: {'9000': 'default/two:80'}\n").ok();
    let stream = format!("{node}:9000");
    until("a port of TCP leads to its service", || {
        ask(&stream, "x", "/", "").is_ok_and(|answer| answer.body.starts_with("hello from two-"))
    });

    cluster.coracle("addons disable ingress ingress-dns").ok();
    until("nobody listens any more", || TcpStream::connect(&address).is_err());
    cluster.kubectl("wait --for=delete namespace/ingress-nginx --timeout=90s").ok();
    cluster.coracle("addons enable ingress").ok();
    until("it is served again", || ask(&address, "one.test", "/", "").is_ok_and(|answer| answer.code == 200));
}

#[test]
fn no_request_is_lost_while_pods_are_replaced() {
    let Some((cluster, node)) = with_applications("rolling") else { return };
    cluster.kubectl_with("apply", &ingress("one", "", "one.test", "/", "Prefix", "one")).ok();
    let address = format!("{node}:80");
    until("it is served", || ask(&address, "one.test", "/", "").is_ok_and(|answer| answer.code == 200));
    let (is_over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (address, is_over, count) = (address.clone(), is_over.clone(), count.clone());
            std::thread::spawn(move || {
                let mut lost = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    match ask(&address, "one.test", "/", "") {
                        Ok(answer) if answer.code == 200 => _ = count.fetch_add(1, Ordering::Relaxed),
                        Ok(answer) => lost.push(answer.head),
                        Err(error) => lost.push(error.to_string()),
                    }
                }
                lost
            })
        })
        .collect();
    for round in 0..2 {
        // `rollout restart` tells restarts apart by the second, and a rollout takes less than one.
        cluster.kubectl(&format!("set env deployment/one ROUND={round}")).ok();
        cluster.kubectl("rollout status deployment/one --timeout=90s").ok();
    }
    is_over.store(true, Ordering::Relaxed);
    let lost: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    assert!(lost.is_empty(), "{} of {}: {:?}", lost.len(), count.load(Ordering::Relaxed), lost.first());
    assert!(count.load(Ordering::Relaxed) > 100, "{count:?}");
}
