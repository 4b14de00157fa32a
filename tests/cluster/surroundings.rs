//! What a node takes over of its machine: a proxy, a company's authority, files. With a registry behind both of the former,
//! whose name only the proxy knows.

use super::harness::Cluster;
use coracle::pki::{Authority, Identity};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const REGISTRY: &str = "registry.harbour.test";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// An image of a program that waits, as paths of a registry and what is there.
fn image() -> HashMap<String, (&'static str, Vec<u8>)> {
    let mut layer = tar::Builder::new(Vec::new());
    layer.append_path_with_name("/bin/busybox", "bin/sleep").unwrap();
    let layer = layer.into_inner().unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/sleep", "100000"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    });
    let config = config.to_string().into_bytes();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": kind,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(&layer), "size": layer.len(),
        }],
    });
    let manifest = manifest.to_string().into_bytes();
    HashMap::from([
        ("/v2/".to_string(), ("text/plain", Vec::new())),
        (format!("/v2/app/blobs/{}", digest(&config)), ("application/octet-stream", config)),
        (format!("/v2/app/blobs/{}", digest(&layer)), ("application/octet-stream", layer)),
        ("/v2/app/manifests/1".to_string(), (kind, manifest)),
    ])
}

/// Serves the image over TLS on the loopback.
async fn registry(authority: &Authority, folder: &std::path::Path) -> u16 {
    let identity = Identity { common_name: "registry".into(), names: vec![REGISTRY.into()], ..Identity::default() };
    authority.issue(&identity, Duration::from_secs(3600)).unwrap().write(folder, "registry").unwrap();
    let files = coracle::pki::tls::ServerFiles { name: "registry", client_authorities: &["ca"], anonymous: true };
    let mut config = (*coracle::pki::tls::server(folder, &files).unwrap()).clone();
    config.alpn_protocols.clear();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let image = Arc::new(image());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, image) = (acceptor.clone(), image.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let mut stream = BufReader::new(stream);
                while let Some(path) = path_of_request(&mut stream).await {
                    let (status, kind, body) = match image.get(&path) {
                        Some((kind, body)) => ("200 OK", *kind, &body[..]),
                        None => ("404 Not Found", "text/plain", &b""[..]),
                    };
                    let head = format!(
                        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nDocker-Content-Digest: {}\r\nContent-Length: {}\r\n\r\n",
                        digest(body),
                        body.len()
                    );
                    let sent = async {
                        stream.write_all(head.as_bytes()).await?;
                        stream.write_all(body).await?;
                        stream.flush().await
                    };
                    if sent.await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Reads the head of a request; its path.
async fn path_of_request(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok().filter(|length| *length > 0)?;
    let mut line = String::new();
    while stream.read_line(&mut line).await.ok().filter(|length| *length > 0).is_some() && line.trim() != "" {
        line.clear();
    }
    first.split(' ').nth(1).map(String::from)
}

/// A proxy that knows where the registry is, and counts who asks.
async fn proxy(registry: u16, asked: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match client.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                if !head.starts_with(&format!("CONNECT {REGISTRY}:443 ")) {
                    client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await.ok();
                    return;
                }
                asked.fetch_add(1, Ordering::Relaxed);
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", registry)).await else { return };
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok();
                // Either side may break off.
                tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
            });
        }
    });
    port
}

/// Starts a cluster behind the proxy; it pulls an image through it from a registry that only the company's authority vouches
/// for.
fn pulls_behind_a_proxy(cluster: Option<Cluster>, driver: &str) {
    let Some(cluster) = cluster else { return };
    if !std::path::Path::new("/bin/busybox").exists() {
        println!("skipped: there is no busybox to put into an image");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    coracle::base::crypto::install();
    let folder = cluster.folder().join("company");
    std::fs::create_dir_all(&folder).unwrap();
    let authority = Authority::load_or_create(&folder, "ca", "Harbour Company").unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let port = runtime.block_on(async { proxy(registry(&authority, &folder).await, asked.clone()).await });
    // The machine's end of the link to the node: the node's loopback is its own.
    let subnet = if driver == "docker" { 91 } else { 90 };
    let gateway = format!("192.168.{subnet}.1:{port}");
    let cluster = cluster
        .with_variable("HTTPS_PROXY", format!("http://{gateway}"))
        .with_variable("NO_PROXY", "192.168.0.0/16".into())
        .with_variable("SSL_CERT_FILE", folder.join("ca.crt").display().to_string());
    let started =
        cluster.coracle(&format!("start --driver={driver} --subnet=192.168.{subnet}.0/24 --docker-env=HARBOUR=open"));
    assert!(started.out.contains("Found network options:"), "{}{}", started.out, started.err);
    started.ok();
    cluster.kubectl(&format!("run app --image={REGISTRY}/app:1")).ok();
    cluster.kubectl("wait --for=condition=Ready pod/app --timeout=120s").ok();
    assert!(asked.load(Ordering::Relaxed) > 0);
    // Programs of the node find the authority as well.
    let found = cluster.coracle("ssh -- ls /etc/ssl/certs/ca.pem");
    assert!(found.out.contains("/etc/ssl/certs/ca.pem"), "{}", found.err);
    let init = cluster.init();
    let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
    let has = |pid: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/environ")).is_ok_and(|all| all.contains("HARBOUR=open"))
    };
    assert!(children.split_whitespace().any(has), "the node's processes have the variable");
}

#[test]
fn a_node_pulls_through_the_machines_proxy_and_trusts_its_authorities() {
    pulls_behind_a_proxy(Cluster::new("behind"), "native");
}

#[test]
fn a_node_in_a_container_does_so_too() {
    pulls_behind_a_proxy(super::docker::wanted("boxbehind"), "docker");
}

#[test]
fn a_proxy_on_the_loopback_is_not_passed_on() {
    let Some(cluster) = Cluster::new("loopback") else { return };
    let cluster = cluster.at_home().with_variable("HTTP_PROXY", "http://me:secret@localhost:9".into());
    // Authorities among the user's files for nodes are found where programs look for them.
    let files = cluster.profile_folder().ancestors().nth(2).unwrap().join("files/etc");
    std::fs::create_dir_all(files.join("ssl/certs")).unwrap();
    coracle::base::crypto::install();
    Authority::load_or_create(cluster.folder(), "ca", "Harbour Files").unwrap();
    std::fs::copy(cluster.folder().join("ca.crt"), files.join("ssl/certs/1232.pem")).unwrap();
    let started = cluster.coracle("start --apiserver-port=8441 --memory=4096 --wait=all");
    assert!(started.out.contains("Found network options:") && started.out.contains("localhost:9"), "{}", started.out);
    assert!(!started.out.contains("secret"), "{}", started.out);
    assert!(started.err.contains("You appear to be using a proxy"), "{}", started.err);
    started.ok();
    let profile = std::fs::read_to_string(cluster.profile_folder().join("profile.json")).unwrap();
    assert!(!profile.contains("localhost:9"), "{profile}");
    assert!(cluster.coracle("profile list -o json").ok().contains("\"APIServerPort\":8441"));
    assert!(cluster.coracle("ssh cat /etc/ssl/certs/1232.pem").ok().contains("BEGIN CERTIFICATE"));
    if std::path::Path::new("/usr/share/ca-certificates").exists() {
        cluster.coracle("ssh cat /usr/share/ca-certificates/1232.pem").ok();
    }
    std::fs::write(files.join("later"), "aye\n").unwrap();
    cluster.coracle("start").ok();
    assert_eq!(cluster.coracle("ssh cat /etc/later").ok(), "aye\n", "a second start brings new files");
    running_nodes_trust(&cluster);
}

/// Authorities come to a node that runs, and go, with a start and with `apply`; and files that it cannot have are named.
fn running_nodes_trust(cluster: &Cluster) {
    let home = cluster.profile_folder().ancestors().nth(2).unwrap().to_path_buf();
    let (certificates, programs) = (home.join("certs"), home.join("files/usr/share"));
    std::fs::create_dir_all(&certificates).unwrap();
    std::fs::create_dir_all(&programs).unwrap();
    coracle::base::crypto::install();
    Authority::load_or_create(cluster.folder(), "late", "Harbour Late").unwrap();
    std::fs::copy(cluster.folder().join("late.crt"), certificates.join("late.crt")).unwrap();
    std::fs::write(programs.join("harbour"), "x").unwrap();
    cluster.kubectl("run stays --image=coracle.local/hello").ok();
    cluster.kubectl("wait --for=condition=Ready pod/stays --timeout=120s").ok();
    let started = cluster.coracle("start");
    let told = format!("{}{}", started.out, started.err);
    assert!(told.contains("files/usr/share/harbour is not taken over"), "{told}");
    assert!(!told.contains("1232.pem is not"), "{told}");
    started.ok();
    let late = std::fs::read_to_string(certificates.join("late.crt")).unwrap();
    let line = late.lines().nth(1).unwrap();
    let trusted = || cluster.coracle("ssh cat /etc/ssl/certs/ca-certificates.crt").ok().contains(line);
    assert!(trusted());
    assert!(cluster.coracle("ssh cat /etc/ssl/certs/late.pem").ok().contains(line));
    std::fs::remove_file(certificates.join("late.crt")).unwrap();
    let file = cluster.folder().join("same.toml");
    std::fs::write(&file, "").unwrap();
    cluster.coracle(&format!("apply -f {}", file.display())).ok();
    assert!(!trusted());
    assert_eq!(cluster.coracle("ssh ls /etc/ssl/certs/late.pem").code, 2, "it is gone");
    let restarts = "get pod stays -o jsonpath={.status.containerStatuses[0].restartCount}";
    assert_eq!(cluster.kubectl(restarts).ok(), "0");
}

#[test]
fn a_node_in_a_container_that_runs_has_new_authorities_and_resolvers_after_a_start() {
    let Some(cluster) = super::docker::wanted("boxlate") else { return };
    let cluster = cluster.at_home();
    cluster.coracle("start --driver=docker").ok();
    let resolvers = || cluster.coracle("ssh cat /etc/resolv.conf").ok();
    let before = resolvers();
    cluster.coracle("ssh -- cp /etc/hostname /etc/coracle/resolvers/resolv.conf").ok();
    assert_ne!(resolvers(), before);
    running_nodes_trust(&cluster);
    assert_eq!(resolvers(), before, "as the machine has them");
}
