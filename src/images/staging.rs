//! Folders in which content is prepared before it becomes part of the store, and their clearing when a process died.

use super::{Error, Store};
use crate::base::disk;
use std::fs::File;
use std::path::PathBuf;

/// A folder of one load or pull; gone with everything in it when dropped.
pub(super) struct Staging {
    path: PathBuf,
    next: u32,
    /// Says that content is being added.
    _content: File,
}

impl Staging {
    /// A new folder in `store`.
    pub fn new(store: &Store) -> Result<Self, Error> {
        let content = store.share_content()?;
        let path = store.root().join("staging").join(uuid::Uuid::new_v4().simple().to_string());
        std::fs::create_dir(&path).map_err(Error::store("make a staging folder"))?;
        Ok(Self { path, next: 0, _content: content })
    }

    /// A path in the folder that nothing has yet.
    pub fn fresh(&mut self) -> PathBuf {
        self.next += 1;
        self.path.join(self.next.to_string())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is cleared when the store is opened next.
        disk::remove(&self.path).ok();
    }
}

/// Removes the folders of processes that are gone: nobody who lives adds content.
pub(super) fn clear_abandoned(store: &Store) -> Result<(), Error> {
    let content = store.open_lock(&store.root().join("content.lock"))?;
    if content.try_lock().is_err() {
        return Ok(());
    }
    let entries = std::fs::read_dir(store.root().join("staging")).map_err(Error::store("read its staging folder"))?;
    for entry in entries.flatten() {
        // Left where it is, it only takes room until the next try.
        disk::remove(&entry.path()).ok();
    }
    Ok(())
}
