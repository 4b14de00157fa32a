//! The server's side of a connection: one task reads and one writes, streams are channels between them and the handlers.

use super::Error;
use super::frame::{self, Control, Head};
use super::headers::{Headers, Reader, Writer};
use crate::node::server::channels::{INLET_PIECES, Inlet, LINGER, OUTGOING_FRAMES, Outgoing, Outlet, PIECE};
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Streams that may be open at once.
const STREAMS: usize = 1000;
/// Streams that may wait to be accepted.
const WAITING: usize = 64;

/// A stream that the client opened.
pub struct Stream {
    /// Odd, growing.
    pub id: u32,
    pub headers: Headers,
    pub inlet: Inlet,
    pub outlet: Outlet,
    /// The client has given the stream up, or is gone.
    pub reset: CancellationToken,
    out: mpsc::Sender<Outgoing>,
    /// While the stream is held, it counts.
    _held: Arc<()>,
}

impl Stream {
    /// The value of a header, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// Tells the client that it may use the stream.
    pub async fn accept(&self) {
        // A client that is gone ends the handler by the stream's end.
        self.out.send(Outgoing::Reply(self.id)).await.ok();
    }

    /// Tells the client that it may not.
    pub async fn refuse(self) {
        // As above.
        self.out.send(Outgoing::Reset(self.id, frame::REFUSED_STREAM)).await.ok();
    }
}

/// A connection.
pub struct Connection {
    /// Streams that the client opens.
    pub streams: mpsc::Receiver<Stream>,
    pub out: mpsc::Sender<Outgoing>,
    /// The client is gone.
    pub closed: CancellationToken,
}

/// Speaks SPDY over `io`. Dropping every sender of the connection closes it.
pub fn serve<Io: AsyncRead + AsyncWrite + Send + 'static>(io: Io) -> Connection {
    let (read, write) = tokio::io::split(io);
    let (out, outgoing) = mpsc::channel(OUTGOING_FRAMES);
    let (arrived, streams) = mpsc::channel(WAITING);
    let closed = CancellationToken::new();
    let input = Input {
        read,
        buffer: BytesMut::new(),
        headers: Reader::new(),
        open: HashMap::new(),
        newest: 0,
        arrived,
        out: out.downgrade(),
        closed: closed.clone(),
    };
    let ended = closed.clone();
    tokio::spawn(async move {
        let reading = input.run();
        tokio::pin!(reading);
        tokio::select! {
            result = &mut reading => log(result),
            result = write_frames(write, outgoing) => {
                log(result.map_err(Error::Io));
                // What the client still sends is read, so that what it was sent is not lost with a reset connection.
                tokio::time::timeout(LINGER, reading).await.ok();
            }
        }
        ended.cancel();
    });
    Connection { streams, out, closed }
}

fn log(result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a SPDY connection ended");
    }
}

/// The reading side.
struct Input<Read> {
    read: Read,
    buffer: BytesMut,
    headers: Reader,
    /// Streams that a handler holds, and some that it has let go of.
    open: HashMap<u32, Open>,
    /// The newest stream's id.
    newest: u32,
    arrived: mpsc::Sender<Stream>,
    out: mpsc::WeakSender<Outgoing>,
    closed: CancellationToken,
}

struct Open {
    /// Nothing once the client has ended its side.
    inlet: Option<mpsc::Sender<Bytes>>,
    reset: CancellationToken,
    held: Weak<()>,
}

impl<Read: AsyncRead + Unpin> Input<Read> {
    async fn run(mut self) -> Result<(), Error> {
        while self.fill(8).await? {
            let head: [u8; 8] = self.buffer.split_to(8).as_ref().try_into().expect("eight bytes were split off");
            match Head::read(head) {
                Head::Data { stream, fin, length } => self.data(stream, fin, length).await?,
                Head::Control { length, .. } if length > frame::LARGEST_CONTROL => {
                    return Err(Error::TooLarge(length));
                }
                Head::Control { version, kind, flags, length } => {
                    if !self.fill(length).await? {
                        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                    }
                    let body = self.buffer.split_to(length);
                    let control = frame::control(version, kind, flags, &body, &mut self.headers)?;
                    self.control(control).await;
                }
            }
        }
        Ok(())
    }

    /// Reads until there are `wanted` bytes; false at the end of the connection.
    async fn fill(&mut self, wanted: usize) -> Result<bool, Error> {
        while self.buffer.len() < wanted {
            self.buffer.reserve(PIECE.max(wanted - self.buffer.len()));
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn data(&mut self, stream: u32, fin: bool, length: usize) -> Result<(), Error> {
        let mut left = length;
        while left > 0 {
            if !self.fill(1).await? {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            let piece = self.buffer.split_to(left.min(self.buffer.len()).min(PIECE)).freeze();
            left -= piece.len();
            if let Some(inlet) = self.open.get(&stream).and_then(|open| open.inlet.as_ref()) {
                // A handler that does not read any more does not miss it.
                inlet.send(piece).await.ok();
            }
        }
        if fin {
            self.end(stream);
        }
        Ok(())
    }

    async fn control(&mut self, control: Control) {
        match control {
            Control::Open { stream, fin, headers } => self.opened(stream, fin, headers).await,
            Control::End { stream } => self.end(stream),
            Control::Reset { stream } => {
                if let Some(open) = self.open.remove(&stream) {
                    open.reset.cancel();
                }
            }
            // Pings of the server would be even; it sends none.
            Control::Ping(id) if id % 2 == 1 => self.tell(Outgoing::Ping(id)).await,
            Control::Ping(_) | Control::GoAway | Control::Nothing => {}
        }
    }

    fn end(&mut self, stream: u32) {
        if let Some(open) = self.open.get_mut(&stream) {
            open.inlet = None;
        }
    }

    async fn opened(&mut self, id: u32, fin: bool, headers: Headers) {
        if id.is_multiple_of(2) || id <= self.newest {
            return self.tell(Outgoing::Reset(id, frame::PROTOCOL_ERROR)).await;
        }
        self.newest = id;
        // Streams whose handler is gone count no more.
        self.open.retain(|_, open| open.held.strong_count() > 0);
        let Some(out) = self.out.upgrade().filter(|_| self.open.len() < STREAMS) else {
            return self.tell(Outgoing::Reset(id, frame::REFUSED_STREAM)).await;
        };
        let (inlet, receiver) = mpsc::channel(INLET_PIECES);
        let (reset, held) = (self.closed.child_token(), Arc::new(()));
        let open = Open { inlet: Some(inlet).filter(|_| !fin), reset: reset.clone(), held: Arc::downgrade(&held) };
        self.open.insert(id, open);
        let outlet = Outlet::new(id, out.clone());
        let stream = Stream { id, headers, inlet: receiver, outlet, reset, out, _held: held };
        if let Err(error) = self.arrived.send(stream).await {
            error.0.refuse().await;
        }
    }

    async fn tell(&mut self, frame: Outgoing) {
        if let Some(out) = self.out.upgrade() {
            // The writer is gone with the client.
            out.send(frame).await.ok();
        }
    }
}

async fn write_frames<Write: AsyncWrite + Unpin>(
    write: Write,
    mut frames: mpsc::Receiver<Outgoing>,
) -> std::io::Result<()> {
    let mut write = BufWriter::with_capacity(PIECE, write);
    let mut headers = Writer::new();
    let mut newest = 0u32;
    while let Some(frame) = frames.recv().await {
        match frame {
            Outgoing::Data(stream, bytes) => {
                write.write_all(&frame::data_head(stream, false, bytes.len())).await?;
                write.write_all(&bytes).await?;
            }
            Outgoing::End(stream) => write.write_all(&frame::data_head(stream, true, 0)).await?,
            Outgoing::Reply(stream) => {
                newest = stream;
                let block = headers.write(&[]);
                let reply = frame::control_frame(frame::SYN_REPLY, 0, &[&stream.to_be_bytes(), &block]);
                write.write_all(&reply).await?;
            }
            Outgoing::Reset(stream, status) => {
                let body = [stream.to_be_bytes(), status.to_be_bytes()].concat();
                write.write_all(&frame::control_frame(frame::RST_STREAM, 0, &[&body])).await?;
            }
            Outgoing::Ping(id) => {
                write.write_all(&frame::control_frame(frame::PING, 0, &[&id.to_be_bytes()])).await?;
            }
            Outgoing::Close => break,
        }
        if frames.is_empty() {
            write.flush().await?;
        }
    }
    let body = [newest.to_be_bytes(), 0u32.to_be_bytes()].concat();
    write.write_all(&frame::control_frame(frame::GO_AWAY, 0, &[&body])).await?;
    write.shutdown().await
}

#[cfg(test)]
mod tests {
    use crate::node::server::spdy::{client::Client, serve};

    #[tokio::test]
    async fn streams_carry_bytes_both_ways_and_end_one_side_at_a_time() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut connection = serve(far);
        let mut client = Client::new(near);
        let id = client.open(&[("streamtype", "data"), ("port", "80")]).await;
        let mut stream = connection.streams.recv().await.unwrap();
        assert_eq!((stream.id, stream.header("port")), (id, "80"));
        stream.accept().await;
        client.data(id, b"hello", false).await;
        client.data(id, &[7; 100_000], true).await;
        let mut got = Vec::new();
        while let Some(piece) = stream.inlet.recv().await {
            got.extend_from_slice(&piece);
        }
        assert_eq!((got.len(), &got[..5]), (100_005, &b"hello"[..]));
        stream.outlet.send("answer").await.unwrap();
        stream.outlet.end().await.unwrap();
        assert_eq!(client.read_to_end(id).await, b"answer");
    }

    #[tokio::test]
    async fn a_reset_or_a_hang_up_reaches_the_handler() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut connection = serve(far);
        let mut client = Client::new(near);
        let ids = [client.open(&[]).await, client.open(&[]).await];
        let (mut one, mut two) = (connection.streams.recv().await.unwrap(), connection.streams.recv().await.unwrap());
        client.reset(ids[0]).await;
        one.reset.cancelled().await;
        assert!(one.inlet.recv().await.is_none());
        assert!(!two.reset.is_cancelled());
        drop(client);
        assert!(two.inlet.recv().await.is_none());
        connection.closed.cancelled().await;
    }

    #[tokio::test]
    async fn a_ping_is_answered_and_a_second_use_of_an_id_is_refused() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut connection = serve(far);
        let mut client = Client::new(near);
        client.ping(9).await;
        assert_eq!(client.next_ping().await, 9);
        let id = client.open(&[]).await;
        client.open_as(id, &[]).await;
        assert_eq!(client.next_reset().await, id);
        assert!(connection.streams.recv().await.is_some());
    }

    #[tokio::test]
    async fn a_frame_that_lies_about_its_size_ends_the_connection() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let connection = serve(far);
        let mut client = Client::new(near);
        client.raw(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]).await;
        connection.closed.cancelled().await;
    }
}
