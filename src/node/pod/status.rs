//! What is told about a pod: the whole status as a pure function of what is known.
//!
//! Source of the rules: kubelet `pkg/kubelet/kubelet_pods.go` (generateAPIPodStatus, convertToAPIContainerStatuses).

use super::conditions::{self, Overall};
use super::history::History;
use super::parts::{self, Kind};
use super::plan::{Healths, should_start};
use super::resize::{IN_PROGRESS, PENDING, Resize};
use super::{resources, seconds};
use crate::runtime::{self, State};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    HostIP, Pod, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Why a container does not run, in the two words of its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub reason: String,
    pub message: String,
}

/// Why a whole pod was ended, for example `DeadlineExceeded`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub reason: String,
    pub message: String,
}

/// Everything that a status is made from.
pub struct Facts<'a> {
    pub pod: &'a Pod,
    pub history: &'a History,
    pub healths: &'a Healths,
    /// Why containers wait, by name.
    pub waiting: &'a BTreeMap<String, Waiting>,
    /// Termination messages, by container id.
    pub messages: &'a HashMap<String, String>,
    pub node_address: IpAddr,
    pub addresses: &'a [IpAddr],
    /// The sandbox is there and has its addresses.
    pub sandbox_ready: bool,
    pub start_time: Time,
    pub ended: Option<&'a Ended>,
    /// How far a resize of its containers is.
    pub resize: &'a Resize,
    /// Containers by name that are not held to what they ask for.
    pub not_resized: &'a [String],
    /// Nothing of the pod runs any more, nor ever will.
    pub is_over: bool,
}

/// The status of the pod.
pub fn of(facts: &Facts) -> PodStatus {
    let spec = parts::spec(facts.pod);
    let list = |kind: Kind| -> Vec<ContainerStatus> {
        let of_kind = parts::containers(facts.pod).filter(|(other, _)| *other == kind);
        of_kind.map(|(_, container)| container_status(facts, kind, &container)).collect()
    };
    let (init, regular, ephemeral) = (list(Kind::Init), list(Kind::Regular), list(Kind::Ephemeral));
    let phase = match (parts::status(facts.pod).phase.as_deref(), facts.ended) {
        (Some(phase @ ("Succeeded" | "Failed")), _) => phase.to_string(),
        (_, Some(_)) => "Failed".to_string(),
        _ => conditions::phase(facts.pod, &init, &regular, facts.is_over).to_string(),
    };
    let known = parts::status(facts.pod);
    // A pod that the node refused has no containers, not some that wait: clients show why it was refused.
    let has_begun = facts.ended.is_none() || known.container_statuses.is_some() || facts.history.all().next().is_some();
    let overall = Overall { phase: &phase, init: &init, regular: &regular, sandbox_ready: facts.sandbox_ready };
    let mut conditions = conditions::all(facts.pod, &overall);
    if let Some(ended) = facts.ended.filter(|ended| ended.reason == "Evicted") {
        conditions.retain(|condition| condition.type_ != "DisruptionTarget");
        conditions.push(conditions::disrupted(facts.pod, &ended.message));
    }
    conditions.retain(|condition| ![PENDING, IN_PROGRESS].contains(&condition.type_.as_str()));
    conditions.extend(facts.resize.condition(facts.pod));
    let pod_ips = match parts::host_network(facts.pod) {
        true => Some(vec![PodIP { ip: facts.node_address.to_string() }]),
        false if facts.addresses.is_empty() => known.pod_ips.clone(),
        false => Some(facts.addresses.iter().map(|address| PodIP { ip: address.to_string() }).collect()),
    };
    PodStatus {
        conditions: Some(conditions),
        host_ip: Some(facts.node_address.to_string()),
        host_ips: Some(vec![HostIP { ip: facts.node_address.to_string() }]),
        pod_ip: pod_ips.as_ref().and_then(|ips| ips.first()).map(|first| first.ip.clone()),
        pod_ips,
        init_container_statuses: spec
            .init_containers
            .as_ref()
            .filter(|list| !list.is_empty() && has_begun)
            .map(|_| init),
        container_statuses: has_begun.then_some(regular),
        ephemeral_container_statuses: spec
            .ephemeral_containers
            .as_ref()
            .filter(|list| !list.is_empty())
            .map(|_| ephemeral),
        message: facts.ended.map(|ended| ended.message.clone()).or_else(|| known.message.clone()),
        reason: facts.ended.map(|ended| ended.reason.clone()).or_else(|| known.reason.clone()),
        observed_generation: facts.pod.metadata.generation,
        phase: Some(phase),
        qos_class: Some(resources::qos(facts.pod).word().to_string()),
        start_time: Some(facts.start_time.clone()),
        ..PodStatus::default()
    }
}

fn container_status(facts: &Facts, kind: Kind, container: &Container) -> ContainerStatus {
    let known = parts::known_status(facts.pod, kind, &container.name);
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        resources: (kind != Kind::Ephemeral).then(|| container.resources.clone()).flatten(),
        allocated_resources: container.resources.as_ref().and_then(|resources| resources.requests.clone()),
        started: Some(false),
        ..ContainerStatus::default()
    };
    // What is not in force is not told; what is was told before.
    if let Some(known) = known.filter(|_| facts.not_resized.contains(&container.name)) {
        status.resources = known.resources.clone();
        if matches!(facts.resize, Resize::Pending(..)) {
            status.allocated_resources = known.allocated_resources.clone();
        }
    }
    match facts.history.latest(&container.name) {
        Some(latest) => observed(facts, kind, container, latest, &mut status),
        None => unobserved(facts, kind, known, &mut status),
    }
    if status.last_state.is_none() {
        // The attempt before may have been cleaned away; what was told of it stays true.
        status.last_state = known.and_then(|known| known.last_state.clone());
    }
    status
}

/// Nothing of it is in the runtime.
fn unobserved(facts: &Facts, kind: Kind, known: Option<&ContainerStatus>, status: &mut ContainerStatus) {
    status.restart_count = known.map_or(0, |known| known.restart_count);
    let lost = known.filter(|known| known.container_id.is_some());
    if let (true, Some(lost)) = (facts.is_over, lost) {
        let terminated = lost.state.as_ref().and_then(|state| state.terminated.clone());
        status.container_id = lost.container_id.clone();
        status.image_id = lost.image_id.clone();
        status.state = Some(of_terminated(terminated.unwrap_or_else(unknown_end)));
        return;
    }
    if let Some(lost) = lost {
        let running = lost.state.as_ref().is_some_and(|state| state.running.is_some());
        status.last_state = running.then(|| of_terminated(unknown_end()));
    }
    status.state = Some(match facts.waiting.get(&status.name) {
        Some(waiting) => of_waiting(&waiting.reason, &waiting.message),
        None => of_waiting(default_reason(facts, kind), ""),
    });
}

fn default_reason(facts: &Facts, kind: Kind) -> &'static str {
    let has_init = !parts::init_containers(facts.pod).is_empty();
    if has_init && kind != Kind::Ephemeral { "PodInitializing" } else { "ContainerCreating" }
}

fn unknown_end() -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".into()),
        message: Some("The container could not be located when the pod was terminated".into()),
        ..ContainerStateTerminated::default()
    }
}

fn observed(
    facts: &Facts,
    kind: Kind,
    container: &Container,
    latest: &runtime::Container,
    status: &mut ContainerStatus,
) {
    let health = facts.healths.get(&latest.id);
    status.restart_count = latest.spec.attempt as i32;
    status.container_id = Some(format!("coracle://{}", latest.id));
    status.image = latest.spec.image_reference.clone();
    status.image_id = latest.spec.image.clone();
    let previous = facts.history.previous(&container.name);
    status.last_state = previous.and_then(|previous| terminated(facts, previous)).map(of_terminated);
    match &latest.state {
        State::Created => status.state = Some(of_waiting(default_reason(facts, kind), "")),
        State::Running { started_at, .. } => {
            let running = ContainerStateRunning { started_at: Some(seconds(*started_at)) };
            status.state = Some(ContainerState { running: Some(running), ..ContainerState::default() });
            status.started = Some(health.is_some_and(|health| health.started));
            status.ready = match kind {
                Kind::Regular => health.is_some_and(|health| health.started && health.ready),
                Kind::Init if parts::is_sidecar(container) => {
                    health.is_some_and(|health| health.started && health.ready)
                }
                _ => false,
            };
        }
        State::Exited { exit_code, .. } => {
            let ended = terminated(facts, latest).map(of_terminated);
            let again = !facts.is_over && kind != Kind::Ephemeral && should_start(facts.pod, container, Some(latest));
            match facts.waiting.get(&container.name).filter(|_| again) {
                Some(waiting) => {
                    status.last_state = ended;
                    status.state = Some(of_waiting(&waiting.reason, &waiting.message));
                }
                None => status.state = ended,
            }
            status.ready = kind == Kind::Init && *exit_code == 0 && !parts::is_sidecar(container);
        }
    }
}

fn terminated(facts: &Facts, container: &runtime::Container) -> Option<ContainerStateTerminated> {
    let State::Exited { started_at, finished_at, exit_code, signal: _, oom_killed, message } = &container.state else {
        return None;
    };
    let reason = match (oom_killed, started_at, exit_code) {
        (true, _, _) => "OOMKilled",
        (_, None, _) => "StartError",
        (_, _, 0) => "Completed",
        _ => "Error",
    };
    let told = facts.messages.get(&container.id).cloned().filter(|told| !told.is_empty());
    Some(ContainerStateTerminated {
        container_id: Some(format!("coracle://{}", container.id)),
        exit_code: *exit_code,
        started_at: Some(seconds(started_at.unwrap_or(Timestamp::UNIX_EPOCH))),
        finished_at: Some(seconds(*finished_at)),
        message: told.or_else(|| Some(message.clone()).filter(|message| !message.is_empty())),
        reason: Some(reason.to_string()),
        signal: None,
    })
}

fn of_terminated(terminated: ContainerStateTerminated) -> ContainerState {
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn of_waiting(reason: &str, message: &str) -> ContainerState {
    let message = Some(message.to_string()).filter(|message| !message.is_empty());
    let waiting = ContainerStateWaiting { reason: Some(reason.to_string()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{container, exited, pod, running};
    use crate::node::pod::plan::Health;
    use serde_json::{Value, json};

    fn status(pod: &Pod, containers: Vec<runtime::Container>, waiting: &[(&str, &str)], is_over: bool) -> Value {
        let mut history = History::default();
        let mut healths = Healths::new();
        for container in containers {
            healths.insert(container.id.clone(), Health { started: true, ready: true, failed: None });
            history.take(container);
        }
        let waiting = waiting
            .iter()
            .map(|(name, reason)| (name.to_string(), Waiting { reason: reason.to_string(), message: String::new() }));
        let facts = Facts {
            pod,
            history: &history,
            healths: &healths,
            waiting: &waiting.collect(),
            messages: &HashMap::new(),
            node_address: "192.168.49.2".parse().unwrap(),
            addresses: &["10.244.0.7".parse().unwrap()],
            sandbox_ready: true,
            start_time: seconds(Timestamp::UNIX_EPOCH),
            ended: None,
            resize: &Resize::Done,
            not_resized: &[],
            is_over,
        };
        serde_json::to_value(of(&facts)).unwrap()
    }

    fn one() -> Pod {
        pod(json!({"containers": [{"name": "web", "image": "i"}]}))
    }

    #[test]
    fn a_running_pod_is_ready_with_its_addresses() {
        let status = status(&one(), vec![container("web", 2, running())], &[], false);
        assert_eq!(status["phase"], "Running");
        assert_eq!(status["podIP"], "10.244.0.7");
        assert_eq!(status["hostIP"], "192.168.49.2");
        assert_eq!(status["qosClass"], "BestEffort");
        assert_eq!(status["containerStatuses"][0]["restartCount"], 2);
        assert_eq!(status["containerStatuses"][0]["ready"], true);
        let ready = status["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "Ready").unwrap();
        assert_eq!(ready["status"], "True");
    }

    #[test]
    fn a_container_that_waits_for_its_restart_says_why_and_how_it_ended() {
        let status = status(&one(), vec![container("web", 0, exited(3))], &[("web", "CrashLoopBackOff")], false);
        let web = &status["containerStatuses"][0];
        assert_eq!(web["state"]["waiting"]["reason"], "CrashLoopBackOff");
        assert_eq!(web["lastState"]["terminated"]["exitCode"], 3);
        assert_eq!(status["phase"], "Running");
    }

    #[test]
    fn containers_wait_for_init_containers_by_name() {
        let pod = pod(
            json!({"initContainers": [{"name": "a", "image": "i"}], "containers": [{"name": "web", "image": "i"}]}),
        );
        let status = status(&pod, vec![], &[], false);
        assert_eq!(status["phase"], "Pending");
        assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
        let initialized =
            status["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "Initialized").unwrap();
        assert_eq!(initialized["message"], "containers with incomplete status: [a]");
    }

    #[test]
    fn a_pod_that_is_over_has_a_final_phase() {
        let ended = |code| status(&one(), vec![container("web", 0, exited(code))], &[], true)["phase"].clone();
        assert_eq!((ended(0), ended(137)), (json!("Succeeded"), json!("Failed")));
    }
}
