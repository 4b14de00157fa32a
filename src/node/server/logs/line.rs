//! One line of a log in CRI's format, `TIME STREAM TAGS TEXT`, and what of it is wanted.
//!
//! Source: the CRI log format (design proposal kubelet-cri-logging). The tag `P` says that the line goes on in the next one
//! of its stream, `F` that it is whole.

use super::Options;
use jiff::Timestamp;

/// Streams whose lines are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    pub stdout: bool,
    pub stderr: bool,
}

impl Default for Streams {
    fn default() -> Self {
        Self { stdout: true, stderr: true }
    }
}

impl Streams {
    /// `All`, `Stdout` or `Stderr`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "All" => Some(Self::default()),
            "Stdout" => Some(Self { stdout: true, stderr: false }),
            "Stderr" => Some(Self { stdout: false, stderr: true }),
            _ => None,
        }
    }
}

/// Takes lines and keeps what is wanted of them.
pub struct Filter {
    streams: Streams,
    since: Option<Timestamp>,
    timestamps: bool,
    /// Bytes that may still be given out.
    left: u64,
    /// Whether a line of stdout, of stderr goes on.
    goes_on: [bool; 2],
    /// Of lines that are not in CRI's format: the time of the last one that has one.
    plain: Option<Vec<u8>>,
}

impl Filter {
    /// The filter of some options.
    pub fn new(options: &Options) -> Self {
        let Options { streams, since, timestamps, .. } = options.clone();
        let plain = options.is_plain.then(Vec::new);
        Self { streams, since, timestamps, left: options.limit.unwrap_or(u64::MAX), goes_on: [false; 2], plain }
    }

    /// Whether the limit is reached.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Appends what is wanted of a line (without its line feed). What is no line of the format is left out, as upstream.
    pub fn take(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if self.plain.is_some() {
            return self.take_plain(line, out);
        }
        let Some((time, stream, is_partial, text)) = split(line) else { return };
        let (index, wanted) = match stream {
            b"stdout" => (0, self.streams.stdout),
            b"stderr" => (1, self.streams.stderr),
            _ => return,
        };
        let begins = !std::mem::replace(&mut self.goes_on[index], is_partial);
        if !wanted || self.since.is_some_and(|since| is_before(time, since)) {
            return;
        }
        if self.timestamps && begins {
            self.put(time, out);
            self.put(b" ", out);
        }
        self.put(text, out);
        if !is_partial {
            self.put(b"\n", out);
        }
    }

    /// All lines are of stderr, as the server writes them. One without a time belongs to the line before.
    fn take_plain(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let first = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let time = match timestamp(first) {
            Some(_) => first.to_vec(),
            None => self.plain.take().unwrap_or_default(),
        };
        if self.streams.stderr && self.since.is_none_or(|since| !time.is_empty() && !is_before(&time, since)) {
            if self.timestamps && !time.is_empty() {
                self.put(&time, out);
                self.put(b" ", out);
            }
            self.put(line, out);
            self.put(b"\n", out);
        }
        self.plain = Some(time);
    }

    fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let count = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        out.extend_from_slice(&bytes[..count]);
        self.left -= count as u64;
    }
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8], bool, &[u8])> {
    let mut rest = line;
    let mut word = || {
        let at = memchr::memchr(b' ', rest)?;
        let (head, tail) = (&rest[..at], &rest[at + 1..]);
        rest = tail;
        Some(head)
    };
    let (time, stream) = (word()?, word()?);
    // An empty line may come without the blank before its text.
    let (tags, text) = match word() {
        Some(tags) => (tags, rest),
        None => (rest, &b""[..]),
    };
    let first = tags.split(|byte| *byte == b':').next()?;
    matches!(first, b"P" | b"F").then_some((time, stream, first == b"P", text))
}

fn is_before(time: &[u8], since: Timestamp) -> bool {
    timestamp(time).is_some_and(|time| time < since)
}

fn timestamp(text: &[u8]) -> Option<Timestamp> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[&str] = &[
        "2026-11-25T10:00:00.000000000Z stdout F one",
        "2026-11-25T10:00:01.000000000Z stderr P tw",
        "2026-11-25T10:00:02.000000000Z stdout F between",
        "2026-11-25T10:00:03.000000000Z stderr F:x o",
        "2026-11-25T10:00:04.000000000Z stdout F ",
        "no log line",
        "2026-11-25T10:00:05.000000000Z stdout F",
    ];

    fn kept(options: Options) -> String {
        let mut filter = Filter::new(&options);
        let mut out = Vec::new();
        LOG.iter().for_each(|line| filter.take(line.as_bytes(), &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parts_of_a_line_are_joined_and_the_rest_is_as_it_was_written() {
        assert_eq!(kept(Options::default()), "one\ntwbetween\no\n\n\n");
        let stderr = Options { streams: Streams::named("Stderr").unwrap(), ..Options::default() };
        assert_eq!(kept(stderr), "two\n");
    }

    #[test]
    fn a_time_stands_before_the_beginning_of_a_line_only() {
        let options = Options { timestamps: true, streams: Streams::named("Stderr").unwrap(), ..Options::default() };
        assert_eq!(kept(options), "2026-11-25T10:00:01.000000000Z two\n");
    }

    #[test]
    fn plain_lines_are_kept_as_they_are_and_have_the_time_of_the_last_that_says_one() {
        let take = |options: Options| {
            let mut filter = Filter::new(&Options { is_plain: true, ..options });
            let mut out = Vec::new();
            for line in
                ["==== begins", "2026-11-25T10:00:00.5Z  INFO one", "more of it", "2026-11-25T10:00:02Z  WARN two"]
            {
                filter.take(line.as_bytes(), &mut out);
            }
            String::from_utf8(out).unwrap()
        };
        let all = "==== begins\n2026-11-25T10:00:00.5Z  INFO one\nmore of it\n2026-11-25T10:00:02Z  WARN two\n";
        assert_eq!(take(Options::default()), all);
        let since = Some("2026-11-25T10:00:01Z".parse().unwrap());
        let timestamps = Options { since, timestamps: true, limit: Some(40), ..Options::default() };
        assert!(
            take(timestamps).ends_with("2026-11-25T10:00:02Z 2026-11-25T10:00:02"),
            "{}",
            take(Options { since, ..Options::default() })
        );
        assert_eq!(take(Options { streams: Streams::named("Stdout").unwrap(), ..Options::default() }), "");
    }

    #[test]
    fn older_lines_and_what_exceeds_the_limit_are_left_out() {
        let since = Some("2026-11-25T10:00:02Z".parse().unwrap());
        assert_eq!(kept(Options { since, ..Options::default() }), "between\no\n\n\n");
        assert_eq!(kept(Options { limit: Some(6), ..Options::default() }), "one\ntw");
    }
}
