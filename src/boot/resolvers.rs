//! The machine's resolvers, followed while the node runs: a laptop goes from one network to the next.
//!
//! ```text
//! the machine's folders (inotify) ─▶ init ─▶ /etc/coracle/resolvers ─┬─▶ /etc/resolv.conf of the node
//!                                                                  └─▶ cluster DNS, which sees the folder
//! ```

use crate::base::resolvers::Folders;
use crate::base::{FolderChanges, atomic};
use crate::config::NodePaths;
use rustix::fs::inotify::WatchFlags;
use std::io;
use std::path::Path;
use tokio::sync::watch;

/// The file, in the node's folder and in that which cluster DNS sees.
const FILE: &str = "resolv.conf";
/// Where cluster DNS sees the node's folder.
const SHOWN: &str = "/resolvers";

/// Writes what the machine's resolvers are whenever that changes, for as long as the node runs. Where nothing was handed down
/// (a node in a container), they stay as they were at the start.
pub async fn follow(folders: Option<Folders>) {
    let Some(folders) = folders else { return };
    if let Err(error) = try_follow(&folders, &NodePaths::default().resolvers().join(FILE)).await {
        eprintln!("the machine's resolvers are not followed: {error}");
    }
}

async fn try_follow(folders: &Folders, file: &Path) -> io::Result<()> {
    let changes = folders.changes()?;
    loop {
        if let Some(text) = folders.resolvers()
            && std::fs::read_to_string(file).ok().as_ref() != Some(&text)
        {
            atomic::write(file, text.as_bytes(), 0o644)?;
        }
        changes.next().await?;
    }
}

/// What a program in a pod is told, now and whenever it is told something else. Without the node's folder: what its own file
/// says.
pub fn of_pod() -> watch::Receiver<String> {
    let read = || {
        let shown = std::fs::read_to_string(Path::new(SHOWN).join(FILE));
        shown.or_else(|_| std::fs::read_to_string(crate::base::resolvers::OWN)).unwrap_or_default()
    };
    // Before the first look, so that nothing falls between.
    let changes = FolderChanges::of(Path::new(SHOWN), WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE);
    let (sender, receiver) = watch::channel(read());
    match changes {
        Ok(changes) => {
            _ = tokio::spawn(async move {
                while changes.next().await.is_ok() {
                    let text = read();
                    sender.send_if_modified(|known| std::mem::replace(known, text.clone()) != text);
                }
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "changes of the resolvers are not followed"),
    }
    receiver
}
