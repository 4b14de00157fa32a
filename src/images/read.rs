//! Reading single files of an image without mounting it.

use super::{Error, Image, Store};
use std::fs::FileType;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// The largest file that is read into memory.
const LARGEST: u64 = 1 << 20;
/// Links that are followed at most.
const LINKS: usize = 8;

/// What a layer says of a path.
enum Seen {
    /// This layer hides it.
    Gone,
    Link(PathBuf),
    File(PathBuf),
    /// Nothing: a lower layer may have it.
    Unknown,
}

impl Store {
    /// The content of a small file of the image `id`; nothing if there is none.
    pub fn read_file(&self, id: &str, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let image = self.resolve(id)?.ok_or_else(|| Error::NotFound(id.to_string()))?;
        let mut path = plain(Path::new("/"), Path::new(path));
        for _ in 0..LINKS {
            match look(&image, &path).map_err(Error::store("read a layer"))? {
                Seen::File(file) => return std::fs::read(file).map(Some).map_err(Error::store("read a layer")),
                Seen::Link(target) => path = plain(path.parent().unwrap_or(Path::new("/")), &target),
                Seen::Gone | Seen::Unknown => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// The path from the image's root, without `..`.
fn plain(folder: &Path, path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in folder.join(path).components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain
}

/// The highest layer that says something decides.
fn look(image: &Image, path: &Path) -> io::Result<Seen> {
    for layer in image.layers.iter().rev() {
        match look_in(layer, path)? {
            Seen::Unknown => {}
            seen => return Ok(seen),
        }
    }
    Ok(Seen::Unknown)
}

fn look_in(layer: &Path, path: &Path) -> io::Result<Seen> {
    let mut at = layer.to_path_buf();
    let mut opaque = false;
    let parts: Vec<Component> = path.components().collect();
    for (index, part) in parts.iter().enumerate() {
        at.push(part);
        let metadata = match std::fs::symlink_metadata(&at) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(if opaque { Seen::Gone } else { Seen::Unknown });
            }
            Err(error) => return Err(error),
        };
        let (kind, last) = (metadata.file_type(), index + 1 == parts.len());
        if is_whiteout(kind, metadata.rdev()) {
            return Ok(Seen::Gone);
        }
        if kind.is_symlink() {
            let rest: PathBuf = parts[index + 1..].iter().collect();
            let above: PathBuf = parts[..index].iter().collect();
            return Ok(Seen::Link(Path::new("/").join(above).join(std::fs::read_link(&at)?).join(rest)));
        }
        match (kind.is_dir(), last) {
            (true, false) => opaque |= is_opaque(&at),
            (false, true) if kind.is_file() && metadata.len() <= LARGEST => return Ok(Seen::File(at)),
            _ => return Ok(Seen::Gone),
        }
    }
    Ok(Seen::Gone)
}

fn is_whiteout(kind: FileType, device: u64) -> bool {
    kind.is_char_device() && device == 0
}

fn is_opaque(folder: &Path) -> bool {
    let mut value = [0u8; 1];
    rustix::fs::getxattr(folder, "trusted.overlay.opaque", &mut value[..]).is_ok_and(|length| length == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::ImageConfig;

    #[test]
    fn the_highest_layer_decides_and_links_stay_inside_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let (low, high) = (folder.path().join("low"), folder.path().join("high"));
        std::fs::create_dir_all(low.join("etc")).unwrap();
        std::fs::create_dir_all(high.join("usr")).unwrap();
        std::fs::write(low.join("etc/passwd"), "low").unwrap();
        std::fs::write(low.join("etc/group"), "groups").unwrap();
        std::fs::write(high.join("usr/passwd"), "high").unwrap();
        std::fs::create_dir(high.join("etc")).unwrap();
        std::os::unix::fs::symlink("../../../usr/passwd", high.join("etc/passwd")).unwrap();
        let image = Image {
            id: String::new(),
            repo_tags: vec![],
            repo_digests: vec![],
            pulled: std::collections::BTreeMap::new(),
            config: ImageConfig::default(),
            layers: vec![low, high],
            size: 0,
            created: None,
            executable: None,
        };
        assert!(matches!(look(&image, Path::new("etc/group")).unwrap(), Seen::File(_)));
        let Seen::Link(target) = look(&image, Path::new("etc/passwd")).unwrap() else { panic!() };
        assert_eq!(plain(Path::new("/etc"), &target), Path::new("usr/passwd"));
        assert!(matches!(look(&image, Path::new("etc/none")).unwrap(), Seen::Unknown));
    }
}
