//! Images out of the store: one archive that is both an OCI layout and what `docker load` reads.
//!
//! ```text
//! oci-layout, index.json        the OCI side: one manifest per image
//! manifest.json                 Docker's side
//! blobs/sha256/HEX              configs, layers and manifests of both
//! ```

use super::ingest::Hashing;
use super::record::Record;
use super::store::{find, hex_of};
use super::{Error, Reference, Store};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// What a layer is that came without a type: `docker save` writes plain archives.
const PLAIN_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl Store {
    /// Writes the images with these names or ids to `to` as a tar archive, under the names that are asked for and no others.
    /// Blocks. Nothing is written if one is missing.
    pub fn save(&self, references: &[String], to: impl Write) -> Result<(), Error> {
        // Nothing that is being written may be collected meanwhile.
        let _content = self.share_content()?;
        let index = self.index()?;
        let mut images: Vec<Saved> = Vec::new();
        for reference in references {
            let id = find(&index, reference).ok_or_else(|| Error::NotFound(reference.clone()))?;
            let record = index.images.get(&id).ok_or_else(|| Error::NotFound(reference.clone()))?;
            if record.executable.is_some() {
                return Err(Error::BuiltIn(reference.clone()));
            }
            let name = name_of(record, reference);
            match images.iter_mut().find(|saved| saved.id == id) {
                Some(saved) => saved.names.extend(name),
                None => images.push(Saved { id, record, names: name.into_iter().collect() }),
            }
        }
        self.write_archive(&images, to).map_err(Error::store("write the archive"))
    }

    fn write_archive(&self, images: &[Saved], to: impl Write) -> io::Result<()> {
        let mut archive = Archive { builder: tar::Builder::new(to), written: BTreeSet::new() };
        let (mut docker, mut manifests) = (Vec::new(), Vec::new());
        for Saved { id, record, names } in images {
            let blobs: Vec<&String> = record.layers.iter().filter_map(|layer| layer.blob.as_ref()).collect();
            for digest in std::iter::once(id).chain(blobs.iter().copied()) {
                archive.blob(digest, File::open(self.blob_path(digest))?)?;
            }
            let size = std::fs::metadata(self.blob_path(id))?.len();
            let manifest = manifest(id, size, record).to_string();
            let digest = digest(manifest.as_bytes())?;
            archive.bytes(&blob_name(&digest), manifest.as_bytes())?;
            manifests.extend(descriptors(&digest, manifest.len(), names));
            docker.push(json!({
                "Config": blob_name(id),
                "RepoTags": names,
                "Layers": blobs.iter().map(|digest| blob_name(digest)).collect::<Vec<_>>(),
            }));
        }
        archive.bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        archive.bytes("manifest.json", Value::Array(docker).to_string().as_bytes())?;
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        archive.bytes("index.json", index.to_string().as_bytes())?;
        archive.builder.into_inner()?.flush()
    }
}

/// An image that is written.
struct Saved<'a> {
    id: String,
    record: &'a Record,
    names: BTreeSet<String>,
}

/// The name by which an image is asked for; none if it is by an id or a digest.
fn name_of(record: &Record, reference: &str) -> Option<String> {
    let name = reference.parse::<Reference>().ok()?.to_string();
    record.tags.contains(&name).then_some(name)
}

/// An archive that has every blob once.
struct Archive<W: Write> {
    builder: tar::Builder<W>,
    written: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    fn blob(&mut self, digest: &str, file: File) -> io::Result<()> {
        let (name, size) = (blob_name(digest), file.metadata()?.len());
        self.entry(&name, size, file)
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.entry(name, bytes.len() as u64, bytes)
    }

    fn entry(&mut self, name: &str, size: u64, from: impl Read) -> io::Result<()> {
        if !self.written.insert(name.to_string()) {
            return Ok(());
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        self.builder.append_data(&mut header, name, from)
    }
}

fn manifest(id: &str, size: u64, record: &Record) -> Value {
    let layers = record.layers.iter().filter_map(|layer| {
        let kind = if layer.media_type.is_empty() { PLAIN_LAYER } else { &layer.media_type };
        Some(json!({ "mediaType": kind, "digest": layer.blob.as_ref()?, "size": layer.size }))
    });
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": { "mediaType": CONFIG_TYPE, "digest": id, "size": size },
        "layers": layers.collect::<Vec<_>>(),
    })
}

/// The index's entries for one manifest: one a name, or one without a name.
fn descriptors(digest: &str, size: usize, tags: &BTreeSet<String>) -> Vec<Value> {
    let plain = json!({ "mediaType": MANIFEST_TYPE, "digest": digest, "size": size });
    let named = tags.iter().map(|tag| {
        let mut descriptor = plain.clone();
        let short = tag.rsplit_once(':').map_or("", |(_, short)| short);
        descriptor["annotations"] =
            json!({ "io.containerd.image.name": tag, "org.opencontainers.image.ref.name": short });
        descriptor
    });
    let named: Vec<Value> = named.collect();
    if named.is_empty() { vec![plain] } else { named }
}

fn blob_name(digest: &str) -> String {
    format!("blobs/sha256/{}", hex_of(digest))
}

fn digest(bytes: &[u8]) -> io::Result<String> {
    let mut hashing = Hashing::new(bytes);
    io::copy(&mut hashing, &mut io::sink())?;
    Ok(hashing.finish().0)
}
