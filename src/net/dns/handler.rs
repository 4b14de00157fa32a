//! Requests: the cluster's names from the zone, all others from elsewhere.

use super::forward::Forwarder;
use super::health::Counters;
use super::zone::{self, Zone};
use async_trait::async_trait;
use hickory_proto::op::{Edns, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use parking_lot::RwLock;
use std::sync::Arc;

/// The biggest answer over UDP that crosses every network whole (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;
/// How many names a service may stand for one after another.
const ALIASES: usize = 8;

/// Answers requests.
pub struct Handler {
    pub zone: Arc<RwLock<Zone>>,
    pub forwarder: Arc<Forwarder>,
    pub counters: Arc<Counters>,
}

/// An answer, ready to be sent.
#[derive(Default)]
struct Reply {
    code: ResponseCode,
    is_ours: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additional: Vec<Record>,
}

impl Reply {
    fn of(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut out: R) -> ResponseInfo {
        let reply = self.reply(request).await;
        self.counters.count(reply.code);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.authoritative = reply.is_ours;
        metadata.recursion_available = true;
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().clamp(512, UDP_PAYLOAD));
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let none: [&Record; 0] = [];
        let response = builder.build(metadata, &reply.answers, &reply.authorities, none, &reply.additional);
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

impl Handler {
    async fn reply(&self, request: &Request) -> Reply {
        if request.metadata.message_type != MessageType::Query || request.metadata.op_code != OpCode::Query {
            return Reply::of(ResponseCode::NotImp);
        }
        let Ok(info) = request.request_info() else { return Reply::of(ResponseCode::FormErr) };
        let query = info.query.original();
        if query.query_class() != DNSClass::IN {
            return Reply::of(ResponseCode::Refused);
        }
        self.answer(query.name(), query.query_type()).await
    }

    async fn answer(&self, name: &Name, kind: RecordType) -> Reply {
        // The lock is not held over a question elsewhere.
        let found = self.zone.read().answer(name, kind);
        let Some(found) = found else {
            let answer = self.forwarder.ask(name, kind).await;
            return Reply {
                code: answer.code,
                answers: answer.records,
                authorities: answer.authorities,
                ..Reply::default()
            };
        };
        let code = if found.exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        let mut reply =
            Reply { is_ours: true, answers: found.records, additional: found.additional, ..Reply::of(code) };
        if reply.answers.is_empty() {
            reply.authorities.push(self.zone.read().authority());
        }
        if let Some(alias) = found.alias.filter(|_| kind != RecordType::CNAME) {
            reply.answers.extend(self.behind(alias, kind).await);
        }
        reply
    }

    /// What is behind an alias, so that clients that ask once have it all. Nothing if that is not known now.
    async fn behind(&self, mut name: Name, kind: RecordType) -> Vec<Record> {
        let mut records = Vec::new();
        for _ in 0..ALIASES {
            let found: Option<zone::Answer> = self.zone.read().answer(&name, kind);
            let Some(found) = found else {
                records.extend(self.forwarder.ask(&name, kind).await.records);
                break;
            };
            records.extend(found.records);
            match found.alias {
                Some(next) => name = next,
                None => break,
            }
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::super::zone::{Key, Service};
    use super::*;
    use hickory_proto::op::{Message, Query};
    use hickory_proto::serialize::binary::BinEncodable;
    use hickory_server::net::NetError;
    use hickory_server::net::runtime::TokioTime;
    use hickory_server::net::xfer::Protocol;
    use hickory_server::zone_handler::MessageResponse;
    use parking_lot::Mutex;

    /// Keeps what is sent.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Option<Message>>>);

    #[async_trait]
    impl ResponseHandler for Kept {
        async fn send_response<'a>(
            &mut self,
            response: MessageResponse<
                '_,
                'a,
                impl Iterator<Item = &'a Record> + Send + 'a,
                impl Iterator<Item = &'a Record> + Send + 'a,
                impl Iterator<Item = &'a Record> + Send + 'a,
                impl Iterator<Item = &'a Record> + Send + 'a,
            >,
        ) -> Result<ResponseInfo, NetError> {
            let mut bytes = Vec::new();
            let mut encoder = hickory_proto::serialize::binary::BinEncoder::new(&mut bytes);
            encoder.set_max_size(response.edns().map_or(512, Edns::max_payload));
            let info = response.destructive_emit(&mut encoder)?;
            *self.0.lock() = Some(Message::from_vec(&bytes)?);
            Ok(info)
        }
    }

    async fn ask(name: &str, kind: RecordType, payload: Option<u16>) -> Message {
        let mut zone = Zone::new("cluster.local", "192.168.49.1".parse().unwrap()).unwrap();
        zone.set_namespace("default", true);
        let addresses = (0..100).map(|last| std::net::IpAddr::from([10, 96, 0, last])).collect();
        let key = |name: &str| Key { namespace: "default".into(), name: name.into() };
        zone.set_service(key("many"), Some(Service { addresses, ..Service::default() }));
        let external = |name: &str| Some(Service { external: Some(name.into()), ..Service::default() });
        zone.set_service(key("alias"), external("machine.default.svc.cluster.local"));
        zone.set_service(key("machine"), external("host.coracle.internal"));
        zone.set_service(key("circle"), external("circle.default.svc.cluster.local"));
        let handler = Handler {
            zone: Arc::new(RwLock::new(zone)),
            forwarder: Arc::new(Forwarder::new("").unwrap()),
            counters: Arc::default(),
        };
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            message.edns = Some(edns);
        }
        let client = "10.244.0.2:4000".parse().unwrap();
        let request = Request::from_bytes(message.to_bytes().unwrap(), client, Protocol::Udp).unwrap();
        let kept = Kept::default();
        handler.handle_request::<_, TokioTime>(&request, kept.clone()).await;
        kept.0.lock().take().unwrap()
    }

    #[tokio::test]
    async fn an_answer_that_is_too_big_says_so() {
        let name = "many.default.svc.cluster.local.";
        let small = ask(name, RecordType::A, None).await;
        assert!(small.metadata.truncation && small.answers.len() < 100);
        let bigger = ask(name, RecordType::A, Some(65_535)).await;
        assert!(bigger.answers.len() > small.answers.len());
        assert_eq!(bigger.edns.unwrap().max_payload(), UDP_PAYLOAD);
    }

    #[tokio::test]
    async fn no_such_name_and_nothing_of_the_kind_come_with_the_authority() {
        let none = ask("x.default.svc.cluster.local.", RecordType::A, None).await;
        assert_eq!((none.metadata.response_code, none.authorities.len()), (ResponseCode::NXDomain, 1));
        let nothing = ask("many.default.svc.cluster.local.", RecordType::AAAA, None).await;
        assert_eq!((nothing.metadata.response_code, nothing.authorities.len()), (ResponseCode::NoError, 1));
        assert!(nothing.metadata.authoritative);
    }

    #[tokio::test]
    async fn aliases_are_followed_but_not_in_circles() {
        let found = ask("alias.default.svc.cluster.local.", RecordType::A, None).await;
        let data: Vec<String> = found.answers.iter().map(|record| record.data.to_string()).collect();
        assert_eq!(data, ["machine.default.svc.cluster.local.", "host.coracle.internal.", "192.168.49.1"]);
        let circle = ask("circle.default.svc.cluster.local.", RecordType::A, Some(4096)).await;
        assert!(circle.answers.len() <= ALIASES + 1);
    }

    #[tokio::test]
    async fn other_names_are_asked_elsewhere() {
        let answer = ask("example.com.", RecordType::A, None).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail, "there is no resolver in this test");
        assert!(!answer.metadata.authoritative);
    }
}
