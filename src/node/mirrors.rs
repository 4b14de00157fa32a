//! Mirror pods of the control plane's parts: what users of other distributions find in `kube-system`, and wait for.
//!
//! ```text
//! static_pods ─ makes them, and makes them again ─▶ pod ─▶ keep: status from what the part is ─▶ deletion at once
//! ```
//!
//! The parts are tasks of the server's process, so these pods have no containers: nothing is started, measured or evicted for
//! them. They are ready for as long as their part lives.
//!
//! Source of labels and annotations: kubeadm `cmd/kubeadm/app/util/staticpod`, `app/phases/controlplane`.

use super::context::Node;
use super::pod::conditions::{self, Overall};
use super::pod::worker::Message;
use super::pod::{now, parts, publish, resources, seconds};
use super::pods::Seen;
use super::static_pods::{self, Key, MIRROR, SOURCE};
use crate::base::causes::chain;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStatus, HostIP, Pod, PodIP, PodStatus,
};
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Names of the parts, and the user that each is at the server; the server itself and its store are there if anything is.
const PARTS: [(&str, Option<&str>); 4] = [
    ("etcd", None),
    ("kube-apiserver", None),
    ("kube-controller-manager", Some("system:kube-controller-manager")),
    ("kube-scheduler", Some("system:kube-scheduler")),
];
/// Where these pods are.
const NAMESPACE: &str = "kube-system";
/// What these pods say they come from; that of other static pods is a file.
const OWN_SOURCE: &str = "coracle";
/// The image of what runs; no container is made of it.
const IMAGE: &str = concat!("coracle.local/coracle:", env!("CARGO_PKG_VERSION"));
/// After the server refused a write.
const RETRY: Duration = Duration::from_secs(5);

/// Whether a pod stands for a part of the control plane. Annotations alone do not make it one: whoever may make a pod may write
/// them, and would be shown the server's log for his own.
pub fn is_part(pod: &Pod) -> bool {
    let node = parts::spec(pod).node_name.as_deref().unwrap_or_default();
    let is_named = |(part, _): &(&str, _)| parts::name(pod).strip_prefix(part) == Some(&*format!("-{node}"));
    parts::namespace(pod) == NAMESPACE
        && PARTS.iter().any(is_named)
        && static_pods::annotation(pod, SOURCE) == Some(OWN_SOURCE)
        && static_pods::annotation(pod, MIRROR).is_some()
}

/// The mirror pods that a node has, whose server listens at `api_port`.
pub fn of_parts(node: &str, api_port: u16) -> BTreeMap<Key, Value> {
    // Only what is no pod is refused.
    let mirror = |(name, _): &(&str, _)| static_pods::mirror(manifest(name, api_port), OWN_SOURCE, node).ok();
    PARTS.iter().filter_map(mirror).collect()
}

fn manifest(name: &str, api_port: u16) -> Value {
    // The scheduler learns from it that the port of the node is taken.
    let ports = match name {
        "kube-apiserver" => {
            json!([{"name": "https", "containerPort": api_port, "hostPort": api_port, "protocol": "TCP"}])
        }
        _ => json!([]),
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "labels": {"component": name, "tier": "control-plane"},
        },
        "spec": {
            "containers": [{
                "name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/coracle", "server"],
                "resources": {}, "ports": ports,
            }],
            "hostNetwork": true,
            "priorityClassName": "system-node-critical",
            "priority": 2_000_001_000,
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        },
    })
}

/// Does for one such pod what a worker does for others, until it is gone.
pub async fn keep(node: Arc<Node>, mut pod: Arc<Pod>, mut inbox: mpsc::UnboundedReceiver<Message>) {
    let mut users = node.parts.clone();
    loop {
        node.pods.set(Seen { pod: pod.clone(), sandbox: None, attempts: Vec::new(), is_over: parts::is_deleted(&pod) });
        let lives = lives(&pod, &users.borrow_and_update());
        let settled = settle(&node, &mut pod, lives).await;
        if let Err(error) = &settled {
            tracing::warn!(error = chain(error), pod = parts::title(&pod), "mirror pod not as its part is");
        }
        tokio::select! {
            message = inbox.recv() => match message {
                Some(Message::Pod(new)) => pod = new,
                Some(Message::Gone) | None => return,
                Some(_) => {}
            },
            // Without a server's process nobody begins or ends.
            Ok(()) = users.changed() => {}
            () = tokio::time::sleep(RETRY), if settled.is_err() => {}
        }
    }
}

/// Whether the part that a pod stands for works.
fn lives(pod: &Pod, users: &[String]) -> bool {
    let part = parts::spec(pod).containers.first().and_then(|own| PARTS.iter().find(|(name, _)| *name == own.name));
    part.is_some_and(|(_, user)| user.is_none_or(|user| users.iter().any(|one| one == user)))
}

/// Writes the status, or ends a pod whose deletion was asked for.
async fn settle(node: &Node, pod: &mut Arc<Pod>, lives: bool) -> kube::Result<()> {
    let pods: Api<Pod> = Api::namespaced(node.client.clone(), parts::namespace(pod));
    let result = if parts::is_deleted(pod) {
        let same = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default().grace_period(0) };
        pods.delete(parts::name(pod), &params).await.map(drop)
    } else if let Some(patch) = publish::patch(pod, &status(node, pod, lives)) {
        publish::write(&pods, parts::name(pod), patch).await.map(|written| *pod = Arc::new(written))
    } else {
        return Ok(());
    };
    match result {
        // Gone, or another pod has its name: the watch tells so as well.
        Err(kube::Error::Api(refused)) if matches!(refused.code, 404 | 409) => Ok(()),
        other => other,
    }
}

fn status(node: &Node, pod: &Pod, lives: bool) -> PodStatus {
    let known = parts::status(pod);
    let containers: Vec<ContainerStatus> =
        parts::spec(pod).containers.iter().map(|one| container(node, pod, &one.name, lives)).collect();
    let overall = Overall { phase: "Running", init: &[], regular: &containers, sandbox_ready: lives };
    let address = node.profile.network.node_address.to_string();
    PodStatus {
        conditions: Some(conditions::all(pod, &overall)),
        host_ip: Some(address.clone()),
        host_ips: Some(vec![HostIP { ip: address.clone() }]),
        pod_ip: Some(address.clone()),
        pod_ips: Some(vec![PodIP { ip: address }]),
        container_statuses: Some(containers),
        observed_generation: pod.metadata.generation,
        phase: Some("Running".into()),
        qos_class: Some(resources::qos(pod).word().to_string()),
        start_time: known.start_time.clone().or_else(|| Some(now())),
        ..PodStatus::default()
    }
}

/// The part as a container: it begins with the server's process, and was started again if that is another than before.
fn container(node: &Node, pod: &Pod, name: &str, lives: bool) -> ContainerStatus {
    let known = parts::known_status(pod, parts::Kind::Regular, name);
    let state = known.and_then(|known| known.state.as_ref());
    let begun = Some(seconds(node.begun));
    let running = state.and_then(|state| state.running.as_ref());
    let ended = state.and_then(|state| state.terminated.as_ref());
    let before = running.map(|one| &one.started_at).or_else(|| ended.map(|one| &one.started_at));
    let is_same = before.is_none_or(|before| *before == begun);
    let since = ended.filter(|_| is_same).and_then(|ended| ended.finished_at.clone());
    let state = match lives {
        true => {
            ContainerState { running: Some(ContainerStateRunning { started_at: begun }), ..ContainerState::default() }
        }
        false => ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: 1,
                reason: Some("Error".into()),
                started_at: begun,
                finished_at: since.or_else(|| Some(now())),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        },
    };
    ContainerStatus {
        name: name.to_string(),
        image: IMAGE.into(),
        ready: lives,
        started: Some(lives),
        restart_count: known.map_or(0, |known| known.restart_count) + i32::from(!is_same),
        state: Some(state),
        ..ContainerStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Shutdown;
    use crate::node::fake::{FakeApi, FakeRuntime, setup};
    use tokio::sync::watch;

    const FOLDER: &str = "/api/v1/namespaces/kube-system/pods/";
    const SCHEDULER: &str = "/api/v1/namespaces/kube-system/pods/kube-scheduler-coracle";

    fn users() -> Vec<String> {
        PARTS.iter().filter_map(|(_, user)| user.map(String::from)).collect()
    }

    fn is_ready(pod: Option<&Value>, wanted: &str) -> bool {
        let conditions = pod.and_then(|pod| pod["status"]["conditions"].as_array());
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == wanted))
    }

    #[tokio::test(start_paused = true)]
    async fn parts_have_pods_that_are_ready_as_long_as_they_live_and_for_which_nothing_is_run() {
        let (api, runtime) = (FakeApi::default(), FakeRuntime::default());
        let (sender, receiver) = watch::channel(users());
        let (mut setup, _folder) = setup(&api, &runtime);
        setup.parts = receiver;
        let (_stop, shutdown) = Shutdown::new();
        tokio::spawn(super::super::run(setup, shutdown));
        for (name, _) in PARTS {
            let path = format!("{FOLDER}{name}-coracle");
            api.until(&path, |pod| is_ready(pod, "True")).await;
            let pod = api.get(&path).unwrap();
            assert_eq!(pod["metadata"]["labels"], json!({"component": name, "tier": "control-plane"}));
            assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "Node");
            assert!(pod["metadata"]["annotations"][MIRROR].is_string());
            assert_eq!(
                (&pod["status"]["phase"], &pod["status"]["qosClass"]),
                (&json!("Running"), &json!("BestEffort"))
            );
        }
        sender.send_modify(|users| users.retain(|user| user != "system:kube-scheduler"));
        api.until(SCHEDULER, |pod| is_ready(pod, "False")).await;
        let status = api.get(SCHEDULER).unwrap()["status"]["containerStatuses"][0].clone();
        assert_eq!((&status["ready"], &status["state"]["terminated"]["reason"]), (&json!(false), &json!("Error")));
        assert!(is_ready(api.get(&format!("{FOLDER}etcd-coracle")).as_ref(), "True"));
        sender.send_replace(users());
        api.until(SCHEDULER, |pod| is_ready(pod, "True")).await;

        let mut deleted = api.get(SCHEDULER).unwrap();
        deleted["metadata"]["deletionTimestamp"] = json!("2026-11-26T00:00:00Z");
        api.put(SCHEDULER, deleted);
        api.until(SCHEDULER, |pod| {
            pod.is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_null()) && is_ready(pod, "True")
        })
        .await;
        assert!(runtime.calls().is_empty(), "{:?}", runtime.calls());
    }

    #[test]
    fn annotations_alone_make_no_part() {
        let made = of_parts("coracle", 8443);
        let pod = |change: &dyn Fn(&mut Value)| {
            let mut pod = made.values().next().unwrap().clone();
            change(&mut pod);
            serde_json::from_value::<Pod>(pod).unwrap()
        };
        assert!(is_part(&pod(&|_| {})));
        assert!(!is_part(&pod(&|pod| pod["metadata"]["namespace"] = json!("default"))));
        assert!(!is_part(&pod(&|pod| pod["metadata"]["name"] = json!("mine-coracle"))));
        assert!(!is_part(&pod(&|pod| pod["spec"]["nodeName"] = json!("other"))));
    }

    #[tokio::test]
    async fn another_process_of_the_server_is_another_start() {
        let (api, runtime) = (FakeApi::default(), FakeRuntime::default());
        let (mut node, _folder) = crate::node::fake::node(&api, &runtime);
        let mut pod: Pod = serde_json::from_value(manifest("etcd", 8443)).unwrap();
        assert!(!is_part(&pod) && lives(&pod, &[]));
        for restarts in [0, 0, 1] {
            if restarts > 0 {
                node.begun += jiff::SignedDuration::from_secs(60);
            }
            pod.status = Some(status(&node, &pod, true));
            assert_eq!(parts::status(&pod).container_statuses.as_ref().unwrap()[0].restart_count, restarts);
            assert!(publish::patch(&pod, &status(&node, &pod, true)).is_none());
        }
    }
}
