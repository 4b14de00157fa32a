//! What `kubectl get pods` shows.
//!
//! Source: pkg/printers/internalversion/printers.go `printPod`.

use crate::api::Object;
use crate::api::kinds::Column;
use crate::api::kinds::entry::columns::{AGE, NAME};
use crate::api::kinds::print::{self, column, field, list, wide};
use jiff::Timestamp;
use serde_json::Value;

pub(super) const POD: &[Column] = &[
    NAME,
    column("Ready", "string", "Ready containers of all containers.", |pod, _| Summary::of(pod).ready().into()),
    column("Status", "string", "What the pod is doing.", |pod, _| Summary::of(pod).reason.into()),
    column("Restarts", "string", "Restarts of its containers, and when the last one was.", |pod, now| {
        Summary::of(pod).restarts(now).into()
    }),
    AGE,
    wide("IP", "string", "Address of the pod.", |pod, _| {
        let first = list(pod, &["status", "podIPs"]).first().map_or("", |ip| field(ip, "ip"));
        print::or_none(if first.is_empty() { pod.text(&["status", "podIP"]) } else { first })
    }),
    wide("Node", "string", "Node that the pod is on.", |pod, _| print::text_or_none(pod, &["spec", "nodeName"])),
    wide("Nominated Node", "string", "Node on which room is being made for the pod.", |pod, _| {
        print::text_or_none(pod, &["status", "nominatedNodeName"])
    }),
    wide("Readiness Gates", "string", "Conditions beside its containers that must hold.", |pod, _| gates(pod)),
];

/// Counts and the one word for what a pod is doing.
struct Summary<'a> {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    /// When the last restarted container had ended; empty for never.
    last_restart: &'a str,
}

impl<'a> Summary<'a> {
    fn of(pod: &'a Object) -> Self {
        let told = pod.text(&["status", "reason"]);
        let mut reason = if told.is_empty() { pod.text(&["status", "phase"]) } else { told };
        let is_gated = print::condition(pod, "PodScheduled").is_some_and(|c| field(c, "reason") == "SchedulingGated");
        if is_gated {
            reason = "SchedulingGated";
        }
        let restartable = list(pod, &["spec", "initContainers"]).iter().filter(|init| is_restartable(init)).count();
        let total = list(pod, &["spec", "containers"]).len() + restartable;
        let mut summary = Self { reason: reason.into(), ready: 0, total, restarts: 0, last_restart: "" };
        let initialized = print::condition(pod, "Initialized").is_some_and(|c| field(c, "status") == "True");
        let initializing = summary.read_init(pod);
        if !initializing || initialized {
            summary.read_main(pod);
        }
        summary.read_deletion(pod);
        summary
    }

    /// Reads the init containers, and says whether they still have to run.
    fn read_init(&mut self, pod: &'a Object) -> bool {
        let specs = list(pod, &["spec", "initContainers"]);
        for (index, status) in list(pod, &["status", "initContainerStatuses"]).iter().enumerate() {
            self.count_restarts(status);
            let is_sidecar = specs.iter().any(|spec| spec["name"] == status["name"] && is_restartable(spec));
            let terminated = status["state"].get("terminated").filter(|value| !value.is_null());
            let waiting = field(&status["state"]["waiting"], "reason");
            if terminated.is_some_and(|end| end["exitCode"] == 0) {
                continue;
            }
            if is_sidecar && status["started"] == true {
                self.ready += usize::from(status["ready"] == true);
                continue;
            }
            self.reason = match terminated {
                Some(end) => format!("Init:{}", ending(end)),
                None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
                None => format!("Init:{index}/{}", specs.len()),
            };
            return true;
        }
        false
    }

    /// Reads the containers that run for the pod's whole life. Restarts of init containers that ended count no longer.
    fn read_main(&mut self, pod: &'a Object) {
        self.keep_sidecar_restarts(pod);
        let mut is_running = false;
        for status in list(pod, &["status", "containerStatuses"]).iter().rev() {
            self.count_restarts(status);
            let state = &status["state"];
            let waiting = field(&state["waiting"], "reason");
            if !waiting.is_empty() {
                self.reason = waiting.into();
            } else if state["terminated"].is_object() {
                self.reason = ending(&state["terminated"]);
            } else if status["ready"] == true && state["running"].is_object() {
                is_running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && is_running {
            let is_ready = print::condition(pod, "Ready").is_some_and(|c| field(c, "status") == "True");
            self.reason = if is_ready { "Running" } else { "NotReady" }.into();
        }
    }

    fn keep_sidecar_restarts(&mut self, pod: &'a Object) {
        (self.restarts, self.last_restart) = (0, "");
        let specs = list(pod, &["spec", "initContainers"]);
        for status in list(pod, &["status", "initContainerStatuses"]) {
            if specs.iter().any(|spec| spec["name"] == status["name"] && is_restartable(spec)) {
                self.count_restarts(status);
            }
        }
    }

    fn read_deletion(&mut self, pod: &Object) {
        let is_over = matches!(pod.text(&["status", "phase"]), "Succeeded" | "Failed");
        if !pod.is_terminating() {
            return;
        }
        if pod.text(&["status", "reason"]) == "NodeLost" {
            self.reason = "Unknown".into();
        } else if !is_over {
            self.reason = "Terminating".into();
        }
    }

    fn count_restarts(&mut self, status: &'a Value) {
        self.restarts += status["restartCount"].as_i64().unwrap_or_default();
        let ended = field(&status["lastState"]["terminated"], "finishedAt");
        // RFC 3339 in UTC sorts as text.
        self.last_restart = self.last_restart.max(ended);
    }

    fn ready(&self) -> String {
        format!("{}/{}", self.ready, self.total)
    }

    fn restarts(&self, now: Timestamp) -> String {
        if self.restarts == 0 || self.last_restart.is_empty() {
            return self.restarts.to_string();
        }
        format!("{} ({} ago)", self.restarts, print::since(self.last_restart, now))
    }
}

fn is_restartable(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

/// How a container ended: its reason, else its signal, else its exit code.
fn ending(terminated: &Value) -> String {
    let reason = field(terminated, "reason");
    if !reason.is_empty() {
        return reason.into();
    }
    match terminated["signal"].as_i64().unwrap_or_default() {
        0 => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or_default()),
        signal => format!("Signal:{signal}"),
    }
}

fn gates(pod: &Object) -> Value {
    let gates = list(pod, &["spec", "readinessGates"]);
    if gates.is_empty() {
        return print::NONE.into();
    }
    let holds = |gate: &&Value| {
        let condition = print::condition(pod, field(gate, "conditionType"));
        condition.is_some_and(|condition| field(condition, "status") == "True")
    };
    format!("{}/{}", gates.iter().filter(holds).count(), gates.len()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(pod: Value) -> (String, String, String) {
        let pod = Object::from_value(pod).unwrap();
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        let summary = Summary::of(&pod);
        (summary.ready(), summary.reason.clone(), summary.restarts(now))
    }

    #[test]
    fn a_running_pod_counts_ready_containers_and_restarts() {
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}, "status": {"phase": "Running",
            "containerStatuses": [
                {"name": "a", "ready": true, "restartCount": 2, "state": {"running": {}},
                 "lastState": {"terminated": {"finishedAt": "2026-01-01T00:08:00Z"}}},
                {"name": "b", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
        assert_eq!(shown(pod), ("1/2".into(), "CrashLoopBackOff".into(), "2 (2m ago)".into()));
    }

    #[test]
    fn an_initializing_pod_says_how_far_it_is() {
        let pod = json!({"spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "a"}]}, "status": {
            "phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}});
        assert_eq!(shown(pod), ("0/1".into(), "Init:0/1".into(), "0".into()));
    }

    #[test]
    fn failed_init_containers_say_why() {
        let pod = json!({"spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "a"}]}, "status": {
            "phase": "Pending", "initContainerStatuses": [{"name": "i", "restartCount": 1,
                "state": {"terminated": {"exitCode": 3}}}]}});
        assert_eq!(shown(pod), ("0/1".into(), "Init:ExitCode:3".into(), "1".into()));
    }

    #[test]
    fn completed_and_terminating_pods_say_so() {
        let done = json!({"spec": {"containers": [{}]}, "status": {"phase": "Succeeded", "containerStatuses": [
            {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}});
        assert_eq!(shown(done.clone()).1, "Completed");
        let mut going = done;
        going["metadata"] = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        assert_eq!(shown(going.clone()).1, "Completed");
        going["status"] = json!({"phase": "Running"});
        assert_eq!(shown(going).1, "Terminating");
    }

    #[test]
    fn sidecars_count_as_containers() {
        let pod = json!({"spec": {"initContainers": [{"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "a"}]},
            "status": {"phase": "Running",
                "initContainerStatuses": [{"name": "s", "started": true, "ready": true, "state": {"running": {}}}],
                "containerStatuses": [{"name": "a", "ready": true, "state": {"running": {}}}]}});
        assert_eq!(shown(pod), ("2/2".into(), "Running".into(), "0".into()));
    }
}
