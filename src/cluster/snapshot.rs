//! Snapshots: the state of a cluster (objects, keys, volumes, profile) in an archive beside the profile, and back.
//!
//! Images and containers are not in it: the ones stay, the others are made from the objects. A cluster that runs stands still
//! while it is read, so what is read is what one moment was.

use super::frozen::Pause;
use super::life::{Cluster, Error};
use crate::base::disk;
use crate::config::Profile;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Folders of the node that a snapshot holds.
const FOLDERS: &[&str] = &["var/lib/coracle/store", KEYS, "var/lib/coracle/volumes"];
/// The folder of keys and certificates.
const KEYS: &str = "var/lib/coracle/pki";
/// Folders below `/var` of what is derived from objects and may not fit the restored ones.
const DERIVED: &[&str] = &["lib/coracle/containers", "lib/coracle/leases", "lib/kubelet/pods"];
/// The end of a snapshot's file name.
const END: &str = ".tar.gz";

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Snapshot {
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Bytes of the archive.
    pub size: u64,
}

impl Cluster {
    /// Writes a snapshot; one of that name is replaced.
    pub async fn save_snapshot(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.snapshot_file(name)?;
        let is_up = self.state().await?.is_up();
        let (before, all) = (self.standing().unwrap_or_default(), Pause::everything());
        let stands_still = is_up && !before.has(&all);
        let places = self.places().await?;
        if stands_still {
            self.pause(&all).await?;
        }
        let written = write(&places, &self.profile, &path);
        if stands_still {
            self.unpause()?;
            if before != Pause::default() {
                self.pause(&before).await?;
            }
        }
        written.map_err(Error::io(format!("cannot write {}", path.display())))?;
        Ok(path)
    }

    /// Puts a snapshot in the place of what is there; the node must not run. Name, driver and network stay as they are.
    pub async fn restore_snapshot(&mut self, name: &str) -> Result<(), Error> {
        let path = self.snapshot_file(name)?;
        let failed = || Error::io(format!("cannot restore {}", path.display()));
        let places = self.places().await?;
        let profile = read(&path, &places).map_err(failed())?;
        let now = std::mem::replace(&mut self.profile, profile);
        (self.profile.name, self.profile.driver, self.profile.network) = (now.name, now.driver, now.network);
        for folder in DERIVED {
            remove(&places.state.join(folder)).map_err(failed())?;
        }
        self.save()
    }

    /// Every snapshot, oldest first.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, Error> {
        let folder = self.home.snapshots(&self.profile.name);
        list(&folder).map_err(Error::io(format!("cannot list {}", folder.display())))
    }

    /// Removes a snapshot.
    pub fn remove_snapshot(&self, name: &str) -> Result<(), Error> {
        let path = self.snapshot_file(name)?;
        std::fs::remove_file(&path).map_err(Error::io(format!("cannot remove {}", path.display())))
    }

    /// Where a snapshot of that name is, or would be.
    pub fn snapshot_file(&self, name: &str) -> Result<PathBuf, Error> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            let why = "a name is letters, digits, `-`, `_` and `.`";
            return Err(Error::Wanted(vec![crate::config::Problem::new(format!("snapshot `{name}`"), why)]));
        }
        Ok(self.home.snapshots(&self.profile.name).join(format!("{name}{END}")))
    }

    async fn places(&self) -> Result<Places, Error> {
        let keys = self.paths().pki();
        Ok(Places { state: self.driver.state_folder(&self.machine()?).await?, keys })
    }
}

/// Where this machine sees what a snapshot holds.
struct Places {
    /// The node's `/var`.
    state: PathBuf,
    /// The keys, from which a driver gives the node its own: not in its `/var` where that is a volume.
    keys: PathBuf,
}

impl Places {
    /// Where a folder of the archive is.
    fn of(&self, name: &str) -> PathBuf {
        if name == KEYS { self.keys.clone() } else { self.state.join(name.trim_start_matches("var/")) }
    }
}

fn write(places: &Places, profile: &Profile, path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    // Keys are in it; the file is made readable by its owner alone, and has its name when it is whole.
    let file = tempfile::NamedTempFile::new_in(folder)?;
    let mut archive = tar::Builder::new(GzEncoder::new(file.as_file(), Compression::fast()));
    archive.follow_symlinks(false);
    let text = serde_json::to_vec_pretty(profile)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    // A header without an owner cannot be read back with its owner.
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, "profile.json", &text[..])?;
    for name in FOLDERS {
        if places.of(name).exists() {
            archive.append_dir_all(name, places.of(name))?;
        }
    }
    archive.into_inner()?.finish()?.sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Unpacks beside what is there first, so that a broken archive destroys nothing.
fn read(path: &Path, places: &Places) -> io::Result<Profile> {
    let fresh = places.state.join("lib/.restore");
    remove(&fresh)?;
    std::fs::create_dir_all(&fresh)?;
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(path)?));
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.unpack(&fresh)?;
    let profile = serde_json::from_slice(&std::fs::read(fresh.join("profile.json"))?)?;
    for name in FOLDERS {
        let place = places.of(name);
        remove(&place)?;
        if fresh.join(name).exists() {
            std::fs::create_dir_all(place.parent().unwrap_or(&place))?;
            relocate(&fresh.join(name), &place)?;
        }
    }
    remove(&fresh)?;
    Ok(profile)
}

/// Moves a folder; where that leads to another file system, its files are copied (keys are no folders in folders).
fn relocate(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        moved => return moved,
    }
    std::fs::create_dir(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn list(folder: &Path) -> io::Result<Vec<Snapshot>> {
    let mut found = Vec::new();
    for entry in disk::entries(folder)? {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(END) else { continue };
        let metadata = entry.metadata()?;
        let created = jiff::Timestamp::try_from(metadata.modified()?).map_err(io::Error::other)?;
        found.push(Snapshot { name: name.into(), created: created.to_string(), size: metadata.len() });
    }
    found.sort_by(|a, b| (&a.created, &a.name).cmp(&(&b.created, &b.name)));
    Ok(found)
}

fn remove(folder: &Path) -> io::Result<()> {
    match crate::base::disk::remove(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Wanted;

    #[test]
    fn what_was_saved_comes_back_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (root, path) = (folder.path().join("node"), folder.path().join("snapshots/one.tar.gz"));
        let store = root.join("var/lib/coracle/store");
        std::fs::create_dir_all(&store).unwrap();
        std::fs::write(store.join("log"), "before").unwrap();
        let profile = Wanted::named("one").resolve(&[]).unwrap();
        let places = Places { state: root.join("var"), keys: folder.path().join("keys") };
        std::fs::create_dir_all(&places.keys).unwrap();
        std::fs::write(places.keys.join("ca.key"), "secret").unwrap();
        write(&places, &profile, &path).unwrap();
        std::fs::write(places.keys.join("ca.key"), "another").unwrap();
        std::fs::write(store.join("log"), "after").unwrap();
        std::fs::write(store.join("later"), "x").unwrap();
        assert_eq!(read(&path, &places).unwrap(), profile);
        assert_eq!(std::fs::read_to_string(places.keys.join("ca.key")).unwrap(), "secret");
        assert_eq!(std::fs::read_to_string(store.join("log")).unwrap(), "before");
        assert!(!store.join("later").exists() && !root.join("var/lib/.restore").exists());
        let listed = list(path.parent().unwrap()).unwrap();
        assert_eq!(listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["one"]);
    }

    #[test]
    fn a_broken_archive_destroys_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("var/lib/coracle/store");
        std::fs::create_dir_all(&store).unwrap();
        std::fs::write(store.join("log"), "kept").unwrap();
        std::fs::write(folder.path().join("broken.tar.gz"), "no archive").unwrap();
        let places = Places { state: folder.path().join("var"), keys: folder.path().join("keys") };
        assert!(read(&folder.path().join("broken.tar.gz"), &places).is_err());
        assert_eq!(std::fs::read_to_string(store.join("log")).unwrap(), "kept");
    }
}
