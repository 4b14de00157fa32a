//! Header blocks: names and values, compressed with one state per direction for the whole connection.

use super::Error;
use super::dictionary::DICTIONARY;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Largest header block, decompressed.
const LARGEST: usize = 256 << 10;
/// Room that is made at a time.
const ROOM: usize = 4 << 10;

/// Names (lower case) and values.
pub type Headers = Vec<(String, String)>;

/// Reads header blocks.
pub struct Reader(Decompress);

impl Reader {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// Reads one block.
    pub fn read(&mut self, compressed: &[u8]) -> Result<Headers, Error> {
        let mut block = Vec::with_capacity(ROOM);
        let mut input = compressed;
        loop {
            let before = self.0.total_in();
            let result = self.0.decompress_vec(input, &mut block, FlushDecompress::Sync);
            input = &input[(self.0.total_in() - before) as usize..];
            match result {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&DICTIONARY).map_err(|_| Error::Headers)?;
                    continue;
                }
                Err(_) | Ok(Status::StreamEnd) => return Err(Error::Headers),
                Ok(_) => {}
            }
            if block.len() < block.capacity() && input.is_empty() {
                break;
            }
            if block.len() < block.capacity() && self.0.total_in() == before {
                return Err(Error::Headers);
            }
            if block.len() >= LARGEST {
                return Err(Error::TooLarge(block.len()));
            }
            block.reserve(ROOM);
        }
        parse(&block).ok_or(Error::Headers)
    }
}

fn parse(mut block: &[u8]) -> Option<Headers> {
    fn number(block: &mut &[u8]) -> Option<usize> {
        let (head, rest) = block.split_at_checked(4)?;
        *block = rest;
        usize::try_from(u32::from_be_bytes(head.try_into().ok()?)).ok()
    }
    fn text(block: &mut &[u8]) -> Option<String> {
        let length = number(block)?;
        let (text, rest) = block.split_at_checked(length)?;
        *block = rest;
        String::from_utf8(text.to_vec()).ok()
    }
    let count = number(&mut block)?;
    let mut headers = Vec::new();
    for _ in 0..count {
        headers.push((text(&mut block)?.to_ascii_lowercase(), text(&mut block)?));
    }
    Some(headers)
}

/// Writes header blocks.
pub struct Writer(Compress);

impl Writer {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        let mut compress = Compress::new(Compression::default(), true);
        compress.set_dictionary(&DICTIONARY).expect("a fresh compressor takes a dictionary");
        Self(compress)
    }

    /// Writes one block.
    pub fn write(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        let number = |number: usize, block: &mut Vec<u8>| block.extend_from_slice(&(number as u32).to_be_bytes());
        number(headers.len(), &mut block);
        for (name, value) in headers {
            for text in [name, value] {
                number(text.len(), &mut block);
                block.extend_from_slice(text.as_bytes());
            }
        }
        let mut compressed = Vec::with_capacity(ROOM);
        let mut input = block.as_slice();
        loop {
            let before = self.0.total_in();
            self.0.compress_vec(input, &mut compressed, FlushCompress::Sync).expect("memory to memory cannot fail");
            input = &input[(self.0.total_in() - before) as usize..];
            if input.is_empty() && compressed.len() < compressed.capacity() {
                return compressed;
            }
            compressed.reserve(ROOM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_one_connection_share_their_state() {
        let (mut writer, mut reader) = (Writer::new(), Reader::new());
        for _ in 0..3 {
            let block = writer.write(&[("streamtype", "stdin"), ("port", "80")]);
            let headers = reader.read(&block).unwrap();
            assert_eq!(headers, [("streamtype".into(), "stdin".into()), ("port".into(), "80".into())]);
        }
        let large = "x".repeat(50_000);
        assert_eq!(reader.read(&writer.write(&[("a", &large)])).unwrap()[0].1, large);
    }

    #[test]
    fn a_block_that_lies_about_its_lengths_is_refused() {
        assert_eq!(parse(&[0, 0, 0, 9]), None);
        assert_eq!(parse(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 1]), None);
        assert!(Reader::new().read(b"no deflate").is_err());
        assert!(Reader::new().read(&Writer::new().write(&[("a", &"x".repeat(LARGEST * 2))])).is_err());
    }
}
