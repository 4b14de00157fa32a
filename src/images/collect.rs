//! Deleting content that no image needs any more.

use super::store::hex_of;
use super::{Error, Store};
use crate::base::disk;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

impl Store {
    /// Deletes blobs and layers that no image needs. While somebody adds content nothing is deleted: the next call does it.
    pub fn collect(&self) -> Result<(), Error> {
        let lock = self.open_lock(&self.root().join("content.lock"))?;
        if lock.try_lock().is_err() {
            return Ok(());
        }
        let index = self.index()?;
        let mut needed = BTreeSet::new();
        for (id, record) in &index.images {
            needed.insert(self.blob_path(id));
            for layer in &record.layers {
                needed.insert(self.layer_path(&layer.diff_id));
                needed.extend(layer.blob.as_deref().map(|digest| self.blob_path(digest)));
            }
            let manifests = record.digests.iter().filter_map(|name| name.split_once('@'));
            needed.extend(manifests.map(|(_, digest)| self.blob_path(digest)));
        }
        remove_unneeded(&self.root().join("blobs/sha256"), &needed)?;
        remove_unneeded(&self.root().join("layers"), &needed)?;
        let held = index.images.keys().map(|id| self.root().join("holds").join(hex_of(id))).collect();
        remove_unneeded(&self.root().join("holds"), &held)
    }
}

fn remove_unneeded(folder: &Path, needed: &BTreeSet<PathBuf>) -> Result<(), Error> {
    let fail = || Error::store(format!("delete unused content in `{}`", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(fail())? {
        let entry = entry.map_err(fail())?;
        if needed.contains(&entry.path()) {
            continue;
        }
        match entry.file_type().map_err(fail())?.is_dir() {
            true => disk::remove(&entry.path()).map_err(fail())?,
            false => std::fs::remove_file(entry.path()).map_err(fail())?,
        }
    }
    Ok(())
}
