//! SPDY/3.1 as far as Kubernetes speaks it: streams that the client opens, with named headers and bytes both ways.
//!
//! Source: the SPDY protocol, draft 3.1; what clients do: moby/spdystream, which every Go client uses. It neither sends nor
//! heeds WINDOW_UPDATE, so none is sent here and none is waited for: TCP holds back who is too fast.

mod connection;
mod dictionary;
mod frame;
mod headers;

pub use connection::{Stream, serve};

/// What breaks a connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("connection broken")]
    Io(#[from] std::io::Error),
    #[error("frame of {0} bytes is too large")]
    TooLarge(usize),
    #[error("frame of type {kind} is malformed")]
    Malformed { kind: u16 },
    #[error("headers cannot be read")]
    Headers,
}

#[cfg(test)]
pub mod client;
