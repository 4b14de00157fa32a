//! Changes of a folder's files, as the kernel tells of them (inotify).

use super::sys;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::io::unix::AsyncFd;

/// Tells of changes from when it was made on.
pub struct FolderChanges(AsyncFd<OwnedFd>);

impl FolderChanges {
    /// Changes of these kinds in a folder. `NotFound` if there is no such folder.
    pub fn of(folder: &Path, kinds: WatchFlags) -> io::Result<Self> {
        Self::of_all(std::iter::once(folder), kinds)
    }

    /// The same of several folders.
    pub fn of_all<'a>(folders: impl Iterator<Item = &'a Path>, kinds: WatchFlags) -> io::Result<Self> {
        let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        for folder in folders {
            inotify::add_watch(&descriptor, folder, kinds)?;
        }
        Ok(Self(sys::watch(descriptor)?))
    }

    /// Waits for the next change, and takes all there are.
    pub async fn next(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let mut buffer = [0u8; 4096];
        loop {
            match rustix::io::read(self.0.get_ref(), &mut buffer) {
                Ok(_) => {}
                Err(Errno::AGAIN) => {
                    ready.clear_ready();
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_comes_is_told_and_a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let changes = FolderChanges::of(folder.path(), WatchFlags::CREATE).unwrap();
        std::fs::write(folder.path().join("one"), "").unwrap();
        std::fs::write(folder.path().join("two"), "").unwrap();
        changes.next().await.unwrap();
        let more = tokio::time::timeout(std::time::Duration::from_millis(1), changes.next()).await;
        assert!(more.is_err(), "both were taken");
        let missing = FolderChanges::of(&folder.path().join("missing"), WatchFlags::CREATE);
        assert_eq!(missing.err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
    }
}
