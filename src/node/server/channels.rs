//! What SPDY and WebSocket have in common here: numbered channels of bytes over one connection.
//!
//! ```text
//! handler ── Outlet (one per channel) ──▶ Outgoing ──▶ one task that writes ──▶ client
//! handler ◀── Inlet (one per channel) ◀── one task that reads ◀── client
//! ```
//!
//! A whole frame is handed over at a time, so a handler that is given up never leaves half a frame behind.

use bytes::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;

/// Bytes from the client; ends when the client has closed the channel or is gone.
pub type Inlet = mpsc::Receiver<Bytes>;

/// Pieces that may wait for a handler before the client is held back. A client of several channels is held back as a whole.
pub const INLET_PIECES: usize = 256;
/// Frames that may wait for the client before handlers are held back.
pub const OUTGOING_FRAMES: usize = 16;
/// Largest piece of data in one frame.
pub const PIECE: usize = 32 << 10;
/// How long a client may take to hang up after it was told that this was all.
pub const LINGER: Duration = Duration::from_secs(5);

/// What is written to the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Outgoing {
    Data(u32, Bytes),
    /// Nothing more comes on this channel.
    End(u32),
    /// Nothing more comes at all.
    Close,
    /// SPDY: a stream that the client opened is accepted.
    Reply(u32),
    /// SPDY: a stream is given up, with a status.
    Reset(u32, u32),
    /// SPDY: the answer to a ping.
    Ping(u32),
}

/// The client is gone.
#[derive(Debug, thiserror::Error)]
#[error("the client is gone")]
pub struct Gone;

/// One channel to the client.
#[derive(Clone, Debug)]
pub struct Outlet {
    channel: u32,
    to: mpsc::Sender<Outgoing>,
}

impl Outlet {
    /// The channel of that number.
    pub fn new(channel: u32, to: mpsc::Sender<Outgoing>) -> Self {
        Self { channel, to }
    }

    /// Sends bytes, waiting while the client is slow.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> Result<(), Gone> {
        self.to.send(Outgoing::Data(self.channel, bytes.into())).await.map_err(|_| Gone)
    }

    /// Says that nothing more comes on this channel.
    pub async fn end(&self) -> Result<(), Gone> {
        self.to.send(Outgoing::End(self.channel)).await.map_err(|_| Gone)
    }
}
