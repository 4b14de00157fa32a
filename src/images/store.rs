//! The store on disk: which images there are, under which names, and where their layers lie.

use super::record::{Image, Index, Record};
use super::{Error, Reference, is_digest};
use parking_lot::Mutex;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Digits of a digest that name an unpacked layer's folder: overlay's options have to fit into a page.
const LAYER_DIGITS: usize = 24;

/// A folder of images. Cheap to clone; other processes may use the same folder at the same time.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    cache: Arc<Mutex<Option<Cached>>>,
}

/// The index as it was when its file had this identity.
#[derive(Debug)]
struct Cached {
    identity: (u64, i64, i64),
    index: Arc<Index>,
}

/// Keeps an image from being removed while it lives, also across processes.
#[derive(Debug)]
pub struct Hold {
    _file: File,
}

impl Store {
    /// Opens the store in `root`, making it if it is missing, and clears what dead processes left behind.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let store = Self { root: root.into(), cache: Arc::default() };
        for folder in ["blobs/sha256", "layers", "staging", "holds"] {
            std::fs::create_dir_all(store.root.join(folder)).map_err(Error::store(format!("make `{folder}`")))?;
        }
        super::staging::clear_abandoned(&store)?;
        Ok(store)
    }

    /// The image with this name, id (`sha256:…`) or unambiguous beginning of an id (12 digits or more).
    pub fn resolve(&self, reference: &str) -> Result<Option<Image>, Error> {
        let index = self.index()?;
        let Some(id) = find(&index, reference) else { return Ok(None) };
        Ok(index.images.get(&id).map(|record| self.image(&id, record)))
    }

    /// Every image, by id.
    pub fn list(&self) -> Result<Vec<Image>, Error> {
        Ok(self.index()?.images.iter().map(|(id, record)| self.image(id, record)).collect())
    }

    /// Gives `source` (a name or an id) the further name `target`; another image that had it loses it.
    pub fn tag(&self, source: &str, target: &str) -> Result<(), Error> {
        let target = target.parse::<Reference>()?;
        if target.digest().is_some() {
            return Err(Error::Reference { text: target.to_string(), problem: "a name to give cannot have a digest" });
        }
        self.change(|index| {
            let id = find(index, source).ok_or_else(|| Error::NotFound(source.to_string()))?;
            give_name(index, &id, &target.to_string());
            Ok(())
        })
    }

    /// Takes a name away; with the last name, or by id, the image and what only it needs is deleted.
    pub fn remove(&self, reference: &str) -> Result<(), Error> {
        // Locked until the index is written, so that nobody starts to hold it in between.
        let _held = self.change(|index| {
            let id = find(index, reference).ok_or_else(|| Error::NotFound(reference.to_string()))?;
            let record = index.images.get_mut(&id).ok_or_else(|| Error::NotFound(reference.to_string()))?;
            let name = reference.parse::<Reference>().map(|name| name.to_string()).unwrap_or_default();
            let is_name = record.tags.contains(&name) || record.digests.contains(&name);
            if is_name && record.tags.len() + record.digests.len() > 1 {
                record.tags.retain(|tag| *tag != name);
                record.digests.retain(|digest| *digest != name);
                // A digest of a repository that has no name left is not a name of its own.
                if !record.tags.is_empty() || record.digests.iter().any(|digest| *digest != name) {
                    return Ok(None);
                }
            }
            let unheld = self.refuse_if_held(&id, reference)?;
            index.images.remove(&id);
            Ok(Some(unheld))
        })?;
        self.collect()
    }

    /// Keeps an image, given by id, from being removed until the answer is dropped.
    pub fn hold(&self, id: &str) -> Result<Hold, Error> {
        let file = self.open_lock(&self.hold_path(id))?;
        file.lock_shared().map_err(Error::store("hold an image"))?;
        // Between looking it up and holding it, it may have been removed.
        match self.index()?.images.contains_key(id) {
            true => Ok(Hold { _file: file }),
            false => Err(Error::NotFound(id.to_string())),
        }
    }

    /// The folder that the store is in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn refuse_if_held(&self, id: &str, reference: &str) -> Result<File, Error> {
        let file = self.open_lock(&self.hold_path(id))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(_) => Err(Error::InUse(reference.to_string())),
        }
    }

    fn hold_path(&self, id: &str) -> PathBuf {
        self.root.join("holds").join(hex_of(id))
    }

    pub(super) fn open_lock(&self, path: &Path) -> Result<File, Error> {
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        options.open(path).map_err(Error::store(format!("open `{}`", path.display())))
    }

    /// Shares the content of the store: nothing unused is deleted until the answer is dropped.
    pub(super) fn share_content(&self) -> Result<File, Error> {
        let file = self.open_lock(&self.root.join("content.lock"))?;
        file.lock_shared().map_err(Error::store("lock its content"))?;
        Ok(file)
    }

    /// Changes the index under its lock and writes it, unless `change` refuses or changes nothing.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Index) -> Result<T, Error>) -> Result<T, Error> {
        let lock = self.open_lock(&self.root.join("lock"))?;
        lock.lock().map_err(Error::store("lock its index"))?;
        let before = self.index()?;
        let mut index = Index::clone(&before);
        let answer = change(&mut index)?;
        if index != *before {
            let json = serde_json::to_vec(&index).map_err(|error| Error::store("write its index")(error.into()))?;
            let path = self.root.join("index.json");
            crate::base::atomic::write(&path, &json, 0o644).map_err(Error::store("write its index"))?;
        }
        Ok(answer)
    }

    /// The index as it is on disk, read again only when the file was replaced.
    pub(super) fn index(&self) -> Result<Arc<Index>, Error> {
        let path = self.root.join("index.json");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(Error::store("open its index")(error)),
        };
        let metadata = file.metadata().map_err(Error::store("read its index"))?;
        let identity = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
        let mut cache = self.cache.lock();
        if let Some(cached) = cache.as_ref().filter(|cached| cached.identity == identity) {
            return Ok(cached.index.clone());
        }
        let index: Index = serde_json::from_reader(std::io::BufReader::new(file))
            .map_err(|error| Error::store(format!("read `{}`", path.display()))(error.into()))?;
        let index = Arc::new(index);
        *cache = Some(Cached { identity, index: index.clone() });
        Ok(index)
    }

    fn image(&self, id: &str, record: &Record) -> Image {
        Image {
            id: id.to_string(),
            repo_tags: record.tags.clone(),
            repo_digests: record.digests.clone(),
            config: record.config.clone(),
            layers: record.layers.iter().map(|layer| self.layer_path(&layer.diff_id)).collect(),
            size: record.layers.iter().map(|layer| layer.size).sum(),
            created: record.created.clone(),
            executable: record.executable.clone(),
            pulled: record.pulled.clone(),
        }
    }

    pub(super) fn layer_path(&self, diff_id: &str) -> PathBuf {
        self.root.join("layers").join(&hex_of(diff_id)[..LAYER_DIGITS])
    }

    pub(super) fn blob_path(&self, digest: &str) -> PathBuf {
        self.root.join("blobs/sha256").join(hex_of(digest))
    }
}

/// The digits of a digest that was checked by [`is_digest`].
pub(super) fn hex_of(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

/// The id of the image that a name or (the beginning of) an id means.
pub(super) fn find(index: &Index, reference: &str) -> Option<String> {
    if is_digest(reference) {
        return index.images.contains_key(reference).then(|| reference.to_string());
    }
    if let Some(id) = find_by_name(index, reference) {
        return Some(id);
    }
    let digits = hex_of(reference);
    if digits.len() < 12 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut fitting = index.images.keys().filter(|id| hex_of(id).starts_with(digits));
    fitting.next().filter(|_| fitting.next().is_none()).cloned()
}

fn find_by_name(index: &Index, reference: &str) -> Option<String> {
    let reference = reference.parse::<Reference>().ok()?;
    let (name, by_digest) = match reference.digest() {
        // With a digest the tag says nothing.
        Some(digest) => (reference.with_digest(digest), true),
        None => (reference.to_string(), false),
    };
    let has_name =
        |record: &Record| if by_digest { record.digests.contains(&name) } else { record.tags.contains(&name) };
    index.images.iter().find(|(_, record)| has_name(record)).map(|(id, _)| id.clone())
}

/// Gives the image `id` the tag `name`, taking it from any other.
pub(super) fn give_name(index: &mut Index, id: &str, name: &str) {
    for (other, record) in &mut index.images {
        if other != id {
            record.tags.retain(|tag| tag != name);
        }
    }
    if let Some(record) = index.images.get_mut(id)
        && !record.tags.iter().any(|tag| tag == name)
    {
        record.tags.push(name.to_string());
    }
}
