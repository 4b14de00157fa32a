//! What to do next for a pod that should run: a pure function of what is wanted and what is there.
//!
//! ```text
//! no sandbox ──▶ make one ──▶ init containers, one after the other ──▶ regular containers, in order
//!                              (a sidecar counts as done once it has started, and runs on)
//! every regular container ended for good ──▶ finished: sidecars end, then the sandbox
//! ```
//!
//! Source of the rules: kubelet `pkg/kubelet/kuberuntime/kuberuntime_manager.go` (computePodActions).

use super::history::{History, is_running};
use super::parts::{self, RestartPolicy};
use crate::runtime::{self, State};
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::HashMap;

/// What probes say of one attempt of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The startup probe succeeded, or there is none.
    pub started: bool,
    /// The readiness probe says so, or there is none.
    pub ready: bool,
    pub failed: Option<Failed>,
}

/// A probe that wants the container killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    Liveness,
    Startup,
}

/// By container id.
pub type Healths = HashMap<String, Health>;

/// A container to stop although its pod goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    pub id: String,
    pub name: String,
    /// For the event.
    pub message: String,
    /// Seconds, where the probe has a grace of its own.
    pub grace: Option<i64>,
}

/// What to do, all of it independent of each other, starts in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub make_sandbox: bool,
    pub start: Vec<String>,
    pub kill: Vec<Kill>,
    /// Nothing will run any more.
    pub finished: bool,
}

/// What to do next for `pod`.
pub fn next(pod: &Pod, history: &History, healths: &Healths) -> Plan {
    let view = View { pod, history, healths };
    let Some(sandbox) = history.ready_sandbox() else { return view.without_sandbox() };
    let mut plan = Plan::default();
    view.ephemeral(&mut plan);
    if view.init(&sandbox.id, &mut plan) {
        view.regular(&mut plan);
    }
    plan
}

/// Whether a container that is not running is to be started (again).
pub fn should_start(pod: &Pod, container: &Container, latest: Option<&runtime::Container>) -> bool {
    let Some(latest) = latest else { return true };
    let State::Exited { exit_code, .. } = latest.state else { return matches!(latest.state, State::Created) };
    if restarts_by_rule(container, exit_code) {
        return true;
    }
    match policy(pod, container) {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

fn policy(pod: &Pod, container: &Container) -> RestartPolicy {
    match container.restart_policy.as_deref() {
        Some("Always") => RestartPolicy::Always,
        Some("OnFailure") => RestartPolicy::OnFailure,
        Some("Never") => RestartPolicy::Never,
        _ => parts::restart_policy(pod),
    }
}

fn restarts_by_rule(container: &Container, exit_code: i32) -> bool {
    container.restart_policy_rules.iter().flatten().any(|rule| {
        let Some(codes) = &rule.exit_codes else { return false };
        let listed = codes.values.iter().flatten().any(|value| *value == exit_code);
        rule.action == "Restart" && (codes.operator == "In") == listed
    })
}

struct View<'a> {
    pod: &'a Pod,
    history: &'a History,
    healths: &'a Healths,
}

impl View<'_> {
    fn without_sandbox(&self) -> Plan {
        let spec = parts::spec(self.pod);
        let any = spec
            .containers
            .iter()
            .any(|container| should_start(self.pod, container, self.history.latest(&container.name)));
        // A pod that may not start again, and whose sandbox went away after containers were made, is over.
        let never = parts::restart_policy(self.pod) == RestartPolicy::Never && !self.history.containers.is_empty();
        let over = !any || (never && self.init_failed());
        Plan { make_sandbox: !over, finished: over, ..Plan::default() }
    }

    fn init_failed(&self) -> bool {
        let ended_badly = |container: &&Container| {
            let latest = self.history.latest(&container.name);
            !parts::is_sidecar(container)
                && latest
                    .is_some_and(|latest| matches!(latest.state, State::Exited { exit_code, .. } if exit_code != 0))
        };
        parts::init_containers(self.pod).iter().any(|container| ended_badly(&container))
    }

    fn ephemeral(&self, plan: &mut Plan) {
        let wanted = parts::spec(self.pod).ephemeral_containers.iter().flatten();
        plan.start.extend(
            wanted.map(|container| &container.name).filter(|name| self.history.latest(name).is_none()).cloned(),
        );
    }

    /// Plans the init containers; says whether the regular ones may run.
    fn init(&self, sandbox: &str, plan: &mut Plan) -> bool {
        let inits = parts::init_containers(self.pod);
        // Init containers run before the first regular one; afterwards only sidecars are looked after.
        let begun =
            parts::spec(self.pod).containers.iter().any(|container| self.latest_in(sandbox, &container.name).is_some());
        for container in inits {
            let latest = self.latest_in(sandbox, &container.name);
            let goes_on = match (parts::is_sidecar(container), latest) {
                (false, _) if begun => true,
                (false, latest) => self.plain_init(container, latest, plan),
                (true, latest) => self.sidecar(container, latest, plan) || begun,
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    fn latest_in(&self, sandbox: &str, name: &str) -> Option<&runtime::Container> {
        self.history.latest(name).filter(|container| container.sandbox == sandbox)
    }

    fn plain_init(&self, container: &Container, latest: Option<&runtime::Container>, plan: &mut Plan) -> bool {
        match latest.map(|latest| &latest.state) {
            Some(State::Exited { exit_code: 0, .. }) => true,
            Some(State::Running { .. }) => false,
            _ => {
                match should_start(self.pod, container, latest) {
                    true => plan.start.push(container.name.clone()),
                    false => plan.finished = true,
                }
                false
            }
        }
    }

    fn sidecar(&self, container: &Container, latest: Option<&runtime::Container>, plan: &mut Plan) -> bool {
        match latest {
            Some(latest) if is_running(latest) => {
                plan.kill.extend(self.reason_to_kill(container, latest));
                self.healths.get(&latest.id).is_some_and(|health| health.started)
            }
            _ => {
                plan.start.push(container.name.clone());
                false
            }
        }
    }

    fn regular(&self, plan: &mut Plan) {
        let mut alive = false;
        for container in &parts::spec(self.pod).containers {
            let latest = self.history.latest(&container.name);
            match latest {
                Some(latest) if is_running(latest) => {
                    plan.kill.extend(self.reason_to_kill(container, latest));
                    alive = true;
                }
                _ if should_start(self.pod, container, latest) => {
                    plan.start.push(container.name.clone());
                    alive = true;
                }
                _ => {}
            }
        }
        plan.finished = !alive;
    }

    fn reason_to_kill(&self, container: &Container, latest: &runtime::Container) -> Option<Kill> {
        let name = &container.name;
        let kill = |message: String, grace| Some(Kill { id: latest.id.clone(), name: name.clone(), message, grace });
        if container.image.as_ref().is_some_and(|image| *image != latest.spec.image_reference) {
            return kill(format!("Container {name} definition changed, will be restarted"), None);
        }
        match self.healths.get(&latest.id)?.failed? {
            Failed::Liveness => {
                let grace = container.liveness_probe.as_ref().and_then(|probe| probe.termination_grace_period_seconds);
                kill(format!("Container {name} failed liveness probe, will be restarted"), grace)
            }
            Failed::Startup => {
                let grace = container.startup_probe.as_ref().and_then(|probe| probe.termination_grace_period_seconds);
                kill(format!("Container {name} failed startup probe, will be restarted"), grace)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{container, exited, pod, running, sandbox};
    use serde_json::json;

    fn history(containers: Vec<runtime::Container>) -> History {
        let mut history = History::default();
        history.take_sandbox(sandbox("s0", 0));
        containers.into_iter().for_each(|container| history.take(container));
        history
    }

    fn started(id: &str) -> Healths {
        Healths::from([(id.to_string(), Health { started: true, ready: true, failed: None })])
    }

    #[test]
    fn a_new_pod_gets_a_sandbox_first() {
        let pod = pod(json!({"containers": [{"name": "web", "image": "i"}]}));
        let plan = next(&pod, &History::default(), &Healths::new());
        assert!(plan.make_sandbox && plan.start.is_empty());
        assert_eq!(next(&pod, &history(vec![]), &Healths::new()).start, ["web"]);
    }

    #[test]
    fn init_containers_run_one_after_the_other_before_the_rest() {
        let pod = pod(json!({"initContainers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}],
            "containers": [{"name": "web", "image": "i"}]}));
        let start = |containers| next(&pod, &history(containers), &Healths::new()).start;
        assert_eq!(start(vec![]), ["a"]);
        assert!(start(vec![container("a", 0, running())]).is_empty());
        assert_eq!(start(vec![container("a", 0, exited(0))]), ["b"]);
        assert_eq!(start(vec![container("a", 0, exited(1))]), ["a"]);
        assert_eq!(start(vec![container("a", 0, exited(0)), container("b", 0, exited(0))]), ["web"]);
    }

    #[test]
    fn a_failed_init_container_ends_a_pod_that_may_not_restart() {
        let pod = pod(json!({"restartPolicy": "Never", "initContainers": [{"name": "a", "image": "i"}],
            "containers": [{"name": "web", "image": "i"}]}));
        let plan = next(&pod, &history(vec![container("a", 0, exited(1))]), &Healths::new());
        assert!(plan.finished && plan.start.is_empty());
    }

    #[test]
    fn sidecars_let_the_rest_begin_once_started_and_are_started_again() {
        let pod = pod(json!({"restartPolicy": "Never",
            "initContainers": [{"name": "side", "image": "i", "restartPolicy": "Always"}],
            "containers": [{"name": "web", "image": "i"}]}));
        let side = container("side", 0, running());
        assert!(next(&pod, &history(vec![side.clone()]), &Healths::new()).start.is_empty());
        assert_eq!(next(&pod, &history(vec![side.clone()]), &started(&side.id)).start, ["web"]);
        let dead = vec![container("side", 0, exited(1)), container("web", 0, running())];
        assert_eq!(next(&pod, &history(dead), &Healths::new()).start, ["side"]);
        let done = vec![side.clone(), container("web", 0, exited(0))];
        assert!(next(&pod, &history(done), &started(&side.id)).finished);
    }

    #[test]
    fn restart_policy_decides_what_an_exit_means() {
        for (policy, code, starts) in
            [("Always", 0, true), ("OnFailure", 0, false), ("OnFailure", 1, true), ("Never", 1, false)]
        {
            let pod = pod(json!({"restartPolicy": policy, "containers": [{"name": "web", "image": "i"}]}));
            let plan = next(&pod, &history(vec![container("web", 0, exited(code))]), &Healths::new());
            assert_eq!((!plan.start.is_empty(), plan.finished), (starts, !starts), "{policy} {code}");
        }
    }

    #[test]
    fn a_failed_liveness_probe_and_a_new_image_kill_the_container() {
        let pod = pod(json!({"containers": [{"name": "web", "image": "i",
            "livenessProbe": {"terminationGracePeriodSeconds": 3}}]}));
        let web = container("web", 0, running());
        let healths = Healths::from([(web.id.clone(), Health { failed: Some(Failed::Liveness), ..Health::default() })]);
        let plan = next(&pod, &history(vec![web.clone()]), &healths);
        assert_eq!(plan.kill[0].message, "Container web failed liveness probe, will be restarted");
        assert_eq!(plan.kill[0].grace, Some(3));
        let mut older = web;
        older.spec.image_reference = "other".into();
        let plan = next(&pod, &history(vec![older]), &Healths::new());
        assert_eq!(plan.kill[0].message, "Container web definition changed, will be restarted");
    }

    #[test]
    fn a_pod_whose_containers_are_done_needs_no_new_sandbox() {
        let pod = pod(json!({"restartPolicy": "OnFailure", "containers": [{"name": "web", "image": "i"}]}));
        let mut history = history(vec![container("web", 0, exited(0))]);
        history.sandbox_gone("s0");
        assert!(next(&pod, &history, &Healths::new()).finished);
    }
}
