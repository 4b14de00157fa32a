//! Sending a log to a client, and what is written to it later.
//!
//! ```text
//! open ─▶ read to the end ─▶ not followed, or the container has ended: last line ─▶ done
//!            ▲                    │
//!            └── folder changed ──┘ (inotify; a new file at the path is the log after a rotation)
//! ```

use super::Options;
use super::read::Reader;
use crate::base::FolderChanges;
use crate::runtime::{Event, Runtime, State};
use bytes::Bytes;
use futures::StreamExt;
use rustix::fs::inotify::WatchFlags;
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// A log to send.
pub struct Log {
    pub path: PathBuf,
    pub options: Options,
}

impl Log {
    /// Sends it; returns when it is sent, or when the client is gone.
    pub async fn send(&self, runtime: &dyn Runtime, id: &str, to: mpsc::Sender<Bytes>) -> io::Result<()> {
        let ended = async {
            match self.options.is_plain {
                // The server ends later than whoever reads its log through it.
                true => std::future::pending().await,
                false => ended(runtime, id).await,
            }
        };
        tokio::pin!(ended);
        let changes = if self.options.follow { changes(&self.path)? } else { None };
        let mut is_last = changes.is_none();
        let mut reader = self.open().await?;
        loop {
            reader = match self.read(reader, &to).await? {
                Some(reader) => reader,
                None => return Ok(()),
            };
            let Some(changes) = changes.as_ref().filter(|_| !is_last) else { break };
            tokio::select! {
                result = changes.next() => result?,
                // What was written until then is still to be read.
                () = &mut ended => is_last = true,
            }
        }
        if let Some(mut reader) = reader {
            // The client may be gone, which ends this as well.
            to.send(reader.rest().into()).await.ok();
        }
        Ok(())
    }

    async fn open(&self) -> io::Result<Option<Reader>> {
        let (path, options) = (self.path.clone(), self.options.clone());
        blocking(move || Reader::open(&path, &options)).await
    }

    /// Sends what there is. Nothing if the client wants no more.
    async fn read(&self, reader: Option<Reader>, to: &mpsc::Sender<Bytes>) -> io::Result<Option<Option<Reader>>> {
        let Some(mut reader) = (match reader {
            Some(reader) => Some(reader),
            None => self.open().await?,
        }) else {
            return Ok(Some(None));
        };
        loop {
            let path = self.path.clone();
            let (back, piece) = blocking(move || {
                let piece = match reader.next()? {
                    Some(piece) => Some(piece),
                    None if reader.is_done() => None,
                    None => reader.renewed(&path)?,
                };
                Ok((reader, piece))
            })
            .await?;
            reader = back;
            match piece {
                Some(piece) if piece.is_empty() => {}
                Some(piece) => {
                    if to.send(piece.into()).await.is_err() {
                        return Ok(None);
                    }
                }
                None if reader.is_done() => return Ok(None),
                None => return Ok(Some(Some(reader))),
            }
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Waits until a container does not run any more; a runtime that does not answer cannot tell, and ends the waiting too.
async fn ended(runtime: &dyn Runtime, id: &str) {
    loop {
        let Ok(mut events) = runtime.events().await else { return };
        match runtime.container(id).await {
            Ok(container) if !matches!(container.state, State::Exited { .. }) => {}
            _ => return,
        }
        while let Some(event) = events.next().await {
            if matches!(&event, Event::Container(one) if one.id == id && matches!(one.state, State::Exited { .. })) {
                return;
            }
        }
    }
}

/// Changes in the folder of a log; nothing if there is none, and so will never be a log.
fn changes(log: &Path) -> io::Result<Option<FolderChanges>> {
    let kinds = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    match FolderChanges::of(log.parent().unwrap_or(log), kinds) {
        Ok(changes) => Ok(Some(changes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::FakeRuntime;
    use crate::node::fake::container;
    use crate::runtime::ContainerSpec;
    use std::io::Write;

    struct Followed {
        runtime: FakeRuntime,
        path: PathBuf,
        _folder: tempfile::TempDir,
        pieces: mpsc::Receiver<Bytes>,
    }

    fn line(text: &str) -> String {
        format!("2026-11-25T10:00:00.000000000Z stdout F {text}\n")
    }

    /// A running container with a log of one line, which is followed.
    async fn followed() -> Followed {
        let runtime = FakeRuntime::default();
        let spec: ContainerSpec = container("web", 0, State::Created).spec;
        let made = runtime.create_container("s0", spec).await.unwrap();
        runtime.start_container(&made.id).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        std::fs::write(&path, line("one")).unwrap();
        let (sender, pieces) = mpsc::channel(4);
        let log = Log { path: path.clone(), options: Options { follow: true, ..Options::default() } };
        let other = runtime.clone();
        tokio::spawn(async move { log.send(&other, &made.id, sender).await.unwrap() });
        Followed { runtime, path, _folder: folder, pieces }
    }

    fn append(path: &Path, text: &str) {
        let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[tokio::test]
    async fn a_followed_log_grows_is_rotated_and_ends_with_its_container() {
        let mut log = followed().await;
        assert_eq!(log.pieces.recv().await.unwrap(), "one\n");
        append(&log.path, &line("two"));
        assert_eq!(log.pieces.recv().await.unwrap(), "two\n");
        std::fs::rename(&log.path, log.path.with_extension("1")).unwrap();
        append(&log.path, &line("three"));
        assert_eq!(log.pieces.recv().await.unwrap(), "three\n");
        append(&log.path, "2026-11-25T10:00:00.000000000Z stdout F last");
        log.runtime.exit("web", 0);
        let mut rest = Vec::new();
        while let Some(piece) = log.pieces.recv().await {
            rest.extend_from_slice(&piece);
        }
        assert_eq!(rest, b"last\n");
    }
}
