//! The README's tour, as a new user would take it: an application from its image to its address, and what kubectl can do.

use super::harness::Cluster;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `docker save` of an image with busybox as `/bin/busybox` and `/bin/sh`.
pub fn busybox_archive(folder: &Path) -> PathBuf {
    let mut layer = tar::Builder::new(Vec::new());
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| std::fs::read(path).ok());
    let busybox = busybox.expect("Debian's busybox-static is installed");
    let mut append = |path: &str, bytes: &[u8], mode: u32| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        layer.append_data(&mut header, path, bytes).unwrap();
    };
    append("bin/busybox", &busybox, 0o755);
    append("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644);
    append("etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644);
    for name in [
        "sh", "cat", "echo", "ls", "sleep", "nslookup", "wget", "tar", "id", "env", "touch", "true", "false", "nc",
        "stat", "date", "mkdir", "hostname", "test", "head", "tee", "rm", "ip", "mount", "df",
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        layer.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    let layer = layer.into_inner().unwrap();
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&layer));
    let config = serde_json::json!({
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": ["busybox:local"], "Layers": ["layer.tar"]}]);
    let path = folder.join("busybox.tar");
    let mut archive = tar::Builder::new(std::fs::File::create(&path).unwrap());
    let files = [
        ("layer.tar", layer),
        ("config.json", config.to_string().into()),
        ("manifest.json", manifest.to_string().into()),
    ];
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    archive.finish().unwrap();
    path
}

/// The body of a GET on a connection of its own.
pub fn fetch(url: &str) -> std::io::Result<String> {
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_string()).unwrap_or_default())
}

/// Who answers at an address, each asked often enough that chance leaves nobody out.
fn answerers(url: &str) -> BTreeSet<String> {
    (0..60).map(|_| fetch(url).unwrap_or_else(|error| panic!("{url}: {error}"))).collect()
}

#[test]
fn an_application_answers_at_the_address_that_service_prints_and_again_after_a_stop() {
    let Some(cluster) = Cluster::started("tour") else { return };
    let nodes = cluster.kubectl("get nodes --no-headers").ok();
    assert!(nodes.contains(" Ready "), "{nodes}");
    let dns = cluster.kubectl("get service kube-dns -n kube-system -o jsonpath={.spec.clusterIP}").ok();
    assert!(dns.ends_with(".0.10"), "{dns}");
    cluster.kubectl("create deployment web --image=coracle.local/hello --replicas=3").ok();
    cluster.kubectl("expose deployment web --type=NodePort --port=80 --target-port=8080").ok();
    cluster.kubectl("rollout status deployment/web --timeout=60s").ok();
    let url = cluster.coracle("service web --url --wait=120").ok();
    let pods: BTreeSet<String> =
        cluster.kubectl("get pods -l app=web -o name").ok().lines().map(|line| line.replace("pod/", "")).collect();
    let expected: BTreeSet<String> = pods.iter().map(|pod| format!("hello from {pod}\n")).collect();
    assert_eq!(answerers(url.trim()), expected);

    assert_eq!(cluster.coracle("image load").code, 14, "an archive must be named");
    let archive = busybox_archive(cluster.folder());
    let loaded = cluster.coracle(&format!("image load {}", archive.display()));
    assert!(loaded.err.contains("loaded docker.io/library/busybox:local"), "{}", loaded.err);
    let answer = cluster
        .kubectl("run -i --rm sh --image=busybox:local --restart=Never -- nslookup web.default.svc.cluster.local")
        .ok();
    let address = cluster.kubectl("get service web -o jsonpath={.spec.clusterIP}").ok();
    assert!(answer.contains(&address), "{answer}");

    cluster.coracle("stop").ok();
    cluster.coracle("start").ok();
    cluster.kubectl("rollout status deployment/web --timeout=60s").ok();
    cluster.kubectl("wait --for=condition=Ready pod -l app=web --timeout=60s").ok();
    assert_eq!(cluster.coracle("service web --url --wait=120").ok(), url, "the address stays");
    assert_eq!(answerers(url.trim()), expected, "the same pods answer");
}

#[test]
fn a_load_balancer_and_a_cluster_address_answer_without_a_tunnel() {
    let Some(cluster) = Cluster::started("balancer") else { return };
    cluster.kubectl("create deployment web --image=coracle.local/hello").ok();
    cluster.kubectl("expose deployment web --type=LoadBalancer --port=80 --target-port=8080").ok();
    cluster.kubectl("rollout status deployment/web --timeout=60s").ok();
    cluster.kubectl("wait --for=jsonpath={.status.loadBalancer.ingress} service/web --timeout=30s").ok();
    let address = cluster.kubectl("get service web -o jsonpath={.status.loadBalancer.ingress[0].ip}").ok();
    let inside = cluster.kubectl("get service web -o jsonpath={.spec.clusterIP}").ok();
    for address in [address, inside] {
        assert!(fetch(&format!("http://{address}:80")).unwrap().starts_with("hello from web-"), "{address}");
    }
}

#[test]
fn kubectl_rolls_out_undoes_scales_and_tells_about_it() {
    let Some(cluster) = Cluster::started("rollout") else { return };
    cluster.kubectl("create deployment web --image=coracle.local/hello --replicas=2").ok();
    cluster.kubectl("rollout status deployment/web --timeout=60s").ok();
    cluster.kubectl("scale deployment web --replicas=4").ok();
    cluster.kubectl("wait --for=jsonpath={.status.readyReplicas}=4 deployment/web --timeout=60s").ok();
    cluster.kubectl("set image deployment/web hello=coracle.local/coracle:latest").ok();
    let history = cluster.kubectl("rollout history deployment/web").ok();
    assert!(history.contains("2 "), "{history}");
    cluster.kubectl("rollout undo deployment/web").ok();
    cluster.kubectl("rollout status deployment/web --timeout=60s").ok();
    let image = cluster.kubectl("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}").ok();
    assert_eq!(image, "coracle.local/hello");
    let described = cluster.kubectl("describe deployment web").ok();
    assert!(described.contains("ScalingReplicaSet"), "{described}");
    cluster.kubectl("annotate deployment web note=here").ok();
    assert_eq!(
        cluster.kubectl("get deployment web -o custom-columns=N:.metadata.annotations.note --no-headers").ok(),
        "here\n"
    );
    let wide = cluster.kubectl("get pods -o wide").ok();
    let address = cluster.kubectl("get pods -o jsonpath={.items[0].status.podIP}").ok();
    assert!(address.starts_with("10.") && wide.contains(&address), "{wide}");
    assert_eq!(cluster.kubectl("auth can-i delete pods").ok(), "yes\n");
    assert!(cluster.kubectl("cluster-info").ok().contains("is running at"));
    assert!(cluster.kubectl("explain deployment.spec.replicas").ok().contains("Number of desired pods"));
    cluster.kubectl("delete deployment web").ok();
    cluster.kubectl("wait --for=delete pod -l app=web --timeout=60s").ok();
}
