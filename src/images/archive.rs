//! Archives of images: `docker save`, OCI archives and OCI layouts, as streams or as folders.

use super::ingest::{Blob, Incoming, install};
use super::record::{Descriptor, Manifest, Platform};
use super::staging::Staging;
use super::{Error, Image, Reference, Store, compression, is_digest};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// The annotation in which containerd and Docker put the whole name.
const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// The image format's own annotation: a name or only a tag.
const REF_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// How deep indexes may point to indexes.
const DEEPEST_INDEX: usize = 4;

impl Store {
    /// Loads every image of an archive (tar, plain or compressed). Blocks; reads the stream once. On an error nothing is loaded.
    pub fn load(&self, from: impl Read) -> Result<Vec<Image>, Error> {
        let mut staging = Staging::new(self)?;
        let files = spool(self, &mut staging, from)?;
        self.load_from(staging, Source::Files(files))
    }

    /// Loads an archive file or an OCI layout that is a folder.
    pub fn load_path(&self, path: &Path) -> Result<Vec<Image>, Error> {
        if path.is_dir() {
            return self.load_from(Staging::new(self)?, Source::Folder(path.to_path_buf()));
        }
        let file =
            std::fs::File::open(path).map_err(|source| Error::Read { after: path.display().to_string(), source })?;
        self.load(file)
    }

    fn load_from(&self, mut staging: Staging, source: Source) -> Result<Vec<Image>, Error> {
        let mut reader = Reader { store: self, staging: &mut staging, source };
        let incoming = match (reader.find("manifest.json")?, reader.find("index.json")?) {
            (Some(manifest), _) => reader.docker_images(&manifest)?,
            (None, Some(index)) => reader.oci_images(&index)?,
            (None, None) => return Err(Error::NotAnImage),
        };
        install(self, staging, incoming)
    }
}

/// Where the files of an archive are.
enum Source {
    /// Read already; symbolic links lead from one name to another.
    Files(BTreeMap<PathBuf, Entry>),
    Folder(PathBuf),
}

enum Entry {
    File(Blob),
    Link(PathBuf),
}

/// Writes every file of the stream to staging, except blobs that the store has.
fn spool(store: &Store, staging: &mut Staging, from: impl Read) -> Result<BTreeMap<PathBuf, Entry>, Error> {
    let mut files = BTreeMap::new();
    let mut after = String::from("(none)");
    let from = compression::decompressed(from).map_err(|source| Error::Read { after: after.clone(), source })?;
    let mut archive = tar::Archive::new(from);
    let entries = archive.entries().map_err(|source| Error::Read { after: after.clone(), source })?;
    for entry in entries {
        let mut entry = entry.map_err(|source| Error::Read { after: after.clone(), source })?;
        after = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = plain(Path::new(&after));
        match entry.header().entry_type() {
            tar::EntryType::Symlink | tar::EntryType::Link => {
                let target = entry.link_name().ok().flatten().unwrap_or_default().into_owned();
                let hard = entry.header().entry_type() == tar::EntryType::Link;
                let folder = if hard { Path::new("") } else { path.parent().unwrap_or(Path::new("")) };
                let target = plain(&folder.join(target));
                files.insert(path, Entry::Link(target));
            }
            kind if kind.is_file() || kind == tar::EntryType::Continuous => {
                let blob = spool_file(store, staging, &mut entry, &path, &after)?;
                files.insert(path, Entry::File(blob));
            }
            _ => {}
        }
    }
    Ok(files)
}

fn spool_file<R: Read>(
    store: &Store,
    staging: &mut Staging,
    entry: &mut tar::Entry<R>,
    path: &Path,
    name: &str,
) -> Result<Blob, Error> {
    let size = entry.size();
    let short = |found: u64| Error::entry(name, format!("is cut short: {found} of {size} bytes"));
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::entry(name, "is cut short"),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Error::entry(name, format!("is corrupt: {error}")),
        _ => Error::Read { after: name.to_string(), source: error },
    };
    let promised = path.strip_prefix("blobs/sha256").ok().map(|hex| format!("sha256:{}", hex.display()));
    let promised = promised.filter(|digest| is_digest(digest));
    if let Some(digest) = promised.as_ref().filter(|digest| store.blob_path(digest).exists()) {
        let found = io::copy(entry, &mut io::sink()).map_err(fail)?;
        let path = store.blob_path(digest);
        let blob = Blob { path, digest: digest.clone(), size, entry: name.to_string() };
        return if found == size { Ok(blob) } else { Err(short(found)) };
    }
    let blob = Blob::write(entry, staging.fresh(), name).map_err(fail)?;
    if blob.size != size {
        return Err(short(blob.size));
    }
    match promised {
        Some(digest) if digest != blob.digest => Err(Error::entry(name, "is corrupt: its content has another digest")),
        _ => Ok(blob),
    }
}

/// A path inside the archive, without `.`, `..` and a leading slash.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain
}

/// One image of `manifest.json`, as `docker save` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

struct Reader<'a> {
    store: &'a Store,
    staging: &'a mut Staging,
    source: Source,
}

impl Reader<'_> {
    fn find(&mut self, path: &str) -> Result<Option<Blob>, Error> {
        match &self.source {
            Source::Files(files) => Ok(find_file(files, &plain(Path::new(path))).cloned()),
            Source::Folder(folder) => self.read(&folder.join(plain(Path::new(path))), path),
        }
    }

    fn need(&mut self, path: &str) -> Result<Blob, Error> {
        self.find(path)?.ok_or_else(|| Error::entry(path, "is missing: the archive is incomplete or cut short"))
    }

    /// Copies a file of a folder to staging, so that what is checked is what is stored.
    fn read(&mut self, path: &Path, name: &str) -> Result<Option<Blob>, Error> {
        let fail = |source| Error::Read { after: name.to_string(), source };
        let mut file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        if let Some(digest) = digest_of_path(path).filter(|digest| self.store.blob_path(digest).exists()) {
            let size = file.metadata().map_err(fail)?.len();
            return Ok(Some(Blob { path: self.store.blob_path(&digest), digest, size, entry: name.to_string() }));
        }
        Blob::write(&mut file, self.staging.fresh(), name).map(Some).map_err(fail)
    }

    fn docker_images(&mut self, manifest: &Blob) -> Result<Vec<Incoming>, Error> {
        let images: Vec<DockerManifest> = manifest.json()?;
        images.into_iter().map(|image| self.docker_image(image)).collect()
    }

    fn docker_image(&mut self, image: DockerManifest) -> Result<Incoming, Error> {
        let config = self.need(&image.config)?;
        let layers = image.layers.iter().map(|path| self.need(path));
        let layers: Vec<Blob> = layers.collect::<Result<_, _>>()?;
        let names = image.repo_tags.unwrap_or_default();
        let tags = names.iter().map(|name| Ok(name.parse::<Reference>()?.to_string())).collect::<Result<_, Error>>()?;
        let layers = layers.into_iter().map(with_media_type).collect::<Result<_, _>>()?;
        Ok(Incoming { config, layers, manifest: None, tags, digests: Vec::new(), puller: None })
    }

    fn oci_images(&mut self, index: &Blob) -> Result<Vec<Incoming>, Error> {
        let index: Manifest = index.json()?;
        let mut images = Vec::new();
        for descriptor in index.manifests.iter().filter(|descriptor| !is_attestation(descriptor)) {
            let tags = names(descriptor)?;
            let found = self.oci_image(descriptor, 0)?;
            images.push(Incoming { tags, ..found });
        }
        match images.is_empty() {
            true => Err(Error::entry("index.json", "names no image")),
            false => Ok(images),
        }
    }

    /// The image that a descriptor points to, through indexes.
    fn oci_image(&mut self, descriptor: &Descriptor, depth: usize) -> Result<Incoming, Error> {
        let blob = self.blob(descriptor)?;
        let manifest: Manifest = blob.json()?;
        let Some(config) = &manifest.config else {
            let chosen = (depth < DEEPEST_INDEX).then(|| choose(&manifest.manifests)).flatten();
            let here = format!("has no image for {}/{}", "linux", architecture());
            return self.oci_image(chosen.ok_or_else(|| Error::entry(&blob.entry, here))?, depth + 1);
        };
        let config = self.blob(config)?;
        let mut layers = Vec::new();
        for layer in &manifest.layers {
            layers.push((self.blob(layer)?, layer.media_type.clone()));
        }
        Ok(Incoming { config, layers, manifest: Some(blob), tags: Vec::new(), digests: Vec::new(), puller: None })
    }

    fn blob(&mut self, descriptor: &Descriptor) -> Result<Blob, Error> {
        let digest = &descriptor.digest;
        if !is_digest(digest) {
            return Err(Error::entry("index.json", format!("has the digest `{digest}`; only sha256 is known")));
        }
        let path = format!("blobs/sha256/{}", super::store::hex_of(digest));
        let blob = self.need(&path)?;
        match blob.digest == *digest {
            true => Ok(blob),
            false => Err(Error::entry(path, "is corrupt: its content has another digest")),
        }
    }
}

fn find_file<'a>(files: &'a BTreeMap<PathBuf, Entry>, path: &Path) -> Option<&'a Blob> {
    let mut path = path;
    // Bounded, because links may lead in a circle.
    for _ in 0..8 {
        match files.get(path)? {
            Entry::File(blob) => return Some(blob),
            Entry::Link(target) => path = target,
        }
    }
    None
}

fn digest_of_path(path: &Path) -> Option<String> {
    let hex = path.file_name()?.to_str()?;
    let digest = format!("sha256:{hex}");
    (path.parent()?.ends_with("blobs/sha256") && is_digest(&digest)).then_some(digest)
}

/// `docker save` does not say whether a layer is compressed.
fn with_media_type(blob: Blob) -> Result<(Blob, String), Error> {
    let kind = compression::kind(&blob.path).map_err(Error::store("read staged content"))?;
    let media_type = format!("application/vnd.oci.image.layer.v1.tar{kind}");
    Ok((blob, media_type))
}

/// Build records that Docker puts beside images.
fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
}

/// The manifest of an index that is for this machine; one without a platform serves anybody.
pub(super) fn choose(manifests: &[Descriptor]) -> Option<&Descriptor> {
    let fits = |platform: &Platform| platform.os == "linux" && platform.architecture == architecture();
    let exact = manifests.iter().find(|one| one.platform.as_ref().is_some_and(fits));
    exact.or_else(|| manifests.iter().find(|one| one.platform.is_none()))
}

/// This machine's architecture in Go's words.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// The names that an entry of an OCI index gives. A bare tag is no name.
fn names(descriptor: &Descriptor) -> Result<Vec<String>, Error> {
    let Some(annotations) = &descriptor.annotations else { return Ok(Vec::new()) };
    let whole = annotations.get(NAME_ANNOTATION);
    let name = whole.or_else(|| annotations.get(REF_ANNOTATION).filter(|name| name.contains([':', '/'])));
    name.map(|name| Ok(name.parse::<Reference>()?.to_string())).into_iter().collect()
}
