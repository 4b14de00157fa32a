//! When a cluster is ready, and the administrator's client.

use super::kubeconfig::Context;
use super::life::Error;
use crate::client::{self, Client};
use crate::config::Profile;
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::Api;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// How long `start` waits before it says what is missing.
const PATIENCE: Duration = Duration::from_secs(60);
/// When a DNS question is asked again that nobody answered: at first, and at most.
const FIRST_REPEAT: Duration = Duration::from_millis(10);
const LAST_REPEAT: Duration = Duration::from_millis(500);

/// A client with an administrator's certificate.
pub async fn client(context: &Context) -> Result<Client, Error> {
    let made =
        client::config::with_certificate(&context.server, &context.authority, &context.certificate, &context.key);
    made.await.map_err(|error| Error::NotReady(error.to_string()))
}

/// Waits for everything that `start` promises: the API answers, the node is Ready, `default` has its service account, and
/// cluster DNS answers at its service address. A node without Kubernetes promises nothing but that it runs.
pub async fn wait(context: &Context, profile: &Profile) -> Result<(), Error> {
    if !profile.kubernetes {
        return Ok(());
    }
    let client = client(context).await?;
    patiently("the API server does not answer", answered(&client)).await?;
    let nodes = Api::<Node>::all(client.clone());
    let accounts = Api::<ServiceAccount>::namespaced(client, "default");
    let node = client::wait::until(nodes, &profile.name, |node| node.is_some_and(is_ready));
    let account = client::wait::until(accounts, "default", |account| account.is_some());
    let name = format!("kubernetes.default.svc.{}", profile.network.domain);
    tokio::try_join!(
        patiently("the node is not Ready", node),
        patiently("there is no default service account", account),
        patiently("cluster DNS does not answer", resolved(profile.network.dns_address, &name)),
    )?;
    Ok(())
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A first request waits in the listening socket until the server takes it; one that fails says why.
async fn answered(client: &Client) -> Option<()> {
    let namespaces = Api::<Namespace>::all(client.clone());
    client::wait::until(namespaces, "default", |namespace| namespace.is_some()).await.map(drop)
}

/// Asks for an address of `name` until a server at `server` gives one. A question may be lost, as any datagram: resolvers
/// ask again.
async fn resolved(server: IpAddr, name: &str) {
    let question = question(name);
    let mut repeat = FIRST_REPEAT;
    while tokio::time::timeout(repeat, ask(server, &question)).await.is_err() {
        repeat = (repeat * 2).min(LAST_REPEAT);
    }
}

/// Ends when the server has answered without an error and with an address; never if it does otherwise.
async fn ask(server: IpAddr, question: &[u8]) {
    let tried = async {
        let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(SocketAddr::new(server, 53)).await?;
        socket.send(question).await?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).await?;
        Ok::<_, std::io::Error>(has_answer(&answer[..length]))
    };
    match tried.await {
        Ok(true) => {}
        // Refused, unreachable or not yet known: that is to be asked again after a pause.
        Ok(false) | Err(_) => std::future::pending().await,
    }
}

/// A query for the IPv4 address of `name` (RFC 1035, 4.1).
fn question(name: &str) -> Vec<u8> {
    // Its number, recursion desired, one question and nothing else.
    let mut message = vec![0x63, 0x6f, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    // The root, type A, class IN.
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

/// Whether a message is a response without error and with at least one answer.
fn has_answer(message: &[u8]) -> bool {
    message.len() >= 12
        && message[2] & 0x80 != 0
        && message[3] & 0x0f == 0
        && u16::from_be_bytes([message[6], message[7]]) > 0
}

/// Waits, but not for ever: what is missing is said then.
async fn patiently<T>(missing: &str, wait: impl Future<Output = T>) -> Result<(), Error> {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::NotReady(format!("{missing} after {} s", PATIENCE.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_the_name_as_labels() {
        assert_eq!(question("a.bc")[12..], [1, b'a', 2, b'b', b'c', 0, 0, 1, 0, 1]);
    }

    #[test]
    fn only_a_response_with_an_address_counts() {
        let mut message = question("a.b");
        assert!(!has_answer(&message), "the question itself");
        message[2] |= 0x80;
        assert!(!has_answer(&message), "no answer in it");
        message[7] = 1;
        assert!(has_answer(&message));
        message[3] = 3;
        assert!(!has_answer(&message), "no such name");
        assert!(!has_answer(&message[..5]));
    }
}
