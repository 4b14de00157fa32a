//! `/portForward/NAMESPACE/POD`: connections to ports of a pod, over SPDY (also inside a WebSocket) or WebSocket channels.
//!
//! ```text
//! SPDY       per connection one stream of type error and one of type data, with the headers port and requestid
//! WebSocket  per port two channels, data and error; the first two bytes on each are the port
//! ```
//!
//! Source: k8s.io/kubelet `pkg/cri/streaming/portforward`.

use super::answer::{self, Answer};
use super::channels::{Inlet, Outgoing, Outlet, PIECE};
use super::upgrade::{self, Asked};
use super::{find, spdy, websocket};
use crate::node::context::Node;
use crate::node::pod::parts;
use crate::runtime::Runtime;
use axum::body::Body;
use bytes::BytesMut;
use http::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;

const SPDY_PROTOCOLS: &[&str] = &["portforward.k8s.io", ""];
/// SPDY inside a WebSocket.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const SOCKET_PROTOCOLS: &[&str] = &[TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io", ""];

/// Whose ports are meant.
#[derive(Clone)]
struct Pod {
    runtime: Arc<dyn Runtime>,
    sandbox: String,
    name: String,
    uid: String,
}

/// Answers a request to forward ports.
pub async fn answer(node: &Arc<Node>, place: [&str; 3], mut request: Request<Body>) -> Answer {
    let [namespace, name, uid] = place;
    let found = match find::pod(node, namespace, name, uid) {
        Ok(pod) => pod,
        Err(refused) => return refused,
    };
    let Some(sandbox) = found.sandbox.clone() else {
        let why = format!("failed to find sandbox for pod \"{name}\"");
        return answer::text(StatusCode::INTERNAL_SERVER_ERROR, why);
    };
    let uid = parts::uid(&found.pod).to_string();
    let pod = Pod { runtime: node.runtime.clone(), sandbox, name: name.into(), uid };
    let ports = match ports(request.uri().query().unwrap_or_default()) {
        Ok(ports) => ports,
        Err(why) => return answer::text(StatusCode::BAD_REQUEST, why),
    };
    let (asked, upgrade) = (Asked::of(request.headers()), hyper::upgrade::on(&mut request));
    let (response, protocol) = match &asked {
        Asked::WebSocket { key, protocols } => match upgrade::choose(protocols, SOCKET_PROTOCOLS) {
            Some(chosen) if chosen != TUNNEL && ports.is_empty() => {
                return answer::text(StatusCode::BAD_REQUEST, "query parameter \"port\" is required");
            }
            Some(chosen) => (upgrade::to_websocket(key, chosen), chosen),
            None => return upgrade::no_common(protocols, SOCKET_PROTOCOLS),
        },
        Asked::Spdy { protocols } => match upgrade::choose(protocols, SPDY_PROTOCOLS) {
            Some(chosen) => (upgrade::to_spdy(chosen), chosen),
            None => return upgrade::no_common(protocols, SPDY_PROTOCOLS),
        },
        Asked::Nothing => return upgrade::required(),
    };
    tokio::spawn(async move {
        let io = match upgrade.await {
            Ok(io) => TokioIo::new(io),
            Err(error) => return tracing::debug!(%error, "a client did not switch protocols"),
        };
        match asked {
            Asked::Spdy { .. } => over_spdy(io, pod).await,
            _ if protocol == TUNNEL => over_spdy(websocket::tunnel(io).await, pod).await,
            _ => over_websocket(io, pod, &ports, protocol.contains("base64")).await,
        }
    });
    response
}

/// `port` of the query, repeated or separated by commas.
fn ports(query: &str) -> Result<Vec<u16>, String> {
    let asked = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| matches!(&**name, "port" | "ports"));
    let mut ports = Vec::new();
    for (_, values) in asked {
        for value in values.split(',').filter(|value| !value.is_empty()) {
            ports.push(port(value)?);
        }
    }
    Ok(ports)
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) => Err(format!("port \"{text}\" must be > 0")),
        Ok(port) => Ok(port),
        Err(_) => Err(format!("unable to parse \"{text}\" as a port")),
    }
}

/// The two streams of one connection, of which one may not have come yet.
#[derive(Default)]
struct Pair {
    data: Option<spdy::Stream>,
    error: Option<spdy::Stream>,
}

async fn over_spdy<Io: AsyncRead + AsyncWrite + Send + 'static>(io: Io, pod: Pod) {
    let mut connection = spdy::serve(io);
    let mut pairs: HashMap<String, Pair> = HashMap::new();
    // Dropped, and so ended, with the connection.
    let mut forwards = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = connection.streams.recv() => stream,
            Some(_) = forwards.join_next(), if !forwards.is_empty() => continue,
        };
        let Some(stream) = stream else { return };
        let Ok(port) = port(stream.header("port")) else {
            stream.refuse().await;
            continue;
        };
        let id = request_id(&stream);
        let pair = pairs.entry(id.clone()).or_default();
        let place = match stream.header("streamtype") {
            "data" => &mut pair.data,
            "error" => &mut pair.error,
            _ => {
                stream.refuse().await;
                continue;
            }
        };
        if place.is_some() {
            stream.refuse().await;
            continue;
        }
        stream.accept().await;
        *place = Some(stream);
        if let Pair { data: Some(_), error: Some(_) } = pair
            && let Some(Pair { data: Some(data), error: Some(error) }) = pairs.remove(&id)
        {
            forwards.spawn(forward_streams(pod.clone(), port, data, error));
        }
        // The client has given up what it did not complete.
        pairs.retain(|_, pair| {
            [&pair.data, &pair.error].into_iter().flatten().all(|stream| !stream.reset.is_cancelled())
        });
    }
}

/// What joins the two streams. Old clients send no id: they open the error stream right before the data stream.
fn request_id(stream: &spdy::Stream) -> String {
    match stream.header("requestid") {
        "" if stream.header("streamtype") == "data" => stream.id.saturating_sub(2).to_string(),
        "" => stream.id.to_string(),
        id => id.to_string(),
    }
}

async fn forward_streams(pod: Pod, port: u16, mut data: spdy::Stream, error: spdy::Stream) {
    let reset = data.reset.clone();
    tokio::select! {
        () = forward(&pod, port, &mut data.inlet, &data.outlet, &error.outlet) => {}
        () = reset.cancelled() => {
            // Clients wait for the end of the error stream; one that is gone misses nothing.
            error.outlet.end().await.ok();
        }
    }
}

async fn over_websocket<Io>(io: Io, pod: Pod, ports: &[u16], base64: bool)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let readable: Vec<u32> = (0..ports.len() as u32).map(|index| 2 * index).collect();
    let form = websocket::Form { base64, close_signal: false };
    let mut channels = websocket::channels(io, form, &readable).await;
    let mut forwards = JoinSet::new();
    for (channel, port) in readable.iter().zip(ports) {
        let Some(mut inlet) = channels.inlets.remove(channel) else { continue };
        let outlet = |channel: u32| Outlet::new(channel, channels.out.clone());
        let (pod, port, data, error) = (pod.clone(), *port, outlet(*channel), outlet(channel + 1));
        forwards.spawn(async move {
            for outlet in [&data, &error] {
                // A client that is gone ends the forwarding below.
                outlet.send(port.to_le_bytes().to_vec()).await.ok();
            }
            forward(&pod, port, &mut inlet, &data, &error).await;
        });
    }
    tokio::select! {
        () = channels.closed.cancelled() => return,
        () = async { while forwards.join_next().await.is_some() {} } => {}
    }
    // The client may be gone by now.
    channels.out.send(Outgoing::Close).await.ok();
}

/// Connects to a port of the pod and carries bytes both ways until both ways have ended. Old clients keep the connection
/// open until the error stream ends, so it ends with what comes from the pod.
async fn forward(pod: &Pod, port: u16, from: &mut Inlet, to: &Outlet, error: &Outlet) {
    match pod.runtime.connect(&pod.sandbox, port).await {
        Ok(stream) => {
            let (read, write) = stream.into_split();
            let shown = async {
                outward(read, to).await;
                end(to, error).await;
            };
            tokio::join!(shown, inward(from, write));
        }
        Err(why) => {
            let Pod { name, uid, .. } = pod;
            // A client that is gone misses nothing.
            error.send(format!("error forwarding port {port} to pod {name}, uid {uid}: {why}")).await.ok();
            end(to, error).await;
        }
    }
}

/// Nothing more comes from the pod. A client that is gone misses nothing.
async fn end(to: &Outlet, error: &Outlet) {
    to.end().await.ok();
    error.end().await.ok();
}

async fn outward(mut from: impl AsyncRead + Unpin, to: &Outlet) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        // A connection that breaks has ended.
        let count = from.read_buf(&mut buffer).await.unwrap_or(0);
        if count == 0 || to.send(buffer.split().freeze()).await.is_err() {
            return;
        }
    }
}

async fn inward(from: &mut Inlet, mut to: impl AsyncWrite + Unpin) {
    while let Some(bytes) = from.recv().await {
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // The pod's side may have ended already.
    to.shutdown().await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::FakeRuntime;
    use crate::node::server::spdy::client::Client;
    use futures::{SinkExt, StreamExt};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    /// A pod whose every port answers with what it is sent, in capitals.
    async fn pod() -> Pod {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let runtime = FakeRuntime::listening(listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut text = Vec::new();
                    stream.read_to_end(&mut text).await.unwrap();
                    stream.write_all(&text.to_ascii_uppercase()).await.unwrap();
                });
            }
        });
        Pod { runtime: Arc::new(runtime), sandbox: "s0".into(), name: "p".into(), uid: "u1".into() }
    }

    #[tokio::test]
    async fn connections_over_spdy_are_pairs_of_streams() {
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(over_spdy(far, pod().await));
        let mut client = Client::new(near);
        for id in ["0", "1", ""] {
            let pair = |kind| {
                let mut headers = vec![("streamtype", kind), ("port", "80")];
                headers.extend((!id.is_empty()).then_some(("requestid", id)));
                headers
            };
            let error = client.open(&pair("error")).await;
            let data = client.open(&pair("data")).await;
            client.data(data, b"hello", true).await;
            assert_eq!(client.read_to_end(data).await, b"HELLO");
            assert_eq!(client.read_to_end(error).await, b"");
        }
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_told_on_the_error_stream() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let pod = Pod { runtime: Arc::new(FakeRuntime::default()), ..pod().await };
        tokio::spawn(over_spdy(far, pod));
        let mut client = Client::new(near);
        let error = client.open(&[("streamtype", "error"), ("port", "81"), ("requestid", "7")]).await;
        client.open(&[("streamtype", "data"), ("port", "81"), ("requestid", "7")]).await;
        let told = String::from_utf8(client.read_to_end(error).await).unwrap();
        assert!(told.starts_with("error forwarding port 81 to pod p, uid u1: "), "{told}");
        client.open(&[("streamtype", "data"), ("port", "0")]).await;
        client.next_reset().await;
    }

    #[tokio::test]
    async fn a_pod_that_hangs_up_ends_both_streams_though_the_client_has_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let runtime = FakeRuntime::listening(listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"bye").await.unwrap();
        });
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(over_spdy(far, Pod { runtime: Arc::new(runtime), ..pod().await }));
        let mut client = Client::new(near);
        let error = client.open(&[("streamtype", "error"), ("port", "80"), ("requestid", "0")]).await;
        let data = client.open(&[("streamtype", "data"), ("port", "80"), ("requestid", "0")]).await;
        assert_eq!(client.read_to_end(data).await, b"bye");
        assert_eq!(client.read_to_end(error).await, b"");
    }

    #[tokio::test]
    async fn a_client_that_resets_a_connection_keeps_the_others() {
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(over_spdy(far, pod().await));
        let mut client = Client::new(near);
        let mut streams = Vec::new();
        for id in ["0", "1"] {
            let error = client.open(&[("streamtype", "error"), ("port", "80"), ("requestid", id)]).await;
            streams.push((error, client.open(&[("streamtype", "data"), ("port", "80"), ("requestid", id)]).await));
        }
        client.reset(streams[0].1).await;
        assert_eq!(client.read_to_end(streams[0].0).await, b"");
        client.data(streams[1].1, b"still", true).await;
        assert_eq!(client.read_to_end(streams[1].1).await, b"STILL");
    }

    #[tokio::test]
    async fn websocket_channels_begin_with_their_port() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let pod = pod().await;
        tokio::spawn(async move { over_websocket(far, pod, &[8080], false).await });
        let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        for channel in [0, 1] {
            let first = client.next().await.unwrap().unwrap();
            assert_eq!(first, Message::binary(vec![channel, 0x90, 0x1f]));
        }
        client.send(Message::binary(&b"\0hello"[..])).await.unwrap();
        client.close(None).await.unwrap();
        while client.next().await.is_some_and(|message| message.is_ok()) {}
    }

    #[test]
    fn ports_are_numbers_above_zero() {
        assert_eq!(ports("port=80,81&port=82"), Ok(vec![80, 81, 82]));
        assert_eq!(ports("port=x"), Err("unable to parse \"x\" as a port".into()));
        assert_eq!(ports("port=0"), Err("port \"0\" must be > 0".into()));
    }
}
