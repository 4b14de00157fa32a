//! A client for tests: opens streams, collects what comes back.

use super::frame::{self, Control, Head};
use super::headers::{Reader, Writer};
use std::collections::{HashMap, HashSet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The client's side of a connection.
pub struct Client<Io> {
    io: Io,
    headers: Writer,
    reader: Reader,
    next: u32,
    got: HashMap<u32, Vec<u8>>,
    ended: HashSet<u32>,
    pings: Vec<u32>,
    resets: Vec<u32>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Client<Io> {
    pub fn new(io: Io) -> Self {
        Self {
            io,
            headers: Writer::new(),
            reader: Reader::new(),
            next: 1,
            got: HashMap::new(),
            ended: HashSet::new(),
            pings: Vec::new(),
            resets: Vec::new(),
        }
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    /// Opens a stream; returns its id.
    pub async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let id = self.next;
        self.next += 2;
        self.open_as(id, headers).await;
        id
    }

    pub async fn open_as(&mut self, id: u32, headers: &[(&str, &str)]) {
        let block = self.headers.write(headers);
        let frame = frame::control_frame(frame::SYN_STREAM, 0, &[&id.to_be_bytes(), &[0; 6], &block]);
        self.raw(&frame).await;
    }

    pub async fn data(&mut self, id: u32, bytes: &[u8], fin: bool) {
        self.raw(&frame::data_head(id, fin, bytes.len())).await;
        self.raw(bytes).await;
    }

    pub async fn reset(&mut self, id: u32) {
        self.raw(&frame::control_frame(frame::RST_STREAM, 0, &[&id.to_be_bytes(), &5u32.to_be_bytes()])).await;
    }

    pub async fn ping(&mut self, id: u32) {
        self.raw(&frame::control_frame(frame::PING, 0, &[&id.to_be_bytes()])).await;
    }

    /// What came on a stream until the server ended it.
    pub async fn read_to_end(&mut self, id: u32) -> Vec<u8> {
        while !self.ended.contains(&id) {
            assert!(self.step().await, "the connection ended before stream {id}");
        }
        self.got.remove(&id).unwrap_or_default()
    }

    /// What came on a stream so far, at least `wanted` bytes.
    pub async fn read(&mut self, id: u32, wanted: usize) -> Vec<u8> {
        while self.got.get(&id).map_or(0, Vec::len) < wanted {
            assert!(self.step().await, "the connection ended before stream {id} had {wanted} bytes");
        }
        self.got.remove(&id).unwrap_or_default()
    }

    pub async fn next_ping(&mut self) -> u32 {
        while self.pings.is_empty() {
            assert!(self.step().await);
        }
        self.pings.remove(0)
    }

    pub async fn next_reset(&mut self) -> u32 {
        while self.resets.is_empty() {
            assert!(self.step().await);
        }
        self.resets.remove(0)
    }

    /// Reads one frame; false at the end.
    async fn step(&mut self) -> bool {
        let mut head = [0; 8];
        if self.io.read_exact(&mut head).await.is_err() {
            return false;
        }
        match Head::read(head) {
            Head::Data { stream, fin, length } => {
                let mut body = vec![0; length];
                self.io.read_exact(&mut body).await.unwrap();
                self.got.entry(stream).or_default().extend(body);
                if fin {
                    self.ended.insert(stream);
                }
            }
            Head::Control { version, kind, flags, length } => {
                let mut body = vec![0; length];
                self.io.read_exact(&mut body).await.unwrap();
                match frame::control(version, kind, flags, &body, &mut self.reader).unwrap() {
                    Control::Ping(id) => self.pings.push(id),
                    Control::Reset { stream } => self.resets.push(stream),
                    _ => {}
                }
            }
        }
        true
    }
}
