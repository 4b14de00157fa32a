//! Reading one log file, blocking: where the last lines begin, and one piece after the other from there.

use super::Options;
use super::line::Filter;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;
/// Longest line: what is longer is no line of a runtime, which cuts them at 16 KiB.
const LONGEST_LINE: usize = 1 << 20;

/// A log that is being read.
pub struct Reader {
    file: File,
    /// Device and inode: whether the path still leads here.
    identity: (u64, u64),
    filter: Filter,
    /// A line whose end has not been read yet.
    begun: Vec<u8>,
}

impl Reader {
    /// Opens a log at the lines that are wanted; nothing if there is no file.
    pub fn open(path: &Path, options: &Options) -> io::Result<Option<Self>> {
        let Some((mut file, identity)) = open(path)? else { return Ok(None) };
        if let Some(lines) = options.tail {
            let at = start_of_last(&mut file, lines)?;
            file.seek(SeekFrom::Start(at))?;
        }
        Ok(Some(Self { file, identity, filter: Filter::new(options), begun: Vec::new() }))
    }

    /// What is wanted of the next piece; nothing at the end of the file, as far as it is written.
    pub fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = vec![0; PIECE];
        let mut out = Vec::new();
        while out.is_empty() && !self.filter.is_done() {
            let count = self.file.read(&mut piece)?;
            if count == 0 {
                return Ok(None);
            }
            self.take(&piece[..count], &mut out);
        }
        Ok(Some(out).filter(|out| !out.is_empty()))
    }

    /// The rest of a log that is not written any more: a last line without an end.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let begun = std::mem::take(&mut self.begun);
        self.filter.take(&begun, &mut out);
        out
    }

    /// Whether nothing more is wanted.
    pub fn is_done(&self) -> bool {
        self.filter.is_done()
    }

    /// At the end of the file: what comes next if the path leads to another one now, nothing if it does not. The new file is
    /// made after the last line of the old one was written, so the old one is read once more before.
    pub fn renewed(&mut self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match open(path)? {
            Some((file, identity)) if identity != self.identity => {
                let rest = self.next()?;
                if rest.is_none() {
                    (self.file, self.identity) = (file, identity);
                    self.begun.clear();
                }
                Ok(Some(rest.unwrap_or_default()))
            }
            // Rotated away, and the next one is not there yet; or still the same.
            _ => Ok(None),
        }
    }

    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
            bytes = rest;
            if self.begun.is_empty() {
                self.filter.take(line, out);
            } else {
                self.begun.extend_from_slice(line);
                let whole = std::mem::take(&mut self.begun);
                self.filter.take(&whole, out);
            }
        }
        if self.begun.len() < LONGEST_LINE {
            self.begun.extend_from_slice(bytes);
        }
    }
}

fn open(path: &Path) -> io::Result<Option<(File, (u64, u64))>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    Ok(Some((file, (metadata.dev(), metadata.ino()))))
}

/// Where the last `lines` lines of a file begin.
fn start_of_last(file: &mut File, lines: u64) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    if lines == 0 {
        return Ok(end);
    }
    let mut block = vec![0; PIECE];
    let mut seen = 0;
    // The line feed at the very end closes the last line, it begins none.
    let mut skip_last = true;
    while end > 0 {
        let start = end.saturating_sub(PIECE as u64);
        let block = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        let searched = if std::mem::take(&mut skip_last) { &block[..block.len() - 1] } else { &block[..] };
        for at in memchr::memrchr_iter(b'\n', searched) {
            seen += 1;
            if seen == lines {
                return Ok(start + at as u64 + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn log(lines: usize, width: usize) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for number in 0..lines {
            writeln!(file, "2026-11-25T10:00:00.000000000Z stdout F {number:0width$}").unwrap();
        }
        file
    }

    fn all(reader: &mut Reader) -> String {
        let mut text = Vec::new();
        while let Some(piece) = reader.next().unwrap() {
            text.extend(piece);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_last_lines_are_found_across_blocks() {
        let file = log(5000, 50);
        for tail in [0, 1, 700, 4999, 5000, 6000] {
            let options = Options { tail: Some(tail), ..Options::default() };
            let text = all(&mut Reader::open(file.path(), &options).unwrap().unwrap());
            assert_eq!(text.lines().count() as u64, tail.min(5000));
            assert!(tail == 0 || text.ends_with("4999\n"));
        }
    }

    #[test]
    fn a_line_is_given_out_when_it_is_whole() {
        let mut file = log(1, 1);
        let mut reader = Reader::open(file.path(), &Options::default()).unwrap().unwrap();
        assert_eq!(all(&mut reader), "0\n");
        write!(file, "2026-11-25T10:00:00.000000000Z stdout F be").unwrap();
        assert_eq!(all(&mut reader), "");
        writeln!(file, "gun").unwrap();
        assert_eq!(all(&mut reader), "begun\n");
        write!(file, "2026-11-25T10:00:00.000000000Z stdout F cut").unwrap();
        assert_eq!(all(&mut reader), "");
        assert_eq!(reader.rest(), b"cut\n");
    }

    const LAST: &[u8] = b"2026-11-25T10:00:00.000000000Z stdout F last\n";

    #[test]
    fn a_rotated_log_goes_on_in_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        assert!(Reader::open(&path, &Options::default()).unwrap().is_none());
        std::fs::write(&path, "2026-11-25T10:00:00.000000000Z stdout F old\n").unwrap();
        let mut reader = Reader::open(&path, &Options::default()).unwrap().unwrap();
        assert_eq!(all(&mut reader), "old\n");
        assert!(reader.renewed(&path).unwrap().is_none());
        let old = folder.path().join("0.log.1");
        std::fs::rename(&path, &old).unwrap();
        assert!(reader.renewed(&path).unwrap().is_none());
        std::fs::File::options().append(true).open(&old).unwrap().write_all(LAST).unwrap();
        std::fs::write(&path, "2026-11-25T10:00:00.000000000Z stdout F new\n").unwrap();
        assert_eq!(reader.renewed(&path).unwrap().unwrap(), b"last\n");
        assert_eq!(reader.renewed(&path).unwrap().unwrap(), b"");
        assert_eq!(all(&mut reader), "new\n");
    }
}
