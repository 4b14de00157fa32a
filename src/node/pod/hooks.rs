//! Lifecycle hooks: a command, a request, a connection or a pause.

use crate::node::context::Node;
use crate::runtime;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::net::IpAddr;
use std::time::Duration;

/// A hook without a limit of its own runs at most so long.
const LONGEST: Duration = Duration::from_secs(600);

/// Runs a hook of `container`; the error says why it failed.
pub async fn run(
    node: &Node,
    hook: &LifecycleHandler,
    spec: &Container,
    container: &runtime::Container,
    address: Option<IpAddr>,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        return command(node, exec.command.clone().unwrap_or_default(), container).await;
    }
    if let Some(get) = &hook.http_get {
        return request(get, spec, address).await;
    }
    if let Some(tcp) = &hook.tcp_socket {
        let host = tcp.host.clone().or(address.map(|address| address.to_string())).ok_or("the pod has no address")?;
        let port = port(&tcp.port, spec)?;
        return tokio::net::TcpStream::connect((host.as_str(), port))
            .await
            .map(drop)
            .map_err(|error| error.to_string());
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds.max(0) as u64)).await;
    }
    Ok(())
}

async fn command(node: &Node, argv: Vec<String>, container: &runtime::Container) -> Result<(), String> {
    let output =
        node.runtime.exec_sync(&container.id, argv.clone(), LONGEST).await.map_err(|error| error.to_string())?;
    match output.exit_code {
        0 => Ok(()),
        code => {
            Err(format!("command '{}' exited with {code}: {}", argv.join(" "), String::from_utf8_lossy(&output.stderr)))
        }
    }
}

async fn request(get: &HTTPGetAction, spec: &Container, address: Option<IpAddr>) -> Result<(), String> {
    let target = crate::node::http::Target::of(get, spec, address)?;
    let answer = crate::node::http::get(&target, LONGEST).await?;
    match answer.status {
        200..400 => Ok(()),
        status => Err(format!("HTTP request failed with statuscode: {status}")),
    }
}

/// The number of a port that may be given by name.
pub fn port(port: &IntOrString, spec: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => name.parse().ok().or_else(|| {
            let ports = spec.ports.iter().flatten();
            ports.filter(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port).next()
        }),
    };
    let number = number.ok_or_else(|| format!("couldn't find port: {port:?}"))?;
    u16::try_from(number).ok().filter(|number| *number > 0).ok_or_else(|| format!("invalid port number: {number}"))
}
