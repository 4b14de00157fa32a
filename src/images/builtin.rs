//! The images that every node has: the running executable, presented as an image.
//!
//! Their one layer has an empty `/coracle` and the few files that programs expect. Whoever runs the image shows
//! [`Image::executable`] there, so the executable is neither copied nor read to be hashed.

use super::ingest::Hashing;
use super::record::{ConfigFile, Layer, Record};
use super::staging::Staging;
use super::store::give_name;
use super::{Error, Image, Store, unpack};
use serde_json::{Value, json};

use std::io;
use std::path::Path;

/// The registry that the names of built-in images have; it exists nowhere.
pub const REGISTRY: &str = "coracle.local";
const REPOSITORY: &str = "coracle.local/coracle";
const HELLO: &str = "coracle.local/hello:latest";
const HELLO_PORT: &str = "8080/tcp";
const FILES: &[(&str, &str, u32)] = &[
    ("coracle", "", 0o755),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n", 0o644),
    ("etc/nsswitch.conf", "hosts: files dns\n", 0o644),
    ("etc/passwd", "root:x:0:0:root:/:/coracle\nnobody:x:65534:65534:nobody:/:/coracle\n", 0o644),
];
const FOLDERS: &[(&str, u32)] = &[("etc", 0o755), ("tmp", 0o1777)];

impl Store {
    /// Makes `coracle.local/coracle:VERSION` (and `:latest`) and `coracle.local/hello` present; `executable` is the file that
    /// containers see as `/coracle`. Does nothing when they are there.
    pub fn install_builtin(&self, executable: &Path, version: &str) -> Result<(), Error> {
        let plain = json!({ "Entrypoint": ["/coracle"], "WorkingDir": "/" });
        let hello = json!({
            "Entrypoint": ["/coracle"], "Cmd": ["hello"], "WorkingDir": "/", "ExposedPorts": { HELLO_PORT: {} },
        });
        let tags = [format!("{REPOSITORY}:{version}"), format!("{REPOSITORY}:latest")];
        self.install_one(executable, version, plain, &tags)?;
        self.install_one(executable, version, hello, &[HELLO.to_string()])
    }

    fn install_one(&self, executable: &Path, version: &str, mut config: Value, tags: &[String]) -> Result<(), Error> {
        let layer = layer().map_err(Error::store("make the built-in layer"))?;
        let mut hashing = Hashing::new(&layer[..]);
        io::copy(&mut hashing, &mut io::sink()).map_err(Error::store("make the built-in layer"))?;
        let (diff_id, _) = hashing.finish();
        config["Labels"] = json!({ "org.opencontainers.image.version": version });
        config["Env"] = json!(["PATH=/"]);
        let file = json!({
            "architecture": super::archive::architecture(),
            "os": "linux",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        let file = file.to_string();
        let config: ConfigFile =
            serde_json::from_str(&file).map_err(|error| Error::store("make the built-in config")(error.into()))?;
        let mut hashing = Hashing::new(file.as_bytes());
        io::copy(&mut hashing, &mut io::sink()).map_err(Error::store("make the built-in config"))?;
        let (id, _) = hashing.finish();
        if self.resolve(&id)?.is_some_and(|image| self.is_installed(&image, executable, tags)) {
            return Ok(());
        }
        let mut staging = Staging::new(self)?;
        self.place_layer(&mut staging, &layer, &diff_id)?;
        let blob = self.blob_path(&id);
        crate::base::atomic::write(&blob, file.as_bytes(), 0o644).map_err(Error::store("write the built-in config"))?;
        let layers = vec![Layer { diff_id, blob: None, media_type: String::new(), size: size_of(executable) }];
        self.change(|index| {
            let executable = Some(executable.to_path_buf());
            let tags_before = index.images.remove(&id).map(|record| record.tags).unwrap_or_default();
            let record = Record { layers, config: config.config, executable, tags: tags_before, ..Record::default() };
            index.images.insert(id.clone(), record);
            tags.iter().for_each(|tag| give_name(index, &id, tag));
            Ok(())
        })
    }

    fn is_installed(&self, image: &Image, executable: &Path, tags: &[String]) -> bool {
        image.executable.as_deref() == Some(executable)
            && tags.iter().all(|tag| image.repo_tags.contains(tag))
            && image.layers.iter().all(|layer| layer.exists())
    }

    fn place_layer(&self, staging: &mut Staging, layer: &[u8], diff_id: &str) -> Result<(), Error> {
        let place = self.layer_path(diff_id);
        if place.exists() {
            return Ok(());
        }
        let folder = staging.fresh();
        std::fs::create_dir(&folder).map_err(Error::store("make a folder for a layer"))?;
        unpack::unpack(layer, &folder)
            .map_err(|failure| Error::store(format!("unpack the built-in `{}`", failure.entry))(failure.source))?;
        match std::fs::rename(&folder, &place) {
            Err(error) if !place.exists() => Err(Error::store("move the built-in layer into place")(error)),
            _ => Ok(()),
        }
    }
}

fn size_of(executable: &Path) -> u64 {
    std::fs::metadata(executable).map_or(0, |metadata| metadata.len())
}

/// The layer as a tar archive, the same bytes every time.
fn layer() -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode) in FOLDERS {
        builder.append_data(&mut header(tar::EntryType::Directory, 0, *mode), path, io::empty())?;
    }
    for (path, text, mode) in FILES {
        builder.append_data(&mut header(tar::EntryType::Regular, text.len(), *mode), path, text.as_bytes())?;
    }
    builder.into_inner()
}

fn header(kind: tar::EntryType, size: usize, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
