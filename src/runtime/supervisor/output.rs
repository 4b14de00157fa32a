//! What a container prints: into its log in CRI's format, and to whoever is attached.
//!
//! A line of a log is `TIME STREAM TAG TEXT`; the tag is `F`, or `P` for a piece of a line that goes on.

use crate::runtime::sys;
use jiff::Timestamp;
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::watch;

/// Longest text of one log line (containerd: max_container_log_line_size).
const LONGEST_LINE: usize = 16 * 1024;
/// How much is read at once; one buffer serves all containers.
const BUFFER: usize = 32 * 1024;
/// A log is put aside at this size, and so many of those are kept (kubelet: containerLogMaxSize, containerLogMaxFiles).
const LARGEST_LOG: u64 = 10 << 20;
const KEPT_LOGS: usize = 4;
/// How long an attached reader may hold up a container before it is let go.
const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// One of a process's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn word(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// Somebody who is attached; an end that is missing is not listened to.
pub struct Listener {
    pub stdout: Option<pipe::Sender>,
    pub stderr: Option<pipe::Sender>,
    is_lost: Cell<bool>,
}

impl Listener {
    pub fn new(stdout: Option<pipe::Sender>, stderr: Option<pipe::Sender>) -> Self {
        Self { stdout, stderr, is_lost: Cell::new(false) }
    }

    async fn tell(&self, stream: Stream, bytes: &[u8]) {
        let end = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        let Some(end) = end else { return };
        if !matches!(tokio::time::timeout(PATIENCE, write_all(end, bytes)).await, Ok(Ok(()))) {
            self.is_lost.set(true);
        }
    }
}

async fn write_all(end: &pipe::Sender, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        end.writable().await?;
        match end.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The output of one container.
pub struct Output {
    path: PathBuf,
    log: RefCell<File>,
    /// Bytes in the log.
    size: Cell<u64>,
    listeners: RefCell<Vec<Rc<Listener>>>,
}

impl Output {
    /// Opens the log, making its folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let log = open_log(path)?;
        let size = Cell::new(log.metadata()?.len());
        Ok(Self { path: path.into(), log: RefCell::new(log), size, listeners: RefCell::default() })
    }

    /// Goes on in a new file after the old one was renamed away.
    pub fn reopen(&self) -> io::Result<()> {
        let log = open_log(&self.path)?;
        self.size.set(log.metadata()?.len());
        *self.log.borrow_mut() = log;
        Ok(())
    }

    /// Tells a listener everything from now on.
    pub fn listen(&self, listener: Rc<Listener>) {
        self.listeners.borrow_mut().push(listener);
    }

    /// Tells it nothing more.
    pub fn forget(&self, listener: &Rc<Listener>) {
        self.listeners.borrow_mut().retain(|one| !Rc::ptr_eq(one, listener));
    }

    /// Copies a stream until it ends. When `ended` says that the process is gone, what it left is copied and then `drained` is
    /// dropped; what a process that it left behind prints is still copied.
    pub async fn copy(
        self: Rc<Self>,
        source: OwnedFd,
        stream: Stream,
        mut ended: watch::Receiver<bool>,
        drained: tokio::sync::oneshot::Sender<()>,
    ) {
        let mut pending = Pending { stream, text: Vec::new() };
        let Ok(source) =
            rustix::io::ioctl_fionbio(&source, true).map_err(io::Error::from).and_then(|()| sys::watch(source))
        else {
            return;
        };
        let mut drained = Some(drained);
        loop {
            let is_open = tokio::select! {
                biased;
                ready = source.readable() => match ready {
                    Ok(mut guard) => self.take(&source, &mut pending, || guard.clear_ready()).await,
                    Err(_) => false,
                },
                _ = ended.wait_for(|ended| *ended), if drained.is_some() => {
                    let is_open = self.take(&source, &mut pending, || ()).await;
                    drained = None;
                    is_open
                }
            };
            if !is_open {
                break;
            }
        }
        self.write(&pending.end());
    }

    /// Copies what is there; false at the end of the stream.
    async fn take(&self, source: &AsyncFd<OwnedFd>, pending: &mut Pending, mut is_empty: impl FnMut()) -> bool {
        loop {
            let read = SHARED.with_borrow_mut(|buffer| {
                let count = rustix::io::read(source, &mut buffer[..])?;
                let bytes = &buffer[..count];
                self.write(&pending.take(bytes));
                let is_heard = !self.listeners.borrow().is_empty();
                Ok::<_, Errno>((count, if is_heard { bytes.to_vec() } else { Vec::new() }))
            });
            match read {
                Ok((0, _)) => return false,
                Ok((_, copy)) => self.tell(pending.stream, &copy).await,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    is_empty();
                    return true;
                }
                // A terminal that nobody has open any more answers EIO; other failures end the stream as well.
                Err(_) => return false,
            }
        }
    }

    fn write(&self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if let Err(error) = self.log.borrow_mut().write_all(lines) {
            // A full disk must not stop the container.
            tracing::warn!(%error, path = %self.path.display(), "log lines lost");
        }
        self.size.set(self.size.get() + lines.len() as u64);
        if self.size.get() >= LARGEST_LOG
            && let Err(error) = self.rotate()
        {
            // Tried again when it has grown by as much again.
            self.size.set(0);
            tracing::warn!(%error, path = %self.path.display(), "log not rotated");
        }
    }

    /// Puts the log aside under its name and the time, and removes the oldest of those.
    fn rotate(&self) -> io::Result<()> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let own = name(&self.path);
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let now = Timestamp::now().strftime("%Y%m%d-%H%M%S.%9f");
        std::fs::rename(&self.path, folder.join(format!("{own}.{now}")))?;
        self.reopen()?;
        let aside = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
        let mut aside: Vec<PathBuf> = aside.filter(|path| name(path).starts_with(&format!("{own}."))).collect();
        aside.sort();
        aside.iter().rev().skip(KEPT_LOGS).try_for_each(std::fs::remove_file)
    }

    async fn tell(&self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let listeners = self.listeners.borrow().clone();
        for listener in &listeners {
            listener.tell(stream, bytes).await;
        }
        self.listeners.borrow_mut().retain(|listener| !listener.is_lost.get());
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    use std::os::unix::fs::OpenOptionsExt;
    File::options().append(true).create(true).mode(0o640).open(path)
}

/// The beginning of a line whose end has not been printed.
struct Pending {
    stream: Stream,
    text: Vec<u8>,
}

impl Pending {
    /// The log lines that `bytes` complete.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let time = format!("{:.9}", Timestamp::now());
        let mut lines = Vec::with_capacity(bytes.len() + 64);
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LONGEST_LINE - self.text.len();
            let (part, tag) = match memchr::memchr(b'\n', &rest[..rest.len().min(room + 1)]) {
                Some(at) => (&rest[..at], Some('F')),
                None if rest.len() >= room => (&rest[..room], Some('P')),
                None => (rest, None),
            };
            rest = &rest[part.len() + usize::from(tag == Some('F'))..];
            match tag {
                Some(tag) => {
                    self.line(&mut lines, &time, tag, part);
                    self.text.clear();
                }
                None => self.text.extend_from_slice(part),
            }
        }
        if self.text.is_empty() {
            // Most containers print whole lines: no memory is kept for them.
            self.text = Vec::new();
        }
        lines
    }

    /// What was printed after the last end of a line: a piece, so that whoever reads the log adds no end to it.
    fn end(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        if !self.text.is_empty() {
            self.line(&mut lines, &format!("{:.9}", Timestamp::now()), 'P', b"");
        }
        lines
    }

    fn line(&self, lines: &mut Vec<u8>, time: &str, tag: char, part: &[u8]) {
        // Writing to memory cannot fail.
        write!(lines, "{time} {} {tag} ", self.stream.word()).ok();
        lines.extend_from_slice(&self.text);
        lines.extend_from_slice(part);
        lines.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_large_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let output = Output::open(&path).unwrap();
        for _ in 0..KEPT_LOGS + 2 {
            output.size.set(LARGEST_LOG);
            output.write(b"last\n");
        }
        output.write(b"first\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), KEPT_LOGS + 1);
    }

    fn lines(pieces: &[&str]) -> Vec<(char, String)> {
        let mut pending = Pending { stream: Stream::Stderr, text: Vec::new() };
        let mut log: Vec<u8> = pieces.iter().flat_map(|piece| pending.take(piece.as_bytes())).collect();
        log.extend(pending.end());
        let text = String::from_utf8(log).unwrap();
        let parse = |line: &str| {
            let mut words = line.splitn(4, ' ');
            assert!(words.next().unwrap().parse::<Timestamp>().is_ok());
            assert_eq!(words.next(), Some("stderr"));
            (words.next().unwrap().chars().next().unwrap(), words.next().unwrap().to_string())
        };
        text.lines().map(parse).collect()
    }

    #[test]
    fn lines_are_whole_however_they_were_printed() {
        let expected = [('F', "one".to_string()), ('F', String::new()), ('F', "two three".into()), ('P', "end".into())];
        assert_eq!(lines(&["one\n\ntwo", " thr", "ee\nend"]), expected);
    }

    #[test]
    fn long_lines_are_cut_into_pieces() {
        let long = "x".repeat(LONGEST_LINE);
        assert_eq!(lines(&[&long, "\n"]), [('P', long.clone()), ('F', String::new())]);
        assert_eq!(lines(&[&format!("{long}\n")]), [('F', long.clone())]);
        assert_eq!(lines(&[&format!("{long}y\nz\n")]), [('P', long), ('F', "y".into()), ('F', "z".into())]);
    }
}
