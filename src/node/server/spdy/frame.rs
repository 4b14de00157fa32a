//! Frames: what stands in the eight bytes before each, and the bodies of control frames.

use super::Error;
use super::headers::{Headers, Reader};

/// The version in every control frame.
const VERSION: u16 = 3;
/// Largest control frame.
pub const LARGEST_CONTROL: usize = 128 << 10;
/// Nothing more comes from the sender of this frame on this stream.
pub const FIN: u8 = 1;

/// Statuses of a reset.
pub const REFUSED_STREAM: u32 = 3;
pub const PROTOCOL_ERROR: u32 = 1;

/// Types of control frames.
pub const SYN_STREAM: u16 = 1;
pub const SYN_REPLY: u16 = 2;
pub const RST_STREAM: u16 = 3;
pub const PING: u16 = 6;
pub const GO_AWAY: u16 = 7;
pub const HEADERS: u16 = 8;

/// The first eight bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    Data { stream: u32, fin: bool, length: usize },
    Control { version: u16, kind: u16, flags: u8, length: usize },
}

impl Head {
    /// Takes the first eight bytes apart.
    pub fn read(bytes: [u8; 8]) -> Self {
        let [a, b, c, d, flags, e, f, g] = bytes;
        let length = u32::from_be_bytes([0, e, f, g]) as usize;
        if a & 0x80 == 0 {
            return Head::Data { stream: u32::from_be_bytes([a, b, c, d]), fin: flags & FIN != 0, length };
        }
        let (version, kind) = (u16::from_be_bytes([a & 0x7f, b]), u16::from_be_bytes([c, d]));
        Head::Control { version, kind, flags, length }
    }
}

/// What a control frame says.
#[derive(Debug, PartialEq, Eq)]
pub enum Control {
    Open {
        stream: u32,
        fin: bool,
        headers: Headers,
    },
    /// Nothing more comes on a stream (FIN in a reply or in headers).
    End {
        stream: u32,
    },
    Reset {
        stream: u32,
    },
    Ping(u32),
    GoAway,
    /// Settings, windows, replies: nothing to do.
    Nothing,
}

/// Reads the body of a control frame.
pub fn control(version: u16, kind: u16, flags: u8, body: &[u8], headers: &mut Reader) -> Result<Control, Error> {
    if version != VERSION {
        return Err(Error::Malformed { kind });
    }
    let word = |at: usize| -> Result<u32, Error> {
        let bytes = body.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).ok_or(Error::Malformed { kind })
    };
    let block = |from: usize| body.get(from..).ok_or(Error::Malformed { kind });
    let fin = flags & FIN != 0;
    Ok(match kind {
        SYN_STREAM => Control::Open { stream: word(0)? & 0x7fff_ffff, fin, headers: headers.read(block(10)?)? },
        SYN_REPLY | HEADERS => {
            // Read even if it is of no use: the state of the compression goes on.
            headers.read(block(4)?)?;
            if fin { Control::End { stream: word(0)? & 0x7fff_ffff } } else { Control::Nothing }
        }
        RST_STREAM => Control::Reset { stream: word(0)? & 0x7fff_ffff },
        PING => Control::Ping(word(0)?),
        GO_AWAY => Control::GoAway,
        _ => Control::Nothing,
    })
}

/// The head of a data frame.
pub fn data_head(stream: u32, fin: bool, length: usize) -> [u8; 8] {
    let [a, b, c, d] = stream.to_be_bytes();
    let [_, e, f, g] = (length as u32).to_be_bytes();
    [a, b, c, d, u8::from(fin), e, f, g]
}

/// A whole control frame.
pub fn control_frame(kind: u16, flags: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let [_, e, f, g] = (length as u32).to_be_bytes();
    let [a, b] = (VERSION | 0x8000).to_be_bytes();
    let [c, d] = kind.to_be_bytes();
    let mut frame = Vec::with_capacity(8 + length);
    frame.extend_from_slice(&[a, b, c, d, flags, e, f, g]);
    parts.iter().for_each(|part| frame.extend_from_slice(part));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tell_data_from_control() {
        let data = Head::read(data_head(5, true, 70_000));
        assert_eq!(data, Head::Data { stream: 5, fin: true, length: 70_000 });
        let frame = control_frame(PING, 0, &[&7u32.to_be_bytes()]);
        let head = Head::read(frame[..8].try_into().unwrap());
        assert_eq!(head, Head::Control { version: 3, kind: PING, flags: 0, length: 4 });
        assert_eq!(control(3, PING, 0, &frame[8..], &mut Reader::new()).unwrap(), Control::Ping(7));
    }

    #[test]
    fn short_or_foreign_frames_are_refused() {
        for (version, kind, body) in [(3, SYN_STREAM, &[0u8; 4][..]), (3, RST_STREAM, &[0; 2]), (2, PING, &[0; 4])] {
            assert!(control(version, kind, 0, body, &mut Reader::new()).is_err());
        }
        assert_eq!(control(3, 9, 0, &[0; 8], &mut Reader::new()).unwrap(), Control::Nothing);
    }
}
