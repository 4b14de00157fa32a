//! What the client and the supervisor say to each other over the unix socket.
//!
//! One connection carries one request and its answers. A message is its length (four bytes, little endian) and JSON; file
//! descriptors (pipes, terminals, sockets) travel with its first byte.

use super::spec::*;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Descriptors that one message may carry.
const DESCRIPTORS: usize = 4;
/// The longest message in bytes: far more than the list of a full node.
const LONGEST: usize = 256 << 20;

/// What a client asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    RunSandbox(Box<SandboxSpec>),
    StopSandbox(String),
    RemoveSandbox(String),
    List,
    Create {
        sandbox: String,
        spec: Box<ContainerSpec>,
    },
    Start(String),
    Stop {
        id: String,
        grace: Duration,
    },
    Remove(String),
    Container(String),
    UpdateSandbox {
        id: String,
        resources: Resources,
    },
    Update {
        id: String,
        resources: Resources,
    },
    /// Answered with events until the client goes away.
    Events,
    /// Carries the command's ends of its pipes, in the order stdin, stdout, stderr, unless it has a terminal.
    Exec {
        id: String,
        spec: ExecSpec,
        /// The command is killed when it takes longer.
        timeout: Option<Duration>,
    },
    Attach {
        id: String,
        spec: ExecSpec,
    },
    /// A TCP socket (IPv4, then IPv6) in the sandbox's network.
    Sockets(String),
    ReopenLog(String),
    Stats(String),
}

/// What the supervisor answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    Done,
    Sandbox(Box<Sandbox>),
    Container(Box<Container>),
    List(Vec<Sandbox>, Vec<Container>),
    /// With the folder of the writable layer, where there is one: who asks measures it, because that may take long.
    Stats(Stats, Option<PathBuf>),
    Event(Box<Event>),
    /// A command runs, or an attachment stands. Carries its terminal, or the client's ends of its pipes.
    Started {
        stdin: bool,
        stdout: bool,
        stderr: bool,
        terminal: bool,
    },
    /// The exit code of a command or of an attached container.
    Exited(i32),
    Sockets,
    Failed(Failure),
}

/// An [`Error`] on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Failure {
    NotFound(String),
    NotRunning(String),
    NoImage(String),
    Timeout(Duration),
    Start(String),
    Other(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotFound(id) => Error::NotFound(id),
            Failure::NotRunning(id) => Error::NotRunning(id),
            Failure::NoImage(id) => Error::NoImage(id),
            Failure::Timeout(limit) => Error::Timeout(limit),
            Failure::Start(text) => Error::Start(text),
            Failure::Other(text) => Error::Other(text),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(id) => Failure::NotFound(id),
            Error::NotRunning(id) => Failure::NotRunning(id),
            Error::NoImage(id) => Failure::NoImage(id),
            Error::Timeout(limit) => Failure::Timeout(limit),
            Error::Start(text) => Failure::Start(text),
            Error::Supervisor(source) => Failure::Other(source.to_string()),
            Error::Other(text) => Failure::Other(text),
        }
    }
}

/// Sends one message with descriptors.
pub async fn send(stream: &UnixStream, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).map_err(|_| io::ErrorKind::InvalidInput)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    let mut sent = 0;
    while sent < bytes.len() {
        let descriptors = if sent == 0 { descriptors } else { &[] };
        let rest = &bytes[sent..];
        sent += stream.async_io(Interest::WRITABLE, || send_some(stream.as_fd(), rest, descriptors)).await?;
    }
    Ok(())
}

fn send_some(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives one message with its descriptors; nothing when the other side went away between messages.
pub async fn receive<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut descriptors = Vec::new();
    let mut header = [0; 4];
    if !fill(stream, &mut header, &mut descriptors).await? {
        return Ok(None);
    }
    let length = u32::from_le_bytes(header) as usize;
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
    }
    let mut bytes = vec![0; length];
    if !fill(stream, &mut bytes, &mut descriptors).await? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((serde_json::from_slice(&bytes)?, descriptors)))
}

/// Everything until the other side closes.
pub async fn receive_all(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
    let mut buffer = [0; 512];
    loop {
        let part = &mut buffer[..];
        match stream.async_io(Interest::READABLE, || receive_some(stream.as_fd(), part, &mut descriptors)).await? {
            0 => return Ok((bytes, descriptors)),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Fills `buffer`; false when the other side went away before the first byte.
async fn fill(stream: &UnixStream, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        match stream.async_io(Interest::READABLE, || receive_some(stream.as_fd(), rest, descriptors)).await? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(true)
}

fn receive_some(socket: BorrowedFd<'_>, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[tokio::test]
    async fn messages_arrive_whole_with_their_descriptors() {
        let (one, two) = UnixStream::pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let long = "x".repeat(1 << 20);
        let sending = async {
            send(&one, &Request::Start(long.clone()), &[writer.as_fd()]).await.unwrap();
            send(&one, &Request::List, &[]).await.unwrap();
            drop(one);
        };
        let receiving = async {
            let (first, descriptors) = receive::<Request>(&two).await.unwrap().unwrap();
            let (second, none) = receive::<Request>(&two).await.unwrap().unwrap();
            assert!(matches!(first, Request::Start(text) if text == long));
            assert!(matches!(second, Request::List) && none.is_empty());
            assert!(receive::<Request>(&two).await.unwrap().is_none());
            descriptors
        };
        let (_, mut descriptors) = tokio::join!(sending, receiving);
        std::fs::File::from(descriptors.pop().unwrap()).write_all(b"hello").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
}
