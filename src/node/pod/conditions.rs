//! Phase and conditions of a pod. Source: kubelet `pkg/kubelet/kubelet_pods.go` (getPhase), `pkg/kubelet/status/generate.go`.

use super::now;
use super::parts::{self, RestartPolicy};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

/// What conditions are made from.
pub struct Overall<'a> {
    pub phase: &'a str,
    pub init: &'a [ContainerStatus],
    pub regular: &'a [ContainerStatus],
    pub sandbox_ready: bool,
}

/// The phase that the containers' states add up to.
pub fn phase(pod: &Pod, init: &[ContainerStatus], regular: &[ContainerStatus], is_over: bool) -> &'static str {
    let policy = parts::restart_policy(pod);
    let init_failed = plain_init(pod, init).any(|status| exit_code(status).is_some_and(|code| code != 0));
    let begun = regular.iter().any(|status| status.container_id.is_some());
    let initialized = begun || init.iter().all(|status| is_initialized(pod, status));
    if is_over {
        let ended_well = regular.iter().all(|status| exit_code(status) == Some(0)) && initialized;
        return if ended_well { "Succeeded" } else { "Failed" };
    }
    if !initialized {
        return if init_failed && policy == RestartPolicy::Never { "Failed" } else { "Pending" };
    }
    let waiting = regular
        .iter()
        .any(|status| !is_running(status) && exit_code(status).is_none() && last_exit_code(status).is_none());
    if waiting {
        return "Pending";
    }
    if regular.iter().any(is_running) || policy == RestartPolicy::Always {
        return "Running";
    }
    let codes: Vec<i32> = regular.iter().filter_map(exit_code).collect();
    match (codes.len() == regular.len(), codes.iter().all(|code| *code == 0), policy) {
        (true, true, _) => "Succeeded",
        (true, false, RestartPolicy::Never) => "Failed",
        _ => "Running",
    }
}

fn plain_init<'a>(pod: &'a Pod, init: &'a [ContainerStatus]) -> impl Iterator<Item = &'a ContainerStatus> {
    init.iter().filter(|status| !is_sidecar(pod, status))
}

fn is_sidecar(pod: &Pod, status: &ContainerStatus) -> bool {
    parts::init_containers(pod).iter().any(|container| container.name == status.name && parts::is_sidecar(container))
}

fn is_initialized(pod: &Pod, status: &ContainerStatus) -> bool {
    match is_sidecar(pod, status) {
        true => status.started == Some(true),
        false => exit_code(status) == Some(0),
    }
}

fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    Some(status.state.as_ref()?.terminated.as_ref()?.exit_code)
}

fn last_exit_code(status: &ContainerStatus) -> Option<i32> {
    Some(status.last_state.as_ref()?.terminated.as_ref()?.exit_code)
}

/// The conditions that the node owns, beside those that others set.
pub fn all(pod: &Pod, overall: &Overall) -> Vec<PodCondition> {
    let containers = containers_ready(pod, overall);
    let ready = ready(pod, overall, &containers);
    let sandbox = Verdict::plain(overall.sandbox_ready);
    let computed = [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized(pod, overall)),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", Verdict::plain(true)),
    ];
    let known = parts::status(pod).conditions.clone().unwrap_or_default();
    let mut all: Vec<PodCondition> =
        computed.into_iter().map(|(kind, verdict)| verdict.into_condition(pod, kind)).collect();
    let others = known.into_iter().filter(|one| all.iter().all(|computed| computed.type_ != one.type_));
    let others: Vec<PodCondition> = others.collect();
    all.extend(others);
    all
}

/// The condition of a pod that this node ends although nobody deleted it.
pub fn disrupted(pod: &Pod, message: &str) -> PodCondition {
    let verdict = Verdict { holds: true, reason: Some("TerminationByKubelet"), message: Some(message.into()) };
    verdict.into_condition(pod, "DisruptionTarget")
}

/// A condition that is there only while it holds.
pub fn holding(pod: &Pod, kind: &str, reason: Option<&'static str>, message: Option<&str>) -> PodCondition {
    Verdict { holds: true, reason, message: message.map(String::from) }.into_condition(pod, kind)
}

/// True or false, and why.
#[derive(Default)]
struct Verdict {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn plain(holds: bool) -> Self {
        Self { holds, ..Self::default() }
    }

    fn of(holds: bool, reason: &'static str) -> Self {
        Self { holds, reason: Some(reason), message: None }
    }

    fn not(reason: &'static str, message: String) -> Self {
        Self { holds: false, reason: Some(reason), message: Some(message) }
    }

    fn into_condition(self, pod: &Pod, kind: &str) -> PodCondition {
        let status = if self.holds { "True" } else { "False" };
        let known = parts::status(pod).conditions.iter().flatten().find(|known| known.type_ == kind);
        let since = known.filter(|known| known.status == status).and_then(|known| known.last_transition_time.clone());
        PodCondition {
            type_: kind.to_string(),
            status: status.to_string(),
            reason: self.reason.map(String::from),
            message: self.message,
            last_probe_time: None,
            last_transition_time: since.or_else(|| Some(now())),
            observed_generation: pod.metadata.generation,
        }
    }
}

fn initialized(pod: &Pod, overall: &Overall) -> Verdict {
    if overall.phase == "Succeeded" {
        return Verdict::of(true, "PodCompleted");
    }
    if overall.regular.iter().any(|status| status.container_id.is_some()) {
        return Verdict::plain(true);
    }
    let missing: Vec<&str> =
        overall.init.iter().filter(|status| !is_initialized(pod, status)).map(|status| status.name.as_str()).collect();
    match missing.is_empty() {
        true => Verdict::plain(true),
        false => Verdict::not(
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", missing.join(" ")),
        ),
    }
}

fn containers_ready(pod: &Pod, overall: &Overall) -> Verdict {
    match overall.phase {
        "Succeeded" => return Verdict::of(false, "PodCompleted"),
        "Failed" => return Verdict::of(false, "PodFailed"),
        _ => {}
    }
    let sidecars = overall.init.iter().filter(|status| is_sidecar(pod, status));
    let unready: Vec<&str> =
        sidecars.chain(overall.regular).filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    match unready.is_empty() {
        true => Verdict::plain(true),
        false => Verdict::not("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))),
    }
}

fn ready(pod: &Pod, overall: &Overall, containers: &Verdict) -> Verdict {
    if !containers.holds {
        return Verdict { holds: false, reason: containers.reason, message: containers.message.clone() };
    }
    let conditions = parts::status(pod).conditions.as_deref().unwrap_or_default();
    let gates = parts::spec(pod).readiness_gates.iter().flatten();
    let closed: Vec<String> = gates
        .filter_map(|gate| {
            let kind = &gate.condition_type;
            match conditions.iter().find(|condition| condition.type_ == *kind) {
                None => Some(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
                Some(condition) if condition.status != "True" => {
                    let status = &condition.status;
                    Some(format!("the status of pod readiness gate \"{kind}\" is not \"True\", but {status}"))
                }
                Some(_) => None,
            }
        })
        .collect();
    match closed.is_empty() {
        true => Verdict::plain(overall.phase == "Running"),
        false => Verdict::not("ReadinessGatesNotReady", closed.join(", ")),
    }
}
