//! WebSocket: channels by the first byte of each message (`channel.k8s.io` and its versions), or a tunnel of plain bytes.
//!
//! Source: k8s.io/apiserver `pkg/util/httpstream/wsstream`, k8s.io/apimachinery `pkg/util/remotecommand`.

use super::channels::{INLET_PIECES, Inlet, LINGER, OUTGOING_FRAMES, Outgoing, PIECE};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use std::collections::HashMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

/// Largest message that is taken, in bytes.
const LARGEST_MESSAGE: usize = 16 << 20;
/// The channel on which v5 says that another one is closed.
const CLOSE: u8 = 255;
/// Bytes of a tunnel that may be under way.
const TUNNEL: usize = 64 << 10;

/// How messages carry channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Text messages: a digit for the channel, then base64.
    pub base64: bool,
    /// The client says when it closes a channel (v5).
    pub close_signal: bool,
}

/// A connection of channels.
pub struct Channels {
    /// What the client sends, by channel.
    pub inlets: HashMap<u32, Inlet>,
    pub out: mpsc::Sender<Outgoing>,
    /// The client is gone.
    pub closed: CancellationToken,
}

async fn server<Io: AsyncRead + AsyncWrite + Unpin>(io: Io) -> WebSocketStream<Io> {
    let config =
        WebSocketConfig::default().max_message_size(Some(LARGEST_MESSAGE)).max_frame_size(Some(LARGEST_MESSAGE));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

/// Speaks channels over `io`, of which the client may write to `readable`. Closing is by code 1000.
pub async fn channels<Io>(io: Io, form: Form, readable: &[u32]) -> Channels
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, source) = server(io).await.split();
    let (out, outgoing) = mpsc::channel(OUTGOING_FRAMES);
    let (mut senders, mut inlets) = (HashMap::new(), HashMap::new());
    for channel in readable {
        let (sender, inlet) = mpsc::channel(INLET_PIECES);
        senders.insert(*channel, sender);
        inlets.insert(*channel, inlet);
    }
    let closed = CancellationToken::new();
    let ended = closed.clone();
    tokio::spawn(async move {
        let reading = read_messages(source, form, senders);
        tokio::pin!(reading);
        tokio::select! {
            () = &mut reading => {}
            result = write_messages(sink, form, outgoing) => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a WebSocket ended");
                }
                // The client answers the closing, or hangs up.
                tokio::time::timeout(LINGER, reading).await.ok();
            }
        }
        ended.cancel();
    });
    Channels { inlets, out, closed }
}

async fn read_messages<Io: AsyncRead + AsyncWrite + Unpin>(
    mut source: SplitStream<WebSocketStream<Io>>,
    form: Form,
    mut senders: HashMap<u32, mpsc::Sender<Bytes>>,
) {
    while let Some(Ok(message)) = source.next().await {
        let (channel, bytes) = match message {
            Message::Close(_) => return,
            Message::Binary(mut bytes) if !bytes.is_empty() && !form.base64 => {
                let channel = bytes.split_to(1)[0];
                (channel, bytes)
            }
            Message::Text(text) if form.base64 => match decode(text.as_str()) {
                Some(decoded) => decoded,
                None => return,
            },
            _ => continue,
        };
        if channel == CLOSE && form.close_signal {
            senders.retain(|own, _| bytes.first().is_none_or(|closed| u32::from(*closed) != *own));
        } else if let Some(sender) = senders.get(&u32::from(channel)).filter(|_| !bytes.is_empty()) {
            // A handler that does not read any more does not miss it.
            sender.send(bytes).await.ok();
        }
    }
}

fn decode(text: &str) -> Option<(u8, Bytes)> {
    let (head, rest) = text.split_at_checked(1)?;
    let channel: u8 = head.parse().ok()?;
    Some((channel, STANDARD.decode(rest).ok()?.into()))
}

async fn write_messages<Io: AsyncRead + AsyncWrite + Unpin>(
    mut sink: SplitSink<WebSocketStream<Io>, Message>,
    form: Form,
    mut outgoing: mpsc::Receiver<Outgoing>,
) -> Result<(), Error> {
    while let Some(frame) = outgoing.recv().await {
        match frame {
            Outgoing::Data(channel, bytes) => sink.feed(encode(channel, &bytes, form)).await?,
            // Only the whole connection has an end.
            Outgoing::End(_) => {}
            Outgoing::Close => break,
            Outgoing::Reply(_) | Outgoing::Reset(..) | Outgoing::Ping(_) => {}
        }
        if outgoing.is_empty() {
            sink.flush().await?;
        }
    }
    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    sink.send(Message::Close(Some(close))).await
}

fn encode(channel: u32, bytes: &Bytes, form: Form) -> Message {
    if form.base64 {
        return Message::text(format!("{channel}{}", STANDARD.encode(bytes)));
    }
    let mut message = BytesMut::with_capacity(1 + bytes.len());
    message.put_u8(channel as u8);
    message.put_slice(bytes);
    Message::Binary(message.freeze())
}

/// The bytes inside the binary messages of a WebSocket, as one stream (`SPDY/3.1+portforward.k8s.io`).
pub async fn tunnel<Io>(io: Io) -> DuplexStream
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sink, mut source) = server(io).await.split();
    let (inside, outside) = tokio::io::duplex(TUNNEL);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(outside);
        let inward = async {
            while let Some(Ok(message)) = source.next().await {
                match message {
                    Message::Binary(bytes) if write.write_all(&bytes).await.is_err() => break,
                    Message::Close(_) => break,
                    _ => {}
                }
            }
            // The other end is gone already, or learns it by this.
            write.shutdown().await.ok();
        };
        let outward = async {
            let mut buffer = BytesMut::new();
            loop {
                buffer.reserve(PIECE);
                match read.read_buf(&mut buffer).await {
                    Ok(count) if count > 0 => {}
                    _ => break,
                }
                if sink.send(Message::Binary(buffer.split().freeze())).await.is_err() {
                    return;
                }
            }
            let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            // A client that is gone needs no farewell.
            sink.send(Message::Close(Some(close))).await.ok();
        };
        tokio::pin!(inward);
        tokio::select! {
            () = &mut inward => {}
            () = outward => drop(tokio::time::timeout(LINGER, inward).await),
        }
    });
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::server::channels::Outlet;

    async fn client(io: DuplexStream) -> WebSocketStream<DuplexStream> {
        WebSocketStream::from_raw_socket(io, Role::Client, None).await
    }

    #[tokio::test]
    async fn the_first_byte_of_a_message_is_its_channel() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut client = client(near).await;
        let mut server = channels(far, Form { close_signal: true, ..Form::default() }, &[0, 4]).await;
        client.send(Message::binary(&b"\0typed"[..])).await.unwrap();
        client.send(Message::binary(&b"\x04{}"[..])).await.unwrap();
        client.send(Message::binary(&b"\xff\0"[..])).await.unwrap();
        let mut stdin = server.inlets.remove(&0).unwrap();
        assert_eq!(stdin.recv().await.unwrap(), "typed");
        assert!(stdin.recv().await.is_none(), "the client has closed it");
        assert_eq!(server.inlets.get_mut(&4).unwrap().recv().await.unwrap(), "{}");
        Outlet::new(1, server.out.clone()).send("shown").await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(&b"\x01shown"[..]));
        server.out.send(Outgoing::Close).await.unwrap();
        let Message::Close(Some(close)) = client.next().await.unwrap().unwrap() else { panic!() };
        assert_eq!(u16::from(close.code), 1000);
    }

    #[tokio::test]
    async fn base64_is_for_clients_that_know_text_alone() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut client = client(near).await;
        let mut server = channels(far, Form { base64: true, ..Form::default() }, &[0]).await;
        client.send(Message::text(format!("0{}", STANDARD.encode("typed")))).await.unwrap();
        assert_eq!(server.inlets.get_mut(&0).unwrap().recv().await.unwrap(), "typed");
        Outlet::new(2, server.out.clone()).send("shown").await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text(format!("2{}", STANDARD.encode("shown"))));
        drop(client);
        server.closed.cancelled().await;
    }

    #[tokio::test]
    async fn a_tunnel_carries_bytes_as_they_come() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut client = client(near).await;
        let mut inside = tunnel(far).await;
        client.send(Message::binary(&b"ab"[..])).await.unwrap();
        client.send(Message::binary(&b"cd"[..])).await.unwrap();
        let mut four = [0; 4];
        inside.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"abcd");
        inside.write_all(b"answer").await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(&b"answer"[..]));
        inside.shutdown().await.unwrap();
        assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
    }
}
