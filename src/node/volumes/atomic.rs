//! Files that change all at once: names are links into `..data`, which is a link to the newest version and is replaced by a
//! rename, so that no reader sees half of a change.
//!
//! Source of the layout: kubelet `pkg/volume/util/atomic_writer.go`.

use super::ownership;
use crate::base::disk;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Component, Path};

const DATA: &str = "..data";
const NEXT: &str = "..data_tmp";

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub bytes: Vec<u8>,
    pub mode: u32,
    pub owner: Option<u32>,
}

/// Files by their path in the volume.
pub type Payload = BTreeMap<String, File>;

/// Makes the files of `folder` those of `payload`; `group` may read them.
pub fn write(folder: &Path, payload: &Payload, group: Option<u32>) -> io::Result<()> {
    for path in payload.keys() {
        check(path)?;
    }
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777))?;
    let earlier = std::fs::read_link(folder.join(DATA)).ok();
    let version = version(folder)?;
    let inside = folder.join(&version);
    for (path, file) in payload {
        write_file(&inside.join(path), file)?;
    }
    if let Some(group) = group {
        ownership::give(folder, group, true, None)?;
    }
    let next = folder.join(NEXT);
    // Left behind by an agent that was killed in between.
    std::fs::remove_file(&next).ok();
    symlink(&version, &next)?;
    std::fs::rename(&next, folder.join(DATA))?;
    link_names(folder, payload)?;
    match earlier {
        Some(earlier) => disk::remove(&folder.join(earlier)).or_else(missing_is_fine),
        None => Ok(()),
    }
}

fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// A path stays in the volume, and its names do not get in the way of this file's own.
fn check(path: &str) -> io::Result<()> {
    let parts: Vec<Component> = Path::new(path).components().collect();
    let plain = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    let reserved = matches!(parts.first(), Some(Component::Normal(name)) if name.as_encoded_bytes().starts_with(b".."));
    if path.is_empty() || !plain || reserved {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path: {path}")));
    }
    Ok(())
}

/// A new folder for a version, named by the time.
fn version(folder: &Path) -> io::Result<OsString> {
    let now = jiff::Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.").to_string();
    let made = tempfile::Builder::new().prefix(&now).tempdir_in(folder)?.keep();
    std::fs::set_permissions(&made, PermissionsExt::from_mode(0o755))?;
    Ok(made.file_name().unwrap_or_default().to_os_string())
}

fn write_file(path: &Path, file: &File) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, &file.bytes)?;
    // Whatever mask this process has.
    std::fs::set_permissions(path, PermissionsExt::from_mode(file.mode))?;
    match file.owner {
        Some(owner) => chown(path, Some(owner), None),
        None => Ok(()),
    }
}

/// Links for the first part of every path; links that nothing needs any more go.
fn link_names(folder: &Path, payload: &Payload) -> io::Result<()> {
    let wanted: BTreeSet<&str> = payload.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &wanted {
        let link = folder.join(name);
        if std::fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link)?;
        }
    }
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(name.as_ref()) {
            std::fs::remove_file(folder.join(name.as_ref()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |text: &str| File { bytes: text.into(), mode: 0o640, owner: None };
        files.iter().map(|(path, text)| (path.to_string(), file(text))).collect()
    }

    #[test]
    fn every_version_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("v");
        write(&root, &payload(&[("a", "1"), ("deep/er/b", "2")]), None).unwrap();
        assert_eq!(std::fs::read_to_string(root.join("deep/er/b")).unwrap(), "2");
        assert_eq!(std::fs::metadata(root.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        write(&root, &payload(&[("a", "3"), ("c", "4")]), None).unwrap();
        assert_eq!(std::fs::read_to_string(root.join("a")).unwrap(), "3");
        let names: BTreeSet<String> =
            std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.contains("a") && names.contains("c") && !names.contains("deep"), "{names:?}");
        assert_eq!(names.iter().filter(|name| name.starts_with("..2")).count(), 1, "{names:?}");
        assert_eq!(std::fs::read_link(root.join("a")).unwrap(), Path::new("..data/a"));
    }

    #[test]
    fn no_path_leaves_the_volume() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["../a", "/a", "a/../../b", "..data", "..x/y", ""] {
            assert!(write(folder.path(), &payload(&[(path, "1")]), None).is_err(), "{path}");
        }
    }
}
