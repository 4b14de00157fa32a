//! What runs of a cluster: the words, the JSON and the exit bits of `minikube status`.

use super::life::{Cluster, Error};
use super::{kubeconfig, ready};
use crate::config::values;
use crate::drivers::MachineState;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// How a part of a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Word {
    Running,
    Paused,
    Stopped,
    Nonexistent,
    Unknown,
    Configured,
    Misconfigured,
    Error,
}

/// The parts of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Status {
    pub name: String,
    pub host: Word,
    pub kubelet: Word,
    #[serde(rename = "APIServer")]
    pub api_server: Word,
    pub kubeconfig: Word,
    pub worker: bool,
    /// How long it takes until a scheduled stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_stop: Option<String>,
    /// PID 1 of the node as this machine numbers it; 0 when it does not run.
    pub pid: u32,
    /// What happened to a node that does not run and was not stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'static str>,
}

/// What happened to a node that is in a state.
fn detail(state: MachineState) -> Option<&'static str> {
    match state {
        MachineState::Killed => {
            Some("its first process was killed, or the machine went down; `coracle start` heals it")
        }
        MachineState::Missing => Some("its container was removed by somebody else; `coracle start` makes it again"),
        MachineState::Unknown => Some("the engine that it runs in does not answer"),
        MachineState::Running { .. } | MachineState::Paused { .. } | MachineState::Stopped => None,
    }
}

/// What is told of a node whose ports of this machine lead nowhere.
fn lost_forwarder(cluster: &Cluster, state: MachineState) -> Option<&'static str> {
    let is_lost = state.is_up() && cluster.has_lost_forwarder();
    is_lost.then_some("the process that forwards its ports was ended by somebody else; `coracle start` starts it again")
}

impl Status {
    /// The exit code: bit 0 the node, bit 1 control plane and agent, bit 2 the kubeconfig.
    pub fn exit_bits(&self) -> u8 {
        let bad = |wrong: bool, bit: u8| if wrong { bit } else { 0 };
        bad(self.host != Word::Running, 1)
            | bad(self.api_server != Word::Running || self.kubelet != Word::Running, 2)
            | bad(self.kubeconfig != Word::Configured, 4)
    }
}

/// Looks at a cluster.
pub async fn of(cluster: &Cluster) -> Result<Status, Error> {
    let name = cluster.profile.name.clone();
    let config = kubeconfig::points_at(&kubeconfig::path(), &name, &cluster.server_url());
    cluster.let_go().await?;
    let state = cluster.state().await?;
    let time_to_stop = cluster.time_to_stop().map(values::duration_text);
    let mut status = Status {
        name,
        host: Word::Running,
        kubelet: Word::Stopped,
        api_server: Word::Stopped,
        kubeconfig: match config {
            Ok(Some(true)) => Word::Configured,
            // There is nothing to point at.
            _ if !cluster.profile.kubernetes => Word::Configured,
            _ => Word::Misconfigured,
        },
        worker: false,
        time_to_stop,
        pid: state.pid(),
        detail: cluster
            .driver
            .trouble(&cluster.machine()?)
            .await
            .or(detail(state))
            .or_else(|| lost_forwarder(cluster, state)),
    };
    match state {
        MachineState::Running { .. } if cluster.is_paused() => status.api_server = Word::Paused,
        MachineState::Running { .. } if !cluster.profile.kubernetes => {}
        MachineState::Running { .. } => {
            (status.api_server, status.kubelet) = (answers(cluster, "/readyz").await, agent_answers(cluster).await);
        }
        MachineState::Paused { .. } => (status.host, status.api_server) = (Word::Paused, Word::Paused),
        MachineState::Missing => status.host = Word::Nonexistent,
        MachineState::Unknown => status.host = Word::Unknown,
        MachineState::Stopped | MachineState::Killed => status.host = Word::Stopped,
    }
    if !state.is_up() {
        status.kubeconfig = if matches!(config, Ok(Some(_))) { Word::Stopped } else { Word::Misconfigured };
    }
    Ok(status)
}

/// Codes of states, as HTTP would have them. Source: minikube `pkg/minikube/cluster/status.go`.
fn code(word: Word) -> (u16, &'static str) {
    match word {
        Word::Running | Word::Configured => (200, "OK"),
        Word::Paused => (418, "Paused"),
        Word::Stopped => (405, "Stopped"),
        Word::Nonexistent => (404, "NotFound"),
        Word::Unknown => (520, "Unknown"),
        Word::Misconfigured | Word::Error => (500, "Error"),
    }
}

impl Status {
    /// The state of the whole, with its code.
    pub fn whole(&self) -> (u16, &'static str) {
        match (self.host, self.api_server) {
            (Word::Running, word) => code(word),
            (word, _) => code(word),
        }
    }

    /// What `status --layout=cluster` prints: the cluster with its nodes and components.
    pub fn layout(&self, has_room: bool) -> Value {
        let component = |name: &str, word: Word| {
            let (number, text) = code(word);
            json!({"Name": name, "StatusCode": number, "StatusName": text})
        };
        let (number, text) = if has_room { self.whole() } else { (507, "InsufficientStorage") };
        let (node_number, node_text) = code(self.host);
        let mut layout = json!({
            "Name": self.name, "StatusCode": number, "StatusName": text, "BinaryVersion": env!("CARGO_PKG_VERSION"),
            "Components": {"kubeconfig": component("kubeconfig", self.kubeconfig)},
            "Nodes": [{
                "Name": self.name, "StatusCode": node_number, "StatusName": node_text,
                "Components": {
                    "apiserver": component("apiserver", self.api_server), "kubelet": component("kubelet", self.kubelet),
                },
            }],
        });
        if let Some(time) = &self.time_to_stop {
            layout["TimeToStop"] = json!(time);
        }
        if !has_room {
            layout["StatusDetail"] = json!("the disk is full: /var is at 99% of its capacity");
        }
        layout
    }
}

/// Whether the disk of a cluster has room for what it writes.
pub fn has_room(cluster: &Cluster) -> bool {
    let folder = cluster.home.profile_folder(&cluster.profile.name);
    // A disk that does not say is not held to be full.
    rustix::fs::statvfs(&folder).map_or(true, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) > LEAST_ROOM)
}

/// Bytes that must be free on the disk of a cluster: less is full.
pub const LEAST_ROOM: u64 = 64 << 20;

async fn answers(cluster: &Cluster, path: &str) -> Word {
    let Ok(context) = cluster.context() else { return Word::Error };
    let Ok(client) = ready::client(&context).await else { return Word::Error };
    let request = http::Request::get(path).body(Vec::new());
    let Ok(request) = request else { return Word::Error };
    match tokio::time::timeout(Duration::from_secs(5), client.request_text(request)).await {
        Ok(Ok(_)) => Word::Running,
        Ok(Err(kube::Error::Api(_))) => Word::Error,
        _ => Word::Stopped,
    }
}

/// The node agent is reached as the API server reaches it.
async fn agent_answers(cluster: &Cluster) -> Word {
    answers(cluster, &format!("/api/v1/nodes/{}/proxy/healthz", cluster.profile.name)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_part_is_a_bit() {
        let all = Status {
            name: "x".into(),
            host: Word::Running,
            kubelet: Word::Running,
            api_server: Word::Running,
            kubeconfig: Word::Configured,
            worker: false,
            time_to_stop: None,
            pid: 7,
            detail: None,
        };
        assert_eq!(all.exit_bits(), 0);
        assert_eq!(Status { kubeconfig: Word::Misconfigured, ..all.clone() }.exit_bits(), 4);
        let stopped = Status { host: Word::Stopped, kubelet: Word::Stopped, api_server: Word::Stopped, ..all };
        assert_eq!(stopped.exit_bits(), 3);
        assert_eq!(serde_json::to_value(&stopped).unwrap()["APIServer"], "Stopped");
        assert_eq!(stopped.layout(true)["StatusName"], "Stopped");
        assert_eq!(stopped.layout(false)["StatusCode"], 507);
    }
}
