//! Exec and attach as clients see them, against a session that a test holds the other ends of.

use super::*;
use crate::node::server::spdy::client::Client;
use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::io::DuplexStream;
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// The process's side of a session.
struct Process {
    stdin: DuplexStream,
    stdout: DuplexStream,
    stderr: DuplexStream,
    sizes: mpsc::Receiver<(u16, u16)>,
    exit: oneshot::Sender<i32>,
}

fn session() -> (Session, Process) {
    let pipe = || tokio::io::duplex(1 << 16);
    let ((stdin, in_end), (stdout, out_end), (stderr, err_end)) = (pipe(), pipe(), pipe());
    let (resize, sizes) = mpsc::channel(4);
    let (exit, exited) = oneshot::channel();
    let session = Session {
        stdin: Some(Box::new(stdin)),
        stdout: Some(Box::new(stdout)),
        stderr: Some(Box::new(stderr)),
        resize,
        exit: async { Ok(exited.await.unwrap()) }.boxed(),
    };
    (session, Process { stdin: in_end, stdout: out_end, stderr: err_end, sizes, exit })
}

fn all(tty: bool) -> ExecSpec {
    ExecSpec { argv: vec!["x".into()], tty, stdin: true, stdout: true, stderr: !tty, size: None }
}

#[test]
fn a_query_is_read_in_the_kubelets_and_in_the_apis_words() {
    let read = spec(Action::Exec, "command=sh&command=-c&command=a+b%26&input=1&output=1&tty=1&error=1");
    let expected = ExecSpec { argv: vec!["sh".into(), "-c".into(), "a b&".into()], ..all(true) };
    assert_eq!(read, expected, "a terminal has no stderr");
    assert!(spec(Action::Attach, "stdout=true&command=x").argv.is_empty());
}

#[tokio::test]
async fn spdy_carries_a_whole_exec() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (session, mut process) = session();
    let server = tokio::spawn(async move {
        let ends = over_spdy(far, &all(false), "v4.channel.k8s.io").await.unwrap();
        ends.join(Action::Exec, Ok(session)).await;
    });
    let mut client = Client::new(near);
    let mut ids = HashMap::new();
    for kind in ["error", "stdin", "stdout", "stderr"] {
        ids.insert(kind, client.open(&[("streamtype", kind)]).await);
    }
    client.data(ids["stdin"], b"typed", true).await;
    let mut typed = String::new();
    process.stdin.read_to_string(&mut typed).await.unwrap();
    assert_eq!(typed, "typed");
    process.stdout.write_all(&[b'x'; 100_000]).now_or_never();
    assert!(client.read(ids["stdout"], 50_000).await.starts_with(b"xxx"));
    process.stderr.write_all(b"oops").await.unwrap();
    process.exit.send(3).unwrap();
    drop((process.stdout, process.stderr));
    assert_eq!(client.read_to_end(ids["stderr"]).await, b"oops");
    let status: Value = serde_json::from_slice(&client.read_to_end(ids["error"]).await).unwrap();
    assert_eq!(status["reason"], "NonZeroExitCode");
    assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
    server.await.unwrap();
}

#[tokio::test]
async fn a_websocket_carries_a_terminal_with_its_size() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (session, mut process) = session();
    tokio::spawn(async move {
        let mut ends = over_websocket(far, &all(true), "v5.channel.k8s.io").await;
        assert_eq!(ends.first_size().await, Some((100, 50)));
        ends.join(Action::Exec, Ok(session)).await;
    });
    let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(vec![1]), "the channels are open");
    client.send(Message::binary(&b"\x04{\"Width\":80,\"Hei"[..])).await.unwrap();
    client.send(Message::binary(&b"\x04ght\":24}\n{\"Width\":100,\"Height\":50}"[..])).await.unwrap();
    client.send(Message::binary(&b"\x04{\"Width\":90,\"Height\":40}"[..])).await.unwrap();
    assert_eq!(process.sizes.recv().await, Some((90, 40)));
    client.send(Message::binary(&b"\0ls\n"[..])).await.unwrap();
    let mut typed = [0; 3];
    process.stdin.read_exact(&mut typed).await.unwrap();
    process.stdout.write_all(b"file").await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(&b"\x01file"[..]));
    process.exit.send(0).unwrap();
    drop((process.stdout, process.stderr));
    let status = client.next().await.unwrap().unwrap();
    assert_eq!(status, Message::binary(&b"\x03{\"metadata\":{},\"status\":\"Success\"}"[..]));
    let Message::Close(Some(close)) = client.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(u16::from(close.code), 1000);
}

#[tokio::test]
async fn a_command_that_cannot_start_is_told_on_the_error_channel() {
    for (protocol, expected) in [
        ("v4.channel.k8s.io", "\"reason\":\"InternalError\""),
        ("v2.channel.k8s.io", "Internal error occurred: error executing command in container: no such file"),
    ] {
        let (near, far) = tokio::io::duplex(1 << 16);
        let spec = ExecSpec { stdout: true, ..ExecSpec::default() };
        tokio::spawn(async move {
            let ends = over_spdy(far, &spec, protocol).await.unwrap();
            ends.join(Action::Exec, Err(runtime::Error::Start("no such file".into()))).await;
        });
        let mut client = Client::new(near);
        let error = client.open(&[("streamtype", "error")]).await;
        client.open(&[("streamtype", "stdout")]).await;
        let told = client.read_to_end(error).await;
        assert!(String::from_utf8(told).unwrap().contains(expected));
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_the_session() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (session, process) = session();
    let server = tokio::spawn(async move {
        let ends = over_websocket(far, &all(false), "v4.channel.k8s.io").await;
        ends.join(Action::Attach, Ok(session)).await;
    });
    drop(near);
    server.await.unwrap();
    assert!(process.exit.is_closed());
}

#[tokio::test]
async fn sizes_that_cannot_be_read_are_no_sizes() {
    let (sender, inlet) = mpsc::channel(4);
    let (to, mut sizes) = mpsc::channel(4);
    sender.send(Bytes::from_static(b"{\"Width\":1,\"Height\":2}nonsense")).await.unwrap();
    drop(sender);
    resizes(Sizes::new(inlet), to).await;
    assert_eq!(sizes.recv().await, Some((1, 2)));
    assert_eq!(sizes.recv().await, None);
}
