//! Answers that do not end, for the page: one WebSocket for each. Over HTTP/1.1 a browser has six connections to a server, for
//! all its tabs together; watches and logs would use them up, and WebSockets are not counted.
//!
//! ```text
//! page                                   proxy
//!   {"path": "/api/v1/…", "accept": "…"} →  GET as the user
//!                     ← {"status": 200}
//!                     ← the body, in pieces, until its end or until the page closes
//! ```

use crate::client::Client;
use futures::{Sink, SinkExt, StreamExt};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Where the page opens them.
pub const PATH: &str = "/coracle/stream";
/// The protocol that the page offers, and is told.
pub const PROTOCOL: &str = "stream.coracle.local";
/// The longest question that is taken.
const LONGEST_QUESTION: usize = 64 << 10;

/// What the page asks for.
#[derive(Deserialize)]
struct Wanted {
    path: String,
    #[serde(default)]
    accept: String,
}

/// Answers one question and closes.
pub async fn serve<Io: AsyncRead + AsyncWrite + Unpin>(io: Io, client: Client) {
    let config = WebSocketConfig::default().max_message_size(Some(LONGEST_QUESTION));
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (mut sink, mut source) = socket.split();
    let Some(Ok(Message::Text(question))) = source.next().await else { return };
    let gone = async {
        // Whatever else a page says, it waits for the answer until it closes.
        while let Some(Ok(message)) = source.next().await {
            if message.is_close() {
                break;
            }
        }
    };
    tokio::select! {
        // A page that is gone is told nothing.
        _ = answer(&question, &client, &mut sink) => {}
        () = gone => {}
    }
}

async fn answer(
    question: &str,
    client: &Client,
    sink: &mut (impl Sink<Message, Error = Error> + Unpin),
) -> Result<(), Error> {
    let mut body = match ask(question, client).await {
        Ok(response) => {
            let status = json!({"status": response.status().as_u16()});
            sink.send(Message::text(status.to_string())).await?;
            response.into_body()
        }
        Err(why) => {
            let status = json!({"status": StatusCode::BAD_GATEWAY.as_u16(), "message": why});
            sink.send(Message::text(status.to_string())).await?;
            return close(sink).await;
        }
    };
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(piece) = frame.into_data() else { continue };
        sink.send(Message::Binary(piece)).await?;
    }
    close(sink).await
}

async fn close(sink: &mut (impl Sink<Message, Error = Error> + Unpin)) -> Result<(), Error> {
    sink.send(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))).await
}

async fn ask(question: &str, client: &Client) -> Result<http::Response<Body>, String> {
    let wanted: Wanted = serde_json::from_str(question).map_err(|error| format!("no question: {error}"))?;
    if !wanted.path.starts_with('/') || wanted.path.starts_with("//") {
        return Err("a path begins with one slash".into());
    }
    let mut request = Request::get(&wanted.path);
    if !wanted.accept.is_empty() {
        request = request.header(header::ACCEPT, &wanted.accept);
    }
    let request = request.body(Body::empty()).map_err(|error| format!("no request: {error}"))?;
    let response = client.send(request).await.map_err(|error| crate::base::causes::chain(&error))?;
    Ok(response)
}
