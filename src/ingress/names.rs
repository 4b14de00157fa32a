//! `coracle ingress-dns`: a name server for the hosts of Ingresses. Each has the node's address; nothing else has any.

use crate::client::{Caches, Client};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use hickory_proto::op::{MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use k8s_openapi::api::networking::v1::Ingress;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};

/// How long an answer may be kept, seconds.
const TTL: u32 = 60;
/// A TCP connection without a question for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Answers that wait in one TCP connection.
const TCP_BUFFER: usize = 32;

/// Hosts, lower case, without a dot at the end.
#[derive(Default)]
struct Hosts {
    whole: HashSet<String>,
    /// `*.example.com` by `example.com`.
    wildcards: HashSet<String>,
}

impl Hosts {
    fn of<'a>(ingresses: impl Iterator<Item = &'a Arc<Ingress>>) -> Self {
        let mut hosts = Self::default();
        for rule in ingresses.filter_map(|ingress| ingress.spec.as_ref()).flat_map(|spec| spec.rules.iter().flatten()) {
            let Some(host) = rule.host.as_ref().filter(|host| !host.is_empty()) else { continue };
            let host = host.to_lowercase();
            match host.strip_prefix("*.") {
                Some(rest) => hosts.wildcards.insert(rest.into()),
                None => hosts.whole.insert(host),
            };
        }
        hosts
    }

    fn hold(&self, name: &Name) -> bool {
        let text = name.to_lowercase().to_ascii();
        let text = text.trim_end_matches('.');
        self.whole.contains(text) || text.split_once('.').is_some_and(|(_, rest)| self.wildcards.contains(rest))
    }
}

/// Answers questions.
struct Handler {
    hosts: Arc<ArcSwap<Hosts>>,
    address: IpAddr,
}

impl Handler {
    fn answer(&self, name: &Name, kind: RecordType) -> (ResponseCode, Option<Record>) {
        if !self.hosts.load().hold(name) {
            return (ResponseCode::NXDomain, None);
        }
        let data = match (self.address, kind) {
            (IpAddr::V4(address), RecordType::A | RecordType::ANY) => RData::A(A(address)),
            (IpAddr::V6(address), RecordType::AAAA | RecordType::ANY) => RData::AAAA(AAAA(address)),
            _ => return (ResponseCode::NoError, None),
        };
        (ResponseCode::NoError, Some(Record::from_rdata(name.clone(), TTL, data)))
    }

    fn reply(&self, request: &Request) -> (ResponseCode, Option<Record>) {
        if request.metadata.message_type != MessageType::Query || request.metadata.op_code != OpCode::Query {
            return (ResponseCode::NotImp, None);
        }
        let Ok(info) = request.request_info() else { return (ResponseCode::FormErr, None) };
        let query = info.query.original();
        match query.query_class() {
            DNSClass::IN => self.answer(query.name(), query.query_type()),
            _ => (ResponseCode::Refused, None),
        }
    }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut out: R) -> ResponseInfo {
        let (code, record) = self.reply(request);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = code;
        metadata.authoritative = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        let builder = MessageResponseBuilder::from_message_request(request);
        let none: [&Record; 0] = [];
        let response = builder.build(metadata, record.as_ref(), none, none, none);
        match out.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                // The client went away; what is returned is only for statistics.
                tracing::debug!(%error, "an answer was not sent");
                hickory_proto::op::Header { metadata, counts: Default::default() }.into()
            }
        }
    }
}

/// Answers on `address` until the future is dropped; ends with an error only.
pub async fn run(client: Client, address: IpAddr, port: u16) -> io::Result<()> {
    let hosts = Arc::new(ArcSwap::<Hosts>::default());
    let mut server = Server::new(Handler { hosts: hosts.clone(), address });
    let at = SocketAddr::new(address, port);
    server.register_socket(UdpSocket::bind(at).await?);
    server.register_listener(TcpListener::bind(at).await?, IDLE, TCP_BUFFER);
    tokio::select! {
        ended = server.block_until_done() => ended.map_err(io::Error::other),
        () = follow(client, &hosts) => Ok(()),
    }
}

async fn follow(client: Client, hosts: &ArcSwap<Hosts>) {
    let ingresses = Caches::new(client).of::<Ingress>();
    let mut news = ingresses.changes();
    ingresses.ready().await;
    loop {
        // Whatever came until now is in the cache.
        while news.next().now_or_never().flatten().is_some() {}
        hosts.store(Arc::new(Hosts::of(ingresses.list().iter())));
        if news.next().await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_ingresses_have_the_address_and_no_others() {
        let ingress: Ingress =
            serde_json::from_value(serde_json::json!({"metadata": {"name": "a"}, "spec": {"rules": [
            {"host": "Hello-John.test"}, {"host": "*.wild.test"}, {}]}}))
            .unwrap();
        let hosts = Arc::new(ArcSwap::from_pointee(Hosts::of([Arc::new(ingress)].iter())));
        let handler = Handler { hosts, address: "192.168.49.2".parse().unwrap() };
        for (name, kind, code, has_address) in [
            ("hello-john.test.", RecordType::A, ResponseCode::NoError, true),
            ("HELLO-john.test.", RecordType::A, ResponseCode::NoError, true),
            ("hello-john.test.", RecordType::AAAA, ResponseCode::NoError, false),
            ("a.wild.test.", RecordType::A, ResponseCode::NoError, true),
            ("a.b.wild.test.", RecordType::A, ResponseCode::NXDomain, false),
            ("example.com.", RecordType::A, ResponseCode::NXDomain, false),
        ] {
            let (found, record) = handler.answer(&Name::from_ascii(name).unwrap(), kind);
            assert_eq!((found, record.is_some()), (code, has_address), "{name} {kind}");
        }
    }
}
