//! From blobs to a usable image: layers are checked and unpacked in staging, then everything moves into the store.
//!
//! ```text
//! blobs in staging ──▶ config read ──▶ missing layers unpacked and checked ──▶ renamed into the store ──▶ index written
//!                                                                              (content, nameless)        (all images at once)
//! ```

use super::pull::Login;
use super::record::{Access, ConfigFile, Layer, Record};
use super::staging::Staging;
use super::store::give_name;
use super::{Error, Image, Store, compression, is_digest, unpack};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The largest JSON file that an image may have: configs and manifests are read into memory.
const LARGEST_JSON: u64 = 16 << 20;

/// Content that was read, in staging or already in the store.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub path: PathBuf,
    pub digest: String,
    pub size: u64,
    /// Where it came from, for errors.
    pub entry: String,
}

/// An image whose blobs are all here, not yet unpacked.
pub(super) struct Incoming {
    pub config: Blob,
    /// Lowest first, with their media types.
    pub layers: Vec<(Blob, String)>,
    pub manifest: Option<Blob>,
    pub tags: Vec<String>,
    pub digests: Vec<String>,
    /// For pods: the repository that it was pulled from, and the login that this needed.
    pub puller: Option<(String, Option<Login>)>,
}

/// An image whose layers are unpacked, in staging or in the store.
struct Prepared {
    id: String,
    record: Record,
    tags: Vec<String>,
    puller: Option<(String, Option<Login>)>,
    /// From staging to the store.
    moves: Vec<(PathBuf, PathBuf)>,
}

impl Blob {
    /// Copies `from` to `path`, counting and hashing it.
    pub fn write(from: &mut impl Read, path: PathBuf, entry: &str) -> io::Result<Self> {
        let mut hashing = Hashing::new(from);
        let mut file = File::create_new(&path)?;
        io::copy(&mut hashing, &mut file)?;
        file.flush()?;
        let (digest, size) = hashing.finish();
        Ok(Self { path, digest, size, entry: entry.to_string() })
    }

    /// Reads it as JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        if self.size > LARGEST_JSON {
            return Err(Error::entry(&self.entry, format!("is too large for JSON ({} bytes)", self.size)));
        }
        let bytes = std::fs::read(&self.path).map_err(Error::store("read staged content"))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::entry(&self.entry, format!("is not what it should be: {error}")))
    }
}

/// Makes `incoming` part of the store, all of it or nothing.
pub(super) fn install(store: &Store, mut staging: Staging, incoming: Vec<Incoming>) -> Result<Vec<Image>, Error> {
    let mut unpacked = BTreeMap::new();
    let mut prepared = Vec::new();
    for image in incoming {
        prepared.push(prepare(store, &mut staging, image, &mut unpacked)?);
    }
    let moves = prepared
        .iter()
        .flat_map(|image| &image.moves)
        .chain(&unpacked_moves(store, &unpacked))
        .try_fold(0, |count, (from, to)| move_into_place(from, to).map(|moved| count + usize::from(moved)))?;
    if moves > 0 {
        let root = File::open(store.root()).map_err(Error::store("open its folder"))?;
        rustix::fs::syncfs(&root).map_err(|error| Error::store("write to disk")(error.into()))?;
    }
    let ids: Vec<String> = prepared.iter().map(|image| image.id.clone()).collect();
    store.change(|index| {
        for image in prepared {
            let record = index.images.entry(image.id.clone()).or_default();
            let tags = std::mem::take(&mut record.tags);
            let mut digests = std::mem::take(&mut record.digests);
            digests
                .extend(image.record.digests.iter().filter(|new| !digests.contains(new)).cloned().collect::<Vec<_>>());
            let mut pulled = std::mem::take(&mut record.pulled);
            if let Some((repository, login)) = &image.puller {
                Access::add(&mut pulled, &image.id, repository, login.as_ref());
            }
            *record = Record { tags, digests, pulled, ..image.record };
            image.tags.iter().for_each(|tag| give_name(index, &image.id, tag));
        }
        Ok(())
    })?;
    let found = ids.iter().map(|id| store.resolve(id)).collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// `unpacked` has the layers that this load has unpacked so far: images of one archive share layers.
fn prepare(
    store: &Store,
    staging: &mut Staging,
    image: Incoming,
    unpacked: &mut BTreeMap<String, PathBuf>,
) -> Result<Prepared, Error> {
    let config: ConfigFile = image.config.json()?;
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != image.layers.len() || !diff_ids.iter().all(|id| is_digest(id)) {
        let problem = format!("names {} layers where the manifest has {}", diff_ids.len(), image.layers.len());
        return Err(Error::entry(&image.config.entry, problem));
    }
    let mut layers = Vec::new();
    for ((blob, media_type), diff_id) in image.layers.iter().zip(diff_ids) {
        if !store.layer_path(&diff_id).exists() && !unpacked.contains_key(&diff_id) {
            let folder = staging.fresh();
            unpack_layer(blob, &diff_id, &folder)?;
            unpacked.insert(diff_id.clone(), folder);
        }
        let media_type = media_type.clone();
        layers.push(Layer { diff_id, blob: Some(blob.digest.clone()), media_type, size: blob.size });
    }
    let blobs = image.layers.iter().map(|(blob, _)| blob).chain(&image.manifest).chain([&image.config]);
    let moves = blobs.map(|blob| (blob.path.clone(), store.blob_path(&blob.digest))).collect();
    let record =
        Record { layers, config: config.config, created: config.created, digests: image.digests, ..Record::default() };
    Ok(Prepared { id: image.config.digest, record, tags: image.tags, puller: image.puller, moves })
}

fn unpack_layer(blob: &Blob, diff_id: &str, folder: &Path) -> Result<(), Error> {
    let in_layer = |failure: unpack::Failure| {
        Error::entry(
            &blob.entry,
            format!("is a layer whose entry `{}` cannot be unpacked: {}", failure.entry, failure.source),
        )
    };
    let broken = |error: io::Error| Error::entry(&blob.entry, format!("is a layer that cannot be read: {error}"));
    std::fs::create_dir(folder).map_err(Error::store("make a folder for a layer"))?;
    let file = File::open(&blob.path).map_err(Error::store("open staged content"))?;
    let mut hashing = Hashing::new(compression::decompressed(file).map_err(broken)?);
    unpack::unpack(&mut hashing, folder).map_err(in_layer)?;
    // What follows the end of the tar stream belongs to the digest.
    io::copy(&mut hashing, &mut io::sink()).map_err(broken)?;
    let (found, _) = hashing.finish();
    match found == diff_id {
        true => Ok(()),
        false => {
            Err(Error::entry(&blob.entry, format!("does not have the digest {diff_id} that the image's config gives")))
        }
    }
}

fn unpacked_moves(store: &Store, unpacked: &BTreeMap<String, PathBuf>) -> Vec<(PathBuf, PathBuf)> {
    unpacked.iter().map(|(diff_id, folder)| (folder.clone(), store.layer_path(diff_id))).collect()
}

/// Whether it was moved: another process may have brought the same content meanwhile.
fn move_into_place(from: &Path, to: &Path) -> Result<bool, Error> {
    if from == to || to.exists() {
        return Ok(false);
    }
    match std::fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(_) if to.exists() => Ok(false),
        Err(error) => Err(Error::store(format!("move content to `{}`", to.display()))(error)),
    }
}

/// Counts and hashes what is read through it.
pub(super) struct Hashing<R> {
    from: R,
    hash: Sha256,
    size: u64,
}

impl<R> Hashing<R> {
    pub fn new(from: R) -> Self {
        Self { from, hash: Sha256::new(), size: 0 }
    }

    /// The digest (`sha256:…`) and the number of bytes so far.
    pub fn finish(self) -> (String, u64) {
        (format!("sha256:{}", hex::encode(self.hash.finalize())), self.size)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}
