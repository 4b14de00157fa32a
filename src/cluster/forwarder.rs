//! The forwarder: a process of this machine, owned by a cluster, that leads ports of this machine to the node, and names
//! `http://SERVICE.NAMESPACE.localhost:PORT` to services. It runs only where one of the two is asked for.
//!
//! Each port is a listener and a task per connection. The port of names reads the head of a connection's first request for
//! its `Host`, asks the API where that service is, and from then on only carries bytes.

use super::life::{Cluster, Error};
use super::process::{self, Record};
use super::ready;
use crate::base::atomic;
use crate::client::Client;
use crate::config::values::{Port, Protocol};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use std::io::{self, BufRead};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How much of a request is read to find its host.
const HEAD: usize = 16 << 10;
/// How long a client may take to send it, and a service to take a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the process says when every port listens.
const READY: &str = "ready";

impl Cluster {
    /// Starts the forwarder anew with what the profile says, or ends it if there is nothing to forward.
    pub async fn restart_forwarder(&self) -> Result<(), Error> {
        self.end_forwarder();
        let has_ports = !self.forwarded_ports().await?.is_empty();
        if !has_ports && self.profile.names_port.is_none() {
            return Ok(());
        }
        let failed = || Error::io("cannot start the forwarder of ports");
        let folder = self.home.profile_folder(&self.profile.name);
        let log = folder.join("forwarder.log");
        let errors = std::fs::File::create(&log).map_err(failed())?;
        let mut command = Command::new(self.machine()?.executable);
        command.args(["-p", &self.profile.name, "--skip-audit", "forwarder"]).env("CORACLE_HOME", self.home.root());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).current_dir("/");
        let mut child = command.spawn().map_err(failed())?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            io::BufReader::new(out).read_line(&mut line).map_err(failed())?;
        }
        let Some(record) = process::record(child.id()).filter(|_| line.trim() == READY) else {
            child.wait().map_err(failed())?;
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let said = said.lines().next().unwrap_or("it ended at once").trim_start_matches("error: ").to_string();
            return Err(failed()(io::Error::other(said)));
        };
        let record = serde_json::to_vec(&record).map_err(|error| failed()(error.into()))?;
        atomic::write(&self.forwarder_file(), &record, 0o600).map_err(failed())
    }

    /// Ends the forwarder. No error if there is none.
    pub fn end_forwarder(&self) {
        let record = std::fs::read(self.forwarder_file()).ok();
        if let Some(record) = record.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok()) {
            process::end_and_wait(&record);
        }
        // It is there only while there is a forwarder.
        std::fs::remove_file(self.forwarder_file()).ok();
    }

    /// Whether a forwarder runs.
    pub fn has_forwarder(&self) -> bool {
        let record = std::fs::read(self.forwarder_file()).ok();
        record.and_then(|bytes| serde_json::from_slice(&bytes).ok()).is_some_and(|record| process::lives(&record))
    }

    /// Whether a forwarder was started, and runs no more without having been ended.
    pub fn has_lost_forwarder(&self) -> bool {
        self.forwarder_file().exists() && !self.has_forwarder()
    }

    /// Ports that the forwarder leads to the node: those that the driver does not publish itself. An engine publishes what its
    /// container was made with, and so not what was added since.
    async fn forwarded_ports(&self) -> Result<Vec<Port>, Error> {
        let published = self.driver.published(&self.machine()?).await?;
        let listen = self.profile.listen_address();
        let is_published = |port: &&Port| published.contains(&at(port, listen));
        let ports: Vec<Port> = self.profile.ports.iter().filter(|port| !is_published(port)).cloned().collect();
        if let Some(port) = ports.iter().find(|port| port.protocol == Protocol::Udp) {
            let what = format!("port {port} cannot be forwarded");
            let address = self.profile.network.node_address;
            let why = format!("a node that runs forwards TCP only; UDP answers at {address}");
            return Err(Error::Io { what, source: io::Error::other(why) });
        }
        Ok(ports)
    }

    /// Whether the driver leads ports to the node that the profile does not name any more.
    pub(super) async fn publishes_others(&self) -> Result<bool, Error> {
        let listen = self.profile.listen_address();
        let named: Vec<Port> = self.profile.ports.iter().map(|port| at(port, listen)).collect();
        Ok(self.driver.published(&self.machine()?).await?.iter().any(|port| !named.contains(port)))
    }

    fn forwarder_file(&self) -> PathBuf {
        self.home.profile_folder(&self.profile.name).join("forwarder.json")
    }

    /// Forwards until it is ended; `ready` is called when every port listens.
    pub async fn forward(&self, ready: impl FnOnce(&str)) -> Result<(), Error> {
        let mut tasks = tokio::task::JoinSet::new();
        for port in self.forwarded_ports().await? {
            let address = SocketAddr::new(port.address.unwrap_or(self.profile.listen_address()), port.host);
            let listener = listen(address).await?;
            tasks.spawn(carry_port(listener, SocketAddr::new(self.profile.network.node_address, port.node)));
        }
        if let Some(port) = self.profile.names_port {
            let listener = listen(SocketAddr::new(self.profile.listen_address(), port)).await?;
            tasks.spawn(carry_names(listener, ready::client(&self.context()?).await?));
        }
        ready(READY);
        tasks.join_next().await;
        Ok(())
    }
}

/// A port with the address that it has where it names none.
fn at(port: &Port, otherwise: IpAddr) -> Port {
    Port { address: Some(port.address.unwrap_or(otherwise)), ..port.clone() }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| {
        let what = format!("cannot listen on {address}: {source}");
        Error::Io { what, source }
    })
}

async fn carry_port(listener: TcpListener, to: SocketAddr) {
    loop {
        // A connection that is gone before it is accepted is its client's business.
        let Ok((mut from, _)) = listener.accept().await else { continue };
        tokio::spawn(async move {
            let Ok(Ok(mut to)) = tokio::time::timeout(PATIENCE, TcpStream::connect(to)).await else { return };
            // Either side may break off.
            tokio::io::copy_bidirectional(&mut from, &mut to).await.ok();
        });
    }
}

async fn carry_names(listener: TcpListener, client: Client) {
    loop {
        let Ok((from, _)) = listener.accept().await else { continue };
        let client = client.clone();
        tokio::spawn(async move {
            // Either side may break off.
            carry_name(from, client).await.ok();
        });
    }
}

async fn carry_name(mut from: TcpStream, client: Client) -> io::Result<()> {
    let head = tokio::time::timeout(PATIENCE, head(&mut from)).await??;
    let Some(name) = host(&head).and_then(|host| Name::parse(&host)) else {
        return refuse(from, "404 Not Found", "names here are SERVICE.NAMESPACE.localhost").await;
    };
    let to = match address(&client, &name).await {
        Ok(Some(to)) => to,
        Ok(None) => return refuse(from, "404 Not Found", &format!("there is no service `{name}`")).await,
        Err(error) => return refuse(from, "502 Bad Gateway", &error.to_string()).await,
    };
    match tokio::time::timeout(PATIENCE, TcpStream::connect(to)).await {
        Ok(Ok(mut to)) => {
            to.write_all(&head).await?;
            tokio::io::copy_bidirectional(&mut from, &mut to).await.map(drop)
        }
        _ => refuse(from, "503 Service Unavailable", &format!("service `{name}` does not answer")).await,
    }
}

async fn refuse(mut to: TcpStream, status: &str, why: &str) -> io::Result<()> {
    let length = why.len() + 1;
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{why}\n"
    );
    to.write_all(answer.as_bytes()).await?;
    to.shutdown().await
}

/// The bytes up to the end of the first request's head, or as many as may be read.
async fn head(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    while bytes.len() < HEAD && !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        if from.read_buf(&mut bytes).await? == 0 {
            break;
        }
    }
    Ok(bytes)
}

/// The value of the head's `Host`, without its port.
fn host(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let line = text.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().to_string())
    })?;
    Some(line.rsplit_once(':').map_or(line.clone(), |(host, _)| host.to_string()))
}

/// The service that a host name means.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    port: Option<String>,
    service: String,
    namespace: String,
}

impl Name {
    /// `[PORT.]SERVICE.NAMESPACE.localhost`; PORT is the name of a port of the service.
    fn parse(host: &str) -> Option<Self> {
        let labels: Vec<&str> = host.trim_end_matches('.').strip_suffix(".localhost")?.split('.').collect();
        let text = |label: &&str| label.to_string();
        match labels.as_slice() {
            [service, namespace] => Some(Self { port: None, service: text(service), namespace: text(namespace) }),
            [port, service, namespace] => {
                Some(Self { port: Some(text(port)), service: text(service), namespace: text(namespace) })
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service)
    }
}

/// Where a service answers, if there is such a service and port.
async fn address(client: &Client, name: &Name) -> kube::Result<Option<SocketAddr>> {
    let services: Api<Service> = Api::namespaced(client.clone(), &name.namespace);
    let spec = services.get_opt(&name.service).await?.and_then(|service| service.spec);
    let Some(spec) = spec else { return Ok(None) };
    let address: Option<IpAddr> = spec.cluster_ip.and_then(|address| address.parse().ok());
    let ports = spec.ports.unwrap_or_default();
    let is_meant = |one: &&k8s_openapi::api::core::v1::ServicePort| {
        let is_tcp = one.protocol.as_deref().is_none_or(|protocol| protocol == "TCP");
        is_tcp && name.port.as_ref().is_none_or(|wanted| one.name.as_ref() == Some(wanted))
    };
    let port = ports.iter().find(is_meant).map(|port| port.port as u16);
    Ok(address.zip(port).map(|(address, port)| SocketAddr::new(address, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_means_a_service() {
        let head = b"GET / HTTP/1.1\r\nAccept: */*\r\nHOST: web.default.localhost:8000\r\n\r\nbody";
        let name = Name::parse(&host(head).unwrap()).unwrap();
        assert_eq!(name, Name { port: None, service: "web".into(), namespace: "default".into() });
        assert_eq!(Name::parse("admin.web.prod.localhost").unwrap().port.as_deref(), Some("admin"));
        for other in ["localhost", "web.localhost", "a.b.c.d.localhost", "web.default.example"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
        assert_eq!(host(b"GET / HTTP/1.0\r\n\r\n"), None);
    }

    #[tokio::test]
    async fn a_port_carries_bytes_both_ways() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = echo.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = echo.accept().await.unwrap();
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(carry_port(listener, to));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");
    }
}
