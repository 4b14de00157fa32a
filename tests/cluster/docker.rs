//! A cluster in a container of a real engine. Without an engine that can be used these say that they are skipped.

use super::harness::{Cluster, traces};
use std::process::Command;

/// A cluster of the Docker driver that runs.
fn started(name: &str) -> Option<Cluster> {
    let cluster = Cluster::new(name)?;
    let findings: Vec<serde_json::Value> = serde_json::from_str(&cluster.coracle("doctor -o json").out).unwrap();
    let driver = findings.iter().find(|finding| finding["Name"] == "driver docker").unwrap();
    if driver["Grade"] != "ok" {
        println!("skipped: {}", driver["Detail"]);
        return None;
    }
    cluster.coracle("start --driver=docker").ok();
    Some(cluster)
}

fn docker(words: &str) -> String {
    let output = Command::new("docker").args(words.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "docker {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn host(cluster: &Cluster) -> String {
    let status: serde_json::Value = serde_json::from_str(&cluster.coracle("status -o json").out).unwrap();
    status["Host"].as_str().unwrap().to_string()
}

#[test]
fn a_container_that_was_stopped_killed_or_removed_is_healed_and_nothing_is_left() {
    let Some(cluster) = started("boxed") else { return };
    assert_eq!(host(&cluster), "Running");
    cluster.kubectl("create deployment web --image=coracle.local/hello").ok();
    cluster.kubectl("wait --for=condition=Available deployment/web --timeout=120s").ok();
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
        cluster.kubectl("wait --for=condition=Available deployment/web --timeout=120s").ok();
    }
    assert_eq!(cluster.coracle("ssh -- /coracle version --short").ok().trim(), concat!("v", env!("CARGO_PKG_VERSION")));

    cluster.coracle("delete").ok();
    assert_eq!(traces("boxed"), Vec::<String>::new());
    for list in ["ps -aq", "volume ls -q", "network ls -q"] {
        assert_eq!(docker(&format!("{list} --filter label=local.coracle.profile=boxed")), "", "docker {list}");
    }
}

#[test]
fn a_name_that_somebody_else_has_is_left_alone() {
    let Some(cluster) = started("squatter") else { return };
    cluster.coracle("delete").ok();
    docker("volume create squatter");
    let refused = cluster.coracle("start --driver=docker");
    docker("volume inspect squatter");
    docker("volume rm squatter");
    assert_eq!(refused.code, 50, "{}", refused.err);
    assert!(refused.err.contains("that coracle did not make"), "{}", refused.err);
}
