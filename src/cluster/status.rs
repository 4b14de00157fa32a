//! What runs of a cluster: the words, the JSON and the exit bits of `minikube status`.

use super::life::{Cluster, Error};
use super::{kubeconfig, ready};
use crate::drivers::MachineState;
use serde::Serialize;
use std::time::Duration;

/// How a part of a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Word {
    Running,
    Stopped,
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
    /// PID 1 of the node as this machine numbers it; 0 when it does not run.
    pub pid: u32,
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
    let MachineState::Running { pid } = cluster.state().await? else {
        let kubeconfig = if matches!(config, Ok(Some(_))) { Word::Stopped } else { Word::Misconfigured };
        let (host, kubelet, api_server) = (Word::Stopped, Word::Stopped, Word::Stopped);
        return Ok(Status { name, host, kubelet, api_server, kubeconfig, worker: false, pid: 0 });
    };
    let kubeconfig = if matches!(config, Ok(Some(true))) { Word::Configured } else { Word::Misconfigured };
    let (api_server, kubelet) = (answers(cluster, "/readyz").await, agent_answers(cluster).await);
    Ok(Status { name, host: Word::Running, kubelet, api_server, kubeconfig, worker: false, pid })
}

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
            pid: 7,
        };
        assert_eq!(all.exit_bits(), 0);
        assert_eq!(Status { kubeconfig: Word::Misconfigured, ..all.clone() }.exit_bits(), 4);
        let stopped = Status { host: Word::Stopped, kubelet: Word::Stopped, api_server: Word::Stopped, ..all };
        assert_eq!(stopped.exit_bits(), 3);
        assert_eq!(serde_json::to_value(&stopped).unwrap()["APIServer"], "Stopped");
    }
}
