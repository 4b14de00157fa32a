//! The client's side of the supervisor: the trait [`Runtime`] over its unix socket.

use super::spec::*;
use super::streams::{self, Terminal};
use super::wire::{self, Reply, Request};
use crate::base::disk;
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::mpsc;

/// Output of a command that is kept of each stream; the rest is read and dropped (CRI: ExecSync).
const LONGEST_OUTPUT: u64 = 16 << 20;

/// The runtime that `coracle supervisor` is. Every request makes its own connection, so a supervisor that was away is
/// found again by the next one.
#[derive(Clone, Debug)]
pub struct Supervised {
    socket: PathBuf,
}

impl Supervised {
    /// The supervisor that listens at `socket`. Nothing is connected yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    async fn ask(
        &self,
        request: &Request,
        descriptors: &[OwnedFd],
    ) -> Result<(UnixStream, Reply, Vec<OwnedFd>), Error> {
        let stream = UnixStream::connect(&self.socket).await.map_err(Error::Supervisor)?;
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        wire::send(&stream, request, &borrowed).await.map_err(Error::Supervisor)?;
        let (reply, received) = next(&stream).await?;
        Ok((stream, reply, received))
    }

    /// For requests that are answered with a word.
    async fn done(&self, request: Request) -> Result<(), Error> {
        match self.ask(&request, &[]).await?.1 {
            Reply::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }
}

async fn next(stream: &UnixStream) -> Result<(Reply, Vec<OwnedFd>), Error> {
    let received = wire::receive(stream).await.map_err(Error::Supervisor)?;
    match received.ok_or_else(|| Error::Supervisor(io::ErrorKind::UnexpectedEof.into()))? {
        (Reply::Failed(failure), _) => Err(failure.into()),
        answer => Ok(answer),
    }
}

fn unexpected(reply: Reply) -> Error {
    Error::Supervisor(io::Error::new(io::ErrorKind::InvalidData, format!("it answers {reply:?}")))
}

#[async_trait]
impl Runtime for Supervised {
    async fn run_sandbox(&self, spec: SandboxSpec) -> Result<Sandbox, Error> {
        match self.ask(&Request::RunSandbox(Box::new(spec)), &[]).await?.1 {
            Reply::Sandbox(sandbox) => Ok(*sandbox),
            other => Err(unexpected(other)),
        }
    }

    async fn stop_sandbox(&self, id: &str) -> Result<(), Error> {
        self.done(Request::StopSandbox(id.into())).await
    }

    async fn remove_sandbox(&self, id: &str) -> Result<(), Error> {
        self.done(Request::RemoveSandbox(id.into())).await
    }

    async fn list(&self) -> Result<(Vec<Sandbox>, Vec<Container>), Error> {
        match self.ask(&Request::List, &[]).await?.1 {
            Reply::List(sandboxes, containers) => Ok((sandboxes, containers)),
            other => Err(unexpected(other)),
        }
    }

    async fn create_container(&self, sandbox: &str, spec: ContainerSpec) -> Result<Container, Error> {
        let request = Request::Create { sandbox: sandbox.into(), spec: Box::new(spec) };
        match self.ask(&request, &[]).await?.1 {
            Reply::Container(container) => Ok(*container),
            other => Err(unexpected(other)),
        }
    }

    async fn start_container(&self, id: &str) -> Result<(), Error> {
        self.done(Request::Start(id.into())).await
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Error> {
        self.done(Request::Stop { id: id.into(), grace }).await
    }

    async fn remove_container(&self, id: &str) -> Result<(), Error> {
        self.done(Request::Remove(id.into())).await
    }

    async fn container(&self, id: &str) -> Result<Container, Error> {
        match self.ask(&Request::Container(id.into()), &[]).await?.1 {
            Reply::Container(container) => Ok(*container),
            other => Err(unexpected(other)),
        }
    }

    async fn update_container(&self, id: &str, resources: Resources) -> Result<(), Error> {
        self.done(Request::Update { id: id.into(), resources }).await
    }

    async fn update_sandbox(&self, id: &str, resources: Resources) -> Result<(), Error> {
        self.done(Request::UpdateSandbox { id: id.into(), resources }).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Event>, Error> {
        let (stream, reply, _) = self.ask(&Request::Events, &[]).await?;
        let Reply::Done = reply else { return Err(unexpected(reply)) };
        let events = futures::stream::unfold(stream, |stream| async {
            match next(&stream).await {
                Ok((Reply::Event(event), _)) => Some((*event, stream)),
                // The end of the stream is how a lost connection is told.
                _ => None,
            }
        });
        Ok(events.boxed())
    }

    async fn exec(&self, id: &str, spec: ExecSpec) -> Result<Session, Error> {
        let (own, theirs) = pipes(&spec)?;
        let request = Request::Exec { id: id.into(), spec: spec.clone(), timeout: None };
        let (stream, reply, received) = self.ask(&request, &theirs).await?;
        let Reply::Started { .. } = reply else { return Err(unexpected(reply)) };
        match received.into_iter().next() {
            Some(terminal) => terminal_session(terminal, spec.stdin, stream),
            None => own.session(stream),
        }
    }

    async fn exec_sync(&self, id: &str, argv: Vec<String>, timeout: Duration) -> Result<ExecOutput, Error> {
        let spec = ExecSpec { argv, stdout: true, stderr: true, ..ExecSpec::default() };
        let (own, theirs) = pipes(&spec)?;
        let request = Request::Exec { id: id.into(), spec, timeout: Some(timeout) };
        let (stream, reply, _) = self.ask(&request, &theirs).await?;
        drop(theirs);
        let Reply::Started { .. } = reply else { return Err(unexpected(reply)) };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let exited = {
            let reading = async {
                tokio::join!(collect(own.stdout.as_ref(), &mut stdout), collect(own.stderr.as_ref(), &mut stderr))
            };
            let exiting = next(&stream);
            tokio::pin!(reading, exiting);
            // Something that the command left behind may hold the pipes open; its own output is in them when it has ended.
            tokio::select! {
                exited = &mut exiting => exited,
                _ = &mut reading => exiting.await,
            }
        };
        let (Reply::Exited(exit_code), _) = exited? else { return Err(unexpected(Reply::Done)) };
        rest(own.stdout.as_ref(), &mut stdout);
        rest(own.stderr.as_ref(), &mut stderr);
        Ok(ExecOutput { exit_code, stdout, stderr })
    }

    async fn attach(&self, id: &str, spec: ExecSpec) -> Result<Session, Error> {
        let request = Request::Attach { id: id.into(), spec };
        let (stream, reply, received) = self.ask(&request, &[]).await?;
        let Reply::Started { stdin, stdout, stderr, terminal } = reply else { return Err(unexpected(reply)) };
        let mut received = received.into_iter();
        let mut take = |wanted: bool| if wanted { received.next() } else { None };
        let (input, output, error) = (take(stdin), take(stdout), take(stderr));
        let (resize, sizes) = mpsc::channel(1);
        let stdin: Option<Box<dyn tokio::io::AsyncWrite + Send + Unpin>> = match input {
            Some(input) if terminal => {
                let input = Terminal::new(input).map_err(Error::Supervisor)?;
                streams::follow_size(&input, sizes).map_err(Error::Supervisor)?;
                Some(Box::new(input))
            }
            Some(input) => Some(Box::new(pipe::Sender::from_owned_fd(input).map_err(Error::Supervisor)?)),
            None => None,
        };
        let reader =
            |end: Option<OwnedFd>| end.map(pipe::Receiver::from_owned_fd).transpose().map_err(Error::Supervisor);
        let own = OwnEnds { stdin: None, stdout: reader(output)?, stderr: reader(error)? };
        Ok(Session { stdin, resize, ..own.session(stream)? })
    }

    async fn connect(&self, sandbox: &str, port: u16) -> Result<TcpStream, Error> {
        let (_, reply, received) = self.ask(&Request::Sockets(sandbox.into()), &[]).await?;
        let Reply::Sockets = reply else { return Err(unexpected(reply)) };
        let addresses: [SocketAddr; 2] = [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
        let mut failure = None;
        for (socket, address) in received.into_iter().zip(addresses) {
            let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
            match socket.connect(address).await {
                Ok(stream) => return Ok(stream),
                // The pod most likely listens on IPv4, so that refusal is the one to tell.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let why = failure.map_or_else(|| "no socket".to_string(), |error| error.to_string());
        Err(Error::Other(format!("cannot connect to port {port} of sandbox {sandbox}: {why}")))
    }

    async fn reopen_log(&self, id: &str) -> Result<(), Error> {
        self.done(Request::ReopenLog(id.into())).await
    }

    async fn stats(&self, id: &str) -> Result<Stats, Error> {
        match self.ask(&Request::Stats(id.into()), &[]).await?.1 {
            Reply::Stats(stats, None) => Ok(stats),
            Reply::Stats(stats, Some(layer)) => {
                let measured = tokio::task::spawn_blocking(move || disk::used(&layer)).await;
                Ok(Stats { disk_used_bytes: measured.unwrap_or(0), ..stats })
            }
            other => Err(unexpected(other)),
        }
    }
}

/// This side's ends of a command's pipes.
#[derive(Default)]
struct OwnEnds {
    stdin: Option<pipe::Sender>,
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
}

/// The pipes that a command asks for; the second half goes to the command. A terminal needs none.
fn pipes(spec: &ExecSpec) -> Result<(OwnEnds, Vec<OwnedFd>), Error> {
    let (mut own, mut theirs) = (OwnEnds::default(), Vec::new());
    if spec.tty {
        return Ok((own, theirs));
    }
    let failed = |error: io::Error| Error::Other(format!("cannot make a pipe: {error}"));
    if spec.stdin {
        let (reader, writer) = io::pipe().map_err(failed)?;
        own.stdin = Some(pipe::Sender::from_owned_fd(writer.into()).map_err(failed)?);
        theirs.push(reader.into());
    }
    for (wanted, end) in [(spec.stdout, &mut own.stdout), (spec.stderr, &mut own.stderr)] {
        if wanted {
            let (reader, writer) = io::pipe().map_err(failed)?;
            *end = Some(pipe::Receiver::from_owned_fd(reader.into()).map_err(failed)?);
            theirs.push(writer.into());
        }
    }
    Ok((own, theirs))
}

impl OwnEnds {
    fn session(self, stream: UnixStream) -> Result<Session, Error> {
        Ok(Session {
            stdin: self.stdin.map(|end| Box::new(end) as _),
            stdout: self.stdout.map(|end| Box::new(end) as _),
            stderr: self.stderr.map(|end| Box::new(end) as _),
            resize: mpsc::channel(1).0,
            exit: exit(stream),
        })
    }
}

fn terminal_session(terminal: OwnedFd, stdin: bool, stream: UnixStream) -> Result<Session, Error> {
    let terminal = Terminal::new(terminal).map_err(Error::Supervisor)?;
    let (resize, sizes) = mpsc::channel(1);
    streams::follow_size(&terminal, sizes).map_err(Error::Supervisor)?;
    let input = stdin.then(|| terminal.share()).transpose().map_err(Error::Supervisor)?;
    Ok(Session {
        stdin: input.map(|end| Box::new(end) as _),
        stdout: Some(Box::new(terminal)),
        stderr: None,
        resize,
        exit: exit(stream),
    })
}

fn exit(stream: UnixStream) -> futures::future::BoxFuture<'static, Result<i32, Error>> {
    async move {
        match next(&stream).await? {
            (Reply::Exited(code), _) => Ok(code),
            (other, _) => Err(unexpected(other)),
        }
    }
    .boxed()
}

/// Reads until the end, keeping the beginning.
async fn collect(end: Option<&pipe::Receiver>, kept: &mut Vec<u8>) {
    let Some(end) = end else { return };
    let mut buffer = [0; 4096];
    loop {
        if end.readable().await.is_err() {
            return;
        }
        match end.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => keep(&buffer[..count], kept),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // A pipe that cannot be read has nothing more to tell.
            Err(_) => return,
        }
    }
}

/// Reads what is there now.
fn rest(end: Option<&pipe::Receiver>, kept: &mut Vec<u8>) {
    let Some(end) = end else { return };
    let mut buffer = [0; 4096];
    // The descriptor itself is asked: readiness that was not delivered yet must not hide data.
    loop {
        match rustix::io::read(end.as_fd(), &mut buffer) {
            Ok(count) if count > 0 => keep(&buffer[..count], kept),
            _ => return,
        }
    }
}

fn keep(bytes: &[u8], kept: &mut Vec<u8>) {
    let room = (LONGEST_OUTPUT as usize).saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}
