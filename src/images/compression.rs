//! Streams that may be compressed: told by their first bytes, not by their names.

use std::io::{self, BufRead, BufReader, Read};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Reads `from`, inflated if it is gzip or zstd.
pub(super) fn decompressed<'a>(from: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut from = BufReader::with_capacity(128 * 1024, from);
    let start = from.fill_buf()?;
    if start.starts_with(GZIP) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(from)));
    }
    if start.starts_with(ZSTD) {
        return Ok(Box::new(Zstd { from, frame: None }));
    }
    Ok(Box::new(from))
}

/// The suffix that a layer's media type has for the compression of the file: nothing, `+gzip` or `+zstd`.
pub(super) fn kind(path: &std::path::Path) -> io::Result<&'static str> {
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(match start {
        start if start.starts_with(GZIP) => "+gzip",
        start if start.starts_with(ZSTD) => "+zstd",
        _ => "",
    })
}

/// Zstandard streams of any number of frames.
struct Zstd<R: BufRead> {
    from: R,
    frame: Option<Box<ruzstd::decoding::FrameDecoder>>,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let frame = match &mut self.frame {
                Some(frame) => frame,
                None if self.from.fill_buf()?.is_empty() => return Ok(0),
                None => match next_frame(&mut self.from)? {
                    Some(frame) => self.frame.insert(Box::new(frame)),
                    None => continue,
                },
            };
            let wanted = ruzstd::decoding::BlockDecodingStrategy::UptoBytes(buffer.len());
            if !frame.is_finished() && frame.can_collect() < buffer.len() {
                frame.decode_blocks(&mut self.from, wanted).map_err(io::Error::other)?;
            }
            let count = frame.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            if frame.is_finished() {
                self.frame = None;
            }
        }
    }
}

/// The decoder of the frame that starts here; `None` after a skippable one.
fn next_frame(from: &mut impl BufRead) -> io::Result<Option<ruzstd::decoding::FrameDecoder>> {
    use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
    let mut frame = ruzstd::decoding::FrameDecoder::new();
    match frame.init(&mut *from) {
        Ok(()) => Ok(Some(frame)),
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
            io::copy(&mut from.take(u64::from(length)), &mut io::sink())?;
            Ok(None)
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn gzip_of_several_members_and_plain_bytes_are_read() {
        let mut bytes = Vec::new();
        for part in ["one ", "two"] {
            let mut encoder = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            encoder.finish().unwrap();
        }
        assert_eq!(io::read_to_string(decompressed(&bytes[..]).unwrap()).unwrap(), "one two");
        assert_eq!(io::read_to_string(decompressed(&b"plain"[..]).unwrap()).unwrap(), "plain");
    }

    #[test]
    fn zstandard_of_several_frames_is_read() {
        let frame = |data: &[u8]| ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest);
        let long = "all work and no play ".repeat(20_000);
        let bytes = [frame(long.as_bytes()), frame(b"end")].concat();
        assert_eq!(io::read_to_string(decompressed(&bytes[..]).unwrap()).unwrap(), format!("{long}end"));
    }

    #[test]
    fn a_stream_that_ends_early_is_an_error() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[7; 10_000]).unwrap();
        let bytes = encoder.finish().unwrap();
        assert!(io::copy(&mut decompressed(&bytes[..bytes.len() / 2]).unwrap(), &mut io::sink()).is_err());
    }
}
