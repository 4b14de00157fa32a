//! `/exec` and `/attach`: a client's channels joined to a process's streams, over SPDY or WebSocket.
//!
//! ```text
//! request ─▶ container ─▶ protocol ─▶ 101 ─▶ channels: error, stdin, stdout, stderr, resize
//!                                              │ joined to runtime::Session until the process has ended
//!                                              ▼
//!                                           status on the error channel, end of all channels
//! ```
//!
//! Source: k8s.io/kubelet `pkg/cri/streaming/remotecommand`.

use super::answer::{self, Answer};
use super::channels::{Inlet, Outgoing, Outlet, PIECE};
use super::upgrade::{self, Asked};
use super::{find, spdy, websocket};
use crate::node::context::Node;
use crate::runtime::{self, ExecSpec, Session};
use axum::body::Body;
use bytes::BytesMut;
use http::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the start of a command waits for the size of its terminal, which clients send first of all.
const FIRST_SIZE: Duration = Duration::from_millis(200);
/// How long a client may take to open the streams that it asked for.
const OPENING: Duration = Duration::from_secs(30);
/// Protocols over SPDY.
const SPDY_PROTOCOLS: &[&str] = &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io", ""];
/// Protocols over WebSocket.
const SOCKET_PROTOCOLS: &[&str] = &[
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
];
/// Numbers of the channels of a WebSocket.
const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
const ERROR: u32 = 3;
const RESIZE: u32 = 4;

/// Which of the two is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Exec,
    Attach,
}

/// The client's ends.
struct Ends {
    stdin: Option<Inlet>,
    stdout: Option<Outlet>,
    stderr: Option<Outlet>,
    error: Outlet,
    resize: Option<Sizes>,
    out: mpsc::Sender<Outgoing>,
    closed: CancellationToken,
    /// Whether the error channel carries a `Status` (v4 and later) or plain text.
    has_status: bool,
}

/// Answers a request to run something in a container, or to join what runs there.
pub async fn answer(node: &Arc<Node>, action: Action, place: [&str; 4], mut request: Request<Body>) -> Answer {
    let mut spec = spec(action, request.uri().query().unwrap_or_default());
    if !(spec.stdin || spec.stdout || spec.stderr) {
        return answer::text(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr");
    }
    let container = match find::running(node, place) {
        Ok(container) => container,
        Err(refused) => return refused,
    };
    let (asked, upgrade) = (Asked::of(request.headers()), hyper::upgrade::on(&mut request));
    let (response, protocol) = match &asked {
        Asked::WebSocket { key, protocols } => match upgrade::choose(protocols, SOCKET_PROTOCOLS) {
            Some(chosen) => (upgrade::to_websocket(key, chosen), chosen),
            None => return upgrade::no_common(protocols, SOCKET_PROTOCOLS),
        },
        Asked::Spdy { protocols } => match upgrade::choose(protocols, SPDY_PROTOCOLS) {
            Some(chosen) => (upgrade::to_spdy(chosen), chosen),
            None => return upgrade::no_common(protocols, SPDY_PROTOCOLS),
        },
        Asked::Nothing => return upgrade::required(),
    };
    let node = node.clone();
    tokio::spawn(async move {
        let io = match upgrade.await {
            Ok(io) => TokioIo::new(io),
            Err(error) => return tracing::debug!(%error, "a client did not switch protocols"),
        };
        let ends = match asked {
            Asked::Spdy { .. } => over_spdy(io, &spec, protocol).await,
            _ => Some(over_websocket(io, &spec, protocol).await),
        };
        if let Some(mut ends) = ends {
            let id = &container.id;
            if action == Action::Exec {
                spec.size = ends.first_size().await;
            }
            let session = match action {
                Action::Exec => node.runtime.exec(id, spec).await,
                Action::Attach => node.runtime.attach(id, spec).await,
            };
            ends.join(action, session).await;
        }
    });
    response
}

/// What is asked for: `command` (one per word), `input`, `output`, `error`, `tty`, in the kubelet's or the API's words.
fn spec(action: Action, query: &str) -> ExecSpec {
    let mut spec = ExecSpec::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let flag = matches!(&*value, "1" | "true");
        match &*name {
            "command" if action == Action::Exec => spec.argv.push(value.into_owned()),
            "input" | "stdin" => spec.stdin |= flag,
            "output" | "stdout" => spec.stdout |= flag,
            "error" | "stderr" => spec.stderr |= flag,
            "tty" => spec.tty |= flag,
            _ => {}
        }
    }
    // A terminal has one output.
    spec.stderr &= !spec.tty;
    spec
}

async fn over_websocket<Io>(io: Io, spec: &ExecSpec, protocol: &str) -> Ends
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let form = websocket::Form { base64: protocol.contains("base64"), close_signal: protocol.starts_with("v5.") };
    let mut channels = websocket::channels(io, form, &[STDIN, RESIZE]).await;
    let outlet = |channel: u32, is_wanted: bool| is_wanted.then(|| Outlet::new(channel, channels.out.clone()));
    let ends = Ends {
        stdin: channels.inlets.remove(&STDIN).filter(|_| spec.stdin),
        stdout: outlet(STDOUT, spec.stdout),
        stderr: outlet(STDERR, spec.stderr),
        error: Outlet::new(ERROR, channels.out.clone()),
        resize: channels.inlets.remove(&RESIZE).filter(|_| spec.tty).map(Sizes::new),
        out: channels.out,
        closed: channels.closed,
        has_status: protocol.starts_with('v'),
    };
    // An empty message says that the channels are open. A client that is gone is noticed when they are joined.
    let first = ends.stdout.as_ref().or(ends.stderr.as_ref()).unwrap_or(&ends.error);
    first.send("").await.ok();
    ends
}

/// Waits until the client has opened every stream that it asked for.
async fn over_spdy<Io>(io: Io, spec: &ExecSpec, protocol: &str) -> Option<Ends>
where
    Io: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut connection = spdy::serve(io);
    let can_resize = matches!(protocol, "v4.channel.k8s.io" | "v3.channel.k8s.io");
    let wanted = [
        ("error", true),
        ("stdin", spec.stdin),
        ("stdout", spec.stdout),
        ("stderr", spec.stderr),
        ("resize", spec.tty && can_resize),
    ];
    let count = wanted.iter().filter(|(_, is_wanted)| *is_wanted).count();
    let mut streams: HashMap<&str, spdy::Stream> = HashMap::new();
    let opening = async {
        while streams.len() < count {
            let stream = connection.streams.recv().await?;
            let kind = wanted.iter().find(|(kind, is_wanted)| *is_wanted && *kind == stream.header("streamtype"));
            match kind {
                Some((kind, _)) if !streams.contains_key(kind) => {
                    stream.accept().await;
                    streams.insert(kind, stream);
                }
                _ => stream.refuse().await,
            }
        }
        Some(())
    };
    if tokio::time::timeout(OPENING, opening).await.ok().flatten().is_none() {
        tracing::debug!("a client did not open the streams that it asked for");
        return None;
    }
    let mut inlets: HashMap<&str, Inlet> = HashMap::new();
    let mut outlets: HashMap<&str, Outlet> = HashMap::new();
    for (kind, stream) in streams {
        outlets.insert(kind, stream.outlet);
        inlets.insert(kind, stream.inlet);
    }
    Some(Ends {
        stdin: inlets.remove("stdin"),
        stdout: outlets.remove("stdout"),
        stderr: outlets.remove("stderr"),
        error: outlets.remove("error")?,
        resize: inlets.remove("resize").map(Sizes::new),
        out: connection.out,
        closed: connection.closed,
        has_status: protocol == "v4.channel.k8s.io",
    })
}

impl Ends {
    /// The size that the terminal is to have from its first moment, if the client says so in time.
    async fn first_size(&mut self) -> Option<(u16, u16)> {
        tokio::time::timeout(FIRST_SIZE, self.resize.as_mut()?.next()).await.ok()?
    }

    /// Joins the client to a session until that has ended, or the client is gone.
    async fn join(mut self, action: Action, session: Result<Session, runtime::Error>) {
        let status = match session {
            Ok(session) => {
                let closed = self.closed.clone();
                tokio::select! {
                    // Gone in the middle: what the session holds is let go.
                    () = closed.cancelled() => return,
                    result = self.run(session) => status_of(action, result),
                }
            }
            Err(error) => status_of(action, Err(error)),
        };
        self.tell(&status).await;
        for outlet in [self.stdout.as_ref(), self.stderr.as_ref(), Some(&self.error)].into_iter().flatten() {
            // A client that is gone misses nothing.
            outlet.end().await.ok();
        }
        // As above.
        self.out.send(Outgoing::Close).await.ok();
    }

    async fn run(&mut self, session: Session) -> Result<i32, runtime::Error> {
        let Session { stdin, stdout, stderr, resize, exit } = session;
        // These two end with the process, not the other way round.
        let mut inward = JoinSet::new();
        if let (Some(from), Some(to)) = (self.stdin.take(), stdin) {
            inward.spawn(pour_in(from, to));
        }
        if let Some(from) = self.resize.take() {
            inward.spawn(resizes(from, resize));
        }
        let (result, (), ()) =
            tokio::join!(exit, pour_out(stdout, self.stdout.as_ref()), pour_out(stderr, self.stderr.as_ref()));
        result
    }

    async fn tell(&self, status: &Value) {
        let text = match (self.has_status, status["status"] == "Success") {
            (true, _) => status.to_string(),
            (false, true) => return,
            (false, false) => status["message"].as_str().unwrap_or_default().to_string(),
        };
        // A client that is gone misses nothing.
        self.error.send(text).await.ok();
    }
}

/// What the error channel says about the end.
fn status_of(action: Action, result: Result<i32, runtime::Error>) -> Value {
    match (action, result) {
        (Action::Attach, Ok(_)) | (Action::Exec, Ok(0)) => json!({"metadata": {}, "status": "Success"}),
        (Action::Exec, Ok(code)) => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        (action, Err(error)) => {
            let what = if action == Action::Exec { "executing command in" } else { "attaching to" };
            let why = format!("error {what} container: {error}");
            json!({
                "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
                "message": format!("Internal error occurred: {why}"), "details": {"causes": [{"message": why}]},
            })
        }
    }
}

async fn pour_in(mut from: Inlet, mut to: Box<dyn AsyncWrite + Send + Unpin>) {
    while let Some(bytes) = from.recv().await {
        // A process that has closed its stdin does not want the rest.
        if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    // As above.
    to.shutdown().await.ok();
}

async fn pour_out(from: Option<Box<dyn AsyncRead + Send + Unpin>>, to: Option<&Outlet>) {
    let Some(mut from) = from else { return };
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        // A terminal whose last process has ended answers with an error: it is the end as well.
        let count = from.read_buf(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        let piece = buffer.split().freeze();
        // Without a client to show it to, the process must not be held back.
        if let Some(to) = to
            && to.send(piece).await.is_err()
        {
            return;
        }
    }
}

/// The size of a terminal as clients send it.
#[derive(Deserialize)]
struct Size {
    #[serde(rename = "Width")]
    width: u16,
    #[serde(rename = "Height")]
    height: u16,
}

/// Sizes as they arrive, in pieces of any length.
struct Sizes {
    from: Inlet,
    text: Vec<u8>,
}

impl Sizes {
    fn new(from: Inlet) -> Self {
        Self { from, text: Vec::new() }
    }

    /// The next size, columns and rows; of several that arrived at once the last. Nothing more once the client has closed.
    async fn next(&mut self) -> Option<(u16, u16)> {
        loop {
            self.text.extend_from_slice(&self.from.recv().await?);
            let mut sizes = serde_json::Deserializer::from_slice(&self.text).into_iter::<Size>();
            let (mut newest, mut read) = (None, 0);
            while let Some(size) = sizes.next() {
                match size {
                    Ok(Size { width, height }) => (newest, read) = (Some((width, height)), sizes.byte_offset()),
                    // The rest is still to come.
                    Err(error) if error.is_eof() => break,
                    // What cannot be read is no size.
                    Err(_) => {
                        read = self.text.len();
                        break;
                    }
                }
            }
            self.text.drain(..read);
            if newest.is_some() {
                return newest;
            }
        }
    }
}

async fn resizes(mut from: Sizes, to: mpsc::Sender<(u16, u16)>) {
    while let Some(size) = from.next().await {
        if to.send(size).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
